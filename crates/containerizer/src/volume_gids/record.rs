//! What is kept of groups. COMPAT(mesos): the messages of its agent, so that either reads what the other has written.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The kinds of volumes, as they are written.
pub(super) const PERSISTENT: i32 = 1;
pub(super) const SANDBOX_PATH: i32 = 2;

/// All volumes that have groups.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct VolumeGidInfos {
    #[prost(message, repeated, tag = "1")]
    pub(super) infos: Vec<VolumeGidInfo>,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct VolumeGidInfo {
    #[prost(int32, optional, tag = "1")]
    pub(super) kind: Option<i32>,
    #[prost(string, required, tag = "2")]
    pub(super) path: String,
    #[prost(uint32, required, tag = "3")]
    pub(super) gid: u32,
}

/// Replaces the file, on the disk: what it says must outlive the machine, as volumes do.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)?;
    let mut temporary: PathBuf = path.to_owned();
    temporary.as_mut_os_string().push(".tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(directory)?.sync_all()
}
