//! The election, whoever serves it: how one takes part, how one looks on, and what each change means.
//!
//! ```text
//! Nobody, Follows --entry is first--> Leads --session over, entry gone--> Lost
//!        ^      |
//!        +------+ session over: enters again
//! ```
//!
//! `Lost` is the end: whoever led and does not any more has told others things that need not be true now, and must go.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use proto::mesos::v1::MasterInfo;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::lease::Lease;
use crate::url::Service;
use crate::{Url, etcd, zookeeper};

/// How long leaving may take.
pub(crate) const LEAVE_MAX: Duration = Duration::from_secs(1);

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
    pub(crate) fn new(
        standing: watch::Receiver<Standing>,
        withdraw: oneshot::Sender<()>,
        task: JoinHandle<()>,
    ) -> Self {
        Self { standing, withdraw, task }
    }

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
pub fn contend(url: Url, session_timeout: Duration, master: MasterInfo) -> Candidacy {
    match url.service {
        Service::ZooKeeper => zookeeper::contend(url, session_timeout, master),
        Service::Etcd => etcd::contend(url, session_timeout, master),
    }
}

/// Follows who leads. Dropping it ends the session.
#[derive(Debug)]
pub struct Detection {
    /// The leader; none while nobody leads or the servers are out of reach.
    pub leader: watch::Receiver<Option<Arc<MasterInfo>>>,
    task: JoinHandle<()>,
}

impl Drop for Detection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Detection {
    pub(crate) fn new(leader: watch::Receiver<Option<Arc<MasterInfo>>>, task: JoinHandle<()>) -> Self {
        Self { leader, task }
    }

    /// Waits until somebody leads.
    ///
    /// # Panics
    /// When the detection's own task has panicked.
    pub async fn any(&mut self) -> Arc<MasterInfo> {
        let found = self.leader.wait_for(Option::is_some).await.expect("the task ends with this");
        found.clone().expect("it was waited for")
    }
}

/// Begins to follow who leads. Nothing fails: what does not work is told to the log and tried again.
#[must_use]
pub fn detect(url: Url, session_timeout: Duration) -> Detection {
    match url.service {
        Service::ZooKeeper => zookeeper::detect(url, session_timeout),
        Service::Etcd => etcd::detect(url, session_timeout),
    }
}

/// The masters that are there now, the leader first, for somebody who does not wait. Says why if nobody can tell.
pub async fn candidates(url: &Url, session_timeout: Duration) -> Result<Vec<Arc<MasterInfo>>, String> {
    let looked = async {
        match url.service {
            Service::ZooKeeper => {
                zookeeper::candidates(url, session_timeout).await.map_err(|e| e.to_string())
            }
            Service::Etcd => etcd::candidates(url, session_timeout).await.map_err(|e| e.to_string()),
        }
    };
    let limit = 3 * session_timeout;
    tokio::time::timeout(limit, looked).await.unwrap_or_else(|_| Err(format!("no answer within {limit:?}")))
}

/// Notes who leads, for those who look on.
pub(crate) fn note(leader: Option<Arc<MasterInfo>>, updates: &watch::Sender<Option<Arc<MasterInfo>>>) {
    updates.send_if_modified(|known| {
        if *known == leader {
            return false;
        }
        match &leader {
            Some(master) => tracing::info!("A new leading master (UPID={}) is detected", master.pid()),
            None => tracing::info!("no master leads"),
        }
        *known = leader;
        true
    });
}

/// Where `own` stands whose entry is `entry`, when the first entry that is a master's is this one.
pub(crate) fn next(
    first: Option<(&str, &Arc<MasterInfo>)>,
    entry: &str,
    own: &MasterInfo,
    lease: &Lease,
) -> Standing {
    match first {
        Some((name, _)) if name == entry => Standing::Leads(lease.clone()),
        // What an earlier process at this address left behind, or an earlier session of this one, leads nobody.
        Some((_, master)) if master.pid() == own.pid() => Standing::Nobody,
        Some((_, master)) => Standing::Follows(Arc::clone(master)),
        None => Standing::Nobody,
    }
}

/// Tells of a new standing, if it is one.
pub(crate) fn tell(updates: &watch::Sender<Standing>, next: Standing) {
    updates.send_if_modified(|standing| {
        let (changed, next) = match (&*standing, next) {
            (Standing::Leads(_), next @ Standing::Leads(_)) => (false, next),
            (Standing::Nobody, next @ Standing::Nobody) => (false, next),
            // Whatever it calls itself, another address is another master.
            (Standing::Follows(old), Standing::Follows(new)) => (*old != new, Standing::Follows(new)),
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

/// Takes note that this master's own entry is gone. Whether it led, and must end.
pub(crate) fn entry_is_gone(updates: &watch::Sender<Standing>, service: Service) -> bool {
    let led = matches!(*updates.borrow(), Standing::Leads(_));
    tracing::warn!(led, "this master's entry in {service} is gone");
    if led {
        updates.send_replace(lost("Lost candidacy as a leader"));
    }
    led
}

/// What the end of a session means for one who took part in it. Whether to go on with another.
pub(crate) fn session_is_over(
    updates: &watch::Sender<Standing>,
    url: &Url,
    error: &dyn fmt::Display,
) -> bool {
    let led = matches!(*updates.borrow(), Standing::Leads(_) | Standing::Lost(_));
    let service = url.service;
    if !led {
        tracing::warn!(%url, %error, "the {service} session is over; entering the election again");
        updates.send_replace(Standing::Nobody);
        return true;
    }
    tracing::error!(%url, %error, "the {service} session of the leading master is over");
    // One that was lost in another way has said so.
    updates.send_if_modified(|standing| {
        let leads = matches!(standing, Standing::Leads(_));
        if leads {
            *standing = lost("Lost leadership after indecisive election");
        }
        leads
    });
    false
}

/// Said as Mesos says it.
fn lost(how: &str) -> Standing {
    Standing::Lost(format!("{how}... committing suicide!"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master(id: &str, pid: &str) -> Arc<MasterInfo> {
        Arc::new(MasterInfo { id: id.to_owned(), pid: Some(pid.to_owned()), ..MasterInfo::default() })
    }

    #[test]
    fn the_first_entry_leads_and_who_loses_it_is_lost() {
        let (updates, standing) = watch::channel(Standing::Nobody);
        let (own, other) = (master("own", "master@127.0.0.1:1"), master("other", "master@127.0.0.1:2"));
        let lease = Lease::new();
        let look = |first: Option<(&str, &Arc<MasterInfo>)>| {
            tell(&updates, next(first, "b", &own, &lease));
            match &*standing.borrow() {
                Standing::Nobody => "nobody".to_owned(),
                Standing::Follows(master) => format!("follows {}", master.id),
                Standing::Leads(_) => "leads".to_owned(),
                Standing::Lost(why) => why.clone(),
            }
        };
        assert_eq!(look(None), "nobody");
        assert_eq!(look(Some(("a", &other))), "follows other");
        let twin = master("other", "master@127.0.0.1:3");
        assert_eq!(look(Some(("c", &twin))), "follows other");
        assert!(
            matches!(&*standing.borrow(), Standing::Follows(master) if *master == twin),
            "two with one id"
        );
        // An entry that this master's address left behind.
        assert_eq!(look(Some(("a", &own))), "nobody");
        assert_eq!(look(Some(("b", &own))), "leads");
        assert_eq!(look(Some(("a", &other))), "Conceded leadership to another master... committing suicide!");
    }

    #[test]
    fn a_session_that_ends_is_the_end_of_a_leader_alone() {
        let url: Url = "etcd://h:1/m".parse().unwrap();
        let (updates, standing) = watch::channel(Standing::Follows(master("x", "master@127.0.0.1:2")));
        assert!(session_is_over(&updates, &url, &"silence"));
        assert!(matches!(*standing.borrow(), Standing::Nobody));
        assert!(!entry_is_gone(&updates, Service::Etcd));
        updates.send_replace(Standing::Leads(Lease::new()));
        assert!(!session_is_over(&updates, &url, &"silence"));
        let said = |text: &str| matches!(&*standing.borrow(), Standing::Lost(why) if why.starts_with(text));
        assert!(said("Lost leadership after indecisive election"));
        updates.send_replace(Standing::Leads(Lease::new()));
        assert!(entry_is_gone(&updates, Service::Etcd) && said("Lost candidacy as a leader"));
        assert!(!session_is_over(&updates, &url, &"silence") && said("Lost candidacy as a leader"));
    }
}
