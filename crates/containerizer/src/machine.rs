//! What this machine has, for plans.

use launch_plan::Facts;
use linux::Hierarchies;

/// Looks at the machine. What cannot be read is taken for missing.
#[must_use]
pub fn facts() -> Facts {
    let hierarchies = Hierarchies::detect().unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot learn where cgroups are mounted");
        Hierarchies::default()
    });
    let text = |path: std::path::PathBuf| path.into_os_string().into_string().ok();
    let hierarchies = hierarchies.v1.into_iter().filter_map(|(name, path)| Some((name, text(path)?)));
    let memory = rustix::system::sysinfo();
    Facts {
        root: rustix::process::geteuid().is_root(),
        hierarchies: hierarchies.collect(),
        memory_bytes: memory.totalram.saturating_mul(u64::from(memory.mem_unit)),
    }
}
