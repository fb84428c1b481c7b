//! One step of the agent: when it happens, and what it wants done so far.

use machine::Now;
use types::Pid;

use crate::checkpoint::Record;
use crate::effect::{Effect, Level};
use crate::message::Outgoing;

/// Collects the effects of one step, in order.
pub(crate) struct Step<'a> {
    pub(crate) now: Now,
    fx: &'a mut Vec<Effect>,
}

impl<'a> Step<'a> {
    pub(crate) fn new(now: Now, fx: &'a mut Vec<Effect>) -> Self {
        Self { now, fx }
    }

    pub(crate) fn push(&mut self, effect: Effect) {
        self.fx.push(effect);
    }

    pub(crate) fn send(&mut self, to: &Pid, message: Outgoing) {
        self.fx.push(Effect::Send { to: to.clone(), message });
    }

    pub(crate) fn checkpoint(&mut self, record: Record) {
        self.fx.push(Effect::Checkpoint(record));
    }

    pub(crate) fn info(&mut self, text: impl Into<String>) {
        self.fx.push(Effect::Log { level: Level::Info, text: text.into() });
    }

    pub(crate) fn warn(&mut self, text: impl Into<String>) {
        self.fx.push(Effect::Log { level: Level::Warning, text: text.into() });
    }
}
