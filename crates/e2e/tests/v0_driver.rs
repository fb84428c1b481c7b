//! Scheduler drivers of the v0 API, message by message: those of Mesos before 0.23, which the C++ master
//! still takes and which drivers in Go and Python still send.

use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use e2e::{Cluster, Message, Options, Process, eventually};
use proto::mesos::internal::{
    DeactivateFrameworkMessage, FrameworkErrorMessage, FrameworkRegisteredMessage,
    FrameworkReregisteredMessage, KillTaskMessage, LaunchTasksMessage, LostSlaveMessage,
    ReconcileTasksMessage, RegisterFrameworkMessage, ReregisterFrameworkMessage, RescindResourceOfferMessage,
    ResourceOffersMessage, ResourceRequestMessage, ReviveOffersMessage, StatusUpdateAcknowledgementMessage,
    StatusUpdateMessage, UnregisterFrameworkMessage,
};
use proto::mesos::scheduler as v0;
use proto::mesos::v1::{self, TaskState};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

/// A driver: its process, and its connection to the master.
struct Driver {
    process: Process,
    link: TcpStream,
    master: String,
    id: Option<v1::FrameworkId>,
}

impl Driver {
    fn start(cluster: &Cluster, name: &str) -> Self {
        let process = Process::start(name).expect("a process");
        let link = process.connect(cluster.master.address).expect("a connection");
        Self { process, link, master: format!("master@{}", cluster.master.address), id: None }
    }

    fn send(&mut self, message: &str, body: &impl prost::Message) {
        let name =
            if message.contains('.') { message.to_owned() } else { format!("mesos.internal.{message}") };
        let pid = self.process.pid.clone();
        let status = self.process.post(&mut self.link, &pid, &self.master, &name, &body.encode_to_vec());
        assert_eq!(status.expect("an answer"), 202, "{message}");
    }

    fn expect<M: prost::Message + Default>(&mut self, message: &str) -> M {
        let Message { body, from, .. } = self.process.expect(&format!("mesos.internal.{message}"), PATIENCE);
        assert_eq!(from, self.master, "drivers compare the sender with the address that they used");
        M::decode(&body[..]).expect("a message")
    }

    fn register(&mut self, failover_timeout: f64) {
        self.send(
            "RegisterFrameworkMessage",
            &RegisterFrameworkMessage { framework: info(failover_timeout) },
        );
        let registered: FrameworkRegisteredMessage = self.expect("FrameworkRegisteredMessage");
        assert_eq!(registered.master_info.pid.as_deref(), Some(self.master.as_str()));
        self.id = Some(registered.framework_id);
    }

    fn id(&self) -> v1::FrameworkId {
        self.id.clone().expect("it is registered")
    }

    fn offer(&mut self) -> v1::Offer {
        let offers: ResourceOffersMessage = self.expect("ResourceOffersMessage");
        assert_eq!(offers.offers.len(), offers.pids.len(), "drivers walk both lists side by side");
        assert!(offers.pids[0].starts_with("slave(1)@127.0.0.1:"), "{}", offers.pids[0]);
        offers.offers.into_iter().next().expect("an offer")
    }

    fn launch(&mut self, offer: &v1::Offer, tasks: Vec<v1::TaskInfo>, refuse_seconds: f64) {
        let message = LaunchTasksMessage {
            framework_id: self.id(),
            tasks,
            filters: v1::Filters { refuse_seconds: Some(refuse_seconds) },
            offer_ids: vec![offer.id.clone()],
        };
        self.send("LaunchTasksMessage", &message);
    }

    /// The next update. One that an agent made is acknowledged; a driver knows it by its pid.
    fn update(&mut self) -> v1::TaskStatus {
        let StatusUpdateMessage { update, pid } = self.expect("StatusUpdateMessage");
        let uuid = update.uuid.unwrap_or_default();
        assert_eq!(
            pid.as_deref().is_some_and(|pid| !pid.is_empty()),
            !uuid.is_empty(),
            "{:?}",
            update.status
        );
        if !uuid.is_empty() {
            let message = StatusUpdateAcknowledgementMessage {
                slave_id: update.slave_id.clone().expect("an agent"),
                framework_id: self.id(),
                task_id: update.status.task_id.clone(),
                uuid,
            };
            self.send("StatusUpdateAcknowledgementMessage", &message);
        }
        update.status
    }

    /// Reads updates until the task is in this state.
    fn until(&mut self, task: &str, state: TaskState) -> v1::TaskStatus {
        loop {
            let status = self.update();
            if status.task_id.value == task && status.state() == state {
                return status;
            }
        }
    }
}

fn info(failover_timeout: f64) -> v1::FrameworkInfo {
    v1::FrameworkInfo {
        user: "root".to_owned(),
        name: "driver".to_owned(),
        failover_timeout: Some(failover_timeout),
        ..Default::default()
    }
}

/// What drivers copy: name, type and amount, without even a role.
fn scalar(name: &str, value: f64) -> v1::Resource {
    v1::Resource {
        name: name.to_owned(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        ..Default::default()
    }
}

fn task(id: &str, offer: &v1::Offer, command: &str) -> v1::TaskInfo {
    v1::TaskInfo {
        name: id.to_owned(),
        task_id: v1::TaskId { value: id.to_owned() },
        agent_id: offer.agent_id.clone(),
        resources: vec![scalar("cpus", 0.1), scalar("mem", 32.0)],
        command: Some(v1::CommandInfo { value: Some(command.to_owned()), ..Default::default() }),
        ..Default::default()
    }
}

fn cluster() -> Cluster {
    Cluster::start(&Options::default()).expect("a cluster")
}

fn frameworks(cluster: &Cluster, list: &str) -> Vec<Value> {
    cluster.master.json("/state")[list].as_array().expect("a list").clone()
}

#[test]
#[expect(deprecated, reason = "drivers read the old role field")]
fn a_legacy_driver_runs_tasks() {
    let cluster = cluster();
    let mut driver = Driver::start(&cluster, "scheduler(1)");
    driver.register(0.0);
    let offer = driver.offer();
    assert!(offer.allocation_info.is_none(), "{offer:?}");
    for resource in &offer.resources {
        assert_eq!(resource.role.as_deref(), Some("*"), "{resource:?}");
        assert!(resource.allocation_info.is_none() && resource.reservations.is_empty(), "{resource:?}");
    }
    let long = task("long", &offer, "exec sleep 71101");
    driver.launch(&offer, vec![task("short", &offer, "exit 0"), long], 0.0);
    let finished = driver.until("short", TaskState::TaskFinished);
    assert_eq!(finished.message.as_deref(), Some("Command exited with status 0"));

    // What is left comes again, is declined by launching nothing, and comes when it is asked for.
    let offer = driver.offer();
    driver.launch(&offer, Vec::new(), 1000.0);
    driver.send("ReviveOffersMessage", &ReviveOffersMessage { framework_id: driver.id(), roles: Vec::new() });
    driver.send(
        "ResourceRequestMessage",
        &ResourceRequestMessage { framework_id: driver.id(), requests: Vec::new() },
    );
    driver.offer();

    let kill = KillTaskMessage {
        framework_id: driver.id(),
        task_id: v1::TaskId { value: "long".to_owned() },
        kill_policy: None,
    };
    driver.send("KillTaskMessage", &kill);
    driver.until("long", TaskState::TaskKilled);

    driver.send("UnregisterFrameworkMessage", &UnregisterFrameworkMessage { framework_id: driver.id() });
    let completed = eventually("it is completed", PATIENCE, || {
        frameworks(&cluster, "completed_frameworks").into_iter().next()
    });
    let mut states: Vec<&str> = completed["completed_tasks"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|t| t["state"].as_str().expect("text"))
        .collect();
    states.sort_unstable();
    assert_eq!(states, ["TASK_FINISHED", "TASK_KILLED"]);
}

#[test]
fn a_second_driver_takes_over() {
    let cluster = cluster();
    let mut first = Driver::start(&cluster, "scheduler(1)");
    first.register(60.0);
    let offer = first.offer();
    first.launch(&offer, vec![task("t", &offer, "exec sleep 71102")], 1000.0);
    first.until("t", TaskState::TaskRunning);

    // Without the word it is another instance of a driver that the first one's failover left behind.
    let mut second = Driver::start(&cluster, "scheduler(2)");
    second.id = first.id.clone();
    let framework = v1::FrameworkInfo { id: first.id.clone(), ..info(60.0) };
    second.send(
        "ReregisterFrameworkMessage",
        &ReregisterFrameworkMessage { framework: framework.clone(), failover: false },
    );
    let error: FrameworkErrorMessage = second.expect("FrameworkErrorMessage");
    assert_eq!(error.message, "Framework failed over");

    second.send("ReregisterFrameworkMessage", &ReregisterFrameworkMessage { framework, failover: true });
    let error: FrameworkErrorMessage = first.expect("FrameworkErrorMessage");
    assert_eq!(error.message, "Framework failed over");
    // COMPAT(mesos): a driver that fails over is told that it is registered, not again.
    let registered: FrameworkRegisteredMessage = second.expect("FrameworkRegisteredMessage");
    assert_eq!(Some(registered.framework_id), first.id);

    // The first one is not heard any more.
    first.send("UnregisterFrameworkMessage", &UnregisterFrameworkMessage { framework_id: first.id() });

    let reconcile = |statuses| ReconcileTasksMessage { framework_id: second.id(), statuses, framework: None };
    let asked = |id: &str| v1::TaskStatus {
        task_id: v1::TaskId { value: id.to_owned() },
        state: TaskState::TaskRunning.into(),
        ..Default::default()
    };
    let (implicit, explicit) = (reconcile(Vec::new()), reconcile(vec![asked("t"), asked("nobody")]));
    second.send("ReconcileTasksMessage", &implicit);
    let status = second.until("t", TaskState::TaskRunning);
    assert_eq!(status.message.as_deref(), Some("Reconciliation: Latest task state"));
    second.send("ReconcileTasksMessage", &explicit);
    second.until("t", TaskState::TaskRunning);
    let lost = second.until("nobody", TaskState::TaskLost);
    assert_eq!(lost.message.as_deref(), Some("Reconciliation: Task is unknown"));
    assert_eq!(lost.reason(), v1::task_status::Reason::Reconciliation);
}

#[test]
fn a_driver_that_is_gone_has_its_failover_timeout() {
    let cluster = cluster();
    let mut driver = Driver::start(&cluster, "scheduler(1)");
    driver.register(60.0);
    let offer = driver.offer();
    driver.launch(&offer, vec![task("t", &offer, "exec sleep 71103")], 1000.0);
    driver.until("t", TaskState::TaskRunning);
    let id = driver.id();
    driver.process.end();
    eventually("the master notices", PATIENCE, || {
        let framework = &frameworks(&cluster, "frameworks")[0];
        (framework["connected"] == json!(false) && framework["active"] == json!(false)).then_some(())
    });
    let mut again = Driver::start(&cluster, "scheduler(1)");
    again.id = Some(id.clone());
    let framework = v1::FrameworkInfo { id: Some(id), ..info(60.0) };
    again.send(
        "ReregisterFrameworkMessage",
        &ReregisterFrameworkMessage { framework: framework.clone(), failover: true },
    );
    again.expect::<FrameworkRegisteredMessage>("FrameworkRegisteredMessage");
    // The same driver again, as after a new election that was none.
    again.send("ReregisterFrameworkMessage", &ReregisterFrameworkMessage { framework, failover: false });
    again.expect::<FrameworkReregisteredMessage>("FrameworkReregisteredMessage");

    again.send("DeactivateFrameworkMessage", &DeactivateFrameworkMessage { framework_id: again.id() });
    eventually("it is inactive and keeps its task", PATIENCE, || {
        let framework = &frameworks(&cluster, "frameworks")[0];
        (framework["active"] == json!(false) && framework["tasks"][0]["state"] == "TASK_RUNNING")
            .then_some(())
    });
}

#[test]
fn a_driver_of_calls_runs_a_task() {
    use v0::call::Subscribe;
    use v1::scheduler::call::{Accept, Acknowledge, Decline, Type};
    let cluster = cluster();
    let mut driver = Driver::start(&cluster, "scheduler-0b6aef10-2a3c-4f1f-9a3b-5a5f5d1f1f10");
    let subscribe = v0::Call {
        r#type: Some(Type::Subscribe.into()),
        subscribe: Some(Subscribe { framework_info: info(0.0), ..Default::default() }),
        ..Default::default()
    };
    driver.send("mesos.scheduler.Call", &subscribe);
    let registered: FrameworkRegisteredMessage = driver.expect("FrameworkRegisteredMessage");
    driver.id = Some(registered.framework_id.clone());
    let call = |kind: Type| v0::Call {
        framework_id: Some(registered.framework_id.clone()),
        r#type: Some(kind.into()),
        ..Default::default()
    };
    let offer = driver.offer();
    driver.send(
        "mesos.scheduler.Call",
        &v0::Call {
            decline: Some(Decline {
                offer_ids: vec![offer.id],
                filters: Some(v1::Filters { refuse_seconds: Some(0.0) }),
            }),
            ..call(Type::Decline)
        },
    );
    let offer = driver.offer();
    let launch = v1::offer::operation::Launch { task_infos: vec![task("t", &offer, "true")] };
    let operation = v1::offer::Operation {
        r#type: Some(v1::offer::operation::Type::Launch.into()),
        launch: Some(launch),
        ..Default::default()
    };
    let accept = Accept { offer_ids: vec![offer.id], operations: vec![operation], filters: None };
    driver.send("mesos.scheduler.Call", &v0::Call { accept: Some(accept), ..call(Type::Accept) });
    loop {
        let StatusUpdateMessage { update, .. } = driver.expect("StatusUpdateMessage");
        let acknowledge = Acknowledge {
            agent_id: update.slave_id.expect("an agent"),
            task_id: update.status.task_id.clone(),
            uuid: update.uuid.expect("a uuid"),
        };
        driver.send(
            "mesos.scheduler.Call",
            &v0::Call { acknowledge: Some(acknowledge), ..call(Type::Acknowledge) },
        );
        if update.status.state() == TaskState::TaskFinished {
            break;
        }
    }
    driver.send("mesos.scheduler.Call", &call(Type::Suppress));
    driver.send("mesos.scheduler.Call", &call(Type::Revive));
    driver.send("mesos.scheduler.Call", &call(Type::Teardown));
    eventually("it is completed", PATIENCE, || {
        (frameworks(&cluster, "completed_frameworks").len() == 1).then_some(())
    });
}

#[test]
fn drivers_hear_why_a_launch_fails() {
    let cluster = cluster();
    let mut driver = Driver::start(&cluster, "scheduler(1)");
    driver.register(0.0);
    let offer = driver.offer();
    let greedy = v1::TaskInfo { resources: vec![scalar("cpus", 400.0)], ..task("greedy", &offer, "true") };
    driver.launch(&offer, vec![greedy], 0.0);
    let status = driver.update();
    assert_eq!(status.state(), TaskState::TaskError, "{status:?}");
    assert!(status.uuid.as_ref().is_none_or(Bytes::is_empty), "{status:?}");

    // The same offer once more.
    driver.launch(&offer, vec![task("late", &offer, "true")], 0.0);
    let status = driver.update();
    assert_eq!(status.state(), TaskState::TaskLost, "{status:?}");
    assert_eq!(status.reason(), v1::task_status::Reason::InvalidOffers);
    let said = status.message.unwrap_or_default();
    assert_eq!(
        said,
        format!("Task launched with invalid offers: Offer {} is no longer valid", offer.id.value)
    );
}

#[test]
fn drivers_hear_of_a_lost_agent() {
    let mut cluster = Cluster::start(&Options {
        master_flags: vec!["--agent_ping_timeout=1secs".to_owned(), "--max_agent_ping_timeouts=2".to_owned()],
        ..Options::default()
    })
    .expect("a cluster");
    let mut driver = Driver::start(&cluster, "scheduler(1)");
    driver.register(0.0);
    let offer = driver.offer();
    driver.launch(&offer, vec![task("t", &offer, "exec sleep 71104")], 0.0);
    driver.until("t", TaskState::TaskRunning);
    let rest = driver.offer();
    cluster.agents[0].kill();
    let rescinded: RescindResourceOfferMessage = driver.expect("RescindResourceOfferMessage");
    assert_eq!(rescinded.offer_id, rest.id);
    let status = driver.until("t", TaskState::TaskLost);
    assert_eq!(status.source(), v1::task_status::Source::Master);
    let lost: LostSlaveMessage = driver.expect("LostSlaveMessage");
    assert_eq!(lost.slave_id, rest.agent_id);
}

#[test]
fn a_driver_without_failover_timeout_takes_its_tasks_along() {
    let cluster = cluster();
    let mut driver = Driver::start(&cluster, "scheduler(1)");
    driver.register(0.0);
    let offer = driver.offer();
    driver.launch(&offer, vec![task("t", &offer, "exec sleep 71105")], 1000.0);
    driver.until("t", TaskState::TaskRunning);
    driver.process.end();
    let completed = eventually("it is completed", PATIENCE, || {
        frameworks(&cluster, "completed_frameworks").into_iter().next()
    });
    assert_eq!(completed["completed_tasks"][0]["state"], "TASK_KILLED");
    eventually("the agent has ended the task", PATIENCE, || {
        let state = cluster.agents[0].json("/state");
        (state["frameworks"].as_array()?.is_empty()).then_some(())
    });
}

#[test]
fn a_driver_finds_its_task_at_a_new_master() {
    // An agent that was told one master's address comes back to it when it has missed its pings.
    let mut cluster = Cluster::start(&Options {
        master_flags: vec!["--agent_ping_timeout=1secs".to_owned(), "--max_agent_ping_timeouts=2".to_owned()],
        ..Options::default()
    })
    .expect("a cluster");
    let mut driver = Driver::start(&cluster, "scheduler(1)");
    driver.register(60.0);
    let offer = driver.offer();
    driver.launch(&offer, vec![task("t", &offer, "exec sleep 71106")], 1000.0);
    driver.until("t", TaskState::TaskRunning);
    cluster.master.restart().expect("a master");
    driver.link = driver.process.connect(cluster.master.address).expect("a connection");
    let framework = v1::FrameworkInfo { id: driver.id.clone(), ..info(60.0) };
    driver.send("ReregisterFrameworkMessage", &ReregisterFrameworkMessage { framework, failover: false });
    // To the new master it is new, unless an agent has spoken of it before.
    let registered = driver.process.expect_any(
        &["mesos.internal.FrameworkRegisteredMessage", "mesos.internal.FrameworkReregisteredMessage"],
        PATIENCE,
    );
    assert_eq!(registered.from, driver.master);
    cluster.wait_for_agents(1);
    let reconcile =
        ReconcileTasksMessage { framework_id: driver.id(), statuses: Vec::new(), framework: None };
    driver.send("ReconcileTasksMessage", &reconcile);
    driver.until("t", TaskState::TaskRunning);
    let kill = KillTaskMessage {
        framework_id: driver.id(),
        task_id: v1::TaskId { value: "t".to_owned() },
        kill_policy: None,
    };
    driver.send("KillTaskMessage", &kill);
    driver.until("t", TaskState::TaskKilled);
}
