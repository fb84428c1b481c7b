//! What tasks may do, asked for by `mesos execute` and carried out through master and agent.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::{Cluster, Options, eventually};
use serde_json::{Value, json};

/// Says what a task has, and whether it can give a file away and make a directory.
const SCRIPT: &str = "touch f; chown 1 f 2> /dev/null && echo gave || echo kept; mkdir d 2> /dev/null && echo made || echo refused; \
     grep -E 'CapEff|NoNewPrivs' /proc/self/status | tr -d '\\t'";

/// A cluster whose agent has all isolators of this kind, and a profile that lets nobody make a directory; none where
/// that cannot be had.
fn cluster(directory: &tempfile::TempDir) -> Option<Cluster> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: this needs root");
        return None;
    }
    let architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"]
        .map(|name| json!({"architecture": name, "subArchitectures": []}));
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "archMap": architectures,
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]});
    fs::write(directory.path().join("flat.json"), profile.to_string()).expect("a profile");
    let agent_flags = vec![
        "--launcher=posix".to_owned(),
        "--isolation=linux/capabilities,linux/seccomp,linux/nnp".to_owned(),
        r#"--bounding_capabilities={"capabilities":["CHOWN","KILL","DAC_OVERRIDE"]}"#.to_owned(),
        format!("--seccomp_config_dir={}", directory.path().display()),
    ];
    Some(Cluster::start(&Options { agent_flags, ..Options::default() }).expect("a cluster"))
}

/// A cluster whose agent gives containers users of their own, and the name of the cgroup above theirs.
fn cluster_of_users() -> Option<(Cluster, String)> {
    let lacks = containers_cgroup("").is_none();
    if !rustix::process::geteuid().is_root() || lacks {
        eprintln!("SKIPPED: this needs root and a freezer");
        return None;
    }
    let root = format!("mesos-e2e-{}-users", std::process::id());
    let agent_flags = vec![
        "--launcher=linux".to_owned(),
        "--isolation=filesystem/linux,namespaces/pid,namespaces/user".to_owned(),
        "--userns_range=[2000000-2131071]".to_owned(),
        format!("--cgroups_root={root}"),
    ];
    Some((Cluster::start(&Options { agent_flags, ..Options::default() }).expect("a cluster"), root))
}

/// Where processes of containers are listed.
fn containers_cgroup(root: &str) -> Option<PathBuf> {
    let tops = ["/sys/fs/cgroup/freezer", "/sys/fs/cgroup"].map(Path::new);
    let top = tops.into_iter().find(|top| top.join("cgroup.procs").exists())?;
    Some(top.join(root))
}

fn task(id: &str, linux: &Value) -> Value {
    json!({
        "name": id, "task_id": {"value": id}, "agent_id": {"value": ""},
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
        ],
        "command": {"value": SCRIPT},
        "container": {"type": "MESOS", "linux_info": linux},
    })
}

fn file(directory: &tempfile::TempDir, text: &Value) -> String {
    let path: PathBuf = directory.path().join("task.json");
    fs::write(&path, text.to_string()).expect("a file");
    format!("file://{}", path.display())
}

/// `DAC_OVERRIDE` is bit 1, CHOWN bit 0: what a task of root's can do with its own files.
fn capabilities(names: &[&str]) -> Value {
    json!({"capabilities": names})
}

#[test]
fn root_a_command_task_has_what_it_asks_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(cluster) = cluster(&directory) else { return };
    let execute = cluster.tool().verb("execute");
    let command = format!("--command={SCRIPT}");
    let asked = format!("--effective_capabilities={}", capabilities(&["DAC_OVERRIDE"]));
    let output = execute.prints(&[&command, &asked]);
    assert!(output.contains("kept\nmade\nCapEff:0000000000000002\nNoNewPrivs:1\n"), "{output}");
    let asked = format!("--effective_capabilities={}", capabilities(&["CHOWN", "DAC_OVERRIDE"]));
    let output = execute.prints(&[&command, &asked]);
    assert!(output.contains("gave\nmade\nCapEff:0000000000000003\nNoNewPrivs:1\n"), "{output}");
    let asked = format!("--bounding_capabilities={}", capabilities(&["SYS_ADMIN"]));
    execute.fails(
        &[&command, &asked],
        "Bounding capabilities '{ SYS_ADMIN }', but only '{ CHOWN, DAC_OVERRIDE, KILL }' are allowed",
    );
    let flat = task("flat", &json!({"seccomp": {"profile_name": "flat.json"}}));
    let output = execute.prints(&[&format!("--task={}", file(&directory, &flat))]);
    assert!(output.contains("gave\nrefused\n"), "{output}");
    let none = task("none", &json!({"seccomp": {"profile_name": "none.json"}}));
    execute.fails(
        &[&format!("--task={}", file(&directory, &none))],
        "Failed to launch container: Failed to read Seccomp profile file '",
    );
}

#[test]
fn root_tasks_of_a_group_have_what_each_asks_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(cluster) = cluster(&directory) else { return };
    let group = json!({"tasks": [
        task("bound", &json!({"effective_capabilities": capabilities(&["DAC_OVERRIDE"])})),
        task("flat", &json!({"seccomp": {"profile_name": "flat.json"}})),
    ]});
    let output =
        cluster.tool().verb("execute").prints(&[&format!("--task_group={}", file(&directory, &group))]);
    assert!(output.contains("kept\nmade\nCapEff:0000000000000002\nNoNewPrivs:1\n"), "{output}");
    assert!(output.contains("gave\nrefused\nCapEff:0000000000000023\nNoNewPrivs:1\n"), "{output}");
}

#[test]
fn root_tasks_of_a_group_share_users_that_are_nobody_outside() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some((mut cluster, root)) = cluster_of_users() else { return };
    let shared = |id: &str, script: &str| {
        let mut task = task(id, &json!({}));
        let source = json!({"type": "SANDBOX_PATH", "sandbox_path": {"type": "PARENT", "path": "shared"}});
        task["container"]["volumes"] = json!([{"mode": "RW", "container_path": "shared", "source": source}]);
        task["command"]["value"] = json!(script);
        task
    };
    let group = json!({"tasks": [
        shared("a", "echo words of $(id -u) > shared/file.new; mv shared/file.new shared/file; echo a $(cat /proc/self/uid_map); \
            cat /etc/shadow > /dev/null 2>&1 || echo hidden"),
        shared("b", "until [ -e shared/file ]; do sleep 0.01; done; cat shared/file; stat -c %u shared/file; \
            echo b $(cat /proc/self/uid_map)"),
    ]});
    let execute = cluster.tool().verb("execute");
    let output = execute.prints(&[&format!("--task_group={}", file(&directory, &group))]);
    assert!(output.contains("a 0 2000000 65536\nhidden\n"), "{output}");
    assert!(output.contains("words of 0\n0\nb 0 2000000 65536\n"), "{output}");
    // A task by itself comes after it, and has others.
    let output = execute
        .prints(&["--command=echo $(cat /proc/self/uid_map); id -u; kill -0 1 2> /dev/null || echo alone"]);
    assert!(output.contains("0 2065536 65536\n0\nalone\n"), "{output}");
    let cgroup = containers_cgroup(&root).expect("a hierarchy");
    eventually("nothing is left of containers", Duration::from_secs(30), || {
        let left = fs::read_dir(&cgroup).ok()?.flatten().any(|entry| entry.path().is_dir());
        (!left).then_some(())
    });
    for agent in &mut cluster.agents {
        agent.kill();
    }
    for hierarchy in fs::read_dir("/sys/fs/cgroup").expect("cgroups").flatten() {
        let _ = fs::remove_dir(hierarchy.path().join(&root));
    }
    let _ = fs::remove_dir(cgroup);
}
