//! `gpu/nvidia` with ordinary devices in the place of GPUs: who may open which.

use containerizer::{Gpu, find_gpus};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use super::*;

/// Devices that `cgroups/devices` does not let containers open, and that many kernels have: of messages, processors,
/// loops, file systems and virtual machines.
const CANDIDATES: [(u32, u32); 9] =
    [(1, 4), (1, 11), (10, 126), (10, 144), (10, 229), (10, 232), (10, 234), (10, 235), (10, 237)];

/// What they stand for, in the order of their numbers.
const NAMES: [&str; 3] = ["nvidia0", "nvidia1", "nvidiactl"];

fn make(path: &Path, (major, minor): (u32, u32)) -> bool {
    let mode = Mode::from_raw_mode(0o666);
    mknodat(CWD, path, FileType::CharacterDevice, mode, makedev(major, minor)).is_ok()
}

/// A tree like that of a machine with two GPUs, and their numbers. None where no devices can be made or opened.
fn tree(root: &Path) -> Option<[Gpu; 2]> {
    fs::create_dir_all(root.join("dev/nvidia-caps")).unwrap();
    let opens = |numbers: &(u32, u32)| {
        let path = root.join("trial");
        let opens = make(&path, *numbers) && fs::File::open(&path).is_ok();
        let _ = fs::remove_file(path);
        opens
    };
    let found: Vec<(u32, u32)> = CANDIDATES.into_iter().filter(opens).take(NAMES.len()).collect();
    let [first, second, _] = found[..] else { return None };
    for (name, numbers) in NAMES.into_iter().zip(found).chain([("nvidia-uvm", (1, 12))]) {
        assert!(make(&root.join("dev").join(name), numbers));
    }
    for (place, minor) in [("0000:03:00.0", 0), ("0000:02:00.0", 1)] {
        let place = root.join("proc/driver/nvidia/gpus").join(place);
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("information"), format!("Model: \t\t Tesla\nDevice Minor: \t {minor}\n"))
            .unwrap();
    }
    let version = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19\n";
    fs::write(root.join("proc/driver/nvidia/version"), version).unwrap();
    fs::create_dir_all(root.join("var/run/mesos/isolators/gpu/nvidia_535.104.05")).unwrap();
    Some([first, second].map(|(major, minor)| Gpu { major, minor }))
}

/// Tells which devices open, at the beginning and once more when asked to.
fn spec(world: &World, tree: &Path, container: &str, gpus: f64) -> Spec {
    let dev = tree.join("dev").display().to_string();
    let look = format!(
        "for d in nvidia0 nvidia1 nvidiactl; do (: < {dev}/$d) 2> /dev/null && echo -n \"$d \"; done; echo"
    );
    let script = format!(
        "({look}) > first; until [ -e go ]; do sleep 0.05; done; ({look}) > second; exec sleep 74391"
    );
    let mut spec = world.spec(container, &script);
    spec.resources.push(scalar("gpus", gpus));
    spec
}

async fn refused(world: &mut World, spec: Spec) -> String {
    world.containerizer.launch(spec);
    match world.notice().await {
        Notice::Failed { message, .. } => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn root_gpus_open_for_those_who_have_them() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let Some([zero, one]) = tree(root) else {
        eprintln!("SKIPPED gpus: this needs root, and three of these devices: {CANDIDATES:?}");
        return;
    };
    let found = find_gpus(root).unwrap();
    assert_eq!(found.gpus, [one, zero]);
    assert!(found.rest.driver.as_ref().unwrap().ends_with("/nvidia_535.104.05"));
    let names: Vec<&str> = found.rest.nodes.iter().map(|node| node.path.as_str()).collect();
    assert_eq!(names, ["/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidia1", "/dev/nvidiactl"]);
    let set = |settings: &mut Settings| {
        settings.gpus = containerizer::Gpus { offered: found.gpus.into_iter().collect(), ..found.rest };
    };
    let Some(mut world) = world("gpus", "gpu/nvidia,cgroups/devices,filesystem/linux", set) else { return };
    let mut first = spec(&world, root, "first", 1.0);
    first.forked_pid_path = Some(world.directory.path().join("forked"));
    let sandbox = first.directory.to_str().unwrap().to_owned();
    let id = first.container.clone();
    world.containerizer.launch(first);
    let pid = world.launched().await;
    assert_eq!(world.wrote("first", "first").await, "nvidia0 nvidiactl \n");
    let second = spec(&world, root, "second", 1.0);
    world.containerizer.launch(second);
    world.launched().await;
    assert_eq!(world.wrote("second", "first").await, "nvidia1 nvidiactl \n");
    let third = spec(&world, root, "third", 1.0);
    assert_eq!(refused(&mut world, third).await, "Requested 1 gpus but only 0 available");
    let half = spec(&world, root, "half", 0.5);
    assert_eq!(refused(&mut world, half).await, "The 'gpus' resource must be an unsigned integer");
    world.containerizer.destroy(&ContainerId::root("second"));
    world.exited().await;
    // A later agent knows who has what, and can give what was given back.
    let (later, notices) = containerizer(&world.directory, &world.facts, &world.settings);
    (world.containerizer, world.notices) = (later, notices);
    world.containerizer.adopt(id.clone(), Some(pid), sandbox);
    assert_eq!(world.launched().await, pid);
    let both = spec(&world, root, "both", 2.0);
    assert_eq!(refused(&mut world, both).await, "Requested 2 gpus but only 1 available");
    let more = world.containerizer.update(&id, vec![scalar("gpus", 2.0)], Limits::new(), Vec::new());
    let then = match world.is_v2() {
        true => {
            let why =
                "The container has 1 gpus and cannot be given 2 while it runs, with version 2 of cgroups";
            assert_eq!(more, Err(why.to_owned()));
            "nvidia0 nvidiactl \n"
        }
        false => {
            more.unwrap();
            "nvidia0 nvidia1 nvidiactl \n"
        }
    };
    fs::write(world.directory.path().join("first/go"), "").unwrap();
    assert_eq!(world.wrote("first", "second").await, then);
    world.containerizer.destroy(&id);
    world.exited().await;
    let all = spec(&world, root, "all", 2.0);
    world.containerizer.launch(all);
    world.launched().await;
    assert_eq!(world.wrote("all", "first").await, "nvidia0 nvidia1 nvidiactl \n");
    world.containerizer.destroy(&ContainerId::root("all"));
    world.exited().await;
}
