//! One container from its making to its end, as the daemon tells of it, or, where that is gone, the kernel.

use std::collections::BTreeMap;
use std::future::pending;
use std::io::Write as _;
use std::time::Duration;

use docker::{Bind, Body, Client, Error, Inspected, Request, Stream};
use executor_core::{Container as Told, Exit};
use proto::mesos::internal::ContainerDnsInfo;
use proto::mesos::v1::{NetworkInfo, TaskInfo, network_info};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::flags::DockerFlags;
use crate::say;

/// How long is waited before the daemon is asked again. COMPAT(mesos): the same.
const RETRY: Duration = Duration::from_millis(500);

/// How long is waited before a container is killed again. COMPAT(mesos): the same.
const KILL_RETRY: Duration = Duration::from_secs(5);

/// How long a daemon that answers may take to notice that a container's process ended. COMPAT(mesos): the same.
const NOTICE_MAX: Duration = Duration::from_secs(60);

/// How long a daemon that does not answer may take to come back once the container's process has ended.
const RETURN_MAX: Duration = Duration::from_secs(5);

/// How long what the container printed last may take to arrive.
const OUTPUT_MAX: Duration = Duration::from_secs(5);

/// The status of the docker program where a container does not begin.
const NOT_RUN: u8 = 125;

/// A container by its name.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) client: Client,
    pub(crate) name: String,
}

/// All that a container is made of beside its task.
#[derive(Clone, Debug)]
pub(crate) struct Making {
    container: Container,
    sandbox: String,
    mapped: String,
    environment: Vec<(String, String)>,
    dns: Option<ContainerDnsInfo>,
    enable_cfs: bool,
    binds: Vec<Bind>,
}

/// A container that runs, or has run already.
pub(crate) struct Running {
    container: Container,
    pub(crate) inspected: Inspected,
    has_terminal: bool,
    output: JoinSet<()>,
}

impl Making {
    /// What the flags say. Refuses what cannot be read.
    pub(super) fn new(client: Client, flags: &DockerFlags) -> Result<Self, String> {
        let missing = |name: &str| format!("Missing required option --{name}");
        let environment: BTreeMap<String, String> = match &flags.task_environment {
            Some(json) => ::docker::read_json(&json.0)
                .map_err(|error| format!("Failed to parse --task_environment: {error}"))?,
            None => BTreeMap::new(),
        };
        let dns = match &flags.default_container_dns {
            Some(json) => Some(
                proto::json::from_slice(json.0.as_bytes())
                    .map_err(|error| format!("Failed to parse --default_container_dns: {error}"))?,
            ),
            None => None,
        };
        let volumes: Vec<(String, String, bool)> = match &flags.persistent_volumes {
            Some(json) => ::docker::read_json(&json.0)
                .map_err(|error| format!("Failed to parse --persistent_volumes: {error}"))?,
            None => Vec::new(),
        };
        let bind = |(source, target, read_only)| Bind { source, target, read_only };
        Ok(Self {
            container: Container { client, name: flags.container.clone() },
            sandbox: flags.sandbox_directory.clone().ok_or_else(|| missing("sandbox_directory"))?,
            mapped: flags.mapped_directory.clone().ok_or_else(|| missing("mapped_directory"))?,
            environment: environment.into_iter().collect(),
            dns,
            enable_cfs: flags.cgroups_enable_cfs,
            binds: volumes.into_iter().map(bind).collect(),
        })
    }

    pub(crate) fn container(&self) -> &Container {
        &self.container
    }

    /// Makes and starts the task's container.
    pub(crate) async fn start(&self, task: &TaskInfo) -> Result<Running, String> {
        let body = self.body(task).map_err(|why| format!("Failed to create docker run options: {why}"))?;
        let container = &self.container;
        let made = container.client.create(&container.name, &body).await;
        let running = match made {
            Ok(_) => container.start(body.has_terminal()).await,
            Err(error) => Err(error),
        };
        running.map_err(|error| format!("Failed to run docker container: {error}"))
    }

    fn body(&self, task: &TaskInfo) -> Result<Body, String> {
        let Some(info) = &task.container else {
            return Err("No container info found in the task".to_owned());
        };
        let limits: BTreeMap<_, _> = task.limits.iter().map(|(name, limit)| (name.clone(), *limit)).collect();
        // Only a limit needs the machine's size, which takes reading some files.
        let memory = if limits.is_empty() { 0 } else { containerizer::facts().memory_bytes };
        Body::of(&Request {
            name: &self.container.name,
            container: info,
            command: task.command.as_ref().unwrap_or(&proto::mesos::v1::CommandInfo::default()),
            environment: &self.environment,
            sandbox: &self.sandbox,
            mapped: &self.mapped,
            resources: &task.resources,
            limits: &limits,
            enable_cfs: self.enable_cfs,
            binds: &self.binds,
            dns: self.dns.as_ref(),
            machine_memory_bytes: memory,
        })
    }
}

impl Container {
    /// Starts a container that was made. What it prints is this process's output from then on.
    pub(crate) async fn start(&self, has_terminal: bool) -> Result<Running, Error> {
        let mut output = JoinSet::new();
        // ORDER: listened to before it begins, so that nothing is missed.
        self.listen(has_terminal, &mut output).await?;
        self.client.start(&self.name).await?;
        let inspected = loop {
            match self.client.inspect(&self.name).await {
                Ok(inspected) if inspected.started => break inspected,
                Ok(_) => {}
                Err(error) if error.is_absence() => say(&error.to_string()),
                Err(error) => return Err(error),
            }
            sleep(RETRY).await;
        };
        Ok(Running { container: self.clone(), inspected, has_terminal, output })
    }

    async fn listen(&self, has_terminal: bool, output: &mut JoinSet<()>) -> Result<(), Error> {
        let attached = self.client.attach(&self.name, has_terminal).await?;
        output.spawn(async move {
            // A full disk must not stop the container from being reported on; a daemon that is gone shows elsewhere.
            let _ = attached
                .copy(|stream, bytes| {
                    let _ = match stream {
                        Stream::Out => {
                            std::io::stdout().write_all(bytes).and_then(|()| std::io::stdout().flush())
                        }
                        Stream::Err => std::io::stderr().write_all(bytes),
                    };
                })
                .await;
        });
        Ok(())
    }

    /// Asks the container to end, by the signal that its image wants.
    pub(crate) async fn ask_to_end(&self, stop_signal: Option<String>) {
        let signal = stop_signal.as_deref().unwrap_or("SIGTERM");
        if let Err(error) = self.client.kill(&self.name, signal).await {
            say(&format!("Failed to stop container '{}': {error}", self.name));
        }
    }

    /// Kills the container until that is done, past a daemon that does not do it.
    pub(crate) async fn kill(&self, pid: Option<u32>) {
        loop {
            match self.client.kill(&self.name, "SIGKILL").await {
                Ok(()) => return,
                Err(error) => say(&format!("Failed to kill container '{}': {error}", self.name)),
            }
            if let Some(pid) = pid.and_then(process) {
                // One that is gone needs no signal.
                let _ = kill_process(pid, Signal::KILL);
            }
            sleep(KILL_RETRY).await;
        }
    }
}

impl Running {
    /// What the framework is told.
    pub(crate) fn told(&self, task: &TaskInfo) -> Told {
        let address = |ip: &str, protocol: Option<network_info::Protocol>| network_info::IpAddress {
            ip_address: Some(ip.to_owned()),
            protocol: protocol.map(Into::into),
        };
        let four = self.inspected.ip.iter().map(|ip| address(ip, None));
        let six = self.inspected.ip6.iter().map(|ip| address(ip, Some(network_info::Protocol::IPv6)));
        let addresses: Vec<_> = four.chain(six).collect();
        let asked = task.container.iter().flat_map(|container| &container.network_infos).next();
        let network = (!addresses.is_empty())
            .then(|| NetworkInfo { ip_addresses: addresses, ..asked.cloned().unwrap_or_default() });
        Told { inspected: self.inspected.output.clone().into(), network }
    }

    /// Waits for the container's end.
    pub(crate) async fn ended(mut self) -> Exit {
        let exit = self.exit().await;
        // Its end is told once all that it printed is there.
        let printed = async { while self.output.join_next().await.is_some() {} };
        let _ = timeout(OUTPUT_MAX, printed).await;
        exit
    }

    async fn exit(&mut self) -> Exit {
        let mut gone_since: Option<Instant> = None;
        loop {
            // A daemon that misses the end of a process would be waited for in vain.
            let waited = tokio::select! {
                waited = self.container.client.wait(&self.container.name) => Some(waited),
                () = self.overdue(&mut gone_since) => None,
            };
            match waited {
                Some(Ok(status)) => return Exit::Exited(i32::try_from(status).unwrap_or(i32::MAX)),
                Some(Err(error)) if error.is_absence() => {
                    say(&error.to_string());
                    if !self.lives() && gone_since.get_or_insert_with(Instant::now).elapsed() > RETURN_MAX {
                        return Exit::Unknown(error.to_string());
                    }
                }
                Some(Err(error)) => return Exit::Unknown(error.to_string()),
                None => return Exit::Unknown("the Docker daemon did not notice its end".to_owned()),
            }
            sleep(RETRY).await;
            // A daemon that is back passes on what is printed only to those who ask again.
            let container = self.container.clone();
            if self.output.is_empty() || self.output.try_join_next().is_some() {
                let _ = container.listen(self.has_terminal, &mut self.output).await;
            }
        }
    }

    /// Waits until the container's process has been gone for too long.
    async fn overdue(&self, gone_since: &mut Option<Instant>) {
        let Some(pid) = self.inspected.pid.and_then(process) else { return sleep(NOTICE_MAX).await };
        // One that was gone already when it was looked for cannot be listened to.
        if let Ok(handle) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::NONBLOCK) {
            #[expect(
                deprecated,
                reason = "an `OwnedFd` stays open as long as it lives, which is all it asks for"
            )]
            let Ok(handle) = tokio::io::unix::AsyncFd::new(handle) else { return pending().await };
            if handle.readable().await.is_err() {
                return pending().await;
            }
        }
        gone_since.get_or_insert_with(Instant::now);
        sleep(NOTICE_MAX).await;
    }

    fn lives(&self) -> bool {
        self.inspected.pid.and_then(process).is_some_and(|pid| test_kill_process(pid).is_ok())
    }
}

fn process(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// Starts a container that was made, and stays until its end. Returns what the docker program would exit with.
pub(super) async fn run_made(container: &Container, has_terminal: bool) -> u8 {
    let running = match container.start(has_terminal).await {
        Ok(running) => running,
        Err(error) => {
            say(&format!("Failed to run docker container: {error}"));
            return NOT_RUN;
        }
    };
    match running.ended().await {
        Exit::Exited(status) => u8::try_from(status).unwrap_or(u8::MAX),
        Exit::Signaled { signal, .. } => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        Exit::Unknown(why) => {
            say(&format!("Failed to get exit status of container: {why}"));
            NOT_RUN
        }
    }
}
