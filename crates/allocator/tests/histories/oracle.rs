//! Random histories of small clusters, every allocation held against a naive rule.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::world::{World, resources};
use allocator::{
    AgentOptions, Allocation, Constraint, Constraints, FrameworkCapabilities, FrameworkOptions, Options,
    Policy, Predicate, Quota, Selector, ShortTasks, Sorter,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngSeed, TestRunner};
use proto::mesos::v1;
use resources::{Name, Quantities, Scalar, Value};
use types::Role;

/// What may happen. Numbers pick among what is there.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    AddFramework(u8, Wants),
    UpdateFramework(u8, Wants),
    RemoveFramework(u8),
    Activate(u8, bool),
    Suppress(u8, Option<u8>),
    Revive(u8, Option<u8>),
    AddAgent(u8, u8, AgentOptions),
    UpdateAgent(u8, u8),
    /// More comes to what an agent has.
    Grow(u8, u8),
    AgentOptions(u8, AgentOptions),
    ActivateAgent(u8, bool),
    RemoveAgent(u8),
    /// Until so many agents are there.
    Pause(u8),
    Resume,
    Weight(u8, u8),
    Quota(u8, u8, u8),
    /// An operator reserves, or takes a reservation back.
    Claim(u8, u8, bool),
    /// A framework reserves something of what it holds, or takes a reservation back.
    Operate(u8, u8),
    Decline(u8, u8),
    /// So often, everybody declines for so long what is out, but for so many of the oldest.
    DeclineAll(u8, u8, u8),
    Rescind(u8),
    /// Keeps tasks of this size, with so many copies of the shared volume if there is one,
    /// and gives the rest back.
    Launch(u8, u8, Option<u8>, u8),
    Unavailable(u8, bool),
    Answer(u8, Option<u8>),
    /// Only the agents up to this one are offered.
    Whitelist(Option<u8>),
    Request(u8, Option<u8>),
    Wait(u16),
}

#[derive(Clone, Debug)]
pub(crate) struct Wants {
    pub(crate) roles: Vec<u8>,
    pub(crate) suppressed: Vec<u8>,
    pub(crate) gpus: bool,
    pub(crate) revocable: bool,
    pub(crate) multi_role: bool,
    pub(crate) region: bool,
    pub(crate) minimum: Option<u8>,
    pub(crate) constraint: Option<u8>,
    pub(crate) shared: bool,
}

/// Only storms have those behind the first six.
const ROLES: [&str; 9] = ["*", "eng", "eng/back", "eng/back/db", "web", "web/front", "ads", "batch", "data"];
const TOTALS: [&str; 12] = [
    // Large ones of nearly one shape, beside which the others change little.
    "cpus:400;mem:400000",
    "cpus:401;mem:399000",
    "cpus:398;mem:401000;ports:[1-9]",
    "cpus:4;mem:4096",
    "cpus:8;mem:8192;ports:[1-100]",
    "cpus:1;mem:16384;disk:5",
    "cpus:2;cpus(eng):2;mem(web):1024;mem:16",
    "cpus:4;mem:512;gpus:2",
    "cpus(eng/back):3;disk:7",
    // Of storms.
    "cpus:8;mem:8192",
    "cpus:4;mem:4096",
    "cpus:8;mem:8192;disk:10",
];
const SIZES: [&str; 6] =
    ["cpus:1;mem:512", "cpus:0.5", "mem:1000", "cpus:3;mem:64", "cpus:200;mem:1000", "cpus:1;mem:200000"];

const TOPS: [&str; 6] = ["*", "eng", "web", "ads", "batch", "data"];
const GUARANTEES: [&str; 8] = [
    "",
    "",
    "cpus:2",
    "cpus:5;mem:4096",
    "disk:3;cpus:1",
    "cpus:300;mem:300000",
    // Of storms.
    "cpus:12;mem:12288",
    "cpus:30;mem:9000",
];
const LIMITS: [&str; 10] = [
    "",
    "",
    "cpus:3",
    "mem:2048",
    "cpus:450;mem:450000;disk:4",
    "disk:0;cpus:0",
    // Of storms.
    "cpus:0;mem:0",
    "cpus:0;mem:0;disk:0",
    "cpus:9;mem:9216;disk:3",
    "cpus:24;mem:24576",
];
const MIN_OFFERS: [&str; 6] = ["cpus:3", "cpus:4;mem:500", "mem:3000", "cpus:300", "cpus:2;disk:5", "cpus:7"];
const CLAIMS: [&str; 3] =
    ["cpus(eng):1;mem(eng):100", "cpus(eng/back):1;mem(eng):100", "cpus(web):1;mem(*):100"];

/// Limits are never below guarantees.
fn quota(guarantees: u8, limits: u8) -> Quota {
    let guarantees = Quantities::parse(GUARANTEES[usize::from(guarantees)]).expect("parses");
    let limits = LIMITS[usize::from(limits)].split(';').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, bound) = pair.split_once(':').expect("a pair");
        (Name::from(name), Scalar::from_units(bound.parse().expect("a number")))
    });
    let limits: Vec<_> =
        limits.map(|(name, bound)| (name.clone(), bound.max(guarantees.get(&name)))).collect();
    Quota { guarantees, limits: limits.iter().map(|(name, bound)| (name, *bound)).collect() }
}

fn wants() -> impl Strategy<Value = Wants> {
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.8), any::<bool>(), any::<bool>());
    let roles = prop::collection::vec(0_u8..6, 1..3);
    let suppressed = prop::collection::vec(0_u8..6, 0..2);
    (roles, suppressed, flags, (prop::option::weighted(0.1, 0_u8..2), prop::option::weighted(0.2, 0_u8..10)))
        .prop_map(
            |(roles, suppressed, (gpus, revocable, multi_role, region, shared), (minimum, constraint))| {
                Wants { roles, suppressed, gpus, revocable, multi_role, region, minimum, constraint, shared }
            },
        )
}

fn agent() -> impl Strategy<Value = AgentOptions> {
    let often = || prop::bool::weighted(0.9);
    (often(), often(), often(), prop::bool::weighted(0.1)).prop_map(
        |(active, multi_role, hierarchical_role, remote_region)| AgentOptions {
            active,
            multi_role,
            hierarchical_role,
            remote_region,
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let f = || 0_u8..5;
    let a = || 0_u8..5;
    prop_oneof![
        3 => (f(), wants()).prop_map(|(f, w)| Event::AddFramework(f, w)),
        1 => (f(), wants()).prop_map(|(f, w)| Event::UpdateFramework(f, w)),
        1 => f().prop_map(Event::RemoveFramework),
        1 => (f(), any::<bool>()).prop_map(|(f, on)| Event::Activate(f, on)),
        1 => (f(), prop::option::of(0_u8..6)).prop_map(|(f, r)| Event::Suppress(f, r)),
        2 => (f(), prop::option::of(0_u8..6)).prop_map(|(f, r)| Event::Revive(f, r)),
        4 => (a(), 0_u8..9, agent()).prop_map(|(a, t, o)| Event::AddAgent(a, t, o)),
        1 => (a(), 0_u8..9).prop_map(|(a, t)| Event::UpdateAgent(a, t)),
        1 => (a(), 0_u8..6).prop_map(|(a, s)| Event::Grow(a, s)),
        1 => (a(), agent()).prop_map(|(a, o)| Event::AgentOptions(a, o)),
        1 => (1_u8..5).prop_map(Event::Pause),
        3 => Just(Event::Resume),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(at, which)| Event::Operate(at, which)),
        1 => (a(), any::<bool>()).prop_map(|(a, on)| Event::ActivateAgent(a, on)),
        1 => a().prop_map(Event::RemoveAgent),
        1 => (0_u8..6, 0_u8..4).prop_map(|(r, w)| Event::Weight(r, w)),
        2 => (0_u8..3, 0_u8..6, 0_u8..6).prop_map(|(r, g, l)| Event::Quota(r, g, l)),
        1 => (a(), 0_u8..3, any::<bool>()).prop_map(|(a, kind, on)| Event::Claim(a, kind, on)),
        6 => (any::<u8>(), 0_u8..8).prop_map(|(at, secs)| Event::Decline(at, secs)),
        2 => any::<u8>().prop_map(Event::Rescind),
        6 => (any::<u8>(), 0_u8..6, prop::option::of(0_u8..8), 0_u8..3)
            .prop_map(|(at, s, r, c)| Event::Launch(at, s, r, c)),
        2 => (a(), any::<bool>()).prop_map(|(a, on)| Event::Unavailable(a, on)),
        2 => (any::<u8>(), prop::option::of(0_u8..8)).prop_map(|(at, secs)| Event::Answer(at, secs)),
        1 => prop::option::of(a()).prop_map(Event::Whitelist),
        1 => (f(), prop::option::of(a())).prop_map(|(f, a)| Event::Request(f, a)),
        3 => (0_u16..6000).prop_map(Event::Wait),
    ]
}

/// Some begin with a small cluster, so that more comes of what happens to it.
fn history() -> impl Strategy<Value = Vec<Event>> {
    let frameworks = prop::collection::vec(wants(), 0..5);
    let agents = prop::collection::vec((0_u8..9, agent()), 0..5);
    (frameworks, agents, prop::collection::vec(event(), 1..60)).prop_map(|(frameworks, agents, events)| {
        let frameworks = (0..).zip(frameworks).map(|(f, wants)| Event::AddFramework(f, wants));
        let agents = (0..).zip(agents).map(|(a, (total, options))| Event::AddAgent(a, total, options));
        frameworks.chain(agents).chain(events).collect()
    })
}

fn framework_name(f: u8) -> String {
    format!("fw-{f}")
}

fn agent_name(a: u8) -> String {
    format!("agent-{a}")
}

fn role(r: u8) -> Role {
    Role::from(ROLES[usize::from(r)])
}

fn options(wants: &Wants) -> FrameworkOptions {
    let mut roles: Vec<Role> = wants.roles.iter().map(|r| role(*r)).collect();
    roles.sort();
    roles.dedup();
    let clauses = wants.minimum.map(|kind| match kind {
        0 => vec![],
        _ => vec![Quantities::parse("cpus:2").expect("parses")],
    });
    FrameworkOptions {
        constraints: wants.constraint.into_iter().map(|kind| (roles[0].clone(), constraints(kind))).collect(),
        min_allocatable: clauses.into_iter().map(|clauses| (roles[0].clone(), clauses)).collect(),
        roles,
        suppressed: wants.suppressed.iter().map(|r| role(*r)).collect(),
        capabilities: FrameworkCapabilities {
            gpu_resources: wants.gpus,
            revocable_resources: wants.revocable,
            shared_resources: wants.shared,
            multi_role: wants.multi_role,
            region_aware: wants.region,
            ..Default::default()
        },
    }
}

/// Only one agent, or all but it.
fn constraints(kind: u8) -> Arc<Constraints> {
    let agent = agent_name(kind / 2);
    let predicate = match kind % 2 {
        0 => Predicate::TextEquals(agent),
        _ => Predicate::TextNotEquals(agent),
    };
    Arc::new(Constraints { groups: vec![vec![Constraint { selector: Selector::Hostname, predicate }]] })
}

fn total(t: u8, volumes: bool) -> resources::Resources {
    let plain = resources(TOTALS[usize::from(t)]);
    if t >= 9 {
        return plain;
    }
    let extra = resources("cpus:0.5").map(|resource| resource.with_revocable(true));
    let all = if t.is_multiple_of(2) { plain + extra } else { plain };
    if volumes && t.is_multiple_of(3) { all + volume() } else { all }
}

/// A persistent volume that many may use at a time.
fn volume() -> resources::Resources {
    let volume: v1::Resource = proto::json::from_slice(
        br#"{"name":"disk","type":"SCALAR","scalar":{"value":50},"reservations":[{"type":"STATIC","role":"eng"}],
            "disk":{"persistence":{"id":"v"},"volume":{"container_path":"p","mode":"RW"}},"shared":{}}"#,
    )
    .expect("a resource");
    resources::Resources::from_checked_protos(&[volume])
}

/// The first six are named, and all others small.
fn size(size: u8) -> resources::Resources {
    match SIZES.get(usize::from(size)) {
        Some(size) => resources(size),
        None => resources(&format!("cpus:{};mem:{}", f64::from(size) / 8.0, u32::from(size) * 40)),
    }
}

/// A part of what is out that an operation may make another of, and what it makes.
fn operation(out: &Allocation, which: u8) -> Option<(resources::Resources, resources::Resources)> {
    let may = |one: &&resources::Resource| {
        !one.is_shared() && !one.is_revocable() && one.disk().is_none() && out.role.as_str() != "*"
    };
    let all: Vec<_> = out.resources.iter().filter(may).collect();
    let one = all[usize::from(which).checked_rem(all.len())?].clone();
    let most = Scalar::from_milli(i64::from(which) * 25 + 1);
    let part = match one.as_scalar() {
        Some(amount) => one.with_value(Value::Scalar(amount.min(most))),
        None => one,
    };
    let reserved = resources(&format!("cpus({}):1", out.role));
    let reservations = match part.is_reserved() {
        true => vec![],
        false => reserved.iter().flat_map(|one| one.reservations().to_vec()).collect(),
    };
    let made = part.clone().with_reservations(reservations);
    Some(([part].into_iter().collect(), [made].into_iter().collect()))
}

pub(crate) fn happen(world: &mut World, event: &Event) {
    match event {
        Event::AddFramework(f, wants) => world.add_framework(&framework_name(*f), options(wants)),
        Event::UpdateFramework(f, wants) => world.update_framework(&framework_name(*f), options(wants)),
        Event::RemoveFramework(f) => world.remove_framework(&framework_name(*f)),
        Event::Activate(f, active) => world.set_framework_active(&framework_name(*f), *active),
        Event::Suppress(f, r) => {
            world.suppress(&framework_name(*f), &r.iter().map(|r| role(*r)).collect::<Vec<_>>())
        }
        Event::Revive(f, r) => {
            world.revive(&framework_name(*f), &r.iter().map(|r| role(*r)).collect::<Vec<_>>())
        }
        Event::AddAgent(a, t, options) => {
            world.add_agent(&agent_name(*a), *options, total(*t, world.volumes))
        }
        Event::UpdateAgent(a, t) => world.update_agent(&agent_name(*a), total(*t, world.volumes)),
        Event::Grow(a, s) => world.grow_agent(&agent_name(*a), &size(*s)),
        Event::AgentOptions(a, options) => world.set_agent_options(&agent_name(*a), *options),
        Event::Pause(agents) => world.pause(usize::from(*agents)),
        Event::Resume => world.resume(),
        Event::Operate(at, which) => {
            let Some(at) = pick(world, *at) else { return };
            if let Some((consumed, converted)) = operation(&world.out[at], *which) {
                world.operate(at, &consumed, &converted);
            }
        }
        Event::DeclineAll(rounds, kept, seconds) => {
            for _ in 0..*rounds {
                world.settle(9);
                for at in (usize::from(*kept)..world.out.len()).rev() {
                    let all = world.out[at].resources.clone();
                    world.give_back(at, &all, Some(f64::from(*seconds)));
                }
            }
        }
        Event::ActivateAgent(a, active) => world.set_agent_active(&agent_name(*a), *active),
        Event::RemoveAgent(a) => world.remove_agent(&agent_name(*a)),
        Event::Weight(r, w) => {
            world.set_weight(ROLES[usize::from(*r)], [0.5, 1.0, 2.0, 3.0][usize::from(*w)])
        }
        Event::Quota(r, g, l) => world.set_quota(TOPS[usize::from(*r)], quota(*g, *l)),
        Event::Claim(a, kind, reserve) => {
            let plain = resources("cpus:1;mem:100");
            let reserved = resources(CLAIMS[usize::from(*kind)]);
            let (from, to) = if *reserve { (plain, reserved) } else { (reserved, plain) };
            world.claim(&agent_name(*a), &from, &to);
        }
        Event::Decline(at, seconds) => {
            if let Some(at) = pick(world, *at) {
                let all = world.out[at].resources.clone();
                world.give_back(at, &all, Some(f64::from(*seconds) - 1.0));
            }
        }
        Event::Rescind(at) => {
            if let Some(at) = pick(world, *at) {
                let all = world.out[at].resources.clone();
                world.give_back(at, &all, None);
            }
        }
        Event::Launch(at, of, refuse, copies) => {
            let Some(at) = pick(world, *at) else { return };
            let mut size = size(*of).allocated(&world.out[at].role);
            let volume = world.out[at].resources.shared();
            for _ in 0..*copies {
                size += &volume;
            }
            world.copy(at, &volume, *copies);
            if let Ok(rest) = world.out[at].resources.checked_sub(&size) {
                world.give_back(at, &rest, refuse.map(f64::from));
            }
        }
        Event::Unavailable(a, unavailable) => world.set_unavailable(&agent_name(*a), *unavailable),
        Event::Answer(at, refuse) => {
            let asked = world.asked();
            let Some(at) = usize::from(*at).checked_rem(asked.len()) else { return };
            let (framework, agent) = &asked[at];
            world.answer(framework.as_str(), agent.as_str(), refuse.map(f64::from));
        }
        Event::Whitelist(last) => {
            world.set_whitelist(last.map(|last| (0..=last).map(agent_name).collect()));
        }
        Event::Request(f, a) => {
            world.request(&framework_name(*f), a.map(agent_name).as_deref());
        }
        Event::Wait(millis) => world.wait(Duration::from_millis(u64::from(*millis))),
    }
}

/// How many random histories are tried: `ALLOCATOR_TRACES`, or a few.
pub(crate) fn traces(few: u32) -> u32 {
    setting("ALLOCATOR_TRACES").and_then(|text| text.parse().ok()).unwrap_or(few)
}

/// New histories each time, or those of `ALLOCATOR_SEED` again.
#[expect(clippy::print_stdout, reason = "shown only when the test fails, for whoever repeats it")]
pub(crate) fn chance() -> RngSeed {
    let asked = setting("ALLOCATOR_SEED").map(|text| text.parse().expect("ALLOCATOR_SEED is a number"));
    let drawn = || any::<u64>().new_tree(&mut TestRunner::default()).expect("any number will do").current();
    let seed = asked.unwrap_or_else(drawn);
    println!("To repeat: ALLOCATOR_SEED={seed}, with the same ALLOCATOR_TRACES or more.");
    RngSeed::Fixed(seed)
}

#[expect(clippy::disallowed_methods, reason = "a test reads its settings, whatever the core may do")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn pick(world: &World, at: u8) -> Option<usize> {
    usize::from(at).checked_rem(world.out.len())
}

/// Which policy, one in three being that of Mesos.
pub(crate) fn policies() -> impl Strategy<Value = Policy> {
    let sorter = || prop_oneof![Just(Sorter::Drf), Just(Sorter::Random)];
    let priorities = prop::collection::btree_map((0_u8..6).prop_map(role), 0_u32..3, 0..4);
    prop_oneof![
        Just(Policy::default()),
        priorities.clone().prop_map(|priorities| Policy { priorities, ..Policy::default() }),
        (sorter(), sorter(), priorities).prop_map(|(role_sorter, framework_sorter, priorities)| Policy {
            role_sorter,
            framework_sorter,
            priorities
        }),
    ]
}

/// Minimum offer sizes in half of the histories.
fn min_offers() -> impl Strategy<Value = BTreeMap<Role, Quantities>> {
    let size = (0_usize..MIN_OFFERS.len()).prop_map(|at| Quantities::parse(MIN_OFFERS[at]).expect("parses"));
    prop_oneof![Just(BTreeMap::new()), prop::collection::btree_map((0_u8..6).prop_map(role), size, 1..4),]
}

/// A share for short tasks in one history of three.
fn short_tasks() -> impl Strategy<Value = ShortTasks> {
    let roles = prop::collection::btree_set((0_u8..6).prop_map(role), 1..4);
    let share = (prop_oneof![Just(200), Just(500), Just(333), Just(1000)], roles);
    prop_oneof![
        2 => Just(ShortTasks::default()),
        1 => share.prop_map(|(permille, roles)| ShortTasks { permille, roles }),
    ]
}

pub(crate) fn settings() -> impl Strategy<Value = Options> {
    (any::<u64>(), policies(), min_offers(), short_tasks()).prop_map(
        |(rng_seed, policy, min_offers, short_tasks)| Options {
            rng_seed,
            policy,
            min_offers,
            short_tasks,
            min_offer_hold: Duration::from_secs(3),
            ..Options::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: traces(120), rng_seed: chance(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_naive_rule(
        events in history(),
        options in settings(),
        budget in 1_usize..40,
        every in 1_usize..5,
        volumes in any::<bool>(),
    ) {
        let mut world = World::new(options);
        world.volumes = volumes;
        for (at, event) in events.iter().enumerate() {
            happen(&mut world, event);
            world.allocator.assert_invariants();
            if at.is_multiple_of(every) {
                world.settle(budget);
            }
        }
        world.resume();
        world.settle(budget);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: traces(120) / 6, rng_seed: chance(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_seed_gives_one_history(
        events in history(),
        options in settings(),
        volumes in any::<bool>(),
    ) {
        let history = || {
            let mut world = World::new(options.clone());
            world.volumes = volumes;
            let mut made = Vec::new();
            for event in &events {
                happen(&mut world, event);
                made.extend(world.settle(7));
            }
            made
        };
        prop_assert_eq!(history(), history());
    }
}
