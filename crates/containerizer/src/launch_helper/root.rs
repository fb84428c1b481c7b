//! The container's own root: what it is made of, what is in it, and the way in. Paths in it are looked up as the
//! container would, since whoever made its image may have put links anywhere.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use launch_plan::{Bind, DeviceNode, Fitting, Layered, Process, Root as Planned, SHARED_MEMORY, Special};
use linux::{MountRequest, Node, Root, by_descriptor};
use rustix::fs::{FileType, Mode, OFlags};

use super::LaunchError;

/// Everybody may use the devices that every root has.
const DEVICE_MODE: u32 = 0o666;

/// Makes the root, so that it can be entered.
pub(super) fn make(planned: &Planned) -> Result<(), LaunchError> {
    let path = Path::new(&planned.path);
    let mounted = match &planned.layers {
        Some(layers) => linux::overlay(Path::new(&layers.links), layers.count, path),
        // Only what is a mount can be entered.
        None => linux::bind(path, path, true),
    };
    mounted.map_err(|error| LaunchError::Mount("the root".to_owned(), planned.path.clone(), error))?;
    let root = open(planned)?;
    for fitting in launch_plan::FITTINGS {
        fit(&root, fitting)?;
    }
    for device in &planned.devices {
        let DeviceNode { path, characters, major, minor, mode } = device;
        let node = Node { characters: *characters, major: *major, minor: *minor, mode: *mode };
        root.node(Path::new(path), node).map_err(|error| LaunchError::Device(path.clone(), error))?;
    }
    let shared = Path::new(SHARED_MEMORY);
    match planned.own_shared_memory() {
        Some(own) => mount(&root, &own.kind, &own.target, &own.options, |request| request.exec = true),
        None => {
            let target = root.directory(shared).map_err(|error| mounting("bind", SHARED_MEMORY, error))?;
            linux::bind(shared, &by_descriptor(target.as_fd()), true)
                .map_err(|error| mounting("bind", SHARED_MEMORY, error))
        }
    }
}

/// Mounts the layers of what is seen elsewhere.
pub(super) fn layer(process: &Process) -> Result<(), LaunchError> {
    for Layered { path, layers } in &process.layered {
        linux::overlay(Path::new(&layers.links), layers.count, Path::new(path))
            .map_err(|error| LaunchError::Mount("an image".to_owned(), path.clone(), error))?;
    }
    Ok(())
}

/// Shows paths of the machine in the container.
pub(super) fn show(process: &Process) -> Result<(), LaunchError> {
    if process.binds.is_empty() {
        return Ok(());
    }
    let root = match &process.root {
        Some(planned) => open(planned)?,
        None => Root::open(Path::new("/")).map_err(|error| mounting("bind", "/", error))?,
    };
    for bind in &process.binds {
        show_in(&root, bind)
            .map_err(|error| LaunchError::Bind(bind.source.clone(), bind.target.clone(), error))?;
    }
    Ok(())
}

/// Hides what tells of the machine.
pub(super) fn mask(planned: &Planned) -> Result<(), LaunchError> {
    let root = open(planned)?;
    for path in planned.masked() {
        mask_one(&root, Path::new(path)).map_err(|error| mounting("mask", path, error))?;
    }
    Ok(())
}

/// Makes it the root of this process, and lets go of all else.
pub(super) fn enter(path: &Path) -> Result<(), LaunchError> {
    let entered = Root::open(path).and_then(Root::enter);
    entered.map_err(|error| LaunchError::Root(path.display().to_string(), error))
}

fn open(planned: &Planned) -> Result<Root, LaunchError> {
    let path = &planned.path;
    Root::open(Path::new(path)).map_err(|error| LaunchError::Root(path.clone(), error))
}

fn fit(root: &Root, fitting: &Fitting) -> Result<(), LaunchError> {
    match fitting {
        Fitting::Mount(Special { kind, target, options, devices, read_only }) => {
            mount(root, kind, target, options, |request| {
                request.devices = *devices;
                request.read_only = *read_only;
            })
        }
        Fitting::ReadOnly(path) => seal(root, Path::new(path)).map_err(|error| mounting("bind", path, error)),
        Fitting::Device(device) => {
            let node = Node { characters: true, major: device.major, minor: device.minor, mode: DEVICE_MODE };
            root.node(Path::new(device.path), node)
                .map_err(|error| LaunchError::Device(device.path.to_owned(), error))
        }
        Fitting::Link { path, target } => {
            root.link(target, Path::new(path)).map_err(|error| LaunchError::Device((*path).to_owned(), error))
        }
    }
}

fn mount(
    root: &Root,
    kind: &str,
    target: &str,
    options: &str,
    adjust: impl FnOnce(&mut MountRequest),
) -> Result<(), LaunchError> {
    let mounted = root.directory(Path::new(target)).and_then(|directory| {
        let mut request = MountRequest {
            kind: kind.to_owned(),
            target: by_descriptor(directory.as_fd()),
            options: options.to_owned(),
            ..MountRequest::default()
        };
        adjust(&mut request);
        linux::apply(&request)
    });
    mounted.map_err(|error| mounting(kind, target, error))
}

/// Lets nothing be written at a path. What a kernel does not have needs no seal.
fn seal(root: &Root, path: &Path) -> io::Result<()> {
    let Some(there) = root.find_if_there(path)? else { return Ok(()) };
    let there = by_descriptor(there.as_fd());
    linux::bind(&there, &there, false)?;
    // The mount that was made is on top of what the handle is of.
    linux::make_read_only(&by_descriptor(root.find(path)?.as_fd()))
}

fn mask_one(root: &Root, path: &Path) -> io::Result<()> {
    let Some(there) = root.find_if_there(path)? else { return Ok(()) };
    let target = by_descriptor(there.as_fd());
    if is_directory(&there)? {
        return linux::apply(&MountRequest {
            kind: "tmpfs".to_owned(),
            target,
            options: "size=0".to_owned(),
            read_only: true,
            ..MountRequest::default()
        });
    }
    let nothing = root.find(Path::new("/dev/null"))?;
    linux::bind(&by_descriptor(nothing.as_fd()), &target, false)?;
    linux::make_read_only(&by_descriptor(root.find(path)?.as_fd()))
}

fn show_in(root: &Root, bind: &Bind) -> io::Result<()> {
    match &bind.inside {
        // Links in it are taken as if it was the root, and so lead nowhere else.
        Some(inside) => show_one(&Root::open(Path::new(inside))?, bind),
        None => show_one(root, bind),
    }
}

fn show_one(root: &Root, bind: &Bind) -> io::Result<()> {
    let source = Path::new(&bind.source);
    let source = match &bind.below {
        Some(below) => linux::open_below(Path::new(below), source)?,
        None => rustix::fs::open(source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?,
    };
    let at = Path::new(&bind.target);
    let target = match (bind.must_exist, is_directory(&source)?) {
        (true, _) => root.find(at)?,
        (false, true) => root.directory(at)?,
        (false, false) => root.file(at)?,
    };
    linux::bind(&by_descriptor(source.as_fd()), &by_descriptor(target.as_fd()), true)?;
    match bind.read_only {
        true => linux::make_read_only(&by_descriptor(root.find(at)?.as_fd())),
        false => Ok(()),
    }
}

fn is_directory(file: &OwnedFd) -> io::Result<bool> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode) == FileType::Directory)
}

fn mounting(what: &str, target: &str, error: io::Error) -> LaunchError {
    LaunchError::Mount(what.to_owned(), target.to_owned(), error)
}
