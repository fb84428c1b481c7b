//! What a container sees of the machine's directories and of Docker's volumes.

use proto::mesos::v1::{ContainerInfo, Volume, volume};
use serde_json::{Value, json};

use crate::options::{Bind, Body, Request};

/// Adds the volumes, those of the resources and the sandbox. Returns the driver that the volumes name.
pub(crate) fn add(body: &mut Body, request: &Request<'_>) -> Result<Option<String>, String> {
    let mut driver: Option<String> = None;
    for volume in &request.container.volumes {
        if let Some(bind) = bind(volume, request, &mut driver)? {
            body.host_list("Binds", Value::from(bind));
        }
    }
    // As mounts and not in one line, so that a path may have colons.
    let sandbox =
        Bind { source: request.sandbox.to_owned(), target: request.mapped.to_owned(), read_only: false };
    for Bind { source, target, read_only } in std::iter::once(&sandbox).chain(request.binds) {
        let target = absolute(target, request);
        let mount = json!({"Type": "bind", "Source": source, "Target": target, "ReadOnly": read_only});
        body.host_list("Mounts", mount);
    }
    named_driver(request.container, driver)
}

#[expect(deprecated, reason = "frameworks still name the driver there")]
fn named_driver(container: &ContainerInfo, driver: Option<String>) -> Result<Option<String>, String> {
    let given = container.docker.as_ref().and_then(|docker| docker.volume_driver.clone());
    match (given, driver) {
        (Some(given), Some(other)) if given != other => {
            Err("Only one volume driver per task is supported".to_owned())
        }
        (given, other) => Ok(given.or(other)),
    }
}

/// The line of one volume; none for a kind that Docker does not know.
fn bind(
    volume: &Volume,
    request: &Request<'_>,
    driver: &mut Option<String>,
) -> Result<Option<String>, String> {
    let target = absolute(&volume.container_path, request);
    let mode = match volume.mode() {
        volume::Mode::Rw => "rw",
        volume::Mode::Ro => "ro",
    };
    if let Some(host_path) = &volume.host_path {
        let source = host_source(host_path, &volume.container_path, request)?;
        return Ok(Some(format!("{source}:{target}:{mode}")));
    }
    let Some(source) = &volume.source else {
        return Err("Host path or volume source is required".to_owned());
    };
    // COMPAT(mesos): other kinds of sources are left out without a word.
    let docker =
        source.docker_volume.as_ref().filter(|_| source.r#type() == volume::source::Type::DockerVolume);
    let Some(docker) = docker else { return Ok(None) };
    if let Some(named) = &docker.driver {
        match driver {
            Some(other) if other != named => return Err("Only one volume driver is supported".to_owned()),
            Some(_) | None => *driver = Some(named.clone()),
        }
    }
    Ok(Some(format!("{}:{target}:{mode}", docker.name)))
}

#[expect(deprecated, reason = "frameworks still name the driver there")]
fn host_source(host_path: &str, container_path: &str, request: &Request<'_>) -> Result<String, String> {
    if host_path.starts_with('/') {
        return Ok(host_path.to_owned());
    }
    if !container_path.starts_with('/') {
        return Err(format!(
            "Both host_path '{host_path}' and container_path '{container_path}' of a volume are relative"
        ));
    }
    // With a driver the path is the name of a volume.
    let has_driver = request.container.docker.as_ref().is_some_and(|docker| docker.volume_driver.is_some());
    Ok(if has_driver { host_path.to_owned() } else { format!("{}/{host_path}", request.sandbox) })
}

/// Where in the container; a relative path lies in the sandbox.
fn absolute(path: &str, request: &Request<'_>) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", request.mapped) }
}
