//! What enters the books by other ways than offers: agents that bring tasks,
//! operations, late reports.

use allocator::{AgentOptions, Allocation, Allocator, FrameworkOptions, Options, Progress};
use machine::Instant;
use resources::{Reservation, Resources};
use types::{AgentId, FrameworkId, Role};

fn resources(text: &str) -> Resources {
    Resources::parse(text, "*").expect(text)
}

fn subscribed(roles: &[&str]) -> FrameworkOptions {
    FrameworkOptions { roles: roles.iter().map(|role| Role::from(*role)).collect(), ..Default::default() }
}

fn step(allocator: &mut Allocator) -> Vec<String> {
    let mut out = Vec::new();
    while allocator.step(Instant::ZERO, 1000, &mut out) == Progress::More {}
    allocator.assert_invariants();
    allocator.assert_settled();
    let show = |a: &Allocation| format!("{} as {}: {}", a.framework, a.role, a.resources.unallocated());
    out.iter().map(show).collect()
}

#[test]
fn an_agent_brings_tasks_of_frameworks_that_are_not_there_yet() {
    let mut allocator = Allocator::new(Options::default());
    let (framework, agent, role) = (FrameworkId::from("f"), AgentId::from("x"), Role::from("a"));
    let held = resources("cpus:3;mem:512").allocated(&role);
    let used = [(framework.clone(), held.clone())];
    allocator.add_agent(&agent, AgentOptions::default(), resources("cpus:4;mem:1024"), &used);
    assert!(step(&mut allocator).is_empty());
    assert_eq!(allocator.held(&framework, &agent), resources("cpus:3;mem:512"));

    // What it holds counts once it is there: the other one has less.
    allocator.add_framework(&framework, &subscribed(&["a"]), true);
    allocator.add_framework(&FrameworkId::from("g"), &subscribed(&["a"]), true);
    assert_eq!(step(&mut allocator), ["g as a: cpus:1; mem:512"]);

    // It is forgotten only when it is gone and holds nothing any more.
    allocator.remove_framework(&framework);
    assert_eq!(allocator.held(&framework, &agent), resources("cpus:3;mem:512"));
    allocator.recover(Instant::ZERO, &framework, &agent, &held, None);
    assert_eq!(step(&mut allocator), ["g as a: cpus:3; mem:512"]);
    assert!(allocator.held(&framework, &agent).is_empty());
    assert!(allocator.explain(&framework, 1).is_empty());
}

#[test]
fn an_operation_changes_the_account_and_the_total() {
    let mut allocator = Allocator::new(Options::default());
    let (framework, agent, role) = (FrameworkId::from("f"), AgentId::from("x"), Role::from("a"));
    allocator.add_framework(&framework, &subscribed(&["a"]), true);
    allocator.add_agent(&agent, AgentOptions::default(), resources("cpus:4;mem:1024"), &[]);
    assert_eq!(step(&mut allocator), ["f as a: cpus:4; mem:1024"]);

    let consumed = resources("cpus:1").allocated(&role);
    let reserved = consumed.push_reservation(&Reservation::dynamic("a", None)).expect("refines nothing");
    allocator.update_allocation(&framework, &agent, &consumed, &reserved);
    assert!(step(&mut allocator).is_empty());
    let expected = resources("cpus:3;mem:1024") + reserved.unallocated();
    assert_eq!(allocator.agent_allocated(&agent), Some(expected));

    // The reservation stays with the agent when it is given back.
    allocator.recover(Instant::ZERO, &framework, &agent, &reserved, None);
    allocator.suppress(&framework, &[]);
    allocator.add_framework(&FrameworkId::from("g"), &subscribed(&["b"]), true);
    assert!(step(&mut allocator).is_empty());
    assert_eq!(allocator.agent_available(&agent), Some(reserved.unallocated()));
    allocator.revive(&framework, &[]);
    assert_eq!(step(&mut allocator), ["f as a: cpus(reservations: [(DYNAMIC,a)]):1"]);
}

#[test]
fn a_late_report_may_exceed_the_total() {
    let mut allocator = Allocator::new(Options::default());
    let (framework, agent) = (FrameworkId::from("f"), AgentId::from("x"));
    allocator.add_framework(&framework, &subscribed(&["a"]), true);
    allocator.add_agent(&agent, AgentOptions::default(), resources("cpus:2;mem:64"), &[]);
    assert_eq!(step(&mut allocator), ["f as a: cpus:2; mem:64"]);
    let more = resources("cpus:1").allocated(&Role::from("a"));
    allocator.add_allocation(&framework, &agent, &more);
    assert!(step(&mut allocator).is_empty());

    // What is given back first covers what was too much.
    allocator.recover(Instant::ZERO, &framework, &agent, &more, None);
    assert!(step(&mut allocator).is_empty());
    let half = resources("cpus:0.5;mem:64").allocated(&Role::from("a"));
    allocator.recover(Instant::ZERO, &framework, &agent, &half, None);
    assert_eq!(step(&mut allocator), ["f as a: cpus:0.5; mem:64"]);
}

#[test]
fn who_is_not_there_changes_nothing() {
    let mut allocator = Allocator::new(Options::default());
    let (framework, agent) = (FrameworkId::from("f"), AgentId::from("x"));
    let some = resources("cpus:1").allocated(&Role::from("a"));
    allocator.update_framework(&framework, &subscribed(&["a"]));
    allocator.remove_framework(&framework);
    allocator.activate_framework(&framework);
    allocator.deactivate_framework(&framework);
    allocator.suppress(&framework, &[]);
    allocator.revive(&framework, &[]);
    allocator.update_agent(&agent, resources("cpus:1"));
    allocator.activate_agent(&agent);
    allocator.deactivate_agent(&agent);
    allocator.set_agent_options(&agent, AgentOptions::default());
    allocator.remove_agent(&agent);
    allocator.recover(Instant::ZERO, &framework, &agent, &some, None);
    allocator.update_allocation(&framework, &agent, &some, &some);
    allocator.add_allocation(&framework, &agent, &some);
    assert!(step(&mut allocator).is_empty());
    assert_eq!(allocator.poll_timeout(), None);
    assert!(allocator.total().is_empty());
}

#[test]
fn an_operation_of_somebody_unknown_changes_nothing() {
    let mut allocator = Allocator::new(Options::default());
    let (agent, role) = (AgentId::from("x"), Role::from("a"));
    allocator.add_agent(&agent, AgentOptions::default(), resources("cpus:4;mem:1024"), &[]);
    let consumed = resources("cpus:1").allocated(&role);
    let reserved = consumed.push_reservation(&Reservation::dynamic("a", None)).expect("refines nothing");
    allocator.update_allocation(&FrameworkId::from("gone"), &agent, &consumed, &reserved);
    assert_eq!(allocator.agent_total(&agent), Some(&resources("cpus:4;mem:1024")));
    assert!(step(&mut allocator).is_empty());
    // Who is known in one of two roles: the books agree with the total all the same.
    allocator.add_framework(&FrameworkId::from("f"), &subscribed(&["a"]), true);
    assert_eq!(step(&mut allocator), ["f as a: cpus:4; mem:1024"]);
    let other = Role::from("b");
    let both = |text: &str| &resources(text).allocated(&role) + &resources(text).allocated(&other);
    allocator.update_allocation(&FrameworkId::from("f"), &agent, &both("cpus:1"), &both("cpus(a):1"));
    assert!(step(&mut allocator).is_empty());
}
