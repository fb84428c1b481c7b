//! Who leads, as somebody sees it who takes no part in the election: an agent, a framework, a tool.

use std::sync::Arc;
use std::time::Duration;

use proto::mesos::v1::MasterInfo;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use zookeeper_client::{Client, Error};

use super::group::Group;
use super::session;
use crate::ZooKeeperUrl;

/// Follows who leads. Dropping it ends the session.
#[derive(Debug)]
pub struct Detection {
    /// The leader; none while nobody leads or ZooKeeper is out of reach.
    pub leader: watch::Receiver<Option<Arc<MasterInfo>>>,
    task: JoinHandle<()>,
}

impl Drop for Detection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Detection {
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
pub fn detect(url: ZooKeeperUrl, session_timeout: Duration) -> Detection {
    let (updates, leader) = watch::channel(None);
    let task = tokio::spawn(async move {
        loop {
            let client = session::connect(&url, session_timeout).await;
            let error = tokio::select! {
                error = follow(&client, &url, &updates) => error,
                error = session::over(&client) => error,
            };
            tracing::warn!(%url, %error, "the ZooKeeper session is over; beginning another");
            updates.send_replace(None);
            tokio::time::sleep(session::RETRY).await;
        }
    });
    Detection { leader, task }
}

/// Tells of each new leader, until that does not work.
async fn follow(
    client: &Client,
    url: &ZooKeeperUrl,
    updates: &watch::Sender<Option<Arc<MasterInfo>>>,
) -> Error {
    let mut group = Group::new(client, url);
    loop {
        let looked = async {
            let (members, watcher) = group.look().await?;
            let first = group.first(&members).await?;
            Ok((first, watcher))
        };
        match looked.await {
            Ok((first, watcher)) => {
                tell(first.map(|(_, master)| master), updates);
                watcher.changed().await;
            }
            Err(error) if session::is_passing(&error) => tokio::time::sleep(session::RETRY).await,
            Err(error) => return error,
        }
    }
}

fn tell(leader: Option<Arc<MasterInfo>>, updates: &watch::Sender<Option<Arc<MasterInfo>>>) {
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
