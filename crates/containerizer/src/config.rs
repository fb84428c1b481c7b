//! What all containers share: the agent's settings for them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fetcher::Fetcher;
use launch_plan::{Facts, Isolation, Settings};
use proto::mesos::v1::value;

use crate::docker_volumes::DockerVolumeSettings;
use crate::io::Logger;
use crate::network_ports::PortSettings;
use crate::networks::NetworkSettings;
use crate::observed::PerfSettings;
use crate::projects::Projects;
use crate::provisioner::Provisioner;
use crate::volume_gids::VolumeGids;

/// What all containers share.
pub struct Config {
    /// The program that has the launch helper as `containerizer launch`: ours.
    pub launcher_binary: PathBuf,
    /// Brings containers their files.
    pub fetcher: Arc<Fetcher>,
    /// How containers are kept apart.
    pub settings: Settings,
    /// What this machine has for that.
    pub facts: Facts,
    /// Where it is kept which containers there are, for an agent that comes after this one died. None keeps nothing.
    pub runtime_dir: Option<PathBuf>,
    /// How long the end of a container may take.
    pub destroy_timeout: Duration,
    /// How sandboxes are held to their size, with `disk/du`.
    pub disk: DiskSettings,
    /// Whether processes and threads are counted in statistics.
    pub counts_processes: bool,
    /// Where containers' seccomp profiles are.
    pub seccomp_config_dir: Option<PathBuf>,
    /// Makes roots for containers with images. Without it there are none.
    pub provisioner: Option<Arc<Provisioner>>,
    /// What holds the files of what containers print to a size, where something does.
    pub logger: Option<Logger>,
    /// What is sampled of containers, with `cgroups/perf_event`.
    pub perf: Option<PerfSettings>,
    /// How ports are watched, with `network/ports`.
    pub ports: PortSettings,
    /// The networks that containers may ask for by name.
    pub networks: Option<NetworkSettings>,
    /// How volumes of Docker are mounted, with `docker/volume`.
    pub docker_volumes: Option<DockerVolumeSettings>,
    /// The projects that sandboxes are, with `disk/xfs`.
    pub projects: Option<Arc<Projects>>,
    /// The groups that volumes belong to, with `--volume_gid_range`.
    pub volume_gids: Option<Arc<VolumeGids>>,
}

/// How sandboxes are held to their size.
#[derive(Clone, Copy, Debug)]
pub struct DiskSettings {
    /// How often they are looked at.
    pub interval: Duration,
    /// Whether a container whose sandbox is too large ends.
    pub enforce: bool,
}

/// What bounds a container from above, by the resource's name, where that is not its request.
pub type Limits = BTreeMap<String, value::Scalar>;

impl Config {
    /// Containers of the posix launcher, kept apart by nothing.
    #[must_use]
    pub fn posix(launcher_binary: PathBuf, fetcher: Arc<Fetcher>) -> Self {
        Self {
            launcher_binary,
            fetcher,
            settings: Settings::new(Isolation::posix()),
            facts: Facts::default(),
            runtime_dir: None,
            destroy_timeout: Duration::from_secs(60),
            disk: DiskSettings { interval: Duration::from_secs(15), enforce: false },
            counts_processes: false,
            seccomp_config_dir: None,
            provisioner: None,
            logger: None,
            perf: None,
            ports: PortSettings { interval: Duration::from_secs(30), enforce: false, isolated: None },
            networks: None,
            docker_volumes: None,
            projects: None,
            volume_gids: None,
        }
    }
}
