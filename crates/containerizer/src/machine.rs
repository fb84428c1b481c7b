//! What this machine has, for plans.

use std::collections::BTreeSet;
use std::path::Path;

use launch_plan::{Facts, Launcher, Plan, Settings, Unified};
use linux::{Cgroup, Hierarchies};
use seccomp::{Arch, Machine};
use types::Capabilities;

/// Where version 2 is mounted on a machine that works with it. Elsewhere, beside hierarchies of version 1, it has next to
/// no controllers. COMPAT(mesos): the same place decides.
const UNIFIED: &str = "/sys/fs/cgroup";

/// Looks at the machine. What cannot be read is taken for missing.
#[must_use]
pub fn facts() -> Facts {
    let hierarchies = Hierarchies::detect().unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot learn where cgroups are mounted");
        Hierarchies::default()
    });
    let unified = hierarchies.unified.as_deref().filter(|path| *path == Path::new(UNIFIED)).map(unified);
    let text = |path: std::path::PathBuf| path.into_os_string().into_string().ok();
    let hierarchies = hierarchies.v1.into_iter().filter_map(|(name, path)| Some((name, text(path)?)));
    let memory = rustix::system::sysinfo();
    Facts {
        root: rustix::process::geteuid().is_root(),
        hierarchies: if unified.is_some() { [].into() } else { hierarchies.collect() },
        unified,
        memory_bytes: memory.totalram.saturating_mul(u64::from(memory.mem_unit)),
        capabilities: Capabilities::from_bits(linux::held().unwrap_or_default().permitted),
        bounding: Capabilities::from_bits(linux::bounding().unwrap_or_default()),
        seccomp: seccomp_machine(),
    }
}

/// What seccomp profiles are compiled for here.
fn seccomp_machine() -> Option<Machine> {
    let arch = Arch::native(std::env::consts::ARCH).filter(|_| linux::seccomp_is_supported())?;
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|it: char| !it.is_ascii_digit()).map_while(|it| it.parse().ok());
    Some(Machine { arch, kernel: (numbers.next()?, numbers.next()?) })
}

fn unified(path: &Path) -> Unified {
    let controllers = Cgroup::at(path).read("cgroup.controllers").unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot learn which controllers cgroups have");
        String::new()
    });
    let controllers: BTreeSet<String> = controllers.split_whitespace().map(str::to_owned).collect();
    Unified { path: path.to_string_lossy().into_owned(), controllers }
}

/// Makes the cgroups above those of all containers, and switches on what isolators want of them, so that what is wrong
/// is told before the first launch.
pub fn prepare_cgroups(settings: &Settings, facts: &Facts) -> Result<(), String> {
    if settings.isolation.launcher() == Launcher::Posix {
        return Ok(());
    }
    for path in Plan::roots(settings, facts) {
        let root = Cgroup::at(&path);
        if !root.exists() {
            root.create().map_err(|error| format!("Failed to create the root cgroup '{path}': {error}"))?;
        }
    }
    let (Some(unified), controllers) = (&facts.unified, Plan::unified_controllers(settings)) else {
        return Ok(());
    };
    let root = Cgroup::at(Path::new(&unified.path).join(&settings.cgroups_root));
    let names: Vec<&str> = controllers.iter().copied().collect();
    if names.is_empty() {
        return Ok(());
    }
    root.delegate(&names, Path::new(&unified.path)).map_err(|error| {
        let (names, path) = (names.join(", "), root.path().display());
        format!("Failed to enable the controllers {names} in the cgroup '{path}': {error}")
    })
}

/// Moves this process into the agent's cgroup on version 2: beside those of containers, which compete with it as one.
/// COMPAT(mesos): its place.
pub fn enter_agent_cgroup(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let Some(unified) = facts.unified.as_ref().filter(|_| settings.isolation.launcher() == Launcher::Linux)
    else {
        return Ok(());
    };
    let leaf = Cgroup::at(Path::new(&unified.path).join(&settings.cgroups_root).join("agent/leaf"));
    let failed = |what: &str, error| format!("Failed to {what} '{}': {error}", leaf.path().display());
    if !leaf.exists() {
        leaf.create().map_err(|error| failed("create the agent's cgroup", error))?;
    }
    leaf.attach(std::process::id()).map_err(|error| failed("move the agent into its cgroup", error))
}
