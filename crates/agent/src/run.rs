//! Starting an agent: its directories, its socket, its tasks, and how they end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use agent_core::{Agent as Core, Event};
use anyhow::{Context as _, bail};
use containerizer::VolumeGids;
use daemon::clock::{self, Clock};
use daemon::{Common, Files, Logging, MetricsSource};
use daemon::{chance, place};
use fail_point::fail_point;
use fetcher::Fetcher;
use flags::LoggingFlags;
use http::Server;
use libprocess::{Mixed, Receiver, ReceiverLimits};
use proto::mesos::v1::AgentInfo;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use types::Pid;

use crate::composing::Containerizer;
use crate::config::AgentConfig;
use crate::detector::Detector;
use crate::flags::AgentFlags;
use crate::identity::Identity;
use crate::images::Images;
use crate::lock::Lock;
use crate::metrics::{self, Keeping};
use crate::peers::{PROCESS, Peers};
use crate::reactor::{Input, QUEUE_MAX, Reactor};
use crate::shell::Shell;
use crate::stats::Stats;
use crate::{detect, detector, launching, recovery, routes, sandboxes};

/// Notices of containers that wait for the core.
const NOTICES_MAX: usize = 256;

/// How much longer than executors may take to shut down their end is waited for, before they are killed.
const SHUTDOWN_SLACK: Duration = Duration::from_secs(5);

/// How long what is left of killed containers may take.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// An agent in this process.
#[derive(Debug)]
pub struct Agent;

/// An agent that runs. Dropping it stops the agent as [`Running::stop`] does, without waiting for it.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process's address, as others are told.
    pub pid: Pid,
    inputs: mpsc::Sender<Input>,
    containerizer: Containerizer,
    shutdown_patience: Duration,
    stop: oneshot::Sender<()>,
    join: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// Stops the agent at once and waits until its sockets are closed. Its executors live on, for the next agent over
    /// the same work directory.
    pub async fn stop(self) -> anyhow::Result<()> {
        // If it has ended by itself there is nobody to tell.
        let _ = self.stop.send(());
        self.join.await?
    }

    /// Ends the agent with everything it runs: executors are asked to shut down, what does not is killed, and the
    /// master is told that the agent leaves.
    pub async fn shutdown(mut self) -> anyhow::Result<()> {
        self.leave("Shutting down").await;
        let outcome = tokio::time::timeout(self.shutdown_patience, &mut self.join).await;
        self.kill_containers().await;
        match outcome {
            Ok(outcome) => outcome?,
            Err(_) => self.stop().await,
        }
    }

    /// Asks the executors to shut down and the agent to leave, as SIGUSR1 does.
    pub async fn leave(&self, why: &str) {
        // An agent that has ended has left.
        let _ = self.inputs.send(Input::Event(Event::Leave { message: why.to_owned() })).await;
    }

    /// Waits until the agent ends by itself.
    pub async fn join(self) -> anyhow::Result<()> {
        let outcome = self.join.await;
        drop(self.stop);
        outcome?
    }

    async fn kill_containers(&self) {
        for container in self.containerizer.containers() {
            self.containerizer.destroy(&container);
        }
        let gone = async {
            while !self.containerizer.containers().is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(KILL_PATIENCE, gone).await.is_err() {
            tracing::warn!("containers are left behind");
        }
    }
}

/// What the tasks beside the server and the core do, as long as the agent lives.
struct Chores {
    tasks: JoinSet<()>,
}

impl Agent {
    /// Starts an agent. It serves once this returns; its registration follows.
    pub async fn start(config: AgentConfig) -> anyhow::Result<Running> {
        let clock = Clock::start();
        let start_time = clock::wall();
        make_directories(&config).await?;
        let lock = Lock::take(&config.work_dir).await?;
        let detector = Detector::new(config.master.as_deref(), config.zk_session_timeout).await?;
        let info = describe(&config).await?;
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("Failed to bind on {}", config.listen))?;
        let address = listener.local_addr().context("Failed to learn the address of the socket")?;
        let pid = Pid::new(PROCESS, advertised(&config, address));
        let launcher_binary = launcher_binary(&config)?;
        let (notices, notice_queue) = mpsc::channel(NOTICES_MAX);
        let images = match config.images.clone() {
            Some(settings) => Some(tokio::task::spawn_blocking(|| settings.open()).await??),
            None => None,
        };
        let containerizer = containerizer(&config, launcher_binary, images.as_ref(), notices).await?;
        let (inputs, queue) = mpsc::channel(QUEUE_MAX);
        let (peers, inbox) = Peers::new(pid.address, &inputs);
        let stats = Arc::new(Stats::default());
        let files = Files::new();
        show_log(&files, &config.logging);
        let identity = Identity { start_time, pid: pid.clone(), flags: Arc::clone(&config.flags) };
        let shell = Arc::new(Shell::new(
            inputs.clone(),
            identity,
            clock,
            containerizer.clone(),
            images.clone(),
            Arc::clone(&stats),
            config.http_heartbeat_interval,
        ));
        let common = common(&config, &shell, &files);
        let handler = Mixed::new(Arc::clone(&inbox), routes::table(&shell, &common));
        let server = Server::new(handler).first_look(Receiver::new(inbox, ReceiverLimits::default()));
        let mut core = config.core.clone();
        core.info = AgentInfo {
            hostname: hostname(&config, pid.address),
            port: Some(i32::from(pid.address.port())),
            ..info
        };
        core.pid = pid.clone();
        core.command_executor = Some(command_executor(&core.launcher_dir));
        core.seed = chance::seed();
        let shutdown_patience = core.executor_shutdown_grace_period + SHUTDOWN_SLACK;
        tracing::info!(%pid, hostname = core.info.hostname, work_dir = core.work_dir, "agent started");
        let began = Instant::now();
        recover(&config, &core.info, &inputs, &detector, &containerizer).await?;
        stats.recovered_in(began.elapsed());
        let changes = detector.changes();
        let reactor = Reactor {
            work_dir: core.work_dir.clone(),
            core: Core::new(core),
            clock,
            inputs: queue,
            peers,
            detector,
            containerizer: containerizer.clone(),
            files,
            stats: Arc::clone(&stats),
        };
        let mut chores = Chores::start(&config, notice_queue, &inputs, &stats);
        if let Some(images) = images {
            chores.tasks.spawn(images.watch());
        }
        if let Some(changes) = changes {
            chores.tasks.spawn(detector::forward(changes, inputs.clone()));
        }
        let (stop, stopping) = oneshot::channel();
        let join = tokio::spawn(serve(server, listener, reactor, chores, stopping, lock));
        Ok(Running { address, pid, inputs, containerizer, shutdown_patience, stop, join })
    }
}

impl Chores {
    fn start(
        config: &AgentConfig,
        notices: mpsc::Receiver<containerizer::Notice>,
        inputs: &mpsc::Sender<Input>,
        stats: &Arc<Stats>,
    ) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(launching::forward(notices, inputs.clone()));
        let interval = config.disk_watch_interval.max(Duration::from_millis(1));
        tasks.spawn(watch_disk(config.work_dir.clone(), interval, inputs.clone(), Arc::clone(stats)));
        Self { tasks }
    }
}

/// Tells the core how full the disk is, now and then.
async fn watch_disk(work_dir: PathBuf, interval: Duration, inputs: mpsc::Sender<Input>, stats: Arc<Stats>) {
    loop {
        let directory = work_dir.clone();
        let looked = tokio::task::spawn_blocking(move || sandboxes::disk_permille(&directory)).await;
        match looked {
            Ok(Ok(permille)) => {
                stats.disk_permille.store(permille, Ordering::Relaxed);
                if inputs.send(Input::Event(Event::DiskUsage { permille })).await.is_err() {
                    return;
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "cannot learn how full the disk is"),
            // Only the end of the runtime cancels the look.
            Err(_) => return,
        }
        tokio::time::sleep(interval).await;
    }
}

/// Runs the server and the core until one of them ends.
async fn serve<H: http::Handler>(
    server: Server<H>,
    listener: TcpListener,
    reactor: Reactor,
    chores: Chores,
    stop: oneshot::Receiver<()>,
    _lock: Lock,
) -> anyhow::Result<()> {
    let (stop_reactor, reactor_stopping) = oneshot::channel();
    let (stop_server, server_stopping) = oneshot::channel::<()>();
    let mut reacting = tokio::spawn(reactor.run(reactor_stopping));
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
    drop(stop_server);
    drop(chores);
    serving.await.context("The server failed")?;
    outcome.context("The agent's core failed")?
}

async fn make_directories(config: &AgentConfig) -> anyhow::Result<()> {
    for directory in [&config.work_dir, &config.runtime_dir] {
        tokio::fs::create_dir_all(directory)
            .await
            .with_context(|| format!("Failed to create '{}'", directory.display()))?;
    }
    Ok(())
}

/// This agent as far as it does not depend on where it listens.
async fn describe(config: &AgentConfig) -> anyhow::Result<AgentInfo> {
    let (text, role) = (config.resources.clone(), config.default_role.clone());
    let work_dir = config.work_dir.clone();
    let gpus = config.containment.settings.gpus.offered.len();
    let detect = move || detect::resources(text.as_deref(), &role, &work_dir, gpus);
    let detecting = tokio::task::spawn_blocking(detect).await?;
    Ok(AgentInfo {
        resources: detecting.context("Failed to determine agent resources")?,
        attributes: detect::attributes(config.attributes.as_deref())?,
        domain: config.domain.clone(),
        ..AgentInfo::default()
    })
}

/// Where others reach this agent.
fn advertised(config: &AgentConfig, bound: SocketAddr) -> SocketAddr {
    let mut address = config.advertise.unwrap_or(bound);
    if address.port() == 0 {
        address.set_port(bound.port());
    }
    if address.ip().is_unspecified() {
        address.set_ip(place::own_ip());
    }
    address
}

fn hostname(config: &AgentConfig, address: SocketAddr) -> String {
    match &config.hostname {
        Some(name) => name.clone(),
        None if config.hostname_lookup => place::name_of(address.ip()),
        None => address.ip().to_string(),
    }
}

fn launcher_binary(config: &AgentConfig) -> anyhow::Result<PathBuf> {
    match &config.launcher_binary {
        Some(binary) => Ok(binary.clone()),
        None => std::env::current_exe().context("Failed to find this program's own path"),
    }
}

/// Where the command executor lies, as documents tell it. Where there is none the launch takes our own binary.
fn command_executor(launcher_dir: &str) -> String {
    let path = Path::new(launcher_dir).join("mesos-executor");
    path.canonicalize().unwrap_or(path).to_string_lossy().into_owned()
}

async fn containerizer(
    config: &AgentConfig,
    launcher_binary: PathBuf,
    images: Option<&Images>,
    notices: mpsc::Sender<containerizer::Notice>,
) -> anyhow::Result<Containerizer> {
    let settings = config.fetcher.clone();
    let fetcher = tokio::task::spawn_blocking(move || Fetcher::new(settings)).await?;
    let fetcher = fetcher.with_context(|| {
        format!("Failed to empty the fetcher's cache '{}'", config.fetcher.cache_dir.display())
    })?;
    config.containment.prepare()?;
    let mut settings = config.containment.config(launcher_binary, fetcher, &config.runtime_dir);
    if let Some(images) = images.cloned() {
        let work_dir = config.work_dir.clone();
        let provisioner = tokio::task::spawn_blocking(move || images.provisioner(&work_dir)).await??;
        settings.provisioner = Some(Arc::new(provisioner));
    }
    let containment = config.containment.clone();
    settings.projects = tokio::task::spawn_blocking(move || containment.projects()).await??;
    let gids = config.containment.volume_gids.clone();
    settings.volume_gids = gids.map(|gids| Arc::new(VolumeGids::new(&config.work_dir, gids)));
    if let Some(networks) = settings.networks.clone() {
        let prepared = tokio::task::spawn_blocking(move || networks.prepare()).await?;
        prepared.map_err(anyhow::Error::msg).context("Failed to create isolator 'network/cni'")?;
    }
    Containerizer::new(&config.composition, settings, notices).await
}

fn show_log(files: &Files, logging: &Logging) {
    let Some(log) = logging.log_file() else { return };
    if let Err(error) = files.attach(Path::new(log), "/slave/log") {
        tracing::warn!(%error, "cannot show the log");
    }
}

fn common(config: &AgentConfig, shell: &Arc<Shell>, files: &Files) -> Common {
    let keeping = Keeping {
        delay_secs: config.core.gc_delay.as_secs_f64(),
        headroom: f64::from(config.core.gc_disk_headroom_permille) / 1000.0,
    };
    let shell = Arc::clone(shell);
    let metrics: MetricsSource = Arc::new(move || {
        let shell = Arc::clone(&shell);
        Box::pin(async move { metrics::snapshot(&shell, keeping).await })
    });
    Common {
        process: PROCESS.to_owned(),
        files: files.clone(),
        logging: config.logging.clone(),
        flags: Arc::clone(&config.flags),
        metrics,
    }
}

/// Reads the disk and hands the core its first two events.
async fn recover(
    config: &AgentConfig,
    info: &AgentInfo,
    inputs: &mpsc::Sender<Input>,
    detector: &Detector,
    containerizer: &Containerizer,
) -> anyhow::Result<()> {
    let work_dir = config.work_dir.clone();
    let found = tokio::task::spawn_blocking(move || recovery::recover(&work_dir)).await?;
    let mut found = found.context("Failed to read the checkpointed state")?;
    fail_point("recovery.files_read");
    if let Some(error) = found.errors.first().filter(|_| config.strict) {
        bail!("{}", unreadable(error, &config.work_dir));
    }
    if let Err(reason) = found.resources.check(&info.resources, &config.core.work_dir) {
        bail!("Failed to perform recovery: {reason}");
    }
    let changed = found.agent.as_ref().and_then(|old| config.reconfiguration.refuse(old, info).err());
    if let Some(reason) = changed {
        let latest = config.work_dir.join("meta/slaves/latest");
        if !found.rebooted {
            bail!(
                "Failed to perform recovery: {reason}\nTo remedy this do as follows:\nStep 1: rm -f {}\n        \
                 This ensures agent doesn't recover old live executors.\nStep 2: Restart the agent.",
                latest.display()
            );
        }
        // Nothing lives after a reboot, so that nothing is lost with the old id.
        tracing::warn!("Falling back to recover as a new agent due to error: {reason}");
        tokio::fs::remove_file(latest).await.context("Failed to forget the old agent")?;
        found = found.for_new_agent();
    }
    let (runtime, rebooted) = (containerizer.clone(), found.rebooted);
    let recovering = tokio::task::spawn_blocking(move || runtime.recover_volume_gids(rebooted));
    if let Err(why) = recovering.await? {
        bail!("Failed to perform recovery: {why}");
    }
    let runtime = containerizer.clone();
    found.nested = launching::recovered(tokio::task::spawn_blocking(move || runtime.remains()).await?);
    if let Err(why) = containerizer.destroy_orphans(&found.containers().collect()).await {
        bail!("Failed to perform recovery: Containerizer failed: {why}");
    }
    fail_point("recovery.orphans_destroyed");
    let first = Event::Recovered(Box::new(found));
    for event in std::iter::once(first).chain(detector.first()) {
        inputs.try_send(Input::Event(event)).expect("the queue is new and has room for two");
    }
    Ok(())
}

/// Why an agent does not begin on a disk that cannot be read, and what can be done.
fn unreadable(error: &str, work_dir: &Path) -> String {
    let meta = work_dir.join("meta");
    let latest = meta.join("slaves/latest");
    let below = if error.contains("'resources/") { &meta } else { &latest };
    format!(
        "Failed to recover: {error} below '{}'\nTo remedy this do one of these:\n  Start the agent with --no-strict: it \
         goes on without what cannot be read, and counts it in 'slave/recovery_errors'.\n  Put the file back from a \
         backup, or remove it.\n  rm -f {}: the agent starts as a new one, and ends the executors of the old one.",
        below.display(),
        latest.display()
    )
}

/// Runs an agent until it is told to stop by SIGTERM or SIGINT (its executors live on), to leave by SIGUSR1, or must
/// end.
pub async fn run(flags: AgentFlags, logging: LoggingFlags) -> anyhow::Result<()> {
    let mut config = AgentConfig::from_flags(&flags, &logging)?;
    config.logging = Logging::start(&logging, "mesos-agent", 0)?;
    let mut running = Agent::start(config).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut leave = signal(SignalKind::user_defined1())?;
    loop {
        tokio::select! {
            outcome = &mut running.join => return outcome?,
            _ = terminate.recv() => return running.stop().await,
            _ = tokio::signal::ctrl_c() => return running.stop().await,
            _ = leave.recv() => running.leave("Received SIGUSR1 signal").await,
        }
    }
}
