//! `/slaves`, and an agent's entry in `/state` and `/state-summary`.

use http::Query;
use master_core::{AgentView, View};
use proto::json::{Json as _, Names, Writer};
use resources::Resources;

use super::{model, quantities};

/// The whole of `/slaves`.
pub(crate) fn document(w: &mut Writer, view: &View, query: &Query) {
    let wanted = query.get("slave_id");
    w.object(|w| {
        w.field_array("slaves", |w| {
            for agent in view.agents.iter().filter(|agent| wanted.is_none_or(|id| agent.id.as_str() == id)) {
                w.object(|w| {
                    fields(w, agent);
                    full_fields(w, agent);
                });
            }
        });
        recovered(w, view, wanted);
    });
}

/// The agents of the registry that have not come back, as a member `recovered_slaves`.
pub(crate) fn recovered(w: &mut Writer, view: &View, wanted: Option<&str>) {
    w.field_array("recovered_slaves", |w| {
        for info in &view.recovered_agents {
            let id = info.id.as_ref().map_or("", |id| id.value.as_str());
            if wanted.is_none_or(|wanted| wanted == id) {
                w.object(|w| model::agent_info_fields(w, info));
            }
        }
    });
}

/// What all three documents say of an agent.
pub(crate) fn fields(w: &mut Writer, agent: &AgentView) {
    model::agent_info_fields(w, &agent.info);
    w.field_str("pid", &agent.pid.to_string());
    w.field_f64("registered_time", agent.registered_time.as_secs_f64());
    if let Some(time) = agent.reregistered_time {
        w.field_f64("reregistered_time", time.as_secs_f64());
    }
    quantities::field(w, "resources", &agent.total);
    quantities::field(w, "used_resources", &used(agent));
    quantities::field(w, "offered_resources", &agent.offered);
    w.field_object("reserved_resources", |w| {
        for role in agent.total.reservation_roles() {
            quantities::field(w, role.as_str(), &agent.total.reserved_to(&role));
        }
    });
    quantities::field(w, "unreserved_resources", &agent.total.unreserved());
    w.field_bool("active", agent.active);
    w.field_bool("deactivated", agent.deactivated);
    w.field_str("version", &agent.version);
    w.field_array("capabilities", |w| {
        agent.capabilities.iter().for_each(|capability| w.string(capability.as_str_name()));
    });
    if let Some(info) = &agent.drain_info {
        w.field_message("drain_info", info, Names::V0);
        if let Some(time) = agent.drain_started {
            w.field_f64("estimated_drain_start_time_seconds", time.as_secs_f64());
        }
    }
}

/// What all frameworks together use of an agent.
pub(crate) fn used(agent: &AgentView) -> Resources {
    let mut sum = Resources::new();
    for resource in agent.used.values().flat_map(Resources::iter) {
        sum.push(resource.clone());
    }
    sum
}

/// Resources one by one, which only `/slaves` shows.
fn full_fields(w: &mut Writer, agent: &AgentView) {
    w.field_object("reserved_resources_full", |w| {
        for role in agent.total.reservation_roles() {
            full(w, role.as_str(), &agent.total.reserved_to(&role));
        }
    });
    full(w, "unreserved_resources_full", &agent.total.unreserved());
    full(w, "used_resources_full", &used(agent));
    full(w, "offered_resources_full", &agent.offered);
}

fn full(w: &mut Writer, key: &str, resources: &Resources) {
    w.field_array(key, |w| {
        quantities::for_endpoint(resources).iter().for_each(|resource| resource.write_json(w, Names::V0));
    });
}
