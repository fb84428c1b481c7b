//! Persistent volumes in sandboxes, as symbolic links: the way of a container that shares the machine's file system.
//!
//! A volume belongs to whoever's container uses it. One that several containers use at once keeps its owner as long as
//! another has it. With `--volume_gid_range` volumes have groups in place of that.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use crate::volume_gids::VolumeGids;

/// A persistent volume under a name in a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// What people know it by.
    pub id: String,
    /// Its directory.
    pub source: PathBuf,
    /// Its name in the sandbox: one part of a path, checked by whoever asked for it.
    pub name: String,
    /// Whether containers may use it at once.
    pub shared: bool,
}

impl Volume {
    /// The same in the words of plans.
    pub(crate) fn persistent(&self) -> launch_plan::Persistent {
        let source = self.source.to_string_lossy().into_owned();
        launch_plan::Persistent { source, name: self.name.clone() }
    }
}

/// Makes a sandbox show the volumes `now` in place of those `before`. `in_use` tells of a volume whether another
/// container has it. Returns the groups that new ones belong to, where volumes have groups.
pub(crate) fn relink(
    sandbox: &Path,
    before: &[Volume],
    now: &[Volume],
    gids: Option<&VolumeGids>,
    in_use: impl Fn(&Volume) -> bool,
) -> Result<Vec<u32>, String> {
    for gone in before.iter().filter(|volume| !now.contains(volume)) {
        unlink(sandbox, gone)?;
    }
    let new: Vec<&Volume> = now.iter().filter(|volume| !before.contains(volume)).collect();
    let mut groups = Vec::new();
    if new.is_empty() {
        return Ok(groups);
    }
    let owner = fs::metadata(sandbox)
        .map_err(|error| format!("Failed to get ownership for '{}': {error}", sandbox.display()))?;
    for volume in new {
        match gids {
            // Root may do everything anyway.
            _ if owner.uid() == 0 => {}
            Some(gids) => groups.push(gids.of_persistent(&volume.source)?),
            None if volume.shared && in_use(volume) => {}
            None => give(volume, owner.uid(), owner.gid())?,
        }
        link(sandbox, volume)?;
    }
    Ok(groups)
}

fn give(volume: &Volume, uid: u32, gid: u32) -> Result<(), String> {
    let source = &volume.source;
    let owner = fs::metadata(source).map(|owner| (owner.uid(), owner.gid()));
    let given = owner.and_then(|owner| {
        // Only root may give away, and an agent that is not root has nothing to.
        if owner == (uid, gid) { Ok(()) } else { chown(source, Some(uid), Some(gid)) }
    });
    given.map_err(|error| {
        format!(
            "Failed to change the ownership of the persistent volume at '{}' with uid {uid} and gid {gid}: {error}",
            source.display()
        )
    })
}

fn link(sandbox: &Path, volume: &Volume) -> Result<(), String> {
    let link = sandbox.join(&volume.name);
    let failed = |why: &dyn std::fmt::Display| {
        let (from, to) = (volume.source.display(), link.display());
        format!("Failed to symlink persistent volume '{}' from '{from}' to '{to}': {why}", volume.id)
    };
    let original = volume.source.canonicalize().map_err(|error| failed(&error))?;
    match fs::symlink_metadata(&link) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            symlink(&volume.source, &link).map_err(|error| failed(&error))
        }
        Err(error) => Err(failed(&error)),
        // An agent that restarted links again what its predecessor has linked.
        Ok(metadata) if metadata.is_symlink() => {
            let target = link.canonicalize().map_err(|error| failed(&error))?;
            if target == original {
                return Ok(());
            }
            Err(format!(
                "The existing symlink '{}' points to '{}' and the new target is '{}'",
                link.display(),
                target.display(),
                original.display()
            ))
        }
        Ok(_) => Err(failed(&"a file of that name is in the sandbox")),
    }
}

/// What a task put in place of its link is its own matter.
fn unlink(sandbox: &Path, volume: &Volume) -> Result<(), String> {
    let link = sandbox.join(&volume.name);
    if fs::read_link(&link).ok().as_deref() != Some(&volume.source) {
        return Ok(());
    }
    fs::remove_file(&link).map_err(|error| {
        format!(
            "Failed to remove the symlink for the unneeded persistent volume at '{}': {error}",
            link.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(root: &Path, id: &str, name: &str) -> Volume {
        let source = root.join("volumes").join(id);
        fs::create_dir_all(&source).unwrap();
        Volume { id: id.to_owned(), source, name: name.to_owned(), shared: false }
    }

    #[test]
    fn sandboxes_show_what_they_have() {
        let directory = tempfile::tempdir().unwrap();
        let sandbox = directory.path().join("sandbox");
        fs::create_dir(&sandbox).unwrap();
        let (a, b) = (volume(directory.path(), "a", "data"), volume(directory.path(), "b", "more"));
        let free = |_: &Volume| false;
        relink(&sandbox, &[], &[a.clone(), b.clone()], None, free).unwrap();
        fs::write(sandbox.join("data/file"), "kept").unwrap();
        // Again, as after a restart of the agent.
        relink(&sandbox, &[], &[a.clone(), b.clone()], None, free).unwrap();
        relink(&sandbox, &[a.clone(), b.clone()], std::slice::from_ref(&b), None, free).unwrap();
        assert!(fs::symlink_metadata(sandbox.join("data")).is_err() && sandbox.join("more").exists());
        assert_eq!(fs::read_to_string(a.source.join("file")).unwrap(), "kept");
        // A name that is taken, by another volume or by a file.
        let other = Volume { name: "more".to_owned(), ..a.clone() };
        assert!(relink(&sandbox, &[], &[other], None, free).unwrap_err().contains("points to"));
        fs::write(sandbox.join("data"), "").unwrap();
        let error = relink(&sandbox, &[], std::slice::from_ref(&a), None, free).unwrap_err();
        assert!(error.contains("a file of that name"), "{error}");
        // What is not the link stays.
        relink(&sandbox, std::slice::from_ref(&a), &[], None, free).unwrap();
        assert!(sandbox.join("data").exists());
        fs::remove_dir_all(&b.source).unwrap();
        let gone = Volume { name: "c".to_owned(), ..b };
        assert!(relink(&sandbox, &[], &[gone], None, free).unwrap_err().contains("No such file"));
    }
}
