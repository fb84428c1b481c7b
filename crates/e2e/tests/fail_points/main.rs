//! The agent dies at every fail point there is, and is started again: what runs is kept, every update comes until it is
//! acknowledged and never after that, and nothing is left behind.
//!
//! Each test is a cluster with tasks that run through it all. A round arms the agent with one point, has it do what leads
//! there, sees it die, starts it again, and looks at everything. `FAIL_POINTS=container` tries only points with that in
//! their name.

mod ledger;
mod points;
mod remains;
mod scripts;
mod world;

use std::collections::BTreeSet;
use std::path::Path;

use points::{EXECUTOR, GARBAGE, IMAGE, LAUNCH, LEAVING, OPERATION, POD, RECOVERY};
use scripts::*;
use world::{Setting, World};

/// Why these tests cannot be here.
fn missing() -> Option<&'static str> {
    let has_cgroups = Path::new("/sys/fs/cgroup/freezer/cgroup.procs").exists();
    if !cfg!(debug_assertions) {
        Some("a build with debug assertions")
    } else if !rustix::process::geteuid().is_root() {
        Some("root")
    } else if !has_cgroups {
        Some("cgroups of version 1")
    } else {
        None
    }
}

fn rounds(setting: Setting, points: &[&str], script: fn(&mut World, &str)) {
    if let Some(missing) = missing() {
        eprintln!("SKIPPED fail points of {}: this needs {missing}", setting.name);
        return;
    }
    let only = std::env::var("FAIL_POINTS").unwrap_or_default();
    let mut world = World::start(setting);
    for point in points.iter().filter(|point| point.contains(&only)) {
        world.round(point, script);
    }
    world.end();
}

#[test]
fn root_a_launch_is_cut_short_in_its_first_half() {
    rounds(Setting::new("launch-1"), &LAUNCH[..LAUNCH.len() / 2], launch);
}

#[test]
fn root_a_launch_is_cut_short_in_its_second_half() {
    rounds(Setting::new("launch-2"), &LAUNCH[LAUNCH.len() / 2..], launch);
}

#[test]
fn root_a_pod_or_an_image_is_cut_short() {
    rounds(Setting::new("pod"), POD, pod);
    rounds(Setting::of_images("image"), IMAGE, image);
}

#[test]
fn root_an_operation_is_cut_short() {
    rounds(Setting::new("operation"), OPERATION, operation);
}

#[test]
fn root_recovery_is_cut_short() {
    rounds(Setting::new("recovery"), RECOVERY, recovery);
    rounds(Setting::new("executor"), EXECUTOR, executor);
}

#[test]
fn root_the_first_and_the_last_of_an_agent_is_cut_short() {
    rounds(Setting::alone("leaving", "1weeks"), LEAVING, leaving);
    rounds(Setting::alone("garbage", "1secs"), GARBAGE, garbage);
}

#[test]
fn every_point_is_tried() {
    let tried = [LAUNCH, POD, IMAGE, OPERATION, RECOVERY, EXECUTOR, LEAVING, GARBAGE].concat();
    let tried: BTreeSet<&str> = tried.iter().map(|point| name_of(point)).collect();
    let all: BTreeSet<&str> = fail_point::POINTS.iter().copied().collect();
    eprintln!("{} points: {all:#?}", all.len());
    assert_eq!(tried, all);
}

/// The name of a point that may have a number.
fn name_of(point: &str) -> &str {
    point.split(':').next().expect("a name")
}
