//! The directory of the masters, as a session sees it.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::mesos::v1::MasterInfo;
use zookeeper_client::{Client, CreateMode, Error, OneshotWatcher};

use super::session;
use crate::Url;
use crate::members::{self, Member};

/// What an entry says.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// Its master; none if it is garbage.
    pub(crate) master: Option<Arc<MasterInfo>>,
    /// The session that it ends with.
    pub(crate) owner: i64,
}

/// The directory. Entries never change, so each is read once.
pub(crate) struct Group<'a> {
    client: &'a Client,
    url: &'a Url,
    read: BTreeMap<String, Reading>,
}

impl<'a> Group<'a> {
    pub(crate) fn new(client: &'a Client, url: &'a Url) -> Self {
        Self { client, url, read: BTreeMap::new() }
    }

    /// Who is there, first to last, and what tells of the next change. The directory is made where it is missing.
    pub(crate) async fn look(&mut self) -> Result<(Vec<Member>, OneshotWatcher), Error> {
        let path = self.url.path();
        let (names, watcher) = match self.client.list_and_watch_children(path).await {
            Err(Error::NoNode) => {
                tracing::info!(path, "trying to create the path in ZooKeeper");
                session::make_directory(self.client, self.url, path).await?;
                self.client.list_and_watch_children(path).await?
            }
            listed => listed?,
        };
        let members = members::members(names.iter().map(String::as_str));
        self.read.retain(|name, _| members.iter().any(|member| member.name == *name));
        Ok((members, watcher))
    }

    /// What an entry says; none if it is gone. Garbage is told of once.
    pub(crate) async fn read(&mut self, member: &Member) -> Result<Option<Reading>, Error> {
        if let Some(reading) = self.read.get(&member.name) {
            return Ok(Some(reading.clone()));
        }
        let path = format!("{}/{}", self.url.path(), member.name);
        let (data, stat) = match self.client.get_data(&path).await {
            Ok(read) => read,
            Err(Error::NoNode) => return Ok(None),
            Err(error) => return Err(error),
        };
        let master = match members::decode(member.form, &data) {
            Ok(master) => Some(Arc::new(master)),
            Err(error) => {
                tracing::error!(path, %error, "what is in ZooKeeper is no master, and passed over; remove it");
                None
            }
        };
        let reading = Reading { master, owner: stat.ephemeral_owner };
        self.read.insert(member.name.clone(), reading.clone());
        Ok(Some(reading))
    }

    /// The first that is a master.
    pub(crate) async fn first(
        &mut self,
        members: &[Member],
    ) -> Result<Option<(Member, Arc<MasterInfo>)>, Error> {
        for member in members {
            if let Some(master) = self.read(member).await?.and_then(|reading| reading.master) {
                return Ok(Some((member.clone(), master)));
            }
        }
        Ok(None)
    }

    /// Enters a master; it leaves with the session. Its entry's name.
    pub(crate) async fn join(&self, master: &MasterInfo) -> Result<String, Error> {
        let prefix = format!("{}/{}", self.url.path(), members::PREFIX);
        let options = CreateMode::EphemeralSequential.with_acls(session::rights(self.url));
        let (_, sequence) = self.client.create(&prefix, &members::encode(master), &options).await?;
        Ok(format!("{}{sequence}", members::PREFIX))
    }

    /// Takes an entry of ours back.
    pub(crate) async fn leave(&self, name: &str) -> Result<(), Error> {
        self.client.delete(&format!("{}/{name}", self.url.path()), None).await
    }

    /// The session's own number, as entries have it.
    pub(crate) fn session(&self) -> i64 {
        self.client.session_id().0
    }
}
