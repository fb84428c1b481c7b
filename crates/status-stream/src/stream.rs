//! One stream: what waits, what was taken, what was acknowledged.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use machine::TimerId;
use types::Uuid;

use crate::{Acknowledged, Update};

/// Names of past updates that a stream remembers; a repetition that comes later
/// than so many others is taken for new.
const REMEMBERED_MAX: usize = 4096;

#[derive(Clone, Debug)]
pub(crate) struct Stream<U> {
    waiting: VecDeque<U>,
    acknowledged: Remembered,
    /// The pause after the last sending of the head.
    pub(crate) pause: Duration,
    /// When the head is sent again.
    pub(crate) timer: Option<TimerId>,
}

impl<U> Default for Stream<U> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            acknowledged: Remembered::default(),
            pause: Duration::ZERO,
            timer: None,
        }
    }
}

/// The latest names, in order of arrival.
#[derive(Clone, Debug, Default)]
struct Remembered {
    order: VecDeque<Uuid>,
    names: BTreeSet<Uuid>,
}

impl Remembered {
    fn insert(&mut self, uuid: Uuid) {
        if self.names.insert(uuid) {
            self.order.push_back(uuid);
        }
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.names.remove(&oldest);
        }
    }
}

impl<U: Update> Stream<U> {
    /// Adds an update at the end; false if it is known already.
    pub(crate) fn take(&mut self, update: U) -> bool {
        let uuid = update.uuid();
        let known =
            self.acknowledged.names.contains(&uuid) || self.waiting.iter().any(|waits| waits.uuid() == uuid);
        if !known {
            self.waiting.push_back(update);
        }
        !known
    }

    /// Takes the head off, if that is its name; the error is why not.
    pub(crate) fn acknowledge(&mut self, uuid: Uuid) -> Result<U, Acknowledged> {
        if self.acknowledged.names.contains(&uuid) {
            return Err(Acknowledged::Duplicate);
        }
        let head = self.waiting.pop_front_if(|head| head.uuid() == uuid).ok_or(Acknowledged::Unexpected)?;
        self.acknowledged.insert(uuid);
        Ok(head)
    }

    pub(crate) fn head(&self) -> Option<&U> {
        self.waiting.front()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn assert_invariants(&self) {
        assert!(
            self.waiting.iter().all(|update| !self.acknowledged.names.contains(&update.uuid())),
            "nothing acknowledged waits"
        );
        assert_eq!(self.acknowledged.order.len(), self.acknowledged.names.len());
    }
}
