//! Dominant resource fairness: the paper's example, weights, ties and trees.

use allocator::{AgentOptions, Allocation, Allocator, FrameworkOptions, Options, Progress, Refusal, Weight};
use machine::Instant;
use resources::Resources;
use types::{AgentId, FrameworkId, Role};

fn resources(text: &str) -> Resources {
    Resources::parse(text, "*").expect(text)
}

fn subscribed(roles: &[&str]) -> FrameworkOptions {
    FrameworkOptions { roles: roles.iter().map(|role| Role::from(*role)).collect(), ..Default::default() }
}

fn step(allocator: &mut Allocator) -> Vec<Allocation> {
    let mut out = Vec::new();
    while allocator.step(Instant::ZERO, 1000, &mut out) == Progress::More {}
    allocator.assert_invariants();
    out
}

/// Gives whole offers to frameworks that launch tasks of one size and give the
/// rest back, until nobody can launch another; tells how many tasks each has.
fn fill(options: Options, total: &str, tasks: &[(&str, &str, &str)]) -> Vec<usize> {
    let mut allocator = Allocator::new(options);
    for (framework, role, _) in tasks {
        allocator.add_framework(&FrameworkId::from(*framework), &subscribed(&[role]), true);
    }
    allocator.add_agent(&AgentId::from("agent"), AgentOptions::default(), resources(total), &[]);
    let mut launched = vec![0; tasks.len()];
    loop {
        let offers = step(&mut allocator);
        let Some(Allocation { framework, role, agent, resources: offered }) = offers.first() else { break };
        assert_eq!(offers.len(), 1, "an agent goes to one framework");
        let at = tasks.iter().position(|(name, ..)| framework.as_str() == *name).expect("a known one");
        let size = resources(tasks[at].2).allocated(role);
        if offered.contains(&size) {
            launched[at] += 1;
            allocator.recover(Instant::ZERO, framework, agent, &(offered - &size), None);
        } else {
            allocator.recover(Instant::ZERO, framework, agent, offered, Some(Refusal::DEFAULT));
        }
    }
    allocator.assert_settled();
    launched
}

#[test]
fn the_papers_example_gives_three_and_two() {
    // Ghodsi et al., NSDI 2011, section 4.1: 9 CPUs, 18 GB; A takes <1, 4>, B <3, 1>.
    let tasks = [("a", "ra", "cpus:1;mem:4096"), ("b", "rb", "cpus:3;mem:1024")];
    assert_eq!(fill(Options::default(), "cpus:9;mem:18432", &tasks), [3, 2]);
    let one_role = [("a", "r", "cpus:1;mem:4096"), ("b", "r", "cpus:3;mem:1024")];
    assert_eq!(fill(Options::default(), "cpus:9;mem:18432", &one_role), [3, 2]);
}

#[test]
fn weights_divide_in_proportion() {
    let weighted = |weight: f64| Options {
        weights: vec![(Role::from("a"), Weight::from_f64(weight).expect("positive"))],
        ..Options::default()
    };
    let tasks = [("fa", "a", "cpus:1"), ("fb", "b", "cpus:1")];
    assert_eq!(fill(weighted(1.0), "cpus:12", &tasks), [6, 6]);
    assert_eq!(fill(weighted(2.0), "cpus:12", &tasks), [8, 4]);
    assert_eq!(fill(weighted(0.2), "cpus:12", &tasks), [2, 10]);
}

#[test]
fn roles_share_before_their_frameworks_do() {
    let tasks = [("a1", "a", "cpus:1"), ("a2", "a", "cpus:1"), ("b1", "b", "cpus:1")];
    assert_eq!(fill(Options::default(), "cpus:12", &tasks), [3, 3, 6]);
}

#[test]
fn a_role_competes_with_the_roles_below_it_inside_its_own_share() {
    let tasks = [("eng", "eng", "cpus:1"), ("back", "eng/back", "cpus:1"), ("web", "web", "cpus:1")];
    assert_eq!(fill(Options::default(), "cpus:12", &tasks), [3, 3, 6]);
}

#[test]
fn a_role_of_any_depth_is_only_a_role() {
    let deep = vec!["r"; 50_000].join("/");
    let tasks = [("deep", deep.as_str(), "cpus:1"), ("web", "web", "cpus:1")];
    assert_eq!(fill(Options::default(), "cpus:4", &tasks), [2, 2]);
}
