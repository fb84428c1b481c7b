//! A v1 executor: takes tasks, tells of them until it is acknowledged, and ends with
//! its last task.

use std::time::Duration;

use machine::Rng;
use proto::mesos::v1;
use proto::mesos::v1::executor::{Call, Event, call, event};
use types::Uuid;

/// What an executor wants done, after a while.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Send this call.
    Call(Box<Call>),
    /// The next thing happens to this task.
    Next(String),
    /// It is done and exits.
    Exit,
}

pub(crate) struct Executor {
    pub(crate) framework: v1::FrameworkId,
    pub(crate) id: v1::ExecutorId,
    agent: v1::AgentId,
    tasks: Vec<(v1::TaskInfo, v1::TaskState)>,
    unacknowledged: Vec<v1::TaskStatus>,
}

impl Executor {
    pub(crate) fn new(framework: &str, id: &str, agent: &str) -> Self {
        Self {
            framework: v1::FrameworkId { value: framework.to_owned() },
            id: v1::ExecutorId { value: id.to_owned() },
            agent: v1::AgentId { value: agent.to_owned() },
            tasks: Vec::new(),
            unacknowledged: Vec::new(),
        }
    }

    fn call(&self, kind: call::Type) -> Call {
        Call {
            executor_id: self.id.clone(),
            framework_id: self.framework.clone(),
            r#type: Some(kind.into()),
            ..Default::default()
        }
    }

    /// The call that begins, or begins again after the agent was lost.
    pub(crate) fn subscribe(&self) -> Call {
        let unacknowledged_tasks = self
            .tasks
            .iter()
            .filter(|(task, state)| {
                *state == v1::TaskState::TaskStaging
                    || self.unacknowledged.iter().any(|status| status.task_id == task.task_id)
            })
            .map(|(task, _)| task.clone())
            .collect();
        let unacknowledged_updates =
            self.unacknowledged.iter().map(|status| call::Update { status: status.clone() }).collect();
        Call {
            subscribe: Some(call::Subscribe { unacknowledged_tasks, unacknowledged_updates }),
            ..self.call(call::Type::Subscribe)
        }
    }

    pub(crate) fn on_event(&mut self, event: Event, rng: &mut Rng) -> Vec<(Duration, Act)> {
        match event.r#type() {
            event::Type::Launch => {
                let task = event.launch.unwrap().task;
                let id = task.task_id.value.clone();
                self.tasks.push((task, v1::TaskState::TaskStaging));
                vec![(wait(rng, 50), Act::Next(id))]
            }
            event::Type::Acknowledged => {
                let uuid = event.acknowledged.unwrap().uuid;
                self.unacknowledged.retain(|status| status.uuid.as_ref() != Some(&uuid));
                self.exit_if_done()
            }
            event::Type::Kill => {
                let task = event.kill.unwrap().task_id.value;
                self.tell(&task, v1::TaskState::TaskKilled, rng)
            }
            event::Type::Shutdown => vec![(wait(rng, 500), Act::Exit)],
            _ => Vec::new(),
        }
    }

    /// The task's next state.
    pub(crate) fn on_next(&mut self, task: &str, rng: &mut Rng) -> Vec<(Duration, Act)> {
        let Some((_, state)) = self.tasks.iter().find(|(info, _)| info.task_id.value == task) else {
            return Vec::new();
        };
        let next = match state {
            v1::TaskState::TaskStaging => v1::TaskState::TaskStarting,
            v1::TaskState::TaskStarting => v1::TaskState::TaskRunning,
            v1::TaskState::TaskRunning => v1::TaskState::TaskFinished,
            _ => return Vec::new(),
        };
        self.tell(task, next, rng)
    }

    fn tell(&mut self, task: &str, state: v1::TaskState, rng: &mut Rng) -> Vec<(Duration, Act)> {
        let entry = self.tasks.iter_mut().find(|(info, _)| info.task_id.value == task);
        let Some((info, old)) = entry.filter(|(_, old)| !is_over(*old)) else { return Vec::new() };
        *old = state;
        let status = v1::TaskStatus {
            task_id: info.task_id.clone(),
            agent_id: Some(self.agent.clone()),
            state: state.into(),
            source: Some(v1::task_status::Source::Executor.into()),
            uuid: Some(Uuid::random(rng).into()),
            ..Default::default()
        };
        self.unacknowledged.push(status.clone());
        let update = Call { update: Some(call::Update { status }), ..self.call(call::Type::Update) };
        let mut acts = vec![(Duration::ZERO, Act::Call(Box::new(update)))];
        if !is_over(state) {
            acts.push((wait(rng, 5000), Act::Next(task.to_owned())));
        }
        acts
    }

    fn exit_if_done(&self) -> Vec<(Duration, Act)> {
        let done = !self.tasks.is_empty() && self.tasks.iter().all(|(_, state)| is_over(*state));
        if done && self.unacknowledged.is_empty() { vec![(Duration::ZERO, Act::Exit)] } else { Vec::new() }
    }
}

fn is_over(state: v1::TaskState) -> bool {
    matches!(state, v1::TaskState::TaskFinished | v1::TaskState::TaskKilled)
}

fn wait(rng: &mut Rng, longest_ms: u64) -> Duration {
    Duration::from_millis(1 + rng.below(longest_ms))
}
