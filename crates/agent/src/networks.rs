//! What the flags say of containers' networks.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use containerizer::{NetworkSettings, PortSettings};
use proto::mesos::internal::ContainerDnsInfo;
use proto::mesos::v1::Resource;
use resources::Resources;

use crate::detect;
use crate::flags::AgentFlags;

/// Below the runtime directory, or the work directory. COMPAT(mesos): where an agent of Apache Mesos has them.
const ROOT: &str = "isolators/network/cni";

/// The networks that containers may ask for. None where the flags name none. `is_root`: whether this agent is root.
pub(crate) fn from_flags(flags: &AgentFlags, is_root: bool) -> anyhow::Result<Option<NetworkSettings>> {
    let given = |directory: &Option<String>| directory.clone().filter(|it| !it.is_empty());
    let (plugins, configs) = (given(&flags.network_cni_plugins_dir), given(&flags.network_cni_config_dir));
    if flags.network_cni_plugins_dir.is_none() && flags.network_cni_config_dir.is_none() {
        return Ok(None);
    }
    if !is_root {
        bail!("The 'network/cni' isolator requires root permissions");
    }
    let plugins = plugins.context("Missing required '--network_cni_plugins_dir' flag")?;
    let configs = configs.context("Missing required '--network_cni_config_dir' flag")?;
    if !Path::new(&configs).exists() {
        bail!("The CNI network configuration directory '{configs}' does not exist");
    }
    let above = match flags.network_cni_root_dir_persist {
        true => &flags.work_dir,
        false => flags.runtime_dir.as_ref().unwrap_or(&flags.work_dir),
    };
    let root = std::path::absolute(above).context("Failed to read --runtime_dir")?.join(ROOT);
    // Which program has ours in it is only known when the agent starts.
    let mut settings = NetworkSettings::new(configs.into(), plugins, root, PathBuf::new());
    settings.counts_traffic = flags.network_cni_metrics;
    settings.dns = dns(flags)?;
    Ok(Some(settings))
}

fn dns(flags: &AgentFlags) -> anyhow::Result<ContainerDnsInfo> {
    let Some(json) = &flags.default_container_dns else { return Ok(ContainerDnsInfo::default()) };
    proto::json::from_slice(json.0.as_bytes()).context("Failed to parse --default_container_dns")
}

/// How `network/ports` watches.
pub(crate) fn ports(flags: &AgentFlags) -> anyhow::Result<PortSettings> {
    if flags.check_agent_port_range_only && flags.container_ports_isolated_range.is_some() {
        bail!(
            "Only one of `--check_agent_port_range_only` or '--container_ports_isolated_range` should be specified"
        );
    }
    let isolated = match &flags.container_ports_isolated_range {
        Some(text) => {
            let parsed = Resources::parse(&format!("ports:{text}"), "*");
            let parsed = parsed.with_context(|| format!("Failed to parse isolated ports range '{text}'"))?;
            Some(port_ranges(&parsed.to_protos()))
        }
        None if flags.check_agent_port_range_only => {
            let work_dir = Path::new(&flags.work_dir);
            let offered = detect::resources(flags.resources.as_deref(), &flags.default_role, work_dir, 0)
                .context("Failed to parse agent resources")?;
            Some(port_ranges(&offered))
        }
        None => None,
    };
    Ok(PortSettings {
        interval: flags.container_ports_watch_interval.to_std().max(Duration::from_millis(1)),
        enforce: flags.enforce_container_ports,
        isolated,
    })
}

fn port_ranges(resources: &[Resource]) -> Vec<RangeInclusive<u16>> {
    let port = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
    let ports = resources.iter().filter(|it| it.name == "ports").filter_map(|it| it.ranges.as_ref());
    ports.flat_map(|ports| &ports.range).map(|range| port(range.begin)..=port(range.end)).collect()
}

#[cfg(test)]
mod tests {
    use flags::FlagSet as _;

    use super::*;

    fn check(given: &[(&str, &str)], is_root: bool, expected: Result<Option<&str>, &str>) {
        let mut flags = AgentFlags::default();
        for (name, value) in [("work_dir", "/w"), ("runtime_dir", "/r")].iter().chain(given) {
            flags.set(name, value, None).unwrap();
        }
        let read = from_flags(&flags, is_root);
        let root = read.map(|read| read.map(|read| read.root.display().to_string()));
        let shown = root.as_ref().map(Option::as_deref).map_err(|error| format!("{error:#}"));
        assert_eq!(shown.as_ref().map(|it| *it).map_err(String::as_str), expected, "{given:?}");
    }

    fn check_ports(given: &[(&str, &str)], expected: Result<Option<&[RangeInclusive<u16>]>, &str>) {
        let mut flags = AgentFlags::default();
        for (name, value) in [("work_dir", "/")].iter().chain(given) {
            flags.set(name, value, None).unwrap();
        }
        let read = ports(&flags).map(|ports| ports.isolated).map_err(|error| error.to_string());
        assert_eq!(read.as_ref().map(Option::as_deref).map_err(String::as_str), expected, "{given:?}");
    }

    #[test]
    fn ports_are_all_or_the_agents_or_some() {
        let agents = ("check_agent_port_range_only", "true");
        let some = ("container_ports_isolated_range", "[0-99,200-299]");
        check_ports(&[], Ok(None));
        check_ports(&[agents], Ok(Some(&[31000..=32000])));
        check_ports(&[agents, ("resources", "ports:[1-9]")], Ok(Some(&[1..=9])));
        check_ports(&[agents, ("resources", "ports:[]")], Ok(Some(&[])));
        check_ports(&[some], Ok(Some(&[0..=99, 200..=299])));
        check_ports(
            &[agents, some],
            Err(
                "Only one of `--check_agent_port_range_only` or '--container_ports_isolated_range` should be specified",
            ),
        );
        check_ports(
            &[("container_ports_isolated_range", "x")],
            Err("Failed to parse isolated ports range 'x'"),
        );
    }

    #[test]
    fn both_directories_make_networks() {
        let (plugins, configs) =
            (("network_cni_plugins_dir", "/usr/lib/cni"), ("network_cni_config_dir", "/"));
        check(&[], false, Ok(None));
        check(&[plugins, configs], false, Err("The 'network/cni' isolator requires root permissions"));
        check(&[plugins], true, Err("Missing required '--network_cni_config_dir' flag"));
        check(&[configs], true, Err("Missing required '--network_cni_plugins_dir' flag"));
        check(
            &[plugins, ("network_cni_config_dir", "/no/such")],
            true,
            Err("The CNI network configuration directory '/no/such' does not exist"),
        );
        check(&[plugins, configs], true, Ok(Some("/r/isolators/network/cni")));
        let persist = ("network_cni_root_dir_persist", "true");
        check(&[plugins, configs, persist], true, Ok(Some("/w/isolators/network/cni")));
        let dns = ("default_container_dns", r#"{"mesos":[{"network_mode":"CNI"}]}"#);
        let mut flags = AgentFlags::default();
        flags.set(dns.0, dns.1, None).unwrap();
        assert!(super::dns(&flags).is_err());
    }
}
