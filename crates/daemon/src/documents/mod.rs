//! The parts that the v0 documents of masters and agents are made of: tasks, statuses, commands, attributes, resources.
//!
//! Each function prints members in the order of C++ Mesos, under the v0 names. It looks at the message it is given
//! and at nothing else.

pub mod quantities;

use proto::json::{Json as _, Names, Writer};
use proto::mesos::v1;
use resources::SummaryValue;

/// An attribute list as an object: one member per attribute.
pub fn attributes(w: &mut Writer, attributes: &[v1::Attribute]) {
    w.object(|w| {
        for attribute in attributes {
            match resources::attributes::summary(attribute) {
                SummaryValue::Number(scalar) => w.field_f64(&attribute.name, scalar.as_f64()),
                SummaryValue::Text(text) => w.field_str(&attribute.name, &text),
            }
        }
    });
}

/// Where a master or an agent stands.
pub fn domain(w: &mut Writer, domain: &v1::DomainInfo) {
    w.object(|w| {
        if let Some(fault_domain) = &domain.fault_domain {
            w.field_object("fault_domain", |w| {
                w.field_object("region", |w| w.field_str("name", &fault_domain.region.name));
                w.field_object("zone", |w| w.field_str("name", &fault_domain.zone.name));
            });
        }
    });
}

/// Labels as an array.
pub fn labels(w: &mut Writer, labels: &v1::Labels) {
    w.array(|w| labels.labels.iter().for_each(|label| label.write_json(w, Names::V0)));
}

/// A task as `/state`, `/tasks` and `/frameworks` show it.
pub fn task(w: &mut Writer, task: &v1::Task) {
    w.object(|w| {
        w.field_str("id", &task.task_id.value);
        w.field_str("name", &task.name);
        w.field_str("framework_id", &task.framework_id.value);
        // COMPAT(mesos): a command task has no executor id of its own; the member is there all the same, empty.
        w.field_str("executor_id", task.executor_id.as_ref().map_or("", |id| &id.value));
        w.field_str("slave_id", &task.agent_id.value);
        w.field_str("state", task.state().as_str_name());
        quantities::field_of(w, "resources", &task.resources);
        if !task.limits.is_empty() {
            w.field_object("limits", |w| {
                for (name, scalar) in &task.limits {
                    w.field_f64(name, scalar.value);
                }
            });
        }
        // A task's resources are all allocated to one role.
        w.field_str("role", allocation_role(&task.resources));
        w.field_array("statuses", |w| task.statuses.iter().for_each(|status| task_status(w, status)));
        if let Some(user) = &task.user {
            w.field_str("user", user);
        }
        if let Some(list) = &task.labels {
            w.key("labels");
            labels(w, list);
        }
        if let Some(discovery) = &task.discovery {
            w.field_message("discovery", discovery, Names::V0);
        }
        if let Some(container) = &task.container {
            w.field_message("container", container, Names::V0);
        }
        if let Some(health_check) = &task.health_check {
            w.field_message("health_check", health_check, Names::V0);
        }
    });
}

/// The role that resources are allocated to; all of a task's or an executor's have the same.
pub fn allocation_role(resources: &[v1::Resource]) -> &str {
    resources.first().and_then(|first| first.allocation_info.as_ref()).map_or("", |info| info.role())
}

fn task_status(w: &mut Writer, status: &v1::TaskStatus) {
    w.object(|w| {
        w.field_str("state", status.state().as_str_name());
        w.field_f64("timestamp", status.timestamp());
        if let Some(list) = &status.labels {
            w.key("labels");
            labels(w, list);
        }
        if let Some(container) = &status.container_status {
            w.key("container_status");
            container_status(w, container);
        }
        if let Some(healthy) = status.healthy {
            w.field_bool("healthy", healthy);
        }
    });
}

fn container_status(w: &mut Writer, status: &v1::ContainerStatus) {
    w.object(|w| {
        if let Some(id) = &status.container_id {
            w.field_message("container_id", id, Names::V0);
        }
        if !status.network_infos.is_empty() {
            w.field_array("network_infos", |w| {
                status.network_infos.iter().for_each(|info| network_info(w, info));
            });
        }
        if let Some(info) = &status.cgroup_info {
            w.field_message("cgroup_info", info, Names::V0);
        }
    });
}

fn network_info(w: &mut Writer, info: &v1::NetworkInfo) {
    w.object(|w| {
        if !info.groups.is_empty() {
            w.field_array("groups", |w| info.groups.iter().for_each(|group| w.string(group)));
        }
        if let Some(list) = &info.labels {
            w.key("labels");
            labels(w, list);
        }
        if !info.ip_addresses.is_empty() {
            w.field_array("ip_addresses", |w| {
                info.ip_addresses.iter().for_each(|address| address.write_json(w, Names::V0));
            });
        }
        if let Some(name) = &info.name {
            w.field_str("name", name);
        }
        if !info.port_mappings.is_empty() {
            w.field_array("port_mappings", |w| {
                info.port_mappings.iter().for_each(|mapping| mapping.write_json(w, Names::V0));
            });
        }
    });
}

/// A command with its environment and its URIs.
pub fn command(w: &mut Writer, command: &v1::CommandInfo) {
    w.object(|w| {
        if let Some(shell) = command.shell {
            w.field_bool("shell", shell);
        }
        if let Some(value) = &command.value {
            w.field_str("value", value);
        }
        w.field_array("argv", |w| command.arguments.iter().for_each(|argument| w.string(argument)));
        if let Some(environment) = &command.environment {
            w.field_message("environment", environment, Names::V0);
        }
        w.field_array("uris", |w| {
            for uri in &command.uris {
                w.object(|w| {
                    w.field_str("value", &uri.value);
                    w.field_bool("executable", uri.executable());
                });
            }
        });
    });
}
