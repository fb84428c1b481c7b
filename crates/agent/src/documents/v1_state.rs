//! GET_STATE and its parts, in JSON and in protobuf.

use agent_core::{ExecutorView, FrameworkView, View};
use http::Codec;
use prost::Message as _;
use proto::json::Names;
use proto::mesos::v1;
use proto::mesos::v1::agent::Response;
use proto::mesos::v1::agent::response::{self, GetExecutors, GetFrameworks, GetState, GetTasks, Type};

/// Which part of the state is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// GET_STATE.
    State,
    /// GET_FRAMEWORKS.
    Frameworks,
    /// GET_EXECUTORS.
    Executors,
    /// GET_TASKS.
    Tasks,
}

/// The answer to a call for `part`.
pub(crate) fn answer(view: &View, part: Part, codec: Codec) -> Vec<u8> {
    let mut answer = Response::default();
    match part {
        Part::State => {
            answer.set_type(Type::GetState);
            answer.get_state = Some(GetState {
                get_tasks: Some(tasks(view)),
                get_executors: Some(executors(view)),
                get_frameworks: Some(frameworks(view)),
            });
        }
        Part::Frameworks => {
            answer.set_type(Type::GetFrameworks);
            answer.get_frameworks = Some(frameworks(view));
        }
        Part::Executors => {
            answer.set_type(Type::GetExecutors);
            answer.get_executors = Some(executors(view));
        }
        Part::Tasks => {
            answer.set_type(Type::GetTasks);
            answer.get_tasks = Some(tasks(view));
        }
    }
    match codec {
        Codec::Json => proto::json::to_vec(&answer, Names::V1Internal),
        Codec::Protobuf => answer.encode_to_vec(),
    }
}

/// All frameworks, those that have nothing here any more last.
fn everyone(view: &View) -> impl Iterator<Item = &FrameworkView> {
    view.frameworks.iter().chain(&view.completed_frameworks)
}

/// All executors with their frameworks, running and completed.
fn everything(view: &View) -> impl Iterator<Item = (&FrameworkView, &ExecutorView)> {
    everyone(view).flat_map(|framework| {
        let executors = framework.executors.iter().chain(&framework.completed_executors);
        executors.map(move |executor| (framework, executor))
    })
}

fn frameworks(view: &View) -> GetFrameworks {
    let message = |framework: &FrameworkView| response::get_frameworks::Framework {
        framework_info: v1::FrameworkInfo::clone(&framework.info),
    };
    GetFrameworks {
        frameworks: view.frameworks.iter().map(message).collect(),
        completed_frameworks: view.completed_frameworks.iter().map(message).collect(),
    }
}

fn executors(view: &View) -> GetExecutors {
    let message = |executor: &ExecutorView| response::get_executors::Executor {
        executor_info: v1::ExecutorInfo::clone(&executor.info),
    };
    GetExecutors {
        executors: everyone(view).flat_map(|it| &it.executors).map(message).collect(),
        completed_executors: everyone(view).flat_map(|it| &it.completed_executors).map(message).collect(),
    }
}

fn tasks(view: &View) -> GetTasks {
    let mut tasks = GetTasks::default();
    for (framework, executor) in everything(view) {
        let copy = |task: &std::sync::Arc<v1::Task>| v1::Task::clone(task);
        tasks.queued_tasks.extend(executor.queued.iter().map(|task| staging(framework, task)));
        tasks.launched_tasks.extend(executor.launched.iter().map(copy));
        tasks.terminated_tasks.extend(executor.terminated.iter().map(copy));
        tasks.completed_tasks.extend(executor.completed.iter().map(copy));
    }
    tasks
}

/// A task that no executor has yet, as the task it will be.
fn staging(framework: &FrameworkView, info: &v1::TaskInfo) -> v1::Task {
    let user = info.command.as_ref().or_else(|| info.executor.as_ref()?.command.as_ref());
    v1::Task {
        name: info.name.clone(),
        task_id: info.task_id.clone(),
        framework_id: (&framework.id).into(),
        executor_id: info.executor.as_ref().map(|executor| executor.executor_id.clone()),
        agent_id: info.agent_id.clone(),
        state: v1::TaskState::TaskStaging as i32,
        resources: info.resources.clone(),
        limits: info.limits.clone(),
        labels: info.labels.clone(),
        discovery: info.discovery.clone(),
        container: info.container.clone(),
        health_check: info.health_check.clone(),
        kill_policy: info.kill_policy,
        user: user.and_then(|command| command.user.clone()),
        ..v1::Task::default()
    }
}
