//! Containers that really run: exits, signals, kills of whole trees, environments, users, floods.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use containerizer::{Config, Containerizer, Limits, Notice, Program, Spec, Volume, users};
use fetcher::Fetcher;
use proto::mesos::v1::command_info::Uri;
use proto::mesos::v1::{CommandInfo, Resource, value};
use tempfile::TempDir;
use tokio::sync::mpsc;
use types::ContainerId;

const PATIENCE: Duration = Duration::from_secs(30);

struct World {
    directory: TempDir,
    containerizer: Containerizer,
    notices: mpsc::Receiver<Notice>,
}

fn world() -> World {
    let directory = tempfile::tempdir().unwrap();
    // The sandboxes' users must get through.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let fetcher = Fetcher::new(fetcher::Config {
        cache_dir: directory.path().join("cache"),
        cache_bytes_max: 1 << 20,
        stall_timeout: Duration::from_secs(5),
        frameworks_home: String::new(),
        hadoop: None,
        limits: fetcher::Limits::default(),
    });
    let (sender, notices) = mpsc::channel(16);
    let launcher = PathBuf::from(env!("CARGO_BIN_EXE_mesos-containerizer"));
    let config = Config::posix(launcher, Arc::new(fetcher.unwrap()));
    World { directory, containerizer: Containerizer::new(config, sender), notices }
}

fn shell(text: &str) -> CommandInfo {
    CommandInfo { value: Some(text.to_owned()), ..CommandInfo::default() }
}

impl World {
    fn sandbox(&self, container: &str) -> PathBuf {
        self.directory.path().join(container)
    }

    fn spec(&self, container: &str, command: &CommandInfo) -> Spec {
        let directory = self.sandbox(container);
        fs::create_dir_all(&directory).unwrap();
        let sandbox = directory.to_str().unwrap().to_owned();
        Spec {
            container: ContainerId::root(container),
            directory,
            user: None,
            uris: Vec::new(),
            program: Program::of(command).unwrap(),
            environment: vec![
                ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
                ("MESOS_SANDBOX".to_owned(), sandbox),
            ],
            resources: Vec::new(),
            volumes: Vec::new(),
            limits: Limits::new(),
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

    async fn failed(&mut self) -> String {
        match self.notice().await {
            Notice::Failed { message, .. } => message,
            other => panic!("{other:?}"),
        }
    }

    /// The status of `waitpid`.
    async fn exited(&mut self) -> Option<i32> {
        match self.notice().await {
            Notice::Exited { termination, .. } => termination.status,
            other => panic!("{other:?}"),
        }
    }

    /// Runs a command to its end; its status and what it printed.
    async fn run(&mut self, container: &str, text: &str) -> (Option<i32>, String) {
        self.containerizer.launch(self.spec(container, &shell(text)));
        self.launched().await;
        let status = self.exited().await;
        (status, self.read(container, "stdout"))
    }

    fn read(&self, container: &str, file: &str) -> String {
        fs::read_to_string(self.sandbox(container).join(file)).unwrap_or_default()
    }

    /// What a command wrote into a file of its sandbox, once it is there.
    async fn wrote(&self, container: &str, file: &str) -> String {
        eventually(|| Some(self.read(container, file)).filter(|text| text.ends_with('\n'))).await
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
async fn exits_and_signals_are_reported() {
    let mut world = world();
    assert_eq!(world.run("zero", "echo hi; echo there >&2").await, (Some(0), "hi\n".to_owned()));
    assert_eq!(world.read("zero", "stderr"), "there\n");
    assert_eq!(world.run("seven", "exit 7").await.0, Some(7 << 8));
    assert_eq!(world.run("signal", "kill -15 $$").await.0, Some(15));
    assert!(world.containerizer.containers().is_empty());
}

#[tokio::test]
async fn programs_run_without_a_shell() {
    let mut world = world();
    let command = CommandInfo {
        value: Some("echo".to_owned()),
        shell: Some(false),
        arguments: ["echo", "$HOME", "*"].map(str::to_owned).to_vec(),
        ..CommandInfo::default()
    };
    world.containerizer.launch(world.spec("argv", &command));
    world.launched().await;
    assert_eq!(world.exited().await, Some(0));
    assert_eq!(world.read("argv", "stdout"), "$HOME *\n");
    let missing = CommandInfo { value: Some("/no/such/program".to_owned()), ..command };
    world.containerizer.launch(world.spec("missing", &missing));
    world.launched().await;
    assert_eq!(world.exited().await, Some(1 << 8));
    assert!(world.read("missing", "stderr").contains("Failed to execute command"));
}

#[tokio::test]
async fn the_environment_is_exactly_the_given_one() {
    let mut world = world();
    let mut spec = world.spec("env", &shell("/usr/bin/env; pwd; cat"));
    spec.environment.push(("LINES".to_owned(), "a\nb".to_owned()));
    world.containerizer.launch(spec);
    world.launched().await;
    assert_eq!(world.exited().await, Some(0));
    let sandbox = world.sandbox("env").to_str().unwrap().to_owned();
    // What remains of PWD and its like is the shell's own.
    let text = world.read("env", "stdout");
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !["PWD=", "SHLVL=", "_=", "OLDPWD="].iter().any(|own| line.starts_with(own)))
        .collect();
    let mut sorted = lines.clone();
    sorted.sort_unstable();
    let mut expected = vec![
        "PATH=/usr/bin:/bin".to_owned(),
        format!("MESOS_SANDBOX={sandbox}"),
        "LINES=a".to_owned(),
        "b".to_owned(),
        sandbox,
    ];
    expected.sort_unstable();
    assert_eq!(sorted, expected);
}

#[tokio::test]
async fn a_command_leads_a_session_of_its_own() {
    let mut world = world();
    world.containerizer.launch(world.spec("session", &shell("cut -d' ' -f1,5,6 /proc/$$/stat")));
    let pid = world.launched().await;
    assert_eq!(world.exited().await, Some(0));
    assert_eq!(world.read("session", "stdout"), format!("{pid} {pid} {pid}\n"));
}

#[tokio::test]
async fn destroying_ends_the_whole_tree() {
    let mut world = world();
    // A child, an orphan in the session, an orphan in a session of its own, and one that ignores what can be ignored.
    let script = "sleep 1000 & echo $! >> pids
        (sleep 1000 & echo $! >> pids)
        setsid sh -c 'sleep 1000 & echo $! >> pids; sleep 1000 & echo $! >> pids'
        (trap '' TERM HUP INT; echo $$ >> pids; sleep 1000) &
        sleep 0.1; echo end >> pids; wait";
    world.containerizer.launch(world.spec("tree", &shell(script)));
    let pid = world.launched().await;
    let pids = eventually(|| Some(world.read("tree", "pids")).filter(|text| text.contains("end"))).await;
    let pids: Vec<&str> = pids.lines().filter(|line| *line != "end").collect();
    assert_eq!(pids.len(), 5);
    assert!(pids.iter().all(|pid| lives(pid)), "{pids:?}");
    assert!(world.containerizer.destroy(&ContainerId::root("tree")));
    assert_eq!(world.exited().await, Some(9));
    assert!(!lives(&pid.to_string()));
    assert!(pids.iter().all(|pid| !lives(pid)), "{pids:?}");
    assert!(!world.containerizer.destroy(&ContainerId::root("tree")));
}

#[tokio::test]
async fn what_a_command_leaves_behind_ends_with_it() {
    let mut world = world();
    let script = "setsid sh -c 'sleep 1000 & echo $! > stray' ; sleep 1000 & echo $! > child; exit 3";
    assert_eq!(world.run("left", script).await.0, Some(3 << 8));
    assert!(!lives(&world.read("left", "stray")));
    assert!(!lives(&world.read("left", "child")));
}

#[tokio::test]
async fn a_flood_of_output_does_not_hold_anything_up() {
    let mut world = world();
    let flood = "head -c 30000000 /dev/zero | tr '\\0' x";
    world.containerizer.launch(world.spec("flood", &shell(flood)));
    world.launched().await;
    assert_eq!(world.exited().await, Some(0));
    assert_eq!(fs::metadata(world.sandbox("flood").join("stdout")).unwrap().len(), 30_000_000);
}

#[tokio::test]
async fn files_are_fetched_before_the_command_begins() {
    let mut world = world();
    fs::write(world.directory.path().join("words"), "one two\n").unwrap();
    let uri = |name: &str| Uri {
        value: world.directory.path().join(name).to_str().unwrap().to_owned(),
        ..Uri::default()
    };
    let mut spec = world.spec("fetch", &shell("cat words"));
    spec.uris.push(uri("words"));
    let mut broken = world.spec("broken", &shell("true"));
    broken.uris.push(uri("missing"));
    world.containerizer.launch(spec);
    world.launched().await;
    assert_eq!(world.exited().await, Some(0));
    assert_eq!(world.read("fetch", "stdout"), "one two\n");
    world.containerizer.launch(broken);
    assert!(world.failed().await.contains("Failed to fetch"));
}

#[tokio::test]
async fn destroying_gives_up_a_download() {
    let mut world = world();
    // A server that takes the request and never answers.
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut spec = world.spec("slow", &shell("true"));
    spec.uris.push(Uri { value: format!("http://{}/file", server.local_addr().unwrap()), ..Uri::default() });
    world.containerizer.launch(spec);
    let (_connection, _) = tokio::time::timeout(PATIENCE, server.accept()).await.unwrap().unwrap();
    assert_eq!(world.containerizer.launching(), [ContainerId::root("slow")]);
    assert!(world.containerizer.destroy(&ContainerId::root("slow")));
    assert_eq!(world.failed().await, "Container is being destroyed during launching");
    assert!(world.containerizer.containers().is_empty());
}

#[tokio::test]
async fn the_forked_pid_is_written_down() {
    let mut world = world();
    let mut spec = world.spec("pid", &shell("cat ../pids/forked.pid"));
    spec.forked_pid_path = Some(world.directory.path().join("pids/forked.pid"));
    world.containerizer.launch(spec);
    let pid = world.launched().await;
    assert_eq!(world.exited().await, Some(0));
    // It was there when the command began.
    assert_eq!(world.read("pid", "stdout"), pid.to_string());
}

#[tokio::test]
async fn another_agent_adopts_what_runs() {
    let mut first = world();
    first.containerizer.launch(first.spec("kept", &shell("echo $$ > own; sleep 1000")));
    let pid = first.launched().await;
    first.wrote("kept", "own").await;
    let mut second = world();
    let id = ContainerId::root("kept");
    let directory = first.sandbox("kept").to_str().unwrap().to_owned();
    second.containerizer.adopt(id.clone(), Some(pid), directory.clone());
    assert_eq!(second.launched().await, pid);
    assert!(second.containerizer.usage(&id).unwrap().mem_rss_bytes.unwrap() > 0);
    assert!(second.containerizer.destroy(&id));
    assert_eq!(second.exited().await, None);
    assert_eq!(first.exited().await, Some(9));
    // Once more: it is gone, and a stranger has its pid.
    for pid in [Some(pid), Some(std::process::id()), None] {
        second.containerizer.adopt(id.clone(), pid, directory.clone());
        second.launched().await;
        assert_eq!(second.exited().await, None);
    }
}

#[tokio::test]
async fn usage_sums_the_tree_and_shows_the_limits() {
    let mut world = world();
    let scalar = |name: &str, value: f64| Resource {
        name: name.to_owned(),
        scalar: Some(value::Scalar { value }),
        ..Resource::default()
    };
    let mut spec = world.spec("usage", &shell("while :; do :; done & while :; do :; done"));
    spec.resources = vec![scalar("cpus", 0.1), scalar("mem", 32.0)];
    world.containerizer.launch(spec);
    let pid = world.launched().await;
    let id = ContainerId::root("usage");
    let containerizer = world.containerizer.clone();
    eventually(|| containerizer.usage(&id).unwrap().cpus_user_time_secs.filter(|secs| *secs > 0.2)).await;
    let (resources, none) = (vec![scalar("cpus", 0.2), scalar("mem", 64.0)], Limits::new());
    containerizer.update(&id, resources, none, Vec::new()).unwrap();
    let usage = containerizer.usage(&id).unwrap();
    assert_eq!((usage.cpus_soft_limit, usage.mem_limit_bytes), (Some(0.2), Some(64 << 20)));
    assert_eq!(containerizer.status(&id).unwrap().executor_pid, Some(pid));
    assert!(containerizer.destroy(&id));
    assert_eq!(world.exited().await, Some(9));
    assert!(containerizer.usage(&id).is_none());
}

#[tokio::test]
async fn volumes_outlive_their_containers() {
    let mut world = world();
    let source = world.directory.path().join("volumes/v");
    fs::create_dir_all(&source).unwrap();
    let volume = |name: &str| Volume {
        id: "v".to_owned(),
        source: source.clone(),
        name: name.to_owned(),
        shared: false,
    };
    let mut spec = world.spec("writer", &shell("echo kept > data/file; exec sleep 1000"));
    spec.volumes = vec![volume("data")];
    world.containerizer.launch(spec);
    world.launched().await;
    let file = source.join("file");
    eventually(|| fs::read_to_string(&file).ok().filter(|text| text == "kept\n")).await;
    // A running container may have it under another name, or no more.
    let writer = ContainerId::root("writer");
    let sandbox = world.sandbox("writer");
    assert!(world.containerizer.shows(&writer, &[volume("data")]));
    world.containerizer.update(&writer, Vec::new(), Limits::new(), vec![volume("more")]).unwrap();
    assert!(sandbox.join("more/file").exists() && !sandbox.join("data").exists());
    fs::write(sandbox.join("taken"), "").unwrap();
    let error =
        world.containerizer.update(&writer, Vec::new(), Limits::new(), vec![volume("taken")]).unwrap_err();
    assert!(error.contains("a file of that name is in the sandbox"), "{error}");
    assert!(world.containerizer.destroy(&writer));
    world.exited().await;
    let mut spec = world.spec("reader", &shell("cat data/file"));
    spec.volumes = vec![volume("data")];
    world.containerizer.launch(spec);
    world.launched().await;
    assert_eq!(world.exited().await, Some(0));
    assert_eq!(world.read("reader", "stdout"), "kept\n");
    let mut spec = world.spec("none", &shell("true"));
    spec.volumes = vec![Volume { source: source.join("nowhere"), ..volume("data") }];
    world.containerizer.launch(spec);
    let message = world.failed().await;
    assert!(message.starts_with("Failed to symlink persistent volume 'v'"), "{message}");
}

/// Root only: another cannot give files away.
#[tokio::test]
async fn a_volume_belongs_to_whoever_uses_it_alone() {
    if users::current() != "root" {
        eprintln!("SKIPPED: needs root");
        return;
    }
    let mut world = world();
    let source = world.directory.path().join("volumes/v");
    fs::create_dir_all(&source).unwrap();
    let volume = Volume { id: "v".to_owned(), source: source.clone(), name: "data".to_owned(), shared: true };
    let (Ok(nobody), Ok(daemon)) = (users::lookup("nobody"), users::lookup("daemon")) else {
        eprintln!("SKIPPED: this machine has no users 'nobody' and 'daemon'");
        return;
    };
    for (container, user, account) in [("first", "nobody", &nobody), ("second", "daemon", &daemon)] {
        let mut spec = world.spec(container, &shell("exec sleep 1000"));
        std::os::unix::fs::chown(&spec.directory, Some(account.uid), Some(account.gid)).unwrap();
        spec.user = Some(user.to_owned());
        spec.volumes = vec![volume.clone()];
        world.containerizer.launch(spec);
        world.launched().await;
        assert_eq!(fs::metadata(&source).unwrap().uid(), nobody.uid, "{container}");
    }
    for container in ["first", "second"] {
        assert!(world.containerizer.destroy(&ContainerId::root(container)));
        world.exited().await;
    }
}

#[tokio::test]
async fn an_id_serves_once_at_a_time() {
    let mut world = world();
    world.containerizer.launch(world.spec("twice", &shell("sleep 1000")));
    world.launched().await;
    world.containerizer.launch(world.spec("twice", &shell("true")));
    assert_eq!(world.failed().await, "Container 'twice' already started");
    assert!(world.containerizer.destroy(&ContainerId::root("twice")));
    assert_eq!(world.exited().await, Some(9));
}

#[tokio::test]
async fn a_launch_that_cannot_be_fails_with_its_reason() {
    let mut world = world();
    let mut unknown = world.spec("unknown", &shell("true"));
    unknown.user = Some("no-such-user".to_owned());
    world.containerizer.launch(unknown);
    assert_eq!(world.failed().await, "No such user 'no-such-user'");
    let mut gone = world.spec("gone", &shell("true"));
    gone.directory = world.directory.path().join("no-such-directory");
    world.containerizer.launch(gone);
    assert!(world.failed().await.starts_with("Failed to open the files for stdout and stderr"));
    let link = world.spec("link", &shell("echo x"));
    std::os::unix::fs::symlink(
        world.directory.path().join("elsewhere"),
        world.sandbox("link").join("stdout"),
    )
    .unwrap();
    world.containerizer.launch(link);
    assert!(world.failed().await.starts_with("Failed to open the files for stdout and stderr"));
    assert!(!Path::new(&world.directory.path().join("elsewhere")).exists());
}

#[tokio::test]
async fn root_runs_commands_as_another_user() {
    if !rustix_root() {
        eprintln!("SKIPPED: only root may switch users");
        return;
    }
    let Ok(nobody) = users::lookup("nobody") else {
        eprintln!("SKIPPED: this machine has no user 'nobody'");
        return;
    };
    let mut world = world();
    let mut spec = world.spec("user", &shell("id -u; id -g; id -G; touch mine"));
    std::os::unix::fs::chown(world.sandbox("user"), Some(nobody.uid), Some(nobody.gid)).unwrap();
    spec.user = Some("nobody".to_owned());
    world.containerizer.launch(spec);
    world.launched().await;
    assert_eq!(world.exited().await, Some(0), "{}", world.read("user", "stderr"));
    let groups: Vec<String> = nobody.groups.iter().map(u32::to_string).collect();
    let expected = format!("{}\n{}\n{}\n", nobody.uid, nobody.gid, groups.join(" "));
    assert_eq!(world.read("user", "stdout"), expected);
    for file in ["mine", "stdout", "stderr"] {
        assert_eq!(fs::metadata(world.sandbox("user").join(file)).unwrap().uid(), nobody.uid, "{file}");
    }
}

fn rustix_root() -> bool {
    users::current() == "root"
}
