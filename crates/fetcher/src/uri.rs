//! What a URI means: its file name, whether it is a local path, who can fetch it.

use std::path::{Path, PathBuf};

/// How a URI is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file of this machine.
    Local(PathBuf),
    /// By HTTP or HTTPS.
    Web(String),
    /// By the Hadoop client, which knows any number of schemes.
    Hadoop(String),
}

/// The name of the file that a URI ends in.
///
/// COMPAT(mesos): a URI is taken for a path, so a query belongs to the name.
pub(crate) fn basename(uri: &str) -> Result<&str, String> {
    if uri.contains(['\\', '\'', '\0']) {
        return Err("Illegal characters in URI".into());
    }
    let path = match uri.find("://") {
        Some(index) if index > 1 => {
            let path = &uri[index + 3..];
            if path.find('/').is_none_or(|slash| slash + 1 >= path.len()) {
                return Err(format!("Malformed URI (missing path): {uri}"));
            }
            path
        }
        Some(_) | None => uri,
    };
    match path.trim_end_matches('/').rsplit('/').next() {
        Some("" | "." | "..") | None => Err(format!("Malformed URI (missing path): {uri}")),
        Some(name) => Ok(name),
    }
}

/// Refuses an output file that is no name within the sandbox.
pub(crate) fn check_output_file(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("URI output file path is empty".into());
    }
    if path.starts_with('/') || path.split('/').any(|name| name == "..") {
        return Err("URI output file must be within the sandbox directory".into());
    }
    Ok(())
}

/// Who fetches a URI.
pub(crate) fn source(uri: &str, frameworks_home: &str) -> Result<Source, String> {
    let uri = uri.trim_start();
    let file = uri.strip_prefix("file://");
    if file.is_none() && uri.contains("://") {
        return Ok(match uri.split_once("://") {
            Some(("http" | "https", _)) => Source::Web(uri.to_owned()),
            _ => Source::Hadoop(uri.to_owned()),
        });
    }
    let path = file.unwrap_or(uri);
    let path = path.strip_prefix("localhost").unwrap_or(path);
    if path.starts_with('/') {
        return Ok(Source::Local(path.into()));
    }
    if file.is_some() {
        return Err("File URI only supports absolute paths".into());
    }
    if frameworks_home.is_empty() {
        return Err(
            "A relative path was passed for the resource but the Mesos framework home was not specified. \
                    Please either provide this config option or avoid using a relative path"
                .into(),
        );
    }
    Ok(Source::Local(Path::new(frameworks_home).join(path)))
}

#[cfg(test)]
mod tests {
    use super::{Source, basename, check_output_file, source};

    #[test]
    fn names_the_file() {
        assert_eq!(basename("http://host/a/b.tgz"), Ok("b.tgz"));
        assert_eq!(basename("http://host/a?x=1"), Ok("a?x=1"));
        assert_eq!(basename("dir/file"), Ok("file"));
        assert_eq!(basename("http://host/").unwrap_err(), "Malformed URI (missing path): http://host/");
        assert_eq!(basename("http://host").unwrap_err(), "Malformed URI (missing path): http://host");
        assert_eq!(basename("a\\b").unwrap_err(), "Illegal characters in URI");
        assert!(basename("/tmp/..").is_err());
    }

    #[test]
    fn tells_who_fetches() {
        assert_eq!(source("file:///a/b", ""), Ok(Source::Local("/a/b".into())));
        assert_eq!(source("file://localhost/a", ""), Ok(Source::Local("/a".into())));
        assert_eq!(source(" /a", ""), Ok(Source::Local("/a".into())));
        assert_eq!(source("a", "/home"), Ok(Source::Local("/home/a".into())));
        assert_eq!(source("https://h/a", ""), Ok(Source::Web("https://h/a".into())));
        assert_eq!(source("hdfs://h/a", ""), Ok(Source::Hadoop("hdfs://h/a".into())));
        assert_eq!(source("file://a", "/home").unwrap_err(), "File URI only supports absolute paths");
        assert!(source("a", "").unwrap_err().starts_with("A relative path was passed"));
    }

    #[test]
    fn keeps_output_files_inside() {
        assert_eq!(check_output_file("a/b"), Ok(()));
        for path in ["/a", "a/../../b", ".."] {
            assert_eq!(
                check_output_file(path).unwrap_err(),
                "URI output file must be within the sandbox directory"
            );
        }
        assert_eq!(check_output_file("").unwrap_err(), "URI output file path is empty");
    }
}
