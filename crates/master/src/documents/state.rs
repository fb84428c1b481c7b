//! `/state`: the whole cluster in one document.

use daemon::VERSION;
use master_core::View;
use proto::json::Writer;

use super::{agents, frameworks, model};
use crate::identity::Identity;

/// The whole document.
pub(crate) fn document(w: &mut Writer, view: &View, identity: &Identity) {
    let master = &view.config.master;
    w.object(|w| {
        VERSION.write_fields(w);
        w.field_f64("start_time", identity.start_time.as_secs_f64());
        if let Some(time) = view.elected_time {
            w.field_f64("elected_time", time.as_secs_f64());
        }
        w.field_str("id", &master.id);
        w.field_str("pid", master.pid());
        w.field_str("hostname", master.hostname());
        w.field_array("capabilities", |w| {
            master.capabilities.iter().for_each(|capability| w.string(capability.r#type().as_str_name()));
        });
        counts(w, view);
        if let Some(domain) = &master.domain {
            w.key("domain");
            model::domain(w, domain);
        }
        // A view is only ever taken of the leader.
        w.field_str("leader", master.pid());
        w.key("leader_info");
        model::master_info(w, master);
        identity.write_flags(w);
        w.field_array("slaves", |w| {
            view.agents.iter().for_each(|agent| w.object(|w| agents::fields(w, agent)));
        });
        agents::recovered(w, view, None);
        frameworks::lists(w, view, None);
        // COMPAT(mesos): neither exists any more; the members stay for old readers.
        w.field_array("orphan_tasks", |_| {});
        w.field_array("unregistered_frameworks", |_| {});
    });
}

#[expect(clippy::cast_precision_loss, reason = "numbers of agents are far below 2^53")]
fn counts(w: &mut Writer, view: &View) {
    let active = view.agents.iter().filter(|agent| agent.active).count();
    w.field_f64("activated_slaves", active as f64);
    w.field_f64("deactivated_slaves", (view.agents.len() - active) as f64);
    w.field_f64("unreachable_slaves", view.unreachable_agents as f64);
}
