//! How the flags say what containers' processes may do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, ensure};
use containerizer::{
    DeviceNode, Facts, IdRange, Isolation, IsolationError, Isolator, Security, read_seccomp_profile,
};
use flags::Json;
use proto::mesos::v1::{CapabilityInfo, DeviceAccess, DeviceWhitelist};
use rustix::fs::FileType;
use types::Capabilities;

use crate::flags::AgentFlags;

/// What the flags say. Refuses what the isolators cannot do here.
pub(crate) fn security(
    flags: &AgentFlags,
    isolation: &Isolation,
    facts: &Facts,
) -> Result<Security, anyhow::Error> {
    let effective = capabilities("effective_capabilities", flags.effective_capabilities.as_ref())?;
    let bounding = capabilities("bounding_capabilities", flags.bounding_capabilities.as_ref())?;
    let seccomp = match isolation.has(Isolator::LinuxSeccomp) {
        true => profile(flags, facts)
            .map_err(|reason| IsolationError::Impossible { name: Isolator::LinuxSeccomp.name(), reason })
            .context(CONTEXT)?,
        false => None,
    };
    let ids = match &flags.userns_range {
        Some(text) => text.parse().with_context(|| format!("Failed to parse --userns_range={text}"))?,
        None => IdRange::default(),
    };
    let security =
        Security { effective, bounding, seccomp: seccomp.map(Arc::new), devices: nodes(flags)?, ids };
    security.check(isolation, facts).context(CONTEXT)?;
    Ok(security)
}

/// The devices of `--allowed_devices`, as containers with roots of their own have them.
fn nodes(flags: &AgentFlags) -> anyhow::Result<Vec<DeviceNode>> {
    let Some(json) = &flags.allowed_devices else { return Ok(Vec::new()) };
    let list: DeviceWhitelist =
        proto::json::from_slice(json.0.as_bytes()).context("Failed to parse --allowed_devices")?;
    let node = |allowed: &DeviceAccess| {
        let path = allowed.device.path.as_deref()?;
        let stat = rustix::fs::stat(path).ok()?;
        // Everybody in the container may use it as the container may. COMPAT(mesos): its mode.
        let for_others = [(allowed.access.read(), 0o044), (allowed.access.write(), 0o022)];
        let mode = for_others.iter().filter(|(given, _)| *given).fold(0o600, |mode, (_, bits)| mode | bits);
        Some(DeviceNode {
            path: format!("/dev/{}", path.strip_prefix("/dev/").unwrap_or(path).trim_start_matches('/')),
            characters: FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice,
            major: rustix::fs::major(stat.st_rdev),
            minor: rustix::fs::minor(stat.st_rdev),
            mode,
        })
    };
    // What is no device is refused where the list is read for the devices controller.
    Ok(list.allowed_devices.iter().filter_map(node).collect())
}

/// Where containers' profiles are.
pub(crate) fn profiles(flags: &AgentFlags) -> Option<PathBuf> {
    flags.seccomp_config_dir.as_ref().map(PathBuf::from)
}

/// What goes before everything that isolators refuse.
const CONTEXT: &str = "Failed to create a containerizer: Could not create MesosContainerizer";

/// The profile of containers that name none.
fn profile(flags: &AgentFlags, facts: &Facts) -> Result<Option<containerizer::SeccompProfile>, String> {
    let directory =
        flags.seccomp_config_dir.as_ref().ok_or("Missing required `--seccomp_config_dir` flag")?;
    let Some(name) = &flags.seccomp_profile_name else { return Ok(None) };
    let machine = facts.seccomp.ok_or("Seccomp is not supported by the kernel")?;
    read_seccomp_profile(Path::new(directory), name, machine).map(Some)
}

fn capabilities(flag: &str, json: Option<&Json>) -> anyhow::Result<Option<Capabilities>> {
    let Some(json) = json else { return Ok(None) };
    let failed = || format!("Failed to parse --{flag}");
    let info: CapabilityInfo = proto::json::from_slice(json.0.as_bytes()).with_context(failed)?;
    // Names that are none are left out of a message. Here that would take capabilities that somebody meant to give.
    let listed: serde_json::Value = serde_json::from_str(&json.0).with_context(failed)?;
    let listed = listed["capabilities"].as_array().map_or(0, Vec::len);
    ensure!(listed == info.capabilities.len(), "Failed to parse --{flag}: it names an unknown capability");
    Ok(Some(Capabilities::of(&info).map_err(|error| anyhow!(error)).with_context(failed)?))
}

#[cfg(test)]
mod tests {
    use containerizer::{Arch, Machine};
    use flags::FlagSet as _;

    use super::*;

    fn facts() -> Facts {
        Facts {
            root: true,
            capabilities: Capabilities::from_bits(0b11_1111),
            seccomp: Some(Machine { arch: Arch::X86_64, kernel: (6, 1) }),
            ..Facts::default()
        }
    }

    fn read(given: &[(&str, &str)]) -> Result<Security, String> {
        let mut flags = AgentFlags::default();
        for (name, value) in given {
            flags.set(name, value, None).unwrap();
        }
        let isolation = Isolation::parse(&flags.isolation, Some("posix"), &facts()).unwrap();
        security(&flags, &isolation, &facts()).map_err(|error| format!("{error:#}"))
    }

    fn refused(given: &[(&str, &str)], expected: &str) {
        let error = read(given).unwrap_err();
        let isolator = "Failed to create a containerizer: Could not create MesosContainerizer: Failed to create isolator";
        assert_eq!(error.replace(isolator, "Impossible"), expected);
    }

    #[test]
    fn capabilities_are_read() {
        let (isolation, effective, bounding) =
            (("isolation", "linux/capabilities"), "effective_capabilities", "bounding_capabilities");
        let kill = r#"{"capabilities":["KILL"]}"#;
        let both = r#"{"capabilities":["KILL","CHOWN"]}"#;
        assert_eq!(read(&[]), Ok(Security::default()));
        let security = read(&[isolation, (effective, kill), (bounding, both)]).unwrap();
        assert_eq!(security.effective.map(Capabilities::bits), Some(0b10_0000));
        assert_eq!(security.bounding.map(Capabilities::bits), Some(0b10_0001));
        refused(
            &[isolation, (effective, both), (bounding, kill)],
            "Impossible 'linux/capabilities': Allowed capabilities are not a subset of the bounding capabilites",
        );
        refused(
            &[isolation, (effective, r#"{"capabilities":["KILL","BPF"]}"#)],
            "Impossible 'linux/capabilities': --effective_capabilities has '{ BPF }', which the agent itself does not have",
        );
        assert!(
            read(&[(effective, r#"{"capabilities":["FLY"]}"#)])
                .unwrap_err()
                .contains("--effective_capabilities")
        );
    }

    #[test]
    fn profiles_are_read() {
        let isolation = ("isolation", "linux/seccomp");
        let missing = "Impossible 'linux/seccomp': Missing required `--seccomp_config_dir` flag";
        refused(&[isolation], missing);
        refused(&[isolation, ("seccomp_profile_name", "a.json")], missing);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        let flags = [isolation, ("seccomp_config_dir", path), ("seccomp_profile_name", "a.json")];
        assert_eq!(read(&flags[..2]), Ok(Security::default()));
        refused(
            &flags,
            &format!(
                "Impossible 'linux/seccomp': Failed to read Seccomp profile file '{path}/a.json': No such file or directory (os error 2)"
            ),
        );
        let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW","archMap":[],"syscalls":[]}"#;
        std::fs::write(directory.path().join("a.json"), profile).unwrap();
        assert!(read(&flags).unwrap().seccomp.is_some());
    }
}
