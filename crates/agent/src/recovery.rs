//! What a restarted agent finds on its disk: it reads the files, the core makes sense of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use agent_core::{Entry, Recovered};
use types::AgentId;

use crate::checkpoint;

/// What the kernel calls this boot. It changes with every one.
const KERNEL_BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Reads everything below `meta/slaves/<latest>` and `meta/resources`.
pub(crate) fn recover(work_dir: &Path) -> io::Result<Recovered> {
    let meta = work_dir.join("meta");
    fs::create_dir_all(&meta)?;
    let (rebooted, boot) = boot(&meta);
    let mut files = BTreeMap::new();
    read_into(&mut files, &meta.join("resources"), "resources")?;
    let latest = latest(&meta.join("slaves"))?;
    if let Some(agent) = &latest {
        // The rest (resource providers) is not for this version to touch.
        for name in ["slave.info", "frameworks", "operations", "drain.config"] {
            read_into(&mut files, &agent.join(name), name)?;
        }
    }
    let current = latest.as_deref().and_then(Path::file_name).and_then(OsStr::to_str);
    let former = former([work_dir.join("slaves"), meta.join("slaves")], current);
    let mut found = Recovered { boot, former, ..Recovered::from_files(&files, rebooted) };
    for lost in latest.iter().flat_map(|agent| found.lost.iter().map(move |lost| agent.join(lost))) {
        fs::remove_file(lost)?;
    }
    if let (Some(agent), Some(name)) = (&found.agent, current)
        && agent.id.as_ref().is_some_and(|id| id.value == name)
    {
        let own = [work_dir.join("slaves").join(name), meta.join("slaves").join(name)];
        found.leftovers = leftovers(&own, &found);
    }
    Ok(found)
}

/// The directory that `latest` leads to.
fn latest(slaves: &Path) -> io::Result<Option<PathBuf>> {
    match fs::read_link(slaves.join("latest")) {
        // The link may be from before the work directory was moved; only the name counts.
        Ok(target) => Ok(target.file_name().map(|name| slaves.join(name)).filter(|path| path.is_dir())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the machine was booted anew since an agent recovered here, and the name of this boot where it is to be noted.
fn boot(meta: &Path) -> (bool, Option<String>) {
    // A machine that does not tell cannot be known to have been booted.
    let Ok(now) = fs::read_to_string(KERNEL_BOOT_ID) else { return (false, None) };
    let now = now.trim();
    let before = fs::read_to_string(meta.join("boot_id")).ok();
    let is_new = before.as_deref().map(str::trim) != Some(now);
    (before.is_some() && is_new, is_new.then(|| now.to_owned()))
}

/// The agents of which there are directories, but for that one.
fn former(directories: [PathBuf; 2], current: Option<&str>) -> Vec<AgentId> {
    let names: BTreeSet<String> = directories.iter().flat_map(|directory| names(directory)).collect();
    names.into_iter().filter(|name| Some(name.as_str()) != current).map(AgentId::new).collect()
}

/// The names of the directories in a directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let name = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        entry.file_type().ok()?.is_dir().then(|| entry.file_name().into_string().ok())?
    };
    entries.filter_map(name).collect()
}

/// The directories below the agent's own of what was not found: frameworks, executors, runs.
fn leftovers(own: &[PathBuf], found: &Recovered) -> Vec<String> {
    let frameworks: BTreeMap<_, _> =
        found.frameworks.iter().filter_map(|it| Some((it.info.id.as_ref()?.value.as_str(), it))).collect();
    let mut left = BTreeSet::new();
    for root in own {
        for id in names(&root.join("frameworks")) {
            let at = format!("frameworks/{id}");
            let Some(framework) = frameworks.get(id.as_str()) else {
                left.insert(at);
                continue;
            };
            for id in names(&root.join(&at).join("executors")) {
                let at = format!("{at}/executors/{id}");
                let known = framework.executors.iter().find(|it| it.info.executor_id.value == id);
                let Some(executor) = known else {
                    left.insert(at);
                    continue;
                };
                let runs = names(&root.join(&at).join("runs")).into_iter();
                let unknown = runs.filter(|run| executor.runs.iter().all(|known| known.container != *run));
                left.extend(unknown.map(|run| format!("{at}/runs/{run}")));
            }
        }
    }
    left.into_iter().collect()
}

/// Reads a file, or all files and links below a directory. What is not there is no error.
fn read_into(files: &mut BTreeMap<String, Entry>, path: &Path, name: &str) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if kind.is_symlink() {
        let target = fs::read_link(path)?.to_string_lossy().into_owned();
        files.insert(name.to_owned(), Entry::Link(target));
    } else if kind.is_dir() {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let below = entry.file_name().to_string_lossy().into_owned();
            if !checkpoint::is_temporary(&below) {
                read_into(files, &entry.path(), &format!("{name}/{below}"))?;
            }
        }
    } else if kind.is_file() {
        let mut bytes = fs::read(path)?;
        if name.ends_with("/task.updates") || name.ends_with("/operation.updates") {
            cut_torn_tail(path, &mut bytes)?;
        }
        files.insert(name.to_owned(), Entry::File(bytes));
    }
    Ok(())
}

/// Ends a file of records at its last whole one, so that the next one can be appended.
fn cut_torn_tail(path: &Path, bytes: &mut Vec<u8>) -> io::Result<()> {
    let whole = agent_core::whole_records_bytes(bytes);
    if whole < bytes.len() {
        tracing::warn!(path = %path.display(), torn = bytes.len() - whole, "cut a record that was not written whole");
        bytes.truncate(whole);
        let file = fs::OpenOptions::new().write(true).open(path)?;
        file.set_len(whole as u64)?;
        file.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
