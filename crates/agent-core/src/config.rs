//! What the operator decided before the agent began.

use std::time::Duration;

use proto::mesos::v1;
use types::Pid;

/// The agent's settings. The defaults are those of Mesos (as observed of Mesos).
#[derive(Clone, Debug)]
pub struct Config {
    /// This agent without its id: host name, port, resources, attributes, domain.
    pub info: v1::AgentInfo,
    /// Where it listens, as peers are told: `slave(1)@ip:port`.
    pub pid: Pid,
    /// Seeds everything random: container ids, ids of updates, backoff.
    pub seed: u64,
    /// Absolute path of the directory for sandboxes and checkpoints (`--work_dir`).
    pub work_dir: String,
    /// Where Mesos's programs lie (`--launcher_dir`).
    pub launcher_dir: String,
    /// The path of `mesos-executor`, links followed. None where it does not exist: then
    /// command tasks fail with words.
    pub command_executor: Option<String>,
    /// The version that the master is told.
    pub version: String,
    /// Whether tasks run as the user their framework names (`--switch_user`).
    pub switch_user: bool,
    /// Whether command executors speak v1 over HTTP (`--http_command_executor`). Ours always
    /// does; this only shows in their environment.
    pub http_command_executor: bool,
    /// What executors find beside what the agent tells them: the pairs of
    /// `--executor_environment_variables`. Nothing of the agent's own environment, which may
    /// hold secrets, unless it is listed there.
    pub executor_environment: Vec<(String, String)>,
    /// Whether containers are held to their cpus (`--cgroups_enable_cfs`).
    pub holds_cpus: bool,
    /// The path of the sandbox inside containers with an image (`--sandbox_directory`).
    pub sandbox_directory: String,
    /// Longest wait before the first registration (`--registration_backoff_factor`).
    pub registration_backoff: Duration,
    /// How long an executor may take to register (`--executor_registration_timeout`).
    pub executor_registration_timeout: Duration,
    /// How long executors may take to come back after the agent restarted
    /// (`--executor_reregistration_timeout`).
    pub executor_reregistration_timeout: Duration,
    /// How often executors with drivers are asked to come back meanwhile; once where it is not said
    /// (`--executor_reregistration_retry_interval`).
    pub executor_reregistration_retry_interval: Option<Duration>,
    /// Whether what still runs is ended, and the agent with it (`--recover=cleanup`).
    pub cleans_up: bool,
    /// How long an executor may take to shut down (`--executor_shutdown_grace_period`).
    pub executor_shutdown_grace_period: Duration,
    /// How long executors wait for a restarted agent (`--recovery_timeout`).
    pub recovery_timeout: Duration,
    /// How long sandboxes are kept on an empty disk (`--gc_delay`).
    pub gc_delay: Duration,
    /// The share of the disk to be kept free, in thousandths (`--gc_disk_headroom`).
    pub gc_disk_headroom_permille: u32,
    /// Whether sandboxes of containers that were asked for by name go that way, too
    /// (`--gc_non_executor_container_sandboxes`).
    pub gc_non_executor_container_sandboxes: bool,
    /// Completed executors that are remembered per framework
    /// (`--max_completed_executors_per_framework`).
    pub completed_executors_max: usize,
    /// Completed frameworks that are remembered.
    pub completed_frameworks_max: usize,
    /// Completed tasks that are remembered per executor.
    pub completed_tasks_max: usize,
}

impl Config {
    /// The defaults, for this agent.
    #[must_use]
    pub fn new(info: v1::AgentInfo, pid: Pid, work_dir: impl Into<String>) -> Self {
        Self {
            info,
            pid,
            seed: 0,
            work_dir: work_dir.into(),
            launcher_dir: "/usr/libexec/mesos".to_owned(),
            command_executor: None,
            version: "1.12.0".to_owned(),
            switch_user: true,
            http_command_executor: false,
            holds_cpus: false,
            executor_environment: Vec::new(),
            sandbox_directory: "/mnt/mesos/sandbox".to_owned(),
            registration_backoff: Duration::from_secs(1),
            executor_registration_timeout: Duration::from_secs(60),
            executor_reregistration_timeout: Duration::from_secs(2),
            executor_reregistration_retry_interval: None,
            cleans_up: false,
            executor_shutdown_grace_period: Duration::from_secs(5),
            recovery_timeout: Duration::from_secs(15 * 60),
            gc_delay: Duration::from_secs(7 * 24 * 3600),
            gc_disk_headroom_permille: 100,
            gc_non_executor_container_sandboxes: false,
            completed_executors_max: 150,
            completed_frameworks_max: 50,
            completed_tasks_max: 200,
        }
    }
}
