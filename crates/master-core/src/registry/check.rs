//! Whether a registry is one that a master can lead with, entry by entry: for people who move registries about, and do not
//! want to learn of a fault from a master that ends.

use std::collections::BTreeMap;

use prost::Message;
use proto::mesos::internal::{Registry, registry};
use types::AgentId;

use super::{BadEntry, State, readable};

/// All that is wrong with the entries of a store. Without any, a master reads them.
#[must_use]
pub fn of_entries(entries: &[(String, Vec<u8>)]) -> Vec<BadEntry> {
    let mut wrong = Vec::new();
    let mut good = Vec::new();
    for (key, value) in entries {
        match State::from_entries([(key.as_str(), value.as_slice())]) {
            Ok(one) => match misnamed(key, &one) {
                Some(why) => wrong.push(BadEntry::new(key, why)),
                None => good.push((key.as_str(), value.as_slice())),
            },
            Err(bad) => wrong.push(bad),
        }
    }
    match State::from_entries(good) {
        Ok(registry) => wrong.extend(of_registry(&registry)),
        Err(bad) => wrong.push(bad),
    }
    wrong
}

/// Why an entry is not the one of its key.
fn misnamed(key: &str, one: &Registry) -> Option<String> {
    let (_, name) = key.split_once('/')?;
    let id = ids(one).next().map(|(_, id)| id)?;
    match id {
        None => Some("is of an agent without an id".to_owned()),
        Some(id) if id.as_str() != name => Some(format!("is of the agent {id}")),
        Some(_) => None,
    }
}

/// All agents, with the kind of their keys.
fn ids(registry: &Registry) -> impl Iterator<Item = (&'static str, Option<AgentId>)> + '_ {
    let admitted = registry.slaves.iter().flat_map(|slaves| &slaves.slaves);
    let unreachable = registry.unreachable.iter().flat_map(|slaves| &slaves.slaves);
    let gone = registry.gone.iter().flat_map(|slaves| &slaves.slaves);
    let named = |id: &proto::mesos::v1::AgentId| Some(AgentId::from(id)).filter(|id| !id.as_str().is_empty());
    let admitted = admitted.map(move |slave| ("agents", slave.info.id.as_ref().and_then(named)));
    let unreachable = unreachable.map(move |slave| ("unreachable", named(&slave.id)));
    admitted.chain(unreachable).chain(gone.map(move |slave| ("gone", named(&slave.id))))
}

/// All that is wrong with a registry, by the keys that its entries would have.
#[must_use]
pub fn of_registry(registry: &Registry) -> Vec<BadEntry> {
    let mut wrong = Vec::new();
    let mut seen: BTreeMap<AgentId, &str> = BTreeMap::new();
    for (kind, id) in ids(registry) {
        let Some(id) = id else {
            wrong.push(BadEntry::new(&format!("{kind}/"), "is of an agent without an id"));
            continue;
        };
        if let Some(other) = seen.insert(id.clone(), kind) {
            wrong.push(BadEntry::new(
                &format!("{kind}/{id}"),
                format!("is of an agent that is in '{other}' too"),
            ));
        }
    }
    let settings = |why: String| BadEntry::new("settings", why);
    wrong.extend(readable(registry).err().map(|why| settings(format!("is of a newer version: {why}"))));
    let mut roles: BTreeMap<&str, ()> = BTreeMap::new();
    for registry::Weight { info } in &registry.weights {
        let sound = info.weight.is_finite() && info.weight > 0.0;
        if !sound {
            wrong.push(settings(format!("gives the role '{}' the weight {}", info.role(), info.weight)));
        }
        if roles.insert(info.role(), ()).is_some() {
            wrong.push(settings(format!("gives the role '{}' two weights", info.role())));
        }
    }
    let mut quotas: BTreeMap<&str, ()> = BTreeMap::new();
    for config in &registry.quota_configs {
        if quotas.insert(&config.role, ()).is_some() {
            wrong.push(settings(format!("gives the role '{}' two quotas", config.role)));
        }
    }
    if State::from(registry.clone()).settings().encoded_len() > SETTINGS_MAX {
        wrong.push(settings(format!("is larger than {SETTINGS_MAX} bytes")));
    }
    wrong
}

/// Larger settings are no person's.
const SETTINGS_MAX: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use proto::mesos::v1;

    use super::super::tests::agent;
    use super::super::{Key, Operation, UNFINISHED};
    use super::*;

    fn entries() -> Vec<(String, Vec<u8>)> {
        let mut state = State::default();
        state.apply(&Operation::AdmitAgent(agent("a")));
        state.apply(&Operation::AdmitAgent(agent("b")));
        state
            .apply(&Operation::MarkUnreachable { agent: "b".into(), since: v1::TimeInfo { nanoseconds: 1 } });
        state.entries().into_iter().map(|(key, value)| (key.to_string(), value)).collect()
    }

    fn wrong(entries: &[(String, Vec<u8>)]) -> String {
        let wrong: Vec<_> = of_entries(entries).iter().map(ToString::to_string).collect();
        wrong.join("\n")
    }

    #[test]
    fn what_a_master_wrote_is_sound() {
        assert_eq!(wrong(&entries()), "");
        assert_eq!(wrong(&[]), "");
        assert_eq!(entries().len(), 3);
        assert_eq!(entries()[2].0, Key::Settings.to_string());
    }

    #[test]
    fn each_fault_is_named() {
        let with = |key: &str, value: &[u8]| {
            let mut all = entries();
            all.retain(|(old, _)| old != key);
            all.push((key.to_owned(), value.to_vec()));
            wrong(&all)
        };
        let of = |key: &str| entries().into_iter().find(|(old, _)| old == key).expect("it is there").1;
        assert!(with("agents/a", b"\xff").starts_with("the entry 'agents/a' of the registry "));
        assert_eq!(
            with("agents/c", &of("agents/a")),
            "the entry 'agents/c' of the registry is of the agent a"
        );
        assert_eq!(
            with("unreachable/a", &of("unreachable/b")),
            "the entry 'unreachable/a' of the registry is of the agent b"
        );
        let admitted = registry::Slave { info: *agent("b"), drain_info: None, deactivated: None };
        assert_eq!(
            with("agents/b", &admitted.encode_to_vec()),
            "the entry 'unreachable/b' of the registry is of an agent that is in 'agents' too"
        );
        assert!(with(UNFINISHED, b"").contains("run `mesos registry import --force` again"));
        assert!(with("what", b"").contains("is of no known kind"));
        let minimum = registry::MinimumCapability { capability: "TELEPATHY".to_owned() };
        let newer = Registry { minimum_capabilities: vec![minimum], ..Registry::default() };
        assert!(with("settings", &newer.encode_to_vec()).contains("newer version: Master is missing"));
        let info = v1::WeightInfo { role: Some("dev".to_owned()), weight: -1.0 };
        let weights = vec![registry::Weight { info: info.clone() }, registry::Weight { info }];
        let weighed = with("settings", &Registry { weights, ..Registry::default() }.encode_to_vec());
        assert!(weighed.contains("the weight -1") && weighed.contains("two weights"), "{weighed}");
    }
}
