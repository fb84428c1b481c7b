//! Shared volumes: whoever is offered something of the agent is offered a copy with it.

use allocator::{
    Allocation, Allocator, FrameworkCapabilities, FrameworkOptions, Obstacle, Options, Progress, Quota,
};
use machine::Instant;
use proto::mesos::v1;
use resources::{Name, Quantities, Resources, Scalar};
use types::Role;

fn resources(text: &str) -> Resources {
    Resources::parse(text, "*").expect(text)
}

fn volume() -> Resources {
    let volume: v1::Resource = proto::json::from_slice(
        br#"{"name":"disk","type":"SCALAR","scalar":{"value":50},"reservations":[{"type":"STATIC","role":"dev"}],
            "disk":{"persistence":{"id":"v"},"volume":{"container_path":"p","mode":"RW"}},"shared":{}}"#,
    )
    .expect("a resource");
    Resources::from_checked_protos(&[volume])
}

fn subscribe(allocator: &mut Allocator, framework: &str, shared_resources: bool, minimum: Option<&str>) {
    let capabilities = FrameworkCapabilities { shared_resources, ..Default::default() };
    subscribe_as(allocator, framework, capabilities, minimum);
}

fn subscribe_as(
    allocator: &mut Allocator,
    framework: &str,
    capabilities: FrameworkCapabilities,
    minimum: Option<&str>,
) {
    let role = Role::from("dev");
    let clauses = minimum.map(|text| {
        (
            role.clone(),
            text.split('|')
                .filter(|one| !one.is_empty())
                .map(|one| Quantities::parse(one).expect(one))
                .collect(),
        )
    });
    let options = FrameworkOptions {
        roles: vec![role],
        capabilities,
        min_allocatable: clauses.into_iter().collect(),
        ..FrameworkOptions::default()
    };
    allocator.add_framework(&framework.into(), &options, true);
}

fn settle(allocator: &mut Allocator) -> Vec<Allocation> {
    let mut out = Vec::new();
    assert_eq!(allocator.step(Instant::ZERO, usize::MAX, &mut out), Progress::Done);
    allocator.assert_invariants();
    allocator.assert_settled();
    out
}

fn give_back(allocator: &mut Allocator, of: &Allocation, part: &Resources) {
    let part = part.clone().allocated(&of.role);
    allocator.recover(Instant::ZERO, &of.framework, &of.agent, &part, None);
}

#[test]
fn a_copy_goes_to_each_in_turn_and_counts_once() {
    let mut allocator = Allocator::new(Options::default());
    allocator.add_agent(&"a".into(), Default::default(), resources("cpus:4;mem:1024") + volume(), &[]);
    subscribe(&mut allocator, "one", true, None);
    let first = settle(&mut allocator);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].resources.unallocated(), resources("cpus:4;mem:1024") + volume());
    // It keeps a task with the volume; the rest goes to another, with a copy.
    allocator.suppress(&"one".into(), &[]);
    subscribe(&mut allocator, "two", true, None);
    give_back(&mut allocator, &first[0], &resources("cpus:3;mem:512"));
    let second = settle(&mut allocator);
    assert_eq!(second.len(), 1);
    assert_eq!(second[0].resources.unallocated(), resources("cpus:3;mem:512") + volume());
    // The first comes back and gets a second copy, which adds nothing to its share.
    allocator.suppress(&"two".into(), &[]);
    allocator.revive(&"one".into(), &[]);
    give_back(&mut allocator, &second[0], &resources("cpus:1;mem:128"));
    let third = settle(&mut allocator);
    assert_eq!(third[0].resources.unallocated(), resources("cpus:1;mem:128") + volume());
    let copies = volume() + volume();
    assert!(allocator.held(&"one".into(), &"a".into()).contains(&copies));
    assert_eq!(
        allocator.role_allocated(&"dev".into()),
        Quantities::parse("cpus:4;mem:1024;disk:100").expect("parses")
    );
    // All is given back, and one copy is there.
    give_back(&mut allocator, &third[0], &third[0].resources.unallocated());
    give_back(&mut allocator, &second[0], &(resources("cpus:2;mem:384") + volume()));
    give_back(&mut allocator, &first[0], &(resources("cpus:1;mem:512") + volume()));
    assert_eq!(allocator.role_allocated(&"dev".into()), Quantities::new());
    let last = settle(&mut allocator);
    assert_eq!(last[0].resources.unallocated(), resources("cpus:4;mem:1024") + volume());
}

#[test]
fn who_does_not_know_shared_volumes_gets_none_and_nobody_gets_one_alone() {
    let mut allocator = Allocator::new(Options::default());
    subscribe(&mut allocator, "old", false, None);
    allocator.add_agent(&"a".into(), Default::default(), resources("cpus:4;mem:1024") + volume(), &[]);
    let made = settle(&mut allocator);
    assert_eq!(made[0].resources.unallocated(), resources("cpus:4;mem:1024"));
    // Even who takes anything at all gets no endless row of copies.
    subscribe(&mut allocator, "any", true, Some(""));
    assert!(settle(&mut allocator).is_empty());
}

#[test]
fn all_who_get_something_at_a_time_get_a_copy_each() {
    let mut allocator = Allocator::new(Options::default());
    subscribe(&mut allocator, "plain", true, None);
    let revocable = FrameworkCapabilities {
        shared_resources: true,
        revocable_resources: true,
        ..FrameworkCapabilities::default()
    };
    subscribe_as(&mut allocator, "revocable", revocable, Some(""));
    let spare = resources("cpus:1").map(|resource| resource.with_revocable(true));
    allocator.add_agent(
        &"a".into(),
        Default::default(),
        resources("cpus:4;mem:1024") + spare.clone() + volume(),
        &[],
    );
    let mut made = settle(&mut allocator);
    made.sort_by_key(|one| one.framework.as_str().to_owned());
    let got: Vec<_> = made.iter().map(|one| (one.framework.as_str(), one.resources.unallocated())).collect();
    let plain = resources("cpus:4;mem:1024") + volume();
    assert_eq!(got, [("plain", plain), ("revocable", spare + volume())]);
}

#[test]
fn who_could_have_a_copy_alone_is_not_told_that_it_comes_soon() {
    let mut allocator = Allocator::new(Options::default());
    subscribe(&mut allocator, "any", true, Some(""));
    let obstacles = |allocator: &mut Allocator, rest: Resources| {
        allocator.add_agent(&"a".into(), Default::default(), rest + volume(), &[]);
        assert!(settle(allocator).is_empty());
        allocator.explain(&"any".into(), 10)[0].obstacles()
    };
    let reserved = obstacles(&mut allocator, resources("cpus(ops):4"));
    assert_eq!(reserved, [(Obstacle::ReservedForOthers, 1)].into());
    let revocable = resources("cpus:4").map(|resource| resource.with_revocable(true));
    assert_eq!(obstacles(&mut allocator, revocable), [(Obstacle::NeedsCapabilities, 1)].into());
    // Nor where it is quota that leaves it nothing else.
    let limits = [(&Name::CPUS, Scalar::ZERO)].into_iter().collect();
    let quota = Quota { limits, ..Quota::default() };
    allocator.set_quota(&"dev".into(), quota);
    let cut = obstacles(&mut allocator, resources("cpus:4"));
    assert_eq!(cut, [(Obstacle::QuotaLimit, 1)].into());
}
