//! The directory of the masters in etcd: one key for each, in the order in which they were created.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proto::mesos::v1::MasterInfo;
use serde_json::json;

use super::gateway::{Done, Error, Gateway, Lines, Pair, RETRY, Range, after, encode};
use crate::Url;
use crate::members::{self, Form, PREFIX};

/// Keys of the directory that are looked at.
const KEYS_MAX: u32 = 1024;

/// One master's key.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its name in the directory.
    pub(crate) name: String,
    /// Its master; none if it is garbage.
    pub(crate) master: Option<Arc<MasterInfo>>,
}

/// The directory, with what tells of its changes.
pub(crate) struct Group {
    pub(crate) gateway: Gateway,
    directory: String,
    /// How long no change is believed without another look.
    patience: Duration,
    /// From which revision on there is news.
    revision: i64,
    changes: Option<Lines>,
    /// What was read, by name and revision: so garbage is told of once.
    read: BTreeMap<String, (i64, Option<Arc<MasterInfo>>)>,
}

impl Group {
    pub(crate) fn new(url: &Url, session: Duration, patience: Duration) -> Self {
        Self {
            gateway: Gateway::new(url, session),
            directory: format!("{}/", url.path()),
            patience,
            revision: 0,
            changes: None,
            read: BTreeMap::new(),
        }
    }

    /// Who is there, first to last. What is read is what most servers agree upon, whichever answers.
    pub(crate) async fn look(&mut self) -> Result<Vec<Entry>, Error> {
        let body = json!({
            "key": encode(&self.directory), "range_end": encode(after(&self.directory)), "limit": KEYS_MAX,
            "sort_target": "CREATE", "sort_order": "ASCEND",
        });
        let range: Range = self.gateway.call("kv/range", &body).await?;
        // Another server than the one that sends the changes answers: that one may be cut off.
        if self.changes.as_ref().is_some_and(|changes| changes.server() != self.gateway.server()) {
            self.changes = None;
        }
        self.revision = range.header.revision;
        let mut read = std::mem::take(&mut self.read);
        let mut entries = Vec::with_capacity(range.kvs.len());
        for pair in range.kvs {
            let Some(name) = self.name(&pair) else { continue };
            let known = read.remove(&name).filter(|(revision, _)| *revision == pair.mod_revision);
            let master = known.map_or_else(|| self.master(&name, &pair.value), |(_, master)| master);
            self.read.insert(name.clone(), (pair.mod_revision, master.clone()));
            entries.push(Entry { name, master });
        }
        Ok(entries)
    }

    /// Waits for a change of the directory, or until it is time to look whether the servers are still there.
    pub(crate) async fn changed(&mut self) {
        let waiting = async {
            if self.changes.is_none() {
                let body = json!({"create_request": {
                    "key": encode(&self.directory), "range_end": encode(after(&self.directory)),
                    "start_revision": (self.revision + 1).to_string(),
                }});
                match self.gateway.stream("watch", &body).await {
                    Ok(lines) => self.changes = Some(lines),
                    // Looking from time to time does as well, if later.
                    Err(error) => {
                        tracing::debug!(%error, "cannot watch the masters in etcd");
                        return tokio::time::sleep(RETRY).await;
                    }
                }
            }
            let Some(changes) = &mut self.changes else { return };
            loop {
                match changes.next().await {
                    // The first line only says that the watch is there.
                    Ok(line) if line["result"]["created"] == true => {}
                    Ok(line) if line["result"]["events"].is_array() => return,
                    // It was cancelled, or broke.
                    Ok(_) | Err(_) => {
                        self.changes = None;
                        return;
                    }
                }
            }
        };
        // Nothing but time has passed if that ends first.
        let _ = tokio::time::timeout(self.patience, waiting).await;
    }

    /// Enters a master; it leaves with its lease. Done twice it is the same.
    pub(crate) async fn join(&mut self, name: &str, master: &MasterInfo, lease: i64) -> Result<(), Error> {
        let body = json!({
            "key": encode(format!("{}{name}", self.directory)), "value": encode(members::encode(master)),
            "lease": lease.to_string(),
        });
        let Done {} = self.gateway.call("kv/put", &body).await?;
        Ok(())
    }

    fn name(&self, pair: &Pair) -> Option<String> {
        let name = String::from_utf8_lossy(&pair.key).strip_prefix(&self.directory)?.to_owned();
        name.starts_with(PREFIX).then_some(name)
    }

    fn master(&self, name: &str, value: &[u8]) -> Option<Arc<MasterInfo>> {
        match members::decode(Form::Json, value) {
            Ok(master) => Some(Arc::new(master)),
            Err(error) => {
                let path = format!("{}{name}", self.directory);
                tracing::error!(path, %error, "what is in etcd is no master, and passed over; remove it");
                None
            }
        }
    }
}

/// The first that is a master.
pub(crate) fn first(entries: &[Entry]) -> Option<(&str, &Arc<MasterInfo>)> {
    entries.iter().find_map(|entry| Some((entry.name.as_str(), entry.master.as_ref()?)))
}
