//! Joining and leaving networks: the calls of plugins for one container, and the files that go with them.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use launch_plan::Network;
use proto::json::{self, Names};
use proto::mesos::v1::ContainerInfo;
use serde_json::{Map, Value};
use tokio::sync::watch;
use types::ContainerId;

use crate::networks::config::{self, Config};
use crate::networks::joined::Joined;
use crate::networks::plugin::{Invocation, run};
use crate::networks::{Attached, NetworkSettings, Networks, config_file, files, info_file, recover};

/// The key of a network's configuration below which a plugin finds what the framework said of it.
const OURS: &str = "org.apache.mesos";

/// The networks that a container is to be in.
#[derive(Debug)]
pub(crate) struct Wanted {
    networks: Vec<(Network, Config)>,
    host_name: String,
}

impl Networks {
    /// Looks up the networks that a container asks for by name. None where it asks for none.
    pub(crate) async fn find(
        &self,
        container: &ContainerId,
        info: Option<&ContainerInfo>,
    ) -> Result<Option<Wanted>, String> {
        let Some(settings) = &self.settings else { return Ok(None) };
        let asked = launch_plan::networks(info).map_err(|refusal| refusal.to_string())?;
        if asked.is_empty() {
            return Ok(None);
        }
        let host_name = launch_plan::host_name(container, info);
        let settings = Arc::clone(settings);
        let looking = tokio::task::spawn_blocking(move || {
            let one = |network: Network| Ok((config::find(&settings, &network.name)?, network));
            let found: Result<Vec<_>, String> = asked.into_iter().map(one).collect();
            let networks = found?.into_iter().map(|(config, network)| (network, config)).collect();
            Ok(Some(Wanted { networks, host_name }))
        });
        looking.await.unwrap_or_else(|_| Err("Reading the CNI network configurations panicked".to_owned()))
    }

    /// Puts the network namespace of the process `pid` in networks.
    ///
    /// A launch that is given up does not interrupt it: a plugin that was begun is heard to its end.
    pub(crate) async fn attach(
        self: &Arc<Self>,
        container: &ContainerId,
        pid: u32,
        wanted: Wanted,
    ) -> Result<Attached, String> {
        let Some(settings) = self.settings.clone() else { return Ok(Attached::default()) };
        let (at_work, over) = watch::channel(());
        self.attaching().insert(container.clone(), over);
        let (networks, container) = (Arc::clone(self), container.clone());
        let attaching = tokio::spawn(async move {
            let _at_work = at_work;
            let attached = join_all(&settings, &container, pid, &wanted).await?;
            networks.attached().insert(container, attached.clone());
            Ok(attached)
        });
        attaching.await.unwrap_or_else(|_| Err("Joining the CNI networks panicked".to_owned()))
    }

    /// Takes a container out of all its networks, and removes what is kept of them. What a plugin could not do is left
    /// for a later agent to try again.
    pub(crate) async fn detach(&self, container: &ContainerId) {
        let Some(settings) = &self.settings else { return };
        let attaching = self.attaching().remove(container);
        if let Some(mut attaching) = attaching {
            while attaching.changed().await.is_ok() {}
        }
        if settings.place(container).exists()
            && let Err(message) = leave_all(settings, container).await
        {
            tracing::error!(%container, message, "cannot take a container out of its networks");
        }
        self.attached().remove(container);
    }
}

async fn join_all(
    settings: &NetworkSettings,
    container: &ContainerId,
    pid: u32,
    wanted: &Wanted,
) -> Result<Attached, String> {
    let (place, handle) = (settings.place(container), settings.handle(container));
    fs::create_dir_all(&place).map_err(|error| {
        format!("Failed to create the container directory at '{}': {error}", place.display())
    })?;
    linux::keep_network(pid, &handle).map_err(|error| {
        let (source, target) = (format!("/proc/{pid}/ns/net"), handle.display());
        format!("Failed to mount the network namespace handle from '{source}' to '{target}': {error}")
    })?;
    let mut attached = Attached::default();
    let mut results = Vec::new();
    // One after the other: the first network is that of the first interface, and of the default route.
    for (network, config) in &wanted.networks {
        let joined = join(settings, container, network, config).await?;
        attached.infos.push(joined.info(&network.info));
        attached.interfaces.push(network.interface.clone());
        results.push((network.name.as_str(), joined));
    }
    let hosts = files::hosts(&wanted.host_name, results.iter().map(|(_, joined)| joined));
    let resolv = files::resolv_conf(&settings.dns, results.iter().map(|(name, joined)| (*name, joined)));
    let given =
        [("hostname", Some(&wanted.host_name)), ("hosts", Some(&hosts)), ("resolv.conf", resolv.as_ref())];
    for (name, text) in given {
        let Some(text) = text else { continue };
        let path = place.join(name);
        fs::write(&path, text)
            .map_err(|error| format!("Failed to write the '{name}' file at '{}': {error}", path.display()))?;
    }
    Ok(attached)
}

async fn join(
    settings: &NetworkSettings,
    container: &ContainerId,
    network: &Network,
    config: &Config,
) -> Result<Joined, String> {
    let Network { name, interface, .. } = network;
    let place = settings.place(container);
    let kept = info_file(&place, name, interface);
    let directory = kept.parent().unwrap_or(&place);
    fs::create_dir_all(directory).map_err(|error| {
        format!("Failed to create interface directory for the interface '{interface}' of the network '{name}': {error}")
    })?;
    let path = config_file(&place, name);
    // ORDER: on disk before the plugin runs; without it nobody would know that there is something to be undone.
    replace(&path, with_network_info(config, network)?.as_bytes()).map_err(|error| {
        format!("Failed to checkpoint the CNI network configuration at '{}': {error}", path.display())
    })?;
    let plugin = config.plugin();
    let program = settings.program(plugin).ok_or_else(|| {
        format!("Unable to find the plugin {plugin} required to attach {container} to network '{name}'")
    })?;
    let (id, handle) = (container.to_string(), settings.handle(container));
    let invocation = Invocation {
        command: "ADD",
        container: &id,
        namespace: Some(&handle),
        interface,
        path: &settings.plugins_dir,
        config: &path,
    };
    let outcome = run(&program, plugin, &invocation, settings.patience).await?;
    let program = program.display();
    if !outcome.status.success() {
        let words = outcome.words();
        return Err(format!(
            "The CNI plugin '{program}' failed to attach container {container} to CNI network '{name}': {words}"
        ));
    }
    let joined = Joined::parse(&outcome.stdout)
        .map_err(|why| format!("Failed to parse the output of the CNI plugin '{program}': {why}"))?;
    tracing::info!(%container, network = name, ip4 = joined.ip4, ip6 = joined.ip6, "joined a network");
    replace(&kept, &outcome.stdout)
        .map_err(|error| format!("Failed to checkpoint the output of CNI plugin '{program}': {error}"))?;
    Ok(joined)
}

/// A network's configuration with what the framework said of the network, as text.
fn with_network_info(config: &Config, network: &Network) -> Result<String, String> {
    let path = config.path.display();
    let mut object = config.object.clone();
    let mut args = match object.remove("args") {
        None => Map::new(),
        Some(Value::Object(args)) => args,
        Some(_) => {
            return Err(format!(
                "Invalid 'args' found in CNI network configuration file '{path}': it is no object"
            ));
        }
    };
    if args.contains_key(OURS) {
        return Err(format!(
            "'{OURS}' in 'args' should not be set in CNI network configuration file. It is reserved by Mesos"
        ));
    }
    let info: Value = serde_json::from_str(&json::to_string(&network.info, Names::V0))
        .map_err(|error| format!("Failed to write the network info: {error}"))?;
    args.insert(OURS.to_owned(), Value::Object(Map::from_iter([("network_info".to_owned(), info)])));
    object.insert("args".to_owned(), Value::Object(args));
    Ok(Value::Object(object).to_string())
}

async fn leave_all(settings: &NetworkSettings, container: &ContainerId) -> Result<(), String> {
    let (place, handle) = (settings.place(container), settings.handle(container));
    // After a reboot the file is there, and is no handle of anything.
    let namespace = linux::is_namespace(&handle).unwrap_or(false).then_some(handle.as_path());
    let mut failures = Vec::new();
    for (network, interface) in recover::interfaces(&place) {
        if let Err(message) = leave(settings, container, &network, &interface, namespace).await {
            failures.push(message);
        }
    }
    if namespace.is_some()
        && let Err(error) = linux::release_namespace(&handle)
    {
        let handle = handle.display();
        failures.push(format!("Failed to unmount the network namespace handle '{handle}': {error}"));
    }
    if !failures.is_empty() {
        return Err(failures.join("\n"));
    }
    fs::remove_dir_all(&place)
        .map_err(|error| format!("Failed to remove the container directory '{}': {error}", place.display()))
}

async fn leave(
    settings: &NetworkSettings,
    container: &ContainerId,
    network: &str,
    interface: &str,
    namespace: Option<&Path>,
) -> Result<(), String> {
    let place = settings.place(container);
    let path = config_file(&place, network);
    if !path.exists() {
        // The plugin was never begun.
        return Ok(());
    }
    let config = config::read(&path).map_err(|why| {
        format!("Failed to parse CNI network configuration file: '{}': {why}", path.display())
    })?;
    let plugin = config.plugin();
    let program = settings.program(plugin).ok_or_else(|| {
        format!("Unable to find the plugin {plugin} required to detach {container} to network '{network}'")
    })?;
    let id = container.to_string();
    let invocation = Invocation {
        command: "DEL",
        container: &id,
        namespace,
        interface,
        path: &settings.plugins_dir,
        config: &path,
    };
    let outcome = run(&program, plugin, &invocation, settings.patience).await?;
    if !outcome.status.success() {
        let (program, words) = (program.display(), outcome.words());
        return Err(format!(
            "The CNI plugin '{program}' failed to detach container {container} from CNI network '{network}': {words}"
        ));
    }
    let kept = info_file(&place, network, interface);
    let directory = kept.parent().unwrap_or(&place);
    fs::remove_dir_all(directory)
        .map_err(|error| format!("Failed to remove interface directory '{}': {error}", directory.display()))
}

/// Writes a file so that it is either whole or not there.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.to_owned();
    temporary.as_mut_os_string().push(".tmp");
    fs::write(&temporary, bytes)?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use proto::mesos::v1::NetworkInfo;
    use proto::mesos::v1::network_info::PortMapping;

    use super::*;

    fn check(config: &str, expected: Result<&str, &str>) {
        let Ok(Value::Object(object)) = serde_json::from_str(config) else { panic!("{config}") };
        let config = Config { path: "/net.d/web".into(), object };
        let port = PortMapping { host_port: 31000, container_port: 80, protocol: None };
        let info =
            NetworkInfo { name: Some("web".to_owned()), port_mappings: vec![port], ..NetworkInfo::default() };
        let network = Network { name: "web".to_owned(), interface: "eth0".to_owned(), info };
        let told = with_network_info(&config, &network);
        assert_eq!(told.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn plugins_are_told_what_the_framework_said() {
        let info = r#""org.apache.mesos":{"network_info":{"name":"web","port_mappings":[{"container_port":80,"host_port":31000}]}}"#;
        check(r#"{"name":"web"}"#, Ok(&format!(r#"{{"args":{{{info}}},"name":"web"}}"#)));
        check(r#"{"args":{"x":1}}"#, Ok(&format!(r#"{{"args":{{{info},"x":1}}}}"#)));
        check(
            r#"{"args":[]}"#,
            Err("Invalid 'args' found in CNI network configuration file '/net.d/web': it is no object"),
        );
        check(
            r#"{"args":{"org.apache.mesos":{}}}"#,
            Err(
                "'org.apache.mesos' in 'args' should not be set in CNI network configuration file. It is reserved by Mesos",
            ),
        );
    }
}
