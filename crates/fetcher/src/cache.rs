//! The cache of fetched files: one entry per user and URI, a size that is reserved before anything is downloaded,
//! and eviction of what has not been used for longest.
//!
//! An entry is *pending* while its one downloader works; whoever else wants it waits. It is *ready* with a count of
//! those who copy from it, and only at a count of zero it may be evicted. A download that fails takes its entry
//! along, and those who waited go and fetch for themselves.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often those who wait for a download look whether they have been cancelled.
const CANCEL_POLL: Duration = Duration::from_millis(50);

/// The user (empty: the agent's own) and the URI.
pub(crate) type Key = (String, String);

/// The cache. Clones are the same cache.
#[derive(Clone)]
pub(crate) struct Cache {
    shared: Arc<Shared>,
}

struct Shared {
    directory: PathBuf,
    bytes_max: u64,
    // Fetches run on blocking threads of the agent and meet here only.
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<Key, Entry>,
    bytes_used: u64,
    files_made: u64,
    uses: u64,
}

struct Entry {
    file: PathBuf,
    bytes: u64,
    ready: bool,
    leases: usize,
    last_use: u64,
}

/// What a look into the cache gives.
pub(crate) enum Found {
    /// The file is there.
    Ready(Lease),
    /// It is for the caller to download it.
    Missing(Slot),
    /// Somebody else tried to and failed.
    Failed,
    /// The caller has been cancelled while waiting.
    Cancelled,
}

impl Cache {
    /// Starts with an empty directory: what was cached before is not known any more.
    pub(crate) fn new(directory: &Path, bytes_max: u64) -> io::Result<Self> {
        match std::fs::remove_dir_all(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let shared = Shared {
            directory: directory.to_owned(),
            bytes_max,
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The directory of one user's files.
    pub(crate) fn directory(&self, user: &str) -> PathBuf {
        self.shared.directory.join(user)
    }

    /// How many bytes may be cached.
    pub(crate) fn bytes_max(&self) -> u64 {
        self.shared.bytes_max
    }

    /// How many bytes are cached or reserved.
    pub(crate) fn bytes_used(&self) -> u64 {
        self.shared.lock().bytes_used
    }

    /// Looks for an entry; waits if somebody else downloads it.
    pub(crate) fn find(&self, key: &Key, basename: &str, cancel: &AtomicBool) -> Found {
        let mut state = self.shared.lock();
        let mut waited = false;
        loop {
            let State { entries, uses, .. } = &mut *state;
            match entries.get_mut(key) {
                Some(entry) if entry.ready && entry.is_whole() => {
                    *uses += 1;
                    entry.last_use = *uses;
                    entry.leases += 1;
                    return Found::Ready(Lease {
                        cache: self.clone(),
                        key: key.clone(),
                        file: entry.file.clone(),
                    });
                }
                Some(entry) if entry.ready && entry.leases == 0 => state.forget(key),
                Some(_) => {
                    waited = true;
                    let (next, _) = self
                        .shared
                        .changed
                        .wait_timeout(state, CANCEL_POLL)
                        .unwrap_or_else(PoisonError::into_inner);
                    state = next;
                    if cancel.load(Ordering::Relaxed) {
                        return Found::Cancelled;
                    }
                }
                None if waited => return Found::Failed,
                None => return Found::Missing(self.slot(&mut state, key, basename)),
            }
        }
    }

    fn slot(&self, state: &mut State, key: &Key, basename: &str) -> Slot {
        state.files_made += 1;
        // The basename stays at the end, since it tells whether the file is an archive.
        let basename: String =
            basename.chars().rev().take(100).collect::<Vec<_>>().into_iter().rev().collect();
        let file = self.directory(&key.0).join(format!("c{}-{basename}", state.files_made));
        let entry = Entry { file: file.clone(), bytes: 0, ready: false, leases: 0, last_use: 0 };
        state.entries.insert(key.clone(), entry);
        Slot { cache: self.clone(), key: key.clone(), file, done: false }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held leaves counters that are still usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Somebody may have meddled with the directory.
    fn is_whole(&self) -> bool {
        std::fs::symlink_metadata(&self.file).is_ok_and(|found| found.is_file() && found.len() == self.bytes)
    }
}

impl State {
    fn forget(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes_used -= entry.bytes;
            // The space is leaked if this fails; a directory that cannot be written fails the next download anyway.
            let _ = std::fs::remove_file(&entry.file);
        }
    }

    /// Makes the entry `bytes` large, for which others may have to go.
    fn resize(&mut self, key: &Key, bytes: u64, bytes_max: u64) -> Result<(), String> {
        let own = self.entries.get(key).map_or(0, |entry| entry.bytes);
        let others = self.bytes_used - own;
        if bytes > bytes_max {
            return Err(format!("{bytes} bytes exceed the cache's size of {bytes_max} bytes"));
        }
        let mut idle: Vec<(u64, u64, Key)> = self
            .entries
            .iter()
            .filter(|(other, entry)| *other != key && entry.ready && entry.leases == 0)
            .map(|(other, entry)| (entry.last_use, entry.bytes, other.clone()))
            .collect();
        idle.sort();
        let idle_bytes: u64 = idle.iter().map(|(_, bytes, _)| bytes).sum();
        if others - idle_bytes + bytes > bytes_max {
            return Err(format!("{bytes} bytes do not fit beside the files in use"));
        }
        for (_, _, other) in idle {
            if self.bytes_used - own + bytes <= bytes_max {
                break;
            }
            self.forget(&other);
        }
        self.bytes_used = self.bytes_used - own + bytes;
        if let Some(entry) = self.entries.get_mut(key) {
            entry.bytes = bytes;
        }
        Ok(())
    }
}

/// The right to download an entry. Dropped without `commit`, the entry is gone.
pub(crate) struct Slot {
    cache: Cache,
    key: Key,
    file: PathBuf,
    done: bool,
}

impl Slot {
    /// Where to download to.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Takes space for a file of that size.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<(), String> {
        let shared = &self.cache.shared;
        shared.lock().resize(&self.key, bytes, shared.bytes_max)
    }

    /// Opens the entry to all, with the size the file really has.
    pub(crate) fn commit(mut self, bytes: u64) -> Result<Lease, String> {
        let shared = self.cache.shared.clone();
        let mut state = shared.lock();
        state.resize(&self.key, bytes, shared.bytes_max)?;
        state.uses += 1;
        let last_use = state.uses;
        if let Some(entry) = state.entries.get_mut(&self.key) {
            (entry.ready, entry.leases, entry.last_use) = (true, 1, last_use);
        }
        self.done = true;
        drop(state);
        shared.changed.notify_all();
        Ok(Lease { cache: self.cache.clone(), key: self.key.clone(), file: self.file.clone() })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.done {
            self.cache.shared.lock().forget(&self.key);
            self.cache.shared.changed.notify_all();
        }
    }
}

/// A cached file in use: it stays until this is dropped.
pub(crate) struct Lease {
    cache: Cache,
    key: Key,
    file: PathBuf,
}

impl Lease {
    /// The file.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(entry) = self.cache.shared.lock().entries.get_mut(&self.key) {
            entry.leases -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cache, Found, Key, Lease};
    use std::sync::atomic::AtomicBool;

    fn key(uri: &str) -> Key {
        (String::new(), uri.to_owned())
    }

    fn find(cache: &Cache, uri: &str) -> Found {
        cache.find(&key(uri), "name.tgz", &AtomicBool::new(false))
    }

    /// Puts a file of that size into the cache.
    fn put(cache: &Cache, uri: &str, bytes: u64) -> Result<Lease, String> {
        let Found::Missing(slot) = find(cache, uri) else { panic!("{uri} is cached") };
        slot.reserve(bytes)?;
        std::fs::create_dir_all(slot.file().parent().unwrap()).unwrap();
        std::fs::write(slot.file(), vec![0; usize::try_from(bytes).unwrap()]).unwrap();
        slot.commit(bytes)
    }

    fn is_cached(cache: &Cache, uri: &str) -> bool {
        matches!(find(cache, uri), Found::Ready(_))
    }

    #[test]
    fn evicts_what_was_not_used_for_longest() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(&directory.path().join("cache"), 100).unwrap();
        drop(put(&cache, "a", 40).unwrap());
        drop(put(&cache, "b", 40).unwrap());
        assert!(is_cached(&cache, "a"));
        drop(put(&cache, "c", 40).unwrap());
        assert!(is_cached(&cache, "a"));
        assert!(!is_cached(&cache, "b"));
        assert_eq!(cache.bytes_used(), 80);
    }

    #[test]
    fn keeps_what_is_in_use() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(&directory.path().join("cache"), 100).unwrap();
        let lease = put(&cache, "a", 60).unwrap();
        assert!(put(&cache, "b", 60).is_err());
        assert!(put(&cache, "b", 101).is_err());
        drop(lease);
        drop(put(&cache, "b", 60).unwrap());
        assert_eq!(cache.bytes_used(), 60);
    }

    #[test]
    fn forgets_failed_and_damaged_files() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(&directory.path().join("cache"), 100).unwrap();
        let Found::Missing(slot) = find(&cache, "a") else { panic!() };
        slot.reserve(50).unwrap();
        drop(slot);
        assert_eq!(cache.bytes_used(), 0);
        let lease = put(&cache, "a", 10).unwrap();
        std::fs::write(lease.file(), "x").unwrap();
        drop(lease);
        assert!(!is_cached(&cache, "a"));
    }
}
