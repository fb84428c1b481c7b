//! Random histories of clusters in which many frameworks refuse the same few kinds of
//! agents for long, beside roles that are at their limits: what is kept of refusals, of
//! full roles and of what quota held back is by sets here, and not one by one.

use allocator::{AgentOptions, Options};
use proptest::prelude::*;

use crate::oracle::{Event, Wants, chance, happen, policies, settings, traces};
use crate::world::World;

const FRAMEWORKS: u8 = 12;
const AGENTS: u8 = 12;

/// Mostly anybody may have anything.
fn wants() -> impl Strategy<Value = Wants> {
    let roles = prop::collection::vec(0_u8..9, 1..4);
    let suppressed = prop_oneof![9 => Just(vec![]), 1 => prop::collection::vec(0_u8..9, 1)];
    (roles, suppressed, prop::option::weighted(0.02, 0_u8..2), prop::option::weighted(0.05, 0_u8..10))
        .prop_map(|(roles, suppressed, minimum, constraint)| Wants {
            roles,
            suppressed,
            gpus: true,
            revocable: true,
            multi_role: true,
            region: true,
            minimum,
            constraint,
            shared: true,
        })
}

fn agent() -> impl Strategy<Value = AgentOptions> {
    let rarely = || prop::bool::weighted(0.04);
    (rarely(), rarely()).prop_map(|(inactive, flat)| AgentOptions {
        active: !inactive,
        hierarchical_role: !flat,
        ..AgentOptions::default()
    })
}

fn quota() -> impl Strategy<Value = Event> {
    let guarantee = prop_oneof![2 => Just(0_u8), 1 => 2_u8..5, 1 => 6_u8..8];
    let limit = prop_oneof![1 => Just(0_u8), 1 => 2_u8..6, 2 => 6_u8..8, 2 => 8_u8..10];
    (0_u8..6, guarantee, limit).prop_map(|(role, guarantee, limit)| Event::Quota(role, guarantee, limit))
}

fn event() -> impl Strategy<Value = Event> {
    let f = || 0_u8..FRAMEWORKS;
    let a = || 0_u8..AGENTS;
    let long = || prop_oneof![1 => 0_u8..8, 6 => Just(250_u8)];
    prop_oneof![
        1 => (f(), wants()).prop_map(|(f, w)| Event::AddFramework(f, w)),
        1 => f().prop_map(Event::RemoveFramework),
        1 => (f(), any::<bool>()).prop_map(|(f, on)| Event::Activate(f, on)),
        1 => (f(), prop::option::of(0_u8..9)).prop_map(|(f, r)| Event::Suppress(f, r)),
        3 => (f(), prop::option::of(0_u8..9)).prop_map(|(f, r)| Event::Revive(f, r)),
        1 => (a(), 9_u8..12, agent()).prop_map(|(a, t, o)| Event::AddAgent(a, t, o)),
        1 => (a(), 9_u8..12).prop_map(|(a, t)| Event::UpdateAgent(a, t)),
        2 => (a(), 6_u8..20).prop_map(|(a, s)| Event::Grow(a, s)),
        1 => (a(), agent()).prop_map(|(a, o)| Event::AgentOptions(a, o)),
        1 => a().prop_map(Event::RemoveAgent),
        1 => (0_u8..9, 0_u8..4).prop_map(|(r, w)| Event::Weight(r, w)),
        3 => quota(),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(at, which)| Event::Operate(at, which)),
        8 => (any::<u8>(), long()).prop_map(|(at, secs)| Event::Decline(at, secs)),
        3 => (1_u8..16, 0_u8..12, long()).prop_map(|(rounds, kept, secs)| Event::DeclineAll(rounds, kept, secs)),
        3 => any::<u8>().prop_map(Event::Rescind),
        8 => (any::<u8>(), 6_u8..40, prop::option::of(long()))
            .prop_map(|(at, size, refuse)| Event::Launch(at, size, refuse, 0)),
        1 => prop::option::of(a()).prop_map(Event::Whitelist),
        1 => (f(), prop::option::of(a())).prop_map(|(f, a)| Event::Request(f, a)),
        2 => (0_u16..6000).prop_map(Event::Wait),
    ]
}

fn history() -> impl Strategy<Value = Vec<Event>> {
    let frameworks = prop::collection::vec(wants(), 9..=usize::from(FRAMEWORKS));
    let agents = prop_oneof![1 => Just(2), 2 => 6..=usize::from(AGENTS)]
        .prop_flat_map(|most| prop::collection::vec((9_u8..12, agent()), most));
    // Or most roles may have nothing at all.
    let nothing = (0_u8..6, 6_u8..8).prop_map(|(role, limit)| Event::Quota(role, 0, limit));
    let quotas =
        prop_oneof![2 => prop::collection::vec(quota(), 0..8), 1 => prop::collection::vec(nothing, 4..9)];
    let events = prop::collection::vec(event(), 10..80);
    (frameworks, agents, quotas, events).prop_map(|(frameworks, agents, quotas, events)| {
        let frameworks = (0..).zip(frameworks).map(|(f, wants)| Event::AddFramework(f, wants));
        let agents = (0..).zip(agents).map(|(a, (total, options))| Event::AddAgent(a, total, options));
        frameworks.chain(quotas).chain(agents).chain(events).collect()
    })
}

/// Mostly the defaults, since lots and minimum sizes have ways of their own.
fn options() -> impl Strategy<Value = Options> {
    let plain = |rng_seed| Options { rng_seed, ..Options::default() };
    prop_oneof![
        4 => any::<u64>().prop_map(plain),
        1 => (any::<u64>(), policies()).prop_map(move |(seed, policy)| Options { policy, ..plain(seed) }),
        1 => settings(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: traces(160) / 20, rng_seed: chance(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_naive_rule_in_a_storm(
        events in history(),
        options in options(),
        budget in prop_oneof![1_usize..40, Just(10_000)],
        every in 1_usize..5,
    ) {
        let mut world = World::new(options);
        for (at, event) in events.iter().enumerate() {
            happen(&mut world, event);
            world.allocator.assert_invariants();
            if at.is_multiple_of(every) {
                world.settle(budget);
            }
        }
        world.settle(budget);
    }
}
