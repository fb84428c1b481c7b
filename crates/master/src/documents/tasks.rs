//! `/tasks`: a page of all tasks, by the time of their first status.

use http::Query;
use master_core::View;
use proto::json::Writer;
use proto::mesos::v1::Task;

use super::model;

/// How many tasks a page holds if nobody says (observed: `TASK_LIMIT`).
const LIMIT: usize = 100;

/// The whole document.
pub(crate) fn document(w: &mut Writer, view: &View, query: &Query) {
    let number = |name: &str| query.get(name).and_then(|text| text.trim().parse::<usize>().ok());
    let limit = number("limit").unwrap_or(LIMIT);
    let offset = number("offset").unwrap_or(0);
    let framework = query.get("framework_id");
    let task = query.get("task_id");
    let mut tasks: Vec<&Task> = view
        .frameworks
        .iter()
        .chain(&view.completed_frameworks)
        .filter(|one| framework.is_none_or(|id| one.id.as_str() == id))
        .flat_map(|one| one.tasks.iter().chain(one.unreachable_tasks.iter()).chain(&one.completed_tasks))
        .map(AsRef::as_ref)
        .filter(|one| task.is_none_or(|id| one.task_id.value == id))
        .collect();
    let ascending = query.get("order") == Some("asc");
    // COMPAT(mesos): tasks without a status come first in ascending order and last in descending order.
    tasks.sort_by(|a, b| match (first_time(a), first_time(b)) {
        (Some(a), Some(b)) if ascending => a.total_cmp(&b),
        (Some(a), Some(b)) => b.total_cmp(&a),
        (None, None) => std::cmp::Ordering::Equal,
        (a, b) if ascending => a.is_some().cmp(&b.is_some()),
        (a, b) => b.is_some().cmp(&a.is_some()),
    });
    w.object(|w| {
        w.field_array("tasks", |w| {
            tasks.iter().skip(offset).take(limit).for_each(|task| model::task(w, task));
        });
    });
}

fn first_time(task: &Task) -> Option<f64> {
    task.statuses.first().map(|status| status.timestamp())
}
