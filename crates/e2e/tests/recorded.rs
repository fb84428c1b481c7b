//! Our answers beside those of Apache Mesos: the same exchanges, compared in status, content type, message
//! text, key paths and JSON types.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use e2e::{Cluster, Options, python};

/// Exchanges that differ, and why.
const DIFFER: &[(&str, &str)] = &[
    ("agent-v0-files-debug", "the paths are those of this test's work directory"),
    ("agent-v0-version", "we add mesos_rs_version"),
    ("v0-version", "we add mesos_rs_version"),
    ("v0-tasks-limit", "which two tasks started first is chance"),
    ("v0-roles", "which of its roles is offered an agent first is chance, as in Mesos"),
    ("v0-metrics", "the same chance decides which role consumes"),
    ("v1-UPDATE_WEIGHTS", "weights come with the allocation work"),
    ("v1-UPDATE_WEIGHTS-neg", "weights come with the allocation work"),
    ("v0-roles-set", "what comes back is offered at once, not with the next cycle"),
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
        .output()
        .expect("python starts");
    let printed = String::from_utf8_lossy(&compare.stdout).into_owned();
    let known: BTreeMap<&str, &str> = DIFFER.iter().copied().collect();
    let unexpected: Vec<&str> = printed
        .lines()
        .filter(|line| !line.ends_with(" equal"))
        .filter(|line| line.split(':').next().is_none_or(|name| !known.contains_key(name)))
        .collect();
    assert!(
        unexpected.is_empty(),
        "{}\n{}",
        unexpected.join("\n"),
        printed.lines().last().unwrap_or_default()
    );
}
