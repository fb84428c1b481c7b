//! Which server a registry is.

use std::fmt;

use crate::reference::Reference;

/// The server of a registry. It prints as the beginning of its URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    is_https: bool,
    /// The host, and the port where that is not the usual one.
    authority: String,
}

/// The names of Docker's own registry, none of which is that of its server.
const OFFICIAL: &[&str] = &["docker.io", "index.docker.io"];
const OFFICIAL_SERVER: &str = "registry-1.docker.io";

impl Endpoint {
    /// Reads the URL of a flag. COMPAT(mesos): only its scheme, host and port count.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let refused = |why: &str| Err(format!("Failed to parse the default Docker registry: '{url}' {why}"));
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme, rest)) => (scheme, rest),
            None => return refused("is neither a URL nor an absolute path"),
        };
        let is_https = match scheme {
            "https" => true,
            "http" => false,
            "hdfs" => return refused("is in HDFS, where this agent does not look for images"),
            _ => return refused("is not of the scheme http or https"),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        if authority.is_empty() || !authority.bytes().all(is_plain) {
            return refused("has no host");
        }
        Ok(Self { is_https, authority: authority.to_owned() })
    }

    /// The server that a reference names.
    ///
    /// COMPAT(mesos): the port tells the scheme, and a port of this machine is taken for one without TLS.
    fn named(registry: &str) -> Self {
        if OFFICIAL.contains(&registry) {
            return Self { is_https: true, authority: OFFICIAL_SERVER.to_owned() };
        }
        let (host, port) = registry.split_once(':').unwrap_or((registry, ""));
        let is_https = match port {
            "443" | "" => true,
            "80" => false,
            _ => !matches!(host, "localhost" | "127.0.0.1"),
        };
        Self { is_https, authority: registry.to_owned() }
    }

    /// The server to ask for an image, and the repository to ask it for.
    pub(crate) fn of(reference: &Reference, usual: &Self) -> (Self, String) {
        let endpoint = reference.registry.as_deref().map_or_else(|| usual.clone(), Self::named);
        let repository = &reference.repository;
        let is_official = endpoint.authority.contains("docker.io") && !repository.contains('/');
        let repository = if is_official { format!("library/{repository}") } else { repository.clone() };
        (endpoint, repository)
    }

    pub(crate) fn is_https(&self) -> bool {
        self.is_https
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}://{}", if self.is_https { "https" } else { "http" }, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    #[test]
    fn finds_the_server_of_an_image() {
        let usual = Endpoint::parse("https://registry-1.docker.io").unwrap();
        for (name, url) in [
            ("busybox", "https://registry-1.docker.io library/busybox"),
            ("docker.io/busybox", "https://registry-1.docker.io library/busybox"),
            ("a/b", "https://registry-1.docker.io a/b"),
            ("quay.io/b", "https://quay.io b"),
            ("localhost:5000/b", "http://localhost:5000 b"),
            ("127.0.0.1:5000/b", "http://127.0.0.1:5000 b"),
            ("example.com:80/b", "http://example.com:80 b"),
            ("example.com:5000/b", "https://example.com:5000 b"),
            ("localhost/b", "https://localhost b"),
        ] {
            let (endpoint, repository) = Endpoint::of(&name.parse().unwrap(), &usual);
            assert_eq!(format!("{endpoint} {repository}"), url, "{name}");
        }
        let own = Endpoint::parse("http://10.0.0.1:5000/v2").unwrap();
        let (endpoint, repository) = Endpoint::of(&"busybox".parse().unwrap(), &own);
        assert_eq!(format!("{endpoint} {repository}"), "http://10.0.0.1:5000 busybox");
    }

    #[test]
    fn says_what_is_wrong_with_a_url() {
        for (url, why) in [
            ("registry", "'registry' is neither a URL nor an absolute path"),
            ("hdfs://a/b", "'hdfs://a/b' is in HDFS, where this agent does not look for images"),
            ("ftp://a", "'ftp://a' is not of the scheme http or https"),
            ("https:///a", "'https:///a' has no host"),
            ("https://a b/", "'https://a b/' has no host"),
        ] {
            let expected = format!("Failed to parse the default Docker registry: {why}");
            assert_eq!(Endpoint::parse(url).unwrap_err(), expected);
        }
    }
}
