//! Controllers of version 1 that few machines have mounted: mounted for a moment, where nobody else sees it.

use std::process::Command;

use containerizer::NetClsRange;

use super::*;

const CONTROLLERS: &[&str] = &["hugetlb", "net_cls", "net_prio", "perf_event"];

/// Set for the test that runs among the mounts.
const INSIDE: &str = "MESOS_TEST_INSIDE_PRIVATE_MOUNTS";

/// Mounts what is missing, runs the program with its arguments, and takes the mounts away. A hierarchy is not taken away
/// with its mount while the kernel has not let go of cgroups that were removed, and would stay for the whole machine; hence
/// the wait until there is none but the top.
const SCRIPT: &str = "place=$1; shift; mounted=
    while [ $1 != -- ]; do
        mkdir $place/$1 && mount -t cgroup -o $1 none $place/$1 || exit 99
        mounted=\"$mounted $1\"; shift
    done; shift
    \"$@\"; status=$?
    for name in $mounted; do
        i=0; while [ $i -lt 100 ] && ! grep -Eq \"^$name[[:space:]]+[0-9]+[[:space:]]+1[[:space:]]\" /proc/cgroups; do
            sleep 0.1; i=$((i+1))
        done
        sleep 0.5; umount $place/$name
    done
    exit $status";

#[test]
fn controllers_that_are_not_mounted_do_what_they_do_once_they_are() {
    let facts = facts();
    let known = fs::read_to_string("/proc/cgroups").unwrap();
    let lacks = CONTROLLERS.iter().any(|it| !known.lines().any(|line| line.split('\t').next() == Some(*it)));
    if !facts.root || facts.unified.is_some() || lacks {
        eprintln!("SKIPPED: this needs root, cgroups of version 1, and a kernel with {CONTROLLERS:?}");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let missing = CONTROLLERS.iter().filter(|it| !facts.hierarchies.contains_key(**it));
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"])
        .arg(place.path())
        .args(missing)
        .arg("--")
        .arg(std::env::current_exe().unwrap())
        .args(["within_private_mounts_", "--test-threads=1"])
        .env(INSIDE, "yes")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed") && !text.contains("SKIPPED"), "{text}");
}

#[tokio::test]
async fn within_private_mounts_every_controller_is_used() {
    if std::env::var_os(INSIDE).is_none() {
        eprintln!("the test above runs this one, where there is everything that it needs");
        return;
    }
    let classes = |settings: &mut Settings| {
        settings.net_cls = NetClsRange::parse(Some("0x12"), Some("0x34,0x35")).unwrap();
    };
    let mut world = world("private", "cgroups/all", classes).expect("every controller");
    for (name, class_id) in [("first", 0x12_0034), ("second", 0x12_0035)] {
        world.containerizer.launch(world.spec(name, "while :; do sleep 0.01; done"));
        let pid = world.launched().await;
        let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        for controller in CONTROLLERS {
            let place = format!(":{controller}:/{}/{name}", world.root);
            assert!(cgroups.contains(&place), "{place} in {cgroups}");
        }
        assert_eq!(world.cgroup("net_cls", name, "net_cls.classid"), class_id.to_string());
        let status = world.containerizer.status(&ContainerId::root(name)).unwrap();
        assert_eq!(status.cgroup_info.and_then(|it| it.net_cls).and_then(|it| it.classid), Some(class_id));
    }
    world.containerizer.launch(world.spec("third", "true"));
    match world.notice().await {
        Notice::Failed { message, .. } => assert_eq!(
            message,
            "Failed to allocate a net_cls handle: No free handles remaining for primary handle 0x12"
        ),
        other => panic!("{other:?}"),
    }
    let (first, second) = (ContainerId::root("first"), ContainerId::root("second"));
    let sampled = || {
        let perf = world.containerizer.usage(&first)?.perf?;
        perf.task_clock.is_some_and(|millis| millis > 0.0).then_some(perf)
    };
    let perf = eventually(sampled).await;
    assert!(perf.context_switches.is_some_and(|count| count > 0), "{perf:?}");
    assert!(perf.duration >= 0.05 && perf.timestamp > 1.6e9, "{perf:?}");
    // The next agent knows what is taken, and what it has given back it gives again.
    let mut settings = Settings { cgroups_root: world.root.clone(), ..world.settings.clone() };
    classes(&mut settings);
    let (next, notices) = containerizer(&world.directory, &world.facts, &settings);
    let before =
        (std::mem::replace(&mut world.containerizer, next), std::mem::replace(&mut world.notices, notices));
    world.containerizer.adopt(second.clone(), None, String::new());
    world.launched().await;
    world.exited().await;
    before.0.destroy(&first);
    let mut exits = before.1;
    while let Some(notice) = tokio::time::timeout(PATIENCE, exits.recv()).await.unwrap() {
        if matches!(&notice, Notice::Exited { container, .. } if *container == first) {
            break;
        }
    }
    let (termination, _) = world.run(world.spec("fourth", "true")).await;
    assert_eq!(termination.status, Some(0));
}
