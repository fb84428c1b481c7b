//! `docker/volume` on the real kernel, with a program `dvdcli` that mounts directories: who sees what, how often it is
//! called, and what is left.
//!
//! Where the machine lacks something a test says so on its standard error, and is over.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]

#[expect(dead_code, reason = "no test here hides files of layers")]
mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use containerizer::{
    Config, Containerizer, DockerVolumeSettings, Isolation, Limits, Notice, OfImage, Program, Provisioner,
    Settings, Spec, facts,
};
use fetcher::Fetcher;
use launch_plan::ImageConfig;
use proto::mesos::v1::volume::source::{DockerVolume, Type};
use proto::mesos::v1::volume::{Mode, Source};
use proto::mesos::v1::{CommandInfo, ContainerInfo, Parameter, Parameters, Volume};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use types::ContainerId;

use common::{Layers, base, can, image};

const PATIENCE: Duration = Duration::from_secs(60);

/// What stands for the program and its drivers. `refusing` and `hanging` are drivers that do so.
const DVDCLI: &str = r#"#!/bin/sh
home=$(dirname "$0")
echo "$*" >> "$home/calls"
for argument in "$@"; do
    case $argument in
    --volumedriver=*) driver=${argument#*=} ;;
    --volumename=*) name=${argument#*=} ;;
    esac
done
at=$home/mounted/$name
case $1.$driver in
mount.refusing) echo "no such driver" >&2; exit 3 ;;
mount.hanging) echo $$ > "$home/hangs"; sleep 78801 ;;
mount.lost) echo nowhere ;;
mount.*)
    mkdir -p "$at" "$home/data/$name"
    [ -e "$at/.there" ] || mount --bind "$home/data/$name" "$at" || exit 1
    touch "$at/.there"
    echo "$at" ;;
unmount.local) umount "$at" && rmdir "$at" ;;
unmount.*) echo "never mounted" >&2; exit 4 ;;
esac
"#;

struct World {
    directory: TempDir,
    settings: Settings,
    volumes: DockerVolumeSettings,
}

struct Agent {
    /// Dropped before what it leaves is looked at.
    runtime: Runtime,
    containerizer: Containerizer,
    notices: mpsc::Receiver<Notice>,
}

fn world(name: &str) -> Option<World> {
    if !can(name) {
        return None;
    }
    let isolation = match Isolation::parse("filesystem/linux,docker/volume", Some("linux"), &facts()) {
        Ok(isolation) => isolation,
        Err(error) => {
            eprintln!("SKIPPED {name}: {error}");
            return None;
        }
    };
    let cgroups_root = format!("mesos-test-{}-dvol-{name}", std::process::id());
    let settings = Settings { cgroups_root, ..Settings::new(isolation) };
    let directory = tempfile::tempdir().unwrap();
    base(&directory.path().join("images/box/0"));
    let program = directory.path().join("dvdcli");
    fs::write(&program, DVDCLI).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let search = format!("/no/such:{}", directory.path().display());
    let volumes = DockerVolumeSettings::new(&search, &directory.path().join("kept"), true).unwrap();
    Some(World { directory, settings, volumes })
}

fn volume(at: &str, driver: Option<&str>, name: &str) -> Volume {
    let option = |key: &str| Parameter { key: key.to_owned(), value: "1".to_owned() };
    let docker_volume = DockerVolume {
        driver: driver.map(str::to_owned),
        name: name.to_owned(),
        driver_options: Some(Parameters { parameter: vec![option("size"), option("iops")] }),
    };
    let r#type = Some(Type::DockerVolume.into());
    let source = Source { r#type, docker_volume: Some(docker_volume), ..Source::default() };
    Volume { container_path: at.to_owned(), source: Some(source), ..Volume::default() }
}

impl World {
    fn at(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn agent(&self) -> Agent {
        self.agent_with(Some(self.volumes.clone()))
    }

    fn agent_with(&self, docker_volumes: Option<DockerVolumeSettings>) -> Agent {
        let runtime = Runtime::new().unwrap();
        let entered = runtime.enter();
        let fetcher = Fetcher::new(fetcher::Config {
            cache_dir: self.at("cache"),
            cache_bytes_max: 1 << 20,
            stall_timeout: Duration::from_secs(5),
            frameworks_home: String::new(),
            hadoop: None,
            limits: fetcher::Limits::default(),
        });
        let images = Layers { directory: self.at("images"), config: ImageConfig::default() };
        let provisioner = Provisioner::new(&self.at("work"), Some("copy"), Arc::new(images)).unwrap();
        let launcher = PathBuf::from(env!("CARGO_BIN_EXE_mesos-containerizer"));
        let config = Config {
            settings: self.settings.clone(),
            facts: facts(),
            runtime_dir: Some(self.at("run")),
            provisioner: Some(Arc::new(provisioner)),
            docker_volumes,
            ..Config::posix(launcher, Arc::new(fetcher.unwrap()))
        };
        let (sender, notices) = mpsc::channel(16);
        let containerizer = Containerizer::new(config, sender);
        drop(entered);
        Agent { runtime, containerizer, notices }
    }

    fn sandbox(&self, name: &str) -> PathBuf {
        self.at("sandboxes").join(name)
    }

    fn spec(&self, name: &str, has_image: bool, script: &str, volumes: &[Volume]) -> Spec {
        let directory = self.sandbox(name);
        fs::create_dir_all(&directory).unwrap();
        let sandbox = directory.to_str().unwrap().to_owned();
        let command = CommandInfo { value: Some(script.to_owned()), ..CommandInfo::default() };
        Spec {
            container: ContainerId::root(name),
            directory,
            user: None,
            uris: Vec::new(),
            program: Program::of(&command).unwrap(),
            image: has_image.then(|| OfImage { image: image("box"), command }),
            environment: vec![("MESOS_SANDBOX".to_owned(), sandbox)],
            resources: Vec::new(),
            limits: Limits::new(),
            volumes: Vec::new(),
            info: Some(ContainerInfo { volumes: volumes.to_vec(), ..ContainerInfo::default() }),
            is_command_task: false,
            forked_pid_path: None,
            by_name: None,
        }
    }

    /// What the program was told since it was asked last, without the driver.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.at("calls")).unwrap_or_default();
        let _ = fs::remove_file(self.at("calls"));
        calls
            .lines()
            .map(|line| line.replace(" --volumedriver=local", "").replace(" --volume", " "))
            .collect()
    }

    fn listed(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.at(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Waits until the container's command is that far.
    fn up(&self, name: &str) -> String {
        let sandbox = self.sandbox(name);
        eventually(|| sandbox.join("up").exists());
        fs::read_to_string(sandbox.join("stdout")).unwrap()
    }
}

impl Agent {
    fn notice(&mut self) -> Notice {
        let notices = &mut self.notices;
        let next = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, notices.recv()).await });
        next.expect("a notice in time").unwrap()
    }

    fn launch(&mut self, spec: Spec) {
        let _entered = self.runtime.enter();
        self.containerizer.launch(spec);
    }

    fn launched(&mut self) -> u32 {
        match self.notice() {
            Notice::Launched { pid, .. } => pid,
            other => panic!("{other:?}"),
        }
    }

    fn failed(&mut self, spec: Spec) -> String {
        self.launch(spec);
        match self.notice() {
            Notice::Failed { message, .. } => message,
            other => panic!("{other:?}"),
        }
    }

    fn end(&mut self, name: &str) {
        assert!(self.containerizer.destroy(&ContainerId::root(name)));
        match self.notice() {
            Notice::Exited { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for World {
    /// Nothing is left: no mount, no cgroup, no note.
    fn drop(&mut self) {
        let mut left = Vec::new();
        for hierarchy in facts().hierarchies.values() {
            let root = Path::new(hierarchy).join(&self.settings.cgroups_root);
            let containers = fs::read_dir(&root).into_iter().flatten().flatten();
            left.extend(containers.map(|entry| entry.path()).filter(|path| path.is_dir()));
            let _ = linux::Cgroup::at(root).destroy(PATIENCE);
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let own = self.directory.path().to_str().unwrap();
        for line in mounts.lines().filter(|line| line.contains(own)) {
            left.push(line.into());
            let target = line.split(' ').nth(4).unwrap();
            let _ = rustix::mount::unmount(target, rustix::mount::UnmountFlags::DETACH);
        }
        left.extend(self.listed("kept").iter().map(|name| format!("kept/{name}").into()));
        if !std::thread::panicking() {
            assert_eq!(left, Vec::<PathBuf>::new());
        }
    }
}

fn eventually(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn root_docker_volumes_are_shared_and_survive_the_agent() {
    let Some(world) = world("shared") else { return };
    let mut agent = world.agent();
    let mount = |name: &str| format!("mount name={name} opts=iops=1 opts=size=1");
    let script = "echo written > deep/data/file; stat -c %u deep/data; touch up; exec sleep 78802";
    let mut spec = world.spec("first", false, script, &[volume("deep/data", Some("local"), "v")]);
    spec.user = Some("daemon".to_owned());
    std::os::unix::fs::chown(&spec.directory, Some(1), Some(1)).unwrap();
    agent.launch(spec);
    agent.launched();
    assert_eq!(world.up("first"), "1\n");
    assert_eq!(fs::metadata(world.at("data/v")).unwrap().uid(), 1);
    assert_eq!(
        fs::read_to_string(world.at("kept/first/volumes")).unwrap(),
        r#"{"volumes":[{"driver":"local","name":"v"}]}"#
    );
    // Another one has it in its own root, and may only read it.
    let read_only = Volume { mode: Mode::Ro.into(), ..volume("/abs", Some("local"), "v") };
    let script = "cat /abs/file; (echo x > /abs/new) 2>/dev/null || echo read-only; echo x > more/x; touch up; exec sleep 78803";
    agent.launch(world.spec("second", true, script, &[read_only, volume("more", Some("local"), "w")]));
    let second = agent.launched();
    assert_eq!(world.up("second"), "written\nread-only\n");
    agent.launch(world.spec(
        "third",
        false,
        "touch up; exec sleep 78804",
        &[volume("x", Some("local"), "x")],
    ));
    agent.launched();
    world.up("third");
    assert_eq!(world.calls(), [mount("v"), mount("v"), mount("w"), mount("x")]);
    // It stays for the other one.
    agent.end("first");
    assert_eq!(
        (world.calls(), world.listed("kept")),
        (vec![], vec!["second".to_owned(), "third".to_owned()])
    );
    // An agent that knows one of the two comes after this one died. Nobody but it sees to what the other one has.
    agent.runtime.shutdown_background();
    let mut agent = world.agent();
    let known = ContainerId::root("second");
    let entered = agent.runtime.enter();
    agent.containerizer.destroy_orphans(&BTreeSet::from([known.clone()]));
    let sandbox = world.sandbox("second").to_str().unwrap().to_owned();
    agent.containerizer.adopt(known, Some(second), sandbox);
    drop(entered);
    assert_eq!(agent.launched(), second);
    eventually(|| world.listed("kept") == ["second"]);
    assert_eq!(
        (world.calls(), world.listed("mounted")),
        (vec!["unmount name=x".to_owned()], vec!["v".to_owned(), "w".to_owned()])
    );
    agent.end("second");
    assert_eq!(world.calls(), ["unmount name=v", "unmount name=w"]);
    assert_eq!(world.listed("mounted"), Vec::<String>::new());
    assert_eq!(fs::read_to_string(world.at("data/w/x")).unwrap(), "x\n");
}

#[test]
fn root_docker_volumes_that_cannot_be_had_fail_the_launch() {
    let Some(mut world) = world("refused") else { return };
    world.volumes.mount_patience = Duration::from_secs(1);
    let mut agent = world.agent();
    let mut refused = |name: &str, volumes: &[Volume]| {
        let message = agent.failed(world.spec(name, false, "true", volumes));
        assert_eq!(world.listed("mounted"), Vec::<String>::new(), "{name}");
        (message, world.calls().len())
    };
    let good = volume("good", Some("local"), "good");
    let (message, calls) = refused("refusing", &[good.clone(), volume("x", Some("refusing"), "x")]);
    assert_eq!((message.as_str(), calls), ("Unexpected termination of the subprocess: no such driver", 4));
    assert_eq!(world.listed("kept"), Vec::<String>::new());
    let twice = [good.clone(), volume("x", Some("local"), "good")];
    let expected = "Found duplicate docker volume with driver 'local' and name 'good'";
    assert_eq!(refused("twice", &twice), (expected.to_owned(), 0));
    let expected = "The volume driver is not specified for volume 'x' with container none";
    assert_eq!(refused("none", &[volume("x", None, "x")]), (expected.to_owned(), 0));
    let mut without = world.agent_with(None);
    let message = without.failed(world.spec("without", false, "true", &[good]));
    assert_eq!(message, "'docker/volume' must be used to enable the DOCKER_VOLUME at 'good'");
}

#[test]
fn root_docker_volumes_whose_state_is_unknown_stay_noted() {
    let Some(mut world) = world("unknown") else { return };
    world.volumes.mount_patience = Duration::from_secs(1);
    let mut agent = world.agent();
    let message = agent.failed(world.spec("hanging", false, "true", &[volume("x", Some("hanging"), "x")]));
    assert!(message.ends_with("for the docker volume 'x': 'mount' did not end within 1 s"), "{message}");
    let pid: i32 = fs::read_to_string(world.at("hangs")).unwrap().trim().parse().unwrap();
    let group = rustix::process::Pid::from_raw(pid).unwrap();
    eventually(|| rustix::process::test_kill_process_group(group).is_err());
    let message = agent.failed(world.spec("lost", false, "true", &[volume("x", Some("lost"), "x")]));
    let expected = "The mount point 'nowhere' of the docker volume with driver 'lost' and name 'x' is not an absolute path";
    assert_eq!(message, expected);
    // Whether there is anything to be unmounted is not known, and it could not be done: it is tried again.
    assert_eq!(world.listed("kept"), ["hanging", "lost"]);
    assert_eq!(world.calls().len(), 4);
    agent.runtime.shutdown_background();
    fs::write(&world.volumes.program, "#!/bin/sh\necho \"$1\" >> \"$(dirname \"$0\")/calls\"\n").unwrap();
    let agent = world.agent();
    let entered = agent.runtime.enter();
    agent.containerizer.destroy_orphans(&BTreeSet::new());
    drop(entered);
    eventually(|| world.listed("kept").is_empty());
    assert_eq!(world.calls(), ["unmount", "unmount"]);
}

#[test]
fn without_the_program_there_is_no_isolator() {
    let home = tempfile::tempdir().unwrap();
    let found = DockerVolumeSettings::new("/no/such", home.path(), false);
    assert_eq!(found.unwrap_err(), "The 'docker/volume' isolator cannot get dvdcli command");
}
