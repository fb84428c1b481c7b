//! `/state`: the whole agent in one document.

use agent_core::{ExecutorView, FrameworkView, View};
use daemon::VERSION;
use proto::json::{Names, Writer};
use proto::mesos::v1::framework_info::capability;
use resources::Resources;

use super::{model, quantities};
use crate::identity::Identity;

/// The whole document.
pub(crate) fn document(w: &mut Writer, view: &View, identity: &Identity) {
    let info = &view.info;
    w.object(|w| {
        VERSION.write_fields(w);
        w.field_f64("start_time", identity.start_time.as_secs_f64());
        w.field_str("id", info.id.as_ref().map_or("", |id| &id.value));
        w.field_str("pid", &identity.pid.to_string());
        w.field_str("hostname", &info.hostname);
        w.field_array("capabilities", |w| CAPABILITIES.iter().for_each(|name| w.string(name)));
        if let Some(place) = &info.domain {
            w.key("domain");
            model::domain(w, place);
        }
        drain(w, view);
        resources(w, view);
        w.field_array("resource_providers", |_| {});
        w.key("attributes");
        model::attributes(w, &info.attributes);
        if let Some(master) = &view.master {
            w.field_str("master_hostname", master.info.hostname());
        }
        for name in ["log_dir", "external_log_file"] {
            if let Some(value) = identity.flags.get(name) {
                w.field_str(name, value);
            }
        }
        w.field_object("flags", |w| identity.flags.iter().for_each(|(name, value)| w.field_str(name, value)));
        w.field_array("frameworks", |w| view.frameworks.iter().for_each(|it| framework(w, it)));
        w.field_array("completed_frameworks", |w| {
            view.completed_frameworks.iter().for_each(|it| framework(w, it));
        });
    });
}

/// What this agent can do, in the order of C++ Mesos. The core announces the same to the master.
const CAPABILITIES: [&str; 8] = [
    "MULTI_ROLE",
    "HIERARCHICAL_ROLE",
    "RESERVATION_REFINEMENT",
    "RESOURCE_PROVIDER",
    "RESIZE_VOLUME",
    "AGENT_OPERATION_FEEDBACK",
    "AGENT_DRAINING",
    "TASK_RESOURCE_LIMITS",
];

fn drain(w: &mut Writer, view: &View) {
    let Some(drain) = &view.drain else { return };
    w.field_message("drain_config", &drain.config, Names::V0);
    if let Some(since) = drain.since {
        w.field_i64("estimated_drain_start_time_seconds", since.as_nanos() / 1_000_000_000);
    }
}

fn resources(w: &mut Writer, view: &View) {
    let total = &view.total;
    quantities::field(w, "resources", total);
    quantities::reserved(w, "reserved_resources", total);
    quantities::field(w, "unreserved_resources", &total.unreserved());
    w.field_object("reserved_resources_full", |w| {
        for role in total.reservation_roles() {
            quantities::full(w, role.as_str(), &total.reserved_to(&role));
        }
    });
    quantities::full(w, "unreserved_resources_full", &total.unreserved());
    let allocated = allocated(view);
    quantities::reserved(w, "reserved_resources_allocated", &allocated);
    quantities::field(w, "unreserved_resources_allocated", &allocated.unreserved());
}

/// What all executors here may use.
pub(crate) fn allocated(view: &View) -> Resources {
    let executors = view.frameworks.iter().flat_map(|framework| &framework.executors);
    let mut sum = Resources::new();
    for executor in executors {
        for resource in Resources::from_checked_protos(&executor.resources).iter() {
            sum.push(resource.clone());
        }
    }
    sum
}

fn framework(w: &mut Writer, framework: &FrameworkView) {
    let info = &framework.info;
    w.object(|w| {
        w.field_str("id", framework.id.as_str());
        w.field_str("name", &info.name);
        w.field_str("user", &info.user);
        w.field_f64("failover_timeout", info.failover_timeout());
        w.field_bool("checkpoint", info.checkpoint());
        w.field_str("hostname", info.hostname());
        if let Some(principal) = &info.principal {
            w.field_str("principal", principal);
        }
        let has_roles = info.capabilities.iter().any(|it| it.r#type() == capability::Type::MultiRole);
        if has_roles {
            w.field_array("roles", |w| info.roles.iter().for_each(|role| w.string(role)));
        } else {
            w.field_str("role", info.role());
        }
        w.field_array("executors", |w| framework.executors.iter().for_each(|it| executor(w, it)));
        w.field_array("completed_executors", |w| {
            framework.completed_executors.iter().for_each(|it| executor(w, it));
        });
    });
}

fn executor(w: &mut Writer, executor: &ExecutorView) {
    let info = &executor.info;
    w.object(|w| {
        w.field_str("id", executor.id.as_str());
        w.field_str("name", info.name());
        w.field_str("source", info.source());
        w.field_str("container", &executor.container.value);
        w.field_str("directory", &executor.directory);
        quantities::field_of(w, "resources", &executor.resources);
        if !info.resources.is_empty() {
            w.field_str("role", model::allocation_role(&info.resources));
        }
        if let Some(list) = &info.labels {
            w.key("labels");
            model::labels(w, list);
        }
        if info.r#type.is_some() {
            w.field_str("type", info.r#type().as_str_name());
        }
        w.field_array("tasks", |w| executor.launched.iter().for_each(|task| model::task(w, task)));
        w.field_array("queued_tasks", |w| {
            executor.queued.iter().for_each(|task| model::queued_task(w, task));
        });
        // COMPAT(mesos): tasks whose last update waits to be acknowledged are shown as completed.
        w.field_array("completed_tasks", |w| {
            let ended = executor.completed.iter().chain(&executor.terminated);
            ended.for_each(|task| model::task(w, task));
        });
    });
}
