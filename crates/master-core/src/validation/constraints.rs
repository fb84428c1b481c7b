//! Offer constraints: from the message to what the allocator asks. The refusals are
//! those of Mesos.

use std::collections::BTreeMap;
use std::sync::Arc;

use allocator::{Constraint, Constraints, Pattern, PatternLimits, Predicate, Selector};
use proto::mesos::v1::scheduler::attribute_constraint::selector::PseudoattributeType;
use proto::mesos::v1::scheduler::attribute_constraint::{self, Predicate as Wanted};
use proto::mesos::v1::scheduler::{AttributeConstraint, OfferConstraints};
use types::Role;

/// Constraints by role.
pub(crate) type ByRole = BTreeMap<Role, Arc<Constraints>>;

/// Checks and compiles a framework's constraints.
pub(crate) fn constraints(all: &OfferConstraints, limits: PatternLimits) -> Result<ByRole, String> {
    let mut by_role = ByRole::new();
    for (role, constraints) in &all.role_constraints {
        if constraints.groups.is_empty() {
            return Err(format!(
                "'OfferConstraints::role_constraints' has an empty 'RoleConstraints::groups' for role {role}"
            ));
        }
        let mut groups = Vec::new();
        for group in &constraints.groups {
            if group.attribute_constraints.is_empty() {
                // COMPAT(mesos): without a space before the verb.
                return Err(format!(
                    "'OfferConstraints::RoleConstraints::groups' for role {role}contains an empty RoleConstraints::Group"
                ));
            }
            let group = group.attribute_constraints.iter().map(|one| constraint(one, limits));
            let group = group
                .collect::<Result<Vec<_>, _>>()
                .map_err(|why| format!("A role {role} has an invalid 'AttributeConstraint': {why}"))?;
            groups.push(group);
        }
        by_role.insert(Role::from(role.as_str()), Arc::new(Constraints { groups }));
    }
    Ok(by_role)
}

fn constraint(wanted: &AttributeConstraint, limits: PatternLimits) -> Result<Constraint, String> {
    Ok(Constraint { selector: selector(&wanted.selector)?, predicate: predicate(&wanted.predicate, limits)? })
}

fn selector(wanted: &attribute_constraint::Selector) -> Result<Selector, String> {
    match (&wanted.attribute_name, wanted.pseudoattribute_type) {
        (Some(name), None) => Ok(Selector::Attribute(name.clone())),
        (None, Some(_)) => match wanted.pseudoattribute_type() {
            PseudoattributeType::Hostname => Ok(Selector::Hostname),
            PseudoattributeType::Region => Ok(Selector::Region),
            PseudoattributeType::Zone => Ok(Selector::Zone),
            PseudoattributeType::Unknown => Err("Unknown pseudoattribute type".to_owned()),
        },
        (None, None) | (Some(_), Some(_)) => Err("Exactly one of 'AttributeConstraint::Selector::name' or \
             'AttributeConstraint::Selector::pseudoattribute_type' must be set"
            .to_owned()),
    }
}

fn predicate(wanted: &Wanted, limits: PatternLimits) -> Result<Predicate, String> {
    let pattern = |regex: &str| Pattern::new(regex, limits).map_err(|why| why.to_string());
    let mut set = Vec::new();
    let Wanted { exists, not_exists, text_equals, text_not_equals, text_matches, text_not_matches } = wanted;
    set.extend(exists.as_ref().map(|_| Predicate::Exists));
    set.extend(not_exists.as_ref().map(|_| Predicate::NotExists));
    set.extend(text_equals.as_ref().map(|equals| Predicate::TextEquals(equals.value.clone())));
    set.extend(text_not_equals.as_ref().map(|equals| Predicate::TextNotEquals(equals.value.clone())));
    if let Some(matches) = text_matches {
        set.push(Predicate::TextMatches(pattern(&matches.regex)?));
    }
    if let Some(matches) = text_not_matches {
        set.push(Predicate::TextNotMatches(pattern(&matches.regex)?));
    }
    match (set.pop(), set.is_empty()) {
        (Some(only), true) => Ok(only),
        _ => Err("Unknown predicate type".to_owned()),
    }
}
