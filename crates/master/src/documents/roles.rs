//! `/roles`, and the same facts for GET_ROLES.

use std::collections::{BTreeMap, BTreeSet};

use master_core::{AgentView, FrameworkView, Quota, View};
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
    /// Its quota.
    pub(crate) quota: Quota,
}

/// Every role with frameworks, reservations, quota or a weight, and all roles above those,
/// by name. One pass over what there is, however many roles there are.
pub(crate) fn known(view: &View) -> Vec<Known> {
    let mut roles = Roles::default();
    for framework in &view.frameworks {
        for role in frameworks::roles(framework) {
            roles.entry(role).frameworks.insert(framework.id.clone());
        }
        for used in framework.used.values() {
            roles.add(framework, used, |known, amounts| {
                known.allocated += amounts;
                known.consumed += amounts;
            });
        }
        roles.add(framework, &framework.offered, |known, amounts| known.offered += amounts);
    }
    for agent in &view.agents {
        roles.reserve(agent);
    }
    for (role, quota) in view.quotas.iter() {
        roles.entry(role.as_str()).quota = quota.clone();
    }
    for (role, weight) in view.weights.iter() {
        roles.entry(role.as_str()).weight = *weight;
    }
    roles.all.into_values().collect()
}

#[derive(Default)]
struct Roles {
    all: BTreeMap<Role, Known>,
}

/// A role and those above it, the top first.
fn upwards(role: &str) -> impl Iterator<Item = &str> {
    role.match_indices('/').map(|(slash, _)| &role[..slash]).chain([role])
}

impl Roles {
    /// What is known of a role; those above it are made as well where missing.
    fn entry(&mut self, role: &str) -> &mut Known {
        if !self.all.contains_key(role) {
            for name in upwards(role) {
                self.all.entry(Role::new(name)).or_insert_with_key(|role| Known::new(role.clone()));
            }
        }
        self.all.get_mut(role).expect("it was made just before")
    }

    /// Counts what a framework has, in each role and in those above it.
    fn add(&mut self, framework: &FrameworkView, all: &Resources, add: impl Fn(&mut Known, &Quantities)) {
        for role in all.allocation_roles() {
            let amounts = Quantities::of(&all.allocated_to(&role));
            self.entry(role.as_str()).frameworks.insert(framework.id.clone());
            for name in upwards(role.as_str()) {
                add(self.entry(name), &amounts);
            }
        }
    }

    /// Counts an agent's reservations.
    fn reserve(&mut self, agent: &AgentView) {
        let roles = agent.total.reservation_roles();
        let names: BTreeSet<Role> =
            roles.iter().flat_map(|role| upwards(role.as_str()).map(Role::new)).collect();
        for role in names {
            let total = Quantities::of(&agent.total.reserved_within(&role));
            let mut idle = total.clone();
            for used in agent.used.values() {
                idle -= &Quantities::of(&used.reserved_within(&role));
            }
            let known = self.entry(role.as_str());
            known.reserved += &total;
            known.consumed += &idle;
        }
    }
}

impl Known {
    fn new(role: Role) -> Self {
        Self {
            role,
            weight: 1.0,
            frameworks: BTreeSet::new(),
            allocated: Quantities::new(),
            offered: Quantities::new(),
            reserved: Quantities::new(),
            consumed: Quantities::new(),
            quota: Quota::default(),
        }
    }
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
        quantities::field_quantities(w, "guarantee", &known.quota.guarantees);
        w.field_object("limit", |w| {
            known.quota.limits.iter().for_each(|(name, bound)| w.field_f64(name.as_str(), bound.as_f64()));
        });
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
