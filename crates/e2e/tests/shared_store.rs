//! The registry's store against a real ZooKeeper and a real etcd.

use std::time::Duration;

use coordination::{Change, Store, StoreError, StoreTimeouts, Url};
use e2e::{Kind, Servers};
use tokio::runtime::Runtime;

macro_rules! wherever_it_is {
    ($($name:ident),* $(,)?) => {
        mod zookeeper {
            $(#[test]
            fn $name() {
                super::$name(super::Kind::ZooKeeper);
            })*
        }

        mod etcd {
            $(#[test]
            fn $name() {
                super::$name(super::Kind::Etcd);
            })*
        }
    };
}

wherever_it_is!(
    what_was_committed_is_there_for_the_next_leader,
    values_and_commits_larger_than_a_transaction_are_kept,
    a_commit_is_done_once_however_the_server_falters,
    what_is_no_registry_is_named,
);

type Entries = Vec<(String, Vec<u8>)>;

struct World {
    servers: Servers,
    runtime: Runtime,
    url: Url,
}

impl World {
    fn new(kind: Kind) -> Self {
        let servers = Servers::start(kind, 1).expect("servers");
        let url = servers.url("/mesos").parse().expect("an address");
        Self { servers, runtime: Runtime::new().expect("a runtime"), url }
    }

    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        let timeouts = StoreTimeouts {
            session: Duration::from_secs(4),
            fetch: Duration::from_secs(60),
            store: Duration::from_secs(60),
        };
        coordination::open(&self.url, timeouts, self.runtime.handle())
    }

    /// A store that was opened and read, and what it had.
    fn read(&self) -> (Box<dyn Store>, Entries) {
        let mut store = self.open().expect("a store");
        let entries = store.read().expect("entries");
        (store, entries)
    }
}

fn set(key: &str, value: &[u8]) -> Change {
    Change { key: key.to_owned(), value: Some(value.to_vec()) }
}

fn remove(key: &str) -> Change {
    Change { key: key.to_owned(), value: None }
}

fn entry(key: &str, value: &[u8]) -> (String, Vec<u8>) {
    (key.to_owned(), value.to_vec())
}

fn what_was_committed_is_there_for_the_next_leader(kind: Kind) {
    let world = World::new(kind);
    let (mut first, entries) = world.read();
    assert_eq!((first.epoch(), entries), (1, vec![]));
    first.commit(&[set("agents/a", b"1"), set("agents/b", b"2"), set("settings", b"s")]).expect("committed");
    first.commit(&[remove("agents/a"), set("unreachable/a", b"3"), remove("gone/x")]).expect("committed");
    first.commit(&[set("agents/b", b"4"), set("settings", b"")]).expect("committed");
    let (second, entries) = world.read();
    assert_eq!(second.epoch(), 2);
    assert_eq!(entries, [entry("agents/b", b"4"), entry("settings", b""), entry("unreachable/a", b"3")]);
    // The first was deposed by that, and changes nothing any more.
    let error = first.commit(&[set("agents/b", b"5")]).expect_err("deposed");
    assert!(matches!(error, StoreError::Deposed { current: 2, own: 1 }), "{error}");
    let (_, entries) = world.read();
    assert_eq!(entries[0], entry("agents/b", b"4"));
}

fn values_and_commits_larger_than_a_transaction_are_kept(kind: Kind) {
    let world = World::new(kind);
    let (mut store, _) = world.read();
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let many: Vec<Change> = (0..3000).map(|n| set(&format!("agents/{n:04}"), &vec![7; 1000])).collect();
    store.commit(&[set("settings", &large)]).expect("committed");
    store.commit(&many).expect("committed");
    let (mut store, entries) = world.read();
    assert_eq!(entries.len(), 3001);
    assert_eq!(entries[3000], entry("settings", &large));
    let parts = || world.servers.names("/mesos-registry/parts").len();
    assert_eq!(parts(), 12);
    // What is replaced goes; so does what a leader left that died before its commit.
    store.commit(&[set("settings", &large[..600_000])]).expect("committed");
    assert_eq!(parts(), 3);
    world.servers.put("/mesos-registry/parts/1-99-0", "left behind");
    let (mut store, entries) = world.read();
    assert_eq!(entries[3000], entry("settings", &large[..600_000]));
    assert_eq!(parts(), 3);
    store.commit(&[set("settings", b"small")]).expect("committed");
    assert_eq!(parts(), 0);
    let all: Vec<Change> = (0..3000).map(|n| remove(&format!("agents/{n:04}"))).collect();
    store.commit(&all).expect("committed");
    assert_eq!(world.read().1, [entry("settings", b"small")]);
}

fn a_commit_is_done_once_however_the_server_falters(kind: Kind) {
    let mut world = World::new(kind);
    let (mut store, _) = world.read();
    // Killed again and again under load: answers are lost before, in and after their commits.
    let writer = std::thread::spawn(move || {
        for n in 0..300_u32 {
            store.commit(&[set(&format!("agents/{n:03}"), b"x"), set("settings", &n.to_le_bytes())])?;
        }
        Ok::<_, StoreError>(())
    });
    for _ in 0..3 {
        world.servers.kill(0);
        world.servers.restart(0).expect("a server");
    }
    writer.join().expect("no panic").expect("all commits are done");
    let (_, entries) = world.read();
    assert_eq!(entries.len(), 301);
    assert_eq!(entries[300], entry("settings", &299_u32.to_le_bytes()));
}

fn what_is_no_registry_is_named(kind: Kind) {
    let world = World::new(kind);
    let (mut store, _) = world.read();
    store.commit(&[set("agents/a", b"1"), set("settings", &[7; 600_000])]).expect("committed");
    world.servers.remove("/mesos-registry/parts/1-1-1");
    let error = world.open().expect("a store").read().expect_err("a part is missing").to_string();
    assert!(error.contains("'/mesos-registry/parts/1-1' is not what a master wrote"), "{error}");
    world.servers.put("/mesos-registry/agents/a", "\u{7}garbage");
    let error = world.open().expect("a store").read().expect_err("garbage").to_string();
    assert!(error.contains("'/mesos-registry/agents/a' is not what a master wrote"), "{error}");
    world.servers.put("/mesos-registry", "format 2 epoch 9 commit 1");
    let error = world.open().expect_err("newer").to_string();
    assert_eq!(error, "The registry '/mesos-registry' has format 2, and this master knows none above 1");
    world.servers.put("/mesos-registry", "nonsense");
    let error = world.open().expect_err("garbage").to_string();
    assert!(error.contains("'/mesos-registry' is not what a master wrote"), "{error}");
}
