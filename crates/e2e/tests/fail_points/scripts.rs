//! What leads the agent to its points.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::{Process, eventually, operate};
use proto::mesos::internal::RegisterExecutorMessage;
use proto::mesos::v1;
use serde_json::{Value, json};

use crate::name_of;
use crate::world::{World, group, launch as launching, task};

const PATIENCE: Duration = Duration::from_secs(60);

/// From here on a task of a command is known to run, and must not be lost.
const RUNS: &[&str] = &[
    "acknowledgement.",
    "checkpoint.sentinel.",
    "checkpoint.task_acknowledgement.",
    "checkpoint.task_update.",
    "container.ended",
    "container.forgotten",
    "container.half_destroyed",
    "container.killed",
    "container.killing",
    "update.",
];

/// A task is launched with a file, and ends.
pub(crate) fn launch(world: &mut World, point: &str) {
    world.arm_and_subscribe(point);
    let name = world.named("task");
    let mut one = task(&name, "grep -q fetched input");
    one["command"]["uris"] = json!([{"value": world.input}]);
    world.ledger.accept(|agent| launching(agent, &[one]));
    world.until_dead(point);
    world.revive();
    world.ledger.until(&format!("{point}: the task is over"), |ledger| ledger.is_over(&name));
    if RUNS.iter().any(|start| name_of(point).starts_with(start)) {
        assert_eq!(world.ledger.state(&name), "TASK_FINISHED", "{point}: {:?}", world.ledger.states());
    }
}

/// A pod of two tasks is launched, and ends.
pub(crate) fn pod(world: &mut World, point: &str) {
    world.arm_and_subscribe(point);
    let names = [world.named("one"), world.named("other")];
    let tasks = [task(&names[0], "sleep 0.2"), task(&names[1], "true")];
    let framework = world.ledger.id.clone();
    world.ledger.accept(|agent| group(agent, &framework, &tasks));
    world.until_dead(point);
    world.revive();
    world.ledger.until(&format!("{point}: the tasks are over"), |ledger| {
        names.iter().all(|name| ledger.is_over(name))
    });
}

/// A task of an image is launched, and ends.
pub(crate) fn image(world: &mut World, point: &str) {
    world.arm_and_subscribe(point);
    let name = world.named("imaged");
    let mut one = task(&name, "test -e /bin/busybox");
    one["container"] = json!({"type": "MESOS", "mesos": {"image": {
        "type": "DOCKER", "docker": {"name": "own:latest"}, "cached": point != "image.pulled",
    }}});
    world.ledger.accept(|agent| launching(agent, &[one]));
    world.until_dead(point);
    world.revive();
    world.ledger.until(&format!("{point}: the task is over"), |ledger| ledger.is_over(&name));
}

/// An archive of `docker save` with one layer, that has busybox.
pub(crate) fn make_image(directory: &Path) {
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(directory).output().expect(program);
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    fs::create_dir_all(directory.join("root/bin")).expect("a directory");
    fs::copy("/bin/busybox", directory.join("root/bin/busybox")).expect("busybox");
    std::os::unix::fs::symlink("busybox", directory.join("root/bin/sh")).expect("a link");
    run("tar", &["-C", "root", "-cf", "layer.tar", "bin"]);
    let digest = run("sha256sum", &["layer.tar"]);
    let digest = digest.split_whitespace().next().expect("a digest");
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    fs::write(directory.join("config.json"), config.to_string()).expect("a file");
    let manifest = json!([{"Config": "config.json", "RepoTags": ["own:latest"], "Layers": ["layer.tar"]}]);
    fs::write(directory.join("manifest.json"), manifest.to_string()).expect("a file");
    run("tar", &["--force-local", "-cf", "own:latest.tar", "manifest.json", "config.json", "layer.tar"]);
}

/// A volume is made and destroyed, with operations that the framework hears of.
pub(crate) fn operation(world: &mut World, point: &str) {
    world.arm_and_subscribe(point);
    let role = world.named("round");
    let reserved = json!({
        "name": "disk", "type": "SCALAR", "scalar": {"value": 64.0}, "allocation_info": {"role": role},
        "reservations": [{"type": "DYNAMIC", "role": role}],
    });
    let mut volume = reserved.clone();
    volume["disk"] = json!({"persistence": {"id": "v"}, "volume": {"container_path": "data", "mode": "RW"}});
    let reserve =
        json!({"type": "RESERVE", "id": {"value": "reserve"}, "reserve": {"resources": [reserved]}});
    let create = json!({"type": "CREATE", "id": {"value": "create"}, "create": {"volumes": [volume]}});
    let destroy = json!({"type": "DESTROY", "id": {"value": "destroy"}, "destroy": {"volumes": [volume]}});
    let unreserve =
        json!({"type": "UNRESERVE", "id": {"value": "unreserve"}, "unreserve": {"resources": [reserved]}});
    let mut dead = false;
    for pair in [[("reserve", reserve), ("create", create)], [("destroy", destroy), ("unreserve", unreserve)]]
    {
        for (id, operation) in pair {
            dead = perform(world, point, id, &operation, dead);
        }
    }
    if !dead {
        world.until_dead(point);
        world.revive();
    }
    let directory = world.cluster.home.path().join("agent-0/volumes/roles").join(&role).join("v");
    eventually("the volume is gone", PATIENCE, || (!directory.exists()).then_some(()));
    let agent = world.cluster.agents[0].address;
    eventually("no operation is under way", PATIENCE, || {
        let answer = operate(agent, &json!({"type": "GET_OPERATIONS"}));
        answer["get_operations"]["operations"].as_array().is_none_or(Vec::is_empty).then_some(())
    });
    assert_eq!(world.cluster.agents[0].json("/state")["reserved_resources"], json!({}), "{point}");
}

/// Has an operation done, again where it was lost with the agent. Whether the agent has died by then.
fn perform(world: &mut World, point: &str, id: &str, operation: &Value, mut dead: bool) -> bool {
    for attempt in 0.. {
        assert!(attempt < 20, "{point}: {id} is never done");
        let name = format!("{id}-{attempt}");
        let mut operation = operation.clone();
        operation["id"] = json!({"value": name});
        world.ledger.accept(|_| json!([operation]));
        let mut died = false;
        let agent = &mut world.cluster.agents[0];
        world.ledger.until(&format!("{point}: {name} is done"), |ledger| {
            died = !dead && agent.ended().is_some();
            died || ledger.operations.contains_key(&name)
        });
        if died {
            world.until_dead(point);
            world.revive();
            dead = true;
            world.ledger.until(&format!("{point}: {name} is done after all"), |ledger| {
                ledger.operations.contains_key(&name)
            });
        }
        match world.ledger.operations[&name].as_str() {
            "OPERATION_FINISHED" => break,
            // It did not reach the agent, or names what was before: it is tried again.
            "OPERATION_DROPPED" | "OPERATION_ERROR" => {}
            other => panic!("{point}: {name} is {other}"),
        }
    }
    dead
}

/// The agent dies while it recovers.
pub(crate) fn recovery(world: &mut World, point: &str) {
    world.cluster.agents[0].kill();
    let files = world.cluster.home.path().to_owned();
    match name_of(point) {
        "recovery.orphan_destroyed" => {
            fs::create_dir(files.join("run-0/containers/orphan")).expect("a directory");
        }
        name if name.starts_with("checkpoint.boot_id") => {
            fs::remove_file(files.join("agent-0/meta/boot_id")).expect("a boot");
        }
        "recovery.agent_recovered" => {
            // Reconfigured: it has more than before.
            world.cluster.agents[0].set_flag("reconfiguration_policy", "additive");
            world.cluster.agents[0].set_flag("attributes", "rack:[0-7]");
        }
        _ => {}
    }
    world.arm(point);
    world.until_dead(point);
    // A second death in the same place is no worse.
    world.arm(point);
    if !name_of(point).ends_with("orphan_destroyed") && !name_of(point).ends_with("after") {
        world.until_dead(point);
    }
    world.revive();
}

/// The executor of a task dies in place of the agent.
pub(crate) fn executor(world: &mut World, point: &str) {
    world.revive();
    world.arm_and_subscribe("gc.removing:1000");
    let name = world.named("doomed");
    let mut one = task(&name, "sleep 0.2");
    let variable = json!({"name": "MESOS_FAIL_POINT", "value": point});
    one["command"]["environment"]["variables"].as_array_mut().expect("variables").push(variable);
    world.ledger.accept(|agent| launching(agent, &[one]));
    world.ledger.until(&format!("{point}: the task is over"), |ledger| ledger.is_over(&name));
    assert_eq!(world.ledger.state(&name), "TASK_FAILED", "{point}: {:?}", world.ledger.states());
    let printed = find(&world.cluster.home.path().join("agent-0/slaves"), &format!("executors/{name}/runs"));
    assert!(printed.contains(&format!("fail point {}: dying", name_of(point))), "{point}: {printed}");
}

/// What was printed to the standard errors below directories with that in their path.
fn find(directory: &Path, words: &str) -> String {
    let mut found = String::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push_str(&find(&path, words));
        } else if entry.file_name() == "stderr" && path.to_string_lossy().contains(words) {
            found.push_str(&fs::read_to_string(&path).unwrap_or_default());
        }
    }
    found
}

/// The agent begins, drains or leaves.
pub(crate) fn leaving(world: &mut World, point: &str) {
    let name = name_of(point);
    if name.starts_with("checkpoint.libprocess_pid") {
        return driver(world, point);
    }
    if name.starts_with("checkpoint.no_agent") {
        world.arm_and_subscribe(point);
        world.cluster.agents[0].leave();
    } else if name.contains("drain") {
        return drain(world, point);
    } else {
        // A new agent on an old machine.
        world.cluster.agents[0].kill();
        fs::remove_file(world.meta().join("slaves/latest")).expect("a link");
        world.arm(point);
    }
    world.until_dead(point);
    world.revive();
    eventually("there is one agent", PATIENCE, || {
        let state = world.cluster.master.json("/slaves");
        let agents = state["slaves"].as_array()?;
        (agents.len() == 1 && agents[0]["active"] == true).then_some(())
    });
}

/// A task is drained.
fn drain(world: &mut World, point: &str) {
    world.arm_and_subscribe(point);
    let name = world.named("drained");
    world.ledger.accept(|agent| launching(agent, &[task(&name, "exec sleep 77403")]));
    world.ledger.until("it runs", |ledger| ledger.state(&name) == "TASK_RUNNING");
    let master = world.cluster.master.address;
    let agents = operate(master, &json!({"type": "GET_AGENTS"}));
    let id = agents["get_agents"]["agents"][0]["agent_info"]["id"].clone();
    operate(master, &json!({"type": "DRAIN_AGENT", "drain_agent": {"agent_id": id}}));
    world.until_dead(point);
    world.revive();
    world.ledger.until("the task is drained", |ledger| ledger.is_over(&name));
    eventually("the agent is drained", PATIENCE, || {
        let agents = operate(master, &json!({"type": "GET_AGENTS"}));
        (agents["get_agents"]["agents"][0]["drain_info"]["state"] == "DRAINED").then_some(())
    });
    operate(master, &json!({"type": "REACTIVATE_AGENT", "reactivate_agent": {"agent_id": id}}));
}

/// An executor with a driver registers; the test is the driver.
fn driver(world: &mut World, point: &str) {
    world.arm_and_subscribe(point);
    let name = world.named("driven");
    let mut one = task(&name, "");
    one["executor"] = json!({
        "executor_id": {"value": name}, "framework_id": world.ledger.id,
        "command": {"value": "exec sleep 77404"}, "resources": one["resources"],
    });
    one.as_object_mut().expect("a task").remove("command");
    let mut agent_id = Value::Null;
    world.ledger.accept(|agent| {
        agent_id = agent.clone();
        launching(agent, &[one])
    });
    let agent = world.cluster.agents[0].address;
    let under_way = |state: Value| {
        let executors = state["frameworks"][0]["executors"].as_array()?.clone();
        executors.iter().any(|executor| executor["id"] == json!(name)).then_some(())
    };
    eventually("the executor is there", PATIENCE, || under_way(world.cluster.agents[0].json("/state")));
    let process = Process::start("executor(1)").expect("a process");
    let mut link = process.connect(agent).expect("a connection");
    let text = |value: &Value| value["value"].as_str().expect("an id").to_owned();
    let message = RegisterExecutorMessage {
        framework_id: v1::FrameworkId { value: text(&world.ledger.id) },
        executor_id: v1::ExecutorId { value: name.clone() },
    };
    let (own, to) = (process.pid.clone(), format!("slave(1)@{agent}"));
    let body = prost::Message::encode_to_vec(&message);
    // It dies before it answers, perhaps.
    let _ = process.post(&mut link, &own, &to, "mesos.internal.RegisterExecutorMessage", &body);
    world.until_dead(point);
    world.revive();
    world.ledger.until("the task is over", |ledger| ledger.is_over(&name));
}

/// What was of a task is removed.
pub(crate) fn garbage(world: &mut World, point: &str) {
    world.arm_and_subscribe(point);
    let name = world.named("wasted");
    world.ledger.accept(|agent| launching(agent, &[task(&name, "true")]));
    world.until_dead(point);
    world.revive();
    world.ledger.until("the task is over", |ledger| ledger.is_over(&name));
    world.ledger.call(json!({"type": "TEARDOWN"}));
    let home = world.cluster.home.path().to_owned();
    let text = world.ledger.id["value"].as_str().expect("an id").to_owned();
    eventually("nothing is kept of it", PATIENCE, || {
        let of = |place: &str| {
            let agents = fs::read_dir(home.join(place)).into_iter().flatten().flatten();
            let mut agents = agents.filter(|agent| agent.file_name() != "latest");
            agents.any(|agent| agent.path().join("frameworks").join(&text).exists())
        };
        (!of("agent-0/slaves") && !of("agent-0/meta/slaves")).then_some(())
    });
    world.ledger = crate::ledger::Ledger::subscribe(world.cluster.master.address, &world.named("after"));
}
