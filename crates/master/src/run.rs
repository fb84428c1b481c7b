//! Starting a master: its socket, its tasks, and how they end.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use coordination::{Candidacy, Url};
use daemon::clock::{self, Clock};
use daemon::{Logging, VERSION};
use daemon::{chance, place};
use flags::{FlagSet, LoggingFlags};
use http::Server;
use libprocess::{Mixed, Receiver, ReceiverLimits};
use master_core::{Config, Master as Core, PatternLimits, parse_weights};
use proto::mesos::v1::{self, MasterInfo, master_info};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::flags::MasterFlags;
use crate::identity::Identity;
use crate::leadership::Leadership;
use crate::peers::Peers;
use crate::policy;
use crate::reactor::{QUEUE_MAX, Reactor};
use crate::role::Role;
use crate::routes;
use crate::shell::Shell;
use crate::starvation;
use crate::store::RegistryKind;
use crate::whitelist;

/// What a master needs to start.
#[derive(Clone, Debug)]
pub struct MasterConfig {
    /// Where to listen. Port 0 takes any free one.
    pub listen: SocketAddr,
    /// The address that others are told, where it is not the one to listen on.
    pub advertise: Option<SocketAddr>,
    /// The name that others are told; looked up from the address when unset.
    pub hostname: Option<String>,
    /// Look the name up; otherwise the address serves as the name.
    pub hostname_lookup: bool,
    /// The cluster's name, for people.
    pub cluster: Option<String>,
    /// Take messages only from the address that they say they come from.
    pub require_same_ip: bool,
    /// What `/flags` shows.
    pub flags: BTreeMap<String, String>,
    /// The logging of this process.
    pub logging: Logging,
    /// What keeps the registry.
    pub registry: RegistryKind,
    /// Where masters elect their leader. Without, this one leads.
    pub election: Option<Election>,
    /// The file with the only hosts that are offered; all are without one.
    pub whitelist: Option<PathBuf>,
    /// The settings of the core; `master` and `seed` are filled in at the start.
    pub core: Config,
}

/// How masters elect their leader.
#[derive(Clone, Debug)]
pub struct Election {
    /// Where.
    pub url: Url,
    /// How long the servers wait for a silent master.
    pub session_timeout: Duration,
}

/// A part of a whole, in thousandths. The flag's rule has refused everything else.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and the cast saturates"
)]
fn permille(part: f64) -> u32 {
    (part * 1000.0).round() as u32
}

/// The fault domain of this master.
fn domain_of(flags: &MasterFlags) -> anyhow::Result<Option<v1::DomainInfo>> {
    let Some(json) = &flags.domain else { return Ok(None) };
    let domain: v1::DomainInfo =
        proto::json::from_slice(json.0.as_bytes()).context("Failed to parse --domain")?;
    anyhow::ensure!(domain.fault_domain.is_some(), "`domain` must define `fault_domain`");
    Ok(Some(domain))
}

impl MasterConfig {
    /// A master with the defaults of Mesos at this address.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            advertise: None,
            hostname: None,
            hostname_lookup: true,
            cluster: None,
            require_same_ip: false,
            flags: flags::document(&[&MasterFlags::default(), &LoggingFlags::default()]),
            logging: Logging::none(),
            registry: RegistryKind::InMemory,
            election: None,
            whitelist: None,
            core: Config::new(MasterInfo::default()),
        }
    }

    /// What the flags say.
    pub fn from_flags(flags: &MasterFlags, logging: &LoggingFlags) -> anyhow::Result<Self> {
        let ip = match &flags.ip {
            Some(ip) => ip.parse().with_context(|| format!("Failed to parse --ip={ip}"))?,
            None => Ipv4Addr::UNSPECIFIED.into(),
        };
        let mut config = Self::new(SocketAddr::new(ip, flags.port));
        if let Some(ip) = &flags.advertise_ip {
            let ip = ip.parse().with_context(|| format!("Failed to parse --advertise_ip={ip}"))?;
            config.advertise = Some(SocketAddr::new(ip, flags.advertise_port.unwrap_or(flags.port)));
        }
        config.hostname.clone_from(&flags.hostname);
        config.hostname_lookup = flags.hostname_lookup;
        config.cluster.clone_from(&flags.cluster);
        config.core.master.domain = domain_of(flags)?;
        config.election = election(flags)?;
        config.registry = registry_kind(flags, config.election.as_ref())?;
        let sets: [&dyn FlagSet; 2] = [flags, logging];
        config.flags = flags::document(&sets);
        config.whitelist = flags.whitelist.as_deref().and_then(whitelist::file);
        let core = &mut config.core;
        core.agent_ping_interval = flags.agent_ping_timeout.to_std();
        core.agent_pings_max = u32::try_from(flags.max_agent_ping_timeouts).unwrap_or(u32::MAX);
        core.agent_reregister_timeout = flags.agent_reregister_timeout.to_std();
        core.offer_timeout = flags.offer_timeout.map(|timeout| timeout.to_std());
        core.offer_wait_warning = Some(flags.offer_wait_warning.to_std()).filter(|wait| !wait.is_zero());
        core.revocation = flags.revocation_after.map(|after| master_core::revocation::Settings {
            after: after.to_std().max(Duration::from_secs(1)),
            grace: flags.revocation_grace.to_std(),
            any_task: flags.revocation_any_task,
        });
        core.completed_frameworks_max = flags.max_completed_frameworks;
        core.completed_tasks_max = flags.max_completed_tasks_per_framework;
        core.unreachable_tasks_max = flags.max_unreachable_tasks_per_framework;
        core.operator_streams_max = flags.max_operator_event_stream_subscribers;
        core.registry_gc_interval = flags.registry_gc_interval.to_std();
        core.registry_age_max = flags.registry_max_agent_age.to_std();
        core.registry_agents_max = flags.registry_max_agent_count;
        core.root_submissions = flags.root_submissions;
        core.require_agent_domain = flags.require_agent_domain;
        core.roles =
            flags.roles.as_ref().map(|roles| roles.split(',').map(|role| role.trim().to_owned()).collect());
        if let Some(text) = &flags.weights {
            core.weights = parse_weights(text, core.roles.as_deref()).map_err(anyhow::Error::msg)?;
        }
        core.fair_sharing_excluded =
            flags.fair_sharing_excluded_resource_names.iter().flatten().cloned().collect();
        core.pattern_limits = PatternLimits {
            memory: usize::try_from(flags.offer_constraints_re2_max_mem.0).unwrap_or(usize::MAX),
            steps: usize::try_from(flags.offer_constraints_re2_max_program_size).unwrap_or(usize::MAX),
        };
        core.min_offers = starvation::min_offers(flags.min_offer_size.as_deref().unwrap_or_default())?;
        core.min_offer_hold = flags.min_offer_hold.to_std();
        core.short_tasks = starvation::short_tasks(flags)?;
        core.policy = policy::of_flags(flags)?;
        core.allocation_interval = flags.allocation_interval.to_std();
        core.min_allocatable_resources.clone_from(&flags.min_allocatable_resources);
        core.filter_gpu_resources = flags.filter_gpu_resources;
        core.recovery_permille = permille(flags.allocator_agent_recovery_factor);
        core.removal_permille = permille(flags.recovery_agent_removal_limit.0 / 100.0);
        core.allocator_recovery_timeout = flags.allocator_recovery_timeout.to_std();
        Ok(config)
    }
}

impl MasterConfig {
    /// Takes from the variables of libprocess what no flag has said: `LIBPROCESS_IP`, `LIBPROCESS_ADVERTISE_IP` and
    /// `_PORT`, `LIBPROCESS_REQUIRE_PEER_ADDRESS_IP_MATCH`.
    pub fn read_environment(&mut self, variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<()> {
        let ip = |name: &str| -> anyhow::Result<Option<IpAddr>> {
            let Some(text) = variable(name) else { return Ok(None) };
            let ip = text.parse().with_context(|| format!("Failed to parse {name}={text}"))?;
            Ok(Some(ip))
        };
        if self.listen.ip().is_unspecified()
            && let Some(ip) = ip("LIBPROCESS_IP")?
        {
            self.listen.set_ip(ip);
        }
        if self.advertise.is_none()
            && let Some(ip) = ip("LIBPROCESS_ADVERTISE_IP")?
        {
            let port = variable("LIBPROCESS_ADVERTISE_PORT").and_then(|port| port.parse().ok());
            self.advertise = Some(SocketAddr::new(ip, port.unwrap_or(self.listen.port())));
        }
        let required = variable("LIBPROCESS_REQUIRE_PEER_ADDRESS_IP_MATCH");
        self.require_same_ip = required.is_some_and(|value| matches!(value.as_str(), "1" | "true"));
        Ok(())
    }
}

/// A master in this process.
#[derive(Debug)]
pub struct Master;

/// A master that runs. Dropping it stops the master as [`Running::shutdown`] does, without waiting for it.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// This master as others are told of it.
    pub info: MasterInfo,
    stop: oneshot::Sender<()>,
    join: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// Stops the master and waits until its sockets are closed.
    pub async fn shutdown(self) -> anyhow::Result<()> {
        // If it has ended by itself there is nobody to tell.
        let _ = self.stop.send(());
        self.join.await?
    }

    /// Waits until the master ends, which it only does when it must.
    pub async fn join(self) -> anyhow::Result<()> {
        let outcome = self.join.await;
        drop(self.stop);
        outcome?
    }
}

impl Master {
    /// Starts a master. It serves once this returns.
    pub async fn start(config: MasterConfig) -> anyhow::Result<Running> {
        let clock = Clock::start();
        let start_time = clock::wall();
        let listener =
            http::listen(config.listen).with_context(|| format!("Failed to bind on {}", config.listen))?;
        let address = listener.local_addr().context("Failed to learn the address of the socket")?;
        let info = describe(&config, address);
        tracing::info!(id = info.id, pid = info.pid(), "master started");
        let mut core = config.core;
        core.master = info.clone();
        core.seed = chance::seed();
        let (inputs, queue) = mpsc::channel(QUEUE_MAX);
        // One that is alone leads, and has only to read its registry.
        let leads = match &config.election {
            Some(_) => Leadership::Nobody,
            None => Leadership::Here { master: Arc::new(info.clone()), recovered: false },
        };
        let (leadership, watching) = watch::channel(leads);
        let identity = Identity { start_time, cluster: config.cluster, flags: Arc::new(config.flags) };
        let shell = Arc::new(Shell::new(inputs, watching, identity, clock, config.logging));
        if let Some(log) = shell.logging.log_file() {
            shell.files.attach(log, "/master/log").context("Failed to show the log under /master/log")?;
        }
        let (peers, inbox) = Peers::new(advertised(&info, address), config.require_same_ip, &shell.inputs);
        let receiver = Receiver::new(Arc::clone(&inbox), ReceiverLimits::default());
        let server = Server::new(Mixed::new(inbox, routes::table(&shell))).first_look(receiver);
        if let Some(file) = config.whitelist {
            // A file that is not there yet forbids nothing, as in Mesos.
            let hosts = match whitelist::read(&file).await {
                Ok(hosts) => hosts,
                Err(error) => {
                    tracing::error!(file = %file.display(), %error, "cannot read the whitelist; all hosts are offered");
                    None
                }
            };
            core.whitelist.clone_from(&hosts);
            tokio::spawn(whitelist::watch(file, hosts, shell.inputs.clone(), whitelist::INTERVAL));
        }
        let reactor = Reactor {
            core: Core::new(core),
            clock,
            inputs: queue,
            own: shell.inputs.clone(),
            peers,
            role: Role::new(info.clone(), config.registry, leadership),
            store: None,
            timings: Arc::clone(&shell.timings),
            hits: Arc::clone(&shell.hits),
        };
        let candidacy = config
            .election
            .map(|election| coordination::contend(election.url, election.session_timeout, info.clone()));
        let alone = candidacy.is_none();
        let (stop, stopping) = oneshot::channel();
        let mut ready = shell.leadership.clone();
        drop(shell);
        let join = tokio::spawn(serve(server, listener, reactor, candidacy, stopping));
        if !alone {
            return Ok(Running { address, info, stop, join });
        }
        let recovered =
            |leadership: &Leadership| matches!(leadership, Leadership::Here { recovered: true, .. });
        if ready.wait_for(recovered).await.is_err() {
            join.await??;
            anyhow::bail!("The master ended while it started");
        }
        Ok(Running { address, info, stop, join })
    }
}

/// Runs the server and the core until one of them ends.
async fn serve(
    server: Server<Mixed<http::Router>>,
    listener: TcpListener,
    reactor: Reactor,
    candidacy: Option<Candidacy>,
    stop: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    let (stop_reactor, reactor_stopping) = oneshot::channel();
    let (stop_server, server_stopping) = oneshot::channel::<()>();
    let standing = candidacy.as_ref().map(|candidacy| candidacy.standing.clone());
    let mut reacting = tokio::spawn(reactor.run(standing, reactor_stopping));
    let serving = tokio::spawn(server.run(listener, async {
        // Told, or the teller is gone: either way it is over.
        let _ = server_stopping.await;
    }));
    let outcome = tokio::select! {
        ended = &mut reacting => Some(ended),
        _ = stop => None,
    };
    // ORDER: the streams end with the reactor, and a server waits for its streams.
    let outcome = match outcome {
        Some(ended) => ended,
        None => {
            // A reactor that has just ended by itself need not be told.
            let _ = stop_reactor.send(());
            reacting.await
        }
    };
    // ORDER: the reactor has written all that it will, so that another may lead now.
    if let Some(candidacy) = candidacy {
        candidacy.withdraw().await;
    }
    drop(stop_server);
    serving.await.context("The server failed")?;
    outcome.context("The master's core failed")?
}

/// Where others reach this master.
fn advertised(info: &MasterInfo, address: SocketAddr) -> SocketAddr {
    let ip = info.address.as_ref().and_then(|address| address.ip().parse().ok());
    let port = u16::try_from(info.port).unwrap_or(address.port());
    SocketAddr::new(ip.unwrap_or_else(|| address.ip()), port)
}

fn describe(config: &MasterConfig, bound: SocketAddr) -> MasterInfo {
    let mut address = config.advertise.unwrap_or(bound);
    if address.port() == 0 {
        address.set_port(bound.port());
    }
    if address.ip().is_unspecified() {
        address.set_ip(place::own_ip());
    }
    let hostname = match &config.hostname {
        Some(name) => name.clone(),
        None if config.hostname_lookup => place::name_of(address.ip()),
        None => address.ip().to_string(),
    };
    let port = u32::from(address.port());
    let ip = match address.ip() {
        // COMPAT(mesos): in network byte order, read as a little-endian number.
        IpAddr::V4(ip) => u32::from_le_bytes(ip.octets()),
        IpAddr::V6(_) => 0,
    };
    let capability =
        |kind: master_info::capability::Type| master_info::Capability { r#type: Some(kind as i32) };
    MasterInfo {
        id: chance::uuid().to_string(),
        ip,
        port,
        pid: Some(format!("master@{address}")),
        hostname: Some(hostname.clone()),
        version: Some(VERSION.mesos.to_owned()),
        address: Some(v1::Address {
            hostname: Some(hostname),
            ip: Some(address.ip().to_string()),
            port: i32::from(address.port()),
        }),
        domain: config.core.master.domain.clone(),
        capabilities: master_core::registry::CAPABILITIES.map(capability).into(),
    }
}

/// Runs a master, with the logging of its process, until SIGTERM or SIGINT tells it to stop, or it must end.
pub async fn run(flags: MasterFlags, logging: LoggingFlags) -> anyhow::Result<()> {
    // The verbosity at the start is a variable and no flag, as in Mesos.
    let verbosity = std::env::var("GLOG_v").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut config = MasterConfig::from_flags(&flags, &logging)?;
    config.logging =
        Logging::start(&logging, "mesos-master", verbosity).context("Failed to start logging")?;
    raise_files_max();
    tell_of_registry(&flags, &config);
    let mut running = Master::start(config).await?;
    let mut terminate = signal(SignalKind::terminate()).context("Failed to listen for SIGTERM")?;
    tokio::select! {
        outcome = &mut running.join => outcome?,
        _ = terminate.recv() => running.shutdown().await,
        _ = tokio::signal::ctrl_c() => running.shutdown().await,
    }
}

/// Where the leader is elected, by the flags.
fn election(flags: &MasterFlags) -> anyhow::Result<Option<Election>> {
    let Some(zk) = &flags.zk else { return Ok(None) };
    let url = zk.value.parse().context("Failed to parse --zk")?;
    Ok(Some(Election { url, session_timeout: flags.zk_session_timeout.to_std() }))
}

/// What keeps the registry, by the flags.
fn registry_kind(flags: &MasterFlags, election: Option<&Election>) -> anyhow::Result<RegistryKind> {
    match (flags.registry.as_str(), election, &flags.work_dir) {
        ("in_memory", _, _) => Ok(RegistryKind::InMemory),
        ("replicated_log", Some(Election { url, session_timeout }), _) => Ok(RegistryKind::Shared {
            url: url.clone(),
            session_timeout: *session_timeout,
            fetch_timeout: flags.registry_fetch_timeout.to_std(),
            store_timeout: flags.registry_store_timeout.to_std(),
        }),
        (_, _, Some(work_dir)) => Ok(RegistryKind::Local(PathBuf::from(work_dir))),
        (kind, _, None) => {
            anyhow::bail!(
                "--work_dir needed for --registry={kind}; --registry=in_memory needs none, and forgets"
            )
        }
    }
}

/// Says where the registry is, where that is not what somebody who knows Apache Mesos would think.
fn tell_of_registry(flags: &MasterFlags, config: &MasterConfig) {
    match (&config.registry, &config.election) {
        (RegistryKind::Shared { url, .. }, _) => tracing::info!(
            path = url.registry_path(),
            "the registry is in {}; the replicated log of Apache Mesos is not read",
            url.service()
        ),
        (RegistryKind::Local(_) | RegistryKind::InMemory, Some(_)) => tracing::warn!(
            registry = flags.registry,
            "this registry is this master's own: another that is elected does not know what is in it"
        ),
        (RegistryKind::Local(_), None) if flags.registry == "replicated_log" => tracing::info!(
            "the registry is a file of this master; the replicated log of Apache Mesos is not read"
        ),
        (RegistryKind::Local(_) | RegistryKind::InMemory, None) => {}
    }
}

/// Takes as many open files as the machine grants: every agent holds two connections.
fn raise_files_max() {
    let granted = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: granted.maximum, maximum: granted.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        tracing::warn!(%error, files = granted.current, "the limit of open files stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_environment() {
        let variable = |name: &str| match name {
            "LIBPROCESS_IP" => Some("127.0.0.2".to_owned()),
            "LIBPROCESS_ADVERTISE_IP" => Some("10.0.0.1".to_owned()),
            "LIBPROCESS_ADVERTISE_PORT" => Some("6060".to_owned()),
            _ => None,
        };
        let mut config = MasterConfig::new("0.0.0.0:5050".parse().unwrap());
        config.read_environment(variable).unwrap();
        assert_eq!(config.listen, "127.0.0.2:5050".parse().unwrap());
        assert_eq!(config.advertise, Some("10.0.0.1:6060".parse().unwrap()));
        assert!(!config.require_same_ip);
        let info = describe(&config, config.listen);
        assert_eq!(info.pid(), "master@10.0.0.1:6060");
        let mut config = MasterConfig::new("127.0.0.1:5050".parse().unwrap());
        config.read_environment(variable).unwrap();
        assert_eq!(config.listen, "127.0.0.1:5050".parse().unwrap());
        assert!(
            MasterConfig::new("0.0.0.0:1".parse().unwrap())
                .read_environment(|_| Some("x".to_owned()))
                .is_err()
        );
    }

    #[test]
    fn a_domain_is_a_fault_domain() {
        let of = |text: &str| {
            let domain = Some(flags::Json(text.to_owned()));
            domain_of(&MasterFlags { domain, ..MasterFlags::default() })
        };
        let json = r#"{"fault_domain":{"region":{"name":"eu"},"zone":{"name":"eu-1"}}}"#;
        let domain = of(json).unwrap().unwrap().fault_domain.unwrap();
        assert_eq!((domain.region.name.as_str(), domain.zone.name.as_str()), ("eu", "eu-1"));
        assert_eq!(of("{}").unwrap_err().to_string(), "`domain` must define `fault_domain`");
        assert!(of("{").is_err());
        assert!(domain_of(&MasterFlags::default()).unwrap().is_none());
    }

    #[test]
    fn a_master_describes_itself_as_mesos_does() {
        let info =
            describe(&MasterConfig::new("127.0.0.1:0".parse().unwrap()), "127.0.0.1:34089".parse().unwrap());
        // recorded/v1-GET_MASTER.json
        assert_eq!((info.ip, info.port, info.pid()), (16_777_343, 34089, "master@127.0.0.1:34089"));
    }
}
