//! Who leads the masters, as the driver's `master` says it: `host:port`, `master@host:port`, `zk://..`, `etcd://..`,
//! or `file://..` of a file that says one of these.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use coordination::{Detection, Url, detect};
use daemon::place;
use proto::mesos::v1::{Address, MasterInfo};
use tokio::sync::mpsc;
use types::Pid;

/// The port of a master that names none.
const DEFAULT_PORT: u16 = 5050;

/// The session with ZooKeeper or etcd.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// A file that names masters is short.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// Where masters are found.
#[derive(Debug)]
pub(crate) enum Source {
    /// This one leads.
    Named(Box<MasterInfo>),
    /// Whoever is elected there leads.
    Elected(Url),
}

impl Source {
    /// Understands the text; names are looked up.
    pub(crate) fn find(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix("file://") {
            let said = std::fs::read(path)
                .map_err(|error| format!("Failed to read from file at '{path}': {error}"))?;
            if said.len() > FILE_BYTES_MAX {
                return Err(format!(
                    "The file '{path}' has {} bytes; {FILE_BYTES_MAX} are allowed",
                    said.len()
                ));
            }
            let said = String::from_utf8_lossy(&said);
            return Self::of(said.trim());
        }
        Self::of(text)
    }

    fn of(text: &str) -> Result<Self, String> {
        if Url::is_meant(text) {
            return text.parse().map(Self::Elected).map_err(|error| error.to_string());
        }
        if text.is_empty() {
            return Err("no master is named".to_owned());
        }
        if text == "local" || text == "localquiet" {
            return Err("A cluster within the framework's own process is not supported; start one with \
                        `mesos local` and name its master"
                .to_owned());
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(format!(
                "'{scheme}://' is not supported; expecting host:port, zk://.., etcd://.. or file://.."
            ));
        }
        let address = text.strip_prefix("master@").unwrap_or(text);
        let address =
            if address.contains(':') { address.to_owned() } else { format!("{address}:{DEFAULT_PORT}") };
        let found =
            address.to_socket_addrs().map_err(|error| format!("Failed to parse '{text}': {error}"))?;
        let all: Vec<SocketAddr> = found.collect();
        // Masters of Mesos listen on IPv4.
        let chosen = all.iter().find(|address| address.is_ipv4()).or(all.first());
        let chosen = chosen.ok_or_else(|| format!("'{text}' has no address"))?;
        Ok(Self::Named(Box::new(describe(*chosen))))
    }

    /// Tells of each leader and each loss of one, as long as somebody listens. To be run within a tokio runtime.
    pub(crate) async fn follow<T>(self, inputs: mpsc::Sender<T>, told: fn(Option<Box<MasterInfo>>) -> T) {
        let url = match self {
            Self::Named(master) => {
                // Nobody listens any more: then there is nobody to tell that.
                let _ = inputs.send(told(Some(master))).await;
                return;
            }
            Self::Elected(url) => url,
        };
        let Detection { leader, .. } = &mut detect(url, SESSION_TIMEOUT);
        let mut known: Option<Arc<MasterInfo>> = None;
        loop {
            let leads = leader.borrow_and_update().clone();
            if leads != known {
                known.clone_from(&leads);
                if inputs.send(told(leads.as_deref().cloned().map(Box::new))).await.is_err() {
                    return;
                }
            }
            if leader.changed().await.is_err() {
                return;
            }
        }
    }
}

fn describe(address: SocketAddr) -> MasterInfo {
    let hostname = place::name_of(address.ip());
    let ip = match address.ip() {
        // COMPAT(mesos): in network byte order, read as a little-endian number.
        IpAddr::V4(ip) => u32::from_le_bytes(ip.octets()),
        IpAddr::V6(_) => 0,
    };
    MasterInfo {
        ip,
        port: u32::from(address.port()),
        pid: Some(Pid::new("master", address).to_string()),
        hostname: Some(hostname.clone()),
        address: Some(Address {
            hostname: Some(hostname),
            ip: Some(address.ip().to_string()),
            port: i32::from(address.port()),
        }),
        ..MasterInfo::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> String {
        match Source::find(text) {
            Ok(Source::Named(master)) => master.pid().to_owned(),
            Ok(Source::Elected(url)) => url.to_string(),
            Err(error) => error,
        }
    }

    #[test]
    fn masters_are_found_as_their_texts_say() {
        assert_eq!(named("127.0.0.1:5055\n"), "master@127.0.0.1:5055");
        assert_eq!(named("master@127.0.0.1:5055"), "master@127.0.0.1:5055");
        assert_eq!(named("127.0.0.1"), "master@127.0.0.1:5050");
        assert_eq!(named("zk://a:1,b:2/mesos"), "zk://a:1,b:2/mesos");
        assert_eq!(named("etcd://a:1/mesos"), "etcd://a:1/mesos");
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("master");
        std::fs::write(&file, "127.0.0.1:7\n").unwrap();
        assert_eq!(named(&format!("file://{}", file.display())), "master@127.0.0.1:7");
    }

    #[test]
    fn what_names_no_master_is_told_why() {
        assert_eq!(named(""), "no master is named");
        assert_eq!(named("zk://a:1"), "Expecting a (chroot) path for ZooKeeper ('/' is not supported)");
        assert_eq!(
            named("http://a:1/mesos"),
            "'http://' is not supported; expecting host:port, zk://.., etcd://.. or file://.."
        );
        let missing = named("file:///no/such/file");
        assert!(missing.starts_with("Failed to read from file at '/no/such/file': "), "{missing}");
        assert!(named("local").contains("`mesos local`"));
        assert!(named("127.0.0.1:many").starts_with("Failed to parse '127.0.0.1:many'"));
    }
}
