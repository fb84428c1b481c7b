//! The executor driver: `MesosExecutorDriver` of Apache Mesos.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use daemon::chance;
use driver_core::executor::{Callback, Config, Driver, Effect, Event, Message};
use driver_core::{DecodeError, Status};
use proto::mesos::v1;
use rustix::process::{Signal, kill_current_process_group};
use tokio::sync::mpsc;
use types::Pid;

use crate::endpoint::{Endpoint, Reader};
use crate::engine::{self, Life};
use crate::place::Place;
use crate::scheduler::duration;
use crate::{KeptVariables, Variables, environment};

/// How long an executor may take to end, unless the agent says so.
const SHUTDOWN_GRACE_PERIOD: Duration = Duration::from_secs(5);

/// How long to wait for an agent, unless the agent says so.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// This driver's process. Apache Mesos counts them; each driver here listens on a port of its own.
const PROCESS: &str = "executor(1)";

/// Whom a driver calls back, one callback at a time, on a thread of the driver's or within `start`.
pub trait Executor: Send + 'static {
    /// Something happened. The driver may be called from here.
    fn call_back(&mut self, driver: &ExecutorDriver, callback: Callback);

    /// The driver cannot go on; it is aborted.
    fn error(&mut self, driver: &ExecutorDriver, message: String);
}

/// An executor's driver. Clones are the same driver.
#[derive(Clone)]
pub struct ExecutorDriver {
    inner: Arc<Inner>,
}

struct Inner {
    life: Life,
    /// Without a bound: a callback that calls must not wait for itself.
    calls: mpsc::UnboundedSender<Event>,
    /// What `start` takes. Locked because any thread may start it.
    parts: Mutex<Option<Parts>>,
}

struct Parts {
    executor: Box<dyn Executor>,
    variables: KeptVariables,
    calls: mpsc::UnboundedReceiver<Event>,
}

impl std::fmt::Debug for ExecutorDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecutorDriver").field("life", &self.inner.life).finish_non_exhaustive()
    }
}

impl ExecutorDriver {
    /// A driver that is not started. When it is, it reads this process's environment.
    pub fn new(executor: impl Executor) -> Self {
        Self::in_environment(executor, environment)
    }

    /// A driver that reads these variables when it is started.
    pub fn in_environment(
        executor: impl Executor,
        variables: impl Fn(&str) -> Option<String> + Send + 'static,
    ) -> Self {
        let (calls, receiver) = mpsc::unbounded_channel();
        let parts = Parts { executor: Box::new(executor), variables: Box::new(variables), calls: receiver };
        let inner = Inner { life: Life::default(), calls, parts: Mutex::new(Some(parts)) };
        Self { inner: Arc::new(inner) }
    }

    /// Registers with the agent that the environment names. Where that cannot work, `error` is called and the driver is
    /// aborted.
    pub fn start(&self) -> Status {
        if !self.inner.life.lock().start() {
            return self.status();
        }
        let parts = self.inner.parts.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut parts) = parts else { return self.status() };
        match prepare(&parts.variables) {
            Ok((core, endpoint, inputs)) => self.begin(core, endpoint, inputs, parts),
            Err(message) => {
                self.inner.life.fail();
                parts.executor.error(self, message);
            }
        }
        self.status()
    }

    fn begin(&self, core: Driver, endpoint: Endpoint, inputs: mpsc::Receiver<Event>, parts: Parts) {
        let Parts { executor, calls, .. } = parts;
        let mut carrier = Carrier { driver: Arc::downgrade(&self.inner), endpoint, executor };
        let runtime = carrier.endpoint.runtime.clone();
        let thread = std::thread::Builder::new().name("mesos-executor".to_owned());
        let running = thread.spawn(move || {
            let is_last = |event: &Event| matches!(event, Event::Stop);
            engine::run(core, &runtime, calls, inputs, |effect| carrier.carry(effect), is_last);
        });
        match running {
            Ok(_) => self.tell(Event::Started),
            Err(error) => {
                tracing::error!(%error, "the driver's thread does not begin");
                self.inner.life.fail();
            }
        }
    }

    /// What the driver answers now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.inner.life.lock().status()
    }

    /// Ends the driver.
    pub fn stop(&self) -> Status {
        let (answer, stops) = self.inner.life.lock().stop();
        if stops {
            self.tell(Event::Stop);
        }
        answer
    }

    /// Ends all callbacks.
    pub fn abort(&self) -> Status {
        let (answer, aborts) = self.inner.life.lock().abort();
        if aborts {
            self.tell(Event::Abort);
        }
        answer
    }

    /// Waits until the driver is stopped or aborted.
    pub fn join(&self) -> Status {
        self.inner.life.join()
    }

    /// Starts, and waits for the end.
    pub fn run(&self) -> Status {
        match self.start() {
            Status::Running => self.join(),
            other @ (Status::NotStarted | Status::Aborted | Status::Stopped) => other,
        }
    }

    /// Reports on a task.
    pub fn send_status_update(&self, status: v1::TaskStatus) -> Status {
        self.call(Event::Update(Box::new(status)))
    }

    /// Sends the framework a message.
    pub fn send_framework_message(&self, data: Bytes) -> Status {
        self.call(Event::Message(data))
    }

    fn call(&self, event: Event) -> Status {
        let status = self.status();
        if status == Status::Running {
            self.tell(event);
        }
        status
    }

    fn tell(&self, event: Event) {
        // A core that is over takes nothing, and need not.
        let _ = self.inner.calls.send(event);
    }
}

/// Reads what the agent says by the environment, and binds the socket.
fn prepare(variables: Variables<'_>) -> Result<(Driver, Endpoint, mpsc::Receiver<Event>), String> {
    let place = Place::read(variables)?;
    let core = read_config(variables)?;
    let reader = Reader { message: read, exited: Event::Exited };
    let (endpoint, inputs) = Endpoint::open(PROCESS, place, reader, |_| std::future::ready(()))?;
    let own = endpoint.own.clone();
    Ok((Driver::new(Config { own, ..core }), endpoint, inputs))
}

/// The driver's settings, but for where it listens.
fn read_config(variables: Variables<'_>) -> Result<Config, String> {
    let required = |name: &str| {
        variables(name).ok_or_else(|| format!("Expecting '{name}' to be set in the environment"))
    };
    let agent: Pid = required("MESOS_SLAVE_PID")?
        .parse()
        .map_err(|error| format!("Cannot parse MESOS_SLAVE_PID: {error}"))?;
    let checkpoints = variables("MESOS_CHECKPOINT").is_some_and(|value| value == "1");
    let recovery_timeout = if checkpoints {
        Some(duration(variables, "MESOS_RECOVERY_TIMEOUT")?.unwrap_or(RECOVERY_TIMEOUT))
    } else {
        None
    };
    Ok(Config {
        own: agent.clone(),
        agent,
        agent_id: required("MESOS_SLAVE_ID")?.into(),
        framework_id: required("MESOS_FRAMEWORK_ID")?.into(),
        executor_id: required("MESOS_EXECUTOR_ID")?.into(),
        local: variables("MESOS_LOCAL").is_some(),
        recovery_timeout,
        shutdown_grace_period: duration(variables, "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD")?
            .unwrap_or(SHUTDOWN_GRACE_PERIOD),
        seed: chance::seed(),
    })
}

fn read(message: libprocess::Message) -> Option<Event> {
    match Message::decode(&message.name, &message.body) {
        Ok(said) => Some(Event::Received { from: message.from, message: said }),
        // COMPAT(mesos): a name that nothing is installed for is dropped without a word.
        Err(DecodeError::Unknown(_)) => None,
        Err(error @ DecodeError::Malformed { .. }) => {
            tracing::warn!(from = %message.from, %error, "dropped a message");
            None
        }
    }
}

/// Carries out what the core wants done.
struct Carrier {
    driver: Weak<Inner>,
    endpoint: Endpoint,
    executor: Box<dyn Executor>,
}

impl Carrier {
    fn carry(&mut self, effect: Effect) {
        // Nobody has the driver any more: the thread is about to end.
        let Some(inner) = self.driver.upgrade() else { return };
        match effect {
            Effect::Link(pid) => self.endpoint.link(&pid),
            Effect::Reconnect(pid) => self.endpoint.reconnect(&pid),
            Effect::Send { to, message } => self.endpoint.send(&to, message.name(), &message.encode()),
            Effect::Callback(callback) => {
                if inner.life.lock().is_running() {
                    self.executor.call_back(&ExecutorDriver { inner }, callback);
                }
            }
            Effect::KillAfter(grace) => kill_after(grace),
            Effect::Release => {
                self.endpoint.drain();
                inner.life.release();
            }
            Effect::Info(text) => tracing::info!("{text}"),
            Effect::Warn(text) => tracing::warn!("{text}"),
        }
    }
}

/// Kills this process and those that it started, unless they end by themselves before. Nothing can call it off: an
/// executor that was told to end must end, whatever its driver and its callbacks do.
fn kill_after(grace: Duration) {
    let begun = std::thread::Builder::new().name("mesos-shutdown".to_owned()).spawn(move || {
        std::thread::sleep(grace);
        tracing::info!("Committing suicide by killing the process group");
        if let Err(error) = kill_current_process_group(Signal::KILL) {
            tracing::error!(%error, "the process group cannot be killed");
        }
        std::process::exit(1);
    });
    if let Err(error) = begun {
        tracing::error!(%error, "no thread to see to the executor's end");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_who_and_where() {
        let variables = |name: &str| {
            let value = match name {
                "MESOS_SLAVE_PID" => "slave(1)@127.0.0.1:5051",
                "MESOS_SLAVE_ID" => "S",
                "MESOS_FRAMEWORK_ID" => "F",
                "MESOS_EXECUTOR_ID" => "e",
                "MESOS_CHECKPOINT" => "1",
                "MESOS_RECOVERY_TIMEOUT" => "10mins",
                "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD" => "7secs",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let config = read_config(&variables).unwrap();
        assert_eq!(config.agent.to_string(), "slave(1)@127.0.0.1:5051");
        assert_eq!(config.recovery_timeout, Some(Duration::from_secs(600)));
        assert_eq!(config.shutdown_grace_period, Duration::from_secs(7));
        assert!(!config.local);
        let without = |name: &str| (name != "MESOS_EXECUTOR_ID").then(|| variables(name)).flatten();
        let error = read_config(&without).unwrap_err();
        assert_eq!(error, "Expecting 'MESOS_EXECUTOR_ID' to be set in the environment");
        let bad = |name: &str| {
            if name == "MESOS_RECOVERY_TIMEOUT" { Some("soon".to_owned()) } else { variables(name) }
        };
        let error = read_config(&bad).unwrap_err();
        assert!(error.starts_with("Failed to parse value 'soon' of 'MESOS_RECOVERY_TIMEOUT': "), "{error}");
    }
}
