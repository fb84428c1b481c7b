//! Whether an ACCEPT may use its offers: they are there, its framework's own, of one
//! agent and of one role.

use std::collections::BTreeSet;

use proto::mesos::v1::OfferId;
use types::FrameworkId;

use crate::offers::Offers;

pub(crate) fn offers(ids: &[OfferId], framework: &FrameworkId, live: &Offers) -> Result<(), String> {
    if ids.is_empty() {
        return Err("No offers specified".to_owned());
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = ids.iter().find(|id| !seen.insert(&id.value)) {
        return Err(format!("Duplicate offer {} in offer list", twice.value));
    }
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let offer = live.get(&id.value);
        found.push(offer.ok_or_else(|| format!("Offer {} is no longer valid", id.value))?);
    }
    if let Some(strange) = found.iter().find(|offer| offer.framework != *framework) {
        return Err(format!(
            "Offer {} has invalid framework {} while framework {framework} is expected",
            strange.id, strange.framework
        ));
    }
    let first = found[0];
    if let Some(other) = found.iter().find(|offer| offer.role != first.role) {
        // COMPAT(mesos): the quotes are as unbalanced there.
        return Err(format!(
            "Aggregated offers must be allocated to the same role. Offer {} uses role '{} but another is using role '{}",
            other.id, other.role, first.role
        ));
    }
    if let Some(other) = found.iter().find(|offer| offer.agent != first.agent) {
        return Err(format!(
            "Aggregated offers must belong to one single agent. Offer {} uses agent {} and agent {}",
            other.id, other.agent, first.agent
        ));
    }
    Ok(())
}
