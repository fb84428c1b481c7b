//! Who leads the masters. With a plain address there is nothing to detect: that master leads.

use std::net::{IpAddr, SocketAddr};

use agent_core::{Event, Master};
use anyhow::{Context as _, bail};
use daemon::place;
use proto::mesos::v1::{Address, MasterInfo};
use types::Pid;

/// The port of a master that names none.
const DEFAULT_PORT: u16 = 5050;

/// Knows the leading master.
#[derive(Clone, Debug)]
pub(crate) struct Detector {
    master: Option<Master>,
}

impl Detector {
    /// A detector for what `--master` says: `host:port`, `master@host:port` or nothing.
    pub(crate) async fn new(master: Option<&str>) -> anyhow::Result<Self> {
        let Some(text) = master.map(str::trim) else { return Ok(Self { master: None }) };
        if text.starts_with("zk://") {
            bail!(
                "Failed to create a master detector: ZooKeeper comes with a later version; give --master=host:port"
            );
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
        Ok(Self { master: Some(describe(*address)) })
    }

    /// What the core is told.
    pub(crate) fn event(&self) -> Event {
        Event::MasterDetected(self.master.clone().map(Box::new))
    }
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
        let detector = Detector::new(text).await.unwrap();
        assert_eq!(detector.master.map(|master| master.pid.to_string()).as_deref(), expected);
    }

    #[tokio::test]
    async fn plain_addresses_lead() {
        check(None, None).await;
        check(Some("127.0.0.1:5055\n"), Some("master@127.0.0.1:5055")).await;
        check(Some("master@127.0.0.1:5055"), Some("master@127.0.0.1:5055")).await;
        check(Some("127.0.0.1"), Some("master@127.0.0.1:5050")).await;
        assert!(Detector::new(Some("zk://127.0.0.1:2181/mesos")).await.is_err());
    }
}
