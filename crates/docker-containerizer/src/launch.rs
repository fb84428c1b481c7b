//! What comes before a container runs: its files, its image, and the program beside it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use containerizer::{Fetching, Program, Spec, fetch, users};
use docker::{Bind, Body, Request, of_sandbox, with_tag};
use proto::mesos::v1::Resource;
use tokio::sync::watch;

use crate::containerizer::{Launch, Shared};

/// The name under which our binary is the Docker executor.
const PROGRAM: &str = "mesos-docker-executor";

/// What a launch is told that was given up.
const GIVEN_UP: &str = "Container is being destroyed during launching";

/// The sandbox of a launch that was given up.
pub(crate) struct Sandbox(pub(crate) PathBuf);

/// Launches a container as far as the process beside it. What that does is told by its own notices.
pub(crate) async fn launch(shared: Arc<Shared>, launch: Launch, mut stopped: watch::Receiver<bool>) {
    let container = launch.spec.container.clone();
    let prepared = tokio::select! {
        biased;
        () = ordered(&mut stopped) => Err(GIVEN_UP.to_owned()),
        prepared = prepare(&shared, launch) => prepared,
    };
    let begun = prepared.and_then(|spec| {
        shared.begin(spec).map_err(|Sandbox(path)| {
            tracing::debug!(sandbox = %path.display(), "a launch was given up");
            GIVEN_UP.to_owned()
        })
    });
    if let Err(message) = begun {
        crate::ending::failed(shared, container, message).await;
    }
}

async fn ordered(stopped: &mut watch::Receiver<bool>) {
    // A closed channel means that the containerizer is gone; nothing is launched any more.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Fetches and pulls. Returns the process beside the container.
async fn prepare(shared: &Shared, launch: Launch) -> Result<Spec, String> {
    refuse_gpus(&launch.spec.resources)?;
    let account = match &launch.spec.user {
        Some(user) => Some(users::lookup(user).map_err(|error| error.to_string())?),
        None => None,
    };
    let fetching = Fetching {
        container: launch.spec.container.to_string(),
        uris: launch.spec.uris.clone(),
        sandbox: launch.spec.directory.clone(),
        user: account,
    };
    fetch(Arc::clone(&shared.fetcher), fetching).await?;
    pull(shared, &launch).await?;
    match &launch.task {
        Some(_) => Ok(executor(shared, launch)),
        None => beside_executor(shared, launch).await,
    }
}

/// Docker's containers see no GPUs, so that those who were offered some are told. COMPAT(mesos): its words, where it has
/// no driver.
fn refuse_gpus(resources: &[Resource]) -> Result<(), String> {
    let gpus = resources.iter().filter(|resource| resource.name == "gpus");
    let amounts: Vec<f64> = gpus.filter_map(|it| it.scalar.as_ref()).map(|scalar| scalar.value).collect();
    match amounts.iter().sum::<f64>() {
        sum if sum <= 0.0 => Ok(()),
        sum if sum.fract() > 0.0 => Err("The 'gpus' resource must be an unsigned integer".to_owned()),
        _ => Err("Attempted to allocate GPUs without Nvidia libraries available".to_owned()),
    }
}

async fn pull(shared: &Shared, launch: &Launch) -> Result<(), String> {
    let Some(docker) = &launch.info.docker else {
        return Err("No docker info found in container info".to_owned());
    };
    let (client, image) = (&shared.config.client, with_tag(&docker.image));
    let failed = |error: docker::Error| format!("Failed to pull image '{image}': {error}");
    if !docker.force_pull_image() && client.has_image(&image).await.map_err(failed)? {
        return Ok(());
    }
    let sandbox = launch.spec.directory.clone();
    let brought = tokio::task::spawn_blocking(move || of_sandbox(&sandbox)).await.ok().flatten();
    let auth = brought.as_ref().or(shared.config.auth.as_ref());
    tracing::info!(container = %launch.spec.container, image, "pulling an image");
    let begun = Instant::now();
    let pulled = client.pull(&image, auth.and_then(|auth| auth.header(&image))).await;
    shared.pulls.count(begun.elapsed());
    pulled.map_err(failed)?;
    match client.has_image(&image).await.map_err(failed)? {
        true => Ok(()),
        false => Err(format!("Failed to pull image '{image}': it was pulled but is not there")),
    }
}

/// The Docker executor, which makes the task's container.
fn executor(shared: &Shared, launch: Launch) -> Spec {
    let config = &shared.config;
    let mut argv = common(shared, &launch.spec);
    let mut flag = |name: &str, value: &str| argv.push(format!("--{name}={value}"));
    flag("docker", "docker");
    flag("sandbox_directory", &launch.spec.directory.to_string_lossy());
    flag("mapped_directory", &config.sandbox_directory);
    flag("launcher_dir", &config.launcher_dir);
    flag("stop_timeout", &format!("{}ms", config.stop_timeout.as_millis()));
    flag("cgroups_enable_cfs", if config.enable_cfs { "true" } else { "false" });
    if let Some((json, _)) = &config.dns {
        flag("default_container_dns", json);
    }
    let volumes: Vec<_> = binds(&launch.spec);
    if !volumes.is_empty() {
        let volumes: Vec<_> = volumes.iter().map(|it| (&it.source, &it.target, it.read_only)).collect();
        flag("persistent_volumes", &serde_json::json!(volumes).to_string());
    }
    beside(shared, launch.spec, argv)
}

/// An executor's own container, made here, and the process that stays beside it.
async fn beside_executor(shared: &Shared, launch: Launch) -> Result<Spec, String> {
    let config = &shared.config;
    let container = &launch.spec.container;
    let name = shared.name(container).unwrap_or_default();
    // It may have been given more meanwhile.
    let (resources, limits) = shared.amounts(container).unwrap_or_default();
    let body = Body::of(&Request {
        name: &name,
        container: &launch.info,
        command: &launch.command,
        environment: &launch.spec.environment,
        sandbox: &launch.spec.directory.to_string_lossy(),
        mapped: &config.sandbox_directory,
        resources: &resources,
        limits: &limits,
        enable_cfs: config.enable_cfs,
        binds: &binds(&launch.spec),
        dns: config.dns.as_ref().map(|(_, dns)| dns),
        machine_memory_bytes: config.machine_memory_bytes,
    })?;
    config.client.create(&name, &body).await.map_err(|error| error.to_string())?;
    let mut argv = common(shared, &launch.spec);
    argv.push("--run".to_owned());
    if body.has_terminal() {
        argv.push("--tty".to_owned());
    }
    let mut spec = launch.spec;
    // What is for the executor is in its container; this is what the process beside it is known by.
    let own = ["MESOS_SANDBOX", "PATH"];
    spec.environment.retain(|(name, _)| own.contains(&name.as_str()));
    Ok(beside(shared, spec, argv))
}

fn common(shared: &Shared, spec: &Spec) -> Vec<String> {
    let name = shared.name(&spec.container).unwrap_or_default();
    vec![
        PROGRAM.to_owned(),
        format!("--container={name}"),
        format!("--docker_socket={}", shared.config.client.socket().display()),
    ]
}

/// The process beside a container. COMPAT(mesos): it is the agent's own user's, who may ask the daemon.
fn beside(shared: &Shared, spec: Spec, argv: Vec<String>) -> Spec {
    let program = &shared.config.launcher_binary;
    Spec {
        program: Program { path: program.into(), argv: argv.into_iter().map(Into::into).collect() },
        user: None,
        uris: Vec::new(),
        volumes: Vec::new(),
        info: None,
        ..spec
    }
}

/// Persistent volumes.
fn binds(spec: &Spec) -> Vec<Bind> {
    let bind = |volume: &containerizer::Volume| Bind {
        source: volume.source.to_string_lossy().into_owned(),
        target: volume.name.clone(),
        read_only: false,
    };
    spec.volumes.iter().map(bind).collect()
}

#[cfg(test)]
mod tests {
    use proto::mesos::v1::value::Scalar;

    use super::*;

    #[test]
    fn gpus_are_refused() {
        let named = |name: &str, value: f64| Resource {
            name: name.to_owned(),
            scalar: Some(Scalar { value }),
            ..Resource::default()
        };
        assert_eq!(refuse_gpus(&[named("cpus", 1.5)]), Ok(()));
        let refused = refuse_gpus(&[named("cpus", 1.5), named("gpus", 2.0)]).unwrap_err();
        assert_eq!(refused, "Attempted to allocate GPUs without Nvidia libraries available");
        let refused = refuse_gpus(&[named("gpus", 0.5)]).unwrap_err();
        assert_eq!(refused, "The 'gpus' resource must be an unsigned integer");
    }
}
