//! Volumes with groups of their own, on the real kernel: users who are not root share them, and nobody else gets in.
//!
//! Where the machine lacks something a test says so on its standard error, and is over.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use containerizer::{
    ByName, Config, Containerizer, Isolation, Limits, Notice, Program, Settings, Spec, Volume,
    VolumeGidCounts, VolumeGids, facts,
};
use fetcher::Fetcher;
use proto::mesos::slave::ContainerConfig;
use proto::mesos::v1::volume::source::{self, Type, sandbox_path};
use proto::mesos::v1::volume::{Mode, Source};
use proto::mesos::v1::{CommandInfo, ContainerInfo};
use tempfile::TempDir;
use tokio::sync::mpsc;
use types::ContainerId;

const PATIENCE: Duration = Duration::from_secs(60);

/// Users that every Debian has, and their numbers.
const DAEMON: (&str, u32) = ("daemon", 1);
const BIN: (&str, u32) = ("bin", 2);

struct World {
    directory: TempDir,
    cgroups_root: String,
    settings: Settings,
    containerizer: Containerizer,
    notices: mpsc::Receiver<Notice>,
}

fn world(name: &str) -> Option<World> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED {name}: this needs root");
        return None;
    }
    let isolation = match Isolation::parse("filesystem/linux", Some("linux"), &facts()) {
        Ok(isolation) => isolation,
        Err(error) => {
            eprintln!("SKIPPED {name}: {error}");
            return None;
        }
    };
    let cgroups_root = format!("mesos-test-{}-gids-{name}", std::process::id());
    let settings = Settings { cgroups_root: cgroups_root.clone(), ..Settings::new(isolation) };
    let directory = tempfile::tempdir().unwrap();
    // Others than root find their sandboxes there.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (containerizer, notices) = start(directory.path(), &settings, false);
    Some(World { directory, cgroups_root, settings, containerizer, notices })
}

fn start(directory: &Path, settings: &Settings, rebooted: bool) -> (Containerizer, mpsc::Receiver<Notice>) {
    let fetcher = Fetcher::new(fetcher::Config {
        cache_dir: directory.join("cache"),
        cache_bytes_max: 1 << 20,
        stall_timeout: Duration::from_secs(5),
        frameworks_home: String::new(),
        hadoop: None,
        limits: fetcher::Limits::default(),
    });
    let launcher = PathBuf::from(env!("CARGO_BIN_EXE_mesos-containerizer"));
    let config = Config {
        settings: settings.clone(),
        facts: facts(),
        runtime_dir: Some(directory.join("run")),
        volume_gids: Some(Arc::new(VolumeGids::new(directory, vec![71_000..=71_002]))),
        ..Config::posix(launcher, Arc::new(fetcher.unwrap()))
    };
    let (sender, notices) = mpsc::channel(16);
    let containerizer = Containerizer::new(config, sender);
    containerizer.recover_volume_gids(rebooted).unwrap();
    (containerizer, notices)
}

impl World {
    fn spec(&self, container: &ContainerId, (user, uid): (&str, u32), script: &str) -> Spec {
        let directory = self.sandbox(container);
        fs::create_dir_all(&directory).unwrap();
        chown(&directory, Some(uid), Some(uid)).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o750)).unwrap();
        let sandbox = directory.to_str().unwrap().to_owned();
        let config = ContainerConfig { directory: sandbox.clone(), ..ContainerConfig::default() };
        let command = CommandInfo { value: Some(script.to_owned()), ..CommandInfo::default() };
        let nested = container.parent.is_some();
        Spec {
            container: container.clone(),
            directory,
            user: Some(user.to_owned()),
            uris: Vec::new(),
            program: Program::of(&command).unwrap(),
            image: None,
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

    async fn launched(&mut self) {
        let notice = self.notice().await;
        assert!(matches!(notice, Notice::Launched { .. }), "{notice:?}");
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

    fn counts(&self) -> VolumeGidCounts {
        self.containerizer.volume_gid_counts().unwrap()
    }

    fn volume(&self, id: &str) -> Volume {
        let source = self.directory.path().join("volumes/roles/web").join(id);
        fs::create_dir_all(&source).unwrap();
        Volume { id: id.to_owned(), source, name: "data".to_owned(), shared: true }
    }
}

impl Drop for World {
    /// Nothing is left: no mount, no cgroup.
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

fn of_parent(container_path: &str, path: &str, mode: Mode) -> proto::mesos::v1::Volume {
    let kind = sandbox_path::Type::Parent.into();
    let sandbox_path = source::SandboxPath { r#type: Some(kind), path: path.to_owned() };
    let source = Source {
        r#type: Some(Type::SandboxPath.into()),
        sandbox_path: Some(sandbox_path),
        ..Source::default()
    };
    proto::mesos::v1::Volume {
        container_path: container_path.to_owned(),
        source: Some(source),
        mode: mode.into(),
        ..proto::mesos::v1::Volume::default()
    }
}

/// The owner, the group and the mode of a file.
fn of(path: &Path) -> (u32, u32, u32) {
    let is = fs::metadata(path).unwrap();
    (is.uid(), is.gid(), is.mode() & 0o7777)
}

#[tokio::test]
async fn root_users_share_volumes_by_groups() {
    let Some(mut world) = world("share") else { return };
    let volume = world.volume("v");
    fs::write(volume.source.join("old"), "").unwrap();
    assert_eq!(world.counts(), VolumeGidCounts { total: 3, free: 3 });
    let outer = ContainerId::root("outer");
    let mut spec = world.spec(
        &outer,
        DAEMON,
        "id -G; touch data/mine; mkdir shared; touch shared/mine up; exec sleep 78216",
    );
    spec.volumes = vec![volume.clone()];
    world.containerizer.launch(spec);
    world.launched().await;
    let sandbox = world.sandbox(&outer);
    eventually(|| sandbox.join("up").exists().then_some(())).await;
    assert_eq!(fs::read_to_string(sandbox.join("stdout")).unwrap(), "1 71000\n");
    // It belongs to nobody else than before, and what is new there is the group's.
    assert_eq!(of(&volume.source), (0, 71_000, 0o2775));
    assert_eq!(of(&volume.source.join("old")).1, 71_000);
    let mine = of(&volume.source.join("mine"));
    assert_eq!((mine.0, mine.1), (1, 71_000));
    assert_eq!(world.counts().free, 2);
    // Another user's container has the same one, with the same group.
    let other = ContainerId::root("other");
    let mut spec = world.spec(&other, BIN, "id -G; touch data/other; ls data");
    spec.volumes = vec![volume.clone()];
    let (_, output) = world.run(spec).await;
    assert_eq!(output, "2 71000\nmine\nold\nother\n");
    // The control: who has no volume is in no group, and cannot write.
    let at = volume.source.display();
    let alone = world.spec(&ContainerId::root("alone"), BIN, &format!("id -G; touch {at}/x || echo refused"));
    let (_, output) = world.run(alone).await;
    assert!(output.starts_with("2\nrefused\n"), "{output}");
    // One in the first, of another user: what is in the sandbox around gets a group too; the volume has one.
    let id = ContainerId { value: "n".into(), parent: Some(Arc::new(outer.clone())) };
    let script =
        "id -G; touch here/theirs kept/theirs; (touch fixed/x) 2> /dev/null || echo read-only; ls here";
    let mut spec = world.spec(&id, BIN, script);
    let volumes = vec![
        of_parent("here", "shared", Mode::Rw),
        of_parent("kept", "data", Mode::Rw),
        of_parent("fixed", "data", Mode::Ro),
    ];
    spec.info = Some(ContainerInfo { volumes, ..ContainerInfo::default() });
    let (status, output) = world.run(spec).await;
    assert_eq!((status, output.as_str()), (Some(0), "2 71000 71001\nread-only\nmine\ntheirs\n"));
    assert_eq!(of(&sandbox.join("shared")), (1, 71_001, 0o2775));
    assert!(volume.source.join("theirs").exists());
    assert_eq!(world.counts().free, 1);
    // The end of the one around frees what was in its sandbox; the volume's stays, also for a later agent.
    world.containerizer.destroy(&outer);
    assert_eq!(world.exited().await, Some(9));
    assert_eq!(world.counts().free, 2);
    assert_eq!(of(&sandbox.join("shared")), (1, 1, 0o755));
    (world.containerizer, world.notices) = start(world.directory.path(), &world.settings, true);
    assert_eq!(world.counts().free, 2);
    fs::remove_dir_all(&volume.source).unwrap();
    world.containerizer.release_volume_gid(&volume.source).unwrap();
    assert_eq!(world.counts().free, 3);
    let _ = fs::remove_dir_all(world.directory.path().join("run"));
}

#[tokio::test]
async fn root_no_group_is_left_and_no_link_leads_to_one() {
    let Some(mut world) = world("refused") else { return };
    let ids: Vec<ContainerId> = (0..4).map(|number| ContainerId::root(format!("c{number}"))).collect();
    for (number, id) in ids.iter().enumerate() {
        let mut spec = world.spec(id, DAEMON, "exit 0");
        spec.volumes = vec![world.volume(&format!("v{number}"))];
        world.containerizer.launch(spec);
        if number < 3 {
            world.launched().await;
            assert_eq!(world.exited().await, Some(0));
        }
    }
    let refused = match world.notice().await {
        Notice::Failed { message, .. } => message,
        other => panic!("{other:?}"),
    };
    let at = world.directory.path().join("volumes/roles/web/v3");
    let expected = format!(
        "Failed to allocate gid to the volume path '{}' because the free gid range is exhausted",
        at.display()
    );
    assert_eq!(refused, expected);
    // A link in the sandbox around gives nobody the group of another's volume.
    let outer = ContainerId::root("outer");
    let spec = world.spec(&outer, DAEMON, "touch up; exec sleep 78217");
    let sandbox = spec.directory.clone();
    std::os::unix::fs::symlink(world.directory.path().join("volumes/roles/web/v0"), sandbox.join("stolen"))
        .unwrap();
    world.containerizer.launch(spec);
    world.launched().await;
    let id = ContainerId { value: "n".into(), parent: Some(Arc::new(outer.clone())) };
    let mut spec = world.spec(&id, BIN, "true");
    let volumes = vec![of_parent("here", "stolen", Mode::Rw)];
    spec.info = Some(ContainerInfo { volumes, ..ContainerInfo::default() });
    world.containerizer.launch(spec);
    let refused = match world.notice().await {
        Notice::Failed { message, .. } => message,
        other => panic!("{other:?}"),
    };
    assert!(refused.contains("/stolen': Too many levels of symbolic links"), "{refused}");
    world.containerizer.destroy(&outer);
    world.exited().await;
    let _ = fs::remove_dir_all(world.directory.path().join("run"));
}
