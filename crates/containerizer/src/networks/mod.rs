//! `network/cni`: networks that containers ask for by name, joined and left by programs of others (CNI plugins).
//!
//! What is kept of a container's networks, so that a later agent can leave them, too:
//!
//! ```text
//! <root>/<container>/ns                                a handle of its network namespace
//!                   /{hosts,hostname,resolv.conf}      what it sees in /etc
//!                   /<network>/network.conf            what the plugin was told
//!                             /<interface>/network.info   what the plugin said
//! ```
//! **Invariant:** a network is left only once no plugin is at work on joining it, however the launch ended.

mod attach;
mod config;
mod files;
mod joined;
mod plugin;
mod recover;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::mesos::internal::ContainerDnsInfo;
use proto::mesos::v1::NetworkInfo;
use proto::mesos::v1::network_info::IpAddress;
use tokio::sync::watch;
use types::ContainerId;

pub(crate) use self::config::which;
pub(crate) use self::joined::Joined;
pub(crate) use self::recover::container as container_of_name;

/// The longest address as text is one of version 6 that ends with one of version 4.
const ADDRESS_CHARS_MAX: usize = 45;

/// How long a plugin may take. Mesos waits for ever.
const PLUGIN_PATIENCE: Duration = Duration::from_secs(60);

/// The networks of an agent.
#[derive(Clone, Debug)]
pub struct NetworkSettings {
    /// `--network_cni_config_dir`: a file for each network.
    pub config_dir: PathBuf,
    /// `--network_cni_plugins_dir`: where plugins are, divided by colons.
    pub plugins_dir: String,
    /// Where it is kept which networks containers are in.
    pub root: PathBuf,
    /// `--default_container_dns`: name servers of networks that bring none.
    pub dns: ContainerDnsInfo,
    /// `--network_cni_metrics`: whether traffic is counted in statistics.
    pub counts_traffic: bool,
    /// The program that has the plugin `mesos-cni-port-mapper` in it: ours.
    pub port_mapper: PathBuf,
    /// How long a plugin may take.
    pub patience: Duration,
}

/// What is known of the networks that a container is in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attached {
    /// Them, with the container's addresses there.
    pub(crate) infos: Vec<NetworkInfo>,
    /// The container's interfaces to them.
    pub(crate) interfaces: Vec<String>,
}

/// The networks, and who is in them.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    settings: Option<Arc<NetworkSettings>>,
    /// A lock, since a container's task fills it in and readers of statistics look; held for a look-up at a time.
    attached: Mutex<BTreeMap<ContainerId, Attached>>,
    /// Who is being attached; the channel closes when that is over.
    attaching: Mutex<BTreeMap<ContainerId, watch::Receiver<()>>>,
}

impl Attached {
    /// Makes an environment as long as it will be at most once the container's address is known.
    pub(crate) fn reserve(environment: &mut Vec<(String, String)>) {
        let longest = IpAddress { ip_address: Some("x".repeat(ADDRESS_CHARS_MAX)), protocol: None };
        let info = NetworkInfo { ip_addresses: vec![longest], ..NetworkInfo::default() };
        Self { infos: vec![info], interfaces: Vec::new() }.tell(environment);
    }

    /// Tells a container's command where it is reached.
    pub(crate) fn tell(&self, environment: &mut Vec<(String, String)>) {
        let mut set = |name: &str, value: &str| {
            environment.retain(|(given, _)| given != name);
            environment.push((name.to_owned(), value.to_owned()));
        };
        // COMPAT(mesos): the address of the machine is none in there.
        set("LIBPROCESS_IP", "0.0.0.0");
        let addresses = self.infos.iter().flat_map(|info| &info.ip_addresses);
        if let Some(ip) = addresses.filter_map(|it| it.ip_address.as_deref()).next() {
            set("MESOS_CONTAINER_IP", ip);
        }
    }
}

impl NetworkSettings {
    /// The networks of these directories.
    #[must_use]
    pub fn new(config_dir: PathBuf, plugins_dir: String, root: PathBuf, port_mapper: PathBuf) -> Self {
        Self {
            config_dir,
            plugins_dir,
            root,
            dns: ContainerDnsInfo::default(),
            counts_traffic: true,
            port_mapper,
            patience: PLUGIN_PATIENCE,
        }
    }

    /// Makes the directory that all is kept in, as a mount that containers do not keep things mounted by. Blocks.
    pub fn prepare(&self) -> Result<(), String> {
        let root = self.root.display();
        fs::create_dir_all(&self.root).map_err(|error| {
            format!("Failed to create CNI network information root directory at '{root}': {error}")
        })?;
        linux::share_mounts_below(&self.root)
            .map_err(|error| format!("Failed to bind mount '{root}' and make it a shared mount: {error}"))
    }

    fn place(&self, container: &ContainerId) -> PathBuf {
        launch_plan::network_place(&self.root.to_string_lossy(), container).into()
    }

    fn handle(&self, container: &ContainerId) -> PathBuf {
        self.place(container).join("ns")
    }
}

/// What the plugin of a network was told.
fn config_file(place: &Path, network: &str) -> PathBuf {
    place.join(network).join("network.conf")
}

/// What the plugin of a network said.
fn info_file(place: &Path, network: &str, interface: &str) -> PathBuf {
    place.join(network).join(interface).join("network.info")
}

impl Networks {
    pub(crate) fn new(settings: Option<NetworkSettings>) -> Self {
        Self { settings: settings.map(Arc::new), ..Self::default() }
    }

    fn attached(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Attached>> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attaching(&self) -> MutexGuard<'_, BTreeMap<ContainerId, watch::Receiver<()>>> {
        self.attaching.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The networks that a container is in: its own, or those of the nearest container around it that has any.
    pub(crate) fn of(&self, container: &ContainerId) -> Option<Attached> {
        self.settings.as_ref()?;
        let attached = self.attached();
        std::iter::successors(Some(container), |it| it.parent.as_deref())
            .find_map(|it| attached.get(it).cloned())
    }

    /// The nearest container around this one that has networks of its own.
    pub(crate) fn around<'a>(&self, container: &'a ContainerId) -> Option<&'a ContainerId> {
        self.settings.as_ref()?;
        let attached = self.attached();
        std::iter::successors(container.parent.as_deref(), |it| it.parent.as_deref())
            .find(|it| attached.contains_key(it))
    }

    /// Whether traffic is counted.
    pub(crate) fn counts_traffic(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| settings.counts_traffic)
    }

    /// Those in networks that are not in `known`, nor in one that is: containers of an earlier agent.
    pub(crate) fn orphans(&self, known: impl Fn(&ContainerId) -> bool) -> BTreeSet<ContainerId> {
        let Some(settings) = &self.settings else { return BTreeSet::new() };
        recover::found(&settings.root).into_iter().filter(|container| !known(container)).collect()
    }
}
