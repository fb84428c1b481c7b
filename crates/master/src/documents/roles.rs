//! `/roles`, and the same facts for GET_ROLES.

use std::collections::{BTreeMap, BTreeSet};

use master_core::View;
use proto::json::Writer;
use proto::mesos::v1;
use resources::{Quantities, Resources};
use types::{FrameworkId, Role};

use super::{frameworks, quantities};

/// One role that something in the cluster mentions.
pub(crate) struct Known {
    /// Its name.
    pub(crate) role: Role,
    /// Its weight: 1 unless somebody set it.
    pub(crate) weight: f64,
    /// The frameworks subscribed to it, or with something allocated in it.
    pub(crate) frameworks: BTreeSet<FrameworkId>,
    /// What its frameworks and those of roles below use.
    pub(crate) allocated: Quantities,
    /// What they are offered.
    pub(crate) offered: Quantities,
    /// What is reserved to it and to roles below.
    pub(crate) reserved: Quantities,
    /// What counts against its quota: used, or reserved and not used.
    pub(crate) consumed: Quantities,
}

/// Every role with frameworks, reservations or a weight, and all roles above those, by name.
pub(crate) fn known(view: &View) -> Vec<Known> {
    let mut names: BTreeMap<Role, BTreeSet<FrameworkId>> = BTreeMap::new();
    for framework in &view.frameworks {
        let subscribed = frameworks::roles(framework).into_iter().map(Role::new);
        let used = framework.used.values().flat_map(Resources::allocation_roles);
        let offered = framework.offered.allocation_roles();
        for role in subscribed.chain(used).chain(offered) {
            names.entry(role).or_default().insert(framework.id.clone());
        }
    }
    for role in view.agents.iter().flat_map(|agent| agent.total.reservation_roles()) {
        names.entry(role).or_default();
    }
    for role in view.weights.keys() {
        names.entry(role.clone()).or_default();
    }
    for role in names.keys().cloned().collect::<Vec<_>>() {
        for (slash, _) in role.as_str().match_indices('/') {
            names.entry(Role::new(&role.as_str()[..slash])).or_default();
        }
    }
    names.into_iter().map(|(role, frameworks)| breakdown(view, role, frameworks)).collect()
}

fn breakdown(view: &View, role: Role, frameworks: BTreeSet<FrameworkId>) -> Known {
    let mut allocated = Quantities::new();
    let mut offered = Quantities::new();
    for framework in &view.frameworks {
        for used in framework.used.values() {
            allocated += &Quantities::of(&used.allocated_within(&role));
        }
        offered += &Quantities::of(&framework.offered.allocated_within(&role));
    }
    let mut reserved = Quantities::new();
    let mut consumed = allocated.clone();
    for agent in &view.agents {
        let total = Quantities::of(&agent.total.reserved_within(&role));
        reserved += &total;
        let mut idle = total;
        for used in agent.used.values() {
            idle -= &Quantities::of(&used.reserved_within(&role));
        }
        consumed += &idle;
    }
    let weight = view.weights.get(&role).copied().unwrap_or(1.0);
    Known { role, weight, frameworks, allocated, offered, reserved, consumed }
}

/// The whole of `/roles`.
pub(crate) fn document(w: &mut Writer, view: &View) {
    w.object(|w| {
        w.field_array("roles", |w| {
            for known in known(view) {
                w.object(|w| fields(w, &known));
            }
        });
    });
}

fn fields(w: &mut Writer, known: &Known) {
    w.field_str("name", known.role.as_str());
    w.field_f64("weight", known.weight);
    w.field_object("quota", |w| {
        w.field_str("role", known.role.as_str());
        w.field_object("guarantee", |_| {});
        w.field_object("limit", |_| {});
        quantities::field_quantities(w, "consumed", &known.consumed);
    });
    let mut all = known.allocated.clone();
    all += &known.offered;
    quantities::field_quantities(w, "resources", &all);
    quantities::field_quantities(w, "allocated", &known.allocated);
    quantities::field_quantities(w, "offered", &known.offered);
    quantities::field_quantities(w, "reserved", &known.reserved);
    w.field_array("frameworks", |w| known.frameworks.iter().for_each(|id| w.string(id.as_str())));
}

/// A role as GET_ROLES tells it: only the four resources that every agent has.
pub(crate) fn message(known: &Known) -> v1::Role {
    let mut all = known.allocated.clone();
    all += &known.offered;
    let resources = all
        .iter()
        .filter(|(name, _)| matches!(name.as_str(), "cpus" | "mem" | "disk" | "gpus"))
        .map(|(name, scalar)| v1::Resource {
            name: name.as_str().to_owned(),
            r#type: v1::value::Type::Scalar as i32,
            scalar: Some(v1::value::Scalar { value: scalar.as_f64() }),
            ..v1::Resource::default()
        });
    v1::Role {
        name: known.role.as_str().to_owned(),
        weight: known.weight,
        frameworks: known.frameworks.iter().map(Into::into).collect(),
        resources: resources.collect(),
    }
}
