//! Taking part in the election.
//!
//! ```text
//! Nobody, Follows --entry is first--> Leads --session over, entry gone--> Lost
//!        ^      |
//!        +------+ session over: enters again
//! ```
//!
//! `Lost` is the end: whoever led and does not any more has told others things that need not be true now, and must go.

use std::sync::Arc;
use std::time::Duration;

use proto::mesos::v1::MasterInfo;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use zookeeper_client::{Client, Error, OneshotWatcher};

use super::group::Group;
use super::lease::Lease;
use super::session;
use crate::ZooKeeperUrl;
use crate::members::Member;

/// How long leaving may take.
const LEAVE_MAX: Duration = Duration::from_secs(1);

/// Where a master stands in the election.
#[derive(Clone, Debug)]
pub enum Standing {
    /// Nobody leads, as far as it is known.
    Nobody,
    /// Another leads.
    Follows(Arc<MasterInfo>),
    /// This one leads, as long as the lease holds.
    Leads(Lease),
    /// This one led, and must end; the text says why.
    Lost(String),
}

/// A master's part in the election.
#[derive(Debug)]
pub struct Candidacy {
    /// Where it stands.
    pub standing: watch::Receiver<Standing>,
    withdraw: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Candidacy {
    /// Leaves the election, so that another may lead at once.
    pub async fn withdraw(self) {
        // A candidacy that was lost has left already.
        let _ = self.withdraw.send(());
        if tokio::time::timeout(2 * LEAVE_MAX, self.task).await.is_err() {
            tracing::warn!("could not leave the election; the others wait until the session ends");
        }
    }
}

/// Enters the election for `master`. Nothing fails: what does not work is told to the log and tried again, until this
/// master has led and lost.
#[must_use]
pub fn contend(url: ZooKeeperUrl, session_timeout: Duration, master: MasterInfo) -> Candidacy {
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
    Candidacy { standing, withdraw, task }
}

struct Campaign {
    url: ZooKeeperUrl,
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
            error = lease.keep(&client, self.url.path()) => error,
            error = session::over(&client) => error,
            _ = withdrawn => {
                self.leave(&client, own.as_deref()).await;
                return false;
            }
        };
        let led = matches!(*self.updates.borrow(), Standing::Leads(_) | Standing::Lost(_));
        if !led {
            tracing::warn!(url = %self.url, %error, "the ZooKeeper session is over; entering the election again");
            self.updates.send_replace(Standing::Nobody);
            return true;
        }
        tracing::error!(url = %self.url, %error, "the ZooKeeper session of the leading master is over");
        // One that was lost in another way has said so.
        self.updates.send_if_modified(|standing| {
            let leads = matches!(standing, Standing::Leads(_));
            if leads {
                *standing = lost("Lost leadership after indecisive election");
            }
            leads
        });
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
            let led = matches!(*self.updates.borrow(), Standing::Leads(_));
            tracing::warn!(led, "this master's entry in ZooKeeper is gone");
            if led {
                self.updates.send_replace(lost("Lost candidacy as a leader"));
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
        self.tell(first, own, lease);
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

    fn tell(&self, first: Option<(Member, Arc<MasterInfo>)>, own: &str, lease: &Lease) {
        self.updates.send_if_modified(|standing| {
            let next = match &first {
                Some((member, _)) if member.name == own => Standing::Leads(lease.clone()),
                // What an earlier process at this address left behind, or an earlier session of this one, leads nobody.
                Some((_, master)) if master.pid() == self.master.pid() => Standing::Nobody,
                Some((_, master)) => Standing::Follows(Arc::clone(master)),
                None => Standing::Nobody,
            };
            let (changed, next) = match (&*standing, next) {
                (Standing::Leads(_), next @ Standing::Leads(_)) => (false, next),
                (Standing::Nobody, next @ Standing::Nobody) => (false, next),
                (Standing::Follows(old), Standing::Follows(new)) => {
                    (old.id != new.id, Standing::Follows(new))
                }
                (Standing::Leads(_), Standing::Follows(_)) => {
                    (true, lost("Conceded leadership to another master"))
                }
                (Standing::Leads(_), Standing::Nobody) => {
                    (true, lost("Lost leadership after indecisive election"))
                }
                (_, next) => (true, next),
            };
            if changed {
                *standing = next;
            }
            changed
        });
    }
}

/// Said as Mesos says it.
fn lost(how: &str) -> Standing {
    Standing::Lost(format!("{how}... committing suicide!"))
}
