//! Who leads, as somebody sees it who takes no part in the election: an agent, a framework, a tool.

use std::sync::Arc;
use std::time::Duration;

use proto::mesos::v1::MasterInfo;
use tokio::sync::watch;
use zookeeper_client::{Client, Error};

use super::group::Group;
use super::session;
use crate::Url;
use crate::election::{Detection, note};

/// Begins to follow who leads. Nothing fails: what does not work is told to the log and tried again.
#[must_use]
pub(crate) fn detect(url: Url, session_timeout: Duration) -> Detection {
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
    Detection::new(leader, task)
}

/// Tells of each new leader, until that does not work.
async fn follow(client: &Client, url: &Url, updates: &watch::Sender<Option<Arc<MasterInfo>>>) -> Error {
    let mut group = Group::new(client, url);
    loop {
        let looked = async {
            let (members, watcher) = group.look().await?;
            let first = group.first(&members).await?;
            Ok((first, watcher))
        };
        match looked.await {
            Ok((first, watcher)) => {
                note(first.map(|(_, master)| master), updates);
                watcher.changed().await;
            }
            Err(error) if session::is_passing(&error) => tokio::time::sleep(session::RETRY).await,
            Err(error) => return error,
        }
    }
}

/// The masters that are there now.
pub(crate) async fn candidates(url: &Url, session_timeout: Duration) -> Result<Vec<Arc<MasterInfo>>, Error> {
    let client = session::try_connect(url, session_timeout).await?;
    let path = url.path();
    if client.check_stat(path).await?.is_none() {
        return Ok(Vec::new());
    }
    let mut group = Group::new(&client, url);
    let (members, _) = group.look().await?;
    let mut masters = Vec::new();
    for member in &members {
        masters.extend(group.read(member).await?.and_then(|reading| reading.master));
    }
    Ok(masters)
}
