//! G13: a thousand real containers through master and agent, launched by one ACCEPT and then killed; and whether the last
//! takes longer than the tenth.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use e2e::{Cluster, Daemon, Fleet};
use serde_json::{Value, json};

use crate::containers::Options;
use crate::containers::contestants::left_behind;
use crate::measure::{Spread, float, process_cpu_us, round};
use crate::report::Report;

/// Launches a second.
const LAUNCH_GOAL: f64 = 300.0;

/// Destroys a second.
const DESTROY_GOAL: f64 = 450.0;

/// Private memory of an executor, in kB.
const EXECUTOR_GOAL: f64 = 1536.0;

/// What a launch among all may take, against one among ten.
const GROWTH_GOAL: f64 = 1.2;

/// Launches one by one, at either end.
const SINGLE: usize = 25;

const RUNNING: &str = "TASK_RUNNING";

/// How long anything may take before the run is given up.
const PATIENCE: Duration = Duration::from_secs(180);

struct World {
    fleet: Fleet,
    cluster: Cluster,
    root: String,
}

/// Launches them, kills them, and audits what is left.
pub(crate) fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    ensure!(options.containers > 4 * SINGLE, "--containers is more than {}", 4 * SINGLE);
    let mut world = World::start()?;
    // The first ones warm up: files are read, memory is taken.
    world.launch("warm", 10)?;
    let few = world.one_by_one("few")?;
    let bulk = options.containers - 10 - 2 * SINGLE;
    let cpu = world.cpu_us()?;
    let began = Instant::now();
    world.launch("bulk", bulk)?;
    let launch_rate = float(bulk) / began.elapsed().as_secs_f64();
    let launch_cpu = (world.cpu_us()? - cpu) / float(bulk);
    let many = world.one_by_one("many")?;
    let executor = world.executor_kb();
    let cpu = world.cpu_us()?;
    let began = Instant::now();
    world.kill_all()?;
    let told = began.elapsed();
    world.until_no_cgroup()?;
    let destroy_rate = float(options.containers) / began.elapsed().as_secs_f64();
    let destroy_cpu = (world.cpu_us()? - cpu) / float(options.containers);
    let killed = world.fleet.count("TASK_KILLED");
    ensure!(killed == options.containers, "of {} tasks {killed} were killed", options.containers);
    let growth = many.median / few.median;
    report.line("");
    report.line(&format!("{} containers through master and agent (G13)", options.containers));
    report.line(&format!(
        "  launches a second   {launch_rate:>7.0}   master and agent {launch_cpu:.0} us of CPU each"
    ));
    report.line(&format!(
        "  destroys a second   {destroy_rate:>7.0}   master and agent {destroy_cpu:.0} us of CPU each; all told after {:.1} s",
        told.as_secs_f64()
    ));
    report.line(&format!(
        "  one launch, ms      {:>7.2} among ten, {:.2} among {}: {growth:.2} times",
        few.median / 1e3,
        many.median / 1e3,
        options.containers
    ));
    report.line(&format!(
        "  one executor        {:>7.0} kB of memory that it shares with nobody (G22)",
        executor.median
    ));
    report.json(&json!({
        "benchmark": "containers-churn", "executor_private_kb": executor.json(), "containers": options.containers,
        "launches_per_s": round(launch_rate), "destroys_per_s": round(destroy_rate),
        "launch_cpu_us": round(launch_cpu), "destroy_cpu_us": round(destroy_cpu),
        "one_among_ten_us": few.json(), "one_among_all_us": many.json(), "growth": round(growth),
    }));
    report.goal(launch_rate >= LAUNCH_GOAL, || format!("{launch_rate:.0} launches/s, goal {LAUNCH_GOAL}"));
    report
        .goal(destroy_rate >= DESTROY_GOAL, || format!("{destroy_rate:.0} destroys/s, goal {DESTROY_GOAL}"));
    report.goal(growth <= GROWTH_GOAL, || {
        format!("the last launches take {growth:.2} times the first, goal {GROWTH_GOAL}")
    });
    report.goal(executor.median <= EXECUTOR_GOAL, || {
        format!("an executor has {:.0} kB of its own", executor.median)
    });
    let (root, home) = (world.root.clone(), world.cluster.home.path().to_owned());
    let mut complaints = std::mem::take(&mut world.fleet.complaints);
    // Master and agent have the directory on their command lines, not in their environment.
    let left = left_behind(&root, &home.to_string_lossy());
    complaints.extend(left.iter().map(|(what, count)| format!("{count} {what} are left")));
    report.audit("containers churn", &complaints);
    for hierarchy in containerizer::facts().hierarchies.values() {
        // What is still in use tells of containers that are left, and that has been told.
        let _ = fs::remove_dir(Path::new(hierarchy).join(&root));
    }
    Ok(())
}

impl World {
    fn start() -> anyhow::Result<Self> {
        let root = format!("mesos-bench-churn-{}", std::process::id());
        let agent_flags = [
            "--launcher=linux".to_owned(),
            format!("--cgroups_root={root}"),
            "--isolation=filesystem/linux,cgroups/cpu,cgroups/mem,cgroups/pids,namespaces/pid,namespaces/ipc"
                .to_owned(),
            "--switch_user=false".to_owned(),
        ];
        let options = e2e::Options {
            resources: "cpus:200;mem:200000;disk:100000;ports:[31000-31099]".to_owned(),
            agent_flags: agent_flags.into(),
            ..e2e::Options::default()
        };
        let cluster = Cluster::start(&options)?;
        let fleet = Fleet::subscribe(cluster.master.address, "churn");
        Ok(Self { fleet, cluster, root })
    }

    /// Launches so many on one offer and waits until all run.
    fn launch(&mut self, name: &str, count: usize) -> anyhow::Result<()> {
        let tasks = (0..count).map(|n| task(&format!("{name}-{n}"))).collect();
        let goal = self.fleet.count(RUNNING) + count;
        self.fleet.launch(tasks, PATIENCE)?;
        self.fleet.until("all tasks run", PATIENCE, |fleet| fleet.count(RUNNING) >= goal)
    }

    /// Microseconds from offer to TASK_RUNNING, one after the other.
    fn one_by_one(&mut self, name: &str) -> anyhow::Result<Spread> {
        let mut took = Vec::new();
        for n in 0..SINGLE {
            self.fleet.until_offered(0.1, PATIENCE)?;
            let began = Instant::now();
            self.launch(&format!("{name}-{n}"), 1)?;
            took.push(began.elapsed().as_secs_f64() * 1e6);
        }
        Ok(Spread::of(took))
    }

    fn kill_all(&mut self) -> anyhow::Result<()> {
        let all: Vec<_> = self.fleet.states.keys().cloned().collect();
        all.iter().for_each(|task| self.fleet.kill(task));
        self.fleet.until("all tasks ended", PATIENCE, |fleet| fleet.count("TASK_KILLED") >= all.len())
    }

    /// Waits until no container has a cgroup.
    fn until_no_cgroup(&self) -> anyhow::Result<()> {
        let hierarchies = containerizer::facts().hierarchies;
        let roots: Vec<_> = hierarchies.values().map(|path| Path::new(path).join(&self.root)).collect();
        let deadline = Instant::now() + PATIENCE;
        while roots.iter().any(|root| has_directories(root)) {
            ensure!(Instant::now() < deadline, "containers are left after {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Private memory of our executors, in kB, at the median.
    fn executor_kb(&self) -> Spread {
        let home = self.cluster.home.path().to_string_lossy().into_owned();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let executors = entries.filter(|entry| {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0);
            let sandboxed =
                || fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&home));
            words.next().is_some_and(|name| name.ends_with(b"mesos-executor")) && sandboxed()
        });
        Spread::of(executors.filter_map(|entry| private_kb(&entry.path())))
    }

    /// CPU of master and agent; that of executors is not theirs.
    fn cpu_us(&self) -> anyhow::Result<f64> {
        let daemons = [&self.cluster.master, &self.cluster.agents[0]];
        daemons.iter().map(|daemon| cpu_us(daemon)).sum()
    }
}

fn cpu_us(daemon: &Daemon) -> anyhow::Result<f64> {
    process_cpu_us(&daemon.pid().to_string(), 2).context("a daemon has ended")
}

fn has_directories(path: &Path) -> bool {
    fs::read_dir(path).into_iter().flatten().flatten().any(|entry| entry.path().is_dir())
}

/// Memory of a process that it shares with nobody.
fn private_kb(process: &Path) -> Option<f64> {
    let text = fs::read_to_string(process.join("smaps_rollup")).ok()?;
    let private = text.lines().filter(|line| line.starts_with("Private_"));
    Some(private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).sum())
}

fn task(name: &str) -> Value {
    json!({
        "name": name,
        "command": {"shell": false, "value": "/bin/sleep", "arguments": ["sleep", "86413"]},
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 64}},
        ],
    })
}
