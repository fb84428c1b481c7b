//! How the flags say that containers are kept apart, on this machine.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use containerizer::io::Logger;
use containerizer::{
    Device, DiskSettings, DockerVolumeSettings, Facts, Isolation, Isolator, Launcher, NetClsRange,
    NetworkSettings, PerfSettings, PortSettings, ProjectSettings, Projects, Settings,
};
use fetcher::Fetcher;
use proto::mesos::v1::{DeviceAccess, DeviceWhitelist};
use rustix::fs::FileType;

use crate::flags::AgentFlags;
use crate::gpus;
use crate::networks;
use crate::security;
use crate::volume_gids;
use crate::xfs;

/// The hierarchies of cgroups are taken from where they are mounted; another place is one that somebody means.
const USUAL_HIERARCHY: &str = "/sys/fs/cgroup";

/// How containers are kept apart.
#[derive(Clone, Debug)]
pub struct Containment {
    /// What isolators are told.
    pub settings: Settings,
    /// What the machine has.
    pub facts: Facts,
    /// The controllers of version 1 in whose hierarchies the agent has a cgroup of its own.
    pub agent_subsystems: Option<String>,
    /// How long the end of a container may take.
    pub destroy_timeout: Duration,
    /// How sandboxes are held to their size.
    pub disk: DiskSettings,
    /// Whether processes and threads are counted.
    pub counts_processes: bool,
    /// Where containers' seccomp profiles are.
    pub seccomp_config_dir: Option<PathBuf>,
    /// What holds the files of what containers print to a size, where something does.
    pub logger: Option<Logger>,
    /// What is sampled of containers.
    pub perf: Option<PerfSettings>,
    /// How ports are watched.
    pub ports: PortSettings,
    /// The networks that containers may ask for.
    pub networks: Option<NetworkSettings>,
    /// How volumes of Docker are mounted.
    pub docker_volumes: Option<DockerVolumeSettings>,
    /// How XFS holds sandboxes to their size.
    pub projects: Option<ProjectSettings>,
    /// The groups that there are for volumes.
    pub volume_gids: Option<Vec<RangeInclusive<u32>>>,
}

impl Containment {
    /// What the flags say of a machine like this. Refuses what cannot be had here.
    pub fn from_flags(flags: &AgentFlags, facts: Facts) -> anyhow::Result<Self> {
        let isolation = Isolation::parse(&flags.isolation, flags.launcher.as_deref(), &facts)
            .context("Failed to create a containerizer: Could not create MesosContainerizer")?;
        let elsewhere = |path: &String| !Path::new(path).starts_with(&flags.cgroups_hierarchy);
        if flags.cgroups_hierarchy != USUAL_HIERARCHY
            && isolation.launcher() == Launcher::Linux
            && let Some((what, path)) = mounted(&facts).filter(|(_, path)| elsewhere(path))
        {
            let flag = &flags.cgroups_hierarchy;
            bail!("--cgroups_hierarchy is '{flag}', but {what} is mounted at '{path}'");
        }
        let security = security::security(flags, &isolation, &facts)?;
        let networks = networks::from_flags(flags, facts.root).context(
            "Failed to create a containerizer: Could not create MesosContainerizer: Failed to create isolator \
             'network/cni'",
        )?;
        let ports = networks::ports(flags).context(
            "Failed to create a containerizer: Could not create MesosContainerizer: Failed to create isolator \
             'network/ports'",
        )?;
        let gpus = gpus::from_flags(flags, &isolation, Path::new("/"))?;
        let settings = Settings {
            gpus,
            security,
            cgroups_root: flags.cgroups_root.clone(),
            enable_cfs: flags.cgroups_enable_cfs,
            limit_swap: flags.cgroups_limit_swap,
            revocable_cpu_low_priority: flags.revocable_cpu_low_priority,
            allowed_devices: devices(flags)?,
            net_cls: net_cls(flags, &isolation)?,
            default_shm_bytes: flags.default_container_shm_size.map(|size| size.0),
            sandbox_directory: flags.sandbox_directory.clone(),
            host_path_force_creation: creation(flags),
            ignore_image_config: flags.docker_ignore_runtime,
            own_ipc_always: flags.disallow_sharing_agent_ipc_namespace,
            own_pid_always: flags.disallow_sharing_agent_pid_namespace,
            networks_root: networks.as_ref().map(|networks| networks.root.to_string_lossy().into_owned()),
            ..Settings::new(isolation)
        };
        let perf = perf(flags, &settings.isolation)?;
        let docker_volumes = docker_volumes(flags, &settings.isolation)?;
        let projects =
            xfs::from_flags(flags, &settings.isolation).with_context(|| no_isolator(Isolator::DiskXfs))?;
        let volume_gids = volume_gids::from_flags(flags, &settings.isolation, &facts)?;
        Ok(Self {
            perf,
            settings,
            facts,
            agent_subsystems: flags.agent_subsystems.clone(),
            destroy_timeout: flags.cgroups_destroy_timeout.to_std(),
            disk: DiskSettings {
                interval: flags.container_disk_watch_interval.to_std().max(Duration::from_millis(1)),
                enforce: flags.enforce_container_disk_quota,
            },
            counts_processes: flags.cgroups_cpu_enable_pids_and_tids_count,
            seccomp_config_dir: security::profiles(flags),
            logger: crate::logger::from_flags(flags)?,
            ports,
            networks,
            docker_volumes,
            projects,
            volume_gids,
        })
    }

    /// Makes the cgroups that containers will be below, and on version 2 the agent's own, where it goes.
    pub(crate) fn prepare(&self) -> anyhow::Result<()> {
        containerizer::prepare_cgroups(&self.settings, &self.facts)
            .map_err(anyhow::Error::msg)
            .context("Failed to create a containerizer: Could not create MesosContainerizer")?;
        containerizer::enter_agent_cgroup(&self.settings, &self.facts)
            .map_err(anyhow::Error::msg)
            .context("Failed to initialize cgroups")?;
        let Some(subsystems) = &self.agent_subsystems else { return Ok(()) };
        containerizer::enter_agent_subsystems(subsystems, &self.settings, &self.facts)
            .map_err(anyhow::Error::msg)
    }

    /// Has XFS count and bound sandboxes, where that is wanted. Blocks.
    pub(crate) fn projects(&self) -> anyhow::Result<Option<Arc<Projects>>> {
        let Some(settings) = self.projects.clone() else { return Ok(None) };
        let projects = Projects::prepare(settings).map_err(anyhow::Error::msg);
        projects.map(Arc::new).map(Some).with_context(|| no_isolator(Isolator::DiskXfs))
    }

    /// The containerizer's configuration.
    pub(crate) fn config(
        &self,
        launcher_binary: PathBuf,
        fetcher: Fetcher,
        runtime_dir: &Path,
    ) -> containerizer::Config {
        let port_mapper = launcher_binary.clone();
        containerizer::Config {
            launcher_binary,
            fetcher: Arc::new(fetcher),
            settings: self.settings.clone(),
            facts: self.facts.clone(),
            runtime_dir: Some(runtime_dir.to_owned()),
            destroy_timeout: self.destroy_timeout,
            disk: self.disk,
            counts_processes: self.counts_processes,
            seccomp_config_dir: self.seccomp_config_dir.clone(),
            provisioner: None,
            projects: None,
            volume_gids: None,
            logger: self.logger.clone(),
            perf: self.perf.clone(),
            ports: self.ports.clone(),
            networks: self.networks.clone().map(|networks| NetworkSettings { port_mapper, ..networks }),
            docker_volumes: self.docker_volumes.clone(),
        }
    }
}

/// `--cgroups_net_cls_primary_handle` and its like.
fn net_cls(flags: &AgentFlags, isolation: &Isolation) -> anyhow::Result<Option<NetClsRange>> {
    if !isolation.has(Isolator::CgroupsNetCls) {
        return Ok(None);
    }
    let primary = flags.cgroups_net_cls_primary_handle.as_deref();
    let range = NetClsRange::parse(primary, flags.cgroups_net_cls_secondary_handles.as_deref());
    range.with_context(|| no_isolator(Isolator::CgroupsNetCls))
}

/// `--perf_events` and its like.
fn perf(flags: &AgentFlags, isolation: &Isolation) -> anyhow::Result<Option<PerfSettings>> {
    let Some(events) = flags.perf_events.as_ref().filter(|_| isolation.has(Isolator::CgroupsPerfEvent))
    else {
        return Ok(None);
    };
    let (interval, duration) = (flags.perf_interval, flags.perf_duration);
    if duration.to_std() > interval.to_std() {
        return Err(anyhow::anyhow!(
            "Sampling perf for duration ({duration}) > interval ({interval}) is not supported."
        ))
        .with_context(|| no_isolator(Isolator::CgroupsPerfEvent));
    }
    let events = containerizer::parse_perf_events(events)
        .map_err(anyhow::Error::msg)
        .with_context(|| no_isolator(Isolator::CgroupsPerfEvent))?;
    Ok(Some(PerfSettings { events, interval: interval.to_std(), duration: duration.to_std() }))
}

/// `--docker_volume_checkpoint_dir` and its like.
fn docker_volumes(flags: &AgentFlags, isolation: &Isolation) -> anyhow::Result<Option<DockerVolumeSettings>> {
    if !isolation.has(Isolator::DockerVolume) {
        return Ok(None);
    }
    let directories = std::env::var("PATH").unwrap_or_default();
    let root = Path::new(&flags.docker_volume_checkpoint_dir);
    let settings = DockerVolumeSettings::new(&directories, root, flags.docker_volume_chown);
    settings.map(Some).map_err(anyhow::Error::msg).with_context(|| no_isolator(Isolator::DockerVolume))
}

fn no_isolator(isolator: Isolator) -> String {
    let name = isolator.name();
    format!(
        "Failed to create a containerizer: Could not create MesosContainerizer: Failed to create isolator '{name}'"
    )
}

/// What of cgroups the launcher works with, and where that is.
fn mounted(facts: &Facts) -> Option<(&'static str, &String)> {
    match &facts.unified {
        Some(unified) => Some(("version 2 of cgroups", &unified.path)),
        None => facts.hierarchies.get("freezer").map(|path| ("the freezer", path)),
    }
}

/// The directories of `--host_path_volume_force_creation`.
fn creation(flags: &AgentFlags) -> Vec<String> {
    let text = flags.host_path_volume_force_creation.as_deref().unwrap_or_default();
    text.split(':').filter(|path| !path.is_empty()).map(str::to_owned).collect()
}

/// The entries of `--allowed_devices`.
fn devices(flags: &AgentFlags) -> anyhow::Result<Vec<Device>> {
    let Some(json) = &flags.allowed_devices else { return Ok(Vec::new()) };
    let list: DeviceWhitelist =
        proto::json::from_slice(json.0.as_bytes()).context("Failed to parse --allowed_devices")?;
    list.allowed_devices.iter().map(device).collect()
}

fn device(access: &DeviceAccess) -> anyhow::Result<Device> {
    let path = access.device.path.as_deref().context("Whitelisted device has no device path provided")?;
    let given = [(access.access.read(), 'r'), (access.access.write(), 'w'), (access.access.mknod(), 'm')];
    let letters: String = given.iter().filter(|(given, _)| *given).map(|(_, letter)| letter).collect();
    if letters.is_empty() {
        bail!("Could not whitelist device '{path}' without any access privileges");
    }
    let stat = rustix::fs::stat(path).with_context(|| format!("Failed to obtain device ID for '{path}'"))?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::BlockDevice => 'b',
        FileType::CharacterDevice => 'c',
        _ => bail!("Failed to determine device type for '{path}'"),
    };
    let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    Ok(Device(format!("{kind} {major}:{minor} {letters}")))
}

#[cfg(test)]
mod tests {
    use flags::FlagSet as _;

    use super::*;

    fn check(given: &[(&str, &str)], expected: Result<&[&str], &str>) {
        let mut flags = AgentFlags::default();
        for (name, value) in given {
            flags.set(name, value, None).unwrap();
        }
        let read = Containment::from_flags(&flags, Facts::default());
        let devices =
            read.map(|read| read.settings.allowed_devices.into_iter().map(|it| it.0).collect::<Vec<_>>());
        match (devices, expected) {
            (Ok(devices), Ok(expected)) => assert_eq!(devices, expected),
            (Err(error), Err(expected)) => assert_eq!(format!("{error:#}"), expected),
            (read, expected) => panic!("{read:?}, not {expected:?}"),
        }
    }

    #[test]
    fn handles_and_events_are_read_where_an_isolator_wants_them() {
        let hierarchy = |name: &str| (name.to_owned(), format!("/cg/{name}"));
        let facts = Facts {
            root: true,
            hierarchies: ["freezer", "net_cls", "perf_event"].map(hierarchy).into(),
            ..Facts::default()
        };
        let read = |given: &[(&str, &str)]| {
            let mut flags = AgentFlags::default();
            for (name, value) in given {
                flags.set(name, value, None).unwrap();
            }
            Containment::from_flags(&flags, facts.clone()).map_err(|error| format!("{error:#}"))
        };
        let isolation = ("isolation", "cgroups/net_cls,cgroups/perf_event");
        let all =
            [isolation, ("cgroups_net_cls_primary_handle", "0x12"), ("perf_events", "cycles,task-clock")];
        let good = read(&all).unwrap();
        assert_eq!(good.settings.net_cls, NetClsRange::parse(Some("18"), None).unwrap());
        assert_eq!(good.perf.map(|perf| perf.events.len()), Some(2));
        let without = read(&all[1..]).unwrap();
        assert!(without.settings.net_cls.is_none() && without.perf.is_none());
        let prefix = "Failed to create a containerizer: Could not create MesosContainerizer: ";
        for (flag, value, expected) in [
            (
                "cgroups_net_cls_primary_handle",
                "x",
                "'cgroups/net_cls': Failed to parse the primary handle 'x' set in flag --cgroups_net_cls_primary_handle",
            ),
            ("perf_events", "nosuch", "'cgroups/perf_event': Invalid perf events: { nosuch }"),
            (
                "perf_duration",
                "61secs",
                "'cgroups/perf_event': Sampling perf for duration (61secs) > interval (1mins) is not supported.",
            ),
        ] {
            let refused = read(&[isolation, ("perf_events", "cycles"), (flag, value)]).unwrap_err();
            assert_eq!(refused, format!("{prefix}Failed to create isolator {expected}"));
        }
    }

    #[test]
    fn devices_are_looked_up() {
        let json = |path: &str, access: &str| {
            format!(r#"{{"allowed_devices":[{{"device":{{"path":"{path}"}},"access":{{{access}}}}}]}}"#)
        };
        check(&[], Ok(&[]));
        check(&[("allowed_devices", &json("/dev/null", r#""read":true,"mknod":true"#))], Ok(&["c 1:3 rm"]));
        check(
            &[("allowed_devices", &json("/dev/null", ""))],
            Err("Could not whitelist device '/dev/null' without any access privileges"),
        );
        check(
            &[("allowed_devices", &json("/etc/passwd", r#""read":true"#))],
            Err("Failed to determine device type for '/etc/passwd'"),
        );
    }

    #[test]
    fn what_cannot_be_had_is_refused() {
        let prefix = "Failed to create a containerizer: Could not create MesosContainerizer: ";
        let refused = |text: &str| format!("{prefix}{text}");
        check(
            &[("isolation", "cgroups/nosuch")],
            Err(&refused("Unknown or unsupported isolator 'cgroups/nosuch'")),
        );
        check(
            &[("launcher", "linux")],
            Err(&refused(
                "Failed to create launcher: Failed to create Linux launcher: it needs root permissions",
            )),
        );
    }
}
