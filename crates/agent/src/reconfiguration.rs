//! What may have changed in an agent's configuration while it keeps its id and its executors.

use proto::mesos::v1::{AgentInfo, Attribute, value};
use resources::Resources;

/// The rule of `--reconfiguration_policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconfiguration {
    /// Nothing may have changed.
    Equal,
    /// There may be more than before, and a domain where there was none.
    Additive,
}

impl Reconfiguration {
    /// Why an agent that was `old` cannot go on as `new`.
    pub(crate) fn refuse(self, old: &AgentInfo, new: &AgentInfo) -> Result<(), String> {
        match self {
            Self::Equal => equal(old, new),
            Self::Additive => additive(old, new),
        }
    }
}

fn resources(info: &AgentInfo) -> Resources {
    Resources::from_checked_protos(&info.resources)
}

fn equal(old: &AgentInfo, new: &AgentInfo) -> Result<(), String> {
    let (before, now) = (resources(old), resources(new));
    let same = old.hostname == new.hostname
        && old.port() == new.port()
        && old.domain == new.domain
        && before.contains(&now)
        && now.contains(&before)
        && old.attributes.len() == new.attributes.len()
        && old.attributes.iter().all(|attribute| new.attributes.contains(attribute));
    if same {
        return Ok(());
    }
    let tell = |info: &AgentInfo| proto::json::to_string(info, proto::json::Names::V1);
    Err(format!(
        "Incompatible agent info detected.\nOld agent info:\n{}\nNew agent info:\n{}",
        tell(&AgentInfo { id: None, ..old.clone() }),
        tell(&AgentInfo { id: None, ..new.clone() })
    ))
}

fn additive(old: &AgentInfo, new: &AgentInfo) -> Result<(), String> {
    if old.hostname != new.hostname {
        return Err(format!(
            "Configuration change not permitted under `additive` policy: Hostname changed from {} to {}",
            old.hostname, new.hostname
        ));
    }
    if old.port() != new.port() {
        return Err(format!(
            "Configuration change not permitted under `additive` policy: Port changed from {} to {}",
            old.port(),
            new.port()
        ));
    }
    if old.domain.is_some() && old.domain != new.domain {
        return Err("Configuration change not permitted under `additive` policy: Domain changed".to_owned());
    }
    let (before, now) = (resources(old), resources(new));
    if let Some(lost) = before.iter().find(|resource| !now.contains_one(resource)) {
        return Err(format!(
            "Configuration change not permitted under `additive` policy: Resource {lost} is gone or less than before"
        ));
    }
    for attribute in &old.attributes {
        if !new.attributes.iter().any(|now| keeps(attribute, now)) {
            return Err(format!(
                "Configuration change not permitted under `additive` policy: Attribute '{}' is gone or differs",
                attribute.name
            ));
        }
    }
    Ok(())
}

/// Whether an attribute is still there: texts and numbers as they were, ranges at least as wide.
fn keeps(old: &Attribute, new: &Attribute) -> bool {
    if old.name != new.name || old.r#type != new.r#type {
        return false;
    }
    match old.r#type() {
        value::Type::Ranges => {
            let ranges = |attribute: &Attribute| attribute.ranges.clone().unwrap_or_default().range;
            let now = ranges(new);
            ranges(old).iter().all(|old| now.iter().any(|new| new.begin <= old.begin && old.end <= new.end))
        }
        value::Type::Scalar | value::Type::Set | value::Type::Text => old == new,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(resources: &str, attributes: &str) -> AgentInfo {
        AgentInfo {
            hostname: "h".to_owned(),
            port: Some(5051),
            resources: Resources::parse(resources, "*").unwrap().to_protos(),
            attributes: resources::attributes::parse(attributes).unwrap(),
            ..AgentInfo::default()
        }
    }

    fn check(old: &AgentInfo, new: &AgentInfo, equal: bool, additive: bool) {
        assert_eq!(Reconfiguration::Equal.refuse(old, new).is_ok(), equal, "{new:?}");
        assert_eq!(Reconfiguration::Additive.refuse(old, new).is_ok(), additive, "{new:?}");
    }

    #[test]
    fn agents_go_on_as_they_were() {
        let old = info("cpus:2;mem:64;ports:[1-5]", "rack:a;level:3;spread:[1-3]");
        check(&old, &old.clone(), true, true);
        check(&old, &info("mem:64;cpus:2;ports:[1-5]", "level:3;rack:a;spread:[1-3]"), true, true);
        check(
            &old,
            &info("cpus:3;mem:64;disk:5;ports:[1-9]", "rack:a;level:3;spread:[1-4];new:b"),
            false,
            true,
        );
        check(&old, &info("cpus:1;mem:64;ports:[1-5]", "rack:a;level:3;spread:[1-3]"), false, false);
        check(&old, &info("cpus:2;mem:64;ports:[1-5]", "rack:b;level:3;spread:[1-3]"), false, false);
        check(&old, &info("cpus:2;mem:64;ports:[1-5]", "rack:a;level:3"), false, false);
        check(&old, &AgentInfo { port: Some(5052), ..old.clone() }, false, false);
        check(&old, &AgentInfo { hostname: "g".to_owned(), ..old.clone() }, false, false);
    }
}
