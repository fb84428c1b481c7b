//! What is said to executors, over v1 streams and over v0 messages alike.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proto::mesos::internal;
use proto::mesos::v1;
use proto::mesos::v1::executor::event::{self, Type};
use types::TaskId;

use crate::agent::{Agent, Due, Listener, Place};
use crate::effect::Effect;
use crate::event::StreamId;
use crate::executor::{Bundle, Channel, Executor};
use crate::framework::Framework;
use crate::message::Outgoing;
use crate::step::Step;
use crate::view::ExecutorPhase;

/// How often a v1 executor gets a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(30 * 60);

/// What the address of nobody prints as in Mesos.
const NOBODY: &str = "@0.0.0.0:0";

/// Something to say to an executor.
pub(crate) enum Saying {
    /// It is known and may work.
    Subscribed,
    /// Run this.
    Launch(Arc<v1::TaskInfo>),
    /// Run these, all or none.
    LaunchGroup(Vec<Arc<v1::TaskInfo>>),
    /// Kill this.
    Kill(TaskId, Option<v1::KillPolicy>),
    /// The agent has this update.
    Acknowledged(TaskId, Bytes),
    /// Its framework says something.
    Message(Bytes),
    /// Kill everything and exit.
    Shutdown,
}

impl Agent {
    /// Says something to an executor, if it can be reached.
    pub(crate) fn tell(&self, place: &Place, saying: Saying, step: &mut Step<'_>) {
        let Some(framework) = self.frameworks.get(&place.framework) else { return };
        let Some(executor) = framework.executors.get(&place.executor) else { return };
        match &executor.channel {
            Channel::Stream(stream) => {
                let event = Box::new(self.event(framework, executor, saying));
                step.push(Effect::ExecutorEvent { stream: *stream, event });
            }
            Channel::Driver(pid) => {
                for message in self.outgoing(framework, executor, saying) {
                    step.send(pid, message);
                }
            }
            Channel::None => step.warn(format!(
                "Unable to speak to executor '{}' of framework {}: it is not connected",
                place.executor, place.framework
            )),
        }
    }

    /// Launches all queued tasks and sends them.
    pub(crate) fn send_queued(&mut self, place: &Place, step: &mut Step<'_>) {
        let Some(executor) = self.executor_mut(place) else { return };
        if executor.queued().is_empty() {
            return;
        }
        let bundles = executor.launch_queued();
        // ORDER: the container must have the tasks' resources before they begin.
        self.update_container(place, step);
        for bundle in bundles {
            let saying = match bundle {
                Bundle::Task(task) => Saying::Launch(task),
                Bundle::Group(tasks) => Saying::LaunchGroup(tasks),
            };
            self.tell(place, saying, step);
        }
    }

    pub(crate) fn update_container(&self, place: &Place, step: &mut Step<'_>) {
        // One that is not there yet gets its resources when it comes.
        if let Some(executor) = self.executor(place)
            && executor.phase == ExecutorPhase::Running
        {
            let (container, resources) = (executor.container.clone(), executor.allocated());
            // What cannot be seen was refused when it came.
            let volumes = executor.volumes(&self.config.work_dir, &[]).unwrap_or_default();
            let limits = executor.limits(self.config.holds_cpus);
            step.push(Effect::UpdateContainer { container, resources, limits, volumes });
        }
    }

    /// A v1 executor speaks on this stream from now on; an older stream of it is closed.
    pub(crate) fn open_stream(&mut self, place: &Place, stream: StreamId, step: &mut Step<'_>) {
        self.close_channel(place, step);
        if let Some(executor) = self.executor_mut(place) {
            executor.channel = Channel::Stream(stream);
            let heartbeat = self.timers.arm(step.now.mono + HEARTBEAT, Due::Heartbeat(stream));
            self.streams.insert(stream, Listener { place: place.clone(), heartbeat });
        }
    }

    /// Nothing more is said to an executor.
    pub(crate) fn close_channel(&mut self, place: &Place, step: &mut Step<'_>) {
        let Some(executor) = self.executor_mut(place) else { return };
        if let Channel::Stream(stream) = std::mem::replace(&mut executor.channel, Channel::None) {
            if let Some(listener) = self.streams.remove(&stream) {
                self.timers.cancel(listener.heartbeat);
            }
            step.push(Effect::CloseStream { stream });
        }
    }

    /// The executor may subscribe again; if it is gone its container tells.
    pub(crate) fn on_stream_closed(&mut self, stream: StreamId) {
        let Some(listener) = self.streams.remove(&stream) else { return };
        self.timers.cancel(listener.heartbeat);
        if let Some(executor) = self.executor_mut(&listener.place) {
            executor.channel = Channel::None;
        }
    }

    pub(crate) fn on_heartbeat_due(&mut self, stream: StreamId, step: &mut Step<'_>) {
        if let Some(listener) = self.streams.get_mut(&stream) {
            step.push(Effect::ExecutorEvent { stream, event: Box::new(bare(Type::Heartbeat)) });
            listener.heartbeat = self.timers.arm(step.now.mono + HEARTBEAT, Due::Heartbeat(stream));
        }
    }

    fn event(&self, framework: &Framework, executor: &Executor, saying: Saying) -> v1::executor::Event {
        match saying {
            Saying::Subscribed => v1::executor::Event {
                subscribed: Some(event::Subscribed {
                    executor_info: (*executor.info).clone(),
                    framework_info: (*framework.info).clone(),
                    agent_info: (*self.info).clone(),
                    container_id: Some((&executor.container).into()),
                }),
                ..bare(Type::Subscribed)
            },
            Saying::Launch(task) => v1::executor::Event {
                launch: Some(event::Launch { task: (*task).clone() }),
                ..bare(Type::Launch)
            },
            Saying::LaunchGroup(tasks) => v1::executor::Event {
                launch_group: Some(event::LaunchGroup {
                    task_group: v1::TaskGroupInfo {
                        tasks: tasks.iter().map(|task| (**task).clone()).collect(),
                    },
                }),
                ..bare(Type::LaunchGroup)
            },
            Saying::Kill(task, kill_policy) => v1::executor::Event {
                kill: Some(event::Kill { task_id: task.into(), kill_policy }),
                ..bare(Type::Kill)
            },
            Saying::Acknowledged(task, uuid) => v1::executor::Event {
                acknowledged: Some(event::Acknowledged { task_id: task.into(), uuid }),
                ..bare(Type::Acknowledged)
            },
            Saying::Message(data) => {
                v1::executor::Event { message: Some(event::Message { data }), ..bare(Type::Message) }
            }
            Saying::Shutdown => bare(Type::Shutdown),
        }
    }

    fn outgoing(&self, framework: &Framework, executor: &Executor, saying: Saying) -> Vec<Outgoing> {
        let framework_id: v1::FrameworkId = (&framework.id).into();
        let run = |task: &v1::TaskInfo| {
            Outgoing::RunTask(Box::new(internal::RunTaskMessage {
                framework: (*framework.info).clone(),
                task: task.clone(),
                pid: Some(framework.pid.as_ref().map_or_else(|| NOBODY.to_owned(), ToString::to_string)),
                ..Default::default()
            }))
        };
        vec![match saying {
            Saying::Subscribed => {
                Outgoing::ExecutorRegistered(Box::new(internal::ExecutorRegisteredMessage {
                    executor_info: (*executor.info).clone(),
                    framework_id,
                    framework_info: (*framework.info).clone(),
                    slave_id: (&self.id).into(),
                    slave_info: self.wire_info(),
                }))
            }
            Saying::Launch(task) => run(&task),
            // A driver knows no groups: its executor gets the tasks one by one.
            Saying::LaunchGroup(tasks) => return tasks.iter().map(|task| run(task)).collect(),
            Saying::Kill(task, kill_policy) => Outgoing::KillTask(Box::new(internal::KillTaskMessage {
                framework_id,
                task_id: task.into(),
                kill_policy,
            })),
            Saying::Acknowledged(task, uuid) => Outgoing::StatusUpdateAcknowledgement(Box::new(
                internal::StatusUpdateAcknowledgementMessage {
                    slave_id: (&self.id).into(),
                    framework_id,
                    task_id: task.into(),
                    uuid,
                },
            )),
            Saying::Message(data) => {
                Outgoing::FrameworkToExecutor(Box::new(internal::FrameworkToExecutorMessage {
                    slave_id: (&self.id).into(),
                    framework_id,
                    executor_id: (&executor.id).into(),
                    data,
                }))
            }
            Saying::Shutdown => Outgoing::ShutdownExecutor(Box::default()),
        }]
    }
}

/// An event of this type without a body.
pub(crate) fn bare(kind: Type) -> v1::executor::Event {
    v1::executor::Event { r#type: Some(kind.into()), ..Default::default() }
}
