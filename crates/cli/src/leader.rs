//! The master to speak with: the one that was named, or the one that leads at the moment.

use std::time::Duration;

use anyhow::Context as _;
use coordination::{Detection, Url, detect};

use crate::say;

/// The session there; what commands do is over soon.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// When a person who waits for a command is told why.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where the leading master is.
pub(crate) struct Leader {
    address: String,
    election: Option<Detection>,
}

impl Leader {
    /// Finds the master of `--master`: `host:port`, or `zk://..` or `etcd://..`, where it waits until one leads.
    pub(crate) async fn find(master: &str) -> anyhow::Result<Self> {
        if !Url::is_meant(master) {
            return Ok(Self { address: master.to_owned(), election: None });
        }
        let url: Url = master.parse().context("Failed to create a master detector")?;
        let mut election = detect(url.clone(), SESSION_TIMEOUT);
        let mut told = false;
        loop {
            let Ok(leader) = tokio::time::timeout(PATIENCE, election.any()).await else {
                if !told {
                    say(&format!("Waiting for a master to lead at {url}"));
                }
                told = true;
                continue;
            };
            if let Some(address) = coordination::address(&leader) {
                return Ok(Self { address: address.to_string(), election: Some(election) });
            }
        }
    }

    /// Its `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Waits until another leads.
    pub(crate) async fn changed(&mut self) -> String {
        let Some(election) = &mut self.election else { return std::future::pending().await };
        loop {
            if election.leader.changed().await.is_err() {
                return std::future::pending().await;
            }
            let leader = election.leader.borrow_and_update().clone();
            let address =
                leader.as_deref().and_then(coordination::address).map(|address| address.to_string());
            if let Some(address) = address.filter(|address| *address != self.address) {
                self.address.clone_from(&address);
                return address;
            }
        }
    }
}
