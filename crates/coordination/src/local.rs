//! A store in one file of this machine, for a master that runs alone.
//!
//! A commit is on disk before it returns: the file is a database of copy-on-write
//! trees, so that a crash at any instant leaves the last commit whole. What a commit
//! writes grows with what it changes, not with what there is.

use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};

use crate::{Change, Store, StoreError};

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
        let path = directory.join("registry.redb");
        let database = match Database::create(&path) {
            Ok(database) => database,
            Err(DatabaseError::DatabaseAlreadyOpen) => return Err(StoreError::InUse { path }),
            Err(error) => return Err(StoreError::Broken { path, source: Box::new(error.into()) }),
        };
        let mut store = Self { database, path, epoch: 0 };
        store.epoch = store.begin_epoch()?;
        Ok(store)
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
