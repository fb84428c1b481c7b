//! Orders other than dominant resource fairness: lots, and strict priorities.

use std::collections::BTreeMap;

use allocator::{Allocation, Allocator, FrameworkOptions, Options, Policy, Progress, Sorter, Weight};
use machine::Instant;
use resources::Resources;
use types::{AgentId, Role};

fn allocator(policy: Policy, seed: u64) -> Allocator {
    Allocator::new(Options { policy, rng_seed: seed, ..Options::default() })
}

fn subscribe(allocator: &mut Allocator, framework: &str, role: &str) {
    let options = FrameworkOptions { roles: vec![Role::from(role)], ..FrameworkOptions::default() };
    allocator.add_framework(&framework.into(), &options, true);
}

fn add_agents(allocator: &mut Allocator, count: usize) {
    let total = Resources::parse("cpus:4;mem:1024", "*").expect("parses");
    for at in 0..count {
        let id = AgentId::from(format!("agent-{at}"));
        allocator.add_agent(&id, Default::default(), total.clone(), &[]);
    }
}

fn settle(allocator: &mut Allocator) -> Vec<Allocation> {
    let mut out = Vec::new();
    assert_eq!(allocator.step(Instant::ZERO, usize::MAX, &mut out), Progress::Done);
    allocator.assert_invariants();
    out
}

fn count(out: &[Allocation]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    out.iter().for_each(|one| *counts.entry(one.framework.as_str()).or_default() += 1);
    counts
}

#[test]
fn lots_are_drawn_by_weight_whatever_each_holds() {
    let policy = Policy { role_sorter: Sorter::Random, ..Policy::default() };
    let mut allocator = allocator(policy, 11);
    subscribe(&mut allocator, "one", "dev");
    subscribe(&mut allocator, "three", "prod");
    allocator.set_weight(&"prod".into(), Weight::from_f64(3.0).expect("positive"));
    add_agents(&mut allocator, 800);
    let out = settle(&mut allocator);
    let counts = count(&out);
    assert!((170..230).contains(&counts["one"]), "{counts:?}");
    assert_eq!(counts["one"] + counts["three"], 800);
}

#[test]
fn lots_among_the_frameworks_of_a_role_leave_roles_fair() {
    let policy = Policy { framework_sorter: Sorter::Random, ..Policy::default() };
    let mut allocator = allocator(policy, 5);
    subscribe(&mut allocator, "a", "dev");
    subscribe(&mut allocator, "b", "dev");
    subscribe(&mut allocator, "c", "prod");
    add_agents(&mut allocator, 800);
    let out = settle(&mut allocator);
    let counts = count(&out);
    assert_eq!(counts["c"], 400, "roles take turns");
    assert!((150..250).contains(&counts["a"]), "{counts:?}");
    // With turns these two would have the same.
    assert_ne!(counts["a"], counts["b"]);
}

/// A filter that ends wakes one framework; when two end at once lots decide as well.
#[test]
fn lots_decide_among_a_few_that_wake() {
    let mut first = BTreeMap::new();
    for seed in 0..200 {
        let policy =
            Policy { role_sorter: Sorter::Random, framework_sorter: Sorter::Random, ..Policy::default() };
        let mut allocator = allocator(policy, seed);
        add_agents(&mut allocator, 1);
        assert!(settle(&mut allocator).is_empty());
        subscribe(&mut allocator, "a", "dev");
        subscribe(&mut allocator, "b", "prod");
        let out = settle(&mut allocator);
        assert_eq!(out.len(), 1);
        *first.entry(out[0].framework.as_str().to_owned()).or_insert(0) += 1;
    }
    assert!((70..130).contains(&first["a"]), "{first:?}");
}

#[test]
fn a_higher_priority_comes_first_whatever_it_holds() {
    let priorities = [("prod", 10), ("prod/web", 1)].map(|(role, priority)| (Role::from(role), priority));
    let policy = Policy { priorities: priorities.into(), ..Policy::default() };
    let mut allocator = allocator(policy, 1);
    subscribe(&mut allocator, "dev", "dev");
    subscribe(&mut allocator, "prod", "prod");
    add_agents(&mut allocator, 3);
    assert_eq!(count(&settle(&mut allocator)), BTreeMap::from([("prod", 3)]));
    // Below a role, its own frameworks have no priority.
    subscribe(&mut allocator, "web", "prod/web");
    add_agents(&mut allocator, 5);
    assert_eq!(count(&settle(&mut allocator))["web"], 5);
    // Who has the priority and wants nothing leaves it to the others; among equals shares decide.
    allocator.suppress(&"prod".into(), &[]);
    allocator.suppress(&"web".into(), &[]);
    subscribe(&mut allocator, "ops", "ops");
    add_agents(&mut allocator, 6);
    assert_eq!(count(&settle(&mut allocator)), BTreeMap::from([("dev", 3), ("ops", 3)]));
}

/// One who comes late takes nothing from others, but all that is freed.
#[test]
fn priorities_take_nothing_back() {
    let policy = Policy { priorities: [(Role::from("prod"), 1)].into(), ..Policy::default() };
    let mut allocator = allocator(policy, 1);
    subscribe(&mut allocator, "dev", "dev");
    add_agents(&mut allocator, 2);
    let held = settle(&mut allocator);
    assert_eq!(count(&held), BTreeMap::from([("dev", 2)]));
    subscribe(&mut allocator, "prod", "prod");
    assert!(settle(&mut allocator).is_empty());
    let Allocation { framework, agent, resources, .. } = &held[0];
    allocator.recover(Instant::ZERO, framework, agent, resources, None);
    assert_eq!(count(&settle(&mut allocator)), BTreeMap::from([("prod", 1)]));
}
