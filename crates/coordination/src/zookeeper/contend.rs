//! Taking part in the election, as a session of ZooKeeper.

use std::time::{Duration, Instant};

use proto::mesos::v1::MasterInfo;
use tokio::sync::{oneshot, watch};
use zookeeper_client::{Client, Error, OneshotWatcher};

use super::group::Group;
use super::session;
use crate::Url;
use crate::election::{self, Candidacy, LEAVE_MAX, Standing};
use crate::lease::{Lease, REQUESTS, TRIES};
use crate::members::Member;

/// Enters the election for `master`. Nothing fails: what does not work is told to the log and tried again, until this
/// master has led and lost.
#[must_use]
pub(crate) fn contend(url: Url, session_timeout: Duration, master: MasterInfo) -> Candidacy {
    let (updates, standing) = watch::channel(Standing::Nobody);
    let (withdraw, mut withdrawn) = oneshot::channel();
    let task = tokio::spawn(async move {
        let campaign = Campaign { url, master, updates };
        loop {
            let client = tokio::select! {
                client = session::connect(&campaign.url, session_timeout) => client,
                _ = &mut withdrawn => return,
            };
            if !campaign.in_session(client, &mut withdrawn).await {
                return;
            }
            tokio::time::sleep(session::RETRY).await;
        }
    });
    Candidacy::new(standing, withdraw, task)
}

struct Campaign {
    url: Url,
    master: MasterInfo,
    updates: watch::Sender<Standing>,
}

impl Campaign {
    /// Takes part for as long as a session lasts. Whether to go on with another.
    async fn in_session(&self, client: Client, withdrawn: &mut oneshot::Receiver<()>) -> bool {
        let lease = Lease::new();
        let mut own = None;
        let error = tokio::select! {
            error = self.take_part(&client, &lease, &mut own) => error,
            error = keep(&lease, &client, self.url.path()) => error,
            error = session::over(&client) => error,
            _ = withdrawn => {
                self.leave(&client, own.as_deref()).await;
                return false;
            }
        };
        if election::session_is_over(&self.updates, &self.url, &error) {
            return true;
        }
        self.leave(&client, own.as_deref()).await;
        false
    }

    async fn leave(&self, client: &Client, own: Option<&str>) {
        let Some(own) = own else { return };
        let group = Group::new(client, &self.url);
        if let Ok(Err(error)) = tokio::time::timeout(LEAVE_MAX, group.leave(own)).await {
            tracing::debug!(%error, "cannot take the entry back; it ends with its session");
        }
    }

    /// Enters, and tells of each new standing, until that does not work. `own` is the entry's name.
    async fn take_part(&self, client: &Client, lease: &Lease, own: &mut Option<String>) -> Error {
        let mut group = Group::new(client, &self.url);
        loop {
            match self.look(&mut group, lease, own).await {
                Ok(Some(watcher)) => drop(watcher.changed().await),
                Ok(None) => {}
                Err(error) if session::is_passing(&error) => tokio::time::sleep(session::RETRY).await,
                Err(error) => return error,
            }
            if matches!(*self.updates.borrow(), Standing::Lost(_)) {
                return Error::RuntimeInconsistent;
            }
        }
    }

    /// One look at who is there. With nothing to watch it is time for another.
    async fn look(
        &self,
        group: &mut Group<'_>,
        lease: &Lease,
        own: &mut Option<String>,
    ) -> Result<Option<OneshotWatcher>, Error> {
        let (members, watcher) = group.look().await?;
        if own.as_ref().is_some_and(|own| !members.iter().any(|member| member.name == *own)) {
            *own = None;
            if election::entry_is_gone(&self.updates, self.url.service) {
                return Ok(None);
            }
        }
        if own.is_none() {
            // An answer may have been lost, and the entry be there.
            *own = self.find_own(group, &members).await?;
        }
        let Some(own) = own else {
            let name = group.join(&self.master).await?;
            tracing::info!("New candidate (id='{name}') has entered the contest for leadership");
            *own = Some(name);
            return Ok(None);
        };
        let first = group.first(&members).await?;
        let first = first.as_ref().map(|(member, master)| (member.name.as_str(), master));
        election::tell(&self.updates, election::next(first, own, &self.master, lease));
        Ok(Some(watcher))
    }

    /// The entry that this session made for this master.
    async fn find_own(&self, group: &mut Group<'_>, members: &[Member]) -> Result<Option<String>, Error> {
        for member in members {
            let Some(reading) = group.read(member).await? else { continue };
            let ours = reading.master.is_some_and(|master| master.id == self.master.id);
            if ours && reading.owner == group.session() {
                return Ok(Some(member.name.clone()));
            }
        }
        Ok(None)
    }
}

/// Renews the lease for as long as the session answers, and returns once it has run out or the session is over.
async fn keep(lease: &Lease, client: &Client, path: &str) -> Error {
    let timeout = client.session_timeout();
    lease.renew(Instant::now() + timeout);
    while lease.holds() {
        let sent = Instant::now();
        // One that waits for a connection says little once it is answered: it is as old as its sending.
        let patience = (sent + timeout / TRIES).min(lease.ends());
        let pause = match tokio::time::timeout_at(patience.into(), client.check_stat(path)).await {
            Ok(Ok(_)) => {
                lease.renew(sent + timeout);
                timeout / REQUESTS
            }
            Ok(Err(error)) if session::is_passing(&error) => timeout / REQUESTS / 2,
            Ok(Err(error)) => return error,
            Err(_) => continue,
        };
        tokio::time::sleep(pause.min(lease.ends().saturating_duration_since(Instant::now()))).await;
    }
    Error::Timeout
}
