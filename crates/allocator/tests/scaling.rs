//! How the work grows: counted in visits of agents and looks of frameworks, never
//! in time.

use std::time::Duration;

use allocator::{AgentOptions, Allocation, Allocator, FrameworkOptions, Options, Progress, Refusal};
use machine::Instant;
use resources::Resources;
use types::{AgentId, FrameworkId, Role};

fn resources(text: &str) -> Resources {
    Resources::parse(text, "*").expect(text)
}

fn agent_id(at: usize) -> AgentId {
    AgentId::from(format!("agent-{at:05}"))
}

fn framework_id(at: usize) -> FrameworkId {
    FrameworkId::from(format!("fw-{at:05}"))
}

struct Cluster {
    allocator: Allocator,
    now: Instant,
}

impl Cluster {
    /// Frameworks, ten of them in each role, that want offers or not; and agents.
    fn new(agents: usize, frameworks: usize, suppressed: bool) -> Self {
        let mut allocator = Allocator::new(Options::default());
        for at in 0..frameworks {
            let roles = vec![Role::from(format!("role-{}", at / 10))];
            let suppressed = if suppressed { roles.clone() } else { Vec::new() };
            let options = FrameworkOptions { roles, suppressed, ..Default::default() };
            allocator.add_framework(&framework_id(at), &options, true);
        }
        for at in 0..agents {
            allocator.add_agent(&agent_id(at), AgentOptions::default(), resources("cpus:8;mem:8192"), &[]);
        }
        Self { allocator, now: Instant::ZERO }
    }

    fn step(&mut self) -> Vec<Allocation> {
        let mut out = Vec::new();
        while self.allocator.step(self.now, 10_000, &mut out) == Progress::More {}
        out
    }

    /// Steps, and tells how many visits and looks that took.
    fn work(&mut self) -> (u64, Vec<Allocation>) {
        let (visits, looks) = self.allocator.work_done();
        let out = self.step();
        let (visits_after, looks_after) = self.allocator.work_done();
        (visits_after + looks_after - visits - looks, out)
    }
}

#[test]
fn a_freed_agent_costs_the_same_in_any_cluster() {
    let cost = |agents, frameworks| {
        let mut cluster = Cluster::new(agents, frameworks, false);
        let offers = cluster.step();
        assert_eq!(offers.len(), agents);
        let Allocation { framework, agent, role, .. } = &offers[agents / 2];
        let freed = resources("cpus:1;mem:100").allocated(role);
        cluster.allocator.recover(cluster.now, framework, agent, &freed, None);
        let (work, out) = cluster.work();
        assert_eq!(out.len(), 1);
        work
    };
    assert_eq!(cost(50, 20), 2);
    assert_eq!(cost(2000, 20), 2);
    assert_eq!(cost(50, 400), 2);
}

#[test]
fn idle_agents_and_content_frameworks_cost_nothing() {
    let mut cluster = Cluster::new(2000, 200, true);
    assert!(cluster.step().is_empty());
    assert_eq!(cluster.work().0, 0);
    assert_eq!(cluster.allocator.poll_timeout(), None);
    cluster.now = cluster.now + Duration::from_secs(3600);
    assert_eq!(cluster.work().0, 0);
}

#[test]
fn a_framework_that_wakes_looks_only_where_something_is_free() {
    let cost = |agents: usize| {
        let mut cluster = Cluster::new(agents, 20, false);
        let offers = cluster.step();
        (0..20).for_each(|at| cluster.allocator.suppress(&framework_id(at), &[]));
        for Allocation { framework, agent, resources, .. } in &offers[..10] {
            cluster.allocator.recover(cluster.now, framework, agent, resources, None);
        }
        assert!(cluster.step().is_empty());
        cluster.allocator.revive(&framework_id(3), &[]);
        let (work, out) = cluster.work();
        assert_eq!(out.len(), 10);
        work
    };
    assert_eq!(cost(50), 20);
    assert_eq!(cost(1500), 20);
}

#[test]
fn many_that_wake_together_are_one_sweep() {
    let mut cluster = Cluster::new(500, 200, true);
    cluster.step();
    (0..200).for_each(|at| cluster.allocator.revive(&framework_id(at), &[]));
    let (work, out) = cluster.work();
    assert_eq!(out.len(), 500);
    assert!(work <= 1000 + 500, "one visit and one look for each agent, not {work}");
}

#[test]
fn the_work_of_filters_follows_those_that_expire() {
    // Everybody declines everything, the first ten for a second, the rest for an hour.
    let mut cluster = Cluster::new(10, 100, false);
    loop {
        let offers = cluster.step();
        if offers.is_empty() {
            break;
        }
        for Allocation { framework, agent, resources, .. } in &offers {
            let seconds = if *framework < framework_id(10) { 1.0 } else { 3600.0 };
            cluster.allocator.recover(
                cluster.now,
                framework,
                agent,
                resources,
                Some(Refusal::from_seconds(seconds)),
            );
        }
    }
    assert_eq!(cluster.allocator.filter_count(), 1000);
    cluster.now = cluster.now + Duration::from_millis(999);
    assert_eq!(cluster.work().0, 0);
    cluster.now = cluster.now + Duration::from_millis(1);
    let (work, out) = cluster.work();
    assert_eq!(out.len(), 10);
    assert!(work <= 10 * (1 + 10 + 100), "a visit and few looks for each agent, not {work}");
    assert_eq!(cluster.allocator.filter_count(), 900);
}

#[test]
fn a_decline_costs_nearly_the_same_among_many_frameworks() {
    let cost = |frameworks: usize| {
        let mut cluster = Cluster::new(frameworks, frameworks, false);
        let mut declines = 0;
        let (visits, looks) = cluster.allocator.work_done();
        loop {
            let offers = cluster.step();
            if offers.is_empty() {
                break;
            }
            for Allocation { framework, agent, resources, .. } in &offers {
                cluster.allocator.recover(cluster.now, framework, agent, resources, Some(Refusal::DEFAULT));
            }
            declines += offers.len();
        }
        assert_eq!(declines, frameworks * frameworks, "everybody declines every agent once");
        let (visits_after, looks_after) = cluster.allocator.work_done();
        (visits_after + looks_after - visits - looks) as f64 / declines as f64
    };
    let (few, many) = (cost(20), cost(100));
    assert!(many < few * 2.0, "{few:.1} looks for each decline among 20, {many:.1} among 100");
}

#[test]
fn a_decline_where_all_others_refuse_costs_the_same_however_many_they_are() {
    let cost = |frameworks: usize| {
        let mut cluster = Cluster::new(10, frameworks, false);
        // Whoever holds much comes last in the order: all the others are before it.
        let held = resources("cpus:4;mem:4096").allocated(&Role::from("role-0"));
        let used = [(framework_id(7), held)];
        let total = resources("cpus:8;mem:8192");
        cluster.allocator.add_agent(&agent_id(10), AgentOptions::default(), total, &used);
        let hoarder = framework_id(7);
        loop {
            let offers = cluster.step();
            if offers.is_empty() {
                break;
            }
            for Allocation { framework, agent, resources, .. } in &offers {
                let seconds = if *framework == hoarder { 1.0 } else { 3600.0 };
                let refusal = Some(Refusal::from_seconds(seconds));
                cluster.allocator.recover(cluster.now, framework, agent, resources, refusal);
            }
        }
        cluster.now = cluster.now + Duration::from_secs(1);
        let (expired, offers) = cluster.work();
        assert_eq!(offers.len(), 11);
        for Allocation { framework, agent, resources, .. } in &offers {
            assert_eq!(*framework, hoarder);
            cluster.allocator.recover(cluster.now, framework, agent, resources, Some(Refusal::DEFAULT));
        }
        let (declined, offers) = cluster.work();
        assert!(offers.is_empty());
        (expired, declined)
    };
    // A visit and a look for each that expired, a visit alone for each decline.
    assert_eq!(cost(40), (22, 11));
    assert_eq!(cost(400), (22, 11));
}

#[test]
fn filters_that_are_over_together_are_within_the_budget() {
    const AGENTS: usize = 1000;
    let mut cluster = Cluster::new(AGENTS, 1, false);
    for Allocation { framework, agent, resources, .. } in &cluster.step() {
        let refusal = Some(Refusal::from_seconds(1.0));
        cluster.allocator.recover(cluster.now, framework, agent, resources, refusal);
    }
    assert!(cluster.step().is_empty());
    cluster.now = cluster.now + Duration::from_secs(1);
    let mut out = Vec::new();
    assert_eq!(cluster.allocator.step(cluster.now, 10, &mut out), Progress::More);
    assert_eq!((cluster.allocator.filter_count(), out.len()), (AGENTS - 80, 0), "eight to a look");
    assert!(cluster.allocator.poll_timeout().is_some_and(|at| at <= cluster.now));
    cluster.allocator.assert_invariants();
    assert_eq!(cluster.step().len(), AGENTS);
    assert_eq!(cluster.allocator.filter_count(), 0);
}

#[test]
fn a_first_minimum_of_its_own_is_no_reason_to_look_at_agents_that_are_full() {
    let mut cluster = Cluster::new(500, 20, false);
    let offers = cluster.step();
    assert_eq!(offers.len(), 500);
    // One has less left than the least that is offered.
    let Allocation { framework, agent, role, .. } = &offers[7];
    let little = resources("mem:1").allocated(role);
    cluster.allocator.recover(cluster.now, framework, agent, &little, None);
    assert_eq!(cluster.work().0, 1);
    let role = Role::from("any");
    let options = FrameworkOptions {
        roles: vec![role.clone()],
        min_allocatable: [(role, Vec::new())].into_iter().collect(),
        ..FrameworkOptions::default()
    };
    cluster.allocator.add_framework(&FrameworkId::from("any"), &options, true);
    let (work, out) = cluster.work();
    assert_eq!(out.len(), 1, "it takes anything");
    assert_eq!(work, 2);
    cluster.allocator.assert_invariants();
}
