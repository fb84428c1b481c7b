//! The laws of streams, over random histories of updates, acknowledgements,
//! pauses and time.

use std::collections::BTreeMap;
use std::time::Duration;

use machine::Instant;
use proptest::prelude::*;
use status_stream::{Acknowledged, Effect, Retry, Streams, Update};
use types::Uuid;

#[derive(Clone, Debug, PartialEq, Eq)]
struct News {
    uuid: Uuid,
    terminal: bool,
}

impl Update for News {
    fn uuid(&self) -> Uuid {
        self.uuid
    }

    fn is_terminal(&self) -> bool {
        self.terminal
    }
}

fn news(number: u8, terminal: bool) -> News {
    News { uuid: Uuid::from_bytes([number; 16]), terminal }
}

#[derive(Clone, Debug)]
enum Step {
    Offer { key: u8, number: u8, terminal: bool },
    Acknowledge { key: u8, number: u8 },
    AcknowledgeHead { key: u8 },
    Pause,
    Resume,
    Wait { secs: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..3u8;
    prop_oneof![
        4 => (key.clone(), 0..20u8, prop::bool::weighted(0.1))
            .prop_map(|(key, number, terminal)| Step::Offer { key, number, terminal }),
        1 => (key.clone(), 0..20u8).prop_map(|(key, number)| Step::Acknowledge { key, number }),
        3 => key.prop_map(|key| Step::AcknowledgeHead { key }),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
        3 => (0..700u64).prop_map(|secs| Step::Wait { secs }),
    ]
}

/// What a receiver would see: per key, the head it was sent last.
#[derive(Default)]
struct World {
    now: Instant,
    paused: bool,
    taken: BTreeMap<u8, Vec<News>>,
}

type Fx = Vec<Effect<u8, News>>;

fn run(steps: Vec<Step>) {
    let mut streams: Streams<u8, News> = Streams::new(Retry::default());
    let mut world = World { paused: true, ..World::default() };
    for step in steps {
        let mut fx: Fx = Vec::new();
        match step {
            Step::Offer { key, number, terminal } => {
                let update = news(number, terminal);
                let fresh = streams.offer(world.now, key, update.clone(), &mut fx);
                assert_eq!(fresh, matches!(fx.first(), Some(Effect::Record { .. })));
                if fresh {
                    world.taken.entry(key).or_default().push(update);
                }
            }
            Step::Acknowledge { key, number } => {
                acknowledge(&mut streams, &mut world, key, news(number, false).uuid, &mut fx);
            }
            Step::AcknowledgeHead { key } => {
                if let Some(head) = world.taken.get(&key).and_then(|taken| taken.first()) {
                    let uuid = head.uuid;
                    acknowledge(&mut streams, &mut world, key, uuid, &mut fx);
                }
            }
            Step::Pause => {
                streams.pause();
                world.paused = true;
            }
            Step::Resume => {
                streams.resume(world.now, &mut fx);
                world.paused = false;
                let heads = world.taken.values().filter(|taken| !taken.is_empty()).count();
                assert_eq!(fx.len(), heads, "every head is forwarded again");
            }
            Step::Wait { secs } => {
                world.now = world.now + Duration::from_secs(secs);
                streams.handle_timeout(world.now, &mut fx);
                if secs >= 600 && !world.paused {
                    let heads = world.taken.values().filter(|taken| !taken.is_empty()).count();
                    assert!(fx.len() >= heads, "no head waits longer than the longest pause");
                }
            }
        }
        for effect in &fx {
            if let Effect::Forward { key, update } = effect {
                assert!(!world.paused, "nothing is forwarded while paused");
                assert_eq!(world.taken[key].first(), Some(update), "only heads, in order");
            }
        }
        streams.assert_invariants();
        let next = streams.poll_timeout();
        assert!(next.is_none_or(|at| at > world.now), "no timer is left over");
    }
}

fn acknowledge(streams: &mut Streams<u8, News>, world: &mut World, key: u8, uuid: Uuid, fx: &mut Fx) {
    let outcome = streams.acknowledge(world.now, &key, uuid, fx);
    let head = world.taken.get(&key).and_then(|taken| taken.first()).cloned();
    match outcome {
        Acknowledged::Taken { ended } => {
            let head = head.expect("only a head is acknowledged");
            assert_eq!((head.uuid, head.terminal), (uuid, ended));
            assert!(matches!(fx.first(), Some(Effect::RecordAcknowledged { .. })), "written first");
            let taken = world.taken.get_mut(&key).expect("it has a head");
            taken.remove(0);
            if ended {
                world.taken.remove(&key);
                assert!(!streams.contains(&key));
            }
        }
        Acknowledged::Duplicate | Acknowledged::Unexpected | Acknowledged::Unknown => {
            assert!(fx.is_empty(), "what is refused changes nothing");
            assert!(head.is_none_or(|head| head.uuid != uuid), "a head's acknowledgement is taken");
        }
    }
}

proptest! {
    #[test]
    fn streams_keep_their_laws(steps in prop::collection::vec(step(), 0..80)) {
        run(steps);
    }
}

#[test]
fn pauses_double_up_to_the_longest() {
    let mut streams: Streams<u8, News> = Streams::new(Retry::default());
    let mut fx = Vec::new();
    streams.resume(Instant::ZERO, &mut fx);
    streams.offer(Instant::ZERO, 0, news(1, false), &mut fx);
    let mut now = Instant::ZERO;
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let at = streams.poll_timeout().expect("a head waits");
        pauses.push(at.since(now).as_secs());
        now = at;
        streams.handle_timeout(now, &mut fx);
    }
    assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
}

#[test]
fn a_restored_stream_goes_on_where_it_was() {
    let mut streams: Streams<u8, News> = Streams::new(Retry::default());
    let updates = [news(1, false), news(2, false), news(3, true)];
    streams.restore(0, updates.clone(), &[updates[0].uuid]);
    streams.restore(1, updates.clone(), &updates.clone().map(|update| update.uuid));
    assert!(!streams.contains(&1), "its terminal update was acknowledged");
    let mut fx = Vec::new();
    streams.resume(Instant::ZERO, &mut fx);
    assert_eq!(fx, [Effect::Forward { key: 0, update: updates[1].clone() }]);
    fx.clear();
    assert!(!streams.offer(Instant::ZERO, 0, updates[0].clone(), &mut fx), "it was taken before");
}
