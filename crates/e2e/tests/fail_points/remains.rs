//! What there is of containers on the machine: processes, cgroups, mounts, marks, links in sandboxes, roots.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use e2e::Cluster;
use proto::mesos::internal::StatusUpdateRecord;
use proto::mesos::internal::status_update_record::Type;

/// All of it that is of this cluster's containers, whose cgroups are below `root`.
pub(crate) fn remains(cluster: &Cluster, root: &str) -> BTreeSet<String> {
    let home = cluster.home.path();
    let name = home.to_string_lossy().into_owned();
    let mut found = BTreeSet::new();
    let mut add = |path: &Path| {
        found.insert(path.display().to_string());
    };
    for hierarchy in directories(Path::new("/sys/fs/cgroup")) {
        directories(&hierarchy.join(root)).iter().for_each(|path| add(path));
    }
    for agent in 0..cluster.agents.len() {
        let run = home.join(format!("run-{agent}/containers"));
        directories(&run).iter().for_each(|path| add(path));
        let roots = home.join(format!("agent-{agent}/provisioner/containers"));
        directories(&roots).iter().for_each(|path| add(path));
        links(&home.join(format!("agent-{agent}/slaves")), &mut add);
    }
    let daemons: Vec<u32> = cluster.agents.iter().chain([&cluster.master]).map(|it| it.pid()).collect();
    for process in fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let read = |file: &str| {
            let bytes = fs::read(process.path().join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        if !daemons.contains(&pid) && (read("environ").contains(&name) || read("cmdline").contains(&name)) {
            found.insert(format!("process {pid}: {}", read("cmdline")));
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    found.extend(mounts.lines().filter(|line| line.contains(&name)).map(str::to_owned));
    found
}

/// Symbolic links below a directory, but for those to the latest run, and those to the sandboxes of a pod's tasks, which
/// stay with them.
fn links(directory: &Path, add: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let leads_to_task = directory.ends_with("tasks");
        if kind.is_symlink() && entry.file_name() != "latest" && !leads_to_task {
            add(&entry.path());
        }
        if kind.is_dir() {
            links(&entry.path(), add);
        }
    }
}

fn directories(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// The files of updates below a directory in which something is not acknowledged.
pub(crate) fn unacknowledged(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(unacknowledged(&path));
        } else if entry.file_name() == "task.updates"
            && !is_acknowledged(&fs::read(&path).unwrap_or_default())
        {
            found.push(path);
        }
    }
    found
}

fn is_acknowledged(mut bytes: &[u8]) -> bool {
    let (mut updates, mut acknowledged) = (BTreeSet::new(), BTreeSet::new());
    while let Some((size, rest)) = bytes.split_first_chunk::<4>() {
        let Some((record, rest)) = rest.split_at_checked(u32::from_ne_bytes(*size) as usize) else { break };
        let record: StatusUpdateRecord = prost::Message::decode(record).expect("a record");
        match record.r#type() {
            Type::Update => updates.insert(record.update.and_then(|update| update.uuid)),
            Type::Ack => acknowledged.insert(record.uuid),
        };
        bytes = rest;
    }
    updates == acknowledged
}
