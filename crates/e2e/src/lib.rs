//! Real binaries, real clients: a cluster on loopback and what runs on it.
//!
//! The daemons are the `mesos` binary of this build, each in a process of its
//! own, on ports of 127.0.0.1. Everything a test starts ends with it. A test
//! never sleeps for luck: [`eventually`] waits for a condition with a deadline.

mod cgroups;
mod cluster;
mod docker;
mod etcd;
mod fleet;
mod framework;
mod http;
mod image;
mod jvm;
mod libprocess;
mod local;
mod masters;
mod peers;
mod pod;
mod pty;
mod recordio;
mod servers;
mod tool;
mod zookeeper;

pub use cgroups::Cgroups;
pub use cluster::{Cluster, Daemon, Options, binary, free_address};
pub use docker::{Docker, IMAGE};
pub use etcd::Etcd;
pub use fleet::Fleet;
pub use framework::Framework;
pub use http::{Answer, request, request_raw};
pub use image::{BUSYBOX, rootfs, saved_image};
pub use jvm::{Spark, library};
pub use libprocess::{Message, Process};
pub use local::Local;
pub use masters::Masters;
pub use peers::{Peer, python};
pub use pod::{Pod, has_process, helpers_of, processes_of};
pub use pty::Pty;
pub use recordio::Stream;
pub use servers::{Kind, Servers};
pub use tool::{Tool, operate};
pub use zookeeper::ZooKeeper;

use std::time::{Duration, Instant};

/// Waits until `probe` gives a value, and fails loudly past `patience`.
///
/// # Panics
/// When nothing came in time.
pub fn eventually<T>(what: &str, patience: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {patience:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
