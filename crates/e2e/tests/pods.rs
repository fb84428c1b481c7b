//! Pods through master and agent: task groups, their containers in the default executor's, and the calls about them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::{Answer, Cluster, Framework, Options, Stream, binary, eventually, request};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

fn info() -> Value {
    json!({"user": "root", "name": "pods", "failover_timeout": 60.0, "checkpoint": true,
           "capabilities": [{"type": "TASK_KILLING_STATE"}]})
}

fn resources() -> Value {
    json!([
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
        {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
        {"name": "disk", "type": "SCALAR", "scalar": {"value": 8}},
    ])
}

/// A task of a pod, which sees the pod's directory `shared`.
fn task(id: &str, command: &str) -> Value {
    let path = json!({"type": "PARENT", "path": "shared"});
    let source = json!({"type": "SANDBOX_PATH", "sandbox_path": path});
    let volume = json!({"mode": "RW", "container_path": "shared", "source": source});
    json!({
        "name": id, "task_id": {"value": id}, "resources": resources(), "command": {"value": command},
        "container": {"type": "MESOS", "volumes": [volume]},
    })
}

struct Pod {
    cluster: Cluster,
    framework: Framework,
    /// The states of each task, in order, without repeats.
    states: BTreeMap<String, Vec<String>>,
    /// The last update of each task.
    last: BTreeMap<String, Value>,
}

impl Pod {
    fn launch(agent_flags: &[String], tasks: Vec<Value>) -> Self {
        let options = Options { agent_flags: agent_flags.to_vec(), ..Options::default() };
        let cluster = Cluster::start(&options).expect("a cluster");
        let framework = Framework::subscribe(cluster.master.address, &info());
        let mut pod = Self { cluster, framework, states: BTreeMap::new(), last: BTreeMap::new() };
        pod.accept(tasks);
        pod
    }

    fn accept(&mut self, mut tasks: Vec<Value>) {
        let offers = self.framework.stream.until("an offer", |e| e["type"] == "OFFERS").expect("an offer");
        let offer = &offers["offers"]["offers"][0];
        for task in &mut tasks {
            task["agent_id"] = offer["agent_id"].clone();
        }
        let executor = json!({
            "type": "DEFAULT", "executor_id": {"value": "pod"}, "framework_id": self.framework.id,
            "resources": resources(),
        });
        self.framework.call(json!({"type": "ACCEPT", "accept": {
            "offer_ids": [offer["id"]],
            "operations": [{"type": "LAUNCH_GROUP", "launch_group": {
                "executor": executor, "task_group": {"tasks": tasks},
            }}],
            "filters": {"refuse_seconds": 1000},
        }}));
    }

    /// Reads updates, and acknowledges them, until one makes this true.
    fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        while !done(self) {
            let event = self.framework.stream.until(what, |e| e["type"] == "UPDATE").expect("an update");
            let status = event["update"]["status"].clone();
            if status["uuid"].is_string() {
                self.framework.call(json!({"type": "ACKNOWLEDGE", "acknowledge": {
                    "agent_id": status["agent_id"], "task_id": status["task_id"], "uuid": status["uuid"],
                }}));
            }
            let task = status["task_id"]["value"].as_str().expect("an id").to_owned();
            let state = status["state"].as_str().expect("a state").to_owned();
            let states = self.states.entry(task.clone()).or_default();
            if states.last() != Some(&state) {
                states.push(state);
            }
            self.last.insert(task, status);
        }
    }

    fn until_all_run(&mut self, tasks: usize) {
        self.until("all run", |pod| {
            pod.last.values().filter(|status| status["state"] == "TASK_RUNNING").count() == tasks
        });
    }

    fn is(&self, task: &str, state: &str) -> bool {
        self.last.get(task).is_some_and(|status| status["state"] == state)
    }

    /// The executor's sandbox.
    fn sandbox(&self) -> PathBuf {
        let state = self.cluster.agents[0].json("/state");
        let executors = ["executors", "completed_executors"];
        let frameworks = ["frameworks", "completed_frameworks"];
        let found = frameworks.iter().find_map(|list| {
            let framework = state[list].as_array()?.first()?;
            executors.iter().find_map(|list| framework[list].as_array()?.first())
        });
        found.expect("an executor")["directory"].as_str().expect("a path").into()
    }

    fn agent(&self, call: &Value) -> Answer {
        let headers = [("Content-Type", "application/json"), ("Accept", "application/json")];
        let body = serde_json::to_vec(call).expect("json");
        let address = self.cluster.agents[0].address;
        request(address, "POST", "/api/v1", &headers, &body).expect("an answer")
    }

    /// Nothing is left of any container: no process with a sandbox below the agent's directory, and no mark.
    fn until_nothing_is_left(&self) {
        let work_dir = self.cluster.home.path().join("agent-0");
        eventually("all processes are gone", PATIENCE, || processes_of(&work_dir).is_empty().then_some(()));
        let marks = self.cluster.home.path().join("run-0/containers");
        eventually("all marks are gone", PATIENCE, || {
            (fs::read_dir(&marks).into_iter().flatten().count() == 0).then_some(())
        });
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        for agent in &mut self.cluster.agents {
            agent.kill();
        }
        // What a failed test leaves running.
        for pid in processes_of(&self.cluster.home.path().join("agent-0")) {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

/// The processes whose sandbox is below that directory, and the helpers beside them.
fn processes_of(directory: &Path) -> BTreeSet<i32> {
    let home = directory.parent().expect("a parent").to_string_lossy().into_owned();
    let sandbox = format!("MESOS_SANDBOX={}", directory.display());
    let mentions = |path: String, text: &str| {
        fs::read(path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(text))
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let helper = format!("--status\0{home}");
        mentions(format!("/proc/{pid}/environ"), &sandbox)
            || mentions(format!("/proc/{pid}/cmdline"), &helper)
    })
    .collect()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port()
}

/// A pod whose three tasks share a directory; one serves it over HTTP.
fn a_pod_lives_through_a_restart(agent_flags: &[String]) {
    let port = free_port();
    let mut server =
        task("server", &format!("cd shared && exec python3 -m http.server {port} --bind 127.0.0.1"));
    server["health_check"] = json!({
        "type": "HTTP", "http": {"port": port, "path": "/page", "scheme": "http"},
        "delay_seconds": 0.1, "interval_seconds": 0.2, "grace_period_seconds": 60.0,
    });
    let mut writer = task("writer", "export INSIDE=1; echo shared words > shared/page; exec sleep 73101");
    // It sees the task's sandbox and its environment, as it was launched.
    let check = "grep -q words shared/page && [ \"$MESOS_SANDBOX\" = \"$PWD\" ] && [ -z \"$INSIDE\" ]; exit $(($? + 3))";
    writer["check"] = json!({
        "type": "COMMAND", "command": {"command": {"value": check}},
        "delay_seconds": 0.1, "interval_seconds": 0.2,
    });
    let reader = task("reader", "until [ -e shared/end ]; do sleep 0.1; done; exit 7");
    let mut pod = Pod::launch(agent_flags, vec![server, writer, reader]);
    pod.until("the server is healthy", |pod| {
        pod.last.get("server").is_some_and(|status| status["healthy"] == json!(true))
    });
    pod.until("the writer is checked", |pod| {
        pod.last.get("writer").is_some_and(|it| it["check_status"]["command"]["exit_code"] == json!(3))
    });
    pod.until_all_run(3);
    let sandbox = pod.sandbox();
    let page = sandbox.join("tasks/writer/shared/page");
    assert_eq!(fs::read_to_string(&page).expect("the page"), "shared words\n", "{}", page.display());
    assert_eq!(fs::read_to_string(sandbox.join("shared/page")).expect("the page"), "shared words\n");
    let containers: BTreeSet<String> = pod
        .last
        .values()
        .map(|status| status["container_status"]["container_id"]["value"].to_string())
        .collect();
    assert_eq!(containers.len(), 3, "each task has a container of its own");
    let before = processes_of(&pod.cluster.home.path().join("agent-0"));
    pod.cluster.agents[0].restart().expect("an agent");
    eventually("the agent has recovered", PATIENCE, || {
        let found = pod.agent(&json!({"type": "GET_CONTAINERS", "get_containers": {"show_nested": true}}));
        let found: Value = serde_json::from_slice(&found.body).ok()?;
        // A check may be under way.
        (found["get_containers"]["containers"].as_array()?.len() >= 4).then_some(())
    });
    let after = processes_of(&pod.cluster.home.path().join("agent-0"));
    let same = before.intersection(&after).count();
    assert!(same >= 6, "an executor, three tasks and their helpers live on: {before:?} {after:?}");
    // One fails, and the others are killed for it.
    fs::write(sandbox.join("shared/end"), "").expect("a file");
    pod.until("the pod has ended", |pod| {
        pod.is("reader", "TASK_FAILED") && pod.is("writer", "TASK_KILLED") && pod.is("server", "TASK_KILLED")
    });
    assert_eq!(pod.last["reader"]["message"], "Command exited with status 7");
    assert_eq!(pod.last["writer"]["message"], "Command terminated with signal Terminated");
    assert_eq!(
        pod.states["writer"],
        ["TASK_STARTING", "TASK_RUNNING", "TASK_KILLING", "TASK_KILLED"],
        "the whole story"
    );
    pod.until_nothing_is_left();
}

#[test]
fn a_pod_lives_through_a_restart_of_the_agent() {
    a_pod_lives_through_a_restart(&[]);
}

#[test]
fn root_a_pod_in_namespaces_lives_through_a_restart_of_the_agent() {
    let freezer = Path::new("/sys/fs/cgroup/freezer/cgroup.procs");
    if !rustix::process::geteuid().is_root() || !freezer.exists() {
        eprintln!("SKIPPED: this needs root and cgroups of version 1");
        return;
    }
    let root = format!("mesos-e2e-{}-pod", std::process::id());
    let isolation = "--isolation=filesystem/linux,namespaces/pid,namespaces/ipc,cgroups/cpu,cgroups/mem";
    a_pod_lives_through_a_restart(&[
        "--launcher=linux".to_owned(),
        format!("--cgroups_root={root}"),
        isolation.to_owned(),
    ]);
    for controller in ["freezer", "cpu", "memory", "cpuacct"] {
        let path = Path::new("/sys/fs/cgroup").join(controller).join(&root);
        let left =
            || fs::read_dir(&path).into_iter().flatten().flatten().filter(|it| it.path().is_dir()).count();
        eventually("all cgroups are gone", PATIENCE, || (left() == 0).then_some(()));
        let _ = fs::remove_dir(&path);
    }
}

#[test]
fn a_pod_is_launched_as_a_whole_or_not_at_all() {
    // The second has no program that could be run; the first is not left alone.
    let mut broken = task("broken", "unused");
    broken["container"]["volumes"][0]["source"]["sandbox_path"]["path"] = json!("../elsewhere");
    let mut pod = Pod::launch(&[], vec![task("good", "exec sleep 73102"), broken]);
    pod.until("both have ended", |pod| pod.is("good", "TASK_KILLED") && pod.is("broken", "TASK_FAILED"));
    let message = pod.last["broken"]["message"].to_string();
    assert!(message.contains("'../elsewhere' in 'SandboxPath' volume is not a path below"), "{message}");
    pod.until_nothing_is_left();
}

#[test]
fn an_executor_that_is_killed_takes_its_containers_along() {
    let mut pod = Pod::launch(&[], vec![task("a", "exec sleep 73103"), task("b", "exec sleep 73104")]);
    pod.until_all_run(2);
    let container = pod.cluster.agents[0].json("/containers")[0]["container_id"].clone();
    let answer = pod
        .agent(&json!({"type": "KILL_CONTAINER", "kill_container": {"container_id": {"value": container}}}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    // Its containers end before it does: it may see one fail and have the other killed for that.
    let ended = |pod: &Pod, task| pod.is(task, "TASK_FAILED") || pod.is(task, "TASK_KILLED");
    pod.until("both have ended", |pod| ended(pod, "a") && ended(pod, "b"));
    pod.until_nothing_is_left();
}

#[test]
fn a_session_looks_into_a_task_and_ends_with_its_caller() {
    let mut pod = Pod::launch(&[], vec![task("a", "echo kept > file; echo words; exec sleep 73107")]);
    pod.until_all_run(1);
    let around = pod.last["a"]["container_status"]["container_id"].clone();
    let launch = |value: &str, command: &str| {
        json!({"type": "LAUNCH_NESTED_CONTAINER_SESSION", "launch_nested_container_session": {
            "container_id": {"value": value, "parent": around}, "command": {"value": command},
        }})
    };
    let address = pod.cluster.agents[0].address;
    let mut session =
        Stream::open(address, "/api/v1", &launch("look", "cat file; pwd >&2")).expect("a stream");
    let mut printed: BTreeMap<String, String> = BTreeMap::new();
    while let Ok(Some(record)) = session.next(Duration::from_secs(30)) {
        let (kind, data) =
            (record["data"]["type"].to_string(), record["data"]["data"].as_str().expect("data"));
        printed.entry(kind).or_default().push_str(data);
    }
    // "kept\n" in base64.
    assert_eq!(printed["\"STDOUT\""], "a2VwdAo=", "{printed:?}");
    assert!(printed.contains_key("\"STDERR\""), "{printed:?}");
    let id = json!({"value": "look", "parent": around});
    let wait = pod.agent(&json!({"type": "WAIT_CONTAINER", "wait_container": {"container_id": id}}));
    let ended: Value = serde_json::from_slice(&wait.body).expect("json");
    assert_eq!(ended["wait_container"]["exit_status"], 0, "{ended}");
    // One that goes on for long ends with its caller.
    let command = "echo begun; exec sleep 73108";
    let mut session = Stream::open(address, "/api/v1", &launch("long", command)).expect("a stream");
    session.until("it begins", |record| record["data"]["type"] == "STDOUT").expect("output");
    drop(session);
    let id = json!({"value": "long", "parent": around});
    let wait = pod.agent(&json!({"type": "WAIT_CONTAINER", "wait_container": {"container_id": id}}));
    let ended: Value = serde_json::from_slice(&wait.body).expect("json");
    assert_eq!(ended["wait_container"]["exit_status"], 9, "{ended}");
    let master = format!("--master={}", pod.cluster.master.address);
    let mesos = |words: &[&str]| {
        let output = std::process::Command::new(binary()).args(words).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(mesos(&["task", "exec", &master, "a", "cat", "file"]), (Some(0), "kept\n".to_owned()));
    assert_eq!(mesos(&["task", "exec", &master, "a", "sh", "-c", "exit 3"]), (Some(3), String::new()));
    assert_eq!(mesos(&["task", "log", &master, "a"]), (Some(0), "words\n".to_owned()));
    assert!(pod.is("a", "TASK_RUNNING"), "the task is as it was");
    pod.framework.call(json!({"type": "TEARDOWN"}));
    pod.until_nothing_is_left();
}

#[test]
fn mesos_execute_runs_a_group() {
    let cluster = Cluster::start(&Options::default()).expect("a cluster");
    let group = json!({"tasks": [
        {"name": "a", "task_id": {"value": "a"}, "agent_id": {"value": ""}, "resources": resources(),
         "command": {"value": "echo words of a; sleep 0.5; exit 5"}},
        {"name": "b", "task_id": {"value": "b"}, "agent_id": {"value": ""}, "resources": resources(),
         "command": {"value": "echo words of b; exec sleep 73109"}},
    ]});
    let file = cluster.home.path().join("group.json");
    fs::write(&file, group.to_string()).expect("a file");
    let output = std::process::Command::new(binary())
        .args(["execute", &format!("--master={}", cluster.master.address)])
        .arg(format!("--task_group=file://{}", file.display()))
        .output()
        .expect("it runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(5), "{stdout} {stderr}");
    assert!(stdout.contains("words of a") && stdout.contains("words of b"), "{stdout} {stderr}");
    assert!(stderr.contains("Submitted task group with tasks [ a, b ]"), "{stderr}");
    assert!(stderr.contains("TASK_KILLED for task 'b'"), "{stderr}");
}

#[test]
fn containers_stand_alone() {
    let mut pod = Pod::launch(&[], vec![task("a", "exec sleep 73105")]);
    pod.until_all_run(1);
    let id = json!({"value": "alone"});
    let launch = json!({"type": "LAUNCH_CONTAINER", "launch_container": {
        "container_id": id, "command": {"value": "echo here > file; exec sleep 73106"},
    }});
    assert_eq!(pod.agent(&launch).status, 200);
    assert_eq!(pod.agent(&launch).status, 202, "it runs already");
    let sandbox = pod.cluster.home.path().join("agent-0/containers/alone");
    eventually("it writes", PATIENCE, || {
        fs::read_to_string(sandbox.join("file")).ok().filter(|it| it == "here\n")
    });
    pod.cluster.agents[0].restart().expect("an agent");
    let kill = json!({"type": "KILL_CONTAINER", "kill_container": {"container_id": id, "signal": 15}});
    eventually("it is killed", PATIENCE, || (pod.agent(&kill).status == 200).then_some(()));
    let wait = pod.agent(&json!({"type": "WAIT_CONTAINER", "wait_container": {"container_id": id}}));
    let ended: Value = serde_json::from_slice(&wait.body).expect("json");
    assert_eq!(ended["wait_container"]["exit_status"], 15, "{ended}");
    assert_eq!(pod.agent(&kill).status, 404);
    let remove = json!({"type": "REMOVE_CONTAINER", "remove_container": {"container_id": id}});
    assert_eq!(pod.agent(&remove).status, 200);
    assert!(!sandbox.exists(), "its sandbox is gone");
    pod.framework.call(json!({"type": "TEARDOWN"}));
    pod.until_nothing_is_left();
}
