//! Small runs against a master in this process: a good one passes the audit, and each negative control fails it.

use std::net::{Ipv4Addr, SocketAddr};

use load::{Fault, Options, Report};
use master::{Master, MasterConfig};

/// Starts a master, runs against it, and stops it.
fn check(change: impl FnOnce(&mut Options)) -> Report {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let config = MasterConfig::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let running = runtime.block_on(Master::start(config)).expect("the master starts");
    let mut options = Options {
        agents: 20,
        frameworks: 2,
        tasks: 200,
        warm_up: 20,
        pairs: 2,
        no_echo: true,
        master: Some(running.address),
        total_seconds: 60,
        ..Options::default()
    };
    change(&mut options);
    let report = load::lifecycle::run(&options).expect("there is something to measure");
    runtime.block_on(running.shutdown()).expect("the master ends in order");
    report
}

fn passes(change: impl FnOnce(&mut Options)) {
    let report = check(change);
    assert_eq!(report.complaints, Vec::<String>::new());
    assert_eq!((report.launched, report.done, report.windows.len()), (220, 220, 2));
}

fn fails(fault: Fault, words: &str) {
    let report = check(|options| {
        options.fault = Some(fault);
        options.stall_seconds = 1;
    });
    let complaints = report.complaints.join("\n");
    assert!(complaints.contains(words), "{fault:?}: {complaints}");
}

#[test]
fn a_good_run_passes_the_audit() {
    passes(|_| {});
}

#[test]
fn frameworks_may_speak_json_and_agents_share_listeners() {
    passes(|options| {
        options.json = true;
        options.listeners = Some(3);
    });
}

#[test]
fn tasks_may_arrive_one_by_one() {
    passes(|options| options.rate = Some(2000.0));
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
