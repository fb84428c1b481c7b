//! The drivers of this process by number. A Java object keeps its driver's number, never an address.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Drivers by number. Locked because any thread of Java may make, use and drop them; held only to look.
pub(crate) struct Table<T> {
    entries: Mutex<(i64, BTreeMap<i64, T>)>,
}

impl<T: Clone> Table<T> {
    pub(crate) const fn new() -> Self {
        Self { entries: Mutex::new((0, BTreeMap::new())) }
    }

    /// Keeps a driver, and tells its number. No number is given twice, and none is 0: that is what a field of Java has
    /// that nothing was put in.
    pub(crate) fn add(&self, entry: T) -> i64 {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.0 += 1;
        let number = entries.0;
        entries.1.insert(number, entry);
        number
    }

    pub(crate) fn get(&self, number: i64) -> Option<T> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).1.get(&number).cloned()
    }

    /// Forgets a driver. It is dropped by the caller, outside of the lock.
    pub(crate) fn remove(&self, number: i64) -> Option<T> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&number)
    }
}
