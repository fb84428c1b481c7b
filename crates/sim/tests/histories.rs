//! Histories of the simulation: a few seeds in which all rules hold, that a seed gives one history, and that every
//! rule is broken by a build that is broken so.

use sim::{Breakage, Fault, Guest, Journal, MILLI, Plan, SECOND, Temper, World};

/// Seeds of the ordinary tests. `cargo xtask sim --soak` runs thousands.
const SMOKE: std::ops::Range<u64> = 0..24;

#[test]
fn all_rules_hold() {
    let mut tasks = 0;
    let mut epochs = 0;
    for seed in SMOKE {
        let outcome = sim::run(&Plan::of_seed(seed), Breakage::default());
        assert_eq!(outcome.violation, None, "seed {seed}: `cargo xtask sim --seed {seed}` shrinks it");
        tasks += outcome.tasks;
        epochs += outcome.epochs;
    }
    // A world in which nothing happens keeps every rule.
    assert!(tasks > 500, "{tasks} tasks ran");
    assert!(epochs > SMOKE.end, "{epochs} leaderships");
}

#[test]
fn one_seed_gives_one_history() {
    let plan = Plan::of_seed(9);
    let first = sim::run(&plan, Breakage::default());
    assert_eq!(sim::run(&plan, Breakage::default()), first);
    let mut read = World::new(plan, Breakage::default(), Journal::with_lines());
    assert_eq!(read.run(Some(2000)).events, 2000);
    let lines = read.take_lines();
    assert!(lines.contains("SlaveRegisteredMessage") && lines.contains("  + master 0: agent"));
    assert_ne!(sim::run(&Plan::of_seed(10), Breakage::default()).hash, first.hash);
}

fn guest(temper: Temper) -> Guest {
    Guest { temper, role: "dev", checkpoint: true, partition_aware: true, own_executors: true }
}

/// A world in which a broken build has every occasion.
fn plan(faults: Vec<(u64, Fault)>) -> Plan {
    let guests = vec![guest(Temper::Greedy), guest(Temper::Hoarding), guest(Temper::Slow)];
    Plan { seed: 3, agents: 3, guests, faults, busy: 60 * SECOND }
}

fn caught_by(faults: Vec<(u64, Fault)>, breakage: Breakage, checker: &str) {
    let plan = plan(faults);
    assert_eq!(sim::run(&plan, Breakage::default()).violation, None, "the same world, not broken");
    let found = sim::run(&plan, breakage).violation.expect("a broken rule");
    assert_eq!(found.checker, checker, "{}", found.what);
}

#[test]
fn an_acknowledgement_before_the_checkpoint_is_caught() {
    caught_by(Vec::new(), Breakage { acknowledges_early: true, ..Breakage::default() }, "durable");
}

#[test]
fn a_commit_without_an_epoch_is_caught() {
    // What the leader writes is on its way for so long that another leads when it arrives.
    let (from, to) = (sim::Node::Master(0), sim::Node::Coordination);
    let faults = vec![
        (20 * SECOND, Fault::OneWay { from, to, lasts: 16 * SECOND }),
        (22 * SECOND, Fault::Quota { role: "dev", cpus: 3 }),
    ];
    caught_by(faults, Breakage { commits_without_epoch: true, ..Breakage::default() }, "registry");
}

#[test]
fn an_offer_that_is_not_rescinded_is_caught() {
    let cut = |second| (second * SECOND, Fault::Cut { node: sim::Node::Agent(0) });
    let faults = (6..60).step_by(3).map(cut).collect();
    caught_by(faults, Breakage { keeps_rescinds: true, ..Breakage::default() }, "offers");
}

#[test]
fn an_acknowledgement_that_is_forgotten_is_caught() {
    let dies = |agent| (40 * SECOND, Fault::AgentDies { agent, after: 0, down: 500 * MILLI });
    let breakage = Breakage { forgets_acknowledgements: true, ..Breakage::default() };
    caught_by((0..3).map(dies).collect(), breakage, "acknowledged");
}

#[test]
fn a_task_that_is_launched_twice_is_caught() {
    caught_by(Vec::new(), Breakage { launches_twice: true, ..Breakage::default() }, "once");
}

#[test]
fn updates_that_get_no_further_are_caught() {
    caught_by(Vec::new(), Breakage { keeps_updates: true, ..Breakage::default() }, "agreement");
}

#[test]
fn crowds_come_back() {
    let outcome = sim::wide(1, 4000);
    assert_eq!(outcome.violations, Vec::<String>::new());
    assert!(outcome.unreachable > 3000, "a rack and a region were lost: {outcome:?}");
    assert_eq!(sim::wide(1, 4000), outcome);
}
