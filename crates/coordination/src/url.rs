//! Where masters meet, as flags say it: `zk://user:password@host1:port1,host2:port2/path`.

use std::fmt;
use std::str::FromStr;

/// How such an address begins.
const SCHEME: &str = "zk://";

/// A directory of ZooKeeper, and how to get there.
#[derive(Clone, PartialEq, Eq)]
pub struct ZooKeeperUrl {
    /// `user:password` of ZooKeeper's `digest` scheme.
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
    #[error("Expecting 'zk://' at the beginning of the URL")]
    Scheme,
    /// The root of ZooKeeper, or no path at all.
    #[error("Expecting a (chroot) path for ZooKeeper ('/' is not supported)")]
    Root,
    /// A path that ZooKeeper would not take.
    #[error("'{0}' is not a path of ZooKeeper")]
    Path(String),
    /// A server without a name, or with a port that is none.
    #[error("'{0}' is not a server: expecting host or host:port")]
    Server(String),
    /// Credentials that are not `user:password`.
    #[error("Expecting user:password before the '@'")]
    Credentials,
}

impl ZooKeeperUrl {
    /// Whether a text means to be such an address.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.trim().starts_with(SCHEME)
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

impl FromStr for ZooKeeperUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let rest = text.trim().strip_prefix(SCHEME).ok_or(UrlError::Scheme)?;
        // COMPAT(mesos): the path begins at the first slash, so that a password cannot have one.
        let (place, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let path = path.trim_end_matches('/');
        if path.is_empty() {
            return Err(UrlError::Root);
        }
        let plain = |part: &str| {
            !part.is_empty() && part != "." && part != ".." && !part.chars().any(char::is_control)
        };
        if !path[1..].split('/').all(plain) {
            return Err(UrlError::Path(path.to_owned()));
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
        Ok(Self { credentials, servers: servers.to_owned(), path: path.to_owned() })
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
impl fmt::Display for ZooKeeperUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.credentials.as_ref().and_then(|text| text.split(':').next());
        let at = user.map(|user| format!("{user}:***@")).unwrap_or_default();
        write!(f, "{SCHEME}{at}{}{}", self.servers, self.path)
    }
}

impl fmt::Debug for ZooKeeperUrl {
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
            let url: ZooKeeperUrl = text.parse().unwrap();
            assert_eq!(url.credentials.as_deref(), credentials, "{text}");
            assert_eq!((url.servers.as_str(), url.path()), (servers, path), "{text}");
        };
        check("zk://h1:2181/mesos", None, "h1:2181", "/mesos");
        check(" zk://h1,h2:7/a/b/\n", None, "h1,h2:7", "/a/b");
        check("zk://jake:1@h@h1:2181/mesos", Some("jake:1@h"), "h1:2181", "/mesos");
        check("zk://[::1]:2181,[::2]/mesos", None, "[::1]:2181,[::2]", "/mesos");
    }

    #[test]
    fn what_is_no_address_is_told_why() {
        let check =
            |text: &str, error: UrlError| assert_eq!(text.parse::<ZooKeeperUrl>(), Err(error), "{text}");
        check("http://h1/mesos", UrlError::Scheme);
        check("zk://h1:2181", UrlError::Root);
        check("zk://h1:2181//", UrlError::Root);
        check("zk://h1:2181/a//b", UrlError::Path("/a//b".to_owned()));
        check("zk://h1:2181/a/../b", UrlError::Path("/a/../b".to_owned()));
        check("zk:///mesos", UrlError::Server(String::new()));
        check("zk://h1,,h2/mesos", UrlError::Server(String::new()));
        check("zk://h1:port/mesos", UrlError::Server("h1:port".to_owned()));
        check("zk://h1:0/mesos", UrlError::Server("h1:0".to_owned()));
        check("zk://jake@h1/mesos", UrlError::Credentials);
    }

    #[test]
    fn passwords_are_not_shown() {
        let url: ZooKeeperUrl = "zk://jake:secret@h1:2181/mesos".parse().unwrap();
        assert_eq!(format!("{url} {url:?}"), "zk://jake:***@h1:2181/mesos zk://jake:***@h1:2181/mesos");
        assert_eq!(url.registry_path(), "/mesos-registry");
    }
}
