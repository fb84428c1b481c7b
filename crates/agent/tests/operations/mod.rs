//! Reservations, persistent volumes and draining, on real directories.

use std::fs;
use std::path::{Path, PathBuf};

use proto::mesos::internal::{
    AcknowledgeOperationStatusMessage, ApplyOperationMessage, DrainSlaveMessage, ReregisterSlaveMessage,
    ResourceVersionUuid, SlaveReregisteredMessage, UpdateOperationStatusMessage,
};
use proto::mesos::v1::executor::event;
use proto::mesos::v1::task_status::Reason;
use proto::mesos::v1::{self, OperationState, TaskState};

use super::common::{self, AGENT_ID, Executor, FRAMEWORK_ID, World, scalar, start, task, world};

fn reserved(mib: f64) -> v1::Resource {
    let reservation = v1::resource::ReservationInfo {
        r#type: Some(v1::resource::reservation_info::Type::Dynamic.into()),
        role: Some("dev".to_owned()),
        ..Default::default()
    };
    v1::Resource { reservations: vec![reservation], ..scalar("disk", mib) }
}

fn volume(id: &str, mib: f64, name: &str) -> v1::Resource {
    let disk = v1::resource::DiskInfo {
        persistence: Some(v1::resource::disk_info::Persistence { id: id.to_owned(), principal: None }),
        volume: Some(v1::Volume {
            container_path: name.to_owned(),
            mode: v1::volume::Mode::Rw.into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    v1::Resource { disk: Some(disk), ..reserved(mib) }
}

fn operation(kind: v1::offer::operation::Type) -> v1::offer::Operation {
    v1::offer::Operation { r#type: Some(kind.into()), ..Default::default() }
}

fn reserve(mib: f64) -> v1::offer::Operation {
    let body = v1::offer::operation::Reserve { resources: vec![reserved(mib)], ..Default::default() };
    v1::offer::Operation { reserve: Some(body), ..operation(v1::offer::operation::Type::Reserve) }
}

fn create(volume: v1::Resource) -> v1::offer::Operation {
    let body = v1::offer::operation::Create { volumes: vec![volume] };
    v1::offer::Operation { create: Some(body), ..operation(v1::offer::operation::Type::Create) }
}

fn destroy(volume: v1::Resource) -> v1::offer::Operation {
    let body = v1::offer::operation::Destroy { volumes: vec![volume] };
    v1::offer::Operation { destroy: Some(body), ..operation(v1::offer::operation::Type::Destroy) }
}

impl World {
    /// Has the agent apply an operation, and does not acknowledge it.
    async fn apply(&mut self, number: u8, info: v1::offer::Operation) -> UpdateOperationStatusMessage {
        let uuid = v1::Uuid { value: vec![number; 16].into() };
        let message = ApplyOperationMessage {
            framework_id: Some(v1::FrameworkId { value: FRAMEWORK_ID.to_owned() }),
            operation_info: info,
            operation_uuid: uuid.clone(),
            resource_version_uuid: ResourceVersionUuid { resource_provider_id: None, uuid: uuid.clone() },
        };
        self.master.send(&self.pid, &message);
        let (_, update) = self.master.expect::<UpdateOperationStatusMessage>().await;
        assert_eq!(update.operation_uuid, Some(uuid));
        update
    }

    fn heard(&self, update: UpdateOperationStatusMessage) {
        let message = AcknowledgeOperationStatusMessage {
            status_uuid: update.status.uuid.unwrap(),
            operation_uuid: update.operation_uuid.unwrap(),
            resource_provider_id: None,
        };
        self.master.send(&self.pid, &message);
    }

    fn work(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    /// Admits the agent that came back.
    async fn readmit(&mut self) -> ReregisterSlaveMessage {
        let (_, message) = self.master.expect::<ReregisterSlaveMessage>().await;
        let back = SlaveReregisteredMessage {
            slave_id: v1::AgentId { value: AGENT_ID.to_owned() },
            ..SlaveReregisteredMessage::default()
        };
        self.master.send(&self.pid, &back);
        message
    }
}

/// Ends an executor's process, as it would by itself.
fn end(status: &v1::TaskStatus) {
    let pid = status.container_status.as_ref().unwrap().executor_pid.unwrap();
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_volume_outlives_its_task_and_its_agent() {
    let mut world = world().await;
    let resources = world.work().join("meta/resources");
    let first = world.apply(1, reserve(100.0)).await;
    assert_eq!(first.status.state(), OperationState::OperationFinished);
    let second = world.apply(2, create(volume("v1", 64.0, "data"))).await;
    assert_eq!(second.status.state(), OperationState::OperationFinished);
    assert_eq!(names(&resources), ["resources.info", "resources_and_operations.state"]);
    let directory = world.work().join("volumes/roles/dev/v1");
    assert!(directory.is_dir());
    let (_, state) = world.get("/state").await;
    assert!(
        state.contains(r#""reserved_resources":{"dev":{"cpus":0.0,"gpus":0.0,"mem":0.0,"disk":100.0}"#),
        "{state}"
    );
    let (_, operations) = world.operator(r#"{"type":"GET_OPERATIONS"}"#).await;
    assert_eq!(operations.matches("\"latest_status\"").count(), 2, "{operations}");
    let streams = world.work().join(format!("meta/slaves/{AGENT_ID}/operations"));
    assert_eq!(names(&streams).len(), 2);
    world.heard(first);
    world.heard(second);
    world.eventually("/health", |_| names(&streams).is_empty()).await;

    // A task writes into it, and ends.
    let mut writer = task("t1", "e1", "echo kept > data/file; exec sleep 1000");
    writer.resources.push(volume("v1", 64.0, "data"));
    world.run(true, writer);
    let kept = || fs::read_to_string(directory.join("file")).is_ok_and(|text| text == "kept\n");
    world.eventually("/health", |_| kept()).await;
    let path = world.sandbox("e1").canonicalize().unwrap();
    let mut executor = Executor::subscribe(&world.agent, "e1").await;
    executor.expect(event::Type::Launch).await;
    executor.update("t1", TaskState::TaskFinished, 1).await;
    let (_, status) = world.update().await;
    world.acknowledge(&status);
    world.eventually("/health", |_| !path.join("data").exists()).await;

    end(&status);
    world.eventually("/state", |state| state.contains("\"frameworks\":[]")).await;

    let mut flags = common::flags(world.directory.path(), &world.master.pid);
    flags::FlagSet::set(&mut flags, "port", &world.pid.address.port().to_string(), None).unwrap();
    world.agent.stop().await.unwrap();
    world.agent = start(&flags).await;
    let message = world.readmit().await;
    let mut checkpointed = message.checkpointed_resources;
    resources::format::upgrade_all(&mut checkpointed);
    let unallocated = |resource: v1::Resource| v1::Resource { allocation_info: None, ..resource };
    assert_eq!(checkpointed, [reserved(36.0), volume("v1", 64.0, "data")].map(unallocated));
    assert!(kept());
    let third = world.apply(3, destroy(volume("v1", 64.0, "data"))).await;
    assert_eq!(third.status.state(), OperationState::OperationFinished);
    assert!(!directory.exists());
    world.agent.stop().await.unwrap();

    flags::FlagSet::set(&mut flags, "resources", "cpus:4;mem:2048;disk:99", None).unwrap();
    let error = common::start_result(&flags).await.unwrap_err().to_string();
    assert!(error.contains("are incompatible with agent resources"), "{error}");
}

#[tokio::test]
async fn a_draining_agent_shows_it_and_ends_its_tasks() {
    let mut world = world().await;
    world.run(true, task("t1", "e1", "exec sleep 1000"));
    let mut executor = Executor::subscribe(&world.agent, "e1").await;
    executor.expect(event::Type::Launch).await;
    let longest = v1::DurationInfo { nanoseconds: 1_000_000_000 };
    let config = v1::DrainConfig { max_grace_period: Some(longest), mark_gone: Some(false) };
    world.master.send(&world.pid, &DrainSlaveMessage { config });
    let kill = executor.expect(event::Type::Kill).await.kill.unwrap();
    assert_eq!(kill.kill_policy.unwrap().grace_period, Some(longest));
    let state = world.eventually("/state", |state| state.contains("drain_config")).await;
    assert!(
        state.contains(r#""drain_config":{"max_grace_period":{"nanoseconds":1000000000},"mark_gone":false}"#)
    );
    assert!(state.contains(r#""estimated_drain_start_time_seconds":1"#), "{state}");
    let (_, agent) = world.operator(r#"{"type":"GET_AGENT"}"#).await;
    assert!(
        agent.contains("\"drain_config\":{") && agent.contains("\"estimated_drain_start_time\":{"),
        "{agent}"
    );
    let file = world.work().join(format!("meta/slaves/{AGENT_ID}/drain.config"));
    assert!(file.exists());
    executor.update("t1", TaskState::TaskKilled, 1).await;
    let (state, status) = world.update().await;
    assert_eq!((state, status.reason()), (TaskState::TaskKilled, Reason::AgentDraining));
    world.acknowledge(&status);
    end(&status);
    world.eventually("/state", |state| !state.contains("drain_config")).await;
    assert!(!file.exists());
    world.agent.stop().await.unwrap();
}
