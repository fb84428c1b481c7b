//! The records of a replica: what was appended to the log and not truncated since. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use prost::Message;

use crate::Error;

/// A record of the database.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Record {
    #[prost(int32, required, tag = "1")]
    pub(crate) kind: i32,
    #[prost(message, optional, tag = "3")]
    pub(crate) action: Option<Action>,
    #[prost(message, optional, tag = "4")]
    pub(crate) metadata: Option<Metadata>,
}

const PROMISE: i32 = 1;
const ACTION: i32 = 2;
const METADATA: i32 = 3;

/// What was done, or only promised, at a position.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Action {
    #[prost(uint64, required, tag = "1")]
    pub(crate) position: u64,
    #[prost(uint64, required, tag = "2")]
    pub(crate) promised: u64,
    #[prost(uint64, optional, tag = "3")]
    pub(crate) performed: Option<u64>,
    #[prost(bool, optional, tag = "4")]
    pub(crate) learned: Option<bool>,
    #[prost(int32, optional, tag = "5")]
    pub(crate) kind: Option<i32>,
    #[prost(message, optional, tag = "7")]
    pub(crate) append: Option<Append>,
    #[prost(message, optional, tag = "8")]
    pub(crate) truncate: Option<Truncate>,
}

const NOP: i32 = 1;
const APPEND: i32 = 2;
const TRUNCATE: i32 = 3;

/// Bytes that were appended.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Append {
    #[prost(bytes = "vec", required, tag = "1")]
    pub(crate) bytes: Vec<u8>,
}

/// All before this position was dropped.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Truncate {
    #[prost(uint64, required, tag = "1")]
    pub(crate) to: u64,
}

/// How the replica stands.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Metadata {
    #[prost(int32, required, tag = "1")]
    pub(crate) status: i32,
    #[prost(uint64, required, tag = "2")]
    pub(crate) promised: u64,
}

/// The states of a replica, by number.
const STATES: [&str; 5] = ["unknown", "VOTING", "RECOVERING", "STARTING", "EMPTY"];

/// One entry of the log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) position: u64,
    /// Whether the replica knows that most of them agreed to it.
    pub(crate) agreed: bool,
    /// What was appended; nothing for what only fills a position.
    pub(crate) appended: Option<Vec<u8>>,
}

/// The log as one replica has it, from where it was truncated on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) entries: Vec<Entry>,
    /// The first position that is missing between two that are there.
    pub(crate) hole: Option<u64>,
}

impl Log {
    /// The log in these records.
    pub(crate) fn of(records: BTreeMap<Vec<u8>, Vec<u8>>, path: &Path) -> Result<Self, Error> {
        let mut actions: BTreeMap<u64, Action> = BTreeMap::new();
        let mut metadata = None;
        for (key, value) in records {
            let name = String::from_utf8_lossy(&key).into_owned();
            let wrong = |why: String| Error::Incomplete {
                path: path.to_owned(),
                why: format!("has a record '{name}' that {why}"),
            };
            let record = Record::decode(value.as_slice()).map_err(|error| wrong(error.to_string()))?;
            match (record.kind, record.action, record.metadata) {
                (ACTION, Some(action), _) => {
                    if position_of(&key) != Some(action.position) {
                        return Err(wrong(format!("is of position {}", action.position)));
                    }
                    actions.insert(action.position, action);
                }
                (METADATA, _, Some(found)) => metadata = Some(found),
                // Replicas of old kept their promise so; all of those vote.
                (PROMISE, _, _) => {}
                (other, _, _) => return Err(wrong(format!("is of kind {other}, or empty"))),
            }
        }
        let status = metadata.map_or(1, |metadata| metadata.status);
        if status != 1 {
            let state = usize::try_from(status).ok().and_then(|n| STATES.get(n)).unwrap_or(&STATES[0]);
            let why = format!("is of a replica that was {state} and not VOTING");
            let path = path.to_owned();
            let empty = actions.is_empty();
            return Err(if empty { Error::Empty { path, why } } else { Error::Incomplete { path, why } });
        }
        Self::assemble(actions, path)
    }

    fn assemble(actions: BTreeMap<u64, Action>, path: &Path) -> Result<Self, Error> {
        let done = |action: &&Action| action.performed.is_some();
        let cut = actions.values().filter(done).filter_map(|action| Some(action.truncate.as_ref()?.to)).max();
        let mut log = Self::default();
        let mut expected = None;
        for (position, action) in actions.range(cut.unwrap_or(0)..) {
            let agreed = action.learned.unwrap_or(false);
            // A position that was promised and never written is as good as one that is missing.
            let appended = match (action.performed, action.kind) {
                (Some(_), Some(APPEND)) => match &action.append {
                    Some(append) => Some(append.bytes.clone()),
                    None => {
                        let why = format!("has nothing appended at position {position}");
                        return Err(Error::Incomplete { path: path.to_owned(), why });
                    }
                },
                (Some(_), Some(NOP | TRUNCATE)) => None,
                (Some(_), kind) => {
                    let why = format!("has an action of the unknown kind {kind:?} at position {position}");
                    return Err(Error::Incomplete { path: path.to_owned(), why });
                }
                (None, _) => continue,
            };
            if log.hole.is_none() && expected.is_some_and(|expected| expected != *position) {
                log.hole = expected;
            }
            expected = Some(position + 1);
            log.entries.push(Entry { position: *position, agreed, appended });
        }
        Ok(log)
    }
}

/// Keys are positions and one more: ten digits, or an A and twenty.
fn position_of(key: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(key).ok()?;
    let number: u64 = text.strip_prefix('A').unwrap_or(text).parse().ok()?;
    number.checked_sub(1)
}
