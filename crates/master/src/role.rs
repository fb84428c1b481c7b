//! Whether this master leads, what becomes of it when that changes, and what everybody else is told of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use coordination::{Lease, Standing};
use proto::mesos::v1::MasterInfo;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::leadership::Leadership;
use crate::reactor::Input;
use crate::store::{RegistryKind, Store};

/// What a change of standing means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// This master leads from now on.
    Elected,
    /// Nothing for this master.
    Same,
}

/// This master's part in the cluster.
pub(crate) struct Role {
    master: Arc<MasterInfo>,
    registry: RegistryKind,
    /// What the handlers know of the leadership.
    leadership: watch::Sender<Leadership>,
    /// Of a leader that was elected; one that is alone needs none.
    lease: Option<Lease>,
    /// When the registry was asked for.
    asked: Instant,
}

impl Role {
    /// The part of a master that does not lead yet.
    pub(crate) fn new(
        master: MasterInfo,
        registry: RegistryKind,
        leadership: watch::Sender<Leadership>,
    ) -> Self {
        Self { master: Arc::new(master), registry, leadership, lease: None, asked: Instant::now() }
    }

    /// Takes note of a new standing. One that led and does not any more must end.
    pub(crate) fn stand(&mut self, standing: Standing) -> anyhow::Result<Turn> {
        match standing {
            Standing::Nobody => {
                tracing::info!("No master was elected.");
                self.leadership.send_replace(Leadership::Nobody);
            }
            Standing::Follows(leader) => {
                tracing::info!("The newly elected leader is {} with id {}", leader.pid(), leader.id);
                check_regions(&leader, &self.master)?;
                self.leadership.send_replace(Leadership::Other(leader));
            }
            Standing::Leads(lease) => {
                self.lease = Some(lease);
                return Ok(Turn::Elected);
            }
            Standing::Lost(why) => bail!(why),
        }
        Ok(Turn::Same)
    }

    /// Whether a leader that was elected may still act: another may lead by now if not, whether or not anybody has said.
    pub(crate) fn check_lease(&self) -> anyhow::Result<()> {
        match &self.lease {
            Some(lease) if !lease.holds() => {
                bail!(
                    "Lost leadership: no server of the election has answered for a session's timeout... committing suicide!"
                )
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Has the registry opened and read; it goes to `reports`.
    pub(crate) fn recover(&mut self, reports: mpsc::Sender<Input>) {
        self.asked = Instant::now();
        self.tell(false);
        let (kind, runtime) = (self.registry.clone(), Handle::current());
        tokio::task::spawn_blocking(move || {
            let opened = Store::open(&kind, &runtime);
            // A core that has ended needs no registry.
            let _ = reports.blocking_send(Input::Opened(Box::new(opened)));
        });
    }

    /// How long reading the registry has taken.
    pub(crate) fn recovering(&self) -> Duration {
        self.asked.elapsed()
    }

    /// The core has the registry.
    pub(crate) fn recovered(&self) {
        self.tell(true);
    }

    fn tell(&self, recovered: bool) {
        self.leadership.send_replace(Leadership::Here { master: Arc::clone(&self.master), recovered });
    }
}

/// Masters of one cluster are in one region, as far as they say in which.
fn check_regions(leader: &MasterInfo, own: &MasterInfo) -> anyhow::Result<()> {
    let region = |master: &MasterInfo| {
        let domain = master.domain.as_ref()?.fault_domain.as_ref()?;
        Some(domain.region.name.clone())
    };
    match (region(leader), region(own)) {
        (Some(leaders), Some(own)) if leaders != own => bail!(
            "Leading master uses the region '{leaders}'; this master is configured to use the region '{own}'; all \
             masters in the same cluster must use the same region"
        ),
        (_, _) => Ok(()),
    }
}

/// Waits for the next change of standing. One that is alone waits for ever.
pub(crate) async fn changed(standing: Option<&mut watch::Receiver<Standing>>) -> Standing {
    let Some(standing) = standing else { return std::future::pending().await };
    match standing.changed().await {
        Ok(()) => standing.borrow_and_update().clone(),
        // Its last word was said; what follows is the end.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use proto::mesos::v1::DomainInfo;
    use proto::mesos::v1::domain_info::FaultDomain;
    use proto::mesos::v1::domain_info::fault_domain::{RegionInfo, ZoneInfo};

    use super::*;

    fn master(region: Option<&str>) -> MasterInfo {
        let fault_domain = region.map(|region| FaultDomain {
            region: RegionInfo { name: region.to_owned() },
            zone: ZoneInfo { name: "z".to_owned() },
        });
        MasterInfo { domain: Some(DomainInfo { fault_domain }), ..MasterInfo::default() }
    }

    #[test]
    fn masters_of_one_cluster_are_in_one_region() {
        assert!(check_regions(&master(Some("eu")), &master(Some("eu"))).is_ok());
        assert!(check_regions(&master(None), &master(Some("eu"))).is_ok());
        assert!(check_regions(&master(Some("us")), &MasterInfo::default()).is_ok());
        let error = check_regions(&master(Some("us")), &master(Some("eu"))).unwrap_err().to_string();
        assert!(error.starts_with("Leading master uses the region 'us'; this master"), "{error}");
    }

    #[tokio::test]
    async fn everybody_is_told_where_this_master_stands() {
        let (leadership, watching) = watch::channel(Leadership::Nobody);
        let mut role = Role::new(MasterInfo::default(), RegistryKind::InMemory, leadership);
        let other = Arc::new(MasterInfo { id: "other".to_owned(), ..MasterInfo::default() });
        assert_eq!(role.stand(Standing::Follows(other)).unwrap(), Turn::Same);
        assert!(matches!(&*watching.borrow(), Leadership::Other(master) if master.id == "other"));
        assert_eq!(role.stand(Standing::Nobody).unwrap(), Turn::Same);
        assert!(matches!(*watching.borrow(), Leadership::Nobody));
        let (reports, mut inputs) = mpsc::channel(1);
        role.recover(reports);
        assert!(matches!(*watching.borrow(), Leadership::Here { recovered: false, .. }));
        assert!(matches!(inputs.recv().await, Some(Input::Opened(opened)) if opened.is_ok()));
        role.recovered();
        assert!(matches!(*watching.borrow(), Leadership::Here { recovered: true, .. }));
        assert!(role.check_lease().is_ok(), "one that was not elected needs no lease");
        let error = role.stand(Standing::Lost("Lost candidacy as a leader".to_owned())).unwrap_err();
        assert_eq!(error.to_string(), "Lost candidacy as a leader");
    }
}
