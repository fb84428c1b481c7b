//! One agent at a time in a work directory: a second would cut the first one's records short.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// How often a directory that is taken is tried again. An agent that was killed while it started a process has it until
/// that has begun.
const TRIES: u32 = 50;

const PAUSE: Duration = Duration::from_millis(20);

/// A work directory that is ours until this is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _directory: File,
}

impl Lock {
    /// Takes the directory.
    pub(crate) async fn take(work_dir: &Path) -> anyhow::Result<Self> {
        let open = || {
            let meta = work_dir.join("meta");
            std::fs::create_dir_all(&meta)?;
            File::open(meta)
        };
        let directory = open().with_context(|| format!("Failed to open '{}'", work_dir.display()))?;
        for _ in 0..TRIES {
            match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _directory: directory }),
                Err(Errno::WOULDBLOCK) => tokio::time::sleep(PAUSE).await,
                // A file system without locks cannot say.
                Err(errno) => {
                    tracing::warn!(%errno, "cannot learn whether another agent has this work directory");
                    return Ok(Self { _directory: directory });
                }
            }
        }
        bail!("Another agent runs with this --work_dir '{}'", work_dir.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_has_it_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let lock = Lock::take(directory.path()).await.unwrap();
        let refused = Lock::take(directory.path()).await.unwrap_err().to_string();
        assert!(refused.starts_with("Another agent runs with this --work_dir '/"), "{refused}");
        drop(lock);
        Lock::take(directory.path()).await.unwrap();
    }
}
