//! The registry as keys and values, so that a store writes what an operation
//! changed and not the whole: one key for each agent, one for all settings.

use std::fmt;

use prost::Message;
use proto::mesos::internal::{Registry, registry};
use proto::schema::Described;
use types::AgentId;

use super::{Operation, State};

/// What one value of the registry is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// An admitted agent.
    Admitted(AgentId),
    /// An unreachable agent.
    Unreachable(AgentId),
    /// An agent that is gone.
    Gone(AgentId),
    /// Everything that is not of one agent: weights, quotas, machines, schedules.
    Settings,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admitted(agent) => write!(f, "agents/{agent}"),
            Self::Unreachable(agent) => write!(f, "unreachable/{agent}"),
            Self::Gone(agent) => write!(f, "gone/{agent}"),
            Self::Settings => f.write_str("settings"),
        }
    }
}

/// A key or a value of a store that is none of the registry's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the entry '{key}' of the registry {why}")]
pub struct BadEntry {
    key: String,
    why: String,
}

/// The key that is there while an import writes the others: a master that finds it does not lead.
pub const UNFINISHED: &str = "import-unfinished";

impl BadEntry {
    pub(super) fn new(key: &str, why: impl Into<String>) -> Self {
        Self { key: key.to_owned(), why: why.into() }
    }

    /// Which.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl Operation {
    /// The keys whose values the operation may change.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        let of = |info: &proto::mesos::v1::AgentInfo| info.id.as_ref().map(AgentId::from);
        match self {
            Self::AdmitAgent(info) | Self::UpdateAgent(info) => {
                of(info).map(Key::Admitted).into_iter().collect()
            }
            Self::MarkUnreachable { agent, since: _ } => {
                vec![Key::Admitted(agent.clone()), Key::Unreachable(agent.clone())]
            }
            Self::MarkReachable(info) => {
                let ids = of(info).into_iter();
                ids.flat_map(|id| [Key::Admitted(id.clone()), Key::Unreachable(id)]).collect()
            }
            Self::RemoveAgent(agent) => vec![Key::Admitted(agent.clone())],
            Self::MarkGone { agent, at: _ } => {
                vec![Key::Admitted(agent.clone()), Key::Unreachable(agent.clone()), Key::Gone(agent.clone())]
            }
            Self::UpdateWeights(_) | Self::UpdateQuota(_) => vec![Key::Settings],
            Self::Prune { unreachable, gone } => {
                let unreachable = unreachable.iter().cloned().map(Key::Unreachable);
                unreachable.chain(gone.iter().cloned().map(Key::Gone)).collect()
            }
            Self::UpdateSchedule(_) | Self::StartMaintenance(_) | Self::StopMaintenance(_) => {
                vec![Key::Settings]
            }
            // The first and the last of them also change which masters may read the registry.
            Self::DrainAgent { agent, config: _ }
            | Self::MarkAgentDrained(agent)
            | Self::DeactivateAgent(agent)
            | Self::ReactivateAgent(agent) => {
                vec![Key::Admitted(agent.clone()), Key::Unreachable(agent.clone()), Key::Settings]
            }
        }
    }
}

impl State {
    /// The value of a key as it is now; none if there is nothing to keep.
    #[must_use]
    pub fn value(&self, key: &Key) -> Option<Vec<u8>> {
        match key {
            Key::Admitted(agent) => self.admitted.get(agent).map(Message::encode_to_vec),
            Key::Unreachable(agent) => self.unreachable.get(agent).map(Message::encode_to_vec),
            Key::Gone(agent) => self.gone.get(agent).map(Message::encode_to_vec),
            Key::Settings => Some(self.settings().encode_to_vec()),
        }
    }

    /// All keys with their values.
    #[must_use]
    pub fn entries(&self) -> Vec<(Key, Vec<u8>)> {
        let admitted = self.admitted.keys().cloned().map(Key::Admitted);
        let unreachable = self.unreachable.keys().cloned().map(Key::Unreachable);
        let gone = self.gone.keys().cloned().map(Key::Gone);
        let keys = admitted.chain(unreachable).chain(gone).chain([Key::Settings]);
        keys.filter_map(|key| Some((key.clone(), self.value(&key)?))).collect()
    }

    /// The registry whose values these are.
    pub fn from_entries<'a>(
        entries: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Registry, BadEntry> {
        let mut registry = Registry::default();
        let (mut admitted, mut unreachable, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for (key, value) in entries {
            match key.split_once('/') {
                None if key == "settings" => registry = read(key, value)?,
                Some(("agents", _)) => admitted.push(read(key, value)?),
                Some(("unreachable", _)) => unreachable.push(read(key, value)?),
                Some(("gone", _)) => gone.push(read(key, value)?),
                None if key == UNFINISHED => {
                    let why = "says that an import has not ended: run `mesos registry import --force` again";
                    return Err(BadEntry { key: key.to_owned(), why: why.to_owned() });
                }
                Some(_) | None => {
                    return Err(BadEntry { key: key.to_owned(), why: "is of no known kind".to_owned() });
                }
            }
        }
        registry.slaves = Some(registry::Slaves { slaves: admitted });
        registry.unreachable = Some(registry::UnreachableSlaves { slaves: unreachable });
        registry.gone = Some(registry::GoneSlaves { slaves: gone });
        Ok(registry)
    }
}

fn read<M: Message + Default + Described>(key: &str, value: &[u8]) -> Result<M, BadEntry> {
    proto::wire::decode(value).map_err(|error| BadEntry { key: key.to_owned(), why: error.to_string() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proto::mesos::v1;
    use proto::mesos::v1::maintenance::{Schedule, Window};

    use super::super::tests::agent;
    use super::*;

    /// A store that is told only of the keys that operations name has the whole.
    #[test]
    fn the_keys_of_operations_are_all_that_changes() {
        let mut state = State::default();
        let mut store: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let since = v1::TimeInfo { nanoseconds: 7 };
        let (a, b) = (AgentId::from("a"), AgentId::from("b"));
        let machine = v1::MachineId { hostname: Some("h".to_owned()), ip: None };
        let window = Window {
            machine_ids: vec![machine.clone()],
            unavailability: v1::Unavailability { start: since, duration: None },
        };
        let schedule = Schedule { windows: vec![window] };
        for operation in [
            Operation::AdmitAgent(agent("a")),
            Operation::AdmitAgent(agent("b")),
            Operation::UpdateWeights(vec![v1::WeightInfo { role: Some("dev".to_owned()), weight: 2.0 }]),
            Operation::UpdateAgent(Box::new(v1::AgentInfo { port: Some(7), ..*agent("b") })),
            Operation::UpdateSchedule(Box::new(schedule)),
            Operation::StartMaintenance(vec![machine.clone()]),
            Operation::StopMaintenance(vec![machine]),
            Operation::DrainAgent { agent: a.clone(), config: v1::DrainConfig::default() },
            Operation::MarkUnreachable { agent: a.clone(), since },
            Operation::MarkAgentDrained(a.clone()),
            Operation::MarkReachable(agent("a")),
            Operation::ReactivateAgent(a.clone()),
            Operation::DeactivateAgent(b.clone()),
            Operation::MarkUnreachable { agent: a.clone(), since },
            Operation::MarkGone { agent: a.clone(), at: since },
            Operation::MarkUnreachable { agent: b.clone(), since },
            Operation::MarkReachable(agent("c")),
            Operation::RemoveAgent("c".into()),
            Operation::Prune { unreachable: vec![b], gone: vec![a] },
        ] {
            state.apply(&operation);
            for key in operation.keys() {
                match state.value(&key) {
                    Some(value) => drop(store.insert(key.to_string(), value)),
                    None => drop(store.remove(&key.to_string())),
                }
            }
            let entries = store.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
            let kept = State::from(State::from_entries(entries).expect("readable"));
            assert_eq!(Registry::from(&kept), Registry::from(&state), "{operation}");
        }
    }

    #[test]
    fn what_is_no_entry_is_named() {
        let read = |key: &str, value: &[u8]| State::from_entries([(key, value)]).unwrap_err().to_string();
        assert_eq!(read("nonsense/1", b""), "the entry 'nonsense/1' of the registry is of no known kind");
        assert!(read("agents/1", b"\xff\xff").starts_with("the entry 'agents/1' of the registry "));
    }
}
