//! What containers' processes may do, on the real kernel. Each refusal has its control: the same program without the
//! isolator does what it is refused with it.
//!
//! These need root. Where the machine lacks something a test says so on its standard error, and is over.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use containerizer::{
    Config, Containerizer, Facts, Isolation, Limits, Notice, Program, Security, Settings, Spec, facts,
    read_seccomp_profile,
};
use fetcher::Fetcher;
use proto::mesos::v1::{CapabilityInfo, CommandInfo, ContainerInfo, LinuxInfo, SeccompInfo, TtyInfo};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use types::{Capabilities, ContainerId};

const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody who is not root.
const NOBODY: u32 = 65534;

/// The wait status of a command that ended well, and the one of a command that the kernel killed for a call.
const WELL: Option<i32> = Some(0);
const SIGSYS: i32 = 31;

const CHOWN: i32 = 1000;
const KILL: i32 = 1005;
const SYS_RESOURCE: i32 = 1024;

struct World {
    directory: TempDir,
    isolation: String,
    security: Security,
    facts: Facts,
    count: usize,
}

/// A machine with these isolators; none where the tests cannot be had.
fn world(isolation: &str) -> Option<World> {
    let facts = facts();
    if !facts.root {
        eprintln!("SKIPPED {isolation}: this needs root");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    // Another user's sandbox is below.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    Some(World { directory, isolation: isolation.to_owned(), security: Security::default(), facts, count: 0 })
}

/// How a container ended, and what it printed.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    status: Option<i32>,
    output: String,
}

impl World {
    fn config(&self) -> Config {
        let fetcher = Fetcher::new(fetcher::Config {
            cache_dir: self.directory.path().join("cache"),
            cache_bytes_max: 1 << 20,
            stall_timeout: Duration::from_secs(5),
            frameworks_home: String::new(),
            hadoop: None,
            limits: fetcher::Limits::default(),
        });
        let launcher = if self.isolation.contains("filesystem/linux") { "linux" } else { "posix" };
        let isolation = Isolation::parse(&self.isolation, Some(launcher), &self.facts).unwrap();
        let launcher = PathBuf::from(env!("CARGO_BIN_EXE_mesos-containerizer"));
        Config {
            settings: Settings {
                security: self.security.clone(),
                cgroups_root: self.cgroups_root(),
                ..Settings::new(isolation)
            },
            runtime_dir: Some(self.directory.path().join("run")),
            facts: self.facts.clone(),
            seccomp_config_dir: Some(self.directory.path().to_owned()),
            ..Config::posix(launcher, Arc::new(fetcher.unwrap()))
        }
    }

    fn cgroups_root(&self) -> String {
        format!("mesos-test-{}-{}", std::process::id(), self.isolation.replace(['/', ','], "-"))
    }

    /// A container to be.
    fn spec(&mut self, user: u32, linux: LinuxInfo, script: &str) -> Spec {
        self.count += 1;
        let name = format!("c{}", self.count);
        let directory = self.directory.path().join(&name);
        fs::create_dir(&directory).unwrap();
        chown(&directory, Some(user), Some(user)).unwrap();
        let command = CommandInfo { value: Some(script.to_owned()), ..CommandInfo::default() };
        Spec {
            container: ContainerId::root(name.as_str()),
            directory: directory.clone(),
            user: (user != 0).then(|| user.to_string()),
            uris: Vec::new(),
            program: Program::of(&command).unwrap(),
            environment: vec![("MESOS_SANDBOX".to_owned(), directory.to_str().unwrap().to_owned())],
            resources: Vec::new(),
            limits: Limits::new(),
            volumes: Vec::new(),
            info: Some(ContainerInfo { linux_info: Some(linux), ..ContainerInfo::default() }),
            is_command_task: false,
            image: None,
            forked_pid_path: None,
            by_name: None,
        }
    }

    /// Runs a script as that user to its end. An error is why it did not begin.
    async fn run(&mut self, user: u32, linux: LinuxInfo, script: &str) -> Result<Outcome, String> {
        let spec = self.spec(user, linux, script);
        let directory = spec.directory.clone();
        let (sender, mut notices) = mpsc::channel(16);
        let containerizer = Containerizer::new(self.config(), sender);
        containerizer.launch(spec);
        loop {
            match tokio::time::timeout(PATIENCE, notices.recv()).await.expect("a notice in time").unwrap() {
                Notice::Launched { .. } => {}
                Notice::Failed { message, .. } | Notice::UpdateFailed { message, .. } => return Err(message),
                Notice::Exited { termination, .. } => {
                    let output =
                        ["stdout", "stderr"].map(|it| fs::read_to_string(directory.join(it)).unwrap());
                    return Ok(Outcome { status: termination.status, output: output.concat() });
                }
            }
        }
    }

    /// The first container's sandbox.
    fn first_sandbox(&self) -> PathBuf {
        self.directory.path().join("c1")
    }

    /// Runs a script that must end well; what it printed.
    async fn prints(&mut self, user: u32, linux: LinuxInfo, script: &str) -> String {
        let outcome = self.run(user, linux, script).await.unwrap();
        assert_eq!(outcome.status, WELL, "{}", outcome.output);
        outcome.output
    }

    /// Writes a profile that allows all but what the rules say.
    fn profile(&self, name: &str, rules: &Value) {
        let map = json!([{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []}]);
        let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "archMap": map, "syscalls": rules});
        fs::write(self.directory.path().join(name), profile.to_string()).unwrap();
    }
}

impl Drop for World {
    /// Nothing is left: no cgroup, no mount, no note.
    fn drop(&mut self) {
        if !self.isolation.contains("filesystem/linux") {
            return;
        }
        let mut left = Vec::new();
        let unified = self.facts.unified.iter().map(|unified| &unified.path);
        for hierarchy in self.facts.hierarchies.values().chain(unified) {
            let root = Path::new(hierarchy).join(self.cgroups_root());
            let containers = fs::read_dir(&root).into_iter().flatten().flatten();
            left.extend(containers.map(|entry| entry.path()).filter(|path| path.is_dir()));
            let _ = linux::Cgroup::at(root).destroy(PATIENCE);
        }
        if std::thread::panicking() {
            return;
        }
        assert_eq!(left, Vec::<PathBuf>::new());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.directory.path().to_str().unwrap()), "{mounts}");
        let notes = fs::read_dir(self.directory.path().join("run/containers"));
        assert_eq!(notes.into_iter().flatten().count(), 0);
    }
}

fn set(capabilities: &[i32]) -> Option<CapabilityInfo> {
    Some(CapabilityInfo { capabilities: capabilities.to_vec() })
}

fn effective(capabilities: &[i32]) -> LinuxInfo {
    LinuxInfo { effective_capabilities: set(capabilities), ..LinuxInfo::default() }
}

fn named(profile: &str) -> LinuxInfo {
    let seccomp = Some(SeccompInfo { profile_name: Some(profile.to_owned()), unconfined: None });
    LinuxInfo { seccomp, ..LinuxInfo::default() }
}

/// Gives a file away and says how that went, and what the process has.
const GIVE_AWAY: &str = "touch f; chown 1 f 2> /dev/null && echo gave || echo kept; grep -E 'Cap(Prm|Eff|Bnd|Amb)' /proc/self/status | cut -c 21-24";

#[tokio::test]
async fn root_has_the_capabilities_that_its_container_has() {
    let Some(mut plain) = world("posix/cpu") else { return };
    assert!(plain.prints(0, effective(&[KILL]), GIVE_AWAY).await.starts_with("gave\n"), "the control");
    let mut world = world("linux/capabilities").unwrap();
    // The lowest of the bits: CHOWN is 1, KILL is 0x20.
    assert_eq!(world.prints(0, effective(&[KILL]), GIVE_AWAY).await, "kept\n0020\n0020\n0020\n0020\n");
    assert_eq!(world.prints(0, effective(&[CHOWN]), GIVE_AWAY).await, "gave\n0001\n0001\n0001\n0001\n");
    assert_eq!(world.prints(0, effective(&[]), GIVE_AWAY).await, "kept\n0000\n0000\n0000\n0000\n");
    // Root has all that files can bring.
    let both = LinuxInfo { bounding_capabilities: set(&[CHOWN, KILL]), ..effective(&[KILL]) };
    assert_eq!(world.prints(0, both, GIVE_AWAY).await, "gave\n0021\n0021\n0021\n0020\n");
    let bounding = LinuxInfo { bounding_capabilities: set(&[KILL]), ..LinuxInfo::default() };
    assert_eq!(world.prints(0, bounding, GIVE_AWAY).await, "kept\n0020\n0020\n0020\n0000\n");
    // Who does not ask has what the agent's flags say.
    assert!(world.prints(0, LinuxInfo::default(), GIVE_AWAY).await.starts_with("gave\n"));
    world.security.effective = Some(Capabilities::from_bits(0x20));
    assert_eq!(world.prints(0, LinuxInfo::default(), GIVE_AWAY).await, "kept\n0020\n0020\n0020\n0020\n");
}

#[tokio::test]
async fn root_other_users_have_the_capabilities_of_their_container() {
    let Some(mut plain) = world("posix/cpu") else { return };
    let nothing = plain.prints(NOBODY, effective(&[CHOWN]), GIVE_AWAY).await;
    assert!(nothing.starts_with("kept\n0000\n0000\n"), "the control: {nothing}");
    let mut world = world("linux/capabilities").unwrap();
    assert_eq!(world.prints(NOBODY, effective(&[CHOWN]), GIVE_AWAY).await, "gave\n0001\n0001\n0001\n0001\n");
    assert_eq!(world.prints(NOBODY, effective(&[KILL]), GIVE_AWAY).await, "kept\n0020\n0020\n0020\n0020\n");
    let bounding = LinuxInfo { bounding_capabilities: set(&[CHOWN]), ..LinuxInfo::default() };
    assert_eq!(world.prints(NOBODY, bounding, GIVE_AWAY).await, "kept\n0000\n0000\n0001\n0000\n");
}

#[tokio::test]
async fn root_capabilities_that_nobody_can_give_are_refused() {
    let Some(mut world) = world("linux/capabilities") else { return };
    world.security.bounding = Some(Capabilities::from_bits(1));
    let refused = world.run(0, effective(&[KILL]), "true").await.unwrap_err();
    assert_eq!(refused, "Requested capabilities '{ KILL }', but only '{ CHOWN }' are allowed");
    // What the agent itself lacks on this machine, or would.
    world.security.bounding = None;
    let lacking = Capabilities::from_bits(1 << (SYS_RESOURCE - 1000));
    world.facts.capabilities = world.facts.capabilities.without(lacking);
    let refused = world.run(0, effective(&[SYS_RESOURCE]), "true").await.unwrap_err();
    assert_eq!(
        refused,
        "Requested capabilities '{ SYS_RESOURCE }', but the agent itself does not have '{ SYS_RESOURCE }'"
    );
}

#[tokio::test]
async fn root_files_bring_no_privileges() {
    // A program of root's that runs as root whoever starts it.
    let script = "./program -u";
    for (isolation, expected) in [("posix/cpu", "0\n"), ("linux/nnp", "65534\n")] {
        let Some(mut world) = world(isolation) else { return };
        let program = world.directory.path().join("program");
        fs::copy("/usr/bin/id", &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
        let script = format!("cd ..; {script}");
        assert_eq!(world.prints(NOBODY, LinuxInfo::default(), &script).await, expected, "{isolation}");
    }
}

#[tokio::test]
async fn root_calls_fail_or_kill_as_the_profile_says() {
    let Some(mut plain) = world("posix/cpu") else { return };
    let script = "mkdir d; echo $? $(ls -d d 2> /dev/null)";
    assert_eq!(plain.prints(0, named("errno.json"), script).await, "0 d\n", "the control");
    let mut world = world("linux/seccomp").unwrap();
    let call = |action: &str| json!([{"names": ["mkdir", "mkdirat"], "action": action, "errnoRet": 28}]);
    world.profile("errno.json", &call("SCMP_ACT_ERRNO"));
    world.profile("kill.json", &call("SCMP_ACT_KILL"));
    world.profile("log.json", &call("SCMP_ACT_LOG"));
    let errno = world.prints(0, named("errno.json"), script).await;
    assert!(errno.starts_with("1\n") && errno.contains("No space left on device"), "{errno}");
    let killed = world.prints(0, named("kill.json"), script).await;
    assert!(killed.starts_with(&format!("{}\n", 128 + SIGSYS)), "{killed}");
    let outcome = world.run(0, named("kill.json"), "exec mkdir d").await.unwrap();
    assert_eq!(outcome.status.map(|status| status & 0x7f), Some(SIGSYS));
    assert_eq!(world.prints(0, named("log.json"), script).await, "0 d\n");
    // The agent's own choice, and one's way out of it.
    let machine = world.facts.seccomp.unwrap();
    let default = read_seccomp_profile(world.directory.path(), "errno.json", machine).unwrap();
    world.security.seccomp = Some(Arc::new(default));
    assert!(world.prints(0, LinuxInfo::default(), script).await.starts_with("1\n"));
    let seccomp = Some(SeccompInfo { profile_name: None, unconfined: Some(true) });
    let unconfined = LinuxInfo { seccomp, ..LinuxInfo::default() };
    assert_eq!(world.prints(0, unconfined, script).await, "0 d\n");
    let refused = world.run(0, named("none.json"), "true").await.unwrap_err();
    assert!(refused.starts_with("Failed to read Seccomp profile file '"), "{refused}");
}

#[tokio::test]
async fn root_a_profile_need_not_let_through_what_the_helper_does() {
    let script = format!("{GIVE_AWAY}; mkdir d; echo $?");
    for isolation in [
        "linux/seccomp",
        "linux/seccomp,linux/nnp",
        "linux/seccomp,linux/capabilities",
        "linux/seccomp,linux/capabilities,linux/nnp",
    ] {
        let Some(mut world) = world(isolation) else { return };
        let calls = [
            "mkdir",
            "mkdirat",
            "capset",
            "prctl",
            "setuid",
            "setgid",
            "setgroups",
            "setresuid",
            "setresgid",
            "seccomp",
            "mount",
            "umount2",
            "unshare",
            "setns",
        ];
        world.profile("strict.json", &json!([{"names": calls, "action": "SCMP_ACT_ERRNO"}]));
        let linux = LinuxInfo { effective_capabilities: set(&[CHOWN]), ..named("strict.json") };
        for user in [0, NOBODY] {
            let output = world.prints(user, linux.clone(), &script).await;
            let sets = match (user, isolation.contains("capabilities")) {
                (_, true) => "gave\n0001\n0001\n0001\n0001\n1\n",
                (NOBODY, false) => "kept\n0000\n0000\n",
                (_, false) => "gave\n",
            };
            assert!(
                output.starts_with(sets) && output.contains("Operation not permitted"),
                "{isolation}: {output}"
            );
        }
    }
}

#[tokio::test]
async fn root_a_profile_knows_what_its_container_can_have() {
    let Some(mut world) = world("linux/seccomp,linux/capabilities") else { return };
    let rules = json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_KILL"]}}]);
    world.profile("a.json", &rules);
    let with =
        |capabilities: &[i32]| LinuxInfo { effective_capabilities: set(capabilities), ..named("a.json") };
    let script = "mkdir d 2> /dev/null; echo $?";
    assert_eq!(world.prints(0, with(&[CHOWN]), script).await, "1\n");
    assert_eq!(world.prints(0, with(&[CHOWN, KILL]), script).await, "0\n");
}

/// The isolators of a container with users of its own.
const USERS: &str = "filesystem/linux,namespaces/user";

/// A world of those isolators; none where the launcher they need cannot be had.
fn world_of_users(isolation: &str) -> Option<World> {
    let world = world(isolation)?;
    if let Some(why) = world.facts.why_no_linux_launcher() {
        eprintln!("SKIPPED {isolation}: {why}");
        return None;
    }
    Some(world)
}

/// Tries what only the machine's root can do, and says who it is.
const POWER: &str = "id -u; id -g; for i in u g; do cut -c 1-10,12-21 /proc/self/${i}id_map | tr -d ' '; done
    echo mine > file; chown 5:6 file; stat -c '%u:%g' . file; stat -c %u /etc/shadow
    cat /etc/shadow > /dev/null 2>&1 && echo read || echo hidden
    mount -t tmpfs none /mnt 2> /dev/null && echo mounted || echo not mounted
    echo said >> /dev/stdout";

#[tokio::test]
async fn root_inside_is_nobody_outside() {
    let Some(mut plain) = world_of_users("filesystem/linux") else { return };
    let output = plain.prints(0, LinuxInfo::default(), POWER).await;
    assert!(output.ends_with("0\nread\nmounted\nsaid\n"), "the control: {output}");
    let mut world = world_of_users(USERS).unwrap();
    world.security.ids = "[1000000-1196607]".parse().unwrap();
    let output = world.prints(0, LinuxInfo::default(), POWER).await;
    let expected = "0\n0\n01000000\n01000000\n0:0\n5:6\n65534\nhidden\nnot mounted\nsaid\n";
    assert_eq!(output, expected);
    // On disk files belong to whom they belong to inside.
    let file = fs::metadata(world.first_sandbox().join("file")).unwrap();
    assert_eq!((file.uid(), file.gid()), (5, 6));
    // Another user is himself, and has what is his.
    let script = "id -u; echo mine > file; stat -c '%u:%g' . file; chown 5 file 2> /dev/null || echo kept";
    assert_eq!(
        world.prints(NOBODY, LinuxInfo::default(), script).await,
        "65534\n65534:65534\n65534:65534\nkept\n"
    );
    let refused = world.run(70000, LinuxInfo::default(), "true").await.unwrap_err();
    assert_eq!(refused, "The user id 70000 is not among the 65536 of a container with a user namespace");
}

#[tokio::test]
async fn root_a_terminal_belongs_to_the_user_inside() {
    let Some(mut world) = world_of_users("filesystem/linux,namespaces/user,namespaces/ipc") else { return };
    world.security.ids = "[1000000-1196607]".parse().unwrap();
    let (sender, mut notices) = mpsc::channel(16);
    let containerizer = Containerizer::new(world.config(), sender);
    for user in [0, NOBODY] {
        let script = "stat -c %u $(tty); echo to-it > $(tty)";
        let mut spec = world.spec(user, LinuxInfo::default(), script);
        spec.info = Some(ContainerInfo { tty_info: Some(TtyInfo::default()), ..ContainerInfo::default() });
        let directory = spec.directory.clone();
        containerizer.launch(spec);
        loop {
            match tokio::time::timeout(PATIENCE, notices.recv()).await.unwrap().unwrap() {
                Notice::Exited { termination, .. } => break assert_eq!(termination.status, WELL),
                Notice::Launched { .. } => {}
                other @ (Notice::Failed { .. } | Notice::UpdateFailed { .. }) => panic!("{other:?}"),
            }
        }
        let printed = fs::read_to_string(directory.join("stdout")).unwrap();
        assert_eq!(printed, format!("{user}\r\nto-it\r\n"));
    }
}

#[tokio::test]
async fn root_no_two_containers_have_the_same_users() {
    let Some(mut world) = world_of_users("filesystem/linux,namespaces/user,namespaces/pid") else { return };
    world.security.ids = "[1000000-1131071]".parse().unwrap();
    let (sender, mut notices) = mpsc::channel(16);
    let containerizer = Containerizer::new(world.config(), sender);
    let mut failed = Vec::new();
    let mut ids = Vec::new();
    let mut sandboxes = Vec::new();
    for _ in 0..3 {
        let spec = world.spec(0, LinuxInfo::default(), "cat /proc/self/uid_map > map; sleep 71234");
        sandboxes.push(spec.directory.clone());
        containerizer.launch(spec);
        match tokio::time::timeout(PATIENCE, notices.recv()).await.unwrap().unwrap() {
            Notice::Launched { .. } => {}
            Notice::Failed { message, .. } => failed.push(message),
            other @ (Notice::Exited { .. } | Notice::UpdateFailed { .. }) => panic!("{other:?}"),
        }
    }
    assert_eq!(failed, ["All 2 ranges of user ids in --userns_range=[1000000-1131071] are in use"]);
    for sandbox in &sandboxes[..2] {
        let deadline = std::time::Instant::now() + PATIENCE;
        let map = loop {
            let map = fs::read_to_string(sandbox.join("map")).unwrap_or_default();
            if map.ends_with('\n') {
                break map;
            }
            assert!(std::time::Instant::now() < deadline, "not in time");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        ids.push(map.split_ascii_whitespace().nth(1).unwrap().to_owned());
    }
    assert_eq!(ids, ["1000000", "1065536"]);
    // An agent that comes after this one knows who has which.
    let (sender, mut later) = mpsc::channel(16);
    let adopting = Containerizer::new(world.config(), sender);
    for (name, sandbox) in ["c1", "c2"].iter().zip(&sandboxes) {
        adopting.adopt(ContainerId::root(*name), None, sandbox.to_str().unwrap().to_owned());
    }
    let spec = world.spec(0, LinuxInfo::default(), "true");
    adopting.launch(spec);
    let mut refused = None;
    while refused.is_none() {
        match tokio::time::timeout(PATIENCE, later.recv()).await.unwrap().unwrap() {
            Notice::Failed { message, .. } => refused = Some(message),
            Notice::Launched { .. } | Notice::Exited { .. } | Notice::UpdateFailed { .. } => {}
        }
    }
    for name in ["c1", "c2"] {
        containerizer.destroy(&ContainerId::root(name));
        tokio::time::timeout(PATIENCE, notices.recv()).await.unwrap().unwrap();
    }
    assert_eq!(refused.unwrap(), failed[0]);
}

#[tokio::test]
async fn root_users_of_a_container_have_capabilities_and_filters_too() {
    let Some(mut world) = world_of_users("filesystem/linux,namespaces/user,linux/capabilities,linux/seccomp")
    else {
        return;
    };
    world.profile("a.json", &json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]));
    for user in [0, NOBODY] {
        let linux = LinuxInfo { effective_capabilities: set(&[CHOWN]), ..named("a.json") };
        let output = world.prints(user, linux, &format!("{GIVE_AWAY}; mkdir d 2> /dev/null; echo $?")).await;
        assert_eq!(output, "gave\n0001\n0001\n0001\n0001\n1\n", "{user}");
    }
}
