//! What an agent needs to start, and how the flags say it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agent_core::Config;
use anyhow::Context as _;
use daemon::Logging;
use flags::{FlagSet, LoggingFlags};
use proto::mesos::v1::{AgentInfo, DomainInfo};
use types::Pid;

use crate::composing::Composition;
use crate::containment::Containment;
use crate::flags::AgentFlags;
use crate::images::ImageSettings;
use crate::peers::PROCESS;
use crate::reconfiguration::Reconfiguration;

/// What an agent needs to start.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Where to listen. Port 0 takes any free one.
    pub listen: SocketAddr,
    /// The address that others are told, where it is not the one to listen on.
    pub advertise: Option<SocketAddr>,
    /// The name that others are told; looked up from the address when unset.
    pub hostname: Option<String>,
    /// Look the name up; otherwise the address serves as the name.
    pub hostname_lookup: bool,
    /// The master, as `host:port`, or where it is elected, as `zk://..`. Without one the agent only waits.
    pub master: Option<String>,
    /// How long ZooKeeper waits for a silent agent.
    pub zk_session_timeout: Duration,
    /// What there is to offer, as `--resources` says it; the machine fills in the rest.
    pub resources: Option<String>,
    /// The role of resources that name none.
    pub default_role: String,
    /// What the machine is like, as `--attributes` says it.
    pub attributes: Option<String>,
    /// The fault domain that the agent is in.
    pub domain: Option<DomainInfo>,
    /// Directory of sandboxes and of what must be remembered.
    pub work_dir: PathBuf,
    /// Directory of what must outlive the agent but not a reboot.
    pub runtime_dir: PathBuf,
    /// The program that has all of ours in it: the launch helper and the command executor. This one when unset.
    pub launcher_binary: Option<PathBuf>,
    /// How files are fetched.
    pub fetcher: fetcher::Config,
    /// How containers are kept apart.
    pub containment: Containment,
    /// How they get roots of their own.
    pub images: Option<ImageSettings>,
    /// How often those who look at a container's output are told that the agent is there.
    pub http_heartbeat_interval: Duration,
    /// What runs containers.
    pub composition: Composition,
    /// How often the disk is looked at.
    pub disk_watch_interval: Duration,
    /// What may have changed since the last agent over this work directory.
    pub reconfiguration: Reconfiguration,
    /// Whether to stop when something on the disk cannot be read.
    pub strict: bool,
    /// The logging of this process.
    pub logging: Logging,
    /// What `/flags` shows.
    pub flags: Arc<BTreeMap<String, String>>,
    /// The settings of the core. `info`, `pid`, `seed` and `work_dir` are filled in at the start.
    pub core: Config,
}

impl AgentConfig {
    /// What the flags say.
    pub fn from_flags(flags: &AgentFlags, logging: &LoggingFlags) -> anyhow::Result<Self> {
        let mut flags = flags.clone();
        let program = std::env::current_exe().context("Failed to find this program's own path")?;
        let program_dir = program.parent().unwrap_or(Path::new("/")).to_string_lossy().into_owned();
        let facts = containerizer::facts();
        let launcher = if facts.why_no_linux_launcher().is_none() { "linux" } else { "posix" };
        flags.fill_in(is_writable(Path::new("/var/run")), &program_dir, launcher);
        let sets: [&dyn FlagSet; 2] = [&flags, logging];
        let document = flags::document(&sets);
        let ip = match &flags.ip {
            Some(ip) => ip.parse().with_context(|| format!("Failed to parse --ip={ip}"))?,
            None => Ipv4Addr::UNSPECIFIED.into(),
        };
        let advertise = match &flags.advertise_ip {
            Some(ip) => {
                let ip = ip.parse().with_context(|| format!("Failed to parse --advertise_ip={ip}"))?;
                Some(SocketAddr::new(ip, flags.advertise_port.unwrap_or(flags.port)))
            }
            None => None,
        };
        let work_dir = std::path::absolute(&flags.work_dir).context("Failed to read --work_dir")?;
        let runtime_dir = flags.runtime_dir.clone().unwrap_or_default();
        let containment = Containment::from_flags(&flags, facts)?;
        Ok(Self {
            listen: SocketAddr::new(ip, flags.port),
            advertise,
            hostname: flags.hostname.clone(),
            hostname_lookup: flags.hostname_lookup,
            master: flags.master.as_ref().map(|master| master.value.clone()),
            zk_session_timeout: flags.zk_session_timeout.to_std(),
            resources: flags.resources.clone(),
            default_role: flags.default_role.clone(),
            attributes: flags.attributes.clone(),
            domain: domain(&flags)?,
            runtime_dir: std::path::absolute(runtime_dir).context("Failed to read --runtime_dir")?,
            launcher_binary: None,
            fetcher: fetcher(&flags),
            images: ImageSettings::from_flags(&flags, &containment.settings.isolation)?,
            // A timer cannot tick all the time.
            http_heartbeat_interval: flags.http_heartbeat_interval.to_std().max(Duration::from_millis(1)),
            composition: Composition::from_flags(&flags, &containment)?,
            containment,
            disk_watch_interval: flags.disk_watch_interval.to_std(),
            reconfiguration: match flags.reconfiguration_policy.as_str() {
                "additive" => Reconfiguration::Additive,
                // The flag's rule lets nothing else through.
                _ => Reconfiguration::Equal,
            },
            strict: flags.strict,
            logging: Logging::none(),
            flags: Arc::new(document),
            core: core(&flags, &work_dir)?,
            work_dir,
        })
    }
}

fn domain(flags: &AgentFlags) -> anyhow::Result<Option<DomainInfo>> {
    let Some(json) = &flags.domain else { return Ok(None) };
    let domain: DomainInfo =
        proto::json::from_slice(json.0.as_bytes()).context("Failed to parse --domain")?;
    anyhow::ensure!(domain.fault_domain.is_some(), "`domain` must define `fault_domain`");
    Ok(Some(domain))
}

fn fetcher(flags: &AgentFlags) -> fetcher::Config {
    let hadoop_home = flags.hadoop_home.clone().or_else(|| std::env::var("HADOOP_HOME").ok());
    let search_path = std::env::var("PATH").unwrap_or_default();
    fetcher::Config {
        cache_dir: PathBuf::from(&flags.fetcher_cache_dir),
        cache_bytes_max: flags.fetcher_cache_size.0,
        stall_timeout: flags.fetcher_stall_timeout.to_std(),
        frameworks_home: flags.frameworks_home.clone(),
        hadoop: fetcher::hadoop_program(hadoop_home.as_deref().map(Path::new), &search_path),
        limits: fetcher::Limits::default(),
    }
}

/// The core's settings, all but what is only known once the agent listens.
fn core(flags: &AgentFlags, work_dir: &Path) -> anyhow::Result<Config> {
    let work_dir = work_dir.to_str().context("--work_dir must be text in UTF-8")?;
    let nowhere = Pid::new(PROCESS, SocketAddr::from(([0, 0, 0, 0], 0)));
    let mut core = Config::new(AgentInfo::default(), nowhere, work_dir);
    core.launcher_dir = flags.launcher_dir.clone().unwrap_or_default();
    core.switch_user = flags.switch_user;
    core.http_command_executor = flags.http_command_executor;
    core.holds_cpus = flags.cgroups_enable_cfs;
    core.executor_environment = executor_environment(flags)?;
    core.sandbox_directory.clone_from(&flags.sandbox_directory);
    core.registration_backoff = flags.registration_backoff_factor.to_std();
    core.executor_registration_timeout = flags.executor_registration_timeout.to_std();
    core.executor_reregistration_timeout = flags.executor_reregistration_timeout.to_std();
    core.executor_reregistration_retry_interval =
        flags.executor_reregistration_retry_interval.map(flags::Duration::to_std);
    core.cleans_up = flags.recover == "cleanup";
    core.executor_shutdown_grace_period = flags.executor_shutdown_grace_period.to_std();
    core.recovery_timeout = flags.recovery_timeout.to_std();
    core.gc_delay = flags.gc_delay.to_std();
    core.gc_disk_headroom_permille = permille(flags.gc_disk_headroom);
    core.gc_non_executor_container_sandboxes = flags.gc_non_executor_container_sandboxes;
    core.completed_executors_max = flags.max_completed_executors_per_framework;
    Ok(core)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share between 0 and 1 times 1000"
)]
fn permille(share: f64) -> u32 {
    (share * 1000.0).round() as u32
}

/// What executors find in their environment beside what the core tells them.
fn executor_environment(flags: &AgentFlags) -> anyhow::Result<Vec<(String, String)>> {
    let mut pairs = BTreeMap::new();
    // COMPAT(mesos): the one variable of the agent's own that executors get, since a driver may not find its address.
    if let Ok(ip) = std::env::var("LIBPROCESS_IP") {
        pairs.insert("LIBPROCESS_IP".to_owned(), ip);
    }
    if let Some(json) = &flags.executor_environment_variables {
        let given: BTreeMap<String, String> =
            serde_json::from_str(&json.0).context("Failed to parse --executor_environment_variables")?;
        pairs.extend(given);
    }
    Ok(pairs.into_iter().collect())
}

fn is_writable(directory: &Path) -> bool {
    rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_ok()
}
