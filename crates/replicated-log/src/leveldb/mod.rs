//! The files of LevelDB: all keys and their values, as of the last write.
//!
//! Pure but for reading files. The crates that open such a directory write in it (they recover its logs into tables), and
//! we must not: it is somebody's only copy. So it is read here, which takes three kinds of file.
//!
//! `CURRENT` names the manifest; that lists the tables and the first log that is not in them yet.

mod blocks;
mod bytes;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use self::bytes::Reader;
use crate::Error;

/// The comparator's name that the files were sorted by; another would mean another order.
const COMPARATOR: &[u8] = b"leveldb.BytewiseComparator";

/// One write of a key.
#[derive(Clone, Debug)]
struct Write {
    sequence: u64,
    value: Option<Vec<u8>>,
}

/// All keys with the newest write of each.
#[derive(Debug, Default)]
struct Writes(BTreeMap<Vec<u8>, Write>);

impl Writes {
    fn add(&mut self, key: &[u8], sequence: u64, value: Option<&[u8]>) {
        let newer = self.0.get(key).is_none_or(|old| old.sequence <= sequence);
        if newer {
            self.0.insert(key.to_vec(), Write { sequence, value: value.map(<[u8]>::to_vec) });
        }
    }
}

/// Reads all keys and values.
pub(crate) fn read(directory: &Path) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Error> {
    let current = directory.join("CURRENT");
    let name = String::from_utf8_lossy(&load(&current)?).trim_end().to_owned();
    if !name.starts_with("MANIFEST-") || name.contains('/') {
        return Err(broken(&current, format!("names no manifest but '{name}'")));
    }
    let manifest = Manifest::read(&directory.join(name))?;
    let mut writes = Writes::default();
    for (number, size) in &manifest.tables {
        let path = table_path(directory, *number);
        let bytes = load(&path)?;
        if bytes.len() as u64 != *size {
            let found = bytes.len();
            return Err(broken(&path, format!("has {found} bytes, and the manifest says {size}")));
        }
        let read = table::read(&bytes, |key, value| {
            let (key, sequence, kind) = table::parts_of(key)?;
            match kind {
                table::PUT => writes.add(key, sequence, Some(value)),
                table::DELETE => writes.add(key, sequence, None),
                other => return Err(format!("has an entry of the unknown kind {other}")),
            }
            Ok(())
        });
        read.map_err(|why| broken(&path, why))?;
    }
    for path in logs(directory, manifest.log)? {
        read_log(&path, &mut writes)?;
    }
    let kept = writes.0.into_iter().filter_map(|(key, write)| Some((key, write.value?)));
    Ok(kept.collect())
}

/// What the manifest says in the end.
#[derive(Debug, Default)]
struct Manifest {
    /// Tables and their sizes, by number.
    tables: BTreeMap<u64, u64>,
    /// The first log that is not in tables.
    log: u64,
}

impl Manifest {
    fn read(path: &Path) -> Result<Self, Error> {
        let bytes = load(path)?;
        let mut manifest = Self::default();
        let mut any = false;
        for record in blocks::records(&bytes).map_err(|why| broken(path, why))? {
            manifest.apply(&record).map_err(|why| broken(path, why))?;
            any = true;
        }
        if any { Ok(manifest) } else { Err(broken(path, "is empty".to_owned())) }
    }

    fn apply(&mut self, record: &[u8]) -> Result<(), String> {
        let mut reader = Reader::new(record);
        while !reader.is_empty() {
            match reader.varint()? {
                1 => {
                    let name = reader.string()?;
                    if name != COMPARATOR {
                        return Err(format!("is sorted by '{}'", String::from_utf8_lossy(name)));
                    }
                }
                2 => self.log = reader.varint()?,
                // The next file's number, the last sequence number, the log before: of no use here.
                3 | 4 | 9 => drop(reader.varint()?),
                5 => {
                    reader.varint()?;
                    reader.string()?;
                }
                6 => {
                    reader.varint()?;
                    let number = reader.varint()?;
                    self.tables.remove(&number);
                }
                7 => {
                    reader.varint()?;
                    let (number, size) = (reader.varint()?, reader.varint()?);
                    reader.string()?;
                    reader.string()?;
                    self.tables.insert(number, size);
                }
                other => return Err(format!("has a field of the unknown kind {other}")),
            }
        }
        Ok(())
    }
}

/// Tables had another ending once.
fn table_path(directory: &Path, number: u64) -> PathBuf {
    let old = directory.join(format!("{number:06}.sst"));
    if old.exists() { old } else { directory.join(format!("{number:06}.ldb")) }
}

/// The logs from this number on, first to last.
fn logs(directory: &Path, first: u64) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |source| Error::Unreadable { path: directory.to_owned(), source };
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let number = name.strip_suffix(".log").and_then(|number| number.parse::<u64>().ok());
        if let Some(number) = number.filter(|number| *number >= first) {
            found.insert(number, path);
        }
    }
    if !found.contains_key(&first) {
        let path = directory.join(format!("{first:06}.log"));
        return Err(broken(&path, "is missing, and the manifest names it".to_owned()));
    }
    Ok(found.into_values().collect())
}

fn read_log(path: &Path, writes: &mut Writes) -> Result<(), Error> {
    let bytes = load(path)?;
    for record in blocks::records(&bytes).map_err(|why| broken(path, why))? {
        apply_batch(&record, writes).map_err(|why| broken(path, why))?;
    }
    Ok(())
}

/// A batch of writes, as logs have them.
fn apply_batch(record: &[u8], writes: &mut Writes) -> Result<(), String> {
    let mut reader = Reader::new(record);
    let first = reader.fixed64()?;
    let count = u64::from(reader.fixed32()?);
    for n in 0..count {
        match reader.byte()? {
            table::PUT => {
                let (key, value) = (reader.string()?, reader.string()?);
                writes.add(key, first.saturating_add(n), Some(value));
            }
            table::DELETE => writes.add(reader.string()?, first.saturating_add(n), None),
            other => return Err(format!("has a write of the unknown kind {other}")),
        }
    }
    if reader.is_empty() { Ok(()) } else { Err("has more in a batch than it says".to_owned()) }
}

fn load(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Unreadable { path: path.to_owned(), source })
}

fn broken(path: &Path, why: String) -> Error {
    Error::Broken { path: path.to_owned(), why }
}
