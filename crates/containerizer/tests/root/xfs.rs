//! `disk/xfs` on an XFS with project quotas, which the machine of `machine.rs` has at a place of its own.

use std::ops::RangeInclusive;

use containerizer::{ProjectCounts, ProjectSettings, Projects, QuotaPolicy, Volume};
use proto::mesos::v1::resource::DiskInfo;
use proto::mesos::v1::resource::disk_info::Persistence;

use super::*;

/// Where that is. It has room for more than any of these tests writes.
const PLACE: &str = "/xfs";

/// The first of the numbers to give. Tests side by side are on one file system, and each has its own.
const PROJECT: u32 = 7101;

/// How deep sandboxes are.
const RUNS: &str = "slaves/s/frameworks/f/executors/e/runs";
const MEGABYTE: u64 = 1 << 20;

/// A world on XFS, whose sandboxes are where an agent has them. `None` on a machine without.
fn world_on_xfs(name: &str, policy: QuotaPolicy, ids: RangeInclusive<u32>) -> Option<World> {
    if !Path::new(PLACE).exists() {
        eprintln!("no XFS with project quotas here; the machine with cgroups of version 2 has it: {name}");
        return None;
    }
    let mut world = world(name, "disk/xfs", |_| {})?;
    world.directory = tempfile::tempdir_in(PLACE).unwrap();
    restart(&mut world, policy, ids);
    Some(world)
}

/// Another agent takes over.
fn restart(world: &mut World, policy: QuotaPolicy, ids: RangeInclusive<u32>) {
    let settings = ProjectSettings {
        work_dir: world.directory.path().to_owned(),
        disks: Vec::new(),
        ids: vec![ids],
        policy,
        interval: Duration::from_millis(50),
    };
    let projects = Some(Arc::new(Projects::prepare(settings).unwrap()));
    let (sender, notices) = mpsc::channel(16);
    let config = Config { projects, ..config(&world.directory, &world.facts, &world.settings) };
    world.containerizer = Containerizer::new(config, sender);
    world.notices = notices;
}

fn spec(world: &World, container: &str, script: &str) -> Spec {
    let directory = world.directory.path().join(RUNS).join(container);
    fs::create_dir_all(&directory).unwrap();
    let mut spec = world.spec(container, script);
    // That one is not used.
    fs::remove_dir(std::mem::replace(&mut spec.directory, directory.clone())).unwrap();
    spec.environment[1].1 = directory.to_str().unwrap().to_owned();
    spec
}

#[tokio::test]
async fn root_xfs_bounds_a_sandbox_until_it_is_deleted() {
    let Some(mut world) = world_on_xfs("xfs-bound", QuotaPolicy::Bound, PROJECT..=PROJECT) else { return };
    // What it says is not in its sandbox, where there is no room.
    let script = "head -c 20971520 /dev/zero > file && echo fits > ../said || echo full > ../said
        while [ ! -e ../go ]; do sleep 0.1; done";
    let bounded = spec(&world, "bounded", script);
    let (id, sandbox) = (bounded.container.clone(), bounded.directory.clone());
    world.containerizer.launch(bounded);
    let pid = world.launched().await;
    let said = || fs::read_to_string(sandbox.join("../said")).ok().filter(|it| it.ends_with('\n'));
    assert_eq!(eventually(said).await, "full\n");
    assert!(fs::metadata(sandbox.join("file")).unwrap().len() <= 8 * MEGABYTE);
    assert_eq!(linux::project_of(&sandbox).unwrap(), Some(PROJECT));
    let statistics = world.containerizer.usage(&id).unwrap();
    assert_eq!(statistics.disk_limit_bytes, Some(8 * MEGABYTE));
    let used = statistics.disk_used_bytes.unwrap();
    assert!((6 * MEGABYTE..=8 * MEGABYTE).contains(&used), "{used}");
    // A larger share counts at once.
    let more = vec![scalar("cpus", 0.5), scalar("mem", 64.0), scalar("disk", 32.0)];
    world.containerizer.update(&id, more, Limits::new(), Vec::new()).unwrap();
    fs::write(sandbox.join("more"), vec![1; 12 << 20]).unwrap();
    // A later agent knows whose the number is.
    restart(&mut world, QuotaPolicy::Bound, PROJECT..=PROJECT);
    world.containerizer.adopt(id.clone(), Some(pid), sandbox.to_str().unwrap().to_owned());
    world.launched().await;
    assert!(world.containerizer.usage(&id).unwrap().disk_used_bytes.unwrap() > 12 * MEGABYTE);
    fs::write(sandbox.join("../go"), "").unwrap();
    world.exited().await;
    // Its sandbox keeps it, also when the container is over.
    world.containerizer.launch(spec(&world, "refused", "true"));
    match world.notice().await {
        Notice::Failed { message, .. } => {
            assert_eq!(message, "Failed to assign project ID, range exhausted");
        }
        other => panic!("{other:?}"),
    }
    fs::remove_dir_all(&sandbox).unwrap();
    let next = spec(&world, "next", "head -c 5242880 /dev/zero > file");
    let (termination, _) = world.run(next).await;
    assert_eq!((termination.status, termination.reason), (Some(0), None));
}

#[tokio::test]
async fn root_xfs_ends_a_container_whose_sandbox_is_too_large() {
    let policy = QuotaPolicy::Kill { headroom: 10 * MEGABYTE };
    let Some(mut world) = world_on_xfs("xfs-kill", policy, PROJECT + 10..=PROJECT + 12) else { return };
    let spec = spec(&world, "full", "head -c 12582912 /dev/zero > file; sleep 73911");
    let (termination, _) = world.run(spec).await;
    assert_eq!(termination.reason, Some(Reason::ContainerLimitationDisk.into()));
    assert_eq!(termination.state, Some(TaskState::TaskFailed.into()));
    let message = termination.message.unwrap();
    assert!(message.starts_with("Disk usage (") && message.ends_with(") exceeded quota (8MB)"), "{message}");
    let used = termination.limited_resources[0].scalar.unwrap().value;
    assert!((8.0..=18.0).contains(&used), "{used}");
}

/// Gives a container a persistent volume of so many megabytes, as `data`.
fn with_volume(world: &World, spec: &mut Spec, id: &str, megabytes: f64) -> PathBuf {
    let source = world.directory.path().join("volumes/roles/web").join(id);
    fs::create_dir_all(&source).unwrap();
    let seen = proto::mesos::v1::Volume { container_path: "data".to_owned(), ..Default::default() };
    let disk = DiskInfo {
        persistence: Some(Persistence { id: id.to_owned(), principal: None }),
        volume: Some(seen),
        source: None,
    };
    spec.resources.push(Resource { disk: Some(disk), ..scalar("disk", megabytes) });
    let volume = Volume { id: id.to_owned(), source: source.clone(), name: "data".to_owned(), shared: false };
    spec.volumes.push(volume);
    source
}

#[tokio::test]
async fn root_xfs_bounds_a_persistent_volume_until_it_is_destroyed() {
    let ids = PROJECT + 30..=PROJECT + 32;
    let Some(mut world) = world_on_xfs("xfs-volume", QuotaPolicy::Bound, ids.clone()) else { return };
    // Its sandbox has room for 8 megabytes.
    let script = "head -c 12582912 /dev/zero > data/file && exit 1
        head -c 6291456 /dev/zero > file || exit 2; : > said
        while [ ! -e go ]; do sleep 0.1; done";
    let mut spec = spec(&world, "with-volume", script);
    let volume = with_volume(&world, &mut spec, "v", 4.0);
    let (id, sandbox) = (spec.container.clone(), spec.directory.clone());
    world.containerizer.launch(spec);
    world.launched().await;
    let said = sandbox.join("said");
    eventually(|| said.exists().then_some(())).await;
    assert!(fs::metadata(volume.join("file")).unwrap().len() <= 4 * MEGABYTE);
    let projects = [&sandbox, &volume].map(|place| linux::project_of(place).unwrap());
    assert_eq!(projects, [Some(PROJECT + 30), Some(PROJECT + 31)]);
    let counts = |world: &World| world.containerizer.project_counts().unwrap();
    assert_eq!(counts(&world), ProjectCounts { total: 3, free: 1 });
    let statistics = world.containerizer.usage(&id).unwrap();
    let [told] = &statistics.disk_statistics[..] else { panic!("{statistics:?}") };
    assert_eq!(told.persistence.as_ref().map(|it| it.id.as_str()), Some("v"));
    assert_eq!(told.limit_bytes, Some(4 * MEGABYTE));
    let used = told.used_bytes.unwrap();
    assert!((2 * MEGABYTE..=4 * MEGABYTE).contains(&used), "{used}");
    assert_eq!(statistics.disk_limit_bytes, Some(8 * MEGABYTE));
    fs::write(sandbox.join("go"), "").unwrap();
    world.exited().await;
    fs::remove_dir_all(&sandbox).unwrap();
    // A later agent knows whose the number is, and frees it when the volume is gone.
    restart(&mut world, QuotaPolicy::Bound, ids);
    assert_eq!(counts(&world), ProjectCounts { total: 3, free: 2 });
    fs::remove_dir_all(&volume).unwrap();
    eventually(|| (counts(&world).free == 3).then_some(())).await;
}

#[tokio::test]
async fn root_xfs_ends_a_container_whose_volume_is_too_large() {
    let policy = QuotaPolicy::Kill { headroom: 10 * MEGABYTE };
    let ids = PROJECT + 40..=PROJECT + 42;
    let Some(mut world) = world_on_xfs("xfs-kill-volume", policy, ids) else { return };
    let mut spec = spec(&world, "full", "head -c 8388608 /dev/zero > data/file; sleep 78211");
    with_volume(&world, &mut spec, "v", 4.0);
    let (termination, _) = world.run(spec).await;
    assert_eq!(termination.reason, Some(Reason::ContainerLimitationDisk.into()));
    let message = termination.message.unwrap();
    assert!(message.ends_with(") exceeded quota (4MB) for volume 'v'"), "{message}");
    let limited = termination.limited_resources[0].disk.as_ref().unwrap();
    assert_eq!(limited.persistence.as_ref().unwrap().id, "v");
}

#[tokio::test]
async fn root_xfs_only_counts_without_enforcement() {
    let Some(mut world) = world_on_xfs("xfs-count", QuotaPolicy::Account, PROJECT + 20..=PROJECT + 20) else {
        return;
    };
    let spec = spec(&world, "large", "head -c 12582912 /dev/zero > file");
    let sandbox = spec.directory.clone();
    let (termination, _) = world.run(spec).await;
    assert_eq!((termination.status, termination.reason), (Some(0), None));
    assert_eq!(fs::metadata(sandbox.join("file")).unwrap().len(), 12 * MEGABYTE);
}

#[test]
fn root_xfs_needs_project_quotas() {
    let plain = Path::new("/xfs-without-quotas");
    if !plain.exists() {
        eprintln!("no XFS without quotas here; the machine with cgroups of version 2 has it");
        return;
    }
    let settings = ProjectSettings {
        work_dir: plain.to_owned(),
        disks: Vec::new(),
        ids: vec![PROJECT..=PROJECT],
        policy: QuotaPolicy::Bound,
        interval: Duration::from_secs(60),
    };
    let refused = Projects::prepare(settings).unwrap_err();
    assert_eq!(
        refused,
        "Failed to enable XFS project quotas on '/xfs-without-quotas': Function not implemented (os error 38)"
    );
}
