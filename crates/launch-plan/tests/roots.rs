//! Plans of containers with roots of their own, as text. `UPDATE_EXPECT=1 cargo test -p launch-plan` rewrites them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use expect_test::{Expect, expect};
use launch_plan::{Container, Facts, Isolation, Layers, Persistent, Rootfs, Settings, plan};
use proto::mesos::v1::linux_info::IpcMode;
use proto::mesos::v1::volume::source::{self, Type, sandbox_path};
use proto::mesos::v1::volume::{Mode, Source};
use proto::mesos::v1::{ContainerInfo, Image, LinuxInfo, Volume};
use types::ContainerId;

const BOTH: &str = "filesystem/linux,namespaces/pid,namespaces/ipc";

fn rootfs() -> Rootfs {
    Rootfs {
        path: "/w/provisioner/c/root".to_owned(),
        layers: Some(Layers { links: "/w/provisioner/c/links".to_owned(), count: 3 }),
        ..Rootfs::default()
    }
}

fn container<'a>(id: &'a ContainerId, info: Option<&'a ContainerInfo>, root: &'a Rootfs) -> Container<'a> {
    Container { sandbox: "/w/sandbox", root: Some(root), ..Container::plain(id, info) }
}

fn shown(isolation: &str, container: &Container<'_>) -> String {
    let freezer = [("freezer".to_owned(), "/cg/freezer".to_owned())].into();
    let facts = Facts { root: true, hierarchies: freezer, ..Facts::default() };
    let settings = Settings::new(Isolation::parse(isolation, None, &facts).unwrap());
    match plan(&settings, &facts, container) {
        Ok(plan) => plan.process.to_string(),
        Err(refusal) => format!("refused: {refusal}\n"),
    }
}

fn check(isolation: &str, container: &Container<'_>, expected: &Expect) {
    expected.assert_eq(&shown(isolation, container));
}

/// The lines that one plan has and the other has not.
fn difference(one: &str, other: &str) -> String {
    let only = |these: &str, those: &str, sign: char| {
        let missing = these.lines().filter(|line| !those.lines().any(|other| other == *line));
        missing.map(|line| format!("{sign} {line}\n")).collect::<String>()
    };
    only(one, other, '-') + &only(other, one, '+')
}

fn ipc(mode: IpcMode, shm_size: Option<u32>) -> ContainerInfo {
    let linux = LinuxInfo { ipc_mode: Some(mode.into()), shm_size, ..LinuxInfo::default() };
    ContainerInfo { linux_info: Some(linux), ..ContainerInfo::default() }
}

#[test]
fn a_root_of_its_own() {
    let (id, root) = (ContainerId::root("c"), rootfs());
    check(
        BOTH,
        &container(&id, None, &root),
        &expect![[r#"
        new namespace mount
        new namespace pid
        new namespace ipc
        root /w/provisioner/c/root of 3 layers, linked to in /w/provisioner/c/links
          mount proc at /proc ()
          read-only /proc/bus
          read-only /proc/fs
          read-only /proc/irq
          read-only /proc/sys
          read-only /proc/sysrq-trigger
          mount sysfs at /sys (), read-only
          mount tmpfs at /sys/fs/cgroup (mode=755)
          mount tmpfs at /dev (mode=755), with devices
          mount devpts at /dev/pts (newinstance,ptmxmode=0666,mode=0620,gid=5), with devices
          device /dev/full c 1:7
          device /dev/null c 1:3
          device /dev/random c 1:8
          device /dev/tty c 5:0
          device /dev/urandom c 1:9
          device /dev/zero c 1:5
          link /dev/fd to /proc/self/fd
          link /dev/stdin to /proc/self/fd/0
          link /dev/stdout to /proc/self/fd/1
          link /dev/stderr to /proc/self/fd/2
          link /dev/ptmx to pts/ptmx
          mount tmpfs at /dev/shm (mode=1777)
        show /w/sandbox at /mnt/mesos/sandbox
        mask /proc/acpi
        mask /proc/asound
        mask /proc/kcore
        mask /proc/keys
        mask /proc/key-users
        mask /proc/latency_stats
        mask /proc/sched_debug
        mask /proc/scsi
        mask /proc/timer_list
        mask /proc/timer_stats
        mask /sys/firmware
        enter the root /w/provisioner/c/root
    "#]],
    );
}

#[test]
fn the_executor_of_a_command_stays_outside() {
    let (id, root) = (ContainerId::root("c"), rootfs());
    let plain = container(&id, None, &root);
    let command = Container { is_command_task: true, ..plain.clone() };
    expect![[r#"
        - enter the root /w/provisioner/c/root
        + mount proc at /proc ()
        + leave the root /w/provisioner/c/root to another
    "#]]
    .assert_eq(&difference(&shown(BOTH, &plain), &shown(BOTH, &command)));
}

#[test]
fn what_is_shared_is_not_its_own() {
    let (id, root) = (ContainerId::root("c"), rootfs());
    let plain = container(&id, None, &root);
    let before = shown(BOTH, &plain);
    let (private, shared) = (ipc(IpcMode::Private, Some(16)), ipc(IpcMode::ShareParent, None));
    let own = Container { info: Some(&private), ..plain.clone() };
    expect![[r#"
        -   mount tmpfs at /dev/shm (mode=1777)
        +   mount tmpfs at /dev/shm (mode=1777,size=16777216)
    "#]]
    .assert_eq(&difference(&before, &shown(BOTH, &own)));
    let machine = Container { info: Some(&shared), ..plain.clone() };
    expect![[r#"
        - new namespace ipc
        -   mount tmpfs at /dev/shm (mode=1777)
        +   show /dev/shm
    "#]]
    .assert_eq(&difference(&before, &shown(BOTH, &machine)));
    let linux = LinuxInfo { share_pid_namespace: Some(true), ..LinuxInfo::default() };
    let info = ContainerInfo { linux_info: Some(linux), ..ContainerInfo::default() };
    let privileged = Container { info: Some(&info), sees_all_processes: true, ..plain };
    expect![[r#"
        - new namespace pid
        - mask /proc/acpi
        - mask /proc/asound
        - mask /proc/kcore
        - mask /proc/keys
        - mask /proc/key-users
        - mask /proc/latency_stats
        - mask /proc/sched_debug
        - mask /proc/scsi
        - mask /proc/timer_list
        - mask /proc/timer_stats
        - mask /sys/firmware
    "#]]
    .assert_eq(&difference(&before, &shown(BOTH, &privileged)));
}

#[test]
fn nested_containers_and_roots() {
    let (executor, root) = (ContainerId::root("c"), rootfs());
    let id = ContainerId { value: "n".into(), parent: Some(Arc::new(executor)) };
    let nested = Container {
        sandbox: "/w/sandbox/containers/n",
        sandbox_root: Some("/w/sandbox"),
        ..container(&id, None, &root)
    };
    let sandbox = shown(BOTH, &nested);
    let sandbox: Vec<&str> = sandbox.lines().filter(|line| line.contains("sandbox")).collect();
    assert_eq!(sandbox, ["show /w/sandbox/containers/n at /mnt/mesos/sandbox, no link below /w/sandbox"]);
    // Without one it sees what the other sees, unless that has one.
    let plain = Container { root: None, ..nested.clone() };
    check(
        BOTH,
        &plain,
        &expect![[r#"
        enter namespace mount
        enter namespace ipc
        new namespace mount
        new namespace pid
        mount proc at /proc ()
    "#]],
    );
    let beside = Container { around_has_root: true, ..plain };
    check(
        BOTH,
        &beside,
        &expect![[r#"
        enter namespace ipc
        new namespace mount
        new namespace pid
        mount proc at /proc ()
    "#]],
    );
    let shared = ipc(IpcMode::ShareParent, None);
    check(
        BOTH,
        &Container { info: Some(&shared), ..nested.clone() },
        &expect![[r#"
        refused: A nested container with an image cannot share the /dev/shm of its parent; use the IPC mode `PRIVATE`, or none
    "#]],
    );
    let volumes = vec![Volume { container_path: "x".to_owned(), ..Volume::default() }];
    let info = ContainerInfo { volumes, ..ContainerInfo::default() };
    let session = Container { is_session: true, ..nested };
    check(
        BOTH,
        &session,
        &expect![[r#"
        refused: A 'rootfs' cannot be set for DEBUG containers
    "#]],
    );
    check(
        BOTH,
        &Container { root: None, info: Some(&info), ..session.clone() },
        &expect![[r#"
        refused: Volumes not supported for DEBUG containers
    "#]],
    );
    check(
        BOTH,
        &Container { root: None, ..session },
        &expect![[r#"
        enter namespace mount
        enter namespace pid
        enter namespace ipc
    "#]],
    );
}

/// Volumes of the machine, and of sandboxes.
fn volume(container_path: &str, kind: Type, path: &str, parent: bool) -> Volume {
    let kind_of = if parent { sandbox_path::Type::Parent } else { sandbox_path::Type::Self_ };
    let source = Source {
        r#type: Some(kind.into()),
        host_path: (kind == Type::HostPath)
            .then(|| source::HostPath { path: path.to_owned(), mount_propagation: None }),
        sandbox_path: (kind == Type::SandboxPath)
            .then(|| source::SandboxPath { r#type: Some(kind_of.into()), path: path.to_owned() }),
        ..Source::default()
    };
    Volume { container_path: container_path.to_owned(), source: Some(source), ..Volume::default() }
}

#[test]
fn images_are_volumes() {
    let (id, root, volume_root) = (ContainerId::root("c"), rootfs(), rootfs());
    let image = |at: &str, mode: Mode| Volume {
        container_path: at.to_owned(),
        image: Some(Image::default()),
        mode: mode.into(),
        ..Volume::default()
    };
    let volumes = vec![image("/opt/data", Mode::Rw), image("models", Mode::Ro)];
    let info = ContainerInfo { volumes, ..ContainerInfo::default() };
    let layered = Rootfs { path: "/w/provisioner/c/volume".to_owned(), ..volume_root };
    let copied = Rootfs { path: "/w/provisioner/c/copy".to_owned(), ..Rootfs::default() };
    let provided = [layered, copied];
    let with_root = Container { image_volumes: &provided, ..container(&id, Some(&info), &root) };
    let shows = |isolation: &str, container: &Container<'_>| {
        let text = shown(isolation, container);
        let is_told = |line: &&str| ["show", "mount at", "refused"].iter().any(|it| line.starts_with(it));
        text.lines().filter(is_told).fold(String::new(), |all, line| all + line + "\n")
    };
    expect![[r#"
        mount at /w/provisioner/c/volume 3 layers, linked to in /w/provisioner/c/links
        show /w/sandbox at /mnt/mesos/sandbox
        show /w/provisioner/c/volume at /opt/data
        show /w/provisioner/c/copy at /mnt/mesos/sandbox/models, read-only
    "#]]
    .assert_eq(&shows("filesystem/linux", &with_root));
    let without_root = Container { root: None, ..with_root.clone() };
    expect![[r#"
        mount at /w/provisioner/c/volume 3 layers, linked to in /w/provisioner/c/links
        show /w/provisioner/c/volume at /opt/data, which must exist
        show /w/provisioner/c/copy at models inside /w/sandbox, read-only
    "#]]
    .assert_eq(&shows("filesystem/linux", &without_root));
    let missing = Container { image_volumes: &provided[..1], ..without_root.clone() };
    let refused = [
        shows("filesystem/linux", &missing),
        shows("posix/cpu", &without_root),
        shows("filesystem/linux,namespaces/user", &Container { ids: Some(65536), ..without_root }),
    ];
    expect![[r#"
        refused: The image for the volume at 'models' was not provided
        refused: 'filesystem/linux' must be used to enable HOST_PATH, SECRET, DOCKER_VOLUME and image volumes
        refused: A user namespace needs volumes of images that are copies: set --image_provisioner_backend=copy
    "#]].assert_eq(&refused.concat());
}

#[test]
fn volumes_are_shown() {
    let (executor, root) = (ContainerId::root("c"), rootfs());
    let id = ContainerId { value: "n".into(), parent: Some(Arc::new(executor)) };
    let persistent = [Persistent { source: "/w/volumes/v".to_owned(), name: "data".to_owned() }];
    let mut volumes = vec![
        volume("/abs", Type::HostPath, "/srv", false),
        volume("rel/deep", Type::HostPath, "/srv", false),
        volume("/own", Type::SandboxPath, "mine", false),
        volume("shared", Type::SandboxPath, "ours/x", true),
        volume("kept", Type::SandboxPath, "data/y", true),
    ];
    volumes[1].mode = Mode::Ro.into();
    let info = ContainerInfo { volumes, ..ContainerInfo::default() };
    let nested = Container {
        sandbox: "/w/sandbox/containers/n",
        sandbox_root: Some("/w/sandbox"),
        around: Some(("/w/sandbox", &persistent)),
        ..container(&id, Some(&info), &root)
    };
    let shows = |container: &Container<'_>| {
        let text = shown("filesystem/linux", container);
        text.lines()
            .filter(|line| line.starts_with("show") || line.starts_with("refused"))
            .fold(String::new(), |all, line| all + line + "\n")
    };
    expect![[r#"
        show /w/sandbox/containers/n at /mnt/mesos/sandbox, no link below /w/sandbox
        show /srv at /abs
        show /srv at /mnt/mesos/sandbox/rel/deep, read-only
        show /w/sandbox/containers/n/mine at /own, no link below /w/sandbox
        show /w/sandbox/ours/x at /w/sandbox/ours/x, no link below /w/sandbox
        show /w/volumes/v/y at /w/sandbox/data/y, no link below /w/volumes/v
    "#]]
    .assert_eq(&shows(&nested));
    // Without a root of its own links in the sandbox do for what is in sandboxes.
    expect![[r#"
        show /srv at /abs, which must exist
        show /srv at rel/deep inside /w/sandbox/containers/n, read-only
    "#]]
    .assert_eq(&shows(&Container { root: None, ..nested.clone() }));
    // With groups for volumes, which no link in a sandbox leads to, what is in the sandbox around is mounted.
    expect![[r#"
        show /srv at /abs, which must exist
        show /srv at rel/deep inside /w/sandbox/containers/n, read-only
        show /w/sandbox/ours/x at shared inside /w/sandbox/containers/n, no link below /w/sandbox
        show /w/volumes/v/y at kept inside /w/sandbox/containers/n, no link below /w/volumes/v
    "#]]
    .assert_eq(&shows(&Container { root: None, mounts_sandbox_paths: true, ..nested.clone() }));
    let with_volume = Container { volumes: &persistent, info: None, ..nested.clone() };
    expect![[r#"
        show /w/sandbox/containers/n at /mnt/mesos/sandbox, no link below /w/sandbox
        show /w/volumes/v at /w/volumes/v
    "#]]
    .assert_eq(&shows(&with_volume));
    let refused = |bad: Volume| {
        let info = ContainerInfo { volumes: vec![bad], ..ContainerInfo::default() };
        shows(&Container { info: Some(&info), ..nested.clone() })
    };
    let all = [
        refused(volume("../up", Type::HostPath, "/srv", false)),
        refused(volume("x", Type::HostPath, "srv", false)),
        refused(volume("x", Type::SandboxPath, "../../etc", true)),
        refused(volume("x", Type::Secret, "", true)),
    ];
    expect![[r#"
        refused: The 'container_path' '../up' of a HOST_PATH volume is not a path below the sandbox
        refused: Path 'srv' in HOST_PATH volume is not absolute
        refused: Path '../../etc' in 'SandboxPath' volume is not a path below the sandbox
        refused: The secret at 'x' has no known type
    "#]]
    .assert_eq(&all.concat());
}

#[test]
fn images_need_mounts_of_their_own() {
    let (id, root) = (ContainerId::root("c"), rootfs());
    check(
        "posix/cpu",
        &container(&id, None, &root),
        &expect![[r#"
        refused: 'filesystem/linux' must be used to enable images
    "#]],
    );
}
