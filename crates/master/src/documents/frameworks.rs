//! `/frameworks`, and a framework's entry in `/state` and `/state-summary`.

use http::Query;
use master_core::{FrameworkView, View};
use proto::json::{Names, Writer};
use proto::mesos::v1::framework_info::capability;
use proto::mesos::v1::scheduler::OfferConstraints;
use resources::Resources;

use super::{model, quantities};

/// The whole of `/frameworks`.
pub(crate) fn document(w: &mut Writer, view: &View, query: &Query) {
    let wanted = query.get("framework_id");
    w.object(|w| {
        lists(w, view, wanted);
        // COMPAT(mesos): there are no such frameworks any more; the member stays for old readers.
        w.field_array("unregistered_frameworks", |_| {});
    });
}

/// The members `frameworks` and `completed_frameworks`.
pub(crate) fn lists(w: &mut Writer, view: &View, wanted: Option<&str>) {
    for (key, frameworks) in
        [("frameworks", &view.frameworks), ("completed_frameworks", &view.completed_frameworks)]
    {
        w.field_array(key, |w| {
            for framework in frameworks {
                if wanted.is_none_or(|id| framework.id.as_str() == id) {
                    full(w, framework);
                }
            }
        });
    }
}

/// What `/state-summary` says of a framework, before its counts.
pub(crate) fn summary_fields(w: &mut Writer, framework: &FrameworkView) {
    w.field_str("id", framework.id.as_str());
    w.field_str("name", &framework.info.name);
    if let Some(pid) = &framework.pid {
        w.field_str("pid", &pid.to_string());
    }
    quantities::field(w, "used_resources", &used(framework));
    quantities::field(w, "offered_resources", &framework.offered);
    w.field_array("capabilities", |w| {
        framework.info.capabilities.iter().for_each(|capability| w.string(capability.r#type().as_str_name()));
    });
    w.field_str("hostname", framework.info.hostname());
    w.field_str("webui_url", framework.info.webui_url());
    w.field_bool("active", framework.active);
    w.field_bool("connected", framework.connected);
    w.field_bool("recovered", framework.recovered);
}

/// What a framework uses on all agents.
pub(crate) fn used(framework: &FrameworkView) -> Resources {
    let mut sum = Resources::new();
    for resource in framework.used.values().flat_map(Resources::iter) {
        sum.push(resource.clone());
    }
    sum
}

/// Whether a framework knows several roles.
pub(crate) fn is_multi_role(framework: &FrameworkView) -> bool {
    framework.info.capabilities.iter().any(|one| one.r#type() == capability::Type::MultiRole)
}

/// The roles of a framework.
pub(crate) fn roles(framework: &FrameworkView) -> Vec<&str> {
    if is_multi_role(framework) {
        framework.info.roles.iter().map(String::as_str).collect()
    } else {
        vec![framework.info.role()]
    }
}

fn full(w: &mut Writer, framework: &FrameworkView) {
    let info = &framework.info;
    w.object(|w| {
        summary_fields(w, framework);
        w.field_str("user", &info.user);
        w.field_f64("failover_timeout", info.failover_timeout());
        w.field_bool("checkpoint", info.checkpoint());
        w.field_f64("registered_time", framework.registered_time.as_secs_f64());
        w.field_f64("unregistered_time", framework.unregistered_time.as_secs_f64());
        if let Some(principal) = &info.principal {
            w.field_str("principal", principal);
        }
        let mut all = used(framework);
        framework.offered.iter().for_each(|resource| all.push(resource.clone()));
        quantities::field(w, "resources", &all);
        if framework.reregistered_time != framework.registered_time {
            w.field_f64("reregistered_time", framework.reregistered_time.as_secs_f64());
        }
        if is_multi_role(framework) {
            w.field_array("roles", |w| info.roles.iter().for_each(|role| w.string(role)));
        } else {
            w.field_str("role", info.role());
        }
        work(w, framework);
        if let Some(labels) = &info.labels {
            w.key("labels");
            model::labels(w, labels);
        }
        w.key("offer_constraints");
        match &framework.offer_constraints {
            Some(constraints) => proto::json::Json::write_json(constraints.as_ref(), w, Names::V0),
            None => proto::json::Json::write_json(&OfferConstraints::default(), w, Names::V0),
        }
    });
}

/// Tasks, offers and executors.
fn work(w: &mut Writer, framework: &FrameworkView) {
    w.field_array("tasks", |w| framework.tasks.iter().for_each(|task| model::task(w, task)));
    w.field_array("unreachable_tasks", |w| {
        framework.unreachable_tasks.iter().for_each(|task| model::task(w, task));
    });
    w.field_array("completed_tasks", |w| {
        framework.completed_tasks.iter().for_each(|task| model::task(w, task));
    });
    w.field_array("offers", |w| framework.offers.iter().for_each(|offer| model::offer(w, offer)));
    w.field_array("executors", |w| {
        for (agent, executors) in &framework.executors {
            executors.values().for_each(|info| model::executor(w, info, agent.as_str()));
        }
    });
}
