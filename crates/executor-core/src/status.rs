//! The status updates that an executor makes.

use bytes::Bytes;
use machine::{Now, Rng};
use proto::mesos::v1;
use types::{ExecutorId, Uuid};

/// A fresh update on `task`, without what earlier ones carried.
///
/// A task with a check always has a `check_status` of that check's kind, empty until the first result.
pub(crate) fn fresh(
    now: Now,
    rng: &mut Rng,
    executor: &ExecutorId,
    task: &v1::TaskInfo,
    state: v1::TaskState,
) -> v1::TaskStatus {
    v1::TaskStatus {
        task_id: task.task_id.clone(),
        state: state.into(),
        executor_id: Some(executor.into()),
        source: Some(v1::task_status::Source::Executor.into()),
        timestamp: Some(now.wall.as_secs_f64()),
        uuid: Some(Bytes::from(Uuid::random(rng))),
        check_status: task.check.as_ref().map(no_result_yet),
        ..v1::TaskStatus::default()
    }
}

/// The last update again, as a new one: keeps what it carried but its reason and message.
pub(crate) fn again(now: Now, rng: &mut Rng, last: &v1::TaskStatus) -> v1::TaskStatus {
    v1::TaskStatus {
        timestamp: Some(now.wall.as_secs_f64()),
        uuid: Some(Bytes::from(Uuid::random(rng))),
        reason: None,
        message: None,
        ..last.clone()
    }
}

/// What a check says before its first result, or where it could not be made.
pub(crate) fn no_result_yet(check: &v1::CheckInfo) -> v1::CheckStatusInfo {
    use v1::check_info::Type;
    let kind = check.r#type();
    v1::CheckStatusInfo {
        r#type: Some(kind.into()),
        command: (kind == Type::Command).then(Default::default),
        http: (kind == Type::Http).then(Default::default),
        tcp: (kind == Type::Tcp).then(Default::default),
    }
}
