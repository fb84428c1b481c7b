//! Clients from the package registries, as their users run them, against a cluster of ours.

use e2e::{Cluster, Options, Peer};

fn check(script: &'static str, name: &'static str, agents: usize) {
    let cluster = Cluster::start(&Options { agents, ..Options::default() }).expect("a cluster");
    Peer { script, name }.check(cluster.master.address, &[]);
}

#[test]
fn pymesos_runs_a_scheduler() {
    check("pymesos_scheduler.py", "pymesos-scheduler", 1);
}

#[test]
fn pymesos_runs_an_executor() {
    check("pymesos_executor.py", "pymesos-executor", 1);
}

#[test]
fn pymesos_operates_the_cluster() {
    check("pymesos_operator.py", "pymesos-operator", 1);
}

#[test]
fn npm_mesos_framework_runs_a_scheduler() {
    check("npm_framework.js", "mesos-framework-npm", 1);
}

#[test]
fn a_hundred_tasks_finish_on_three_agents() {
    check("hundred.py", "hundred", 3);
}
