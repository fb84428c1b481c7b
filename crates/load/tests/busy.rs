//! Small busy clusters against a master in this process: a good run passes its audit, and each negative control fails for
//! its own reason. No time is held against a goal here but one that is wrong on purpose.

use std::net::{Ipv4Addr, SocketAddr};

use load::busy::{Kind, run};
use load::{BusyOptions, Fault};
use master::{Master, MasterConfig};

/// Starts a master, keeps 20 agents busy for a second, and stops it; says what was told.
fn told(kind: Kind, fault: Option<Fault>) -> String {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let config = MasterConfig::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let running = runtime.block_on(Master::start(config)).expect("the master starts");
    let options = BusyOptions {
        agents: Some(20),
        frameworks: Some(2),
        rate: 50.0,
        seconds: 1,
        warm_up_seconds: 0,
        master: Some(running.address),
        master_pid: Some(std::process::id()),
        fault,
        ..BusyOptions::default()
    };
    let (text, good) = run(kind, &options).expect("there is something to measure");
    runtime.block_on(running.shutdown()).expect("the master ends in order");
    assert_eq!(good, !text.contains("FAILED") && !text.contains("MISSED"), "{text}");
    text
}

fn fails(fault: Fault, words: &str) {
    let text = told(Kind::Churn, Some(fault));
    assert!(text.contains("audit FAILED") && text.contains(words), "{fault:?}: {text}");
}

#[test]
fn good_runs_pass_their_audits() {
    for kind in [Kind::Latency, Kind::Churn, Kind::Probe] {
        let text = told(kind, None);
        assert!(text.contains(r#""audit":"passed""#) && !text.contains("audit FAILED"), "{kind:?}: {text}");
    }
}

#[test]
fn a_timer_in_the_path_misses_the_goal_and_passes_the_audit() {
    let text = told(Kind::Latency, Some(Fault::LateUpdates));
    assert!(text.contains("MISSED: p50 is 5"), "half a second: {text}");
    assert!(text.contains("MISSED: p99 is ") && !text.contains("audit FAILED"), "{text}");
}

#[test]
fn a_swallowed_update_is_missed() {
    fails(Fault::SwallowUpdate, "lost: task 7 is running");
}

#[test]
fn a_doubled_update_is_seen() {
    fails(Fault::DoubleUpdate, "task 7 finished twice");
}

#[test]
fn an_agent_with_more_than_it_has_is_over_committed() {
    fails(Fault::OverOffer, "over-committed");
}

#[test]
fn a_forgotten_acknowledgement_is_missed() {
    fails(Fault::ForgetAcknowledgement, "lost: task 7 is finished, but");
}
