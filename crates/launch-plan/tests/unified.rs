//! Plans on a machine with cgroups of version 2, as text. `UPDATE_EXPECT=1 cargo test -p launch-plan` rewrites them.

use std::sync::Arc;

use expect_test::{Expect, expect};
use launch_plan::{Amounts, Container, Facts, Isolation, Plan, Settings, Unified, plan};
use types::ContainerId;

fn facts() -> Facts {
    let controllers = ["cpu", "cpuset", "hugetlb", "io", "memory", "pids"];
    let controllers = controllers.map(str::to_owned).into();
    Facts {
        root: true,
        unified: Some(Unified { path: "/sys/fs/cgroup".to_owned(), controllers }),
        memory_bytes: 1 << 30,
        ..Facts::default()
    }
}

fn check(isolation: &str, container: &Container<'_>, expected: &Expect) {
    let isolation = Isolation::parse(isolation, None, &facts()).expect("an isolation");
    let plan = plan(&Settings::new(isolation), &facts(), container).expect("a plan");
    expected.assert_eq(&plan.to_string());
}

fn container(id: &ContainerId) -> Container<'_> {
    Container {
        amounts: Amounts { cpus_milli: Some(600), memory_bytes: Some(96 << 20), ..Amounts::default() },
        is_command_task: true,
        ..Container::plain(id, None)
    }
}

#[test]
fn one_cgroup_has_everything() {
    let id = ContainerId::root("c");
    check(
        "posix/cpu",
        &container(&id),
        &expect![[r#"
        create cgroup /sys/fs/cgroup/mesos/c
        create cgroup /sys/fs/cgroup/mesos/c/leaf
        begin in /sys/fs/cgroup/mesos/c/leaf
        undo: destroy cgroup /sys/fs/cgroup/mesos/c/leaf
        undo: destroy cgroup /sys/fs/cgroup/mesos/c
    "#]],
    );
    let owned = Container { owner: Some(1000), ..container(&id) };
    check(
        "cgroups/all",
        &owned,
        &expect![[r#"
        create cgroup /sys/fs/cgroup/mesos/c
        delegate /sys/fs/cgroup/mesos/c (cpu cpuset hugetlb io memory pids)
        create cgroup /sys/fs/cgroup/mesos/c/leaf
        give /sys/fs/cgroup/mesos/c/leaf to user 1000
        write /sys/fs/cgroup/mesos/c/cpu.weight = 60
        write /sys/fs/cgroup/mesos/c/cpu.max = max 100000
        limit devices of /sys/fs/cgroup/mesos/c to [c *:* m] [b *:* m] [c 5:1 rwm] [c 4:0 rwm] [c 4:1 rwm] [c 136:* rwm] [c 5:2 rwm] [c 10:200 rwm] [c 1:3 rwm] [c 1:5 rwm] [c 1:7 rwm] [c 5:0 rwm] [c 1:9 rwm] [c 1:8 rwm]
        write /sys/fs/cgroup/mesos/c/memory.low = 100663296
        write /sys/fs/cgroup/mesos/c/memory.max = 100663296
        begin in /sys/fs/cgroup/mesos/c/leaf
        undo: destroy cgroup /sys/fs/cgroup/mesos/c/leaf
        undo: destroy cgroup /sys/fs/cgroup/mesos/c
    "#]],
    );
}

#[test]
fn a_container_in_another_one_has_a_cgroup_and_may_share_limits() {
    let executor = ContainerId::root("executor");
    let task = ContainerId { value: "task".into(), parent: Some(Arc::new(executor.clone())) };
    let shares = Container { shares_cgroups_of: Some(&executor), ..container(&task) };
    check(
        "cgroups/cpu,cgroups/mem,cgroups/devices",
        &shares,
        &expect![[r#"
        create cgroup /sys/fs/cgroup/mesos/executor/mesos/task
        create cgroup /sys/fs/cgroup/mesos/executor/mesos/task/leaf
        begin in /sys/fs/cgroup/mesos/executor/mesos/task/leaf
        undo: destroy cgroup /sys/fs/cgroup/mesos/executor/mesos/task/leaf
        undo: destroy cgroup /sys/fs/cgroup/mesos/executor/mesos/task
    "#]],
    );
    check(
        "cgroups/cpu,cgroups/mem",
        &container(&task),
        &expect![[r#"
        create cgroup /sys/fs/cgroup/mesos/executor/mesos/task
        delegate /sys/fs/cgroup/mesos/executor/mesos/task (cpu memory)
        create cgroup /sys/fs/cgroup/mesos/executor/mesos/task/leaf
        write /sys/fs/cgroup/mesos/executor/mesos/task/cpu.weight = 60
        write /sys/fs/cgroup/mesos/executor/mesos/task/cpu.max = max 100000
        write /sys/fs/cgroup/mesos/executor/mesos/task/memory.low = 100663296
        write /sys/fs/cgroup/mesos/executor/mesos/task/memory.max = 100663296
        begin in /sys/fs/cgroup/mesos/executor/mesos/task/leaf
        undo: destroy cgroup /sys/fs/cgroup/mesos/executor/mesos/task/leaf
        undo: destroy cgroup /sys/fs/cgroup/mesos/executor/mesos/task
    "#]],
    );
}

#[test]
fn the_places_are_known_without_a_plan() {
    let settings = Settings::new(Isolation::parse("cgroups/all", None, &facts()).expect("an isolation"));
    let places = Plan::places(&settings, &facts(), &ContainerId::root("c"));
    assert_eq!(places, ["/sys/fs/cgroup/mesos/c"]);
    assert_eq!(Plan::roots(&settings, &facts()).into_iter().collect::<Vec<_>>(), ["/sys/fs/cgroup/mesos"]);
}
