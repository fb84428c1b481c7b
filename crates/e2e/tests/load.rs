//! The load generator's run in which the master dies: a small one passes its audit, and its negative control does not.

use load::FailoverOptions;
use load::failover::{Kind, run};

fn told(forget_task: bool) -> String {
    let options = FailoverOptions {
        agents: Some(40),
        frameworks: Some(3),
        tasks: Some(5),
        labels: Some(2),
        listeners: Some(8),
        idle_seconds: Some(1),
        registry: "local".to_owned(),
        mesos: Some(e2e::binary()),
        forget_task,
        ..FailoverOptions::default()
    };
    // Whether goals are reached is no business of a test.
    let (text, _) = run(Kind::Failover, &options).expect("there is something to measure");
    text
}

#[test]
fn everybody_is_back_after_the_master_was_killed() {
    let text = told(false);
    assert!(text.contains(r#""audit":"passed""#) && text.contains("40 agents with 5 tasks"), "{text}");
    assert!(text.contains("idle: "), "{text}");
}

#[test]
fn a_task_that_is_gone_is_missed() {
    let text = told(true);
    assert!(text.contains("audit FAILED: the master's tasks_running is 199, not 200"), "{text}");
}
