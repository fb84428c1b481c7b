//! The parts that only the master's documents have: offers, agents' descriptions, executors with their agents.
//!
//! Each function prints members in the order of C++ Mesos, under the v0 names. It looks at the message it is given
//! and at nothing else.

pub(crate) use daemon::documents::{allocation_role, attributes, command, domain, labels, task};
use master_core::OfferView;
use proto::json::Writer;
use proto::mesos::v1;

use super::quantities;

/// The members that describe an agent by itself.
pub(crate) fn agent_info_fields(w: &mut Writer, info: &v1::AgentInfo) {
    w.field_str("id", info.id.as_ref().map_or("", |id| &id.value));
    w.field_str("hostname", &info.hostname);
    w.field_i64("port", i64::from(info.port()));
    w.key("attributes");
    attributes(w, &info.attributes);
    if let Some(place) = &info.domain {
        w.key("domain");
        domain(w, place);
    }
}

/// The leader as other masters know it.
pub(crate) fn master_info(w: &mut Writer, info: &v1::MasterInfo) {
    w.object(|w| {
        w.field_str("id", &info.id);
        w.field_str("pid", info.pid());
        w.field_u64("port", u64::from(info.port));
        w.field_str("hostname", info.hostname());
        if let Some(place) = &info.domain {
            w.key("domain");
            domain(w, place);
        }
    });
}

/// An executor and the agent it runs on.
pub(crate) fn executor(w: &mut Writer, info: &v1::ExecutorInfo, agent_id: &str) {
    w.object(|w| {
        w.field_str("executor_id", &info.executor_id.value);
        w.field_str("name", info.name());
        w.field_str("framework_id", info.framework_id.as_ref().map_or("", |id| &id.value));
        w.key("command");
        command(w, info.command.as_ref().unwrap_or(&v1::CommandInfo::default()));
        quantities::field_of(w, "resources", &info.resources);
        if !info.resources.is_empty() {
            w.field_str("role", allocation_role(&info.resources));
        }
        if let Some(list) = &info.labels {
            w.key("labels");
            labels(w, list);
        }
        if info.r#type.is_some() {
            w.field_str("type", info.r#type().as_str_name());
        }
        w.field_str("slave_id", agent_id);
    });
}

/// An offer as a framework's entry shows it.
pub(crate) fn offer(w: &mut Writer, offer: &OfferView) {
    w.object(|w| {
        w.field_str("id", offer.id.as_str());
        w.field_str("framework_id", offer.framework.as_str());
        w.field_object("allocation_info", |w| w.field_str("role", offer.role.as_str()));
        w.field_str("slave_id", offer.agent.as_str());
        quantities::field(w, "resources", &offer.resources);
    });
}
