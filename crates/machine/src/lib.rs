//! Time as data, timers and seeded chance: the ground under every core.
//!
//! A core never asks what time it is and never rolls dice of its own. The shell
//! (or the simulation) hands it a [`Now`] with each event, and a [`Rng`] seeded
//! once; the same seed and events give the same effects, byte for byte.

mod chance;
mod time;
mod timers;

pub use chance::Rng;
pub use time::{Instant, Now, WallTime};
pub use timers::{TimerId, Timers};

/// A deterministic state machine: event in, ordered effects out.
///
/// `handle_event` is total. A refused request is an effect, never an error;
/// a broken invariant of the core's own is an `assert!`, and the process dies so
/// that another may lead.
pub trait Machine {
    /// What may happen to it.
    type Event;
    /// What it wants done, in order.
    type Effect;

    /// Takes one event and appends what must be done to `fx`.
    fn handle_event(&mut self, now: Now, event: Self::Event, fx: &mut Vec<Self::Effect>);

    /// Does what is due at `now`. Calling it early does nothing.
    fn handle_timeout(&mut self, now: Now, fx: &mut Vec<Self::Effect>);

    /// When `handle_timeout` must next be called, if at all. An instant in the
    /// past means "at once": work is left over from a bounded step.
    fn poll_timeout(&self) -> Option<Instant>;
}
