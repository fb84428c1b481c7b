//! What an image is called: `[registry/]repository[:tag][@digest]`.

use std::fmt;
use std::str::FromStr;

/// The longest reference that is taken.
const BYTES_MAX: usize = 1024;

/// The tag of a reference that names none.
pub(crate) const LATEST: &str = "latest";

/// A parsed name of an image. It prints as Apache Mesos prints it, which is also what it is remembered by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Where it is, if that is not left to the agent: a host with or without a port.
    pub registry: Option<String>,
    /// Its path there.
    pub repository: String,
    /// Its tag, if one was given.
    pub tag: Option<String>,
    /// The digest of its manifest, if one was given.
    pub digest: Option<String>,
}

/// Why a reference is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadReference(String);

impl Reference {
    /// What to ask a registry for: the digest, else the tag, else the tag that is meant.
    pub(crate) fn wanted(&self) -> &str {
        self.digest.as_deref().unwrap_or_else(|| self.tag_or_latest())
    }

    pub(crate) fn tag_or_latest(&self) -> &str {
        self.tag.as_deref().unwrap_or(LATEST)
    }

    /// Whether a name as tools write it into an archive means this image: they add or leave out what is implied.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        let Ok(other) = name.parse::<Self>() else { return false };
        let same_place = match (self.official(), other.official()) {
            (Some(own), Some(other)) => own == other,
            // COMPAT(mesos): an archive may leave the registry out; the agent's own registry is a directory anyway.
            (None, _) | (_, None) => true,
        };
        same_place
            && self.short_repository() == other.short_repository()
            && self.tag_or_latest() == other.tag_or_latest()
    }

    /// The registry, with one name for the many of Docker's own.
    fn official(&self) -> Option<&str> {
        match self.registry.as_deref() {
            Some("docker.io" | "index.docker.io" | "registry-1.docker.io") => Some("docker.io"),
            registry => registry,
        }
    }

    fn short_repository(&self) -> &str {
        self.repository.strip_prefix("library/").unwrap_or(&self.repository)
    }
}

impl FromStr for Reference {
    type Err = BadReference;

    /// Splits as Apache Mesos does, and refuses names that no registry has and no path should be made of.
    fn from_str(text: &str) -> Result<Self, BadReference> {
        let bad = |why: String| Err(BadReference(why));
        if text.len() > BYTES_MAX {
            return bad(format!("it has {} bytes, and {BYTES_MAX} are allowed", text.len()));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((_, digest)) if digest.contains('@') => return bad("Multiple '@' symbols found".to_owned()),
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        let (rest, tag) = match rest.rsplit_once(':') {
            // With a slash behind it, the colon belongs to the registry's port.
            Some((rest, tag)) if !tag.contains('/') => (rest, Some(tag)),
            Some(_) | None => (rest, None),
        };
        let (registry, repository) = match rest.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (Some(first), rest),
            Some(_) | None => (None, rest),
        };
        if let Some(registry) = registry {
            check_registry(registry)?;
        }
        check_repository(repository)?;
        if let Some(tag) = tag
            && (tag.is_empty() || tag.len() > 128 || !tag.bytes().all(is_word) || tag.starts_with(['.', '-']))
        {
            return bad(format!("'{tag}' is not a tag"));
        }
        if let Some(digest) = digest
            && digest.parse::<crate::digest::Digest>().is_err()
        {
            return bad(format!("'{digest}' is not a digest of the form sha256:<64 hexadecimal digits>"));
        }
        Ok(Self {
            registry: registry.map(str::to_owned),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(registry) = &self.registry {
            write!(to, "{registry}/")?;
        }
        to.write_str(&self.repository)?;
        // COMPAT(mesos): a tag beside a digest is not printed.
        match (&self.digest, &self.tag) {
            (Some(digest), _) => write!(to, "@{digest}"),
            (None, Some(tag)) => write!(to, ":{tag}"),
            (None, None) => Ok(()),
        }
    }
}

/// What tags are made of, and what the parts of a repository may have in them.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

fn check_registry(registry: &str) -> Result<(), BadReference> {
    let (host, port) = match registry.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (registry, None),
    };
    let is_host =
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    if !is_host {
        return Err(BadReference(format!("'{registry}' is not a registry")));
    }
    match port {
        Some(port) if port.parse::<u16>().is_err() => Err(BadReference(format!("'{port}' is not a port"))),
        Some(_) | None => Ok(()),
    }
}

fn check_repository(repository: &str) -> Result<(), BadReference> {
    if repository.is_empty() {
        return Err(BadReference("there is no name of a repository in it".to_owned()));
    }
    // It becomes a part of paths and of URLs.
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(is_word) && !part.starts_with(['.', '-']);
    match repository.split('/').find(|part| !is_part(part)) {
        Some(part) => Err(BadReference(format!("'{part}' is not a part of a repository's name"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::Reference;
    use proptest::prelude::*;

    fn parts(text: &str) -> (Option<String>, String, Option<String>, Option<String>) {
        let parsed: Reference = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(parsed.to_string(), text);
        (parsed.registry, parsed.repository, parsed.tag, parsed.digest)
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    const DIGEST: &str = "sha256:01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b";

    #[test]
    fn splits_as_mesos_does() {
        assert_eq!(parts("busybox"), (None, "busybox".into(), None, None));
        assert_eq!(parts("busybox:1.36"), (None, "busybox".into(), some("1.36"), None));
        assert_eq!(parts("a/b:c"), (None, "a/b".into(), some("c"), None));
        assert_eq!(parts("localhost/b"), (some("localhost"), "b".into(), None, None));
        assert_eq!(parts("127.0.0.1:5000/a/b"), (some("127.0.0.1:5000"), "a/b".into(), None, None));
        assert_eq!(parts("host:80/a:t"), (some("host:80"), "a".into(), some("t"), None));
        let by_digest = format!("quay.io/a@{DIGEST}");
        assert_eq!(parts(&by_digest), (some("quay.io"), "a".into(), None, some(DIGEST)));
        let both: Reference = format!("a:t@{DIGEST}").parse().unwrap();
        assert_eq!((both.to_string(), both.wanted()), (format!("a@{DIGEST}"), DIGEST));
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, why) in [
            ("", "there is no name of a repository in it"),
            ("a@b@c", "Multiple '@' symbols found"),
            ("a@sha256:beef", "'sha256:beef' is not a digest of the form sha256:<64 hexadecimal digits>"),
            ("a:", "'' is not a tag"),
            ("a:b c", "'b c' is not a tag"),
            ("../../etc/shadow", "'..' is not a part of a repository's name"),
            ("a//b", "'' is not a part of a repository's name"),
            ("a/b?c=d", "'b?c=d' is not a part of a repository's name"),
            ("host:99999/a", "'99999' is not a port"),
            ("us er.example/a", "'us er.example' is not a registry"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap_err().to_string(), why, "{text}");
        }
    }

    #[test]
    fn knows_itself_by_other_names() {
        for (own, other, is) in [
            ("busybox", "busybox:latest", true),
            ("busybox", "docker.io/library/busybox:latest", true),
            ("registry-1.docker.io/library/busybox", "docker.io/busybox", true),
            ("example.com/a:1", "a:1", true),
            ("example.com/a:1", "example.org/a:1", false),
            ("a:1", "a:2", false),
            ("a:1", "b:1", false),
        ] {
            assert_eq!(own.parse::<Reference>().unwrap().is_called(other), is, "{own} {other}");
        }
    }

    proptest! {
        #[test]
        fn what_was_built_is_found_again(
            registry in proptest::option::of("[a-z][a-z0-9-]{0,8}\\.[a-z]{2,3}(:[1-9][0-9]{0,3})?"),
            repository in "[a-z0-9][a-z0-9_-]{0,8}(/[a-z0-9][a-z0-9._-]{0,8}){0,3}",
            tag in proptest::option::of("[A-Za-z0-9_][A-Za-z0-9._-]{0,20}"),
            with_digest: bool,
        ) {
            let digest = with_digest.then(|| DIGEST.to_owned());
            let own = Reference { registry, repository, tag, digest };
            let mut printed: Reference = own.to_string().parse().unwrap();
            if own.digest.is_some() {
                printed.tag = own.tag.clone();
            }
            // Without a registry, a first part such as `localhost` would be one.
            prop_assume!(own.registry.is_some() || !own.repository.starts_with("localhost/"));
            prop_assert_eq!(printed, own);
        }

        #[test]
        fn no_text_becomes_a_path_that_leaves(text in ".{0,60}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert!(reference.to_string().split('/').all(|part| !part.is_empty() && part != ".." && part != "."));
                prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap().to_string(), reference.to_string());
            }
        }
    }
}
