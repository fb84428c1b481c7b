//! `/hierarchical-allocator(1)/offer_constraints_debug`: which agents the offer constraints of frameworks exclude.

use master_core::View;
use proto::json::Writer;

/// Prints the frameworks by id, in what roles each wants no offers, and by role the agents it excludes.
pub(crate) fn document(w: &mut Writer, view: &View) {
    w.object(|w| {
        w.field_object("frameworks", |w| {
            for framework in &view.frameworks {
                w.field_object(framework.id.as_str(), |w| {
                    w.field_array("suppressed_roles", |w| {
                        framework.suppressed_roles.iter().for_each(|role| w.string(role.as_str()));
                    });
                    w.field_object("excluded_by_attribute_constraints", |w| {
                        for (role, agents) in view.excluded_agents(framework) {
                            w.field_array(role.as_str(), |w| {
                                agents.iter().for_each(|id| w.string(id.as_str()))
                            });
                        }
                    });
                });
            }
        });
    });
}
