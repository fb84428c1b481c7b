//! Very many roles, a very deep one, very many filters: dear, but not out of proportion.

use std::time::Duration;

use allocator::{
    Allocation, Allocator, FrameworkOptions, Options, Policy, Progress, Refusal, Sorter, Weight,
};
use machine::Instant;
use resources::Resources;
use types::{AgentId, FrameworkId, Role};

fn total() -> Resources {
    Resources::parse("cpus:4;mem:1024", "*").expect("parses")
}

fn subscribe(allocator: &mut Allocator, framework: &str, role: &str) {
    let options = FrameworkOptions { roles: vec![Role::from(role)], ..FrameworkOptions::default() };
    allocator.add_framework(&framework.into(), &options, true);
}

fn settle(allocator: &mut Allocator, now: Instant) -> Vec<Allocation> {
    let mut out = Vec::new();
    while allocator.step(now, 1000, &mut out) == Progress::More {}
    out
}

fn looks(allocator: &Allocator) -> u64 {
    allocator.work_done().1
}

#[test]
fn ten_thousand_roles_take_turns() {
    for sorter in [Sorter::Drf, Sorter::Random] {
        let policy = Policy { role_sorter: sorter, ..Policy::default() };
        let mut allocator = Allocator::new(Options { policy, ..Options::default() });
        for at in 0..10_000 {
            subscribe(&mut allocator, &format!("fw-{at}"), &format!("role-{at}"));
        }
        for at in 0..50 {
            allocator.add_agent(&AgentId::from(format!("a-{at}")), Default::default(), total(), &[]);
        }
        let before = looks(&allocator);
        let out = settle(&mut allocator, Instant::ZERO);
        assert_eq!(out.len(), 50);
        assert_eq!(looks(&allocator) - before, 50, "the first to look takes all");
        assert_eq!(allocator.role_figures().len(), 10_000);
        for at in 0..10_000 {
            allocator.remove_framework(&FrameworkId::from(format!("fw-{at}")));
        }
        for Allocation { framework, agent, resources, .. } in &out {
            allocator.recover(Instant::ZERO, framework, agent, resources, None);
        }
        assert!(settle(&mut allocator, Instant::ZERO).is_empty());
        allocator.assert_invariants();
    }
}

#[test]
fn a_role_fifty_levels_deep_is_a_role() {
    let deep = vec!["x"; 50].join("/");
    let mut allocator = Allocator::new(Options::default());
    subscribe(&mut allocator, "deep", &deep);
    subscribe(&mut allocator, "flat", "y");
    allocator.set_weight(&deep.as_str().into(), Weight::from_f64(7.0).expect("positive"));
    for at in 0..6 {
        allocator.add_agent(&AgentId::from(format!("a-{at}")), Default::default(), total(), &[]);
    }
    let out = settle(&mut allocator, Instant::ZERO);
    assert_eq!(out.iter().filter(|one| one.framework.as_str() == "deep").count(), 3);
    allocator.assert_invariants();
    let half = Resources::parse("cpus:12;mem:3072", "*").expect("parses");
    assert_eq!(allocator.role_allocated(&"x".into()), resources::Quantities::of_scalars(&half));
    allocator.remove_framework(&"deep".into());
    for Allocation { framework, agent, resources, .. } in &out {
        allocator.recover(Instant::ZERO, framework, agent, resources, None);
    }
    assert_eq!(settle(&mut allocator, Instant::ZERO).len(), 6);
    allocator.assert_invariants();
}

#[test]
fn a_hundred_thousand_filters_of_one_framework_end_in_time_and_at_once() {
    const AGENTS: usize = 100_000;
    let mut allocator = Allocator::new(Options::default());
    subscribe(&mut allocator, "picky", "dev");
    for at in 0..AGENTS {
        allocator.add_agent(&AgentId::from(format!("a-{at}")), Default::default(), total(), &[]);
    }
    let decline_all = |allocator: &mut Allocator, now: Instant, seconds: f64| {
        let out = settle(allocator, now);
        assert_eq!(out.len(), AGENTS);
        for Allocation { framework, agent, resources, .. } in &out {
            let refusal = Some(Refusal::from_seconds(seconds));
            allocator.recover(now, framework, agent, resources, refusal);
        }
        assert!(settle(allocator, now).is_empty());
        assert_eq!(allocator.filter_count(), AGENTS);
        assert_eq!(allocator.role_figures()[&Role::from("dev")].filters, AGENTS);
    };
    decline_all(&mut allocator, Instant::ZERO, 10.0);
    let before = looks(&allocator);
    assert!(settle(&mut allocator, Instant::ZERO + Duration::from_secs(5)).is_empty());
    assert_eq!(looks(&allocator), before, "waiting costs nothing");
    // All end in the same instant.
    let now = Instant::ZERO + Duration::from_secs(10);
    decline_all(&mut allocator, now, 1000.0);
    assert!(looks(&allocator) - before <= 2 * AGENTS as u64);
    // REVIVE ends them all.
    allocator.revive(&"picky".into(), &[]);
    assert_eq!(allocator.filter_count(), 0);
    assert_eq!(settle(&mut allocator, now).len(), AGENTS);
}
