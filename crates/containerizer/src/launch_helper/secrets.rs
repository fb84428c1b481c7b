//! Files with secrets. They are in memory that is never swapped out, and only in the mounts of the container: nobody
//! else sees them, and they are gone with it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{PermissionsExt as _, fchown};
use std::path::Path;

use launch_plan::{Process, SecretFile};
use linux::{MountRequest, Root, by_descriptor};
use rustix::mount::{UnmountFlags, unmount};

use super::LaunchError;
use crate::users::Account;

/// Where they are for the moment in which they are made. Every machine has this directory, and nothing here needs what
/// is there otherwise.
const WORKSHOP: &str = "/sys";

/// Makes them.
pub(super) fn show(
    process: &Process,
    secrets: &[Vec<u8>],
    account: Option<&Account>,
) -> Result<(), LaunchError> {
    if process.secrets.is_empty() {
        return Ok(());
    }
    if process.secrets.len() != secrets.len() {
        return Err(LaunchError::Usage("the secrets are missing"));
    }
    let failed = |file: &SecretFile, error| LaunchError::Secret(file.target.clone(), error);
    let root = process.root.as_ref().map_or("/", |root| root.path.as_str());
    // ORDER: found before the mount below hides anything.
    let found = process.secrets.iter().map(|file| find(root, file).map_err(|error| failed(file, error)));
    let targets = found.collect::<Result<Vec<OwnedFd>, LaunchError>>()?;
    let workshop = MountRequest {
        kind: "ramfs".to_owned(),
        target: WORKSHOP.into(),
        options: "mode=0700".to_owned(),
        ..MountRequest::default()
    };
    linux::apply(&workshop)
        .map_err(|error| LaunchError::Mount("ramfs".to_owned(), WORKSHOP.to_owned(), error))?;
    for (number, ((file, target), secret)) in process.secrets.iter().zip(&targets).zip(secrets).enumerate() {
        let path = Path::new(WORKSHOP).join(number.to_string());
        let made = write(&path, secret, account)
            .and_then(|()| linux::bind(&path, &by_descriptor(target.as_fd()), false));
        made.map_err(|error| failed(file, error))?;
    }
    unmount(WORKSHOP, UnmountFlags::DETACH)
        .map_err(|errno| LaunchError::Mount("ramfs".to_owned(), WORKSHOP.to_owned(), errno.into()))
}

fn find(root: &str, file: &SecretFile) -> io::Result<OwnedFd> {
    let root = Root::open(Path::new(file.inside.as_deref().unwrap_or(root)))?;
    let target = Path::new(&file.target);
    if file.must_exist { root.find(target) } else { root.file(target) }
}

/// The command's user alone may read it; where another process is to start the command, whoever is in the container.
fn write(path: &Path, secret: &[u8], account: Option<&Account>) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(secret)?;
    let mode = match account {
        Some(account) => {
            fchown(&file, Some(account.uid), Some(account.gid))?;
            0o400
        }
        None => 0o444,
    };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}
