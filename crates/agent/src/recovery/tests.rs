//! Directories that are read: of this agent, of one that died, of Apache Mesos.

use agent_core::{ExecutorPath, FrameworkPath, Record};
use proto::mesos::internal::status_update_record::Type;
use proto::mesos::internal::{StatusUpdate, StatusUpdateRecord};
use proto::mesos::v1;

use super::*;

#[test]
fn torn_updates_are_cut_before_more_are_appended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tasks/t/task.updates");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // Two empty records, and a third of nine bytes that has but two.
    let record = |size: u32| size.to_ne_bytes();
    let whole = [record(0), record(0)].concat();
    fs::write(&path, [&whole[..], &record(9), b"xx"].concat()).unwrap();
    let mut files = BTreeMap::new();
    read_into(&mut files, directory.path(), "frameworks").unwrap();
    assert_eq!(files["frameworks/tasks/t/task.updates"], Entry::File(whole.clone()));
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[test]
fn reads_back_what_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let work_dir = directory.path();
    let nothing = recover(work_dir).unwrap();
    let boot = nothing.boot.clone().unwrap();
    assert_eq!(nothing, Recovered { boot: Some(boot.clone()), ..Recovered::default() });
    let framework = FrameworkPath { agent: "S0".into(), framework: "F".into() };
    let info = v1::FrameworkInfo {
        user: "u".to_owned(),
        name: "n".to_owned(),
        id: Some(v1::FrameworkId { value: "F".to_owned() }),
        ..v1::FrameworkInfo::default()
    };
    let agent = v1::AgentInfo {
        hostname: "h".to_owned(),
        id: Some(v1::AgentId { value: "S0".to_owned() }),
        ..v1::AgentInfo::default()
    };
    let records = [
        Record::AgentInfo(Box::new(agent.clone())),
        Record::LatestAgent("S0".into()),
        Record::FrameworkInfo(framework, Box::new(info.clone())),
    ];
    checkpoint::write_all(work_dir.to_str().unwrap(), &records).unwrap();
    let found = recover(work_dir).unwrap();
    assert_eq!(found.agent, Some(agent));
    assert_eq!(found.frameworks.len(), 1);
    assert_eq!(found.frameworks[0].info, info);
    assert!(!found.rebooted && found.errors.is_empty());
    // A boot is new until an agent has recovered in it.
    fs::write(work_dir.join("meta/boot_id"), "another").unwrap();
    for _ in 0..2 {
        let found = recover(work_dir).unwrap();
        assert_eq!((found.rebooted, found.boot.as_ref()), (true, Some(&boot)));
    }
    // What a loss of power tore is nobody's error, then and later.
    let torn = work_dir.join("meta/slaves/S0/frameworks/T/framework.info");
    fs::create_dir_all(torn.parent().unwrap()).unwrap();
    fs::write(&torn, b"xx").unwrap();
    let found = recover(work_dir).unwrap();
    assert_eq!(found.lost, ["frameworks/T/framework.info"]);
    assert!(found.errors.is_empty() && !torn.exists());
    fs::remove_dir_all(torn.parent().unwrap()).unwrap();
    checkpoint::write_all(work_dir.to_str().unwrap(), &[Record::BootId(boot)]).unwrap();
    let found = recover(work_dir).unwrap();
    assert_eq!((found.rebooted, found.boot), (false, None));
    // What this machine was before.
    fs::create_dir_all(work_dir.join("slaves/S7/frameworks")).unwrap();
    fs::create_dir_all(work_dir.join("meta/slaves/S8")).unwrap();
    let former: Vec<String> = recover(work_dir).unwrap().former.iter().map(ToString::to_string).collect();
    assert_eq!(former, ["S7", "S8"]);
    // What is left of what it ran.
    fs::create_dir_all(work_dir.join("slaves/S0/frameworks/F/executors/gone/runs/c")).unwrap();
    fs::create_dir_all(work_dir.join("slaves/S0/frameworks/G")).unwrap();
    fs::create_dir_all(work_dir.join("meta/slaves/S0/frameworks/H")).unwrap();
    let left = recover(work_dir).unwrap().leftovers;
    assert_eq!(left, ["frameworks/F/executors/gone", "frameworks/G", "frameworks/H"]);
}

/// A record as `protobuf::write` of Apache Mesos writes it.
fn record(message: &impl prost::Message) -> Vec<u8> {
    let body = message.encode_to_vec();
    [&u32::try_from(body.len()).unwrap().to_ne_bytes()[..], &body].concat()
}

fn update(state: v1::TaskState, uuid: u8) -> StatusUpdateRecord {
    let status = v1::TaskStatus {
        task_id: v1::TaskId { value: "t".to_owned() },
        state: state.into(),
        uuid: Some(vec![uuid; 16].into()),
        ..v1::TaskStatus::default()
    };
    let update = StatusUpdate {
        framework_id: v1::FrameworkId { value: "F".to_owned() },
        executor_id: Some(v1::ExecutorId { value: "e".to_owned() }),
        slave_id: Some(v1::AgentId { value: "S0".to_owned() }),
        status,
        timestamp: 1.0,
        uuid: Some(vec![uuid; 16].into()),
        latest_state: None,
    };
    StatusUpdateRecord { r#type: Type::Update.into(), update: Some(update), uuid: None }
}

/// The names and bytes are those of `src/slave/paths.cpp` and `src/slave/state.cpp`, spelt out.
#[test]
fn a_directory_of_apache_mesos_is_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let meta = directory.path().join("meta");
    let write = |path: &str, bytes: &[u8]| {
        let path = meta.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let link = |path: &str, target: &str| {
        fs::create_dir_all(meta.join(path).parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(meta.join(target), meta.join(path)).unwrap();
    };
    let boot = fs::read_to_string(KERNEL_BOOT_ID).unwrap();
    write("boot_id", boot.trim().as_bytes());
    let agent = v1::AgentInfo {
        hostname: "h".to_owned(),
        port: Some(5051),
        id: Some(v1::AgentId { value: "S0".to_owned() }),
        ..v1::AgentInfo::default()
    };
    write("slaves/S0/slave.info", &record(&agent));
    link("slaves/latest", "slaves/S0");
    let framework = v1::FrameworkInfo {
        user: "u".to_owned(),
        name: "n".to_owned(),
        id: Some(v1::FrameworkId { value: "F".to_owned() }),
        checkpoint: Some(true),
        ..v1::FrameworkInfo::default()
    };
    write("slaves/S0/frameworks/F/framework.info", &record(&framework));
    write("slaves/S0/frameworks/F/framework.pid", b"scheduler-1@127.0.0.1:4000");
    let executor = v1::ExecutorInfo {
        executor_id: v1::ExecutorId { value: "e".to_owned() },
        ..v1::ExecutorInfo::default()
    };
    let at = "slaves/S0/frameworks/F/executors/e";
    write(&format!("{at}/executor.info"), &record(&executor));
    write(&format!("{at}/executor_generated_for_command_task"), b"1");
    write(&format!("{at}/runs/c1/executor.sentinel"), b"");
    let run = format!("{at}/runs/c2");
    link(&format!("{at}/runs/latest"), &run);
    write(&format!("{run}/pids/forked.pid"), b"77");
    write(&format!("{run}/pids/libprocess.pid"), b"executor(1)@127.0.0.1:4001");
    let task = v1::Task { task_id: v1::TaskId { value: "t".to_owned() }, ..v1::Task::default() };
    write(&format!("{run}/tasks/t/task.info"), &record(&task));
    let acknowledgement =
        StatusUpdateRecord { r#type: Type::Ack.into(), update: None, uuid: Some(vec![1; 16].into()) };
    let updates = [
        record(&update(v1::TaskState::TaskRunning, 1)),
        record(&acknowledgement),
        record(&update(v1::TaskState::TaskFinished, 2)),
    ];
    write(&format!("{run}/tasks/t/task.updates"), &updates.concat());
    // What is not for agents to read: a file that C++ agents write beside.
    write("slaves/S0/resource_provider_registry/000003.log", b"x");
    write("volume_gid_manager/volume_gids", b"x");

    let found = recover(directory.path()).unwrap();
    assert_eq!((found.errors, found.rebooted, found.boot), (Vec::new(), false, None));
    assert_eq!(found.agent, Some(agent));
    let [framework] = &found.frameworks[..] else { panic!("{:?}", found.frameworks) };
    assert_eq!(framework.pid.as_ref().unwrap().to_string(), "scheduler-1@127.0.0.1:4000");
    let [executor] = &framework.executors[..] else { panic!("{:?}", framework.executors) };
    assert!(executor.command_task);
    let [old, run] = &executor.runs[..] else { panic!("{:?}", executor.runs) };
    assert_eq!(found.leftovers, Vec::<String>::new());
    assert!(old.completed && !old.latest && run.latest && !run.completed && !run.http);
    assert_eq!(run.forked_pid, Some(77));
    assert_eq!(run.libprocess_pid.as_ref().unwrap().to_string(), "executor(1)@127.0.0.1:4001");
    assert_eq!(run.tasks.len(), 1);
    assert_eq!(run.tasks[0].1.len(), 3);

    // The other way round: what ours writes of it has the same names and bytes.
    let path = |name: &str| fs::read(meta.join(name)).unwrap();
    let before = [path("slaves/S0/slave.info"), path(&format!("{at}/executor.info")), path("boot_id")];
    let at_executor = ExecutorPath {
        framework: FrameworkPath { agent: "S0".into(), framework: "F".into() },
        executor: "e".into(),
    };
    let records = [
        Record::AgentInfo(Box::new(found.agent.unwrap())),
        Record::LatestAgent("S0".into()),
        Record::ExecutorInfo(at_executor, Box::new(executor.info.clone())),
        Record::BootId(boot.trim().to_owned()),
    ];
    checkpoint::write_all(directory.path().to_str().unwrap(), &records).unwrap();
    let after = [path("slaves/S0/slave.info"), path(&format!("{at}/executor.info")), path("boot_id")];
    assert_eq!(after, before);
    assert_eq!(fs::read_link(meta.join("slaves/latest")).unwrap(), meta.join("slaves/S0"));
}
