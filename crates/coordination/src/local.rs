//! A store in one file of this machine, for a master that runs alone.
//!
//! A commit is on disk before it returns: the file is a database of copy-on-write
//! trees, so that a crash at any instant leaves the last commit whole. What a commit
//! writes grows with what it changes, not with what there is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};

use crate::{Change, Store, StoreError};

/// The file's name.
const FILE: &str = "registry.redb";

/// What the master keeps.
const ENTRIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("entries");

/// What the store knows of itself.
const FACTS: TableDefinition<'_, &str, u64> = TableDefinition::new("facts");
const FORMAT: &str = "format";
const EPOCH: &str = "epoch";

/// The format of the file that this version writes.
const FORMAT_KNOWN: u64 = 1;

/// A store in a file.
pub struct Local {
    database: Database,
    path: PathBuf,
    epoch: u64,
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Local").field("path", &self.path).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Local {
    /// Opens the store in `directory`, made where missing, and begins an epoch of
    /// leadership in it.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let made = std::fs::create_dir_all(directory);
        made.map_err(|source| StoreError::Directory { path: directory.to_owned(), source })?;
        let path = directory.join(FILE);
        let mut store = Self::of(path, |path| Database::create(path))?;
        store.epoch = store.begin_epoch()?;
        Ok(store)
    }

    /// All that is in the store of `directory`, for somebody who does not lead.
    pub fn look(directory: &Path) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let path = directory.join(FILE);
        if !path.exists() {
            return Err(StoreError::Missing { path });
        }
        let mut store = Self::of(path, |path| Database::open(path))?;
        let facts = || -> Result<u64, redb::Error> {
            let facts = store.database.begin_read()?.open_table(FACTS)?;
            Ok(facts.get(FORMAT)?.map_or(FORMAT_KNOWN, |format| format.value()))
        };
        let found = facts().map_err(|source| store.broken(source))?;
        if found > FORMAT_KNOWN {
            return Err(StoreError::Newer { path: store.path, found, known: FORMAT_KNOWN });
        }
        store.read()
    }

    /// Opens the file and checks it whole: a byte that the disk has changed is found now, or never.
    fn of(
        path: PathBuf,
        open: impl FnOnce(&Path) -> Result<Database, DatabaseError>,
    ) -> Result<Self, StoreError> {
        // The database takes some files for whole that are not, and panics over what it finds in them.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let mut database = open(&path)?;
            database.check_integrity()?;
            Ok(database)
        }));
        match opened {
            Ok(Ok(database)) => Ok(Self { database, path, epoch: 0 }),
            Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => Err(StoreError::InUse { path }),
            Ok(Err(error)) => Err(StoreError::Broken { path, source: Box::new(error.into()) }),
            Err(_) => {
                let damaged = redb::Error::Corrupted("it is damaged".to_owned());
                Err(StoreError::Broken { path, source: Box::new(damaged) })
            }
        }
    }

    /// Checks the format and counts the epoch up, on disk.
    fn begin_epoch(&self) -> Result<u64, StoreError> {
        let begin = || -> Result<(u64, u64), redb::Error> {
            let transaction = self.database.begin_write()?;
            let (format, epoch);
            {
                transaction.open_table(ENTRIES)?;
                let mut facts = transaction.open_table(FACTS)?;
                format = facts.get(FORMAT)?.map_or(FORMAT_KNOWN, |format| format.value());
                epoch = facts.get(EPOCH)?.map_or(0, |epoch| epoch.value()) + 1;
                if format > FORMAT_KNOWN {
                    return Ok((format, epoch));
                }
                facts.insert(FORMAT, FORMAT_KNOWN)?;
                facts.insert(EPOCH, epoch)?;
            }
            transaction.commit()?;
            Ok((format, epoch))
        };
        let (found, epoch) = begin().map_err(|source| self.broken(source))?;
        if found > FORMAT_KNOWN {
            return Err(StoreError::Newer { path: self.path.clone(), found, known: FORMAT_KNOWN });
        }
        Ok(epoch)
    }

    fn broken(&self, source: redb::Error) -> StoreError {
        StoreError::Broken { path: self.path.clone(), source: Box::new(source) }
    }
}

impl Store for Local {
    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn read(&mut self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let read = || -> Result<_, redb::Error> {
            let transaction = self.database.begin_read()?;
            let entries = transaction.open_table(ENTRIES)?;
            let mut all = Vec::new();
            for entry in entries.iter()? {
                let (key, value) = entry?;
                all.push((key.value().to_owned(), value.value().to_owned()));
            }
            Ok(all)
        };
        read().map_err(|source| self.broken(source))
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let write = || -> Result<Option<u64>, redb::Error> {
            let transaction = self.database.begin_write()?;
            {
                let facts = transaction.open_table(FACTS)?;
                let current = facts.get(EPOCH)?.map_or(0, |epoch| epoch.value());
                if current != self.epoch {
                    return Ok(Some(current));
                }
                let mut entries = transaction.open_table(ENTRIES)?;
                for Change { key, value } in changes {
                    match value {
                        Some(value) => drop(entries.insert(key.as_str(), value.as_slice())?),
                        None => drop(entries.remove(key.as_str())?),
                    }
                }
            }
            transaction.commit()?;
            Ok(None)
        };
        match write().map_err(|source| self.broken(source))? {
            None => Ok(()),
            Some(current) => Err(StoreError::Deposed { current, own: self.epoch }),
        }
    }

    fn commit_bytes_max(&self) -> usize {
        usize::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(key: &str, value: &str) -> Change {
        Change { key: key.to_owned(), value: Some(value.as_bytes().to_vec()) }
    }

    fn entries(store: &mut Local) -> Vec<String> {
        let all = store.read().unwrap().into_iter();
        all.map(|(key, value)| format!("{key}={}", String::from_utf8(value).unwrap())).collect()
    }

    #[test]
    fn what_was_committed_is_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("not/yet/there");
        let mut store = Local::open(&below).unwrap();
        assert_eq!(entries(&mut store), [""; 0]);
        store.commit(&[set("agents/b", "2"), set("agents/a", "1")]).unwrap();
        store.commit(&[Change { key: "agents/b".to_owned(), value: None }, set("agents/a", "3")]).unwrap();
        let epoch = store.epoch();
        drop(store);
        let mut store = Local::open(&below).unwrap();
        assert_eq!(entries(&mut store), ["agents/a=3"]);
        assert_eq!(store.epoch(), epoch + 1);
    }

    #[test]
    fn a_second_master_is_told_of_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let _first = Local::open(directory.path()).unwrap();
        let error = Local::open(directory.path()).unwrap_err();
        assert!(error.to_string().contains("another master runs with this --work_dir"), "{error}");
    }

    #[test]
    fn a_commit_of_a_past_leadership_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Local::open(directory.path()).unwrap();
        store.commit(&[set("a", "1")]).unwrap();
        // Another master led meanwhile; in one file that takes a trick.
        store.epoch -= 1;
        let error = store.commit(&[set("a", "2")]).unwrap_err();
        assert!(matches!(error, StoreError::Deposed { current: 1, own: 0 }), "{error}");
        assert_eq!(entries(&mut store), ["a=1"]);
    }

    #[test]
    fn what_is_no_registry_is_named() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("registry.redb"), "this is no database, it is a sentence")
            .unwrap();
        let error = Local::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains("registry.redb") && error.contains("move it away"), "{error}");
    }

    /// Cuts and flips of a file that a master wrote: refused with its name, or found to be what it was.
    #[test]
    fn a_damaged_file_is_refused_and_named() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Local::open(directory.path()).unwrap();
        let many: Vec<Change> = (0..200).map(|n| set(&format!("agents/{n:03}"), &"x".repeat(500))).collect();
        store.commit(&many).unwrap();
        let whole = store.read().unwrap();
        drop(store);
        let path = directory.path().join(FILE);
        let bytes = std::fs::read(&path).unwrap();
        let check = |damaged: &[u8], what: &str| {
            std::fs::write(&path, damaged).unwrap();
            match Local::look(directory.path()) {
                Ok(entries) => assert_eq!(entries, whole, "{what}"),
                Err(error) => assert!(error.to_string().contains("registry.redb"), "{what}: {error}"),
            }
        };
        let step = (bytes.len() / 60).max(1);
        for end in (0..700).step_by(20).chain((700..bytes.len()).step_by(step)) {
            check(&bytes[..end], &format!("cut at {end} of {}", bytes.len()));
        }
        for at in (0..512).step_by(5).chain((512..bytes.len()).step_by(step + 7)) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            check(&damaged, &format!("flipped at {at} of {}", bytes.len()));
        }
    }

    #[test]
    fn a_newer_format_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let store = Local::open(directory.path()).unwrap();
        let transaction = store.database.begin_write().unwrap();
        transaction.open_table(FACTS).unwrap().insert(FORMAT, 2).unwrap();
        transaction.commit().unwrap();
        drop(store);
        let error = Local::open(directory.path()).unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 2, known: 1, .. }), "{error}");
    }
}
