//! The scheduler driver: `MesosSchedulerDriver` of Apache Mesos.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use daemon::chance;
use driver_core::scheduler::{Call, Callback, Config, Driver, Effect, Event, Message};
use driver_core::{DecodeError, Status};
use proto::mesos::v1;
use tokio::sync::mpsc;

use crate::detect::Source;
use crate::endpoint::{Endpoint, Reader};
use crate::engine::{self, Life};
use crate::place::Place;
use crate::{KeptVariables, Variables, environment};

/// How a driver is made.
#[derive(Clone, Debug)]
pub struct SchedulerConfig {
    /// Who registers. An empty user is the process's, an empty host name the machine's.
    pub framework: v1::FrameworkInfo,
    /// Where the masters are: `host:port`, `zk://..`, `etcd://..` or `file://..`.
    pub master: String,
    /// Whether updates are acknowledged by the driver, when their callback has returned.
    pub implicit_acknowledgements: bool,
    /// What to authenticate with. It is refused: masters with authentication are to come.
    pub credential: Option<v1::Credential>,
    /// Roles that want no offers from the start.
    pub suppressed_roles: Vec<String>,
}

/// Whom a driver calls back, one callback at a time, on a thread of the driver's or within `start`.
pub trait Scheduler: Send + 'static {
    /// Something happened. The driver may be called from here.
    fn call_back(&mut self, driver: &SchedulerDriver, callback: Callback);
}

impl<F: FnMut(&SchedulerDriver, Callback) + Send + 'static> Scheduler for F {
    fn call_back(&mut self, driver: &SchedulerDriver, callback: Callback) {
        self(driver, callback);
    }
}

/// A scheduler's driver. Clones are the same driver; when the last one goes, the master is left without a word.
#[derive(Clone)]
pub struct SchedulerDriver {
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
    config: SchedulerConfig,
    scheduler: Box<dyn Scheduler>,
    variables: KeptVariables,
    calls: mpsc::UnboundedReceiver<Event>,
}

impl std::fmt::Debug for SchedulerDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SchedulerDriver").field("life", &self.inner.life).finish_non_exhaustive()
    }
}

impl SchedulerDriver {
    /// A driver that is not started. When it is, it reads this process's environment.
    pub fn new(config: SchedulerConfig, scheduler: impl Scheduler) -> Self {
        Self::in_environment(config, scheduler, environment)
    }

    /// A driver that reads these variables when it is started.
    pub fn in_environment(
        config: SchedulerConfig,
        scheduler: impl Scheduler,
        variables: impl Fn(&str) -> Option<String> + Send + 'static,
    ) -> Self {
        let (calls, receiver) = mpsc::unbounded_channel();
        let parts =
            Parts { config, scheduler: Box::new(scheduler), variables: Box::new(variables), calls: receiver };
        let inner = Inner { life: Life::default(), calls, parts: Mutex::new(Some(parts)) };
        Self { inner: Arc::new(inner) }
    }

    /// Begins to listen and to look for the leading master. Where that cannot work, `error` is called and the driver
    /// is aborted.
    pub fn start(&self) -> Status {
        if !self.inner.life.lock().start() {
            return self.status();
        }
        let parts = self.inner.parts.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut parts) = parts else { return self.status() };
        match prepare(&parts.config, &parts.variables) {
            Ok((core, endpoint, inputs)) => self.begin(core, endpoint, inputs, parts),
            Err(message) => {
                self.inner.life.fail();
                parts.scheduler.call_back(self, Callback::Error(message));
            }
        }
        self.status()
    }

    fn begin(&self, core: Driver, endpoint: Endpoint, inputs: mpsc::Receiver<Event>, parts: Parts) {
        let Parts { scheduler, calls, .. } = parts;
        let mut carrier =
            Carrier { driver: Arc::downgrade(&self.inner), endpoint, scheduler, gives_up: false };
        let runtime = carrier.endpoint.runtime.clone();
        let thread = std::thread::Builder::new().name("mesos-scheduler".to_owned());
        let running = thread.spawn(move || {
            let is_last = |event: &Event| matches!(event, Event::Stop { .. });
            engine::run(core, &runtime, calls, inputs, |effect| carrier.carry(effect), is_last);
        });
        if let Err(error) = running {
            tracing::error!(%error, "the driver's thread does not begin");
            self.inner.life.fail();
        }
    }

    /// What the driver answers now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.inner.life.lock().status()
    }

    /// Ends the driver; with `failover` the framework's tasks go on, and another instance of it may register.
    pub fn stop(&self, failover: bool) -> Status {
        let (answer, stops) = self.inner.life.lock().stop();
        if stops {
            self.tell(Event::Stop { failover });
        }
        answer
    }

    /// Ends all callbacks. The framework remains, and can be stopped.
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

    /// Asks for something. On a driver that does not run nothing happens.
    pub fn call(&self, call: Call) -> Status {
        let status = self.status();
        if status == Status::Running {
            let call = match call {
                Call::UpdateFramework { framework, suppressed_roles, offer_constraints } => {
                    let framework = Box::new(filled(*framework));
                    Call::UpdateFramework { framework, suppressed_roles, offer_constraints }
                }
                other @ (Call::Accept { .. }
                | Call::Decline { .. }
                | Call::Revive(_)
                | Call::Suppress(_)
                | Call::Kill(_)
                | Call::Request(_)
                | Call::Acknowledge(_)
                | Call::Message { .. }
                | Call::Reconcile(_)) => other,
            };
            self.tell(Event::Call(call));
        }
        status
    }

    fn tell(&self, event: Event) {
        // A core that is over takes nothing, and need not.
        let _ = self.inner.calls.send(event);
    }
}

/// Reads the environment, looks masters up and binds the socket.
fn prepare(
    config: &SchedulerConfig,
    variables: Variables<'_>,
) -> Result<(Driver, Endpoint, mpsc::Receiver<Event>), String> {
    if config.credential.is_some() {
        return Err(
            "Authentication with masters (SASL CRAM-MD5) is not supported yet; make the driver without a \
                    credential"
                .to_owned(),
        );
    }
    let source = Source::find(&config.master)
        .map_err(|error| format!("Failed to create a master detector for '{}': {error}", config.master))?;
    let place = Place::read(variables)?;
    let mut core = Config::new(filled(config.framework.clone()));
    core.suppressed_roles.clone_from(&config.suppressed_roles);
    core.implicit_acknowledgements = config.implicit_acknowledgements;
    core.seed = chance::seed();
    if let Some(backoff) = duration(variables, "MESOS_REGISTRATION_BACKOFF_FACTOR")? {
        core.registration_backoff = backoff;
    }
    // COMPAT(mesos): a name of its own for each run, so that no late news of an earlier run can be mistaken.
    let id = format!("scheduler-{}", chance::uuid());
    let reader = Reader { message: read, exited: Event::Exited };
    let (endpoint, inputs) =
        Endpoint::open(&id, place, reader, |inputs| source.follow(inputs, Event::Detected))?;
    Ok((Driver::new(core), endpoint, inputs))
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

/// A variable that is a duration.
pub(crate) fn duration(variables: Variables<'_>, name: &str) -> Result<Option<Duration>, String> {
    let Some(text) = variables(name) else { return Ok(None) };
    let parsed: Result<flags::Duration, String> = text.parse();
    parsed
        .map(|duration| Some(duration.to_std()))
        .map_err(|error| format!("Failed to parse value '{text}' of '{name}': {error}"))
}

/// The framework with what it left out.
fn filled(mut framework: v1::FrameworkInfo) -> v1::FrameworkInfo {
    if framework.user.is_empty() {
        framework.user = user();
    }
    if framework.hostname().is_empty() {
        framework.hostname = Some(rustix::system::uname().nodename().to_string_lossy().into_owned());
    }
    framework
}

/// The name of the process's user, or its number if it has none.
fn user() -> String {
    let id = rustix::process::geteuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    });
    found.unwrap_or(id)
}

/// Carries out what the core wants done.
struct Carrier {
    driver: Weak<Inner>,
    endpoint: Endpoint,
    scheduler: Box<dyn Scheduler>,
    /// Whether the driver has just aborted by itself: the one case in which a callback follows.
    gives_up: bool,
}

impl Carrier {
    fn carry(&mut self, effect: Effect) {
        // Nobody has the driver any more: the thread is about to end.
        let Some(inner) = self.driver.upgrade() else { return };
        let running = inner.life.lock().is_running();
        match effect {
            Effect::Link(pid) => self.endpoint.link(&pid),
            Effect::Send { to, message } => self.endpoint.send(&to, message.name(), &message.encode()),
            Effect::Acknowledge { to, message } => {
                if running {
                    self.endpoint.send(&to, message.name(), &message.encode());
                }
            }
            Effect::Callback(callback) => {
                let gives_up = std::mem::take(&mut self.gives_up);
                if running || gives_up && matches!(callback, Callback::Error(_)) {
                    self.scheduler.call_back(&SchedulerDriver { inner }, callback);
                }
            }
            Effect::Abort => (_, self.gives_up) = inner.life.lock().abort(),
            Effect::Release => {
                self.endpoint.drain();
                inner.life.release();
            }
            Effect::Info(text) => tracing::info!("{text}"),
            Effect::Warn(text) => tracing::warn!("{text}"),
        }
    }
}
