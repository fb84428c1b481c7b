//! The containerizers of this agent as one: `--containerizers`, tried in order.
//!
//! Each takes what is its own, so that the order decides nothing by now: Docker's what is of type DOCKER, Mesos's the rest.
//! Whose a container is is asked of Docker's, which knows those it has.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agent_core::{LaunchSpec, RanBy};
use anyhow::{Context as _, bail, ensure};
use containerizer::{Limits, Notice, Spec, Volume};
use docker::{Auth, Client};
use docker_containerizer::{DockerContainerizer, Pulls};
use fetcher::Fetcher;
use proto::mesos::internal::ContainerDnsInfo;
use proto::mesos::v1::{ContainerStatus, Resource, ResourceStatistics, container_info};
use tokio::sync::mpsc;
use types::ContainerId;

use crate::containment::Containment;
use crate::flags::AgentFlags;
use crate::launching;

/// How long the daemon may take to say who it is. COMPAT(mesos): the same.
const HELLO_MAX: Duration = Duration::from_secs(5);

/// Where version 2 of cgroups is mounted.
const UNIFIED: &str = "/sys/fs/cgroup";

/// A containerizer by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Mesos,
    Docker,
}

/// What the flags say of containerizers.
#[derive(Clone, Debug)]
pub struct Composition {
    /// The flag, for people.
    text: String,
    order: Vec<Kind>,
    /// Docker's settings, without our own program; none without Docker's.
    docker: Option<docker_containerizer::Config>,
}

impl Composition {
    /// What the flags say. Refuses what cannot be had.
    pub fn from_flags(flags: &AgentFlags, containment: &Containment) -> anyhow::Result<Self> {
        let kind = |name: &str| match name {
            "mesos" => Ok(Kind::Mesos),
            "docker" => Ok(Kind::Docker),
            _ => bail!("Failed to create a containerizer: Unknown or unsupported containerizer: {name}"),
        };
        let names = flags.containerizers.split(',').map(str::trim).filter(|name| !name.is_empty());
        let order: Vec<Kind> = names.map(kind).collect::<anyhow::Result<_>>()?;
        ensure!(!order.is_empty(), "Failed to create a containerizer: No containerizers specified");
        let docker = order.contains(&Kind::Docker).then(|| docker(flags, containment)).transpose()?;
        Ok(Self { text: flags.containerizers.clone(), order, docker })
    }
}

fn docker(flags: &AgentFlags, containment: &Containment) -> anyhow::Result<docker_containerizer::Config> {
    let failed = "Failed to create a containerizer: Could not create DockerContainerizer";
    let socket = Path::new(&flags.docker_socket);
    if !socket.is_absolute() {
        bail!("{failed}: Failed to create docker: Invalid Docker socket path: {}", socket.display());
    }
    if flags.docker_mesos_image.is_some() {
        bail!("{failed}: --docker_mesos_image is not supported: run the agent beside Docker, not in it");
    }
    let auth = flags.docker_config.as_ref().map(|json| Auth::read(&json.0)).transpose();
    let dns = flags.default_container_dns.as_ref().map(|json| {
        let dns: ContainerDnsInfo = proto::json::from_slice(json.0.as_bytes())?;
        anyhow::Ok((json.0.clone(), dns))
    });
    let mut hierarchies: BTreeMap<String, String> = containment.facts.hierarchies.clone();
    if !hierarchies.contains_key("cpuacct") && Path::new(UNIFIED).join("cgroup.controllers").exists() {
        hierarchies.insert(String::new(), UNIFIED.to_owned());
    }
    Ok(docker_containerizer::Config {
        client: Client::new(socket),
        launcher_binary: PathBuf::new(),
        launcher_dir: flags.launcher_dir.clone().unwrap_or_default(),
        sandbox_directory: flags.sandbox_directory.clone(),
        remove_delay: flags.docker_remove_delay.to_std(),
        stop_timeout: flags.docker_stop_timeout.to_std(),
        kill_orphans: flags.docker_kill_orphans,
        auth: auth.map_err(|why| anyhow::anyhow!(why)).context("Failed to parse --docker_config")?,
        dns: dns.transpose().context("Failed to parse --default_container_dns")?,
        enable_cfs: flags.cgroups_enable_cfs,
        machine_memory_bytes: containment.facts.memory_bytes,
        hierarchies,
    })
}

/// All containerizers. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Containerizer {
    text: Arc<str>,
    order: Arc<[Kind]>,
    mesos: containerizer::Containerizer,
    docker: Option<DockerContainerizer>,
    launcher_binary: Arc<Path>,
}

impl Containerizer {
    /// The containerizers of a composition. Asks the daemon who it is, where there is to be one.
    pub(crate) async fn new(
        composition: &Composition,
        mesos: containerizer::Config,
        notices: mpsc::Sender<Notice>,
    ) -> anyhow::Result<Self> {
        let launcher_binary: Arc<Path> = mesos.launcher_binary.as_path().into();
        let fetcher = Arc::clone(&mesos.fetcher);
        let docker = match &composition.docker {
            Some(config) => Some(start_docker(config, &launcher_binary, fetcher, notices.clone()).await?),
            None => None,
        };
        Ok(Self {
            text: composition.text.as_str().into(),
            order: composition.order.as_slice().into(),
            mesos: containerizer::Containerizer::new(mesos, notices),
            docker,
            launcher_binary,
        })
    }

    /// Launches an executor. Returns why none can.
    pub(crate) fn launch(&self, launch: LaunchSpec) -> Result<(), String> {
        let info = launch.container_info.as_ref();
        let is_docker = info.is_some_and(|info| info.r#type() == container_info::Type::Docker);
        for kind in &*self.order {
            match (kind, &self.docker) {
                (Kind::Docker, Some(docker)) if is_docker => {
                    docker.launch(launching::docker(launch));
                    return Ok(());
                }
                (Kind::Mesos, _) if !is_docker => {
                    self.mesos.launch(launching::spec(launch, &self.launcher_binary)?);
                    return Ok(());
                }
                (Kind::Docker | Kind::Mesos, _) => {}
            }
        }
        Err(format!(
            "None of the enabled containerizers ({}) could create a container for the provided \
             TaskInfo/ExecutorInfo message",
            self.text
        ))
    }

    /// Launches a container that was asked for by name. Returns why none can.
    pub(crate) fn launch_by_name(&self, spec: Spec) -> Result<(), String> {
        if self.docker_of(&spec.container).is_some() {
            return Err("Nested containers are not supported".to_owned());
        }
        self.mesos.launch(spec);
        Ok(())
    }

    /// Picks up a container of an earlier agent.
    pub(crate) fn adopt(&self, container: ContainerId, pid: Option<u32>, directory: String, ran_by: RanBy) {
        match (ran_by, &self.docker) {
            (RanBy::Docker { is_task }, Some(docker)) => docker.adopt(container, pid, directory, is_task),
            // Without Docker's the process beside the container can be watched all the same.
            (RanBy::Docker { .. } | RanBy::Mesos, _) => self.mesos.adopt(container, pid, directory),
        }
    }

    /// Ends what earlier agents have left that is not `known`. The agent may go on when this returns.
    pub(crate) async fn destroy_orphans(&self, known: &BTreeSet<ContainerId>) -> Result<(), String> {
        self.mesos.destroy_orphans(known);
        match &self.docker {
            Some(docker) => docker.recover(known).await,
            None => Ok(()),
        }
    }

    pub(crate) fn destroy(&self, container: &ContainerId) -> bool {
        match self.docker_of(container) {
            Some(docker) => docker.destroy(container),
            None => self.mesos.destroy(container),
        }
    }

    pub(crate) async fn until_gone(&self, container: &ContainerId) {
        match self.docker_of(container) {
            Some(docker) => docker.until_gone(container).await,
            None => self.mesos.until_gone(container).await,
        }
    }

    pub(crate) fn update(
        &self,
        container: &ContainerId,
        resources: Vec<Resource>,
        limits: Limits,
        volumes: Vec<Volume>,
    ) -> Result<(), String> {
        match self.docker_of(container) {
            Some(docker) => {
                docker.update(container, resources, limits);
                Ok(())
            }
            None => self.mesos.update(container, resources, limits, volumes),
        }
    }

    pub(crate) fn shows(&self, container: &ContainerId, volumes: &[Volume]) -> bool {
        self.docker_of(container).is_some() || self.mesos.shows(container, volumes)
    }

    pub(crate) fn usage(&self, container: &ContainerId) -> Option<ResourceStatistics> {
        match self.docker_of(container) {
            Some(docker) => docker.usage(container),
            None => self.mesos.usage(container),
        }
    }

    pub(crate) fn status(&self, container: &ContainerId) -> Option<ContainerStatus> {
        match self.docker_of(container) {
            Some(docker) => docker.status(container),
            None => self.mesos.status(container),
        }
    }

    pub(crate) fn containers(&self) -> Vec<ContainerId> {
        let mut containers = self.mesos.containers();
        containers.extend(self.docker.iter().flat_map(DockerContainerizer::containers));
        containers
    }

    pub(crate) fn launching(&self) -> Vec<ContainerId> {
        let mut launching = self.mesos.launching();
        launching.extend(self.docker.iter().flat_map(DockerContainerizer::launching));
        launching
    }

    /// The images that the Docker daemon has pulled. None where there is no such containerizer.
    pub(crate) fn docker_pulls(&self) -> Option<Pulls> {
        self.docker.as_ref().map(DockerContainerizer::pulls)
    }

    /// Docker's, if the container or the one around it is there.
    fn docker_of(&self, container: &ContainerId) -> Option<&DockerContainerizer> {
        self.docker.as_ref().filter(|docker| docker.has(container))
    }
}

/// What only that of Mesos can is asked of it.
impl Deref for Containerizer {
    type Target = containerizer::Containerizer;

    fn deref(&self) -> &Self::Target {
        &self.mesos
    }
}

async fn start_docker(
    config: &docker_containerizer::Config,
    launcher_binary: &Path,
    fetcher: Arc<Fetcher>,
    notices: mpsc::Sender<Notice>,
) -> anyhow::Result<DockerContainerizer> {
    let hello = tokio::time::timeout(HELLO_MAX, config.client.hello()).await;
    let said = match hello {
        Ok(said) => said.map_err(anyhow::Error::from),
        Err(_) => Err(anyhow::anyhow!("Timed out getting docker version")),
    };
    let version = said.context(
        "Failed to create a containerizer: Could not create DockerContainerizer: Failed to create docker",
    )?;
    tracing::info!(version, socket = %config.client.socket().display(), "Docker runs containers too");
    let config =
        docker_containerizer::Config { launcher_binary: launcher_binary.to_owned(), ..config.clone() };
    Ok(DockerContainerizer::new(config, fetcher, notices))
}

#[cfg(test)]
mod tests {
    use containerizer::Facts;
    use flags::FlagSet as _;

    use super::*;

    fn composition(given: &[(&str, &str)]) -> Result<Vec<Kind>, String> {
        let mut flags = AgentFlags::default();
        for (name, value) in given {
            flags.set(name, value, None).unwrap();
        }
        let containment = Containment::from_flags(&AgentFlags::default(), Facts::default()).unwrap();
        Composition::from_flags(&flags, &containment).map(|it| it.order).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn the_flags_say_which_and_in_which_order() {
        assert_eq!(composition(&[]), Ok(vec![Kind::Mesos]));
        assert_eq!(composition(&[("containerizers", "docker,mesos")]), Ok(vec![Kind::Docker, Kind::Mesos]));
    }

    #[test]
    fn what_cannot_be_had_is_refused() {
        let refused = |given: &[(&str, &str)], why: &str| {
            assert_eq!(composition(given), Err(format!("Failed to create a containerizer: {why}")));
        };
        refused(&[("containerizers", "rkt")], "Unknown or unsupported containerizer: rkt");
        refused(&[("containerizers", ",")], "No containerizers specified");
        refused(
            &[("containerizers", "docker"), ("docker_socket", "docker.sock")],
            "Could not create DockerContainerizer: Failed to create docker: Invalid Docker socket path: docker.sock",
        );
        refused(
            &[("containerizers", "docker"), ("docker_mesos_image", "mesos")],
            "Could not create DockerContainerizer: --docker_mesos_image is not supported: run the agent beside \
             Docker, not in it",
        );
    }
}
