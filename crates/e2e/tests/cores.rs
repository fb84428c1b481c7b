//! The real cores of a master and of agents against each other, in memory and on a
//! clock of their own: messages are lost, links break, executors and agents die.
//! Once all that is over every task must have reached its end, and nothing may be
//! left of any. A failure names its seed; the same seed gives the same history.

#![expect(clippy::unwrap_used, reason = "a simulated world that is wrong shall stop the test")]

#[path = "cores/executor.rs"]
mod executor;
#[path = "cores/framework.rs"]
mod framework;
#[path = "cores/world.rs"]
mod world;

use std::time::Duration;

use world::{Faults, World};

fn run(seed: u64, faults: Faults) {
    let mut world = World::new(seed, 3, 60, faults);
    world.run(Duration::from_secs(120));
    world.heal();
    world.run(Duration::from_secs(3600));
    world.check();
}

#[test]
fn without_faults_every_task_finishes_once() {
    let mut world = World::new(1, 3, 200, Faults::default());
    world.run(Duration::from_secs(600));
    world.check();
    assert_eq!(world.finished(), 200);
}

#[test]
fn messages_are_lost() {
    for seed in 0..5 {
        run(seed, Faults { lost_permille: 50, ..Faults::default() });
    }
}

#[test]
fn executors_die() {
    for seed in 0..5 {
        run(seed, Faults { executor_deaths: 20, ..Faults::default() });
    }
}

#[test]
fn agents_die() {
    for seed in 0..5 {
        run(seed, Faults { agent_deaths: 10, ..Faults::default() });
    }
}

#[test]
fn everything_goes_wrong() {
    for seed in 0..8 {
        run(seed, Faults { lost_permille: 30, executor_deaths: 10, agent_deaths: 6 });
    }
}
