//! Taking part in the election, by a key in etcd that ends with a lease.
//!
//! A lease of etcd is here what a session is in ZooKeeper. It is kept alive by requests; between them an honest read
//! shows that the server that took them is not cut off from the others, which may have elected another by then.

use std::time::{Duration, Instant};

use proto::mesos::v1::MasterInfo;
use serde_json::json;
use tokio::sync::{oneshot, watch};

use super::gateway::{Done, Error, Gateway, Granted, Kept, RETRY, Range, encode};
use super::group::{self, Group};
use crate::Url;
use crate::election::{self, Candidacy, LEAVE_MAX, Standing};
use crate::lease::{Lease, REQUESTS};
use crate::members::PREFIX;

/// How often a master looks who is there in the time of a session, whether or not a change was told.
const LOOKS: u32 = 4;

/// Enters the election for `master`.
pub(crate) fn contend(url: Url, session_timeout: Duration, master: MasterInfo) -> Candidacy {
    let (updates, standing) = watch::channel(Standing::Nobody);
    let (withdraw, mut withdrawn) = oneshot::channel();
    let task = tokio::spawn(async move {
        let campaign = Campaign { url, timeout: session_timeout, master, updates };
        loop {
            let session = tokio::select! {
                session = campaign.begin() => session,
                _ = &mut withdrawn => return,
            };
            if !campaign.in_session(session, &mut withdrawn).await {
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
    });
    Candidacy::new(standing, withdraw, task)
}

/// A lease of etcd, and what keeps it.
struct Session {
    gateway: Gateway,
    id: i64,
    timeout: Duration,
    lease: Lease,
}

impl Session {
    /// The key of the master that has this lease.
    fn entry(&self) -> String {
        format!("{PREFIX}{:016x}", self.id)
    }
}

struct Campaign {
    url: Url,
    timeout: Duration,
    master: MasterInfo,
    updates: watch::Sender<Standing>,
}

impl Campaign {
    /// A lease, as soon as there is a server that grants one.
    async fn begin(&self) -> Session {
        let mut gateway = Gateway::new(&self.url, self.timeout);
        // Leases are of whole seconds.
        let seconds = self.timeout.as_millis().div_ceil(1000).max(1);
        let body = json!({"TTL": seconds.to_string()});
        loop {
            let sent = Instant::now();
            match gateway.call::<Granted>("lease/grant", &body).await {
                Ok(Granted { id, seconds }) => {
                    let timeout = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
                    tracing::info!(
                        url = %self.url, server = gateway.server(), lease = format!("{id:x}"), ?timeout,
                        "connected to etcd"
                    );
                    let lease = Lease::new();
                    lease.renew(sent + timeout);
                    return Session { gateway, id, timeout, lease };
                }
                Err(error) => tracing::warn!(url = %self.url, %error, "cannot connect to etcd; trying again"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Takes part for as long as the lease lasts. Whether to go on with another.
    async fn in_session(&self, mut session: Session, withdrawn: &mut oneshot::Receiver<()>) -> bool {
        let (entry, id, lease) = (session.entry(), session.id, session.lease.clone());
        let error = tokio::select! {
            error = self.take_part(&entry, id, &lease) => error,
            error = keep(&mut session, self.url.path()) => error,
            _ = withdrawn => {
                self.leave(id).await;
                return false;
            }
        };
        if election::session_is_over(&self.updates, &self.url, &error) {
            return true;
        }
        self.leave(id).await;
        false
    }

    /// Gives the lease back, and the key with it.
    async fn leave(&self, id: i64) {
        let mut gateway = Gateway::new(&self.url, self.timeout);
        let body = json!({"ID": id.to_string()});
        let left = tokio::time::timeout(LEAVE_MAX, gateway.call::<Done>("lease/revoke", &body));
        if let Ok(Err(error)) = left.await {
            tracing::debug!(%error, "cannot give the lease back; it ends by itself");
        }
    }

    /// Enters, and tells of each new standing, until that does not work.
    async fn take_part(&self, entry: &str, id: i64, lease: &Lease) -> Error {
        let mut group = Group::new(&self.url, self.timeout, self.timeout / LOOKS);
        let mut entered = false;
        loop {
            match self.look(&mut group, entry, &mut entered, id, lease).await {
                Ok(true) => group.changed().await,
                Ok(false) => {}
                Err(error) if error.is_passing() => tokio::time::sleep(RETRY).await,
                Err(error) => return error,
            }
            if matches!(*self.updates.borrow(), Standing::Lost(_)) {
                return Error::Refused("it was lost".to_owned());
            }
        }
    }

    /// One look at who is there. Whether to wait for a change before the next.
    async fn look(
        &self,
        group: &mut Group,
        entry: &str,
        entered: &mut bool,
        id: i64,
        lease: &Lease,
    ) -> Result<bool, Error> {
        let entries = group.look().await?;
        if !entries.iter().any(|one| one.name == entry) {
            if std::mem::take(entered) && election::entry_is_gone(&self.updates, self.url.service) {
                return Ok(false);
            }
            group.join(entry, &self.master, id).await?;
            tracing::info!("New candidate (id='{entry}') has entered the contest for leadership");
            *entered = true;
            return Ok(false);
        }
        *entered = true;
        let next = election::next(group::first(&entries), entry, &self.master, lease);
        election::tell(&self.updates, next);
        Ok(true)
    }
}

/// Keeps the lease for as long as there are answers, and returns once it has run out or is gone.
async fn keep(session: &mut Session, path: &str) -> Error {
    let timeout = session.timeout;
    let lease = session.lease.clone();
    let mut last = Error::Passing("no answer for as long as a lease lasts".to_owned());
    while lease.holds() {
        let sent = Instant::now();
        let pause = match tokio::time::timeout_at(lease.ends().into(), beat(session, path)).await {
            Ok(Ok(remains)) => {
                lease.renew(sent + remains);
                timeout / REQUESTS
            }
            Ok(Err(error)) if error.is_passing() => {
                last = error;
                timeout / REQUESTS / 2
            }
            Ok(Err(error)) => return error,
            Err(_) => continue,
        };
        tokio::time::sleep(pause.min(lease.ends().saturating_duration_since(Instant::now()))).await;
    }
    last
}

/// Keeps the lease once. How long it lasts from the sending on.
async fn beat(session: &mut Session, path: &str) -> Result<Duration, Error> {
    let body = json!({"ID": session.id.to_string()});
    let kept: Kept = session.gateway.call("lease/keepalive", &body).await?;
    let seconds = u64::try_from(kept.result.seconds).unwrap_or_default();
    if seconds == 0 {
        return Err(Error::LeaseEnded);
    }
    // ORDER: after the keeping, since a server that was cut off before it could still have answered that.
    let read = json!({"key": encode(path), "keys_only": true});
    let _: Range = session.gateway.call("kv/range", &read).await?;
    Ok(Duration::from_secs(seconds))
}
