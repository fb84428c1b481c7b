//! A cluster whose agent dies again and again, beside tasks that must not notice.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use e2e::{Cluster, Options, eventually, request};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::ledger::Ledger;
use crate::name_of;
use crate::remains::{remains, unacknowledged};

const PATIENCE: Duration = Duration::from_secs(60);

/// What a cluster is for.
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    /// Whether tasks run beside.
    keeps: bool,
    flags: Vec<String>,
    has_images: bool,
}

impl Setting {
    /// With a task and a pod that run through it all.
    pub(crate) fn new(name: &'static str) -> Self {
        // As long as can be: what is kept must not depend on how fast the machine is.
        let flags = vec!["--executor_reregistration_timeout=15secs".to_owned()];
        Self { name, keeps: true, flags, has_images: false }
    }

    /// The same, with images.
    pub(crate) fn of_images(name: &'static str) -> Self {
        Self { has_images: true, ..Self::new(name) }
    }

    /// With nothing that is kept: sandboxes are so long.
    pub(crate) fn alone(name: &'static str, gc_delay: &str) -> Self {
        let flags =
            vec!["--executor_reregistration_timeout=1secs".to_owned(), format!("--gc_delay={gc_delay}")];
        Self { name, keeps: false, flags, has_images: false }
    }
}

/// The cluster.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) root: String,
    keeper: Ledger,
    /// The framework of the round.
    pub(crate) ledger: Ledger,
    /// How many rounds there were.
    pub(crate) number: usize,
    /// What is there without anything that a round does.
    baseline: BTreeSet<String>,
    /// A file to be fetched.
    pub(crate) input: PathBuf,
}

impl World {
    pub(crate) fn start(setting: Setting) -> Self {
        let root = format!("mesos-e2e-{}-points-{}", std::process::id(), setting.name);
        let images = tempfile::tempdir().expect("a directory").keep();
        let isolation = match setting.has_images {
            true => "filesystem/linux,docker/runtime,cgroups/cpu",
            false => "filesystem/linux,cgroups/cpu,cgroups/mem",
        };
        let mut agent_flags = vec![
            "--launcher=linux".to_owned(),
            format!("--cgroups_root={root}"),
            format!("--isolation={isolation}"),
            "--registration_backoff_factor=10ms".to_owned(),
            "--image_provisioner_backend=copy".to_owned(),
        ];
        if setting.has_images {
            crate::scripts::make_image(&images);
            agent_flags.push("--image_providers=docker".to_owned());
            agent_flags.push(format!("--docker_registry={}", images.display()));
            agent_flags.push(format!("--docker_store_dir={}", images.join("store").display()));
        }
        agent_flags.extend(setting.flags);
        let options = Options {
            agent_flags,
            master_flags: vec!["--allocation_interval=100ms".to_owned()],
            ..Options::default()
        };
        let cluster = Cluster::start(&options).expect("a cluster");
        let input = images.join("input");
        fs::write(&input, "fetched\n").expect("a file");
        let keeper = Ledger::subscribe(cluster.master.address, "keeper");
        let ledger = Ledger::subscribe(cluster.master.address, "nobody");
        ledger.call(json!({"type": "SUPPRESS"}));
        let baseline = BTreeSet::new();
        let mut world = Self { cluster, root, keeper, ledger, number: 0, baseline, input };
        if setting.keeps {
            world.keep();
        }
        world.keeper.call(json!({"type": "SUPPRESS"}));
        world.keeper.close();
        world.baseline = world.remains();
        world
    }

    /// Starts the tasks that run through it all.
    fn keep(&mut self) {
        let tasks = [task("kept", "exec sleep 77400"), task("kept too", "exec sleep 77401")];
        self.keeper.accept(|agent| launch(agent, &tasks));
        self.keeper.until("the tasks run", |keeper| {
            ["kept", "kept too"].iter().all(|task| keeper.state(task) == "TASK_RUNNING")
        });
        let id = self.keeper.id.clone();
        let pod = [task("in a pod", "exec sleep 77402")];
        self.keeper.accept(|agent| group(agent, &id, &pod));
        self.keeper.until("the pod runs", |keeper| keeper.state("in a pod") == "TASK_RUNNING");
        let meta = self.meta();
        self.keeper.until("all is acknowledged", |_| unacknowledged(&meta).is_empty());
        eventually("the commands have begun", PATIENCE, || {
            let remains = self.remains();
            let begun = |command: &str| remains.iter().any(|what| what.ends_with(&format!(": {command} ")));
            ["sleep 77400", "sleep 77401", "sleep 77402"].into_iter().all(begun).then_some(())
        });
    }

    fn remains(&self) -> BTreeSet<String> {
        remains(&self.cluster, &self.root)
    }

    pub(crate) fn meta(&self) -> PathBuf {
        self.cluster.home.path().join("agent-0/meta")
    }

    /// A name of this round's own.
    pub(crate) fn named(&self, what: &str) -> String {
        format!("{what}-{}", self.number)
    }

    /// The agent dies at that point of the script, and all is well afterwards.
    pub(crate) fn round(&mut self, point: &str, script: fn(&mut Self, &str)) {
        let began = Instant::now();
        self.number += 1;
        script(self, point);
        self.settle(point);
        eprintln!("{point}: {:.1} s, {:?}", began.elapsed().as_secs_f64(), self.ledger.states());
        self.ledger.call(json!({"type": "TEARDOWN"}));
        self.ledger = Ledger::subscribe(self.cluster.master.address, &self.named("nobody"));
        self.ledger.call(json!({"type": "SUPPRESS"}));
    }

    /// Kills the agent, and starts one that will die.
    pub(crate) fn arm(&mut self, point: &str) {
        self.cluster.agents[0].restart_to_die(point).expect("an agent");
    }

    /// The same, once it is registered and a framework of this round's own is there.
    pub(crate) fn arm_and_subscribe(&mut self, point: &str) {
        // What it does until then is not counted.
        let now = self.cluster.home.path().join("now");
        // Of the first round there is none.
        let _ = fs::remove_file(&now);
        self.arm(&format!("{point}@{}", now.display()));
        self.until_registered();
        fs::write(&now, "").expect("a file");
        self.ledger = Ledger::subscribe(self.cluster.master.address, &self.named("round"));
    }

    pub(crate) fn until_registered(&mut self) {
        let address = self.cluster.agents[0].address;
        eventually("the agent is registered", PATIENCE, || {
            let answer = request(address, "GET", "/metrics/snapshot", &[], b"").ok()?;
            let metrics: Value = serde_json::from_slice(&answer.body).ok()?;
            (metrics["slave/registered"].as_f64() == Some(1.0)).then_some(())
        });
    }

    /// Waits until the agent has died at its point.
    pub(crate) fn until_dead(&mut self, point: &str) {
        let agent = &mut self.cluster.agents[0];
        let keeper = &mut self.keeper;
        let mut status = None;
        self.ledger.until(&format!("the agent dies at {point}"), |_| {
            keeper.hear(Duration::ZERO);
            status = agent.ended();
            status.is_some()
        });
        assert_eq!(status.and_then(|status| status.signal()), Some(9), "{point}");
        let log = fs::read_to_string(&agent.log).expect("a log");
        let word = format!("fail point {}: dying", name_of(point));
        let last = log.lines().rev().find(|line| line.starts_with("fail point "));
        assert_eq!(last, Some(word.as_str()), "{}", agent.log.display());
    }

    /// The agent comes back, and stays.
    pub(crate) fn revive(&mut self) {
        self.cluster.agents[0].restart().expect("an agent");
        self.until_registered();
    }

    /// All is told and acknowledged, nothing is left behind, and what was to be kept is there.
    fn settle(&mut self, point: &str) {
        let (meta, keeper) = (self.meta(), &mut self.keeper);
        self.ledger.until(&format!("{point}: all is acknowledged"), |_| {
            keeper.hear(Duration::ZERO);
            unacknowledged(&meta).is_empty()
        });
        self.ledger.close();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = remains(&self.cluster, &self.root);
            if now == self.baseline {
                break;
            }
            let left: Vec<_> = now.difference(&self.baseline).collect();
            let lost: Vec<_> = self.baseline.difference(&now).collect();
            assert!(Instant::now() < deadline, "{point}: left behind: {left:#?}, lost: {lost:#?}");
            self.ledger.hear(Duration::from_millis(20));
            self.keeper.hear(Duration::ZERO);
        }
        let complaints = [&self.ledger.complaints[..], &self.keeper.complaints[..]].concat();
        assert_eq!(complaints, Vec::<String>::new(), "{point}: {:?}", self.ledger.states());
    }

    pub(crate) fn end(mut self) {
        assert_eq!(self.remains(), self.baseline);
        self.keeper.call(json!({"type": "TEARDOWN"}));
        eventually("nothing is left", PATIENCE, || self.remains().is_empty().then_some(()));
        self.cluster.agents[0].kill();
        for hierarchy in fs::read_dir("/sys/fs/cgroup").expect("cgroups").flatten() {
            // Where there was none it is not there.
            let _ = fs::remove_dir(hierarchy.path().join(&self.root));
        }
        let images = self.input.parent().unwrap_or(Path::new("/nonexistent"));
        fs::remove_dir_all(images).expect("a directory of ours");
    }
}

impl Drop for World {
    /// A test that fails leaves its files to be looked at, and nothing else.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        self.cluster.agents.iter_mut().for_each(e2e::Daemon::kill);
        self.cluster.home.disable_cleanup(true);
        eprintln!("the files of the cluster are in {}", self.cluster.home.path().display());
        for cgroup in fs::read_dir(Path::new("/sys/fs/cgroup/freezer").join(&self.root)).into_iter().flatten()
        {
            let processes = cgroup.and_then(|cgroup| fs::read_to_string(cgroup.path().join("cgroup.procs")));
            let pids = processes.unwrap_or_default();
            let pids = pids.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?));
            for pid in pids {
                // It may have ended by itself.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

fn scalar(name: &str, value: f64) -> Value {
    json!({"name": name, "type": "SCALAR", "scalar": {"value": value}})
}

/// A task with a shell command. Its executor comes back to a restarted agent without delay.
pub(crate) fn task(name: &str, command: &str) -> Value {
    let variable = json!({"name": "MESOS_SUBSCRIPTION_BACKOFF_MAX", "value": "100ms"});
    json!({
        "name": name, "task_id": {"value": name},
        "command": {"value": command, "environment": {"variables": [variable]}},
        "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)],
    })
}

fn on(agent: &Value, tasks: &[Value]) -> Vec<Value> {
    let mut tasks = tasks.to_vec();
    tasks.iter_mut().for_each(|task| task["agent_id"] = agent.clone());
    tasks
}

/// The operations that launch these.
pub(crate) fn launch(agent: &Value, tasks: &[Value]) -> Value {
    json!([{"type": "LAUNCH", "launch": {"task_infos": on(agent, tasks)}}])
}

/// The same for a group, of which the default executor is told of the framework.
pub(crate) fn group(agent: &Value, framework: &Value, tasks: &[Value]) -> Value {
    let executor = json!({
        "type": "DEFAULT", "executor_id": {"value": "pod"}, "framework_id": framework,
        "resources": [scalar("cpus", 0.1), scalar("mem", 32.0), scalar("disk", 8.0)],
    });
    json!([{"type": "LAUNCH_GROUP", "launch_group": {
        "executor": executor, "task_group": {"tasks": on(agent, tasks)},
    }}])
}
