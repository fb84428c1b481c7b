//! A scheduler and an executor in Rust, over our drivers of the v0 API, on real masters and agents.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use drivers::{Call, SchedulerCallback, SchedulerConfig, SchedulerDriver, Status};
use e2e::{Cluster, Masters, Options, ZooKeeper, eventually};
use proto::mesos::v1::{self, TaskState};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// Where drivers of tests listen.
fn loopback(name: &str) -> Option<String> {
    (name == "LIBPROCESS_IP").then(|| "127.0.0.1".to_owned())
}

/// A scheduler that tells the test what it is told.
struct Framework {
    driver: SchedulerDriver,
    told: Receiver<SchedulerCallback>,
    offers: Vec<v1::Offer>,
}

fn config(master: &str) -> SchedulerConfig {
    let framework = v1::FrameworkInfo {
        user: "root".to_owned(),
        name: "drivers".to_owned(),
        failover_timeout: Some(60.0),
        checkpoint: Some(true),
        ..v1::FrameworkInfo::default()
    };
    SchedulerConfig {
        framework,
        master: master.to_owned(),
        implicit_acknowledgements: true,
        credential: None,
        suppressed_roles: Vec::new(),
    }
}

fn driver(config: SchedulerConfig, told: Sender<SchedulerCallback>) -> SchedulerDriver {
    let scheduler = move |_: &SchedulerDriver, callback| {
        // A test that is over listens to nothing.
        let _ = told.send(callback);
    };
    SchedulerDriver::in_environment(config, scheduler, loopback)
}

impl Framework {
    fn start(config: SchedulerConfig) -> Self {
        let (sender, told) = channel();
        let driver = driver(config, sender);
        assert_eq!(driver.start(), Status::Running);
        Self { driver, told, offers: Vec::new() }
    }

    /// The next callback of which `pick` makes something; offers are kept on the way.
    fn until<T>(&mut self, what: &str, mut pick: impl FnMut(&SchedulerCallback) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let callback = self.told.recv_timeout(left).unwrap_or_else(|_| panic!("{what}: not in time"));
            if let Some(picked) = pick(&callback) {
                return picked;
            }
            match callback {
                SchedulerCallback::Offers(offers) => self.offers.extend(offers),
                SchedulerCallback::Error(message) => panic!("{what}: {message}"),
                SchedulerCallback::Disconnected => self.offers.clear(),
                _ => {}
            }
        }
    }

    fn registered(&mut self) -> v1::FrameworkId {
        self.until("registered", |callback| match callback {
            SchedulerCallback::Registered(id, _) => Some(id.clone()),
            _ => None,
        })
    }

    fn offer(&mut self) -> v1::Offer {
        if let Some(offer) = self.offers.pop() {
            return offer;
        }
        self.until("offers", |callback| match callback {
            SchedulerCallback::Offers(offers) => offers.first().cloned(),
            _ => None,
        })
    }

    /// Launches a task with an executor of its own.
    fn launch(&mut self, name: &str) -> v1::AgentId {
        let offer = self.offer();
        let agent_id = offer.agent_id.clone();
        let variable = v1::environment::Variable {
            name: "LIBPROCESS_IP".to_owned(),
            value: Some("127.0.0.1".to_owned()),
            ..Default::default()
        };
        let command = v1::CommandInfo {
            value: Some(format!("exec '{}'", env!("CARGO_BIN_EXE_v0-executor"))),
            environment: Some(v1::Environment { variables: vec![variable] }),
            ..v1::CommandInfo::default()
        };
        let executor = v1::ExecutorInfo {
            executor_id: v1::ExecutorId { value: format!("executor-{name}") },
            command: Some(command),
            resources: resources(),
            ..v1::ExecutorInfo::default()
        };
        let task = v1::TaskInfo {
            name: name.to_owned(),
            task_id: v1::TaskId { value: name.to_owned() },
            agent_id: agent_id.clone(),
            executor: Some(executor),
            resources: resources(),
            data: Some(Bytes::from_static(b"\0\xff")),
            ..v1::TaskInfo::default()
        };
        let filters = v1::Filters { refuse_seconds: Some(0.1) };
        assert_eq!(self.driver.call(Call::launch(vec![offer.id], vec![task], filters)), Status::Running);
        agent_id
    }

    fn update(&mut self, name: &str, state: TaskState) -> v1::TaskStatus {
        self.until(&format!("{state:?} of {name}"), |callback| match callback {
            SchedulerCallback::Update(status) if status.task_id.value == name && status.state() == state => {
                Some((**status).clone())
            }
            _ => None,
        })
    }

    fn say(&self, name: &str, agent_id: &v1::AgentId, data: &'static [u8]) {
        self.driver.call(Call::Message {
            executor_id: v1::ExecutorId { value: format!("executor-{name}") },
            agent_id: agent_id.clone(),
            data: Bytes::from_static(data),
        });
    }

    fn hears(&mut self) -> Bytes {
        self.until("a message", |callback| match callback {
            SchedulerCallback::Message { data, .. } => Some(data.clone()),
            _ => None,
        })
    }

    fn kill(&mut self, name: &str) {
        self.driver.call(Call::Kill(v1::TaskId { value: name.to_owned() }));
        self.update(name, TaskState::TaskKilled);
    }
}

fn resources() -> Vec<v1::Resource> {
    let scalar = |name: &str, value| v1::Resource {
        name: name.to_owned(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        ..v1::Resource::default()
    };
    vec![scalar("cpus", 0.1), scalar("mem", 32.0)]
}

fn frameworks<'a>(state: &'a Value, kind: &str) -> &'a [Value] {
    state[kind].as_array().map(Vec::as_slice).unwrap_or_default()
}

#[test]
fn a_framework_runs_tasks_on_executors_of_its_own_and_leaves() {
    let cluster = Cluster::start(&Options::default()).expect("a cluster");
    let mut framework = Framework::start(config(&cluster.master.address.to_string()));
    let id = framework.registered();
    let agent = framework.launch("a");
    let running = framework.update("a", TaskState::TaskRunning);
    assert_eq!(running.data.as_deref(), Some(&b"\0\xff"[..]));
    assert_eq!(running.agent_id.as_ref(), Some(&agent));
    assert!(running.uuid.is_some(), "what an agent sent is to be acknowledged");
    // Straight to the agent, whose address came with the offer, and back.
    framework.say("a", &agent, b"hello");
    assert_eq!(framework.hears(), "hello");
    framework.say("a", &agent, b"finish");
    framework.update("a", TaskState::TaskFinished);
    // Acknowledged updates leave the agent.
    eventually("the agent forgets the task", PATIENCE, || {
        let state = cluster.agents[0].json("/state");
        let executors = state["frameworks"][0]["executors"].as_array()?.iter();
        let done = |executor: &Value| executor["tasks"].as_array().is_some_and(Vec::is_empty);
        executors.clone().all(done).then_some(())
    });
    framework.launch("b");
    framework.update("b", TaskState::TaskRunning);
    framework.kill("b");
    let unknown = v1::TaskStatus { task_id: v1::TaskId { value: "never".to_owned() }, ..Default::default() };
    framework.driver.call(Call::Reconcile(vec![unknown]));
    let lost = framework.update("never", TaskState::TaskLost);
    assert!(lost.uuid.is_none(), "what the master made up is not");
    assert_eq!(framework.driver.stop(false), Status::Stopped);
    assert_eq!(framework.driver.join(), Status::Stopped);
    let gone = |state: Value| {
        let completed = frameworks(&state, "completed_frameworks").iter();
        completed.filter(|one| one["id"] == id.value.as_str()).count() == 1
    };
    eventually("the framework is gone", PATIENCE, || gone(cluster.master.json("/state")).then_some(()));
}

#[test]
fn masters_and_agents_may_restart_under_a_running_task() {
    let options = Options {
        registry: "local",
        agent_flags: vec!["--registration_backoff_factor=200ms".to_owned()],
        ..Options::default()
    };
    let mut cluster = Cluster::start(&options).expect("a cluster");
    let mut framework = Framework::start(config(&cluster.master.address.to_string()));
    framework.registered();
    let agent = framework.launch("a");
    framework.update("a", TaskState::TaskRunning);
    cluster.master.restart().expect("the master is back");
    framework
        .until("disconnected", |callback| matches!(callback, SchedulerCallback::Disconnected).then_some(()));
    framework.until("reregistered", |callback| {
        matches!(callback, SchedulerCallback::Registered(..) | SchedulerCallback::Reregistered(_))
            .then_some(())
    });
    cluster.wait_for_agents(1);
    cluster.agents[0].restart().expect("the agent is back");
    cluster.wait_for_agents(1);
    // Past the restart the executor is reached through the master as well as directly.
    framework.say("a", &agent, b"hello");
    assert_eq!(framework.hears(), "hello");
    framework.kill("a");
    framework.driver.stop(false);
    assert_eq!(framework.driver.join(), Status::Stopped);
}

#[test]
fn another_instance_takes_a_framework_over() {
    let cluster = Cluster::start(&Options::default()).expect("a cluster");
    let master = cluster.master.address.to_string();
    let mut first = Framework::start(config(&master));
    let id = first.registered();
    first.launch("a");
    first.update("a", TaskState::TaskRunning);
    assert_eq!(first.driver.stop(true), Status::Stopped);
    assert_eq!(first.driver.join(), Status::Stopped);
    let mut config = config(&master);
    config.framework.id = Some(id.clone());
    let mut second = Framework::start(config.clone());
    assert_eq!(second.registered(), id);
    // The third comes while the second still runs.
    let mut third = Framework::start(config);
    assert_eq!(third.registered(), id);
    let why = second.until("an error", |callback| match callback {
        SchedulerCallback::Error(message) => Some(message.clone()),
        _ => None,
    });
    assert_eq!(why, "Framework failed over");
    assert_eq!(second.driver.join(), Status::Aborted);
    assert_eq!(second.driver.call(Call::Revive(Vec::new())), Status::Aborted);
    assert_eq!(second.driver.stop(false), Status::Aborted);
    // The task outlived both.
    third.kill("a");
    third.driver.stop(false);
    assert_eq!(third.driver.join(), Status::Stopped);
}

#[test]
fn a_framework_follows_the_leader_that_zookeeper_knows() {
    let zookeeper = ZooKeeper::start(1).expect("ZooKeeper");
    let session = "--zk_session_timeout=4secs".to_owned();
    let options = Options {
        master_flags: vec![session.clone()],
        agent_flags: vec![session, "--registration_backoff_factor=200ms".to_owned()],
        ..Options::default()
    };
    let url = zookeeper.url("/mesos");
    let mut cluster = Masters::start(&url, 2, &options).expect("a cluster");
    cluster.wait_for_agents(1);
    let mut framework = Framework::start(config(&url));
    let id = framework.registered();
    framework.launch("a");
    framework.update("a", TaskState::TaskRunning);
    let leader = cluster.leader();
    cluster.masters[leader].kill();
    framework
        .until("disconnected", |callback| matches!(callback, SchedulerCallback::Disconnected).then_some(()));
    framework.until("registered again", |callback| match callback {
        SchedulerCallback::Registered(again, _) => (*again == id).then_some(()),
        SchedulerCallback::Reregistered(_) => Some(()),
        _ => None,
    });
    cluster.wait_for_agents(1);
    framework.kill("a");
    framework.driver.stop(false);
    assert_eq!(framework.driver.join(), Status::Stopped);
}

#[test]
fn a_scheduler_acknowledges_by_itself_if_it_wants_to() {
    let cluster = Cluster::start(&Options::default()).expect("a cluster");
    let mut config = config(&cluster.master.address.to_string());
    config.implicit_acknowledgements = false;
    let mut framework = Framework::start(config);
    framework.registered();
    let agent = framework.launch("a");
    let running = framework.update("a", TaskState::TaskRunning);
    framework.say("a", &agent, b"finish");
    // The next update of a task comes only when the one before is acknowledged.
    framework.until("a message", |callback| match callback {
        SchedulerCallback::Message { data, .. } => (data == "finish").then_some(()),
        SchedulerCallback::Update(status) => panic!("not acknowledged yet: {status:?}"),
        _ => None,
    });
    framework.driver.call(Call::Acknowledge(Box::new(running)));
    let finished = framework.update("a", TaskState::TaskFinished);
    framework.driver.call(Call::Acknowledge(Box::new(finished)));
    assert_eq!(framework.driver.abort(), Status::Aborted);
    assert_eq!(framework.driver.join(), Status::Aborted);
    // An aborted driver's framework is still there, and can be stopped.
    assert_eq!(framework.driver.stop(false), Status::Aborted);
    eventually("the framework is gone", PATIENCE, || {
        frameworks(&cluster.master.json("/state"), "frameworks").is_empty().then_some(())
    });
}

/// What a driver's `error` says that cannot be started.
fn refusal(config: SchedulerConfig) -> String {
    let (sender, told) = channel();
    let driver = driver(config, sender);
    assert_eq!(driver.join(), Status::NotStarted);
    assert_eq!(driver.start(), Status::Aborted);
    assert_eq!((driver.join(), driver.start()), (Status::Aborted, Status::Aborted));
    match told.try_recv() {
        Ok(SchedulerCallback::Error(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_cannot_start_is_told_why() {
    let message = refusal(config("zk://127.0.0.1:2181"));
    assert_eq!(
        message,
        "Failed to create a master detector for 'zk://127.0.0.1:2181': Expecting a (chroot) path for ZooKeeper \
         ('/' is not supported)"
    );
    let mut secret = config("127.0.0.1:5050");
    secret.credential = Some(v1::Credential { principal: "ann".to_owned(), secret: None });
    assert!(refusal(secret).starts_with("Authentication with masters (SASL CRAM-MD5) is not supported yet"));
}

#[test]
fn a_driver_without_a_master_can_be_stopped_from_a_callback_of_another_thread() {
    let (sender, told) = channel();
    // Nobody listens there.
    let nowhere = e2e::free_address().expect("a port").to_string();
    let driver = Arc::new(driver(config(&nowhere), sender));
    assert_eq!(driver.start(), Status::Running);
    let task = v1::TaskInfo { task_id: v1::TaskId { value: "t".to_owned() }, ..v1::TaskInfo::default() };
    driver.call(Call::launch(Vec::new(), vec![task], v1::Filters::default()));
    match told.recv_timeout(PATIENCE) {
        Ok(SchedulerCallback::Update(status)) => assert_eq!(status.state(), TaskState::TaskLost),
        other => panic!("{other:?}"),
    }
    let joining = {
        let driver = Arc::clone(&driver);
        std::thread::spawn(move || driver.join())
    };
    assert_eq!(driver.stop(false), Status::Stopped);
    assert_eq!(joining.join().expect("it joins"), Status::Stopped);
}
