//! A store in ZooKeeper, for masters that take turns.
//!
//! ```text
//! /mesos-registry            format 1 epoch 3 commit 17     the stamp
//! /mesos-registry/agents/ID  ...                            a node for each key
//! /mesos-registry/parts/...  ...                            values too large for one node
//! ```
//!
//! Every commit is one transaction that also replaces the stamp, and only if nobody has since. So a commit of a deposed
//! master fails whatever it believes, and one whose answer was lost on the way is found done, or is done again, but
//! never twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use tokio::runtime::Handle;
use zookeeper_client::{
    Client, CreateMode, Error, MultiReadResult, MultiWriteError, MultiWriteResult, MultiWriter,
};

use super::session;
use crate::stamp::{FORMAT_KNOWN, Held, PARTS, Parts, Stamp};
use crate::url::Service;
use crate::{Change, Store, StoreError, StoreTimeouts, Url};

/// Bytes of one transaction. The servers refuse a megabyte.
const TRANSACTION_BYTES_MAX: usize = 512 << 10;

/// Bytes of a value in one node; larger ones are cut into parts.
const PART_BYTES_MAX: usize = 256 << 10;

/// What an operation takes in a transaction beside its path and value.
const OVERHEAD: usize = 128;

/// Nodes whose reading is under way at once.
const READS_MAX: usize = 4096;

/// Nodes that are read by one request.
const READ_MAX: usize = 256;

/// A store in ZooKeeper.
pub struct ZooKeeperStore {
    url: Url,
    root: String,
    timeouts: StoreTimeouts,
    runtime: Handle,
    client: Client,
    stamp: Stamp,
    /// The version of the directory's node with our stamp on it.
    version: i32,
    /// The keys that there are, with the parts of those in parts.
    keys: BTreeMap<String, Option<Parts>>,
    /// Directories that are there.
    directories: BTreeSet<String>,
    /// Values in parts so far.
    parted: u64,
}

impl std::fmt::Debug for ZooKeeperStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ZooKeeperStore")
            .field("url", &self.url)
            .field("stamp", &self.stamp)
            .finish_non_exhaustive()
    }
}

impl ZooKeeperStore {
    /// Opens the store beside the directory of the election, made where missing, and begins an epoch of leadership in it.
    /// Blocks its thread, which must be none of the runtime's own.
    pub fn open(url: &Url, timeouts: StoreTimeouts, runtime: &Handle) -> Result<Self, StoreError> {
        let opened = runtime.block_on(async {
            tokio::time::timeout(timeouts.fetch, Self::begin(url, timeouts, runtime)).await
        });
        opened.unwrap_or_else(|_| Err(unreachable(&url.registry_path(), late(timeouts.fetch))))
    }

    async fn begin(url: &Url, timeouts: StoreTimeouts, runtime: &Handle) -> Result<Self, StoreError> {
        let root = url.registry_path();
        let (client, stamp, version) = loop {
            let client = session::connect(url, timeouts.session).await;
            match begin_epoch(&client, url, &root).await {
                Ok((stamp, version)) => break (client, stamp, version),
                Err(failure) => failure.pause().await.map_err(|failure| failure.at(&root))?,
            }
        };
        Ok(Self::new(url, timeouts, runtime, client, (stamp, version)))
    }

    /// What is there, for somebody who does not lead.
    pub(crate) fn look(
        url: &Url,
        timeouts: StoreTimeouts,
        runtime: &Handle,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let root = url.registry_path();
        let looked = runtime.block_on(async {
            tokio::time::timeout(timeouts.fetch, async {
                let client = session::connect(url, timeouts.session).await;
                if client.check_stat(&root).await?.is_none() {
                    return Ok(None);
                }
                let stamp = read_stamp(&client, &root).await?;
                Ok::<_, Failure>(Some((client, stamp)))
            })
            .await
        });
        let looked = looked.map_err(|_| unreachable(&root, late(timeouts.fetch)))?;
        let Some((client, stamp)) = looked.map_err(|failure| failure.at(&root))? else {
            return Ok(Vec::new());
        };
        if let Some(newer) = stamp.map(|(stamp, _)| stamp.format).filter(|format| *format > FORMAT_KNOWN) {
            return Err(Failure::Newer(newer).at(&root));
        }
        // In epoch 0 nothing is left by earlier ones, and so nothing is removed.
        let none = Stamp { format: FORMAT_KNOWN, epoch: 0, commit: 0 };
        Self::new(url, timeouts, runtime, client, (none, 0)).read()
    }

    fn new(
        url: &Url,
        timeouts: StoreTimeouts,
        runtime: &Handle,
        client: Client,
        (stamp, version): (Stamp, i32),
    ) -> Self {
        Self {
            url: url.clone(),
            root: url.registry_path(),
            timeouts,
            runtime: runtime.clone(),
            client,
            stamp,
            version,
            keys: BTreeMap::new(),
            directories: BTreeSet::new(),
            parted: 0,
        }
    }

    fn path(&self, key: &str) -> String {
        format!("{}/{key}", self.root)
    }

    /// A session that is not known to be over.
    async fn session(&mut self) -> Client {
        if self.client.state().is_terminated() {
            self.client = session::connect(&self.url, self.timeouts.session).await;
        }
        self.client.clone()
    }

    async fn read_all(&mut self) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let client = self.session().await;
        let (mut keys, mut parts) = (Vec::new(), Vec::new());
        for top in client.list_children(&self.root).await? {
            let below = client.list_children(&self.path(&top)).await?;
            if top == PARTS {
                parts = below;
            } else if below.is_empty() && !client.get_data(&self.path(&top)).await?.0.is_empty() {
                keys.push(top);
                continue;
            } else {
                keys.extend(below.into_iter().map(|name| format!("{top}/{name}")));
            }
            self.directories.insert(top);
        }
        keys.sort_unstable();
        let mut entries = Vec::with_capacity(keys.len());
        for (key, data) in get_all(&client, &self.root, &keys).await? {
            let held = Held::decode(&data).ok_or_else(|| Failure::Foreign(self.path(&key)))?;
            let (value, parts) = match held {
                Held::Inline(value) => (value, None),
                Held::Parts(parts) => (self.join(&client, &parts).await?, Some(parts)),
            };
            self.keys.insert(key.clone(), parts);
            entries.push((key, value));
        }
        self.remove_orphans(&client, parts).await;
        Ok(entries)
    }

    /// A value from its parts.
    async fn join(&self, client: &Client, parts: &Parts) -> Result<Vec<u8>, Failure> {
        let names: Vec<String> = parts.nodes().map(|node| format!("{PARTS}/{node}")).collect();
        match get_all(client, &self.root, &names).await {
            Ok(pieces) => Ok(pieces.into_iter().flat_map(|(_, data)| data).collect()),
            Err(Error::NoNode) => Err(Failure::Foreign(self.path(&format!("{PARTS}/{}", parts.name)))),
            Err(error) => Err(Failure::Request(error)),
        }
    }

    /// Removes parts that earlier leaderships wrote and no value has. Those of later ones are not ours to judge.
    async fn remove_orphans(&self, client: &Client, found: Vec<String>) {
        let used: BTreeSet<String> = self.keys.values().flatten().flat_map(Parts::nodes).collect();
        for node in found {
            let past = Parts::epoch_of(&node).is_some_and(|epoch| epoch < self.stamp.epoch);
            if past && !used.contains(&node) {
                self.remove_part(client, &node).await;
            }
        }
    }

    async fn remove_part(&self, client: &Client, node: &str) {
        if let Err(error) = client.delete(&self.path(&format!("{PARTS}/{node}")), None).await {
            tracing::debug!(node, %error, "a part of the registry that nothing needs stays until the next start");
        }
    }

    async fn commit_all(&mut self, changes: &[Change]) -> Result<(), Failure> {
        let mut rest = changes;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|change| {
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
        let mut held = Vec::with_capacity(changes.len());
        for change in changes {
            self.make_directory_of(&change.key).await?;
            held.push(match &change.value {
                Some(value) => Some(self.place(value).await?),
                None => None,
            });
        }
        let next = Stamp { commit: self.stamp.commit + 1, ..self.stamp };
        loop {
            let client = self.session().await;
            match self.transact(&client, next, changes, &held).await {
                Ok(version) => {
                    self.version = version;
                    break;
                }
                // Whether it was done all the same is seen by the next try, which fails then.
                Err(MultiWriteError::RequestFailed { source }) => Failure::Request(source).pause().await?,
                Err(MultiWriteError::OperationFailed { index: 0, source: Error::BadVersion }) => {
                    let (found, version) = match self.current(&client).await {
                        Ok(current) => current,
                        Err(failure) => {
                            failure.pause().await?;
                            continue;
                        }
                    };
                    if found != next {
                        return Err(Failure::Deposed { current: found.epoch, own: self.stamp.epoch });
                    }
                    self.version = version;
                    break;
                }
                Err(MultiWriteError::OperationFailed { index, source }) => {
                    let key = index.checked_sub(1).and_then(|index| changes.get(index));
                    let place = key.map_or(self.root.clone(), |change| self.path(&change.key));
                    tracing::error!(place, error = %source, "somebody else changed the registry");
                    return Err(Failure::Foreign(place));
                }
            }
        }
        self.stamp = next;
        self.note(changes, held).await;
        Ok(())
    }

    /// One transaction: the stamp, if it is still the one that we know, and the changes.
    async fn transact(
        &self,
        client: &Client,
        next: Stamp,
        changes: &[Change],
        held: &[Option<Held>],
    ) -> Result<i32, MultiWriteError> {
        let mut writer = client.new_multi_writer();
        self.write(&mut writer, next, changes, held)?;
        let results = writer.commit().await?;
        match results.first() {
            Some(MultiWriteResult::SetData { stat }) => Ok(stat.version),
            Some(_) | None => Err(Error::RuntimeInconsistent.into()),
        }
    }

    fn write(
        &self,
        writer: &mut MultiWriter<'_>,
        next: Stamp,
        changes: &[Change],
        held: &[Option<Held>],
    ) -> Result<(), Error> {
        let options = CreateMode::Persistent.with_acls(session::rights(&self.url));
        writer.add_set_data(&self.root, next.to_string().as_bytes(), Some(self.version))?;
        for (change, held) in changes.iter().zip(held) {
            let path = self.path(&change.key);
            match (held, self.keys.contains_key(&change.key)) {
                (Some(held), true) => writer.add_set_data(&path, &held.encode(), None)?,
                (Some(held), false) => writer.add_create(&path, &held.encode(), &options)?,
                (None, true) => writer.add_delete(&path, None)?,
                (None, false) => {}
            }
        }
        Ok(())
    }

    /// Where a value goes: into its key's node, or cut into parts that are written now and found by the commit.
    async fn place(&mut self, value: &[u8]) -> Result<Held, Failure> {
        if value.len() <= PART_BYTES_MAX {
            return Ok(Held::Inline(value.to_vec()));
        }
        self.make_directory_of(&format!("{PARTS}/")).await?;
        self.parted += 1;
        let pieces: Vec<&[u8]> = value.chunks(PART_BYTES_MAX).collect();
        let parts = Parts { name: Parts::name_of(self.stamp.epoch, self.parted), count: pieces.len() };
        let options = CreateMode::Persistent.with_acls(session::rights(&self.url));
        for (node, piece) in parts.nodes().zip(pieces) {
            let path = self.path(&format!("{PARTS}/{node}"));
            loop {
                let client = self.session().await;
                match client.create(&path, piece, &options).await {
                    // A try whose answer was lost has written the same.
                    Ok(_) | Err(Error::NodeExists) => break,
                    Err(error) => Failure::Request(error).pause().await?,
                }
            }
        }
        Ok(Held::Parts(parts))
    }

    async fn make_directory_of(&mut self, key: &str) -> Result<(), Failure> {
        let Some((directory, _)) = key.split_once('/') else { return Ok(()) };
        while !self.directories.contains(directory) {
            let client = self.session().await;
            match session::make_directory(&client, &self.url, &self.path(directory)).await {
                Ok(()) => drop(self.directories.insert(directory.to_owned())),
                Err(error) => Failure::Request(error).pause().await?,
            }
        }
        Ok(())
    }

    /// The stamp as it is now, with its version.
    async fn current(&self, client: &Client) -> Result<(Stamp, i32), Failure> {
        // Another server than the one that refused may be behind it.
        client.sync(&self.root).await?;
        read_stamp(client, &self.root).await?.ok_or_else(|| Failure::Foreign(self.root.clone()))
    }

    /// Notes what a commit has done, and removes the parts that it replaced.
    async fn note(&mut self, changes: &[Change], held: Vec<Option<Held>>) {
        let mut unused = Vec::new();
        for (change, held) in changes.iter().zip(held) {
            let old = match held {
                Some(Held::Inline(_)) => self.keys.insert(change.key.clone(), None),
                Some(Held::Parts(parts)) => self.keys.insert(change.key.clone(), Some(parts)),
                None => self.keys.remove(&change.key),
            };
            unused.extend(old.flatten());
        }
        for node in unused.iter().flat_map(Parts::nodes) {
            self.remove_part(&self.client, &node).await;
        }
    }
}

impl Store for ZooKeeperStore {
    fn epoch(&self) -> u64 {
        self.stamp.epoch
    }

    fn read(&mut self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let (runtime, root, limit) = (self.runtime.clone(), self.root.clone(), self.timeouts.fetch);
        let reading = async {
            loop {
                match self.read_all().await {
                    Ok(all) => return Ok::<_, Failure>(all),
                    Err(failure) => failure.pause().await?,
                }
            }
        };
        let read = runtime.block_on(async { tokio::time::timeout(limit, reading).await });
        read.map_or_else(
            |_| Err(unreachable(&root, late(limit))),
            |read| read.map_err(|error| error.at(&root)),
        )
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let (runtime, root, limit) = (self.runtime.clone(), self.root.clone(), self.timeouts.store);
        let done = runtime.block_on(async { tokio::time::timeout(limit, self.commit_all(changes)).await });
        done.map_or_else(
            |_| Err(unreachable(&root, late(limit))),
            |done| done.map_err(|error| error.at(&root)),
        )
    }

    fn commit_bytes_max(&self) -> usize {
        TRANSACTION_BYTES_MAX / 2
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
            Self::Request(error) if is_lost(&error) => {
                tracing::warn!(%error, "a request to ZooKeeper was not answered; trying again");
                tokio::time::sleep(session::RETRY).await;
                Ok(())
            }
            Self::Request(_) | Self::Deposed { .. } | Self::Newer(_) | Self::Foreign(_) => Err(self),
        }
    }

    fn at(self, root: &str) -> StoreError {
        let path = PathBuf::from(root);
        match self {
            Self::Request(error) => unreachable(root, error.to_string()),
            Self::Deposed { current, own } => StoreError::Deposed { current, own },
            Self::Newer(found) => StoreError::Newer { path, found, known: FORMAT_KNOWN },
            Self::Foreign(node) => StoreError::Foreign { service: Service::ZooKeeper, path, node },
        }
    }
}

fn unreachable(root: &str, why: String) -> StoreError {
    StoreError::Unreachable { service: Service::ZooKeeper, path: root.to_owned(), why }
}

fn late(limit: Duration) -> String {
    format!("not done within {limit:?}")
}

/// Whether an error leaves open what became of a request, or says that another session may do it.
fn is_lost(error: &Error) -> bool {
    session::is_passing(error) || matches!(error, Error::SessionExpired | Error::ClientClosed)
}

/// What a change takes in a transaction, about.
fn weight(change: &Change) -> usize {
    let value = change.value.as_ref().map_or(0, Vec::len);
    OVERHEAD + change.key.len() + if value > PART_BYTES_MAX { 0 } else { value }
}

/// Checks the format and counts the epoch up.
async fn begin_epoch(client: &Client, url: &Url, root: &str) -> Result<(Stamp, i32), Failure> {
    session::make_directory(client, url, root).await?;
    loop {
        let (old, version) = match read_stamp(client, root).await? {
            Some((stamp, version)) => (stamp, version),
            None => (Stamp { format: FORMAT_KNOWN, epoch: 0, commit: 0 }, 0),
        };
        if old.format > FORMAT_KNOWN {
            return Err(Failure::Newer(old.format));
        }
        let stamp = Stamp { format: FORMAT_KNOWN, epoch: old.epoch + 1, commit: 0 };
        match client.set_data(root, stamp.to_string().as_bytes(), Some(version)).await {
            Ok(stat) => return Ok((stamp, stat.version)),
            // A deposed master's last commit came in between.
            Err(Error::BadVersion) => {}
            Err(error) => return Err(Failure::Request(error)),
        }
    }
}

/// The stamp and its version; none on a directory that is new.
async fn read_stamp(client: &Client, root: &str) -> Result<Option<(Stamp, i32)>, Failure> {
    let (data, stat) = client.get_data(root).await?;
    if data.is_empty() && stat.version == 0 {
        return Ok(None);
    }
    let stamp = std::str::from_utf8(&data).ok().and_then(|text| text.parse().ok());
    stamp.map(|stamp| Some((stamp, stat.version))).ok_or_else(|| Failure::Foreign(root.to_owned()))
}

/// The data of many nodes, many at once and many in one request.
async fn get_all(client: &Client, root: &str, keys: &[String]) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut all = Vec::with_capacity(keys.len());
    for some in keys.chunks(READS_MAX) {
        // A request is sent when its future is made.
        let mut reads = Vec::with_capacity(READS_MAX / READ_MAX);
        for few in some.chunks(READ_MAX) {
            let mut reader = client.new_multi_reader();
            for key in few {
                reader.add_get_data(&format!("{root}/{key}"))?;
            }
            reads.push((few, reader.commit()));
        }
        for (few, read) in reads {
            match read.await {
                Ok(results) => all.extend(few.iter().cloned().zip(data_of(results)?)),
                // Servers before 3.6 read one at a time.
                Err(Error::Unimplemented) => all.extend(get_each(client, root, few).await?),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(all)
}

fn data_of(results: Vec<MultiReadResult>) -> Result<Vec<Vec<u8>>, Error> {
    let data = results.into_iter().map(|result| match result {
        MultiReadResult::Data { data, .. } => Ok(data),
        MultiReadResult::Error { err } => Err(err),
        // Children, which nobody asked for, or what a later version of the client knows.
        _ => Err(Error::RuntimeInconsistent),
    });
    data.collect()
}

/// The data of nodes by one request for each.
async fn get_each(client: &Client, root: &str, keys: &[String]) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let reads: Vec<_> = keys.iter().map(|key| client.get_data(&format!("{root}/{key}"))).collect();
    let mut all = Vec::with_capacity(keys.len());
    for (key, read) in keys.iter().zip(reads) {
        all.push((key.clone(), read.await?.0));
    }
    Ok(all)
}
