//! What is held of an agent that the agent does not have, and so keeps as much of the
//! rest from being offered.
//!
//! An agent may come back with other resources than those that its tasks were given: a
//! reservation was lost or changed, or there is less of everything. Apache Mesos then
//! offers all of the new total that nobody holds by the letter, so that a task on
//! `cpus(eng):1` and another on the unreserved `cpus:4` share four cores. Here a thing
//! that is in use is not offered under another name.

use resources::{Resource, Resources, Value};

use crate::agents::Agent;

impl Agent {
    /// What may be offered of `free` beside what is missing.
    pub(crate) fn spare(&self, mut free: Resources) -> Resources {
        for missing in &self.missing {
            withhold(&mut free, missing.clone());
        }
        free
    }
}

/// What is held of what is not there, whoever it is reserved for. Revocable resources
/// are none: they are promised twice by their nature.
pub(crate) fn missing(total: &Resources, held: &Resources) -> Resources {
    let there = |volume: &Resource| total.iter().any(|mine| mine.same_object(volume));
    let lost = &held.non_shared() - total;
    let lost = lost.into_iter().chain(held.shared().into_iter().filter(|volume| !there(volume)));
    lost.filter(|resource| !resource.is_revocable()).map(bare).collect()
}

/// The resource without what operations made of it.
fn bare(resource: Resource) -> Resource {
    resource.without_volume().with_reservations(Vec::new()).with_allocation(None)
}

/// Takes as much off `free` as is missing: first of what is unreserved, last of volumes.
fn withhold(free: &mut Resources, mut missing: Resource) {
    let of_same = free.iter().filter(|one| !one.is_shared() && !one.is_revocable());
    let mut of_same: Vec<_> =
        of_same.filter(|one| bare((*one).clone()).same_kind(&missing)).cloned().collect();
    of_same.sort_by_key(|one| (one.is_persistent_volume(), one.reservation_role().cloned()));
    for one in of_same {
        let Some(common) = common(one.value(), missing.value()) else { continue };
        // Whole things go whole.
        let taken = if one.is_indivisible() { one } else { one.with_value(common.clone()) };
        free.take(&taken);
        let mut rest = Resources::from(missing.clone());
        rest.take(&missing.with_value(common));
        match rest.into_iter().next() {
            Some(rest) => missing = rest,
            None => return,
        }
    }
}

/// What both have; none where that is nothing.
fn common(one: &Value, other: &Value) -> Option<Value> {
    let both = match (one, other) {
        (Value::Scalar(one), Value::Scalar(other)) => Value::Scalar(*one.min(other)),
        (Value::Ranges(one), Value::Ranges(other)) => Value::Ranges(one.difference(&one.difference(other))),
        (Value::Set(one), Value::Set(other)) => Value::Set(one.difference(&one.difference(other))),
        (Value::Scalar(_) | Value::Ranges(_) | Value::Set(_), _) => return None,
    };
    (!both.is_empty()).then_some(both)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Resources {
        Resources::parse(text, "*").expect("parses")
    }

    #[test]
    fn what_is_in_use_is_not_free_under_another_name() {
        for (total, held, spare) in [
            ("cpus:4;mem:8", "cpus:1", "cpus:3;mem:8"),
            // A reservation that is gone, and one for another role instead.
            ("cpus:4", "cpus(eng):1", "cpus:3"),
            ("cpus:1;cpus(ops):3", "cpus(eng):2", "cpus(ops):2"),
            // Less of everything.
            ("cpus:2;cpus(eng):2", "cpus:3", "cpus(eng):1"),
            ("cpus:2", "cpus:1;cpus(eng):5", ""),
            ("ports:[1-9]", "ports(eng):[3-4]", "ports:[1-2,5-9]"),
            ("ports:[1-9]", "ports(eng):[8-12];ports:[1-1]", "ports:[2-7]"),
            ("gear:{a,b};gear(ops):{c}", "gear(eng):{b,c}", "gear:{a}"),
            ("mem:4", "cpus(eng):1", "mem:4"),
        ] {
            let mut agent = Agent::new("S0".into(), crate::AgentOptions::default());
            agent.missing = missing(&parse(total), &parse(held));
            assert_eq!(agent.spare(&parse(total) - &parse(held)), parse(spare), "{held} of {total}");
        }
    }

    #[test]
    fn what_is_promised_twice_is_not_missed() {
        let revocable = |text| parse(text).map(|resource| resource.with_revocable(true));
        assert!(missing(&parse("cpus:4"), &revocable("cpus:2")).is_empty());
        assert!(missing(&revocable("cpus:1"), &revocable("cpus:2")).is_empty());
    }
}
