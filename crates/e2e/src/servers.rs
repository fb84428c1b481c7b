//! The servers that masters meet at, whichever they are: what holds for one must hold for the other.

use crate::{Etcd, ZooKeeper};

/// Which servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `zk://`
    ZooKeeper,
    /// `etcd://`
    Etcd,
}

/// Servers that serve as one. Dropping it ends them.
#[derive(Debug)]
pub enum Servers {
    /// Of ZooKeeper.
    ZooKeeper(ZooKeeper),
    /// Of etcd.
    Etcd(Etcd),
}

impl Servers {
    /// Starts this many servers and waits until they serve.
    pub fn start(kind: Kind, servers: usize) -> anyhow::Result<Self> {
        Ok(match kind {
            Kind::ZooKeeper => Self::ZooKeeper(ZooKeeper::start(servers)?),
            Kind::Etcd => Self::Etcd(Etcd::start(servers)?),
        })
    }

    /// The address of a directory, as `--zk` and `--master` take it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        match self {
            Self::ZooKeeper(zookeeper) => zookeeper.url(path),
            Self::Etcd(etcd) => etcd.url(path),
        }
    }

    /// kill -9 of a server.
    pub fn kill(&mut self, number: usize) {
        match self {
            Self::ZooKeeper(zookeeper) => zookeeper.kill(number),
            Self::Etcd(etcd) => etcd.kill(number),
        }
    }

    /// Starts a server again, over its data.
    pub fn restart(&mut self, number: usize) -> anyhow::Result<()> {
        match self {
            Self::ZooKeeper(zookeeper) => zookeeper.restart(number),
            Self::Etcd(etcd) => etcd.restart(number),
        }
    }

    /// Stops a server in its tracks.
    pub fn freeze(&self, number: usize) {
        match self {
            Self::ZooKeeper(zookeeper) => zookeeper.freeze(number),
            Self::Etcd(etcd) => etcd.freeze(number),
        }
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self, number: usize) {
        match self {
            Self::ZooKeeper(zookeeper) => zookeeper.thaw(number),
            Self::Etcd(etcd) => etcd.thaw(number),
        }
    }

    /// Which server leads the others.
    #[must_use]
    pub fn leader(&self) -> usize {
        match self {
            Self::ZooKeeper(zookeeper) => zookeeper.leader(),
            Self::Etcd(etcd) => etcd.leader(),
        }
    }

    /// The names in a directory, in the order of the election.
    #[must_use]
    pub fn names(&self, directory: &str) -> Vec<String> {
        match self {
            Self::ZooKeeper(zookeeper) => {
                let listed =
                    zookeeper.kazoo(&format!("print(' '.join(sorted(z.get_children('{directory}'))))"));
                listed.split_whitespace().map(str::to_owned).collect()
            }
            Self::Etcd(etcd) => etcd.keys(directory),
        }
    }

    /// Gives a name a value.
    pub fn put(&self, path: &str, value: &str) {
        match self {
            Self::ZooKeeper(zookeeper) => drop(zookeeper.kazoo(&format!(
                "v = bytes.fromhex('{}')\nz.set('{path}', v) if z.exists('{path}') else z.create('{path}', v)",
                value.bytes().map(|byte| format!("{byte:02x}")).collect::<String>()
            ))),
            Self::Etcd(etcd) => etcd.put(path, value),
        }
    }

    /// Removes a name.
    pub fn remove(&self, path: &str) {
        match self {
            Self::ZooKeeper(zookeeper) => drop(zookeeper.kazoo(&format!("z.delete('{path}')"))),
            Self::Etcd(etcd) => drop(etcd.ctl(&["del", path])),
        }
    }

    /// When a name was created, as the servers count; none if it is not there.
    #[must_use]
    pub fn created(&self, path: &str) -> Option<String> {
        let text = match self {
            Self::ZooKeeper(zookeeper) => {
                zookeeper.kazoo(&format!("s = z.exists('{path}')\nprint(s.czxid if s else '')"))
            }
            Self::Etcd(etcd) => {
                let shown = etcd.ctl(&["get", path, "--write-out=fields"]);
                shown.lines().find(|line| line.starts_with("\"CreateRevision\""))?.to_owned()
            }
        };
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }
}
