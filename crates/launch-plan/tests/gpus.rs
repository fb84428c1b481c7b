//! What `gpu/nvidia` adds to plans.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use launch_plan::{
    Bind, Container, DeviceNode, Facts, Gpu, Gpus, Isolation, Plan, Rootfs, Settings, Step, Unified, plan,
};
use types::ContainerId;

const GPU: Gpu = Gpu { major: 195, minor: 1 };
const CONTROL: Gpu = Gpu { major: 195, minor: 255 };

fn planned(unified: bool, shares: bool) -> (Plan, Vec<DeviceNode>) {
    let hierarchy = |name: &str| (name.to_owned(), format!("/cg/{name}"));
    let mut facts = Facts { root: true, ..Facts::default() };
    match unified {
        true => facts.unified = Some(Unified { path: "/cg".to_owned(), ..Unified::default() }),
        false => facts.hierarchies = ["freezer", "devices"].map(hierarchy).into(),
    }
    let isolation = "gpu/nvidia,cgroups/devices,filesystem/linux";
    let mut settings = Settings::new(Isolation::parse(isolation, Some("linux"), &facts).unwrap());
    let node = |path: &str, minor| DeviceNode {
        path: path.to_owned(),
        characters: true,
        major: 195,
        minor,
        mode: 0o666,
    };
    let nodes = vec![node("/dev/nvidia0", 0), node("/dev/nvidia1", 1), node("/dev/nvidiactl", 255)];
    settings.gpus = Gpus {
        offered: [GPU].into(),
        controls: vec![CONTROL],
        nodes: nodes.clone(),
        driver: Some("/driver".to_owned()),
    };
    let id = ContainerId::root("c");
    let root = Rootfs { path: "/root".to_owned(), layers: None, wants_gpu_driver: true };
    let shares_cgroups_of = shares.then_some(&id);
    let container =
        Container { root: Some(&root), gpus: &[GPU], shares_cgroups_of, ..Container::plain(&id, None) };
    (plan(&settings, &facts, &container).unwrap(), nodes)
}

/// The last entries of the list of devices.
fn allowed(plan: &Plan) -> Vec<String> {
    let entries = |step: &Step| match step {
        Step::LimitDevices { allowed, .. } => allowed.iter().map(|device| device.0.clone()).collect(),
        Step::Write { path, file: "devices.allow", value } => {
            assert_eq!(path, "/cg/devices/mesos/c");
            vec![value.clone()]
        }
        Step::CreateCgroup { .. }
        | Step::Own { .. }
        | Step::Inherit { .. }
        | Step::Delegate { .. }
        | Step::Write { .. } => Vec::new(),
    };
    let all: Vec<String> = plan.steps.iter().flat_map(entries).collect();
    all[all.len().saturating_sub(2)..].to_vec()
}

#[test]
fn gpus_and_the_drivers_devices_are_allowed_and_shown() {
    for unified in [false, true] {
        let (plan, nodes) = planned(unified, false);
        assert_eq!(allowed(&plan), ["c 195:255 rwm", "c 195:1 rw"]);
        assert_eq!(plan.process.root.as_ref().unwrap().devices, nodes);
        let driver = Bind {
            source: "/driver".to_owned(),
            target: "/usr/local/nvidia".to_owned(),
            read_only: true,
            ..Bind::default()
        };
        assert!(plan.process.binds.contains(&driver));
        // What shares another one's cgroups may use what that may.
        assert_eq!(allowed(&planned(unified, true).0), Vec::<String>::new());
    }
}
