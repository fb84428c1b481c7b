//! Our answers beside those of Apache Mesos: the same exchanges, compared in status, content type, message
//! text, key paths and JSON types.

use std::path::Path;
use std::process::Command;

use e2e::{Cluster, Options, python};

/// Exchanges that differ, in which keys, and why. All else of them is equal.
const DIFFER: &[(&str, &[&str], &str)] = &[
    ("agent-v0-files-debug", &["./"], "the paths are those of this test's work directory"),
    ("agent-v0-version", &[".mesos_rs_version:"], "we say which version of our own it is"),
    ("v0-version", &[".mesos_rs_version:"], "we say which version of our own it is"),
    ("v0-tasks-limit", &[".tasks[]."], "which two tasks started first is chance"),
    (
        "v0-roles",
        &[".roles[].offered", ".roles[].resources", ".roles[].quota.consumed"],
        "which of its roles is offered an agent first is chance, as in Mesos",
    ),
    ("v0-metrics", &[".allocator/mesos/quota/roles/"], "the same chance decides which role consumes"),
    (
        "v0-roles-set",
        &[".roles[].offered", ".roles[].resources", ".roles[].quota.consumed"],
        "new weights and quota end offers; ours are made again at once, those of Mesos with the next cycle",
    ),
];

#[test]
fn answers_are_those_of_apache_mesos() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let options = Options {
        registry: "in_memory",
        agents: 2,
        resources: "cpus:4;mem:2048;disk:10240;ports:[31000-31099];bananas:12;cpus(prod):2;mem(prod):512"
            .to_owned(),
        master_flags: vec!["--cluster=reference".to_owned()],
        agent_flags: vec!["--attributes=rack:r1;zone:z1;level:3".to_owned()],
        ..Options::default()
    };
    let cluster = Cluster::start(&options).expect("a cluster");
    let ours = cluster.home.path().join("recorded");
    let record = Command::new(python())
        .arg(here.join("tools/record.py"))
        .arg(cluster.master.address.to_string())
        .arg(cluster.agents[0].address.to_string())
        .arg(&ours)
        .output()
        .expect("python starts");
    assert!(
        record.status.success(),
        "the recording stopped: {}{}",
        String::from_utf8_lossy(&record.stdout),
        String::from_utf8_lossy(&record.stderr)
    );
    let compare = Command::new(python())
        .arg(here.join("tools/compare.py"))
        .arg(here.join("recorded"))
        .arg(&ours)
        .arg("-v")
        .output()
        .expect("python starts");
    let printed = String::from_utf8_lossy(&compare.stdout).into_owned();
    let unexpected: Vec<&str> =
        printed.lines().filter(|line| !line.ends_with(" equal") && !is_known(line)).collect();
    assert!(
        unexpected.is_empty(),
        "{}\n{}",
        unexpected.join("\n"),
        printed.lines().last().unwrap_or_default()
    );
}

/// Whether a line `NAME: N lacking: KEY, ..; M extra: KEY, ..` tells only of what may differ.
fn is_known(line: &str) -> bool {
    let Some((name, parts)) = line.split_once(": ") else { return false };
    let Some((_, keys, _)) = DIFFER.iter().find(|(known, _, _)| *known == name) else { return false };
    parts.split("; ").all(|part| {
        let listed = part.split_once(" lacking: ").or_else(|| part.split_once(" extra: "));
        listed.is_some_and(|(_, all)| {
            all.split(", ").all(|key| keys.iter().any(|prefix| key.starts_with(prefix)))
        })
    })
}
