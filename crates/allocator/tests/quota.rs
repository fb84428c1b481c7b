//! Quota beyond scripts: whole disks, operations on what is held, pauses, and what
//! thousands of roles cost.

use allocator::{
    AgentOptions, Allocation, Allocator, ClaimError, FrameworkCapabilities, FrameworkOptions, Options,
    Progress, Quota, Refusal,
};
use machine::Instant;
use proto::mesos::v1::resource::DiskInfo;
use proto::mesos::v1::resource::disk_info::{Source, source};
use resources::{Conversion, Limits, Quantities, Resources};
use types::{AgentId, FrameworkId, Role};

fn resources(text: &str) -> Resources {
    Resources::parse(text, "*").expect(text)
}

fn quantities(text: &str) -> Quantities {
    Quantities::parse(text).expect(text)
}

/// A guarantee that is the limit as well.
fn both(text: &str) -> Quota {
    let guarantees = quantities(text);
    let limits: Limits = guarantees.iter().map(|(name, amount)| (name, *amount)).collect();
    Quota { guarantees, limits }
}

fn guarantee(text: &str) -> Quota {
    Quota { guarantees: quantities(text), ..Quota::default() }
}

fn framework(allocator: &mut Allocator, id: &str, role: &str) {
    let capabilities = FrameworkCapabilities { multi_role: true, ..FrameworkCapabilities::default() };
    let options = FrameworkOptions { roles: vec![role.into()], capabilities, ..FrameworkOptions::default() };
    allocator.add_framework(&id.into(), &options, true);
}

fn agent(allocator: &mut Allocator, id: &str, total: Resources) {
    allocator.add_agent(&id.into(), AgentOptions::default(), total, &[]);
}

fn settle(allocator: &mut Allocator) -> Vec<Allocation> {
    let mut out = Vec::new();
    while allocator.step(Instant::ZERO, 1000, &mut out) == Progress::More {}
    allocator.assert_invariants();
    allocator.assert_settled();
    out
}

fn offers(allocator: &mut Allocator) -> Vec<String> {
    let text = |one: Allocation| format!("{}: {} of {}", one.role, one.resources.unallocated(), one.agent);
    settle(allocator).into_iter().map(text).collect()
}

fn mount(root: &str, size: &str) -> Resources {
    let source = Source {
        r#type: source::Type::Mount.into(),
        mount: Some(source::Mount { root: Some(root.to_owned()) }),
        ..Source::default()
    };
    let disk = DiskInfo { source: Some(source), ..DiskInfo::default() };
    resources(&format!("disk:{size}")).map(|one| one.with_disk(Some(disk.clone())))
}

#[test]
fn a_mounted_disk_is_offered_whole_or_not_at_all() {
    let mut allocator = Allocator::new(Options::default());
    allocator.set_quota(&"eng".into(), both("cpus:1;mem:512;disk:500"));
    framework(&mut allocator, "f", "eng");
    agent(&mut allocator, "x", resources("cpus:1;mem:512") + mount("/a", "1000"));
    assert_eq!(offers(&mut allocator), ["eng: cpus:1; mem:512 of x"]);
    allocator.set_quota(&"eng".into(), both("cpus:1;mem:512;disk:1500"));
    agent(&mut allocator, "y", resources("cpus:1;mem:512") + mount("/a", "1200"));
    // The first disk alone is worth no offer.
    assert_eq!(offers(&mut allocator), [""; 0]);
    allocator.remove_agent(&"x".into());
    let got = settle(&mut allocator);
    assert_eq!(got.len(), 1);
    assert_eq!(Quantities::of_scalars(&got[0].resources), quantities("cpus:1;mem:512;disk:1200"));
}

#[test]
fn several_disks_make_up_a_guarantee() {
    let mut allocator = Allocator::new(Options::default());
    allocator.set_quota(&"eng".into(), both("cpus:1;mem:512;disk:1500"));
    framework(&mut allocator, "f", "eng");
    agent(&mut allocator, "x", resources("cpus:1;mem:512;disk:700") + mount("/a", "1000"));
    let got = settle(&mut allocator);
    assert_eq!(Quantities::of_scalars(&got[0].resources), quantities("cpus:1;mem:512;disk:700"));
    allocator.set_quota(&"eng".into(), both("cpus:2;mem:1024;disk:1700"));
    agent(&mut allocator, "y", resources("cpus:1;mem:512"));
    assert_eq!(offers(&mut allocator), ["eng: cpus:1; mem:512 of y"]);
}

#[test]
fn reserving_what_is_held_changes_no_consumption() {
    let mut allocator = Allocator::new(Options::default());
    let (eng, f, x) = (Role::from("eng"), FrameworkId::from("f"), AgentId::from("x"));
    allocator.set_quota(&eng, both("cpus:2;mem:1024"));
    framework(&mut allocator, "f", "eng");
    agent(&mut allocator, "x", resources("cpus:1;mem:512"));
    assert_eq!(offers(&mut allocator), ["eng: cpus:1; mem:512 of x"]);
    let plain = resources("cpus:1;mem:512").allocated(&eng);
    let reserved = resources("cpus(eng):1;mem(eng):512").allocated(&eng);
    for (from, to) in [(&plain, &reserved), (&reserved, &plain)] {
        allocator.update_allocation(&f, &x, from, to);
        assert_eq!(allocator.quota_consumed(&eng), quantities("cpus:1;mem:512"));
        let (required, available) = allocator.quota_headroom();
        assert_eq!((required, available), (&quantities("cpus:1;mem:512"), &Quantities::new()));
        assert_eq!(offers(&mut allocator), [""; 0]);
    }
    agent(&mut allocator, "y", resources("cpus:4;mem:4096"));
    assert_eq!(offers(&mut allocator), ["eng: cpus:1; mem:512 of y"]);
}

#[test]
fn operators_claim_only_what_nobody_has() {
    let mut allocator = Allocator::new(Options::default());
    let (x, eng) = (AgentId::from("x"), Role::from("eng"));
    let (plain, reserved) = (resources("cpus:25;mem:50"), resources("cpus(eng):25;mem(eng):50"));
    let steps = [Conversion { consumed: plain, converted: reserved, destroyed: None }];
    assert_eq!(allocator.claim(&x, &steps), Err(ClaimError::UnknownAgent(x.clone())));
    agent(&mut allocator, "x", resources("cpus:100;mem:100"));
    assert_eq!(allocator.claim(&x, &steps), Ok(resources("cpus:75;mem:50;cpus(eng):25;mem(eng):50")));
    assert_eq!(allocator.quota_consumed(&eng), quantities("cpus:25;mem:50"));
    framework(&mut allocator, "f", "web");
    assert_eq!(offers(&mut allocator), ["web: cpus:75; mem:50 of x"]);
    let refusal = allocator.claim(&x, &steps).expect_err("it is offered");
    assert!(refusal.to_string().ends_with(" does not contain cpus:25; mem:50"), "{refusal}");
    // One step may use what the one before it made.
    let there = Conversion { consumed: resources("cpus(eng):25"), ..steps[0].clone() };
    let there = Conversion { converted: resources("cpus:25"), ..there };
    let back =
        Conversion { consumed: resources("cpus:25"), converted: resources("cpus(ops):25"), ..there.clone() };
    assert!(allocator.claim(&x, std::slice::from_ref(&back)).is_err());
    assert!(allocator.claim(&x, &[there, back]).is_ok());
    allocator.assert_invariants();
}

#[test]
fn a_pause_gives_nothing_until_agents_are_back() {
    let mut allocator = Allocator::new(Options::default());
    allocator.pause_until(2);
    framework(&mut allocator, "f", "web");
    agent(&mut allocator, "x", resources("cpus:1;mem:512"));
    assert_eq!(offers_unchecked(&mut allocator), 0);
    assert_eq!(allocator.poll_timeout(), None);
    agent(&mut allocator, "y", resources("cpus:1;mem:512"));
    assert_eq!(settle(&mut allocator).len(), 2);
    allocator.pause_until(9);
    agent(&mut allocator, "z", resources("cpus:1;mem:512"));
    assert_eq!(offers_unchecked(&mut allocator), 0);
    allocator.resume();
    assert_eq!(settle(&mut allocator).len(), 1);
}

/// Steps once; in a pause nothing settles.
fn offers_unchecked(allocator: &mut Allocator) -> usize {
    let mut out = Vec::new();
    assert_eq!(allocator.step(Instant::ZERO, 1000, &mut out), Progress::Done);
    out.len()
}

/// How much work settling is, without the checks that look at everything.
fn work(allocator: &mut Allocator) -> u64 {
    let (visited, looked) = allocator.work_done();
    let mut out = Vec::new();
    while allocator.step(Instant::ZERO, 1000, &mut out) == Progress::More {}
    let (visits, looks) = allocator.work_done();
    visits + looks - visited - looked
}

#[test]
fn idle_quotas_cost_nothing() {
    const ROLES: usize = 3000;
    let mut allocator = Allocator::new(Options::default());
    for at in 0..ROLES {
        let role = format!("role-{at}");
        allocator.set_quota(&role.as_str().into(), both("cpus:1;mem:64"));
        framework(&mut allocator, &format!("f-{at}"), &role);
        agent(&mut allocator, &format!("a-{at}"), resources("cpus:1;mem:64"));
    }
    assert!(work(&mut allocator) < 4 * ROLES as u64, "each agent goes to the first that is owed something");
    assert_eq!(work(&mut allocator), 0);
    assert_eq!(allocator.poll_timeout(), None);
    // All that was promised is held; what comes now is looked at once by each.
    agent(&mut allocator, "more", resources("cpus:8;mem:512"));
    assert!(work(&mut allocator) <= ROLES as u64 + 1);
    // What one gives back it takes again where it was; one visit, and nobody else looks elsewhere.
    let (f, role) = (FrameworkId::from("f-7"), Role::from("role-7"));
    let mut agents = (0..ROLES).map(|at| AgentId::from(format!("a-{at}")));
    let a = agents.find(|a| !allocator.held(&f, a).is_empty()).expect("it holds an agent");
    let held = allocator.held(&f, &a).allocated(&role);
    allocator.recover(Instant::ZERO, &f, &a, &held, None);
    assert!(work(&mut allocator) <= 3, "the role that is owed something comes first");
    assert_eq!(allocator.held(&f, &a).allocated(&role), held);
    assert_eq!(work(&mut allocator), 0);
}

#[test]
fn ten_thousand_roles_may_have_quota() {
    let mut allocator = Allocator::new(Options::default());
    agent(&mut allocator, "x", resources("cpus:20000;mem:640000"));
    for at in 0..10_000 {
        allocator.set_quota(&format!("role-{at}").as_str().into(), guarantee("cpus:1;mem:32"));
    }
    assert!(work(&mut allocator) < 10, "nobody is there to look");
    framework(&mut allocator, "f", "role-9999");
    let got = settle(&mut allocator);
    assert_eq!(Quantities::of_scalars(&got[0].resources), quantities("cpus:10001;mem:320032"));
    for at in 0..10_000 {
        allocator.set_quota(&format!("role-{at}").as_str().into(), Quota::default());
    }
    // One round for the framework from which something was held back.
    assert!(work(&mut allocator) < 10);
    allocator.assert_settled();
    assert_eq!(allocator.quotas().count(), 0);
}

#[test]
fn what_was_held_back_is_found_among_agents_that_came_since() {
    let mut allocator = Allocator::new(Options::default());
    allocator.set_quota(&"web".into(), guarantee("cpus:2"));
    framework(&mut allocator, "f", "db");
    agent(&mut allocator, "x", resources("cpus:4;mem:4096"));
    assert_eq!(offers(&mut allocator), ["db: cpus:2; mem:4096 of x"]);
    // Both before the next step; the new agents have nothing for anybody.
    allocator.set_quota(&"db".into(), guarantee("cpus:5"));
    let inactive = AgentOptions { active: false, ..AgentOptions::default() };
    for at in 0..3 {
        allocator.add_agent(&format!("y-{at}").as_str().into(), inactive, resources("cpus:1"), &[]);
    }
    assert_eq!(offers(&mut allocator), ["db: cpus:2 of x"]);
}

#[test]
fn a_guarantee_after_a_limit_finds_what_was_held_back_before_both() {
    let mut allocator = Allocator::new(Options::default());
    allocator.set_quota(&"*".into(), guarantee("cpus:4;mem:4096"));
    framework(&mut allocator, "f", "web/front");
    agent(&mut allocator, "x", resources("cpus:4;mem:4096"));
    assert_eq!(offers(&mut allocator), [""; 0]);
    let limits = both("cpus:3").limits;
    allocator.set_quota(&"web".into(), Quota { limits, ..Quota::default() });
    assert_eq!(offers(&mut allocator), [""; 0]);
    allocator.set_quota(&"web".into(), guarantee("cpus:2"));
    assert_eq!(offers(&mut allocator), ["web/front: cpus:2 of x"]);
}

#[test]
fn who_refused_one_disk_may_have_the_other_when_the_first_is_gone() {
    let options = Options { min_allocatable: Vec::new(), ..Options::default() };
    let mut allocator = Allocator::new(options);
    let at_most = |text| Quota { limits: both(text).limits, ..Quota::default() };
    allocator.set_quota(&"eng".into(), at_most("disk:1000"));
    allocator.set_quota(&"web".into(), at_most("disk:700"));
    let (f, x) = (FrameworkId::from("f"), AgentId::from("x"));
    framework(&mut allocator, "f", "eng");
    agent(&mut allocator, "x", resources("cpus:1;disk:700") + mount("/a", "1000"));
    let got = settle(&mut allocator);
    assert_eq!(got[0].resources.unallocated(), resources("cpus:1;disk:700"));
    allocator.recover(Instant::ZERO, &f, &x, &got[0].resources, Some(Refusal::from_seconds(3600.0)));
    assert_eq!(offers(&mut allocator), [""; 0]);
    // Both look together, the one that refused it first.
    let held = [(FrameworkId::from("g"), resources("mem:64").allocated(&"web".into()))];
    allocator.add_agent(&"y".into(), AgentOptions::default(), resources("mem:64"), &held);
    framework(&mut allocator, "g", "web");
    let capabilities =
        FrameworkCapabilities { multi_role: true, region_aware: true, ..FrameworkCapabilities::default() };
    let options = FrameworkOptions { roles: vec!["eng".into()], capabilities, ..FrameworkOptions::default() };
    allocator.update_framework(&f, &options);
    let got = settle(&mut allocator);
    let got: Vec<_> = got.iter().map(|one| (one.role.as_str(), one.resources.unallocated())).collect();
    assert_eq!(got, [("web", resources("cpus:1;disk:700")), ("eng", mount("/a", "1000"))]);
}
