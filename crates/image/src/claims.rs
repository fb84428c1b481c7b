//! Which layers are in use by this agent: counts, by what the layers are kept by.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims {
    /// A lock, since claims are dropped wherever containers end; held for a few look-ups, and for a sweep's renames.
    counts: Arc<Mutex<BTreeMap<String, usize>>>,
}

/// A claim on some layers, until it is dropped: they stay where they are.
#[derive(Debug)]
pub struct Claim {
    claims: Claims,
    ids: Vec<String>,
}

impl Claims {
    /// Claims layers, whether they are there yet or not.
    pub(crate) fn claim(&self, ids: impl IntoIterator<Item = String>) -> Claim {
        let ids: Vec<_> = ids.into_iter().collect();
        let mut counts = self.lock();
        for id in &ids {
            *counts.entry(id.clone()).or_default() += 1;
        }
        drop(counts);
        Claim { claims: self.clone(), ids }
    }

    /// Does something that must know of every claim.
    pub(crate) fn while_none_is_made<T>(&self, work: impl FnOnce(&dyn Fn(&str) -> bool) -> T) -> T {
        let counts = self.lock();
        work(&|id| counts.contains_key(id))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut counts = self.claims.lock();
        for id in &self.ids {
            if let Some(count) = counts.get_mut(id) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(id);
                }
            }
        }
    }
}
