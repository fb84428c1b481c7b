//! The directory of network configurations, as it is at the moment.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::networks::NetworkSettings;

/// The plugin that is in our own program.
pub(super) const PORT_MAPPER: &str = "mesos-cni-port-mapper";

/// The longest file that is read as a configuration.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// The configuration of a network.
#[derive(Clone, Debug)]
pub(super) struct Config {
    /// The file it is from.
    pub(super) path: PathBuf,
    /// All that it says.
    pub(super) object: Map<String, Value>,
}

impl Config {
    /// Its plugin's name.
    pub(super) fn plugin(&self) -> &str {
        self.object.get("type").and_then(Value::as_str).unwrap_or_default()
    }

    fn name(&self) -> Option<&str> {
        self.object.get("name")?.as_str()
    }

    fn ipam(&self) -> Option<&str> {
        self.object.get("ipam")?.get("type")?.as_str()
    }
}

/// The configuration of a network: that of the first file, by name, that describes it. Blocks.
///
/// The directory is read anew for each container, so that a new network can be used at once.
pub(super) fn find(settings: &NetworkSettings, network: &str) -> Result<Config, String> {
    let entries = fs::read_dir(&settings.config_dir).map_err(|error| {
        format!(
            "Encountered error while loading CNI config during a cache-miss for CNI network '{network}': Unable to \
             list the CNI network configuration directory '{}': {error}",
            settings.config_dir.display()
        )
    })?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let mut why_not = None;
    for path in paths.into_iter().filter(|path| path.is_file()) {
        match read(&path) {
            Ok(config) if config.name() == Some(network) => match usable(settings, &config) {
                Ok(()) => return Ok(config),
                Err(why) => why_not = Some(why),
            },
            Ok(_) => {}
            Err(why) => {
                tracing::error!(path = %path.display(), why, "cannot read a CNI network configuration")
            }
        }
    }
    let why_not = why_not.map(|why| format!(": {why}")).unwrap_or_default();
    Err(format!("Unknown CNI network '{network}'{why_not}"))
}

/// Reads a configuration. Blocks.
pub(super) fn read(path: &Path) -> Result<Config, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > CONFIG_BYTES_MAX {
        return Err(format!("it has {size} bytes, more than {CONFIG_BYTES_MAX}"));
    }
    let text = fs::read(path).map_err(|error| error.to_string())?;
    let value: Value =
        serde_json::from_slice(&text).map_err(|error| format!("JSON parse failed: {error}"))?;
    let Value::Object(object) = value else { return Err("JSON parse failed: it is no object".to_owned()) };
    Ok(Config { path: path.to_owned(), object })
}

/// Whether the plugins of a configuration are there.
fn usable(settings: &NetworkSettings, config: &Config) -> Result<(), String> {
    let missing = |kind: &str, name: &str| {
        format!(
            "'{}' needs the {kind} '{name}', which is not in '{}'",
            config.path.display(),
            settings.plugins_dir
        )
    };
    if settings.program(config.plugin()).is_none() {
        return Err(missing("plugin", config.plugin()));
    }
    match config.ipam() {
        Some(ipam) if settings.program(ipam).is_none() => Err(missing("IPAM plugin", ipam)),
        Some(_) | None => Ok(()),
    }
}

impl NetworkSettings {
    /// The program of a plugin. Ours need not lie among the others.
    pub(super) fn program(&self, plugin: &str) -> Option<PathBuf> {
        which(plugin, &self.plugins_dir).or_else(|| (plugin == PORT_MAPPER).then(|| self.port_mapper.clone()))
    }
}

/// The first program of that name in directories that are divided by colons.
pub(crate) fn which(name: &str, directories: &str) -> Option<PathBuf> {
    if name.is_empty() || name.contains('/') {
        return None;
    }
    let runs = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    directories.split(':').filter(|it| !it.is_empty()).map(|it| Path::new(it).join(name)).find(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_what_it_is_at_the_moment() {
        let home = tempfile::tempdir().unwrap();
        let (configs, plugins) = (home.path().join("net.d"), home.path().join("bin"));
        fs::create_dir(&plugins).unwrap();
        let settings = NetworkSettings::new(
            configs.clone(),
            format!("/nowhere:{}", plugins.display()),
            home.path().join("root"),
            "/our/program".into(),
        );
        let refused = |network: &str| find(&settings, network).unwrap_err();
        assert!(refused("a").starts_with("Encountered error while loading CNI config"), "{}", refused("a"));
        fs::create_dir(&configs).unwrap();
        assert_eq!(refused("a"), "Unknown CNI network 'a'");
        fs::write(configs.join("0-broken"), "{").unwrap();
        fs::write(configs.join("1-other"), r#"{"name":"b","type":"bridge"}"#).unwrap();
        fs::write(configs.join("2"), r#"{"name":"a","type":"bridge","ipam":{"type":"host-local"}}"#).unwrap();
        fs::write(configs.join("3"), r#"{"name":"a","type":"mesos-cni-port-mapper","later":true}"#).unwrap();
        // The first one's plugin is not there.
        assert_eq!(find(&settings, "a").unwrap().path, configs.join("3"));
        assert!(
            refused("b").contains("needs the plugin 'bridge', which is not in '/nowhere:"),
            "{}",
            refused("b")
        );
        for plugin in ["bridge", "host-local"] {
            fs::write(plugins.join(plugin), "").unwrap();
            assert_eq!(find(&settings, "a").unwrap().path, configs.join("3"));
            fs::set_permissions(plugins.join(plugin), fs::Permissions::from_mode(0o755)).unwrap();
        }
        assert_eq!(find(&settings, "a").unwrap().path, configs.join("2"));
        assert_eq!(which("../bin/bridge", &settings.plugins_dir), None);
    }
}
