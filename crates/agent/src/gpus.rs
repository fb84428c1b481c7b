//! How the flags say which GPUs are offered, of those that the machine has.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use containerizer::{Gpus, Isolation, Isolator, find_gpus};

use crate::detect;
use crate::flags::AgentFlags;

/// The GPUs of the machine whose files are below `root`, which is `/` but in tests. Refuses what does not go together.
pub(crate) fn from_flags(flags: &AgentFlags, isolation: &Isolation, root: &Path) -> anyhow::Result<Gpus> {
    if !isolation.has(Isolator::GpuNvidia) {
        // COMPAT(mesos): how the flag is called here and below.
        ensure!(
            flags.nvidia_gpu_devices.is_none(),
            "Failed to determine agent resources: Failed to obtain GPU resources: '--nvidia_gpus_devices' can only be \
             specified if the `--isolation` flag contains 'gpu/nvidia'"
        );
        return Ok(Gpus::default());
    }
    if root == Path::new("/") {
        load_memory_driver();
    }
    let found = find_gpus(root).map_err(anyhow::Error::msg).context(
        "Failed to create a containerizer: Could not create MesosContainerizer: Failed to create isolator \
         'gpu/nvidia': Cannot create the Nvidia GPU isolator",
    )?;
    let indices = indices(flags, found.gpus.len())
        .context("Failed to create a containerizer: Failed call to NvidiaGpuAllocator::resources")?;
    let mut offered = BTreeSet::new();
    for index in indices {
        let gpu = usize::try_from(index).ok().and_then(|index| found.gpus.get(index)).with_context(|| {
            format!(
                "Failed to create a containerizer: Failed to NvidiaGpuAllocator::create: There is no GPU {index}: the \
                 machine has {}",
                found.gpus.len()
            )
        })?;
        offered.insert(*gpu);
    }
    if found.rest.driver.is_none() {
        tracing::warn!("no directory of the Nvidia driver's libraries was found: no image is given them");
    }
    Ok(Gpus { offered, ..found.rest })
}

/// The numbers of the GPUs to offer, of so many.
fn indices(flags: &AgentFlags, available: usize) -> anyhow::Result<Vec<u32>> {
    let given = detect::given_gpus(flags.resources.as_deref(), &flags.default_role)?;
    let devices = flags.nvidia_gpu_devices.as_ref();
    let count = match (given, devices) {
        (Some(0), Some(_)) => {
            bail!("'--nvidia_gpus_devices' cannot be specified when '--resources' specifies 0 GPUs")
        }
        (Some(0), None) => return Ok(Vec::new()),
        (None, Some(_)) => {
            bail!("'--nvidia_gpus_devices' cannot be set without also setting 'gpus' in '--resources'")
        }
        (Some(_), None) => {
            bail!("The `gpus` resource cannot be set without also setting `--nvidia_gpu_devices`")
        }
        (None, None) => return Ok((0..u32::try_from(available)?).collect()),
        (Some(milli), Some(_)) if !milli.is_multiple_of(1000) => {
            bail!("The 'gpus' resource must be an non-negative integer")
        }
        (Some(milli), Some(_)) => usize::try_from(milli / 1000)?,
    };
    let devices = devices.cloned().unwrap_or_default();
    let unique: BTreeSet<u32> = devices.iter().copied().collect();
    ensure!(unique.len() == devices.len(), "'--nvidia_gpu_devices' contains duplicates");
    ensure!(
        devices.len() == count,
        "'--resources' and '--nvidia_gpu_devices' specify different numbers of GPU devices"
    );
    ensure!(
        count <= available,
        "The number of GPUs requested is greater than the number of GPUs available on the machine"
    );
    Ok(devices)
}

/// Has the driver make its device for shared memory, which it does on demand only. What fails is told when the device
/// is looked for.
fn load_memory_driver() {
    if Path::new("/proc/driver/nvidia/version").exists() && !Path::new("/dev/nvidia-uvm").exists() {
        drop(std::process::Command::new("nvidia-modprobe").args(["-u", "-c", "0"]).status());
    }
}

#[cfg(test)]
mod tests {
    use flags::FlagSet as _;

    use super::*;

    fn check(resources: Option<&str>, devices: Option<&str>, expected: Result<&[u32], &str>) {
        let mut flags = AgentFlags::default();
        for (name, value) in [("resources", resources), ("nvidia_gpu_devices", devices)] {
            if let Some(value) = value {
                flags.set(name, value, None).unwrap();
            }
        }
        let read = indices(&flags, 2).map_err(|error| error.to_string());
        assert_eq!(read.as_deref().map_err(String::as_str), expected, "{resources:?} {devices:?}");
    }

    #[test]
    fn flags_go_together() {
        check(None, None, Ok(&[0, 1]));
        check(Some("cpus:1"), None, Ok(&[0, 1]));
        check(Some("gpus:0"), None, Ok(&[]));
        check(Some("gpus:1"), Some("1"), Ok(&[1]));
        check(Some("gpus(eng):2"), Some("1,0"), Ok(&[1, 0]));
        let refused = |resources, devices, why| check(resources, devices, Err(why));
        refused(
            Some("gpus:0"),
            Some("1"),
            "'--nvidia_gpus_devices' cannot be specified when '--resources' specifies 0 GPUs",
        );
        refused(
            None,
            Some("1"),
            "'--nvidia_gpus_devices' cannot be set without also setting 'gpus' in '--resources'",
        );
        refused(
            Some("gpus:1"),
            None,
            "The `gpus` resource cannot be set without also setting `--nvidia_gpu_devices`",
        );
        refused(Some("gpus:1.5"), Some("0"), "The 'gpus' resource must be an non-negative integer");
        refused(Some("gpus:2"), Some("1,1"), "'--nvidia_gpu_devices' contains duplicates");
        refused(
            Some("gpus:1"),
            Some("0,1"),
            "'--resources' and '--nvidia_gpu_devices' specify different numbers of GPU devices",
        );
        refused(
            Some("gpus:3"),
            Some("0,1,2"),
            "The number of GPUs requested is greater than the number of GPUs available on the machine",
        );
    }

    #[test]
    fn devices_need_the_isolator_and_the_driver() {
        let mut flags = AgentFlags::default();
        flags.set("nvidia_gpu_devices", "0", None).unwrap();
        let nowhere = Path::new("/nonexistent");
        let refused = from_flags(&flags, &Isolation::posix(), nowhere).unwrap_err().to_string();
        assert!(refused.ends_with("if the `--isolation` flag contains 'gpu/nvidia'"), "{refused}");
        let facts = containerizer::Facts {
            root: true,
            hierarchies: ["freezer", "devices"].map(|it| (it.to_owned(), format!("/cg/{it}"))).into(),
            ..containerizer::Facts::default()
        };
        let parse = |isolation| Isolation::parse(isolation, Some("linux"), &facts);
        let isolation = parse("gpu/nvidia,cgroups/devices,filesystem/linux").unwrap();
        let refused = format!("{:#}", from_flags(&flags, &isolation, nowhere).unwrap_err());
        let why = "Cannot create the Nvidia GPU isolator: The Nvidia driver is not loaded: \
                   '/nonexistent/proc/driver/nvidia/version'";
        assert!(refused.contains(why), "{refused}");
        for (isolation, why) in [
            (
                "gpu/nvidia,filesystem/linux",
                "Failed to create isolator 'gpu/nvidia': The 'cgroups/devices' or 'cgroups/all' isolator must be \
                 enabled in order to use the 'gpu/nvidia' isolator",
            ),
            (
                "gpu/nvidia,cgroups/devices",
                "Failed to create isolator 'gpu/nvidia': The 'filesystem/linux' isolator must be enabled in order to \
                 use the 'gpu/nvidia' isolator",
            ),
        ] {
            assert_eq!(parse(isolation).unwrap_err().to_string(), why);
        }
    }
}
