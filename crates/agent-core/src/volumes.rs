//! Persistent volumes: where their directories lie, and under which names tasks see them.
//!
//! The layout is that of Mesos: `<root>/volumes/roles/<role>/<id>`, where the root is the work directory or that of a
//! PATH disk; a volume on a MOUNT disk is the mount point itself. Nothing here touches a file.

use std::collections::BTreeMap;

use proto::mesos::v1;
use proto::mesos::v1::resource::disk_info::source::Type;
use resources::{Resource, Resources};
use types::{check_id, check_role};

/// The directory of a persistent volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeDirectory {
    /// The volume's persistence id.
    pub id: String,
    /// An absolute path, if the work directory's is.
    pub path: String,
    /// Whether the directory itself stays when the volume goes: it is a mount point.
    pub is_mount: bool,
}

/// A persistent volume under a name in a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeMount {
    /// The volume's persistence id.
    pub id: String,
    /// Its directory.
    pub source: String,
    /// Its name in the sandbox.
    pub container_path: String,
    /// Whether containers of several executors may use it at once.
    pub shared: bool,
}

/// The directories of all persistent volumes among `resources`, by path. Fails for a volume that cannot have one, and
/// for two with the same.
pub(crate) fn directories(
    work_dir: &str,
    resources: &Resources,
) -> Result<BTreeMap<String, VolumeDirectory>, String> {
    let mut all = BTreeMap::new();
    for volume in &resources.persistent_volumes() {
        let directory = directory(work_dir, volume)?;
        if let Some(other) = all.insert(directory.path.clone(), directory) {
            return Err(format!("Two persistent volumes '{}' would be at '{}'", other.id, other.path));
        }
    }
    Ok(all)
}

fn directory(work_dir: &str, volume: &Resource) -> Result<VolumeDirectory, String> {
    let disk = volume.disk().ok_or("It is no disk")?;
    let id = disk.persistence.as_ref().map_or("", |persistence| persistence.id.as_str());
    check_id(id).map_err(|why| format!("Persistent volume '{id}' has a bad ID: {why}"))?;
    let refuse = |why: &str| Err(format!("Persistent volume '{id}' {why}"));
    let Some(role) = volume.reservation_role() else { return refuse("is not reserved") };
    check_role(role.as_str()).map_err(|why| format!("Persistent volume '{id}' has a bad role: {why}"))?;
    let in_root = |root: String| VolumeDirectory {
        id: id.to_owned(),
        // COMPAT(mesos): the parts of a role are joined by a space, which no role has: a slash would mix roles with
        // what volumes hold.
        path: format!("{root}/volumes/roles/{}/{id}", role.as_str().replace('/', " ")),
        is_mount: false,
    };
    let Some(source) = &disk.source else { return Ok(in_root(work_dir.to_owned())) };
    if source.id.is_some() {
        return refuse("is on a disk of a resource provider, of which this agent has none");
    }
    match source.r#type() {
        Type::Path => match source.path.as_ref().and_then(|path| path.root.as_ref()) {
            Some(root) => Ok(in_root(absolute(work_dir, root))),
            None => refuse("is on a PATH disk without a root"),
        },
        Type::Mount => match source.mount.as_ref().and_then(|mount| mount.root.as_ref()) {
            Some(root) => {
                Ok(VolumeDirectory { id: id.to_owned(), path: absolute(work_dir, root), is_mount: true })
            }
            None => refuse("is on a MOUNT disk without a root"),
        },
        Type::Block | Type::Raw | Type::Unknown => {
            refuse(&format!("is on a disk of unsupported type {}", source.r#type().as_str_name()))
        }
    }
}

/// Roots of disks may be relative to the work directory.
fn absolute(work_dir: &str, root: &str) -> String {
    if root.starts_with('/') { root.trim_end_matches('/').to_owned() } else { format!("{work_dir}/{root}") }
}

/// What of `resources` is to be seen in the sandbox of the container that has them. Each name and directory comes once.
pub(crate) fn mounts<'a>(
    work_dir: &str,
    resources: impl IntoIterator<Item = &'a v1::Resource>,
) -> Result<Vec<VolumeMount>, String> {
    let mut all: Vec<VolumeMount> = Vec::new();
    for message in resources {
        let Some((id, name)) = names(message) else { continue };
        let resource = Resource::from_proto(message).map_err(|why| why.to_string())?;
        let mount = VolumeMount {
            id: id.to_owned(),
            source: directory(work_dir, &resource)?.path,
            container_path: name.to_owned(),
            shared: resource.is_shared(),
        };
        check_name(&mount)?;
        match all.iter().find(|other| other.container_path == mount.container_path) {
            Some(other) if other.source != mount.source => {
                return Err(format!(
                    "The container path '{name}' is wanted by persistent volume '{id}' and by '{}'",
                    other.id
                ));
            }
            // Several tasks of an executor may use a shared volume under one name.
            Some(_) => {}
            None => all.push(mount),
        }
    }
    Ok(all)
}

/// A persistent volume's id and the name that a task wants it under.
fn names(resource: &v1::Resource) -> Option<(&str, &str)> {
    let disk = resource.disk.as_ref()?;
    Some((&disk.persistence.as_ref()?.id, &disk.volume.as_ref()?.container_path))
}

/// Sandboxes show volumes by links, which must be names of their own: with parents they could lead out of the sandbox.
fn check_name(mount: &VolumeMount) -> Result<(), String> {
    let VolumeMount { id, container_path: name, .. } = mount;
    let refuse = |why: &str| Err(format!("The container path '{name}' of persistent volume '{id}' {why}"));
    match name.as_str() {
        "" | "." => refuse("is no name"),
        "stdout" | "stderr" => refuse("is the name of a file of the sandbox"),
        name if name.starts_with('/') => {
            refuse("is absolute, which only a container with an image of its own can have")
        }
        name if name.split('/').any(|part| part == "..") => refuse("leads out of the sandbox"),
        name if name.contains('/') => refuse(
            "has a directory in it; without an image of its own a container has volumes at the top of its sandbox",
        ),
        name if check_id(name).is_err() => refuse("is no name that a file can have"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(id: &str, role: &str, path: &str, source: &str) -> v1::Resource {
        let source = if source.is_empty() { String::new() } else { format!(r#","source":{source}"#) };
        let text = format!(
            r#"{{"name":"disk","type":"SCALAR","scalar":{{"value":64}},"reservations":[{{"role":"{role}","type":"DYNAMIC"}}],
            "disk":{{"persistence":{{"id":"{id}"}},"volume":{{"container_path":"{path}","mode":"RW"}}{source}}}}}"#
        );
        proto::json::from_slice(text.as_bytes()).expect("a resource")
    }

    fn path(id: &str, role: &str, source: &str) -> Result<(String, bool), String> {
        let resource = Resource::from_proto(&volume(id, role, "d", source)).expect("a resource");
        directory("/w", &resource).map(|directory| (directory.path, directory.is_mount))
    }

    #[test]
    fn directories_are_where_mesos_has_them() {
        let check = |role, source, want: &str, mount| {
            assert_eq!(path("id1", role, source), Ok((want.to_owned(), mount)));
        };
        check("web", "", "/w/volumes/roles/web/id1", false);
        check("eng/web", "", "/w/volumes/roles/eng web/id1", false);
        check("web", r#"{"type":"PATH","path":{"root":"/mnt/a"}}"#, "/mnt/a/volumes/roles/web/id1", false);
        check(
            "web",
            r#"{"type":"PATH","path":{"root":"disks/a"}}"#,
            "/w/disks/a/volumes/roles/web/id1",
            false,
        );
        check("web", r#"{"type":"MOUNT","mount":{"root":"/mnt/b"}}"#, "/mnt/b", true);
        for (source, why) in [
            (r#"{"type":"RAW"}"#, "unsupported type RAW"),
            (r#"{"type":"MOUNT"}"#, "without a root"),
            (r#"{"type":"MOUNT","mount":{"root":"/m"},"id":"x"}"#, "resource provider"),
        ] {
            assert!(path("id1", "web", source).unwrap_err().contains(why), "{source}");
        }
        assert!(path("..", "web", "").unwrap_err().contains("bad ID"));
    }

    #[test]
    fn names_stay_in_the_sandbox() {
        for (name, why) in [
            ("/data", "is absolute"),
            ("../data", "leads out of the sandbox"),
            ("a/../../b", "leads out of the sandbox"),
            ("a/b", "has a directory in it"),
            ("", "is no name"),
            (".", "is no name"),
            ("stdout", "file of the sandbox"),
        ] {
            let error = mounts("/w", &[volume("id1", "web", name, "")]).unwrap_err();
            assert!(error.contains(why), "{name}: {error}");
        }
        let two = [volume("a", "web", "data", ""), volume("b", "web", "data", "")];
        assert_eq!(
            mounts("/w", &two).unwrap_err(),
            "The container path 'data' is wanted by persistent volume 'b' and by 'a'"
        );
        let same = [volume("a", "web", "data", ""), volume("a", "web", "data", "")];
        assert_eq!(mounts("/w", &same).map(|mounts| mounts.len()), Ok(1));
        let names = [volume("a", "web", "data", ""), volume("a", "web", "more", "")];
        assert_eq!(mounts("/w", &names).map(|mounts| mounts.len()), Ok(2));
    }
}
