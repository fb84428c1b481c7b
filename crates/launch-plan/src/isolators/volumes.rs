//! `volume/{host_path,image,sandbox_path,secret}`, `docker/volume` and persistent volumes, in the mounts of a container.
//!
//! What is called so in the sandbox is a link to where it is on the machine. A container with a root of its own finds
//! it at the same path in there, so that the link leads to it, too. What has an absolute path in the container is found
//! there alone.

use proto::mesos::v1::Volume;
use proto::mesos::v1::volume::Mode;
use proto::mesos::v1::volume::source::{HostPath, SandboxPath, Type, sandbox_path};
use proto::mesos::v1::{mount_propagation, secret};

use crate::facts::Settings;
use crate::plan::{Container, Plan, Refusal, Rootfs};
use crate::root::{Bind, Layered, Persistent, SecretFile};

/// Shows a container the volumes that it asks for.
pub(crate) fn prepare(
    settings: &Settings,
    container: &Container<'_>,
    plan: &mut Plan,
) -> Result<(), Refusal> {
    let has_root = plan.process.root.is_some();
    if has_root {
        plan.process.binds.extend(container.volumes.iter().map(at_its_own_path));
    }
    let mut mounted = container.docker_volumes.iter();
    let mut provided = container.image_volumes.iter();
    for volume in container.info.iter().flat_map(|info| &info.volumes) {
        match kind(volume)? {
            Kind::Host(path) => {
                let bind = host(settings, container, volume, path, has_root)?;
                plan.process.binds.push(bind);
            }
            Kind::Docker => {
                let path = mounted.next().ok_or_else(|| {
                    let at = &volume.container_path;
                    Refusal(format!("'docker/volume' must be used to enable the DOCKER_VOLUME at '{at}'"))
                })?;
                plan.process.binds.push(bind(settings, container, volume, path, "DOCKER_VOLUME", has_root)?);
            }
            Kind::Image => {
                let at = &volume.container_path;
                let image = provided.next();
                let Rootfs { path, layers, .. } = image
                    .ok_or_else(|| Refusal(format!("The image for the volume at '{at}' was not provided")))?;
                let layers = layers.clone();
                plan.process.layered.extend(layers.map(|layers| Layered { path: path.clone(), layers }));
                plan.process.binds.push(bind(settings, container, volume, path, "image", has_root)?);
            }
            Kind::Sandbox(source) if has_root => plan.process.binds.push(sandbox(container, volume, source)?),
            Kind::Secret => {
                let Place { inside, target, must_exist } =
                    place(settings, container, &volume.container_path, "Secret", has_root)?;
                plan.process.secrets.push(SecretFile { inside, target, must_exist });
            }
            Kind::Sandbox(source)
                if container.mounts_sandbox_paths && source.r#type() == sandbox_path::Type::Parent =>
            {
                // The way by a link may be closed to its user, who can be in the group of the source.
                let bind = sandbox(container, volume, source)?;
                let Place { inside, target, must_exist } =
                    place(settings, container, &volume.container_path, "SANDBOX_PATH", false)?;
                plan.process.binds.push(Bind { inside, target, must_exist, ..bind });
            }
            // Without a root of its own the link is all there is to it.
            Kind::Sandbox(_) => {}
        }
    }
    Ok(())
}

/// Whether a container asks for something that only mounts of its own can give.
pub(crate) fn needs_mounts(container: &Container<'_>) -> bool {
    container
        .info
        .iter()
        .flat_map(|info| &info.volumes)
        .any(|volume| matches!(kind(volume), Ok(Kind::Host(_) | Kind::Secret | Kind::Docker | Kind::Image)))
}

enum Kind<'a> {
    Host(&'a str),
    Sandbox(&'a SandboxPath),
    Secret,
    Docker,
    Image,
}

fn kind(volume: &Volume) -> Result<Kind<'_>, Refusal> {
    let at = &volume.container_path;
    let no = |what: &str| Err(Refusal(format!("The volume at '{at}' is {what}, which is not supported")));
    if let Some(path) = &volume.host_path {
        return Ok(Kind::Host(path));
    }
    if volume.image.is_some() {
        return Ok(Kind::Image);
    }
    let Some(source) = &volume.source else {
        return Err(Refusal(format!("The volume at '{at}' has no source")));
    };
    match source.r#type() {
        Type::HostPath => {
            let HostPath { path, mount_propagation } =
                source.host_path.as_ref().ok_or_else(|| Refusal("'host_path' is not set".to_owned()))?;
            let mode = mount_propagation.as_ref().map(|propagation| propagation.mode());
            match mode {
                Some(mount_propagation::Mode::Bidirectional) => no("of BIDIRECTIONAL mount propagation"),
                Some(mount_propagation::Mode::HostToContainer | mount_propagation::Mode::Unknown) | None => {
                    Ok(Kind::Host(path))
                }
            }
        }
        Type::SandboxPath => {
            let path = source.sandbox_path.as_ref();
            path.map(Kind::Sandbox).ok_or_else(|| Refusal("'sandbox_path' is not set".to_owned()))
        }
        Type::DockerVolume => Ok(Kind::Docker),
        Type::Secret => match source.secret.as_ref().map(|secret| secret.r#type()) {
            Some(secret::Type::Value) => Ok(Kind::Secret),
            Some(secret::Type::Reference) => Err(Refusal(format!(
                "The secret at '{at}' is a reference, and there is no module to resolve it"
            ))),
            Some(secret::Type::Unknown) | None => {
                Err(Refusal(format!("The secret at '{at}' has no known type")))
            }
        },
        Type::CsiVolume => no("of a CSI plugin"),
        Type::Unknown => Err(Refusal(format!("The source of the volume at '{at}' has no known type"))),
    }
}

fn at_its_own_path(volume: &Persistent) -> Bind {
    Bind { source: volume.source.clone(), target: volume.source.clone(), ..Bind::default() }
}

fn host(
    settings: &Settings,
    container: &Container<'_>,
    volume: &Volume,
    path: &str,
    has_root: bool,
) -> Result<Bind, Refusal> {
    if !path.starts_with('/') {
        return Err(Refusal(format!("Path '{path}' in HOST_PATH volume is not absolute")));
    }
    bind(settings, container, volume, path, "HOST_PATH", has_root)
}

/// A path of the machine, where a volume says.
fn bind(
    settings: &Settings,
    container: &Container<'_>,
    volume: &Volume,
    path: &str,
    kind: &str,
    has_root: bool,
) -> Result<Bind, Refusal> {
    let Place { inside, target, must_exist } =
        place(settings, container, &volume.container_path, kind, has_root)?;
    let read_only = volume.mode() == Mode::Ro;
    Ok(Bind { source: path.to_owned(), inside, target, must_exist, read_only, ..Bind::default() })
}

/// Where something is seen that is no link.
struct Place {
    inside: Option<String>,
    target: String,
    must_exist: bool,
}

fn place(
    settings: &Settings,
    container: &Container<'_>,
    at: &str,
    kind: &str,
    has_root: bool,
) -> Result<Place, Refusal> {
    if at.starts_with('/') {
        // COMPAT(mesos): without a root of its own a container can only see it where there is something already.
        return Ok(Place { inside: None, target: at.to_owned(), must_exist: !has_root });
    }
    if !is_below(at) {
        return Err(Refusal(format!(
            "The 'container_path' '{at}' of a {kind} volume is not a path below the sandbox"
        )));
    }
    let (inside, target) = match has_root {
        true => (None, format!("{}/{at}", settings.sandbox_directory)),
        false => (Some(container.sandbox.to_owned()), at.to_owned()),
    };
    Ok(Place { inside, target, must_exist: false })
}

fn sandbox(container: &Container<'_>, volume: &Volume, source: &SandboxPath) -> Result<Bind, Refusal> {
    let (base, volumes) = match source.r#type() {
        sandbox_path::Type::Self_ => (container.sandbox, container.volumes),
        sandbox_path::Type::Parent => container.around.ok_or_else(|| {
            Refusal(
                "PARENT type in 'SandboxPath' volume is not supported for top-level containers".to_owned(),
            )
        })?,
        sandbox_path::Type::Unknown => return Err(Refusal("Unknown 'SandboxPath' type".to_owned())),
    };
    if !is_below(&source.path) {
        return Err(Refusal(format!(
            "Path '{}' in 'SandboxPath' volume is not a path below the sandbox",
            source.path
        )));
    }
    let linked = format!("{base}/{}", source.path);
    // What the sandbox has as a link is taken from where that leads, whatever became of the link.
    let (first, rest) = source.path.split_once('/').unwrap_or((&source.path, ""));
    let persistent = volumes.iter().find(|volume| volume.name == first);
    let (below, path) = match persistent {
        Some(volume) if rest.is_empty() => (volume.source.clone(), volume.source.clone()),
        Some(volume) => (volume.source.clone(), format!("{}/{rest}", volume.source)),
        None => (container.sandbox_root.unwrap_or(container.sandbox).to_owned(), linked.clone()),
    };
    let at = &volume.container_path;
    Ok(Bind {
        source: path,
        below: Some(below),
        target: if at.starts_with('/') { at.clone() } else { linked },
        read_only: volume.mode() == Mode::Ro,
        ..Bind::default()
    })
}

/// Whether a path is relative and leads down.
fn is_below(path: &str) -> bool {
    !path.is_empty() && !path.starts_with('/') && path.split('/').all(|name| name != "..")
}
