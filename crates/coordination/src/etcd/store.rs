//! A store in etcd, for masters that take turns.
//!
//! Keys and values lie as in ZooKeeper ([`crate::stamp`]). Every commit is one transaction that also replaces the stamp,
//! and only if it is still the one that this leadership wrote last: so a commit of a deposed master fails whatever it
//! believes, and one whose answer was lost on the way is found done, or is done again, but never twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::gateway::{Done, Error, Gateway, Pair, RETRY, Range, Transaction, after, encode};
use crate::stamp::{FORMAT_KNOWN, Held, PARTS, Parts, Stamp};
use crate::url::Service;
use crate::{Change, Store, StoreError, StoreTimeouts, Url};

/// Requests of one transaction beside that of the stamp. The servers refuse more than 128 (`--max-txn-ops`).
const TRANSACTION_KEYS_MAX: usize = 120;

/// Bytes of one transaction. The servers refuse one and a half megabytes (`--max-request-bytes`).
const TRANSACTION_BYTES_MAX: usize = 512 << 10;

/// Bytes of a value under one key; larger ones are cut into parts.
const PART_BYTES_MAX: usize = 256 << 10;

/// What a request takes in a transaction beside its key and value.
const OVERHEAD: usize = 128;

/// Keys that are read by one request.
const READ_MAX: u32 = 1000;

/// A store in etcd.
pub struct EtcdStore {
    url: Url,
    root: String,
    timeouts: StoreTimeouts,
    runtime: Handle,
    gateway: Gateway,
    stamp: Stamp,
    /// The revision of our stamp.
    revision: i64,
    /// The keys whose values are in parts.
    parts: BTreeMap<String, Parts>,
    /// Values in parts so far.
    parted: u64,
}

impl std::fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdStore")
            .field("url", &self.url)
            .field("stamp", &self.stamp)
            .finish_non_exhaustive()
    }
}

impl EtcdStore {
    /// Opens the store beside the directory of the election, and begins an epoch of leadership in it. Blocks its thread,
    /// which must be none of the runtime's own.
    pub fn open(url: &Url, timeouts: StoreTimeouts, runtime: &Handle) -> Result<Self, StoreError> {
        let mut store = Self::new(url, timeouts, runtime);
        store.within(timeouts.fetch, async |store| {
            loop {
                match store.begin_epoch().await {
                    Ok(()) => return Ok(()),
                    Err(failure) => failure.pause().await?,
                }
            }
        })?;
        Ok(store)
    }

    /// What is there, for somebody who does not lead.
    pub(crate) fn look(
        url: &Url,
        timeouts: StoreTimeouts,
        runtime: &Handle,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let mut store = Self::new(url, timeouts, runtime);
        let (found, _) = store.within(timeouts.fetch, async |store| store.current().await)?;
        if found.format > FORMAT_KNOWN {
            return Err(Failure::Newer(found.format).at(&store.root));
        }
        // In epoch 0 nothing is left by earlier ones, and so nothing is removed.
        store.read()
    }

    fn new(url: &Url, timeouts: StoreTimeouts, runtime: &Handle) -> Self {
        Self {
            url: url.clone(),
            root: url.registry_path(),
            timeouts,
            runtime: runtime.clone(),
            gateway: Gateway::new(url, timeouts.session),
            stamp: Stamp { format: FORMAT_KNOWN, epoch: 0, commit: 0 },
            revision: 0,
            parts: BTreeMap::new(),
            parted: 0,
        }
    }

    /// Does something, for no longer than this.
    fn within<T>(
        &mut self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let runtime = self.runtime.clone();
        let root = self.root.clone();
        let done = runtime.block_on(async { tokio::time::timeout(limit, work(self)).await });
        done.unwrap_or_else(|_| Err(Failure::Request(Error::Passing(format!("not done within {limit:?}")))))
            .map_err(|failure| failure.at(&root))
    }

    fn path(&self, key: &str) -> String {
        format!("{}/{key}", self.root)
    }

    /// Checks the format and counts the epoch up.
    async fn begin_epoch(&mut self) -> Result<(), Failure> {
        loop {
            let (old, revision) = self.current().await?;
            if old.format > FORMAT_KNOWN {
                return Err(Failure::Newer(old.format));
            }
            let stamp = Stamp { format: FORMAT_KNOWN, epoch: old.epoch + 1, commit: 0 };
            let done = self.transact(revision, stamp, vec![]).await?;
            // A deposed master's last commit came in between, if not.
            if done.succeeded {
                (self.stamp, self.revision) = (stamp, done.header.revision);
                return Ok(());
            }
        }
    }

    /// The stamp as it is now and its revision; 0 where there is none.
    async fn current(&mut self) -> Result<(Stamp, i64), Failure> {
        let range: Range = self.gateway.call("kv/range", &json!({"key": encode(&self.root)})).await?;
        let Some(pair) = range.kvs.first() else {
            return Ok((Stamp { format: FORMAT_KNOWN, epoch: 0, commit: 0 }, 0));
        };
        let stamp = std::str::from_utf8(&pair.value).ok().and_then(|text| text.parse().ok());
        Ok((stamp.ok_or_else(|| Failure::Foreign(self.root.clone()))?, pair.mod_revision))
    }

    /// One transaction: the stamp, if it has this revision still, and what else is to be done.
    async fn transact(
        &mut self,
        revision: i64,
        stamp: Stamp,
        mut rest: Vec<Value>,
    ) -> Result<Transaction, Error> {
        let key = encode(&self.root);
        rest.push(json!({"request_put": {"key": key, "value": encode(stamp.to_string())}}));
        let body = json!({
            "compare": [{"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": revision.to_string()}],
            "success": rest,
        });
        self.gateway.call("kv/txn", &body).await
    }

    async fn read_all(&mut self) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let prefix = self.path("");
        let mut found: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut from = prefix.clone().into_bytes();
        // ORDER: all at one revision. Nobody else commits, but a deposed master's last commit may come in between.
        let mut revision = 0;
        loop {
            let body = json!({
                "key": encode(&from), "range_end": encode(after(&prefix)), "limit": READ_MAX,
                "revision": revision.to_string(),
            });
            let range: Range = self.gateway.call("kv/range", &body).await?;
            revision = if revision == 0 { range.header.revision } else { revision };
            let Some(last) = range.kvs.last() else { break };
            from = [last.key.as_slice(), &[0]].concat();
            for Pair { key, value, .. } in range.kvs {
                let name = String::from_utf8_lossy(&key).chars().skip(prefix.chars().count()).collect();
                found.insert(name, value);
            }
            if !range.more {
                break;
            }
        }
        let (pieces, keys): (BTreeMap<_, _>, BTreeMap<_, _>) =
            found.into_iter().partition(|(key, _)| key.starts_with(&format!("{PARTS}/")));
        let mut entries = Vec::with_capacity(keys.len());
        self.parts.clear();
        for (key, data) in keys {
            let value = match Held::decode(&data).ok_or_else(|| Failure::Foreign(self.path(&key)))? {
                Held::Inline(value) => value,
                Held::Parts(parts) => {
                    let mut value = Vec::new();
                    for node in parts.nodes() {
                        let place = format!("{PARTS}/{node}");
                        let piece = pieces
                            .get(&place)
                            .ok_or_else(|| Failure::Foreign(self.path(&format!("{PARTS}/{}", parts.name))))?;
                        value.extend_from_slice(piece);
                    }
                    self.parts.insert(key.clone(), parts);
                    value
                }
            };
            entries.push((key, value));
        }
        self.remove_orphans(pieces.keys()).await;
        Ok(entries)
    }

    /// Removes parts that earlier leaderships wrote and no value has. Those of later ones are not ours to judge.
    async fn remove_orphans(&mut self, found: impl Iterator<Item = &String>) {
        let used: BTreeSet<String> = self.parts.values().flat_map(Parts::nodes).collect();
        for node in found.filter_map(|place| place.split_once('/').map(|(_, node)| node)) {
            let past = Parts::epoch_of(node).is_some_and(|epoch| epoch < self.stamp.epoch);
            if past && !used.contains(node) {
                self.remove_part(node).await;
            }
        }
    }

    async fn remove_part(&mut self, node: &str) {
        let body = json!({"key": encode(self.path(&format!("{PARTS}/{node}")))});
        if let Err(error) = self.gateway.call::<Done>("kv/deleterange", &body).await {
            tracing::debug!(node, %error, "a part of the registry that nothing needs stays until the next start");
        }
    }

    async fn commit_all(&mut self, changes: &[Change]) -> Result<(), Failure> {
        let mut rest = changes;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take(TRANSACTION_KEYS_MAX).take_while(|change| {
                bytes += self.root.len() + weight(change);
                bytes <= TRANSACTION_BYTES_MAX
            });
            let (first, others) = rest.split_at(fits.count().max(1));
            self.commit_one(first).await?;
            rest = others;
        }
        Ok(())
    }

    async fn commit_one(&mut self, changes: &[Change]) -> Result<(), Failure> {
        let mut requests = Vec::with_capacity(changes.len() + 1);
        let mut held = Vec::with_capacity(changes.len());
        for Change { key, value } in changes {
            let path = encode(self.path(key));
            match value {
                Some(value) => {
                    let place = self.place(value).await?;
                    requests.push(json!({"request_put": {"key": path, "value": encode(place.encode())}}));
                    held.push(Some(place));
                }
                None => {
                    requests.push(json!({"request_delete_range": {"key": path}}));
                    held.push(None);
                }
            }
        }
        let next = Stamp { commit: self.stamp.commit + 1, ..self.stamp };
        self.revision = loop {
            match self.transact(self.revision, next, requests.clone()).await {
                Ok(done) if done.succeeded => break done.header.revision,
                Ok(_) => match self.current().await {
                    // An earlier try was carried out whose answer was lost.
                    Ok((found, revision)) if found == next => break revision,
                    // Older than ours: somebody put a backup there, or took the stamp away.
                    Ok((found, _)) if found.epoch <= self.stamp.epoch => {
                        return Err(Failure::Foreign(self.root.clone()));
                    }
                    Ok((found, _)) => {
                        return Err(Failure::Deposed { current: found.epoch, own: self.stamp.epoch });
                    }
                    Err(failure) => failure.pause().await?,
                },
                // Whether it was done all the same is seen by the next try, which fails then.
                Err(error) => Failure::Request(error).pause().await?,
            }
        };
        self.stamp = next;
        self.note(changes, held).await;
        Ok(())
    }

    /// Where a value goes: under its key, or cut into parts that are written now and found by the commit.
    async fn place(&mut self, value: &[u8]) -> Result<Held, Failure> {
        if value.len() <= PART_BYTES_MAX {
            return Ok(Held::Inline(value.to_vec()));
        }
        self.parted += 1;
        let pieces: Vec<&[u8]> = value.chunks(PART_BYTES_MAX).collect();
        let parts = Parts { name: Parts::name_of(self.stamp.epoch, self.parted), count: pieces.len() };
        for (node, piece) in parts.nodes().zip(pieces) {
            let body = json!({"key": encode(self.path(&format!("{PARTS}/{node}"))), "value": encode(piece)});
            while let Err(error) = self.gateway.call::<Done>("kv/put", &body).await {
                Failure::Request(error).pause().await?;
            }
        }
        Ok(Held::Parts(parts))
    }

    /// Notes what a commit has done, and removes the parts that it replaced.
    async fn note(&mut self, changes: &[Change], held: Vec<Option<Held>>) {
        let mut unused = Vec::new();
        for (Change { key, value: _ }, held) in changes.iter().zip(held) {
            unused.extend(match held {
                Some(Held::Parts(parts)) => self.parts.insert(key.clone(), parts),
                Some(Held::Inline(_)) | None => self.parts.remove(key),
            });
        }
        for node in unused.iter().flat_map(Parts::nodes) {
            self.remove_part(&node).await;
        }
    }
}

impl Store for EtcdStore {
    fn epoch(&self) -> u64 {
        self.stamp.epoch
    }

    fn read(&mut self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.within(self.timeouts.fetch, async |store| {
            loop {
                match store.read_all().await {
                    Ok(entries) => return Ok(entries),
                    // It was read for so long that what it began with is not kept any more.
                    Err(Failure::Request(Error::Compacted)) => {}
                    Err(failure) => failure.pause().await?,
                }
            }
        })
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.within(self.timeouts.store, async |store| store.commit_all(changes).await)
    }

    fn commit_bytes_max(&self) -> usize {
        TRANSACTION_BYTES_MAX / 2
    }

    fn commit_keys_max(&self) -> usize {
        TRANSACTION_KEYS_MAX
    }
}

/// Why an operation on the store failed.
#[derive(Debug)]
enum Failure {
    Request(Error),
    Deposed { current: u64, own: u64 },
    Newer(u64),
    Foreign(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Request(error)
    }
}

impl Failure {
    /// Waits a little if the same may work then; gives the failure back if not.
    async fn pause(self) -> Result<(), Self> {
        match self {
            Self::Request(error) if error.is_passing() => {
                tracing::warn!(%error, "a request to etcd was not answered; trying again");
                tokio::time::sleep(RETRY).await;
                Ok(())
            }
            Self::Request(_) | Self::Deposed { .. } | Self::Newer(_) | Self::Foreign(_) => Err(self),
        }
    }

    fn at(self, root: &str) -> StoreError {
        let (service, path) = (Service::Etcd, PathBuf::from(root));
        match self {
            Self::Request(error) => {
                StoreError::Unreachable { service, path: root.to_owned(), why: error.to_string() }
            }
            Self::Deposed { current, own } => StoreError::Deposed { current, own },
            Self::Newer(found) => StoreError::Newer { path, found, known: FORMAT_KNOWN },
            Self::Foreign(node) => StoreError::Foreign { service, path, node },
        }
    }
}

/// What a change takes in a transaction, about.
fn weight(change: &Change) -> usize {
    let value = change.value.as_ref().map_or(0, Vec::len);
    OVERHEAD + change.key.len() + if value > PART_BYTES_MAX { 0 } else { value }
}
