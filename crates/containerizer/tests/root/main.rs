//! Containers of the Linux launcher on the real kernel: what each isolator enforces, and that nothing is left of any.
//!
//! Each test has cgroups of its own, of the version that the machine works with: `machine.rs` runs the same tests once more
//! on a machine with version 2. Where the machine lacks something a test says so on its standard error, and is over.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]

mod cgroups;
mod gpus;
mod machine;
mod private;
mod xfs;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use containerizer::{
    Config, Containerizer, Device, DiskSettings, Facts, Isolation, Limits, Notice, PerfSettings, Program,
    Settings, Spec, facts, parse_perf_events, prepare_cgroups,
};
use fetcher::Fetcher;
use proto::mesos::slave::{ContainerConfig, ContainerTermination};
use proto::mesos::v1::cgroup_info::blkio;
use proto::mesos::v1::linux_info::IpcMode;
use proto::mesos::v1::r_limit_info::{RLimit, r_limit};
use proto::mesos::v1::task_status::Reason;
use proto::mesos::v1::{CommandInfo, ContainerInfo, LinuxInfo, RLimitInfo, Resource, TaskState, value};
use tempfile::TempDir;
use tokio::sync::mpsc;
use types::ContainerId;

const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    directory: TempDir,
    facts: Facts,
    settings: Settings,
    root: String,
    containerizer: Containerizer,
    notices: mpsc::Receiver<Notice>,
    mounts: usize,
}

/// A containerizer with these isolators and cgroups below a root of its own; none where the machine cannot.
fn world(name: &str, isolation: &str, adjust: impl FnOnce(&mut Settings)) -> Option<World> {
    let facts = facts();
    let isolation = match Isolation::parse(isolation, Some("linux"), &facts) {
        Ok(isolation) => isolation,
        Err(error) => {
            eprintln!("SKIPPED {name}: {error}");
            return None;
        }
    };
    let root = format!("mesos-test-{}-{name}", std::process::id());
    let mut settings = Settings { cgroups_root: root.clone(), ..Settings::new(isolation) };
    adjust(&mut settings);
    let directory = tempfile::tempdir().unwrap();
    prepare_cgroups(&settings, &facts).unwrap();
    let (containerizer, notices) = containerizer(&directory, &facts, &settings);
    let mounts = mounts(directory.path());
    Some(World { directory, facts, settings, root, containerizer, notices, mounts })
}

fn containerizer(
    directory: &TempDir,
    facts: &Facts,
    settings: &Settings,
) -> (Containerizer, mpsc::Receiver<Notice>) {
    let (sender, notices) = mpsc::channel(16);
    (Containerizer::new(config(directory, facts, settings), sender), notices)
}

fn config(directory: &TempDir, facts: &Facts, settings: &Settings) -> Config {
    let fetcher = Fetcher::new(fetcher::Config {
        cache_dir: directory.path().join("cache"),
        cache_bytes_max: 1 << 20,
        stall_timeout: Duration::from_secs(5),
        frameworks_home: String::new(),
        hadoop: None,
        limits: fetcher::Limits::default(),
    });
    let launcher = PathBuf::from(env!("CARGO_BIN_EXE_mesos-containerizer"));
    Config {
        settings: settings.clone(),
        facts: facts.clone(),
        runtime_dir: Some(directory.path().join("run")),
        disk: DiskSettings { interval: Duration::from_millis(50), enforce: true },
        counts_processes: true,
        perf: Some(PerfSettings {
            events: parse_perf_events("task-clock,context-switches").unwrap(),
            interval: Duration::from_millis(100),
            duration: Duration::from_millis(50),
        }),
        ..Config::posix(launcher, Arc::new(fetcher.unwrap()))
    }
}

/// The machine's mounts that a container of this test could have made: in its directory, or where isolators mount. Others
/// come and go with other tests.
fn mounts(directory: &Path) -> usize {
    let own = directory.to_string_lossy().into_owned();
    let of_isolators = ["/proc", "/sys", "/dev", "/dev/shm", "/dev/pts", "/dev/mqueue"];
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let place = |line: &str| line.split(' ').nth(4).unwrap_or_default().to_owned();
    mounts.lines().filter(|line| line.contains(&own) || of_isolators.contains(&place(line).as_str())).count()
}

fn scalar(name: &str, value: f64) -> Resource {
    Resource {
        name: name.to_owned(),
        r#type: value::Type::Scalar.into(),
        scalar: Some(value::Scalar { value }),
        ..Resource::default()
    }
}

impl World {
    fn spec(&self, container: &str, script: &str) -> Spec {
        let directory = self.directory.path().join(container);
        fs::create_dir_all(&directory).unwrap();
        let sandbox = directory.to_str().unwrap().to_owned();
        let command = CommandInfo { value: Some(script.to_owned()), ..CommandInfo::default() };
        Spec {
            container: ContainerId::root(container),
            directory,
            user: None,
            uris: Vec::new(),
            program: Program::of(&command).unwrap(),
            environment: vec![
                ("PATH".to_owned(), "/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
                ("MESOS_SANDBOX".to_owned(), sandbox),
            ],
            resources: vec![scalar("cpus", 0.5), scalar("mem", 64.0), scalar("disk", 8.0)],
            limits: Limits::new(),
            volumes: Vec::new(),
            info: None,
            is_command_task: false,
            image: None,
            forked_pid_path: None,
            by_name: None,
        }
    }

    async fn notice(&mut self) -> Notice {
        tokio::time::timeout(PATIENCE, self.notices.recv()).await.expect("a notice in time").unwrap()
    }

    async fn launched(&mut self) -> u32 {
        match self.notice().await {
            Notice::Launched { pid, .. } => pid,
            other => panic!("{other:?}"),
        }
    }

    async fn exited(&mut self) -> ContainerTermination {
        match self.notice().await {
            Notice::Exited { termination, .. } => *termination,
            other => panic!("{other:?}"),
        }
    }

    /// Runs a container to its end; how it ended and what it printed.
    async fn run(&mut self, spec: Spec) -> (ContainerTermination, String) {
        let output = spec.directory.join("stdout");
        self.containerizer.launch(spec);
        self.launched().await;
        (self.exited().await, fs::read_to_string(output).unwrap())
    }

    fn is_v2(&self) -> bool {
        self.facts.unified.is_some()
    }

    /// Checks a file of a container's cgroup: `cpu/cpu.shares` on version 1 or `cpu.weight` on version 2.
    #[track_caller]
    fn check(&self, container: &str, v1: (&str, &str), v2: (&str, &str)) {
        let (found, expected) = match (self.is_v2(), v1.0.split_once('/')) {
            (true, _) => (self.cgroup("", container, v2.0), v2.1),
            (false, Some((controller, file))) => (self.cgroup(controller, container, file), v1.1),
            (false, None) => panic!("{v1:?}"),
        };
        assert_eq!(found, expected, "{v1:?} {v2:?}");
    }

    /// A file of a container's cgroup.
    fn cgroup(&self, controller: &str, container: &str, file: &str) -> String {
        let path = self.cgroup_path(controller).join(container).join(file);
        fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            .trim()
            .to_owned()
    }

    fn cgroup_path(&self, controller: &str) -> PathBuf {
        let hierarchy = match &self.facts.unified {
            Some(unified) => &unified.path,
            None => &self.facts.hierarchies[controller],
        };
        Path::new(hierarchy).join(&self.root)
    }

    /// Whether a file of the sandbox has been written.
    async fn wrote(&self, container: &str, file: &str) -> String {
        let path = self.directory.path().join(container).join(file);
        eventually(|| fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n'))).await
    }
}

impl Drop for World {
    /// Nothing is left: no cgroup, no mount, no mark.
    fn drop(&mut self) {
        let mut left = Vec::new();
        let unified = self.facts.unified.iter().map(|unified| &unified.path);
        for hierarchy in self.facts.hierarchies.values().chain(unified) {
            let root = Path::new(hierarchy).join(&self.root);
            let containers = fs::read_dir(&root).into_iter().flatten().flatten();
            left.extend(containers.map(|entry| entry.path()).filter(|path| path.is_dir()));
            let _ = linux::Cgroup::at(root).destroy(PATIENCE);
        }
        if std::thread::panicking() {
            return;
        }
        assert_eq!(left, Vec::<PathBuf>::new());
        assert_eq!(mounts(self.directory.path()), self.mounts);
        let marks = fs::read_dir(self.directory.path().join("run/containers"));
        assert_eq!(marks.into_iter().flatten().count(), 0);
    }
}

async fn eventually<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "not in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn root_processes_without_a_trace_end_with_their_container() {
    let Some(mut world) = world("stray", "posix/cpu,posix/mem", |_| {}) else { return };
    // Sessions and environments of their own, and no parent: nothing but the cgroup knows them.
    let script = "for i in 1 2 3; do (setsid env -i /bin/sh -c '/bin/sleep 1000 & echo $! >> stray; wait' &) ; done
        while [ $(cat stray 2>/dev/null | wc -l) -lt 3 ]; do sleep 0.01; done; echo ready > ready; exec sleep 1000";
    world.containerizer.launch(world.spec("stray", script));
    world.launched().await;
    world.wrote("stray", "ready").await;
    let stray = world.wrote("stray", "stray").await;
    assert!(stray.lines().all(lives), "{stray}");
    let usage = world.containerizer.usage(&ContainerId::root("stray")).unwrap();
    assert!(usage.mem_rss_bytes.unwrap() > 0);
    world.containerizer.destroy(&ContainerId::root("stray"));
    assert_eq!(world.exited().await.status, Some(9));
    assert!(stray.lines().all(|pid| !lives(pid)), "{stray}");
}

#[tokio::test]
async fn root_cpus_are_held_to() {
    let Some(mut world) = world("cpu", "cgroups/cpu", |settings| settings.enable_cfs = true) else { return };
    let mut spec = world.spec("busy", "while :; do :; done");
    spec.resources = vec![scalar("cpus", 0.2), scalar("mem", 32.0)];
    world.containerizer.launch(spec);
    world.launched().await;
    let id = ContainerId::root("busy");
    world.check("busy", ("cpu/cpu.shares", "204"), ("cpu.weight", "20"));
    world.check("busy", ("cpu/cpu.cfs_quota_us", "20000"), ("cpu.max", "20000 100000"));
    let throttled = || {
        let usage = world.containerizer.usage(&id)?;
        Some(usage).filter(|usage| usage.cpus_nr_throttled.is_some_and(|count| count > 3))
    };
    let usage = eventually(throttled).await;
    assert_eq!((usage.cpus_limit, usage.cpus_soft_limit), (Some(0.2), Some(0.2)));
    assert!(usage.cpus_throttled_time_secs.unwrap() > 0.0);
    assert!(usage.cpus_nr_periods >= usage.cpus_nr_throttled);
    assert_eq!((usage.processes, usage.threads), (Some(1), Some(1)));
    // The time that it had is a fifth of the periods, give or take one of them.
    let used = usage.cpus_user_time_secs.unwrap() + usage.cpus_system_time_secs.unwrap();
    assert!(used <= 0.02 * f64::from(usage.cpus_nr_periods.unwrap() + 2) + 0.05, "{usage:?}");
    // A second task comes.
    let update = |resources, limits| world.containerizer.update(&id, resources, limits, Vec::new());
    update(vec![scalar("cpus", 0.7), scalar("mem", 32.0)], Limits::new()).unwrap();
    world.check("busy", ("cpu/cpu.cfs_quota_us", "70000"), ("cpu.max", "70000 100000"));
    let limits = [("cpus".to_owned(), value::Scalar { value: f64::INFINITY })].into();
    update(vec![scalar("cpus", 0.7)], limits).unwrap();
    world.check("busy", ("cpu/cpu.cfs_quota_us", "-1"), ("cpu.max", "max 100000"));
    // What cannot be is told.
    let refused = update(Vec::new(), Limits::new()).unwrap_err();
    let expected = match world.is_v2() {
        false => "Failed to update subsystem 'cpu': No cpus resource given",
        true => "Failed to update the 'cpu' controller: No cpu resources requested",
    };
    assert_eq!(refused, expected);
    world.containerizer.destroy(&id);
    assert_eq!(world.exited().await.status, Some(9));
}

#[tokio::test]
async fn root_memory_is_held_to() {
    let Some(mut world) = world("mem", "cgroups/mem", |_| {}) else { return };
    // What is to be the end of it is kept in memory; the shell stays, as an executor does.
    let mut spec =
        world.spec("hog", "head -c 200000000 /dev/zero | tail -c 200000000 > /dev/null; sleep 1000");
    spec.resources = vec![scalar("cpus", 0.5), scalar("mem", 40.0)];
    let (termination, _) = world.run(spec).await;
    assert_eq!(termination.reason, Some(Reason::ContainerLimitationMemory.into()));
    assert_eq!(termination.state, Some(TaskState::TaskFailed.into()));
    let message = termination.message.unwrap();
    let beginning = "Memory limit exceeded: Requested: 40MB Maximum Used: 40MB\n\nMEMORY STATISTICS: \n";
    let rest = message.strip_prefix(beginning).unwrap_or_else(|| panic!("{message}"));
    assert!(rest.starts_with(if world.is_v2() { "anon " } else { "cache " }), "{message}");
    assert_eq!(termination.limited_resources, [scalar("mem", 40.0)]);
}

#[tokio::test]
async fn root_memory_grows_and_is_counted() {
    let Some(mut world) = world("grow", "cgroups/mem", |_| {}) else { return };
    world
        .containerizer
        .launch(world.spec("grow", "head -c 5000000 /dev/zero > file; echo done > done; sleep 1000"));
    world.launched().await;
    world.wrote("grow", "done").await;
    let id = ContainerId::root("grow");
    let usage = world.containerizer.usage(&id).unwrap();
    assert_eq!(usage.mem_limit_bytes, Some(64 << 20));
    assert!(usage.mem_cache_bytes.unwrap() >= 4_000_000, "{usage:?}");
    assert!(usage.mem_total_bytes >= usage.mem_cache_bytes);
    assert_eq!(usage.mem_cache_bytes, usage.mem_file_bytes);
    let mega = |v1: &str, v2: &str| {
        let file = if world.is_v2() { v2 } else { v1 };
        world.cgroup("memory", "grow", file).parse::<u64>().unwrap() >> 20
    };
    let both = || {
        let hard = mega("memory.limit_in_bytes", "memory.max");
        (hard, mega("memory.soft_limit_in_bytes", "memory.low"))
    };
    let update = |mem: f64| {
        world.containerizer.update(&id, vec![scalar("mem", mem)], Limits::new(), Vec::new()).unwrap();
    };
    update(128.0);
    assert_eq!(both(), (128, 128));
    update(50.0);
    assert_eq!(both(), (128, 50));
    world.containerizer.destroy(&id);
    world.exited().await;
}

#[tokio::test]
async fn root_only_listed_devices_open() {
    let allowed = |settings: &mut Settings| settings.allowed_devices = vec![Device("c 1:11 w".to_owned())];
    let Some(mut world) = world("devices", "cgroups/devices,cgroups/cpuset,cgroups/pids", allowed) else {
        return;
    };
    let script = "head -c 1 /dev/zero > /dev/null && echo usual
        mknod full c 1 7 && (echo x > full || echo full) 2> /dev/null
        mknod mem c 1 1 && (head -c 1 mem > /dev/null || echo refused) 2> /dev/null
        cat /proc/self/cgroup | grep -c mesos-test";
    let spec = world.spec("devices", script);
    let (termination, output) = world.run(spec).await;
    assert_eq!(termination.status, Some(0));
    // The freezer's cgroup and those of three isolators; on version 2 there is one.
    let cgroups = if world.is_v2() { 1 } else { 4 };
    assert_eq!(output, format!("usual\nfull\nrefused\n{cgroups}\n"));
}

#[tokio::test]
async fn root_namespaces_are_its_own() {
    let isolation = "filesystem/linux,namespaces/pid,namespaces/ipc,posix/rlimits";
    let Some(mut world) = world("namespaces", isolation, |_| {}) else { return };
    let script = "[ $(ls -d /proc/[0-9]* | wc -l) -lt 10 ] && echo few; cat /proc/1/comm; ulimit -Sn; ulimit -Hn; df -k /dev/shm | tail -1 | awk '{print $2}'
        mount -t tmpfs none /mnt && touch /mnt/private && echo mounted; exit 7";
    let mut spec = world.spec("own", script);
    spec.info = Some(ContainerInfo {
        linux_info: Some(LinuxInfo {
            ipc_mode: Some(IpcMode::Private.into()),
            shm_size: Some(16),
            ..LinuxInfo::default()
        }),
        rlimit_info: Some(RLimitInfo {
            rlimits: vec![RLimit {
                r#type: Some(r_limit::Type::RlmtNofile.into()),
                hard: Some(64),
                soft: Some(32),
            }],
        }),
        ..ContainerInfo::default()
    });
    let (termination, output) = world.run(spec).await;
    assert_eq!(termination.status, Some(7 << 8), "{output}");
    assert_eq!(output, "few\nmesos-container\n32\n64\n16384\nmounted\n");
    assert!(!Path::new("/mnt/private").exists());
    // A signal that ends the command is told as a shell tells it.
    let (termination, _) = world.run(world.spec("killed", "kill -9 $$")).await;
    assert_eq!(termination.status, Some((128 + 9) << 8));
    // A destroyed init takes its namespace with it.
    world.containerizer.launch(world.spec("destroyed", "setsid sleep 1000 & echo up > up; wait"));
    world.launched().await;
    world.wrote("destroyed", "up").await;
    world.containerizer.destroy(&ContainerId::root("destroyed"));
    assert_eq!(world.exited().await.status, Some(9));
}

#[tokio::test]
async fn root_a_sandbox_too_large_ends_its_container() {
    let Some(mut world) = world("disk", "disk/du", |_| {}) else { return };
    let (termination, _) =
        world.run(world.spec("full", "head -c 20971520 /dev/zero > file; sleep 1000")).await;
    assert_eq!(termination.reason, Some(Reason::ContainerLimitationDisk.into()));
    let message = termination.message.unwrap();
    assert!(message.starts_with("Disk usage (") && message.ends_with(") exceeds quota (8MB)"), "{message}");
    assert_eq!(termination.limited_resources, [scalar("disk", 8.0)]);
}

#[tokio::test]
async fn root_a_later_agent_adopts_and_destroys() {
    let Some(mut world) = world("later", "cgroups/mem", |_| {}) else { return };
    let mut pids = Vec::new();
    for name in ["kept", "orphan"] {
        world.containerizer.launch(world.spec(name, "env -i setsid sleep 1000 & echo $! > pid; wait"));
        pids.push(world.launched().await);
        world.wrote(name, "pid").await;
    }
    let settings = Settings {
        cgroups_root: world.root.clone(),
        ..Settings::new(Isolation::parse("cgroups/mem", Some("linux"), &world.facts).unwrap())
    };
    let kept = ContainerId::root("kept");
    // The first agent is gone; its containers are not.
    let (second, notices) = containerizer(&world.directory, &world.facts, &settings);
    let _first = std::mem::replace(&mut world.containerizer, second);
    let mut before = std::mem::replace(&mut world.notices, notices);
    world.containerizer.destroy_orphans(&BTreeSet::from([kept.clone()]));
    let sandbox = world.directory.path().join("kept").to_str().unwrap().to_owned();
    world.containerizer.adopt(kept.clone(), Some(pids[0]), sandbox);
    assert_eq!(world.launched().await, pids[0]);
    let orphan = fs::read_to_string(world.directory.path().join("orphan/pid")).unwrap();
    eventually(|| (!lives(&orphan)).then_some(())).await;
    assert!(lives(&pids[0].to_string()));
    let more = vec![scalar("mem", 96.0)];
    world.containerizer.update(&kept, more, Limits::new(), Vec::new()).unwrap();
    let limit = (96_u64 << 20).to_string();
    world.check("kept", ("memory/memory.limit_in_bytes", &limit), ("memory.max", &limit));
    assert!(world.containerizer.usage(&kept).unwrap().mem_total_bytes.unwrap() > 0);
    world.containerizer.destroy(&kept);
    assert_eq!(world.exited().await.status, None);
    // This process was the parent of both, and takes note of their ends as an agent that lives does.
    for _ in 0..2 {
        let told = tokio::time::timeout(PATIENCE, before.recv()).await.unwrap().unwrap();
        assert!(matches!(told, Notice::Exited { .. }), "{told:?}");
    }
    let marks = world.directory.path().join("run/containers");
    eventually(|| (fs::read_dir(&marks).unwrap().count() == 0).then_some(())).await;
}

#[tokio::test]
async fn root_a_launch_that_fails_leaves_nothing() {
    let Some(mut world) = world("fails", "cgroups/cpu,cgroups/mem", |_| {}) else { return };
    let failed = |notice: Notice| match notice {
        Notice::Failed { message, .. } => message,
        other => panic!("{other:?}"),
    };
    let mut spec = world.spec("nomem", "true");
    spec.resources = vec![scalar("cpus", 1.0)];
    world.containerizer.launch(spec);
    let expected = match world.is_v2() {
        false => "Failed to update subsystem 'memory': No memory resource given",
        true => "No memory resources requested",
    };
    assert_eq!(failed(world.notice().await), expected);
    // A cgroup that somebody else made is neither taken nor removed.
    let taken = world.cgroup_path("memory").join("taken");
    fs::create_dir_all(&taken).unwrap();
    world.containerizer.launch(world.spec("taken", "true"));
    let message = failed(world.notice().await);
    assert_eq!(message, format!("The cgroup at '{}' already exists", taken.display()));
    assert!(taken.exists() && (world.is_v2() || !world.cgroup_path("cpu").join("taken").exists()));
    fs::remove_dir(taken).unwrap();
}
