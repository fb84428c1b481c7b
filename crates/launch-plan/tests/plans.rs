//! Plans of whole containers, as text. `UPDATE_EXPECT=1 cargo test -p launch-plan` rewrites them; read the diff.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use expect_test::{Expect, expect};
use launch_plan::{Amounts, Container, Device, Facts, Isolation, Limit, Plan, Settings, plan, resize};
use proto::mesos::v1::linux_info::IpcMode;
use proto::mesos::v1::r_limit_info::{RLimit, r_limit};
use proto::mesos::v1::{ContainerInfo, LinuxInfo, RLimitInfo};
use types::ContainerId;

const MB: u64 = 1024 * 1024;

fn facts() -> Facts {
    let names = ["cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"];
    let path = |name: &str| match name {
        "cpu" | "cpuacct" => "/cg/cpu,cpuacct".to_owned(),
        other => format!("/cg/{other}"),
    };
    Facts {
        root: true,
        hierarchies: names.map(|name| (name.to_owned(), path(name))).into(),
        unified: None,
        memory_bytes: 1024 * MB,
        ..Facts::default()
    }
}

fn settings(isolation: &str) -> Settings {
    Settings::new(Isolation::parse(isolation, None, &facts()).unwrap())
}

fn amounts() -> Amounts {
    Amounts { cpus_milli: Some(600), memory_bytes: Some(96 * MB), ..Amounts::default() }
}

fn container<'a>(id: &'a ContainerId, info: Option<&'a ContainerInfo>) -> Container<'a> {
    Container { amounts: amounts(), is_command_task: true, ..Container::plain(id, info) }
}

fn check(settings: &Settings, container: &Container<'_>, expected: &Expect) {
    let text = match plan(settings, &facts(), container) {
        Ok(plan) => plan.to_string(),
        Err(refusal) => format!("refused: {refusal}\n"),
    };
    expected.assert_eq(&text);
}

#[test]
fn the_launcher_alone_has_a_freezer() {
    let id = ContainerId::root("c");
    check(
        &settings("posix/cpu,posix/mem"),
        &container(&id, None),
        &expect![[r#"
        create cgroup /cg/freezer/mesos/c
        join /cg/freezer/mesos/c
        undo: destroy cgroup /cg/freezer/mesos/c
    "#]],
    );
}

#[test]
fn every_cgroup() {
    let id = ContainerId::root("c");
    let mut settings = settings("cgroups/all");
    settings.enable_cfs = true;
    settings.allowed_devices = vec![Device("c 10:229 rw".to_owned())];
    let mut container = container(&id, None);
    container.owner = Some(1000);
    container.amounts.memory_limit = Some(Limit::Milli(256_000));
    check(
        &settings,
        &container,
        &expect![[r#"
            create cgroup /cg/cpu,cpuacct/mesos/c
            give /cg/cpu,cpuacct/mesos/c to user 1000
            create cgroup /cg/cpuset/mesos/c
            give /cg/cpuset/mesos/c to user 1000
            create cgroup /cg/devices/mesos/c
            give /cg/devices/mesos/c to user 1000
            create cgroup /cg/memory/mesos/c
            give /cg/memory/mesos/c to user 1000
            create cgroup /cg/pids/mesos/c
            give /cg/pids/mesos/c to user 1000
            create cgroup /cg/freezer/mesos/c
            give /cg/freezer/mesos/c to user 1000
            write /cg/cpu,cpuacct/mesos/c/cpu.shares = 614
            write /cg/cpu,cpuacct/mesos/c/cpu.cfs_period_us = 100000
            write /cg/cpu,cpuacct/mesos/c/cpu.cfs_quota_us = 60000
            inherit /cg/cpuset/mesos/c/cpuset.cpus
            inherit /cg/cpuset/mesos/c/cpuset.mems
            write /cg/devices/mesos/c/devices.deny = a *:* rwm
            write /cg/devices/mesos/c/devices.allow = c *:* m
            write /cg/devices/mesos/c/devices.allow = b *:* m
            write /cg/devices/mesos/c/devices.allow = c 5:1 rwm
            write /cg/devices/mesos/c/devices.allow = c 4:0 rwm
            write /cg/devices/mesos/c/devices.allow = c 4:1 rwm
            write /cg/devices/mesos/c/devices.allow = c 136:* rwm
            write /cg/devices/mesos/c/devices.allow = c 5:2 rwm
            write /cg/devices/mesos/c/devices.allow = c 10:200 rwm
            write /cg/devices/mesos/c/devices.allow = c 1:3 rwm
            write /cg/devices/mesos/c/devices.allow = c 1:5 rwm
            write /cg/devices/mesos/c/devices.allow = c 1:7 rwm
            write /cg/devices/mesos/c/devices.allow = c 5:0 rwm
            write /cg/devices/mesos/c/devices.allow = c 1:9 rwm
            write /cg/devices/mesos/c/devices.allow = c 1:8 rwm
            write /cg/devices/mesos/c/devices.allow = c 10:229 rw
            write /cg/memory/mesos/c/memory.soft_limit_in_bytes = 100663296
            write /cg/memory/mesos/c/memory.limit_in_bytes = 268435456
            join /cg/freezer/mesos/c
            join /cg/cpu,cpuacct/mesos/c
            join /cg/cpuset/mesos/c
            join /cg/devices/mesos/c
            join /cg/memory/mesos/c
            join /cg/pids/mesos/c
            oom_score_adj 907
            undo: destroy cgroup /cg/freezer/mesos/c
            undo: destroy cgroup /cg/pids/mesos/c
            undo: destroy cgroup /cg/memory/mesos/c
            undo: destroy cgroup /cg/devices/mesos/c
            undo: destroy cgroup /cg/cpuset/mesos/c
            undo: destroy cgroup /cg/cpu,cpuacct/mesos/c
        "#]],
    );
}

#[test]
fn namespaces_and_limits_of_a_process() {
    let id = ContainerId::root("c");
    let info = ContainerInfo {
        linux_info: Some(LinuxInfo {
            ipc_mode: Some(IpcMode::Private.into()),
            shm_size: Some(16),
            ..LinuxInfo::default()
        }),
        rlimit_info: Some(RLimitInfo {
            rlimits: vec![
                RLimit { r#type: Some(r_limit::Type::RlmtCore.into()), hard: None, soft: None },
                RLimit { r#type: Some(r_limit::Type::RlmtNofile.into()), hard: Some(64), soft: Some(32) },
            ],
        }),
        ..ContainerInfo::default()
    };
    let settings = settings("filesystem/linux,namespaces/pid,namespaces/ipc,posix/rlimits");
    check(
        &settings,
        &container(&id, Some(&info)),
        &expect![[r#"
        create cgroup /cg/freezer/mesos/c
        join /cg/freezer/mesos/c
        new namespace mount
        new namespace pid
        new namespace ipc
        mount tmpfs at /dev/shm (mode=1777,size=16777216)
        mount proc at /proc ()
        rlimit CORE unlimited
        rlimit NOFILE 32 64
        undo: destroy cgroup /cg/freezer/mesos/c
    "#]],
    );
}

#[test]
fn what_a_container_may_not_ask_for() {
    let id = ContainerId::root("c");
    let mut settings = settings("filesystem/linux,namespaces/pid,namespaces/ipc,posix/rlimits");
    settings.own_pid_always = true;
    settings.own_ipc_always = true;
    let mut refusals = String::new();
    let linux = |linux: LinuxInfo| ContainerInfo { linux_info: Some(linux), ..ContainerInfo::default() };
    let rlimit = |hard, soft| ContainerInfo {
        rlimit_info: Some(RLimitInfo {
            rlimits: vec![RLimit { r#type: Some(r_limit::Type::RlmtNofile.into()), hard, soft }],
        }),
        ..ContainerInfo::default()
    };
    let infos = [
        linux(LinuxInfo { share_pid_namespace: Some(true), ..LinuxInfo::default() }),
        linux(LinuxInfo { ipc_mode: Some(IpcMode::ShareParent.into()), ..LinuxInfo::default() }),
        linux(LinuxInfo { ipc_mode: Some(IpcMode::Unknown.into()), ..LinuxInfo::default() }),
        linux(LinuxInfo { shm_size: Some(1), ..LinuxInfo::default() }),
        rlimit(Some(1), Some(2)),
        rlimit(None, Some(2)),
    ];
    for info in &infos {
        let refusal = plan(&settings, &facts(), &container(&id, Some(info))).unwrap_err();
        refusals += &format!("{refusal}\n");
    }
    expect![[r#"
        Sharing agent pid namespace with top-level container is not allowed
        Sharing agent IPC namespace with top-level container is not allowed
        Unknown IPC mode
        Only support specifying the size of /dev/shm when the IPC mode is `PRIVATE`
        Invalid limits for RLMT_NOFILE: soft 2 is above hard 1
        Invalid limits for RLMT_NOFILE: both soft and hard must be set, or neither
    "#]]
    .assert_eq(&refusals);
}

#[test]
fn a_container_grows() {
    let id = ContainerId { value: "child".into(), parent: Some(Arc::new(ContainerId::root("c"))) };
    let settings = settings("cgroups/cpu,cgroups/mem");
    let steps = resize(&settings, &facts(), &id, &amounts(), Some(64 * MB)).unwrap();
    let text: String = steps.iter().map(|step| format!("{step}\n")).collect();
    expect![[r#"
        write /cg/cpu,cpuacct/mesos/c/mesos/child/cpu.shares = 614
        write /cg/memory/mesos/c/mesos/child/memory.soft_limit_in_bytes = 100663296
        write /cg/memory/mesos/c/mesos/child/memory.limit_in_bytes = 100663296
    "#]]
    .assert_eq(&text);
}

#[test]
fn every_place_of_a_container_is_known_without_its_plan() {
    let id = ContainerId::root("c");
    let settings = settings("posix/cpu,posix/mem");
    expect![[r#"
        /cg/freezer/mesos/c
        /cg/cpu,cpuacct/mesos/c
        /cg/cpuset/mesos/c
        /cg/devices/mesos/c
        /cg/memory/mesos/c
        /cg/pids/mesos/c"#]]
    .assert_eq(&Plan::places(&settings, &facts(), &id).join("\n"));
    assert!(Plan::places(&Settings::new(Isolation::posix()), &facts(), &id).is_empty());
}

#[test]
fn a_container_in_another_one_shares_what_it_does_not_ask_for() {
    let executor = ContainerId::root("executor");
    let task = ContainerId { value: "task".into(), parent: Some(Arc::new(executor.clone())) };
    let settings = settings("filesystem/linux,namespaces/pid,namespaces/ipc,cgroups/cpu,cgroups/mem");
    let shares = Container { shares_cgroups_of: Some(&executor), ..container(&task, None) };
    check(
        &settings,
        &shares,
        &expect![[r#"
        create cgroup /cg/freezer/mesos/executor/mesos/task
        join /cg/freezer/mesos/executor/mesos/task
        join /cg/cpu,cpuacct/mesos/executor
        join /cg/memory/mesos/executor
        enter namespace mount
        enter namespace ipc
        new namespace mount
        new namespace pid
        mount proc at /proc ()
        undo: destroy cgroup /cg/freezer/mesos/executor/mesos/task
    "#]],
    );
    let session = Container { is_session: true, ..shares };
    check(
        &settings,
        &session,
        &expect![[r#"
        create cgroup /cg/freezer/mesos/executor/mesos/task
        join /cg/freezer/mesos/executor/mesos/task
        join /cg/cpu,cpuacct/mesos/executor
        join /cg/memory/mesos/executor
        enter namespace mount
        enter namespace pid
        enter namespace ipc
        undo: destroy cgroup /cg/freezer/mesos/executor/mesos/task
    "#]],
    );
    let linux = LinuxInfo {
        share_cgroups: Some(false),
        share_pid_namespace: Some(true),
        ipc_mode: Some(IpcMode::Private.into()),
        ..LinuxInfo::default()
    };
    let info = ContainerInfo { linux_info: Some(linux), ..ContainerInfo::default() };
    check(
        &settings,
        &container(&task, Some(&info)),
        &expect![[r#"
        create cgroup /cg/cpu,cpuacct/mesos/executor/mesos/task
        create cgroup /cg/memory/mesos/executor/mesos/task
        create cgroup /cg/freezer/mesos/executor/mesos/task
        write /cg/cpu,cpuacct/mesos/executor/mesos/task/cpu.shares = 614
        write /cg/memory/mesos/executor/mesos/task/memory.soft_limit_in_bytes = 100663296
        write /cg/memory/mesos/executor/mesos/task/memory.limit_in_bytes = 100663296
        join /cg/freezer/mesos/executor/mesos/task
        join /cg/cpu,cpuacct/mesos/executor/mesos/task
        join /cg/memory/mesos/executor/mesos/task
        enter namespace mount
        enter namespace pid
        new namespace mount
        new namespace ipc
        mount tmpfs at /dev/shm (mode=1777)
        undo: destroy cgroup /cg/freezer/mesos/executor/mesos/task
        undo: destroy cgroup /cg/memory/mesos/executor/mesos/task
        undo: destroy cgroup /cg/cpu,cpuacct/mesos/executor/mesos/task
    "#]],
    );
}
