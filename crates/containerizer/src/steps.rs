//! Plans carried out: each step in its order, and none left behind when a later one fails.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use launch_plan::{Device, Plan, Step, Undo};
use linux::{Cgroup, DestroyError, DeviceRule};
use rustix::fs::{Uid, chown};

/// How long what a failed launch has made may take to go: nothing runs in it yet.
const UNDO_PATIENCE: Duration = Duration::from_secs(5);

/// Carries out the steps. On a failure those before it are undone.
pub(crate) fn carry_out(steps: &[Step]) -> Result<(), String> {
    let mut written = None;
    for (at, step) in steps.iter().enumerate() {
        if let Err(message) = carry_out_one(step, &mut written) {
            for undo in steps[..at].iter().rev().filter_map(Step::undo) {
                if let Err(error) = take_back(&undo, UNDO_PATIENCE) {
                    tracing::warn!(%error, "a failed launch leaves something behind");
                }
            }
            return Err(message);
        }
    }
    Ok(())
}

/// Moves a process into the cgroups of a plan that it was not born in.
pub(crate) fn join(plan: &Plan, pid: u32) -> Result<(), String> {
    for path in &plan.cgroups {
        Cgroup::at(path)
            .attach(pid)
            .map_err(|error| format!("Failed to assign pid {pid} to cgroup at '{path}': {error}"))?;
    }
    if let Some(adjustment) = plan.process.oom_score_adj {
        std::fs::write(format!("/proc/{pid}/oom_score_adj"), adjustment.to_string())
            .map_err(|error| format!("Failed to set OOM score adjustment: {error}"))?;
    }
    Ok(())
}

/// Takes back what a step has done.
pub(crate) fn take_back(undo: &Undo, patience: Duration) -> Result<(), DestroyError> {
    match undo {
        Undo::DestroyCgroup { path } => Cgroup::at(path).destroy(patience),
    }
}

/// A file of a cgroup that is open: some are written again and again, a line at a time.
struct Written<'a> {
    path: &'a str,
    name: &'static str,
    file: File,
}

fn carry_out_one<'a>(step: &'a Step, written: &mut Option<Written<'a>>) -> Result<(), String> {
    match step {
        Step::CreateCgroup { path } => Cgroup::at(path).create().map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => format!("The cgroup at '{path}' already exists"),
            _ => format!("Failed to create the cgroup at '{path}': {error}"),
        }),
        Step::Own { path, uid } => chown(path, Some(Uid::from_raw(*uid)), None)
            .map_err(|error| format!("Failed to chown the cgroup at '{path}' to user {uid}: {error}")),
        Step::Inherit { path, file, top } => give_inherited(Path::new(path), file, Path::new(top))
            .map_err(|error| format!("Failed to set '{file}' of the cgroup at '{path}': {error}")),
        Step::Delegate { path, controllers, top } => {
            let names: Vec<&str> = controllers.iter().copied().collect();
            Cgroup::at(path).delegate(&names, Path::new(top)).map_err(|error| {
                let names = names.join(", ");
                format!("Failed to enable the controllers {names} in the cgroup at '{path}': {error}")
            })
        }
        Step::LimitDevices { path, allowed } => limit_devices(path, allowed)
            .map_err(|error| format!("Failed to limit the devices of the cgroup at '{path}': {error}")),
        Step::Write { path, file, value } => write(path, file, value, written).map_err(|error| {
            format!("Failed to update '{file}' of the cgroup at '{path}' to {value}: {error}")
        }),
    }
}

fn write<'a>(
    path: &'a str,
    name: &'static str,
    value: &str,
    written: &mut Option<Written<'a>>,
) -> io::Result<()> {
    let open = match written.take() {
        Some(open) if open.path == path && open.name == name => open,
        Some(_) | None => Written { path, name, file: Cgroup::at(path).open(name)? },
    };
    // The kernel takes each call for a value of its own, wherever the file was before.
    rustix::io::pwrite(&open.file, value.as_bytes(), 0)?;
    *written = Some(open);
    Ok(())
}

fn limit_devices(path: &str, allowed: &[Device]) -> io::Result<()> {
    let rules = allowed.iter().map(|device| device.0.parse()).collect::<Result<Vec<DeviceRule>, _>>();
    linux::limit_devices(&Cgroup::at(path), &rules.map_err(io::Error::other)?)
}

/// Gives a cgroup that is new the value of the one above it. Where that has none yet it is given one first.
fn give_inherited(path: &Path, file: &str, top: &Path) -> io::Result<()> {
    let above = path.parent().filter(|above| above.starts_with(top)).ok_or(io::ErrorKind::NotFound)?;
    let value = inherit(above, file, top)?;
    Cgroup::at(path).write(file, value.trim())
}

/// Gives a cgroup, and those above it up to the hierarchy's top, the value of the one above.
fn inherit(path: &Path, file: &str, top: &Path) -> io::Result<String> {
    let cgroup = Cgroup::at(path);
    let value = cgroup.read(file)?;
    if !value.trim().is_empty() || path == top {
        return Ok(value);
    }
    let above = path.parent().filter(|above| above.starts_with(top)).ok_or(io::ErrorKind::NotFound)?;
    let value = inherit(above, file, top)?;
    cgroup.write(file, value.trim())?;
    Ok(value)
}
