//! Making records durable: what the core wants kept is written before anything later happens, and on the disk where it
//! must outlive the machine.
//!
//! The names and bytes are the core's ([`Record`]); this file knows only files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use agent_core::{Outlives, Record, Write};
use fail_point::fail_point;
use proto::mesos::internal::status_update_record::Type;

/// What follows a file's name while it is being written. Nothing reads such files back.
const TEMPORARY: &str = ".tmp";

/// Writes records in their order. Returns the path that failed, if one does.
pub(crate) fn write_all(work_dir: &str, records: &[Record]) -> Result<(), (PathBuf, io::Error)> {
    for record in records {
        let path = PathBuf::from(record.path(work_dir));
        let (before, after) = points(record);
        fail_point(before);
        let sync = record.outlives() == Outlives::Machine;
        if sync {
            for other in record.rests_on(work_dir).into_iter().map(PathBuf::from) {
                sync_file(&other).map_err(|error| (other, error))?;
            }
        }
        write(&path, &record.write(work_dir), sync).map_err(|error| (path, error))?;
        fail_point(after);
    }
    Ok(())
}

/// Gets what was written to a file onto the disk, if there is such a file. It costs nothing where that is so already.
fn sync_file(path: &Path) -> io::Result<()> {
    match File::open(path) {
        Ok(file) => file.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn write(path: &Path, what: &Write, sync: bool) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)?;
    match what {
        Write::Replace(bytes) => replace(path, bytes, sync)?,
        Write::Append(bytes) => {
            let mut file = OpenOptions::new().append(true).create(true).open(path)?;
            file.write_all(bytes)?;
            if sync {
                file.sync_data()?;
            }
        }
        Write::Touch => {
            OpenOptions::new().append(true).create(true).open(path)?;
        }
        Write::Link { target } => {
            fs::create_dir_all(target)?;
            link(path, Path::new(target))?;
        }
        Write::Rename { from } => fs::rename(from, path)?,
        Write::RemoveDirectory => match fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        },
        Write::Remove => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        },
    }
    // A new name is durable once its directory is.
    if sync { File::open(directory)?.sync_all() } else { Ok(()) }
}

/// Replaces a file as a whole: readers see the old one or the new one, if it is synced also after a loss of power.
fn replace(path: &Path, bytes: &[u8], sync: bool) -> io::Result<()> {
    let temporary = temporary(path);
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    if sync {
        file.sync_data()?;
    }
    fail_point("checkpoint.renaming");
    fs::rename(temporary, path)
}

/// Puts a symbolic link in place of the one there is.
pub(crate) fn link(path: &Path, target: &Path) -> io::Result<()> {
    let temporary = temporary(path);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    std::os::unix::fs::symlink(target, &temporary)?;
    fs::rename(temporary, path)
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY);
    name.into()
}

/// Whether a name is that of a file that was being written when the agent died.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.ends_with(TEMPORARY)
}

/// The fail points before and after a record is written.
fn points(record: &Record) -> (&'static str, &'static str) {
    match record {
        Record::AgentInfo(_) => ("checkpoint.agent_info.before", "checkpoint.agent_info.after"),
        Record::LatestAgent(_) => ("checkpoint.latest_agent.before", "checkpoint.latest_agent.after"),
        Record::NoAgent => ("checkpoint.no_agent.before", "checkpoint.no_agent.after"),
        Record::FrameworkInfo(..) => ("checkpoint.framework_info.before", "checkpoint.framework_info.after"),
        Record::FrameworkPid(..) => ("checkpoint.framework_pid.before", "checkpoint.framework_pid.after"),
        Record::ExecutorInfo(..) => ("checkpoint.executor_info.before", "checkpoint.executor_info.after"),
        Record::CommandTask(..) => ("checkpoint.command_task.before", "checkpoint.command_task.after"),
        Record::LatestRun(_) => ("checkpoint.latest_run.before", "checkpoint.latest_run.after"),
        Record::HttpMarker(_) => ("checkpoint.http_marker.before", "checkpoint.http_marker.after"),
        Record::LibprocessPid(..) => ("checkpoint.libprocess_pid.before", "checkpoint.libprocess_pid.after"),
        Record::Sentinel(_) => ("checkpoint.sentinel.before", "checkpoint.sentinel.after"),
        Record::TaskInfo(..) => ("checkpoint.task_info.before", "checkpoint.task_info.after"),
        Record::TaskUpdate(_, _, record) if record.r#type() == Type::Ack => {
            ("checkpoint.task_acknowledgement.before", "checkpoint.task_acknowledgement.after")
        }
        Record::TaskUpdate(..) => ("checkpoint.task_update.before", "checkpoint.task_update.after"),
        Record::ResourceStateTarget(_) => {
            ("checkpoint.resource_state_target.before", "checkpoint.resource_state_target.after")
        }
        Record::CommitResourceState => {
            ("checkpoint.commit_resource_state.before", "checkpoint.commit_resource_state.after")
        }
        Record::ResourcesTarget(_) => {
            ("checkpoint.resources_target.before", "checkpoint.resources_target.after")
        }
        Record::CommitResources => {
            ("checkpoint.commit_resources.before", "checkpoint.commit_resources.after")
        }
        Record::OperationUpdate(..) => {
            ("checkpoint.operation_update.before", "checkpoint.operation_update.after")
        }
        Record::NoOperation(..) => ("checkpoint.no_operation.before", "checkpoint.no_operation.after"),
        Record::DrainConfig(..) => ("checkpoint.drain_config.before", "checkpoint.drain_config.after"),
        Record::NoDrainConfig(_) => ("checkpoint.no_drain_config.before", "checkpoint.no_drain_config.after"),
        Record::BootId(_) => ("checkpoint.boot_id.before", "checkpoint.boot_id.after"),
    }
}

#[cfg(test)]
mod tests {
    use agent_core::{ExecutorPath, FrameworkPath, RunPath};
    use proto::mesos::v1;
    use types::ContainerId;

    use super::*;

    #[test]
    fn records_have_the_layout_of_mesos() {
        let directory = tempfile::tempdir().unwrap();
        let work_dir = directory.path().to_str().unwrap();
        let framework = FrameworkPath { agent: "S0".into(), framework: "F".into() };
        let run = RunPath {
            executor: ExecutorPath { framework: framework.clone(), executor: "e".into() },
            container: ContainerId::root("c"),
        };
        let info = v1::AgentInfo {
            hostname: "h".to_owned(),
            id: Some(v1::AgentId { value: "S0".to_owned() }),
            ..v1::AgentInfo::default()
        };
        let update = Record::TaskUpdate(run.clone(), "t".into(), Box::default());
        let records = [
            Record::AgentInfo(Box::new(info)),
            Record::LatestAgent("S0".into()),
            Record::FrameworkPid(framework, None),
            Record::LatestRun(run.clone()),
            update.clone(),
            update,
            Record::Sentinel(run),
        ];
        write_all(work_dir, &records).unwrap();
        let meta = directory.path().join("meta/slaves");
        assert_eq!(fs::read_link(meta.join("latest")).unwrap(), meta.join("S0"));
        let info = fs::read(meta.join("latest/slave.info")).unwrap();
        assert_eq!(u32::from_ne_bytes(info[..4].try_into().unwrap()) as usize, info.len() - 4);
        let runs = meta.join("S0/frameworks/F/executors/e/runs");
        assert_eq!(fs::read_link(runs.join("latest")).unwrap(), runs.join("c"));
        assert!(runs.join("c/executor.sentinel").exists());
        let updates = fs::read(runs.join("c/tasks/t/task.updates")).unwrap();
        let (one, two) = updates.split_at(updates.len() / 2);
        assert!(one == two && !one.is_empty());
    }
}
