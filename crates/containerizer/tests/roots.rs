//! Containers with roots of their own, on the real kernel: what they see, what they cannot reach, and what is left.
//!
//! Where the machine lacks something a test says so on its standard error, and is over.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use containerizer::io::AttachError;
use containerizer::{
    ByName, Config, Containerizer, DeviceNode, Isolation, Limits, Notice, OfImage, Program, Provisioner,
    Settings, Spec, facts,
};
use fetcher::Fetcher;
use launch_plan::ImageConfig;
use proto::mesos::slave::ContainerConfig;
use proto::mesos::v1::tty_info::WindowSize;
use proto::mesos::v1::volume::source::{self, Type, sandbox_path};
use proto::mesos::v1::volume::{Mode, Source};
use proto::mesos::v1::{CommandInfo, ContainerInfo, LinuxInfo, Secret, TtyInfo, container_info, secret};
use tempfile::TempDir;
use tokio::sync::mpsc;
use types::ContainerId;

use common::{Layers, base, can, image, opaque, whiteout};

const PATIENCE: Duration = Duration::from_secs(60);
const ISOLATION: &str = "filesystem/linux,namespaces/pid,namespaces/ipc,docker/runtime";

struct World {
    directory: TempDir,
    cgroups_root: String,
    settings: Settings,
    backend: &'static str,
    config: ImageConfig,
    containerizer: Containerizer,
    notices: mpsc::Receiver<Notice>,
}

fn shell(script: &str) -> CommandInfo {
    CommandInfo { value: Some(script.to_owned()), ..CommandInfo::default() }
}

fn world(name: &str, backend: &'static str, config: ImageConfig) -> Option<World> {
    if !can(name) {
        return None;
    }
    let facts = facts();
    let isolation = match Isolation::parse(ISOLATION, Some("linux"), &facts) {
        Ok(isolation) => isolation,
        Err(error) => {
            eprintln!("SKIPPED {name}: {error}");
            return None;
        }
    };
    let cgroups_root = format!("mesos-test-{}-root-{name}-{backend}", std::process::id());
    let settings = Settings { cgroups_root: cgroups_root.clone(), ..Settings::new(isolation) };
    let directory = tempfile::tempdir().unwrap();
    base(&directory.path().join("images/box/0"));
    let (containerizer, notices) = start(directory.path(), &settings, backend, &config);
    Some(World { directory, cgroups_root, settings, backend, config, containerizer, notices })
}

fn start(
    directory: &Path,
    settings: &Settings,
    backend: &str,
    image: &ImageConfig,
) -> (Containerizer, mpsc::Receiver<Notice>) {
    let fetcher = Fetcher::new(fetcher::Config {
        cache_dir: directory.join("cache"),
        cache_bytes_max: 1 << 20,
        stall_timeout: Duration::from_secs(5),
        frameworks_home: String::new(),
        hadoop: None,
        limits: fetcher::Limits::default(),
    });
    let images = Layers { directory: directory.join("images"), config: image.clone() };
    let provisioner = Provisioner::new(&directory.join("work"), Some(backend), Arc::new(images)).unwrap();
    let launcher = PathBuf::from(env!("CARGO_BIN_EXE_mesos-containerizer"));
    let config = Config {
        settings: settings.clone(),
        facts: facts(),
        runtime_dir: Some(directory.join("run")),
        provisioner: Some(Arc::new(provisioner)),
        ..Config::posix(launcher, Arc::new(fetcher.unwrap()))
    };
    let (sender, notices) = mpsc::channel(16);
    (Containerizer::new(config, sender), notices)
}

impl World {
    fn spec(&self, container: &ContainerId, of: &str, command: CommandInfo) -> Spec {
        let directory = self.sandbox(container);
        fs::create_dir_all(&directory).unwrap();
        let sandbox = directory.to_str().unwrap().to_owned();
        let config = ContainerConfig { directory: sandbox.clone(), ..ContainerConfig::default() };
        let nested = container.parent.is_some();
        Spec {
            container: container.clone(),
            directory,
            user: None,
            uris: Vec::new(),
            program: Program::of(&shell("exit 99")).unwrap(),
            image: Some(OfImage { image: image(of), command }),
            environment: vec![("MESOS_SANDBOX".to_owned(), sandbox)],
            resources: Vec::new(),
            limits: Limits::new(),
            volumes: Vec::new(),
            info: None,
            is_command_task: false,
            forked_pid_path: None,
            by_name: nested.then(|| ByName {
                config,
                working_directory: None,
                is_session: false,
                asked: Vec::new(),
            }),
        }
    }

    fn sandbox(&self, container: &ContainerId) -> PathBuf {
        match container.parent.as_deref() {
            Some(parent) => self.sandbox(parent).join("containers").join(&*container.value),
            None => self.directory.path().join("sandboxes").join(&*container.value),
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

    async fn exited(&mut self) -> Option<i32> {
        match self.notice().await {
            Notice::Exited { termination, .. } => termination.status,
            other => panic!("{other:?}"),
        }
    }

    /// Runs a container to its end: the exit status, and what it printed.
    async fn run(&mut self, spec: Spec) -> (Option<i32>, String) {
        let directory = spec.directory.clone();
        self.containerizer.launch(spec);
        self.launched().await;
        let status = self.exited().await.map(|status| status >> 8);
        let read = |name| fs::read_to_string(directory.join(name)).unwrap();
        (status, read("stdout") + &read("stderr"))
    }

    /// Has these isolators beside the others from now on.
    fn isolate(&mut self, more: &str) {
        let isolation = Isolation::parse(&format!("{ISOLATION},{more}"), Some("linux"), &facts());
        self.settings.isolation = isolation.unwrap();
        let (containerizer, notices) =
            start(self.directory.path(), &self.settings, self.backend, &self.config);
        (self.containerizer, self.notices) = (containerizer, notices);
    }

    /// Runs a script in an image.
    async fn script(&mut self, of: &str, script: &str) -> (Option<i32>, String) {
        let id = ContainerId::root(format!("c{}", fs::read_dir(self.directory.path()).unwrap().count()));
        let _ = fs::remove_dir_all(self.sandbox(&id));
        self.run(self.spec(&id, of, shell(script))).await
    }

    fn layer(&self, of: &str, number: usize) -> PathBuf {
        let layer = self.directory.path().join("images").join(of).join(number.to_string());
        fs::create_dir_all(&layer).unwrap();
        layer
    }

    fn roots(&self) -> Vec<PathBuf> {
        let kept = fs::read_dir(self.directory.path().join("work/provisioner/containers"));
        kept.into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for World {
    /// Nothing is left: no root, no mount, no cgroup.
    fn drop(&mut self) {
        let mut left = Vec::new();
        for hierarchy in facts().hierarchies.values() {
            let root = Path::new(hierarchy).join(&self.cgroups_root);
            let containers = fs::read_dir(&root).into_iter().flatten().flatten();
            left.extend(containers.map(|entry| entry.path()).filter(|path| path.is_dir()));
            let _ = linux::Cgroup::at(root).destroy(PATIENCE);
        }
        if std::thread::panicking() {
            return;
        }
        left.extend(self.roots());
        assert_eq!(left, Vec::<PathBuf>::new());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let own = self.directory.path().to_str().unwrap();
        let left: Vec<&str> = mounts.lines().filter(|line| line.contains(own)).collect();
        assert_eq!(left, Vec::<&str>::new());
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

#[tokio::test]
async fn root_layers_are_one_tree() {
    for backend in ["overlay", "copy"] {
        let Some(mut world) = world("layers", backend, ImageConfig::default()) else { return };
        let second = world.layer("box", 1);
        for directory in ["opt/kept", "opt/hidden", "etc", "home/odd"] {
            fs::create_dir_all(second.join(directory)).unwrap();
        }
        fs::write(second.join("opt/kept/new"), "second\n").unwrap();
        fs::write(second.join("opt/hidden/new"), "second\n").unwrap();
        opaque(&second.join("opt/hidden"));
        whiteout(&second.join("opt/gone"));
        fs::write(second.join("etc/os-release"), "second\n").unwrap();
        fs::hard_link(second.join("opt/kept/new"), second.join("home/odd/linked")).unwrap();
        fs::set_permissions(second.join("home/odd"), fs::Permissions::from_mode(0o1751)).unwrap();
        std::os::unix::fs::chown(second.join("home/odd"), Some(7), Some(8)).unwrap();
        // What was a link becomes a directory, and what was a directory a file.
        let third = world.layer("box", 2);
        symlink("/etc", second.join("turned")).unwrap();
        fs::create_dir_all(third.join("turned")).unwrap();
        fs::write(third.join("turned/file"), "third\n").unwrap();
        fs::create_dir_all(third.join("opt")).unwrap();
        fs::write(third.join("opt/kept"), "third\n").unwrap();
        let script =
            "ls / /opt /opt/hidden /turned; cat /etc/os-release /opt/kept /opt/hidden/new /home/odd/linked
            stat -c '%a %u %g' / /home/odd; echo changed > /etc/os-release && cat /etc/os-release; pwd";
        let (status, output) = world.script("box", script).await;
        let expected = "/:\nbin\ndev\netc\nhome\nmnt\nopt\nproc\nsys\nturned\n\n/opt:\nhidden\nkept\n\n/opt/hidden:\nnew\n\n\
            /turned:\nfile\nsecond\nthird\nsecond\nsecond\n755 0 0\n1751 7 8\nchanged\n/mnt/mesos/sandbox\n";
        assert_eq!((status, output.as_str()), (Some(0), expected), "{backend}");
        // The image is as it was.
        assert_eq!(fs::read_to_string(second.join("etc/os-release")).unwrap(), "second\n");
        let (_, output) = world.script("box", "cat /etc/os-release").await;
        assert_eq!(output, "second\n");
    }
}

#[tokio::test]
async fn root_a_root_is_all_there_is() {
    let Some(mut world) = world("alone", "overlay", ImageConfig::default()) else { return };
    let secret = world.directory.path().join("secret");
    fs::write(&secret, "").unwrap();
    let script = format!(
        "test -e {} || echo no secret; test -e /usr || echo no machine
        echo kept > /mnt/mesos/sandbox/file; echo $MESOS_SANDBOX; cat /proc/1/comm
        for d in full null random tty urandom zero; do stat -c '%n %F %t:%T %a' /dev/$d; done
        ls -l /dev/fd /dev/stdin /dev/stdout /dev/stderr /dev/ptmx | grep -c -- '->'; ls /dev/pts
        echo x > /dev/null && echo devices; (echo x > /dev/full) 2>/dev/null || echo full
        for p in /proc/sys/kernel/hostname /sys/kernel/profiling /proc/sysrq-trigger; do
            (echo 1 > $p) 2>/dev/null || echo read-only
        done
        ls /sys/firmware | wc -l; ls /sys/fs/cgroup | wc -l; cat /proc/timer_list | wc -c
        touch /dev/shm/x && echo shared; grep -c '{}' /proc/self/mountinfo; grep -c ' / / ' /proc/self/mountinfo",
        secret.display(),
        world.directory.path().display(),
    );
    let (status, output) = world.script("box", &script).await;
    let devices = "/dev/full character special file 1:7 666\n/dev/null character special file 1:3 666\n\
        /dev/random character special file 1:8 666\n/dev/tty character special file 5:0 666\n\
        /dev/urandom character special file 1:9 666\n/dev/zero character special file 1:5 666\n";
    // The sandbox is the one mount that has its name; one mount is the root.
    let expected = format!(
        "no secret\nno machine\n/mnt/mesos/sandbox\nmesos-container\n{devices}5\nptmx\ndevices\nfull\n\
         read-only\nread-only\nread-only\n0\n0\n0\nshared\n1\n1\n"
    );
    assert_eq!((status, output), (Some(0), expected));
    let (_, output) = world.script("box", "id -u; exit 3").await;
    assert_eq!(output, "0\n");
}

#[tokio::test]
async fn root_a_terminal_is_seen_in_a_root() {
    let Some(mut world) = world("terminal", "overlay", ImageConfig::default()) else { return };
    let id = ContainerId::root("terminal");
    let mut spec = world.spec(&id, "box", shell("tty; stty size; echo to-all > /dev/tty; exit 3"));
    let window_size = Some(WindowSize { rows: 12, columns: 34 });
    spec.info = Some(ContainerInfo { tty_info: Some(TtyInfo { window_size }), ..ContainerInfo::default() });
    let (id, directory) = (spec.container.clone(), spec.directory.clone());
    world.containerizer.launch(spec);
    world.launched().await;
    assert!(world.containerizer.attach_output(&id).await.is_ok());
    assert_eq!(world.exited().await, Some(3 << 8));
    // Its end is told once all of it is in the file.
    let printed = fs::read_to_string(directory.join("stdout")).unwrap();
    assert_eq!(printed, "/dev/console\r\n12 34\r\nto-all\r\n");
    assert!(matches!(world.containerizer.attach_output(&id).await, Err(AttachError::Unknown(_))));
}

#[tokio::test]
async fn root_images_say_what_runs() {
    let config = ImageConfig {
        entrypoint: vec!["mine".to_owned(), "one".to_owned()],
        cmd: vec!["two".to_owned()],
        env: vec!["PATH=/opt/tools:/bin".to_owned(), "GREETING=hello".to_owned()],
        working_dir: Some("/var/made".to_owned()),
        user: Some("nobody".to_owned()),
    };
    let Some(mut world) = world("config", "overlay", config) else { return };
    let tools = world.layer("box", 0).join("opt/tools");
    fs::create_dir_all(&tools).unwrap();
    fs::write(tools.join("mine"), "#!/bin/sh\necho $0 $* $GREETING $(pwd) $(id -u)\n").unwrap();
    fs::set_permissions(tools.join("mine"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut run = async |command: CommandInfo, user: Option<&str>| {
        let id = ContainerId::root("c");
        let _ = fs::remove_dir_all(world.sandbox(&id));
        let mut spec = world.spec(&id, "box", command);
        spec.user = user.map(str::to_owned);
        world.run(spec).await.1
    };
    let none = CommandInfo { shell: Some(false), ..CommandInfo::default() };
    assert_eq!(run(none.clone(), None).await, "/opt/tools/mine one two hello /var/made 0\n");
    let other = CommandInfo { arguments: vec!["three".to_owned()], ..none.clone() };
    // Users are those of the machine: this one is not in the image.
    assert_eq!(run(other, Some("daemon")).await, "/opt/tools/mine one three hello /var/made 1\n");
    let program = CommandInfo { value: Some("pwd".to_owned()), ..none };
    assert_eq!(run(program, None).await, "/var/made\n");
    assert_eq!(run(shell("echo $GREETING"), None).await, "hello\n");
}

#[tokio::test]
async fn root_more_layers_than_a_page_can_name() {
    let Some(mut world) = world("many", "overlay", ImageConfig::default()) else { return };
    for number in 1..180 {
        let layer = world.layer("box", number);
        fs::write(layer.join(format!("layer{number}")), "").unwrap();
    }
    let (status, output) = world.script("box", "ls / | grep -c layer").await;
    assert_eq!((status, output.as_str()), (Some(0), "179\n"));
}

#[tokio::test]
async fn root_links_of_an_image_lead_nowhere_else() {
    for backend in ["overlay", "copy"] {
        let Some(mut world) = world("links", backend, ImageConfig::default()) else { return };
        let outside = world.directory.path().join("outside");
        fs::create_dir(&outside).unwrap();
        let layer = world.layer("box", 0);
        symlink(&outside, layer.join("proc")).unwrap();
        symlink("../../../../../..", layer.join("mnt")).unwrap();
        symlink("/opt", layer.join("sys")).unwrap();
        // Where the first leads does not exist in there.
        let (status, output) = world.script("box", "true").await;
        assert_ne!(status, Some(0));
        assert!(output.starts_with("Failed to mount proc at '/proc': "), "{output}");
        fs::remove_file(layer.join("proc")).unwrap();
        let (status, output) = world.script("box", "pwd; ls -d /opt/kernel /mesos/sandbox").await;
        assert_eq!(
            (status, output.as_str()),
            (Some(0), "/mesos/sandbox\n/mesos/sandbox\n/opt/kernel\n"),
            "{backend}"
        );
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        // In a layer above, what was a link is no way out for the copy either.
        fs::remove_file(layer.join("sys")).unwrap();
        let second = world.layer("box", 1);
        symlink(&outside, layer.join("way")).unwrap();
        fs::create_dir_all(second.join("way")).unwrap();
        fs::write(second.join("way/file"), "").unwrap();
        whiteout(&second.join("opt"));
        assert_eq!(world.script("box", "ls /way").await.1, "file\n");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn root_containers_in_containers_have_their_own() {
    let Some(mut world) = world("nested", "overlay", ImageConfig::default()) else { return };
    fs::write(world.layer("other", 0).join("other"), "").unwrap();
    base(&world.layer("other", 1));
    let outer = ContainerId::root("outer");
    let mut spec = world.spec(&outer, "box", shell("touch up; exec sleep 77801"));
    spec.environment.push(("OUTER".to_owned(), "1".to_owned()));
    let given = spec.environment.clone();
    world.containerizer.launch(spec);
    world.launched().await;
    let sandbox = world.sandbox(&outer);
    eventually(|| sandbox.join("up").exists().then_some(())).await;
    let below = |value: &str| ContainerId { value: value.into(), parent: Some(Arc::new(outer.clone())) };
    let (_, output) = world.run(world.spec(&below("image"), "other", shell("ls -d /other; pwd"))).await;
    assert_eq!(output, "/other\n/mnt/mesos/sandbox\n");
    // Without an image it sees what the machine has.
    let mut plain = world.spec(&below("plain"), "none", shell(""));
    plain.image = None;
    plain.program = Program::of(&shell("ls -d /usr /proc/1/root/usr; pwd")).unwrap();
    let directory = plain.directory.clone();
    let (_, output) = world.run(plain).await;
    assert_eq!(output, format!("/proc/1/root/usr\n/usr\n{}\n", directory.display()));
    // A session sees what the container sees, and begins where that began.
    let mut session = world.spec(&below("session"), "none", shell(""));
    session.image = None;
    session.environment = given;
    session.program =
        Program::of(&shell("echo $OUTER $MESOS_SANDBOX $(pwd) $(ls /usr 2>&1) > seen")).unwrap();
    let by_name = session.by_name.as_mut().unwrap();
    (by_name.is_session, by_name.working_directory) = (true, Some(sandbox.clone()));
    let output = session.directory.clone();
    world.containerizer.launch(session);
    world.launched().await;
    assert_eq!(world.exited().await, Some(0), "{}", output.display());
    let seen = fs::read_to_string(sandbox.join("seen")).unwrap();
    assert_eq!(seen, "1 /mnt/mesos/sandbox /mnt/mesos/sandbox ls: /usr: No such file or directory\n");
    // What a user puts in place of a sandbox is not mounted.
    let stolen = below("stolen");
    let spec = world.spec(&stolen, "other", shell("ls /mnt/mesos/sandbox"));
    fs::remove_dir_all(&spec.directory).unwrap();
    let elsewhere = world.directory.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, &spec.directory).unwrap();
    world.containerizer.launch(spec);
    let notice = world.notice().await;
    let told = match notice {
        Notice::Launched { .. } => {
            assert_ne!(world.exited().await, Some(0));
            fs::read_to_string(elsewhere.join("stderr")).unwrap()
        }
        Notice::Failed { message, .. } => message,
        other => panic!("{other:?}"),
    };
    assert!(told.contains("Too many levels of symbolic links") || told.contains("Not a directory"), "{told}");
    world.containerizer.destroy(&outer);
    assert_eq!(world.exited().await, Some(9));
    // Those that were asked for by name are remembered until somebody removes them.
    let _ = fs::remove_dir_all(world.directory.path().join("run"));
}

#[tokio::test]
async fn root_a_later_agent_keeps_and_removes_roots() {
    let Some(mut world) = world("later", "overlay", ImageConfig::default()) else { return };
    let (kept, orphan) = (ContainerId::root("kept"), ContainerId::root("orphan"));
    let mut pids = Vec::new();
    for id in [&kept, &orphan] {
        world.containerizer.launch(world.spec(id, "box", shell("touch up; sleep 77802")));
        pids.push(world.launched().await);
        let up = world.sandbox(id).join("up");
        eventually(|| up.exists().then_some(())).await;
    }
    assert_eq!(world.roots().len(), 2);
    let (second, notices) = start(world.directory.path(), &world.settings, world.backend, &world.config);
    let _first = std::mem::replace(&mut world.containerizer, second);
    let mut before = std::mem::replace(&mut world.notices, notices);
    world.containerizer.destroy_orphans(&BTreeSet::from([kept.clone()]));
    world.containerizer.adopt(kept.clone(), Some(pids[0]), world.sandbox(&kept).to_str().unwrap().to_owned());
    world.launched().await;
    let root = world.directory.path().join("work/provisioner/containers/kept");
    eventually(|| (world.roots() == std::slice::from_ref(&root)).then_some(())).await;
    world.containerizer.destroy(&kept);
    world.exited().await;
    assert_eq!(world.roots(), Vec::<PathBuf>::new());
    // This process was the parent of both, and takes note of their ends as an agent that lives does.
    for _ in 0..2 {
        let told = tokio::time::timeout(PATIENCE, before.recv()).await.unwrap().unwrap();
        assert!(matches!(told, Notice::Exited { .. }), "{told:?}");
    }
}

#[tokio::test]
async fn root_what_cannot_be_had_leaves_nothing() {
    let Some(mut world) = world("refused", "overlay", ImageConfig::default()) else { return };
    let id = ContainerId::root("c");
    world.containerizer.launch(world.spec(&id, "nosuch", shell("true")));
    assert_eq!(world.failed().await, "No filesystem layer provided");
    let none = CommandInfo { shell: Some(false), ..CommandInfo::default() };
    world.containerizer.launch(world.spec(&id, "box", none));
    assert_eq!(world.failed().await, "Failed to determine the launch command: No executable is found");
    // One that is given up while its image comes.
    world.containerizer.launch(world.spec(&id, "endless", shell("true")));
    assert!(world.containerizer.destroy(&id));
    assert_eq!(world.failed().await, "Container is being destroyed during launching");
    let mut privileged = world.spec(
        &id,
        "box",
        shell("cat /proc/timer_list | wc -l; ls /proc 2>/dev/null | grep -c '^[0-9]'"),
    );
    let linux_info = LinuxInfo { share_pid_namespace: Some(true), ..LinuxInfo::default() };
    privileged.info = Some(ContainerInfo { linux_info: Some(linux_info), ..ContainerInfo::default() });
    let (status, output) = world.run(privileged).await;
    let lines: Vec<usize> = output.lines().map(|line| line.parse().expect(&output)).collect();
    assert!(status == Some(0) && lines[0] > 0 && lines[1] > 3, "{output}");
    // The directories of a root belong to whom the image says, and the agent's are left alone.
    assert_eq!(fs::metadata(world.directory.path().join("work/provisioner")).unwrap().uid(), 0);
}

#[tokio::test]
async fn root_listed_devices_are_there() {
    let Some(mut world) = world("devices", "copy", ImageConfig::default()) else { return };
    let script = "stat -c '%t:%T %a' /dev/net/kmsg && cat /dev/net/kmsg > /dev/null; echo $?";
    let (_, output) = world.script("box", script).await;
    assert!(output.starts_with("1\n"), "the control: {output}");
    // The driver of /dev/zero under another number and name: /dev/full.
    let node =
        DeviceNode { path: "/dev/net/full".to_owned(), characters: true, major: 1, minor: 7, mode: 0o644 };
    world.settings.security.devices = vec![node];
    world.isolate("linux/devices");
    let script = "stat -c '%t:%T %a' /dev/net/full; (echo x > /dev/net/full) 2>&1 | grep -c 'No space'";
    assert_eq!(world.script("box", script).await, (Some(0), "1:7 644\n1\n".to_owned()));
}

#[tokio::test]
async fn root_a_copied_root_belongs_to_users_of_its_own() {
    let Some(mut world) = world("users", "copy", ImageConfig::default()) else { return };
    world.settings.security.ids = "[3000000-3065535]".parse().unwrap();
    world.isolate("namespaces/user");
    let script = "id -u; stat -c %u:%g /bin; mkdir /made && touch /made/file && stat -c %u /made/file; cat /proc/self/uid_map
        echo words > file; stat -c %u . file; pwd; mount -t tmpfs none /made 2> /dev/null || echo refused";
    let (status, output) = world.script("box", script).await;
    let words: Vec<&str> = output.split_ascii_whitespace().collect();
    let expected = ["0", "0:0", "0", "0", "3000000", "65536", "0", "0", "/mnt/mesos/sandbox", "refused"];
    assert_eq!((status, words.as_slice()), (Some(0), expected.as_slice()), "{output}");
    // What is no copy cannot know them.
    world.backend = "overlay";
    world.isolate("namespaces/user");
    let spec = world.spec(&ContainerId::root("layers"), "box", shell("true"));
    world.containerizer.launch(spec);
    let refused = world.failed().await;
    assert_eq!(refused, "A user namespace needs a root that is a copy: set --image_provisioner_backend=copy");
}

fn volume(container_path: &str, source: Source) -> proto::mesos::v1::Volume {
    proto::mesos::v1::Volume {
        container_path: container_path.to_owned(),
        source: Some(source),
        ..proto::mesos::v1::Volume::default()
    }
}

fn of_host(path: &Path) -> Source {
    let host_path = source::HostPath { path: path.to_str().unwrap().to_owned(), mount_propagation: None };
    Source { r#type: Some(Type::HostPath.into()), host_path: Some(host_path), ..Source::default() }
}

fn of_sandbox(kind: sandbox_path::Type, path: &str) -> Source {
    let sandbox_path = source::SandboxPath { r#type: Some(kind.into()), path: path.to_owned() };
    Source { r#type: Some(Type::SandboxPath.into()), sandbox_path: Some(sandbox_path), ..Source::default() }
}

#[tokio::test]
async fn root_volumes_are_seen_in_roots_and_without() {
    let Some(mut world) = world("volumes", "overlay", ImageConfig::default()) else { return };
    let (data, kept) = (world.directory.path().join("data"), world.directory.path().join("kept"));
    for directory in [&data, &kept] {
        fs::create_dir(directory).unwrap();
        fs::write(directory.join("file"), "seen\n").unwrap();
    }
    let mut read_only = volume("seen/here", of_host(&data));
    read_only.mode = Mode::Ro.into();
    let info = |more: &[proto::mesos::v1::Volume]| {
        let mut volumes = vec![read_only.clone(), volume("alone", of_host(&data.join("file")))];
        volumes.extend_from_slice(more);
        Some(ContainerInfo { volumes, ..ContainerInfo::default() })
    };
    let outer = ContainerId::root("outer");
    let script =
        "cat /abs/file alone; (echo x > seen/here/new) 2>/dev/null || echo read-only; echo written > /abs/new
        echo mine > /own/file; cat data/file; touch up; exec sleep 77803";
    let mut spec = world.spec(&outer, "box", shell(script));
    let own = volume("/own", of_sandbox(sandbox_path::Type::Self_, "mine"));
    spec.info = info(&[volume("/abs", of_host(&data)), own]);
    spec.volumes = vec![containerizer::Volume {
        id: "v".to_owned(),
        source: kept.clone(),
        name: "data".to_owned(),
        shared: false,
    }];
    world.containerizer.launch(spec);
    world.launched().await;
    let sandbox = world.sandbox(&outer);
    eventually(|| sandbox.join("up").exists().then_some(())).await;
    assert_eq!(fs::read_to_string(sandbox.join("stdout")).unwrap(), "seen\nseen\nread-only\nseen\n");
    assert_eq!(fs::read_to_string(data.join("new")).unwrap(), "written\n");
    assert_eq!(fs::read_to_string(sandbox.join("mine/file")).unwrap(), "mine\n");
    // One in it, with an image and without, shares what is in its sandbox: a directory, and the persistent volume.
    let below = |value: &str| ContainerId { value: value.into(), parent: Some(Arc::new(outer.clone())) };
    let shared = [
        volume("shared", of_sandbox(sandbox_path::Type::Parent, "mine")),
        volume("kept", of_sandbox(sandbox_path::Type::Parent, "data")),
    ];
    for (name, has_image) in [("image", true), ("plain", false)] {
        let mut spec =
            world.spec(&below(name), "box", shell("cat shared/file kept/file alone; echo x > kept/x"));
        spec.info = info(&shared);
        if !has_image {
            spec.program = Program::of(&spec.image.take().unwrap().command).unwrap();
        }
        let (status, output) = world.run(spec).await;
        assert_eq!((status, output.as_str()), (Some(0), "mine\nseen\nseen\n"), "{name}");
        assert!(kept.join("x").exists());
        fs::remove_file(kept.join("x")).unwrap();
    }
    world.containerizer.destroy(&outer);
    assert_eq!(world.exited().await, Some(9));
    // What is not there is told; nothing of a sandbox leads a mount elsewhere.
    let id = ContainerId::root("c");
    let mut spec = world.spec(&id, "box", shell("true"));
    spec.info = info(&[volume("x", of_host(Path::new("/no/such")))]);
    world.containerizer.launch(spec);
    assert_eq!(world.failed().await, "Path '/no/such' in HOST_PATH volume does not exist");
    let mut spec = world.spec(&id, "box", shell("true"));
    spec.program = Program::of(&spec.image.take().unwrap().command).unwrap();
    spec.info = info(&[]);
    let outside = world.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, spec.directory.join("seen")).unwrap();
    let _ = world.run(spec).await;
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    let _ = fs::remove_dir_all(world.directory.path().join("run"));
}

fn of_image(container_path: &str, name: &str, mode: Mode) -> proto::mesos::v1::Volume {
    proto::mesos::v1::Volume {
        container_path: container_path.to_owned(),
        image: Some(image(name)),
        mode: mode.into(),
        ..proto::mesos::v1::Volume::default()
    }
}

fn with(volumes: &[proto::mesos::v1::Volume]) -> Option<ContainerInfo> {
    let r#type = container_info::Type::Mesos.into();
    Some(ContainerInfo { r#type, volumes: volumes.to_vec(), ..ContainerInfo::default() })
}

/// Two layers, of which the second takes something away.
fn words(world: &World) -> PathBuf {
    let layer = world.layer("words", 0);
    for name in ["words", "gone"] {
        fs::write(layer.join(name), "words\n").unwrap();
    }
    whiteout(&world.layer("words", 1).join("gone"));
    layer
}

#[tokio::test]
async fn root_images_are_volumes() {
    for backend in ["overlay", "copy"] {
        let Some(mut world) = world("image-volumes", backend, ImageConfig::default()) else { return };
        let layer = words(&world);
        let read_write = of_image("/abs", "words", Mode::Rw);
        let read_only = of_image("rel/deep", "words", Mode::Ro);
        let outer = ContainerId::root("outer");
        let script = "ls /abs rel/deep; cat rel/deep/words; echo changed > /abs/words && cat /abs/words
            (echo x > rel/deep/new) 2>/dev/null || echo read-only; cat rel/deep/words; touch up; exec sleep 78212";
        let mut spec = world.spec(&outer, "box", shell(script));
        spec.info = with(&[read_write, read_only.clone()]);
        world.containerizer.launch(spec);
        let pid = world.launched().await;
        let sandbox = world.sandbox(&outer);
        eventually(|| sandbox.join("up").exists().then_some(())).await;
        let expected = "/abs:\nwords\n\nrel/deep:\nwords\nwords\nchanged\nread-only\nwords\n";
        assert_eq!(fs::read_to_string(sandbox.join("stdout")).unwrap(), expected, "{backend}");
        assert_eq!(fs::read_to_string(layer.join("words")).unwrap(), "words\n");
        assert!(!sandbox.join("rel/deep/words").exists(), "only the container sees it");
        // One in it without an image of its own, at a place of the machine.
        let place = world.directory.path().join("place");
        fs::create_dir(&place).unwrap();
        let at = place.to_str().unwrap();
        let id = ContainerId { value: "plain".into(), parent: Some(Arc::new(outer.clone())) };
        let mut spec = world.spec(&id, "box", shell(&format!("cat {at}/words here/words; ls -d /usr")));
        spec.program = Program::of(&spec.image.take().unwrap().command).unwrap();
        spec.info = with(&[of_image(at, "words", Mode::Rw), of_image("here", "words", Mode::Rw)]);
        let (status, output) = world.run(spec).await;
        assert_eq!((status, output.as_str()), (Some(0), "words\nwords\n/usr\n"), "{backend}");
        assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
        // A later agent keeps what the one around has, and removes it with that.
        let (second, notices) = start(world.directory.path(), &world.settings, backend, &world.config);
        let _first = std::mem::replace(&mut world.containerizer, second);
        let mut before = std::mem::replace(&mut world.notices, notices);
        world.containerizer.destroy_orphans(&BTreeSet::from([outer.clone()]));
        world.containerizer.adopt(outer.clone(), Some(pid), sandbox.to_str().unwrap().to_owned());
        world.launched().await;
        assert_eq!(world.roots().len(), 1);
        world.containerizer.destroy(&outer);
        world.exited().await;
        let told = tokio::time::timeout(PATIENCE, before.recv()).await.unwrap().unwrap();
        assert!(matches!(told, Notice::Exited { .. }), "{told:?}");
        let _ = fs::remove_dir_all(world.directory.path().join("run"));
    }
}

#[tokio::test]
async fn root_a_container_with_image_volumes_alone_has_the_machines_root() {
    let Some(mut world) = world("volumes-alone", "overlay", ImageConfig::default()) else { return };
    words(&world);
    let outer = ContainerId::root("outer");
    let mut spec = world.spec(&outer, "box", shell("touch up; exec sleep 78213"));
    spec.program = Program::of(&spec.image.take().unwrap().command).unwrap();
    spec.info = with(&[of_image("here", "words", Mode::Rw)]);
    world.containerizer.launch(spec);
    let pid = world.launched().await;
    let sandbox = world.sandbox(&outer);
    eventually(|| sandbox.join("up").exists().then_some(())).await;
    // What looks into it begins in its sandbox, and not in that of a root; also under a later agent.
    for name in ["one", "two"] {
        let id = ContainerId { value: name.into(), parent: Some(Arc::new(outer.clone())) };
        let mut session = world.spec(&id, "none", shell(""));
        session.image = None;
        session.program =
            Program::of(&shell(&format!("cat here/words > seen-{name}; pwd >> seen-{name}"))).unwrap();
        let by_name = session.by_name.as_mut().unwrap();
        (by_name.is_session, by_name.working_directory) = (true, Some(sandbox.clone()));
        world.containerizer.launch(session);
        world.launched().await;
        assert_eq!(world.exited().await, Some(0));
        let seen = fs::read_to_string(sandbox.join(format!("seen-{name}"))).unwrap();
        assert_eq!(seen, format!("words\n{}\n", sandbox.display()));
        if name == "two" {
            break;
        }
        let (second, notices) = start(world.directory.path(), &world.settings, "overlay", &world.config);
        let first = std::mem::replace(&mut world.containerizer, second);
        std::mem::forget((first, std::mem::replace(&mut world.notices, notices)));
        world.containerizer.destroy_orphans(&BTreeSet::from([outer.clone()]));
        world.containerizer.adopt(outer.clone(), Some(pid), sandbox.to_str().unwrap().to_owned());
        world.launched().await;
    }
    world.containerizer.destroy(&outer);
    world.exited().await;
    let _ = fs::remove_dir_all(world.directory.path().join("run"));
    // What cannot be had is told, each for itself.
    let id = ContainerId::root("c");
    let mut spec = world.spec(&id, "box", shell("true"));
    spec.info = with(&[of_image("a", "nosuch", Mode::Rw), of_image("b", "none", Mode::Rw)]);
    world.containerizer.launch(spec);
    assert_eq!(world.failed().await, "No filesystem layer provided\nNo filesystem layer provided");
    let mut spec = world.spec(&id, "box", shell("true"));
    spec.image = None;
    spec.info = with(&[of_image("/no/such", "words", Mode::Rw)]);
    world.containerizer.launch(spec);
    assert_eq!(world.failed().await, "Absolute container path '/no/such' does not exist");
}

#[tokio::test]
async fn root_secrets_are_in_memory_alone() {
    let Some(mut world) = world("secrets", "overlay", ImageConfig::default()) else { return };
    let secret = |kind: secret::Type, at: &str| {
        let value =
            (kind == secret::Type::Value).then(|| secret::Value { data: b"hush\xff".to_vec().into() });
        let secret = Secret { r#type: Some(kind.into()), value, ..Secret::default() };
        volume(at, Source { r#type: Some(Type::Secret.into()), secret: Some(secret), ..Source::default() })
    };
    let volumes = [secret(secret::Type::Value, "/etc/token"), secret(secret::Type::Value, "deep/token")];
    let script =
        "cat /etc/token deep/token | wc -c; stat -c '%u %a' deep/token; echo up > up; exec sleep 77804";
    let id = ContainerId::root("c");
    let mut spec = world.spec(&id, "box", shell(script));
    spec.user = Some("daemon".to_owned());
    std::os::unix::fs::chown(&spec.directory, Some(1), Some(1)).unwrap();
    spec.info = Some(ContainerInfo { volumes: volumes.to_vec(), ..ContainerInfo::default() });
    world.containerizer.launch(spec);
    let pid = world.launched().await;
    let sandbox = world.sandbox(&id);
    eventually(|| fs::read_to_string(sandbox.join("up")).ok().filter(|text| text == "up\n")).await;
    assert_eq!(fs::read_to_string(sandbox.join("stdout")).unwrap(), "10\n1 400\n");
    // Nobody else sees anything but an empty file.
    assert_eq!(fs::read(sandbox.join("deep/token")).unwrap(), b"");
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(!String::from_utf8_lossy(&line).contains("68757368"));
    world.containerizer.destroy(&id);
    world.exited().await;
    let mut spec = world.spec(&id, "box", shell("true"));
    let volumes = vec![secret(secret::Type::Reference, "x")];
    spec.info = Some(ContainerInfo { volumes, ..ContainerInfo::default() });
    world.containerizer.launch(spec);
    let refused = "The secret at 'x' is a reference, and there is no module to resolve it";
    assert_eq!(world.failed().await, refused);
}
