//! Who leads, as somebody sees it in etcd who takes no part in the election.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::mesos::v1::MasterInfo;
use tokio::sync::watch;

use super::gateway::{Error, RETRY};
use super::group::{self, Group};
use crate::Url;
use crate::election::{Detection, note};

/// Begins to follow who leads.
pub(crate) fn detect(url: Url, session_timeout: Duration) -> Detection {
    let (updates, leader) = watch::channel(None);
    let task = tokio::spawn(async move {
        let mut group = Group::new(&url, session_timeout, session_timeout);
        // Since when there is no answer, and whether that was told of.
        let mut silent: Option<Instant> = None;
        let mut told = false;
        loop {
            match group.look().await {
                Ok(entries) => {
                    if told {
                        tracing::info!(%url, server = group.gateway.server(), "etcd answers again");
                    }
                    (silent, told) = (None, false);
                    note(group::first(&entries).map(|(_, master)| master.clone()), &updates);
                    group.changed().await;
                }
                Err(error) => {
                    let since = *silent.get_or_insert_with(Instant::now);
                    if !told {
                        tracing::warn!(%url, %error, "cannot ask etcd who leads; trying again");
                        told = true;
                    }
                    // As long as a session may be silent, what was known is as good as any.
                    if since.elapsed() >= session_timeout {
                        note(None, &updates);
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    });
    Detection::new(leader, task)
}

/// The masters that are there now.
pub(crate) async fn candidates(url: &Url, session_timeout: Duration) -> Result<Vec<Arc<MasterInfo>>, Error> {
    let entries = Group::new(url, session_timeout, session_timeout).look().await?;
    Ok(entries.into_iter().filter_map(|entry| entry.master).collect())
}
