//! The file of `--whitelist`, read again and again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use master_core::Event;
use tokio::sync::mpsc;

use crate::reactor::Input;

/// How often the file is looked at, as in Mesos.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);

/// The largest file that is read: a million names.
const BYTES_MAX: u64 = 64 << 20;

/// What a whitelist says; none allows all hosts.
pub(crate) type Hosts = Option<BTreeSet<String>>;

/// The file that the flag names; none where all hosts are allowed.
pub(crate) fn file(flag: &Path) -> Option<PathBuf> {
    let text = flag.to_string_lossy();
    let path = text.strip_prefix("file://").unwrap_or(&text);
    (path != "*").then(|| PathBuf::from(path))
}

/// Reads the file. One name on each line; a line `*` allows all.
pub(crate) async fn read(file: &Path) -> std::io::Result<Hosts> {
    let size = tokio::fs::metadata(file).await?.len();
    if size > BYTES_MAX {
        let why = format!("it has {size} bytes, more than the {BYTES_MAX} that are read");
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, why));
    }
    let text = tokio::fs::read_to_string(file).await?;
    let mut hosts: BTreeSet<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    Ok(if hosts.remove("*") { None } else { Some(hosts) })
}

/// Tells the core of each change, for as long as it listens. `last` is what it knows.
pub(crate) async fn watch(file: PathBuf, mut last: Hosts, inputs: mpsc::Sender<Input>, every: Duration) {
    loop {
        tokio::select! {
            () = inputs.closed() => return,
            () = tokio::time::sleep(every) => {}
        }
        let hosts = match read(&file).await {
            Ok(hosts) => hosts,
            Err(error) => {
                tracing::error!(file = %file.display(), %error, "cannot read the whitelist; the last one stays");
                continue;
            }
        };
        if hosts != last {
            tracing::info!(hosts = hosts.as_ref().map(BTreeSet::len), "the whitelist changed");
            last.clone_from(&hosts);
            if inputs.send(Input::Event(Event::Whitelist(hosts))).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_has_one_name_on_each_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("whitelist");
        for (text, hosts) in [
            ("a\n b \n\nc.example.com", Some(vec!["a", "b", "c.example.com"])),
            ("", Some(vec![])),
            ("a\n*\n", None),
        ] {
            std::fs::write(&path, text).unwrap();
            let hosts = hosts.map(|hosts| hosts.into_iter().map(str::to_owned).collect());
            assert_eq!(read(&path).await.unwrap(), hosts, "{text:?}");
        }
        assert!(read(&directory.path().join("nothing")).await.is_err());
    }

    #[test]
    fn the_flag_names_a_file_or_all() {
        assert_eq!(file(Path::new("file:///etc/hosts.ok")), Some("/etc/hosts.ok".into()));
        assert_eq!(file(Path::new("/etc/hosts.ok")), Some("/etc/hosts.ok".into()));
        assert_eq!(file(Path::new("*")), None);
    }

    #[tokio::test]
    async fn changes_are_told_and_failures_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("whitelist");
        let (inputs, mut told) = mpsc::channel(1);
        let watching = tokio::spawn(watch(path.clone(), None, inputs, Duration::from_millis(5)));
        std::fs::write(&path, "a").unwrap();
        let Some(Input::Event(Event::Whitelist(hosts))) = told.recv().await else { panic!("no whitelist") };
        assert_eq!(hosts, Some(BTreeSet::from(["a".to_owned()])));
        drop(told);
        watching.await.unwrap();
    }
}
