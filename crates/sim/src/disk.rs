//! An agent's disk: what a crash of the process leaves (all of it), and what a loss of power does (what was synced,
//! and of the rest whatever chance had written by then).

use std::collections::{BTreeMap, BTreeSet};

use agent_core::{Entry, Outlives, Record, Recovered, Write};
use machine::Rng;
use prost::Message as _;
use proto::mesos::internal::StatusUpdateRecord;
use proto::mesos::internal::status_update_record::Type;

/// Where every agent of the world keeps its things.
pub(crate) const WORK_DIR: &str = "/w";

/// The files of one machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    /// What a process reads.
    seen: BTreeMap<String, Entry>,
    /// What a loss of power leaves for certain.
    synced: BTreeMap<String, Entry>,
    /// Where the two differ.
    dirty: BTreeSet<String>,
}

impl Disk {
    /// Does what the agent's shell does to write a record.
    pub(crate) fn write(&mut self, record: &Record) {
        let sync = record.outlives() == Outlives::Machine;
        if sync {
            for path in record.rests_on(WORK_DIR) {
                self.sync(&path);
            }
        }
        let path = record.path(WORK_DIR);
        match record.write(WORK_DIR) {
            Write::Replace(bytes) => self.put(&path, Entry::File(bytes.to_vec())),
            Write::Append(bytes) => {
                let mut all = match self.seen.get(&path) {
                    Some(Entry::File(old)) => old.clone(),
                    Some(Entry::Link(_)) | None => Vec::new(),
                };
                all.extend_from_slice(&bytes);
                self.put(&path, Entry::File(all));
            }
            Write::Touch => {
                if !self.seen.contains_key(&path) {
                    self.put(&path, Entry::File(Vec::new()));
                }
            }
            Write::Link { target } => self.put(&path, Entry::Link(target)),
            Write::Remove => self.remove(&path),
            Write::RemoveDirectory => {
                for path in self.below(&path) {
                    self.remove(&path);
                    self.sync(&path);
                }
            }
            Write::Rename { from } => {
                if let Some(entry) = self.seen.get(&from).cloned() {
                    self.put(&path, entry);
                    self.remove(&from);
                    self.sync(&from);
                }
            }
        }
        if sync {
            self.sync(&path);
        }
    }

    /// Writes a file that is no record of the core's.
    pub(crate) fn write_file(&mut self, path: &str, bytes: &[u8]) {
        self.put(path, Entry::File(bytes.to_vec()));
    }

    /// Deletes a directory with all that is in it.
    pub(crate) fn remove_path(&mut self, path: &str) {
        for path in self.below(path) {
            self.remove(&path);
        }
    }

    fn below(&self, directory: &str) -> Vec<String> {
        let prefix = format!("{directory}/");
        self.seen
            .range(prefix.clone()..)
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(&prefix))
            .cloned()
            .collect()
    }

    fn put(&mut self, path: &str, entry: Entry) {
        self.seen.insert(path.to_owned(), entry);
        self.dirty.insert(path.to_owned());
    }

    fn remove(&mut self, path: &str) {
        self.seen.remove(path);
        self.dirty.insert(path.to_owned());
    }

    fn sync(&mut self, path: &str) {
        if self.dirty.remove(path) {
            match self.seen.get(path) {
                Some(entry) => drop(self.synced.insert(path.to_owned(), entry.clone())),
                None => drop(self.synced.remove(path)),
            }
        }
    }

    /// The power is gone: of what was not synced some is there, some is as before, some is torn.
    pub(crate) fn lose_power(&mut self, rng: &mut Rng) {
        for path in std::mem::take(&mut self.dirty) {
            let old = self.synced.get(&path).cloned();
            let new = self.seen.get(&path).cloned();
            let left = match (rng.below(3), old, new) {
                (0, old, _) => old,
                (1, _, new) => new,
                (_, old, Some(Entry::File(bytes))) => {
                    // What was appended to is at least what it was; what was replaced may be cut anywhere.
                    let kept = match &old {
                        Some(Entry::File(before)) if bytes.starts_with(before) => before.len(),
                        Some(Entry::File(_) | Entry::Link(_)) | None => 0,
                    };
                    let more = rng.below((bytes.len() - kept) as u64 + 1);
                    let length = kept + usize::try_from(more).unwrap_or(0);
                    Some(Entry::File(bytes[..length].to_vec()))
                }
                (_, _, new) => new,
            };
            match left {
                Some(entry) => {
                    self.seen.insert(path.clone(), entry.clone());
                    self.synced.insert(path, entry);
                }
                None => {
                    self.seen.remove(&path);
                    self.synced.remove(&path);
                }
            }
        }
    }

    /// What a starting agent finds: the shell's part of it, which also cuts torn tails.
    pub(crate) fn recover(&mut self, rebooted: bool) -> Recovered {
        let meta = agent_core::meta(WORK_DIR);
        let mut files = BTreeMap::new();
        let agent = match self.seen.get(&format!("{meta}/slaves/latest")) {
            Some(Entry::Link(target)) => target.rsplit('/').next().map(str::to_owned),
            Some(Entry::File(_)) | None => None,
        };
        let mut read = |directory: &str, below: &str| {
            let prefix = format!("{directory}/{below}");
            let paths: Vec<String> = self
                .seen
                .range(prefix.clone()..)
                .map(|(path, _)| path)
                .take_while(|path| path.starts_with(&prefix))
                .filter(|path| **path == prefix || path[prefix.len()..].starts_with('/'))
                .cloned()
                .collect();
            for path in paths {
                let name = path[directory.len() + 1..].to_owned();
                if let Some(Entry::File(bytes)) = self.seen.get(&path)
                    && (name.ends_with("/task.updates") || name.ends_with("/operation.updates"))
                {
                    let whole = bytes[..agent_core::whole_records_bytes(bytes)].to_vec();
                    self.seen.insert(path.clone(), Entry::File(whole.clone()));
                    self.synced.insert(path.clone(), Entry::File(whole));
                    self.dirty.remove(&path);
                }
                if let Some(entry) = self.seen.get(&path) {
                    files.insert(name, entry.clone());
                }
            }
        };
        read(&meta, "resources");
        let agent = agent.map(|agent| format!("{meta}/slaves/{agent}"));
        for below in ["slave.info", "frameworks", "operations", "drain.config"] {
            if let Some(agent) = &agent {
                read(agent, below);
            }
        }
        let found = Recovered::from_files(&files, rebooted);
        for lost in
            agent.iter().flat_map(|agent| found.lost.iter().map(move |lost| format!("{agent}/{lost}")))
        {
            self.remove(&lost);
        }
        found
    }

    /// The names of the task updates on disk: those that were taken, and those that were acknowledged.
    #[must_use]
    pub(crate) fn updates(&self) -> (BTreeSet<Vec<u8>>, BTreeSet<Vec<u8>>) {
        let (mut taken, mut acknowledged) = (BTreeSet::new(), BTreeSet::new());
        for (path, entry) in &self.seen {
            let Entry::File(bytes) = entry else { continue };
            if !path.ends_with("/task.updates") {
                continue;
            }
            let mut rest = &bytes[..agent_core::whole_records_bytes(bytes)];
            while let Some((head, tail)) = rest.split_first_chunk::<4>() {
                let length = usize::try_from(u32::from_ne_bytes(*head)).unwrap_or(usize::MAX);
                let Some((record, tail)) = tail.split_at_checked(length) else { break };
                rest = tail;
                let Ok(record) = StatusUpdateRecord::decode(record) else { continue };
                match record.r#type() {
                    Type::Update => {
                        let uuid = record.update.and_then(|update| update.status.uuid);
                        taken.extend(uuid.map(|uuid| uuid.to_vec()));
                    }
                    Type::Ack => acknowledged.extend(record.uuid.map(|uuid| uuid.to_vec())),
                }
            }
        }
        (taken, acknowledged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(synced: bool, survivors: &[usize]) {
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let mut disk = Disk::default();
            disk.write_file("/w/f", b"ab");
            disk.sync("/w/f");
            disk.write_file("/w/f", b"abcd");
            if synced {
                disk.sync("/w/f");
            }
            disk.lose_power(&mut Rng::new(seed));
            let Some(Entry::File(bytes)) = disk.seen.get("/w/f") else { panic!("a file") };
            seen.insert(bytes.len());
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), survivors);
    }

    #[test]
    fn power_takes_only_what_was_not_synced() {
        check(true, &[4]);
        check(false, &[2, 3, 4]);
    }
}
