//! All metrics of a view, by the names of Mesos (as observed of Mesos).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proto::mesos::v1::offer::operation;
use proto::mesos::v1::{OperationState, TaskState, scheduler};
use resources::{Name, Resources, Scalar};
use types::is_terminal;

use crate::view::{FrameworkView, View};

type Metrics = BTreeMap<String, f64>;

/// Every `master/` metric of the view but those of its process: `uptime_secs`,
/// `http_cache_hits` and the lengths of queues.
#[must_use]
pub fn snapshot(view: &View) -> Metrics {
    let mut out = Metrics::new();
    for (name, count) in view.counters.named() {
        out.insert(format!("master/{name}"), float(count));
    }
    for ((state, source, reason), count) in &view.counters.task_states {
        // COMPAT(mesos): the names are those of v0, where an agent is a slave.
        let words = [state.as_str_name(), source.as_str_name(), reason.as_str_name()]
            .map(|word| word.to_lowercase().replace("agent", "slave"));
        out.insert(format!("master/{}", words.join("/")), float(*count));
    }
    counts(view, &mut out);
    tasks(view, &mut out);
    resources(view, &mut out);
    operations(view, &mut out);
    for framework in view.frameworks.iter().chain(&view.completed_frameworks) {
        of_framework(framework, &mut out);
    }
    out
}

fn counts(view: &View, out: &mut Metrics) {
    let agents = |keep: fn(&crate::AgentView) -> bool| view.agents.iter().filter(|a| keep(a)).count();
    let frameworks = |keep: fn(&FrameworkView) -> bool| view.frameworks.iter().filter(|f| keep(f)).count();
    let all = [
        ("elected", usize::from(view.elected_time.is_some())),
        ("slaves_active", agents(|a| a.active)),
        ("slaves_inactive", agents(|a| !a.active)),
        ("slaves_connected", agents(|a| a.connected)),
        ("slaves_disconnected", agents(|a| !a.connected)),
        ("slaves_unreachable", view.unreachable_agents),
        ("frameworks_active", frameworks(|f| f.active)),
        ("frameworks_inactive", frameworks(|f| !f.active)),
        ("frameworks_connected", frameworks(|f| f.connected)),
        ("frameworks_disconnected", frameworks(|f| !f.connected)),
        ("outstanding_offers", view.offers),
        ("operator_event_stream_subscribers", view.operator_streams),
    ];
    for (name, count) in all {
        out.insert(format!("master/{name}"), whole(count));
    }
}

fn tasks(view: &View, out: &mut Metrics) {
    let mut by_state = BTreeMap::from([
        (TaskState::TaskStaging, 0),
        (TaskState::TaskStarting, 0),
        (TaskState::TaskRunning, 0),
        (TaskState::TaskKilling, 0),
        (TaskState::TaskUnreachable, 0),
    ]);
    for framework in &view.frameworks {
        for task in framework.tasks.iter().chain(&framework.unreachable_tasks) {
            if let Some(count) = by_state.get_mut(&task.state()) {
                *count += 1;
            }
        }
    }
    for (state, count) in by_state {
        out.insert(
            format!("master/{}", state.as_str_name().to_lowercase().replacen("task", "tasks", 1)),
            whole(count),
        );
    }
}

fn resources(view: &View, out: &mut Metrics) {
    for suffix in ["", "_revocable"] {
        let kind = |all: &Resources| if suffix.is_empty() { all.non_revocable() } else { all.revocable() };
        let (mut total, mut used) = (Resources::new(), Resources::new());
        for agent in &view.agents {
            total += &kind(&agent.total).scalars();
            for resources in agent.used.values() {
                used += &kind(resources).scalars();
            }
        }
        for name in [Name::CPUS, Name::GPUS, Name::MEM, Name::DISK] {
            let sum = |all: &Resources| all.scalar(&name).unwrap_or(Scalar::ZERO).as_f64();
            let (total, used) = (sum(&total), sum(&used));
            let percent = if total > 0.0 { used / total } else { 0.0 };
            for (what, value) in [("total", total), ("used", used), ("percent", percent)] {
                out.insert(format!("master/{name}{suffix}_{what}"), value);
            }
        }
    }
}

/// Operations by state, of all types and of each.
fn operations(view: &View, out: &mut Metrics) {
    const STATES: [(&str, OperationState); 8] = [
        ("pending", OperationState::OperationPending),
        ("recovering", OperationState::OperationRecovering),
        ("unreachable", OperationState::OperationUnreachable),
        ("finished", OperationState::OperationFinished),
        ("failed", OperationState::OperationFailed),
        ("error", OperationState::OperationError),
        ("dropped", OperationState::OperationDropped),
        ("gone_by_operator", OperationState::OperationGoneByOperator),
    ];
    const TYPES: [operation::Type; 8] = [
        operation::Type::Create,
        operation::Type::CreateDisk,
        operation::Type::Destroy,
        operation::Type::DestroyDisk,
        operation::Type::GrowVolume,
        operation::Type::Reserve,
        operation::Type::ShrinkVolume,
        operation::Type::Unreserve,
    ];
    let count = |kind: Option<operation::Type>, state: Option<OperationState>| {
        let all = view.counters.operation_states.iter();
        let fits = |(of, is): (operation::Type, OperationState)| {
            kind.is_none_or(|kind| kind == of) && state.is_none_or(|state| state == is)
        };
        float(all.filter(|(key, _)| fits(**key)).map(|(_, count)| count).sum())
    };
    for kind in TYPES.map(Some).into_iter().chain([None]) {
        let name = kind.map(|kind| format!("{}/", kind.as_str_name().to_lowercase())).unwrap_or_default();
        out.insert(format!("master/operations/{name}total"), count(kind, None));
        for (word, state) in STATES {
            out.insert(format!("master/operations/{name}{word}"), count(kind, Some(state)));
        }
    }
}

fn of_framework(framework: &FrameworkView, out: &mut Metrics) {
    let prefix = format!("master/frameworks/{}/{}/", encoded(&framework.info.name), framework.id);
    let counters = &framework.counters;
    let mut put = |name: &str, value: f64| {
        out.insert(format!("{prefix}{name}"), value);
    };
    put("subscribed", whole(usize::from(framework.connected)));
    put("offers/sent", float(counters.offers_sent));
    put("offers/accepted", float(counters.offers_accepted));
    put("offers/declined", float(counters.offers_declined));
    put("offers/rescinded", float(counters.offers_rescinded));
    let kinds = [
        ("calls", &counters.calls[..], name_of_call as fn(i32) -> Option<&'static str>),
        ("events", &counters.events[..], name_of_event),
        ("operations", &counters.operations[..], name_of_operation),
    ];
    for (family, counts, name) in kinds {
        put(family, float(counts.iter().sum()));
        for (number, count) in (0..).zip(counts) {
            if let Some(name) = name(number).filter(|name| *name != "UNKNOWN") {
                put(&format!("{family}/{}", name.to_lowercase()), float(*count));
            }
        }
    }
    for (number, count) in (0..).zip(&counters.terminal_tasks) {
        let Ok(state) = TaskState::try_from(number) else { continue };
        let name = state.as_str_name().to_lowercase();
        if is_terminal(state) {
            put(&format!("tasks/terminal/{name}"), float(*count));
        } else {
            let all = framework.tasks.iter().chain(&framework.unreachable_tasks);
            put(&format!("tasks/active/{name}"), whole(all.filter(|task| task.state() == state).count()));
        }
    }
    for role in crate::frameworks::roles_of(&framework.info) {
        let suppressed = framework.suppressed_roles.contains(&role);
        put(&format!("roles/{role}/suppressed"), whole(usize::from(suppressed)));
    }
}

fn name_of_call(number: i32) -> Option<&'static str> {
    scheduler::call::Type::try_from(number).ok().map(|kind| kind.as_str_name())
}

fn name_of_event(number: i32) -> Option<&'static str> {
    scheduler::event::Type::try_from(number).ok().map(|kind| kind.as_str_name())
}

fn name_of_operation(number: i32) -> Option<&'static str> {
    operation::Type::try_from(number).ok().map(|kind| kind.as_str_name())
}

/// Percent-encoded, since a name with a slash would look like two.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    encoded
}

fn whole(count: usize) -> f64 {
    float(u64::try_from(count).unwrap_or(u64::MAX))
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}
