//! What the flags say of containers' networks.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use containerizer::NetworkSettings;
use proto::mesos::internal::ContainerDnsInfo;

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
