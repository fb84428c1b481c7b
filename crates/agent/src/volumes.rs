//! The directories of persistent volumes: made when a volume comes, deleted when it goes.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use agent_core::VolumeDirectory;
use fail_point::fail_point;

/// Makes and deletes directories; what was done before is no error. Returns why it could not, for people.
pub(crate) fn sync(create: &[VolumeDirectory], remove: &[VolumeDirectory]) -> Result<(), String> {
    for volume in create {
        make(Path::new(&volume.path)).map_err(|error| {
            format!("Failed to create the persistent volume {} at '{}': {error}", volume.id, volume.path)
        })?;
    }
    for volume in remove {
        tracing::info!("Deleting persistent volume '{}' at '{}'", volume.id, volume.path);
        fail_point("volume.deleting");
        delete(volume).map_err(|error| {
            format!("Failed to remove persistent volume '{}' at '{}': {error}", volume.id, volume.path)
        })?;
        fail_point("volume.deleted");
    }
    Ok(())
}

/// Makes a directory with its parents, durably. One that is there is left alone: it may be a mount point.
fn make(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let Some(parent) = path.parent() else { return Ok(()) };
    make(parent)?;
    fail_point("volume.making");
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    fail_point("volume.made");
    File::open(parent)?.sync_all()
}

fn delete(volume: &VolumeDirectory) -> io::Result<()> {
    let path = Path::new(&volume.path);
    let deleted = if volume.is_mount { empty(path) } else { fs::remove_dir_all(path) };
    match deleted {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            tracing::warn!("Failed to find persistent volume '{}' at '{}'", volume.id, volume.path);
            Ok(())
        }
        deleted => deleted,
    }
}

/// Deletes what is in a directory. Links in it are not followed.
fn empty(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_come_and_go() {
        let directory = tempfile::tempdir().unwrap();
        let at = |below: &str, is_mount| VolumeDirectory {
            id: "v".to_owned(),
            path: directory.path().join(below).to_str().unwrap().to_owned(),
            is_mount,
        };
        let plain = at("volumes/roles/web/v", false);
        let mount = at("mnt", true);
        fs::create_dir(&mount.path).unwrap();
        fs::write(directory.path().join("outside"), "stays").unwrap();
        let both = [plain.clone(), mount.clone()];
        for _ in 0..2 {
            sync(&both, &[]).unwrap();
            for volume in &both {
                let path = Path::new(&volume.path);
                fs::create_dir_all(path.join("a/b")).unwrap();
                fs::write(path.join("a/file"), "").unwrap();
                let _ = std::os::unix::fs::symlink(directory.path(), path.join("link"));
            }
        }
        for _ in 0..2 {
            sync(&[], &both).unwrap();
        }
        assert!(!Path::new(&plain.path).exists());
        assert_eq!(fs::read_dir(&mount.path).unwrap().count(), 0);
        assert!(directory.path().join("outside").exists());
        fs::write(directory.path().join("file"), "").unwrap();
        let error = sync(&[at("file/v", false)], &[]).unwrap_err();
        assert!(error.starts_with("Failed to create the persistent volume v at '"), "{error}");
    }
}
