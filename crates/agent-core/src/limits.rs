//! What bounds an executor's container from above: the limits of its tasks, and its own requests beside them.

use std::collections::BTreeMap;

use proto::mesos::v1::{Resource, value};

use crate::executor::Executor;

/// Limits by the resource's name, as a task gives them.
pub(crate) type Limits = BTreeMap<String, value::Scalar>;

impl Executor {
    /// The limits of its container. None for a resource that no task gave a limit for.
    ///
    /// `holds_cpus` says whether cpus without a limit are a limit themselves (`--cgroups_enable_cfs`).
    pub(crate) fn limits(&self, holds_cpus: bool) -> Limits {
        let queued = self.queued().iter().map(|task| (&task.limits, &task.resources[..]));
        let launched = self.launched().values().map(|task| (&task.limits, &task.resources[..]));
        let tasks: Vec<(&Limits, &[Resource])> = queued.chain(launched).collect();
        let own = &self.info.resources;
        let cpus = limit("cpus", own, &tasks, !holds_cpus);
        let memory = limit("mem", own, &tasks, false);
        let limits = [("cpus", cpus), ("mem", memory)].into_iter();
        limits.filter_map(|(name, value)| Some((name.to_owned(), value::Scalar { value: value? }))).collect()
    }
}

/// The sum of the tasks' limits, of the requests of those that have none, and of the executor's own request.
///
/// COMPAT(mesos): with `all_or_none` there is no limit where some task that requests the resource has none, since it
/// would be held to its request by the limits of others.
fn limit(name: &str, own: &[Resource], tasks: &[(&Limits, &[Resource])], all_or_none: bool) -> Option<f64> {
    let (mut limited, mut requested) = (None, 0.0);
    for (limits, resources) in tasks {
        match limits.get(name) {
            Some(limit) => limited = Some(limited.unwrap_or(0.0) + limit.value),
            None => requested += request(name, resources),
        }
    }
    if all_or_none && requested > 0.0 {
        return None;
    }
    // Thousandths are exact; binary fractions are not.
    limited.map(|limited| ((limited + requested + request(name, own)) * 1000.0).round() / 1000.0)
}

fn request(name: &str, resources: &[Resource]) -> f64 {
    let scalars = resources.iter().filter(|it| it.name == name).filter_map(|it| it.scalar.as_ref());
    scalars.map(|scalar| scalar.value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(cpus: f64) -> Vec<Resource> {
        vec![Resource {
            name: "cpus".to_owned(),
            scalar: Some(value::Scalar { value: cpus }),
            ..Resource::default()
        }]
    }

    fn check(tasks: &[(Option<f64>, f64)], all_or_none: bool, expected: Option<f64>) {
        let tasks: Vec<(Limits, Vec<Resource>)> = tasks
            .iter()
            .map(|(limit, request)| {
                let limits = limit.map(|value| ("cpus".to_owned(), value::Scalar { value }));
                (limits.into_iter().collect(), resources(*request))
            })
            .collect();
        let tasks: Vec<(&Limits, &[Resource])> = tasks.iter().map(|(limits, it)| (limits, &it[..])).collect();
        assert_eq!(limit("cpus", &resources(0.1), &tasks, all_or_none), expected);
    }

    #[test]
    fn limits_are_summed_with_requests() {
        check(&[], false, None);
        check(&[(None, 1.0)], false, None);
        check(&[(Some(2.0), 1.0)], false, Some(2.1));
        check(&[(Some(2.0), 1.0), (None, 0.5)], false, Some(2.6));
        check(&[(Some(f64::INFINITY), 1.0), (None, 0.5)], false, Some(f64::INFINITY));
    }

    #[test]
    fn cpus_are_not_limited_for_some_tasks_only() {
        check(&[(Some(2.0), 1.0), (None, 0.5)], true, None);
        check(&[(Some(2.0), 1.0), (Some(1.0), 0.5)], true, Some(3.1));
    }
}
