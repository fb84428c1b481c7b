//! The parts that the v0 documents share: tasks, statuses, executors, offers, agents' descriptions.
//!
//! Each function prints members in the order of C++ Mesos, under the v0 names. It looks at the message it is given
//! and at nothing else.

use master_core::OfferView;
use proto::json::{Json as _, Names, Writer};
use proto::mesos::v1::{self, value};

use super::quantities;

/// An attribute list as an object: one member per attribute.
pub(crate) fn attributes(w: &mut Writer, attributes: &[v1::Attribute]) {
    w.object(|w| {
        for attribute in attributes {
            match attribute.r#type() {
                value::Type::Scalar => {
                    w.field_f64(
                        &attribute.name,
                        attribute.scalar.as_ref().map_or(0.0, |scalar| scalar.value),
                    );
                }
                value::Type::Ranges => {
                    let text =
                        attribute.ranges.as_ref().map_or_else(|| "[]".to_owned(), quantities::ranges_text);
                    w.field_str(&attribute.name, &text);
                }
                value::Type::Set => {
                    let text = attribute.set.as_ref().map_or_else(|| "{}".to_owned(), quantities::set_text);
                    w.field_str(&attribute.name, &text);
                }
                value::Type::Text => {
                    w.field_str(&attribute.name, attribute.text.as_ref().map_or("", |text| &text.value));
                }
            }
        }
    });
}

/// Where a master or an agent stands.
pub(crate) fn domain(w: &mut Writer, domain: &v1::DomainInfo) {
    w.object(|w| {
        if let Some(fault_domain) = &domain.fault_domain {
            w.field_object("fault_domain", |w| {
                w.field_object("region", |w| w.field_str("name", &fault_domain.region.name));
                w.field_object("zone", |w| w.field_str("name", &fault_domain.zone.name));
            });
        }
    });
}

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

/// Labels as an array.
pub(crate) fn labels(w: &mut Writer, labels: &v1::Labels) {
    w.array(|w| labels.labels.iter().for_each(|label| label.write_json(w, Names::V0)));
}

/// A task as `/state`, `/tasks` and `/frameworks` show it.
pub(crate) fn task(w: &mut Writer, task: &v1::Task) {
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

fn allocation_role(resources: &[v1::Resource]) -> &str {
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

fn command(w: &mut Writer, command: &v1::CommandInfo) {
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
