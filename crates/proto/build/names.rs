//! How a name of the schema is spelt: in Rust (as prost spells it) and in the
//! v0 dialect of JSON.

use heck::{ToSnakeCase, ToUpperCamelCase};

/// The words that prost writes as raw identifiers and that our schema may use.
const KEYWORDS: [&str; 14] = [
    "type", "ref", "move", "match", "use", "loop", "final", "virtual", "abstract", "override", "mod", "in",
    "box", "gen",
];

/// The Rust name of a field.
pub(crate) fn field_ident(name: &str) -> String {
    let snake = name.to_snake_case();
    if KEYWORDS.contains(&snake.as_str()) { format!("r#{snake}") } else { snake }
}

/// The Rust path of a message, relative to the generated module.
pub(crate) fn rust_path(package: &str, nesting: &[&str]) -> String {
    if package == "google.protobuf" {
        return format!("::prost_types::{}", nesting.join("::"));
    }
    let (last, outer) = nesting.split_last().expect("a message has a name");
    let mut parts: Vec<String> = package.split('.').map(field_ident).collect();
    parts.extend(outer.iter().map(|name| field_ident(name)));
    parts.push(last.to_upper_camel_case());
    parts.join("::")
}

/// The v0 name of a field of `message`. Messages of `mesos.internal` and the
/// other packages already carry the v0 names.
pub(crate) fn v0_field(message: &str, field: &str) -> &'static str {
    match field {
        "agent_id" if message.starts_with("mesos.v1.") && message != "mesos.v1.master.Event.AgentRemoved" => {
            "slave_id"
        }
        "agent_info"
            if matches!(
                message,
                "mesos.v1.agent.Response.GetAgent" | "mesos.v1.executor.Event.Subscribed"
            ) =>
        {
            "slave_info"
        }
        _ => "",
    }
}

/// The v0 name of a value of the enum `name`.
pub(crate) fn v0_value(name: &str, value: &str) -> String {
    match name {
        "mesos.v1.TaskStatus.Source" | "mesos.v1.TaskStatus.Reason" => value.replace("_AGENT", "_SLAVE"),
        _ => value.to_owned(),
    }
}

/// Whether v1 lacks the field, which we keep since the internal messages have it.
pub(crate) fn v0_only(message: &str, field: &str) -> bool {
    message == "mesos.v1.AgentInfo" && field == "checkpoint"
}

/// Whether the lists of a message show up even when empty: its documents are written
/// by hand in C++ Mesos, field by field, when they answer a read.
pub(crate) fn lists_printed_empty(message: &str) -> bool {
    let answers = ["mesos.v1.master.Response.", "mesos.v1.agent.Response."];
    let answer = answers.iter().find_map(|prefix| message.strip_prefix(prefix));
    matches!(answer, Some("GetAgents" | "GetExecutors" | "GetFrameworks" | "GetTasks"))
}
