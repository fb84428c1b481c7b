//! Who leads the masters. With a plain address there is nothing to detect: that master leads. In ZooKeeper and etcd it
//! may change.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use agent_core::{Event, Master};
use anyhow::Context as _;
use coordination::{Detection, Url, detect};
use daemon::place;
use proto::mesos::v1::{Address, MasterInfo};
use tokio::sync::{mpsc, watch};
use types::Pid;

use crate::reactor::Input;

/// The port of a master that names none.
const DEFAULT_PORT: u16 = 5050;

/// Knows the leading master.
#[derive(Debug)]
pub(crate) enum Detector {
    /// The one that was named, if one was.
    Named(Option<Box<Master>>),
    /// The one that was elected, if one is.
    Elected(Detection),
}

impl Detector {
    /// A detector for what `--master` says: `host:port`, `master@host:port`, `zk://..`, `etcd://..` or nothing.
    pub(crate) async fn new(master: Option<&str>, session_timeout: Duration) -> anyhow::Result<Self> {
        let Some(text) = master.map(str::trim) else { return Ok(Self::Named(None)) };
        if Url::is_meant(text) {
            let url = text.parse().context("Failed to create a master detector")?;
            return Ok(Self::Elected(detect(url, session_timeout)));
        }
        let address = text.strip_prefix("master@").unwrap_or(text);
        let address =
            if address.contains(':') { address.to_owned() } else { format!("{address}:{DEFAULT_PORT}") };
        let mut found = tokio::net::lookup_host(&address)
            .await
            .with_context(|| format!("Failed to create a master detector: Failed to parse '{text}'"))?;
        // Masters of Mesos listen on IPv4.
        let all: Vec<SocketAddr> = found.by_ref().collect();
        let chosen = all.iter().find(|address| address.is_ipv4()).or(all.first());
        let address = chosen.with_context(|| format!("'{text}' has no address"))?;
        Ok(Self::Named(Some(Box::new(describe(*address)))))
    }

    /// What the core is told when it asks.
    pub(crate) fn event(&self) -> Event {
        let master = match self {
            Self::Named(master) => master.clone(),
            Self::Elected(detection) => detection.leader.borrow().as_deref().and_then(elected),
        };
        Event::MasterDetected(master)
    }

    /// What the core is told at the start; nothing while an election is only looked at.
    pub(crate) fn first(&self) -> Option<Event> {
        match self {
            Self::Named(_) => Some(self.event()),
            Self::Elected(_) => None,
        }
    }

    /// The changes that are still to come, if any can.
    pub(crate) fn changes(&self) -> Option<watch::Receiver<Option<Arc<MasterInfo>>>> {
        match self {
            Self::Named(_) => None,
            Self::Elected(detection) => Some(detection.leader.clone()),
        }
    }
}

/// Tells the core of each leader and each loss of one, as long as it listens.
pub(crate) async fn forward(
    mut changes: watch::Receiver<Option<Arc<MasterInfo>>>,
    inputs: mpsc::Sender<Input>,
) {
    let mut known = None;
    loop {
        let leader = changes.borrow_and_update().clone();
        if leader != known {
            known = leader.clone();
            let master = leader.as_deref().and_then(elected);
            if inputs.send(Input::Event(Event::MasterDetected(master))).await.is_err() {
                return;
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// A master as it wrote itself down for others to find.
fn elected(info: &MasterInfo) -> Option<Box<Master>> {
    Some(Box::new(Master { pid: info.pid().parse().ok()?, info: info.clone() }))
}

fn describe(address: SocketAddr) -> Master {
    let pid = Pid::new("master", address);
    let hostname = place::name_of(address.ip());
    let ip = match address.ip() {
        // COMPAT(mesos): in network byte order, read as a little-endian number.
        IpAddr::V4(ip) => u32::from_le_bytes(ip.octets()),
        IpAddr::V6(_) => 0,
    };
    let info = MasterInfo {
        ip,
        port: u32::from(address.port()),
        pid: Some(pid.to_string()),
        hostname: Some(hostname.clone()),
        address: Some(Address {
            hostname: Some(hostname),
            ip: Some(address.ip().to_string()),
            port: i32::from(address.port()),
        }),
        ..MasterInfo::default()
    };
    Master { pid, info }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(text: Option<&str>, expected: Option<&str>) {
        let detector = Detector::new(text, Duration::from_secs(1)).await.unwrap();
        let Event::MasterDetected(master) = detector.event() else { panic!("another event") };
        assert_eq!(master.map(|master| master.pid.to_string()).as_deref(), expected);
    }

    #[tokio::test]
    async fn plain_addresses_lead() {
        check(None, None).await;
        check(Some("127.0.0.1:5055\n"), Some("master@127.0.0.1:5055")).await;
        check(Some("master@127.0.0.1:5055"), Some("master@127.0.0.1:5055")).await;
        check(Some("127.0.0.1"), Some("master@127.0.0.1:5050")).await;
        let root = Detector::new(Some("zk://127.0.0.1:2181/"), Duration::from_secs(1)).await;
        let error = format!("{:#}", root.unwrap_err());
        assert!(error.ends_with("Expecting a (chroot) path for ZooKeeper ('/' is not supported)"), "{error}");
    }
}
