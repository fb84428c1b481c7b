//! Where masters meet, as flags say it: `zk://user:password@host1:port1,host2:port2/path`, or `etcd://` with the same.

use std::fmt;
use std::str::FromStr;

/// What serves the masters that meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `zk://`
    ZooKeeper,
    /// `etcd://`
    Etcd,
}

impl Service {
    const ALL: [Self; 2] = [Self::ZooKeeper, Self::Etcd];

    /// How its addresses begin.
    fn scheme(self) -> &'static str {
        match self {
            Self::ZooKeeper => "zk://",
            Self::Etcd => "etcd://",
        }
    }

    fn of(text: &str) -> Option<(Self, &str)> {
        Self::ALL.into_iter().find_map(|service| Some((service, text.strip_prefix(service.scheme())?)))
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ZooKeeper => "ZooKeeper",
            Self::Etcd => "etcd",
        })
    }
}

/// How an address of etcd behind TLS would begin.
const ETCD_TLS: &str = "etcds://";

/// A directory of ZooKeeper or etcd, and how to get there.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    /// Who serves there.
    pub(crate) service: Service,
    /// `user:password` of ZooKeeper's `digest` scheme, or of etcd's own users.
    pub(crate) credentials: Option<String>,
    /// `host:port` of the servers, divided by commas.
    pub(crate) servers: String,
    /// The directory: it begins with a slash, does not end with one, and is not the root.
    pub(crate) path: String,
}

/// Why an address is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It does not begin with the scheme.
    #[error("Expecting 'zk://' or 'etcd://' at the beginning of the URL")]
    Scheme,
    /// etcd behind TLS.
    #[error(
        "'etcds://' is not supported: masters speak with etcd without TLS. Run `etcd grpc-proxy`, or another proxy \
         that adds TLS, on this machine and name it as 'etcd://127.0.0.1:PORT/path'"
    )]
    Tls,
    /// The root, or no path at all.
    #[error("Expecting a (chroot) path for {0} ('/' is not supported)")]
    Root(Service),
    /// A path that ZooKeeper would not take.
    #[error("'{0}' is not a path of {1}")]
    Path(String, Service),
    /// A server without a name, or with a port that is none.
    #[error("'{0}' is not a server: expecting host or host:port")]
    Server(String),
    /// Credentials that are not `user:password`.
    #[error("Expecting user:password before the '@'")]
    Credentials,
}

impl Url {
    /// Whether a text means to be such an address.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        let text = text.trim();
        Service::of(text).is_some() || text.starts_with(ETCD_TLS)
    }

    /// Who serves there.
    #[must_use]
    pub fn service(&self) -> Service {
        self.service
    }

    /// The directory in which masters are elected.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The directory of the registry. It is beside that of the election, since there clients expect masters and
    /// nothing else.
    #[must_use]
    pub fn registry_path(&self) -> String {
        format!("{}-registry", self.path)
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        if text.starts_with(ETCD_TLS) {
            return Err(UrlError::Tls);
        }
        let (service, rest) = Service::of(text).ok_or(UrlError::Scheme)?;
        // COMPAT(mesos): the path begins at the first slash, so that a password cannot have one.
        let (place, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let path = path.trim_end_matches('/');
        if path.is_empty() {
            return Err(UrlError::Root(service));
        }
        let plain = |part: &str| {
            !part.is_empty() && part != "." && part != ".." && !part.chars().any(char::is_control)
        };
        if !path[1..].split('/').all(plain) {
            return Err(UrlError::Path(path.to_owned(), service));
        }
        // The last '@' ends the password, which may have others.
        let (credentials, servers) = match place.rsplit_once('@') {
            Some((credentials, servers)) => (Some(credentials.to_owned()), servers),
            None => (None, place),
        };
        let named = |text: &String| text.split_once(':').is_some_and(|(user, _)| !user.is_empty());
        if credentials.as_ref().is_some_and(|text| !named(text)) {
            return Err(UrlError::Credentials);
        }
        if let Some(bad) = servers.split(',').find(|server| !is_server(server)) {
            return Err(UrlError::Server(bad.to_owned()));
        }
        Ok(Self { service, credentials, servers: servers.to_owned(), path: path.to_owned() })
    }
}

/// Whether a text is `host`, `host:port`, `[v6]` or `[v6]:port`.
fn is_server(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, rest.strip_prefix(':').or(Some(""))),
        None => text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    port && !host.is_empty() && !host.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// Without the password: this goes to logs.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.credentials.as_ref().and_then(|text| text.split(':').next());
        let at = user.map(|user| format!("{user}:***@")).unwrap_or_default();
        write!(f, "{}{at}{}{}", self.service.scheme(), self.servers, self.path)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let check = |text: &str, credentials: Option<&str>, servers: &str, path: &str| {
            let url: Url = text.parse().unwrap();
            assert_eq!(url.credentials.as_deref(), credentials, "{text}");
            assert_eq!((url.servers.as_str(), url.path()), (servers, path), "{text}");
        };
        check("zk://h1:2181/mesos", None, "h1:2181", "/mesos");
        check(" zk://h1,h2:7/a/b/\n", None, "h1,h2:7", "/a/b");
        check("zk://jake:1@h@h1:2181/mesos", Some("jake:1@h"), "h1:2181", "/mesos");
        check("zk://[::1]:2181,[::2]/mesos", None, "[::1]:2181,[::2]", "/mesos");
        check("etcd://jake:1@h1:2379,h2/mesos", Some("jake:1"), "h1:2379,h2", "/mesos");
        assert_eq!("etcd://h1/mesos".parse::<Url>().unwrap().service(), Service::Etcd);
        assert!(
            Url::is_meant(" etcd://h1/mesos") && Url::is_meant("etcds://h1/x") && !Url::is_meant("h1:5050")
        );
    }

    #[test]
    fn what_is_no_address_is_told_why() {
        let check = |text: &str, error: UrlError| assert_eq!(text.parse::<Url>(), Err(error), "{text}");
        check("http://h1/mesos", UrlError::Scheme);
        check("zk://h1:2181", UrlError::Root(Service::ZooKeeper));
        check("etcd://h1:2379//", UrlError::Root(Service::Etcd));
        check("etcds://h1:2379/mesos", UrlError::Tls);
        check("zk://h1:2181/a//b", UrlError::Path("/a//b".to_owned(), Service::ZooKeeper));
        check("zk://h1:2181/a/../b", UrlError::Path("/a/../b".to_owned(), Service::ZooKeeper));
        check("zk:///mesos", UrlError::Server(String::new()));
        check("zk://h1,,h2/mesos", UrlError::Server(String::new()));
        check("zk://h1:port/mesos", UrlError::Server("h1:port".to_owned()));
        check("zk://h1:0/mesos", UrlError::Server("h1:0".to_owned()));
        check("zk://jake@h1/mesos", UrlError::Credentials);
    }

    #[test]
    fn passwords_are_not_shown() {
        let url: Url = "zk://jake:secret@h1:2181/mesos".parse().unwrap();
        assert_eq!(format!("{url} {url:?}"), "zk://jake:***@h1:2181/mesos zk://jake:***@h1:2181/mesos");
        assert_eq!(url.registry_path(), "/mesos-registry");
        assert_eq!("etcd://a:b@h:1/m".parse::<Url>().unwrap().to_string(), "etcd://a:***@h:1/m");
    }
}
