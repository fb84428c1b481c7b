//! Executors that come: subscribing over v1, registering over v0, and their calls.

use std::collections::BTreeSet;

use proto::mesos::internal::{ExecutorReregisteredMessage, ExecutorToFrameworkMessage, StatusUpdateMessage};
use proto::mesos::internal::{RegisterExecutorMessage, ReregisterExecutorMessage};
use proto::mesos::v1;
use proto::mesos::v1::executor::call::Type;
use proto::mesos::v1::task_status::Reason;
use types::{ExecutorId, FrameworkId, Pid, TaskId};

use crate::agent::{Agent, Place};
use crate::channel::{Saying, bare};
use crate::checkpoint::Record;
use crate::effect::{Effect, Reply, Status};
use crate::event::{RequestId, StreamId};
use crate::executor::Channel;
use crate::message::Outgoing;
use crate::step::Step;
use crate::update::{Origin, Word, from_status};
use crate::view::{AgentPhase, ExecutorPhase};

impl Agent {
    pub(crate) fn on_executor_subscribe(
        &mut self,
        stream: StreamId,
        call: v1::executor::Call,
        step: &mut Step<'_>,
    ) {
        match self.check_call(&call) {
            Ok((place, _)) => {
                step.push(Effect::OpenStream { stream });
                self.subscribe(&place, stream, call.subscribe.unwrap_or_default(), step);
            }
            Err(reply) => step.push(Effect::RefuseStream { stream, reply }),
        }
    }

    pub(crate) fn on_executor_call(
        &mut self,
        request: RequestId,
        call: v1::executor::Call,
        step: &mut Step<'_>,
    ) {
        let reply = match self.check_call(&call) {
            Ok((place, kind)) => self.take_call(&place, kind, call, step),
            Err(reply) => reply,
        };
        step.push(Effect::Reply { request, reply });
    }

    /// The refusals of `Http::executor`, in its order.
    fn check_call(&self, call: &v1::executor::Call) -> Result<(Place, Type), Reply> {
        if self.phase == AgentPhase::Recovering && !self.reconnecting {
            return Err(Reply::unavailable("Agent has not finished recovery"));
        }
        let kind = proto::unions::executor(call)
            .map_err(|why| Reply::bad_request(format!("Failed to validate Executor::Call: {why}")))?;
        let place = Place {
            framework: FrameworkId::from(&call.framework_id),
            executor: ExecutorId::from(&call.executor_id),
        };
        match kind {
            // Heartbeats may carry ids of nobody.
            Type::Heartbeat => return Ok((place, kind)),
            Type::Subscribe => {}
            Type::Update | Type::Message | Type::Unknown => {
                // Unlike Mesos, which refuses these until all executors are back: one that is back would lose its
                // update: it tells again only what it had not been acknowledged when it came.
                let back = self.executor(&place).is_some_and(|it| it.phase != ExecutorPhase::Registering);
                if self.phase == AgentPhase::Recovering && !back {
                    return Err(Reply::unavailable("Agent has not finished recovery"));
                }
            }
        }
        if self.framework(&place.framework).is_none() {
            return Err(Reply::bad_request("Framework cannot be found"));
        }
        let Some(executor) = self.executor(&place) else {
            return Err(Reply::bad_request("Executor cannot be found"));
        };
        if executor.phase == ExecutorPhase::Registering && kind != Type::Subscribe {
            return Err(Reply::forbidden("Executor is not subscribed"));
        }
        Ok((place, kind))
    }

    fn take_call(
        &mut self,
        place: &Place,
        kind: Type,
        call: v1::executor::Call,
        step: &mut Step<'_>,
    ) -> Reply {
        match kind {
            Type::Heartbeat => {}
            Type::Update => {
                let status = call.update.map(|update| update.status).unwrap_or_default();
                let update = from_status(step.now, &self.id, &place.framework, status);
                self.on_status_update(update, &Origin::Http(place.clone()), step);
            }
            Type::Message => {
                let data = call.message.map(|message| message.data).unwrap_or_default();
                self.on_executor_message(place, data, step);
            }
            // A SUBSCRIBE whose stream the shell did not open is a mistake of the shell.
            Type::Unknown | Type::Subscribe => {
                return Reply { status: Status::NotImplemented, text: String::new() };
            }
        }
        Reply::accepted()
    }

    fn subscribe(
        &mut self,
        place: &Place,
        stream: StreamId,
        subscribe: v1::executor::call::Subscribe,
        step: &mut Step<'_>,
    ) {
        step.info(format!(
            "Received Subscribe request for HTTP executor '{}' of framework {}",
            place.executor, place.framework
        ));
        if !self.may_come(place, &[ExecutorPhase::Registering, ExecutorPhase::Running], step) {
            step.push(Effect::ExecutorEvent {
                stream,
                event: Box::new(bare(v1::executor::event::Type::Shutdown)),
            });
            step.push(Effect::CloseStream { stream });
            return;
        }
        self.open_stream(place, stream, step);
        self.came(place);
        if let Some(run) = self.executor(place).and_then(|executor| executor.run.clone()) {
            step.checkpoint(Record::HttpMarker((*run).clone()));
        }
        if !self.welcome(place, step) {
            return;
        }
        for update in subscribe.unacknowledged_updates {
            let update = from_status(step.now, &self.id, &place.framework, update.status);
            self.on_status_update(update, &Origin::Http(place.clone()), step);
        }
        let tasks = subscribe.unacknowledged_tasks.iter();
        self.drop_unknown(place, tasks.map(|task| TaskId::from(&task.task_id)).collect(), step);
        self.start(place, step);
    }

    pub(crate) fn on_register_executor(
        &mut self,
        from: Pid,
        message: RegisterExecutorMessage,
        step: &mut Step<'_>,
    ) {
        let place = place(&message.framework_id, &message.executor_id);
        step.info(format!(
            "Got registration for executor '{}' of framework {} from {from}",
            place.executor, place.framework
        ));
        let recovering = self.phase == AgentPhase::Recovering;
        if recovering || !self.may_come(&place, &[ExecutorPhase::Registering], step) {
            step.send(&from, Outgoing::ShutdownExecutor(Box::default()));
            return;
        }
        self.take_driver(&place, from.clone(), step);
        if let Some(run) = self.executor(&place).and_then(|executor| executor.run.clone()) {
            step.checkpoint(Record::LibprocessPid((*run).clone(), from));
        }
        if self.welcome(&place, step) {
            self.start(&place, step);
        }
    }

    pub(crate) fn on_reregister_executor(
        &mut self,
        from: Pid,
        message: ReregisterExecutorMessage,
        step: &mut Step<'_>,
    ) {
        let place = place(&message.framework_id, &message.executor_id);
        step.info(format!(
            "Received re-registration message from executor '{}' of framework {}",
            place.executor, place.framework
        ));
        let runs = self.executor(&place).is_some_and(|executor| executor.phase == ExecutorPhase::Running);
        if runs && self.config.executor_reregistration_retry_interval.is_some() {
            // It was called more than once.
            step.info(format!(
                "Ignoring executor re-registration message from '{}' because it is already registered",
                place.executor
            ));
            return;
        }
        if !self.may_come(&place, &[ExecutorPhase::Registering], step) {
            step.send(&from, Outgoing::ShutdownExecutor(Box::default()));
            return;
        }
        self.take_driver(&place, from.clone(), step);
        let reregistered =
            ExecutorReregisteredMessage { slave_id: (&self.id).into(), slave_info: self.wire_info() };
        step.send(&from, Outgoing::ExecutorReregistered(Box::new(reregistered)));
        for update in message.updates {
            self.on_status_update(update, &Origin::Driver(from.clone()), step);
        }
        let tasks = message.tasks.iter();
        self.drop_unknown(&place, tasks.map(|task| TaskId::from(&task.task_id)).collect(), step);
        self.start(&place, step);
    }

    pub(crate) fn on_driver_update(&mut self, message: StatusUpdateMessage, step: &mut Step<'_>) {
        // COMPAT(mesos): a driver names itself in the message; one that does not cannot be acknowledged.
        let origin = match message.pid.as_deref().map(str::parse) {
            Some(Ok(pid)) => Origin::Driver(pid),
            Some(Err(_)) | None => {
                step.warn("Ignoring a status update whose sender does not say who it is");
                self.counters.invalid_status_updates += 1;
                return;
            }
        };
        self.on_status_update(message.update, &origin, step);
    }

    pub(crate) fn on_driver_message(&mut self, message: ExecutorToFrameworkMessage, step: &mut Step<'_>) {
        let place = place(&message.framework_id, &message.executor_id);
        self.on_executor_message(&place, message.data, step);
    }

    /// Whether an executor that comes is awaited, in one of these phases.
    fn may_come(&self, place: &Place, phases: &[ExecutorPhase], step: &mut Step<'_>) -> bool {
        let why = match self.framework(&place.framework) {
            _ if self.phase == AgentPhase::Leaving => "the agent is terminating".to_owned(),
            None => format!("the framework {} does not exist", place.framework),
            Some(framework) if framework.terminating => "the framework is terminating".to_owned(),
            Some(framework) => match framework.executors.get(&place.executor) {
                None => "it is unknown".to_owned(),
                Some(executor) if phases.contains(&executor.phase) => return true,
                Some(executor) => format!("it is in unexpected state {:?}", executor.phase),
            },
        };
        step.warn(format!(
            "Shutting down executor '{}' of framework {} because {why}",
            place.executor, place.framework
        ));
        false
    }

    fn take_driver(&mut self, place: &Place, pid: Pid, step: &mut Step<'_>) {
        self.came(place);
        if let Some(executor) = self.executor_mut(place) {
            executor.channel = Channel::Driver(pid.clone());
        }
        step.push(Effect::Link { pid, reconnect: false });
    }

    /// The executor is here: it is running, and nobody waits for it any more.
    fn came(&mut self, place: &Place) {
        let Some(executor) = self.executor_mut(place) else { return };
        executor.phase = ExecutorPhase::Running;
        if let Some(deadline) = executor.deadline.take() {
            self.timers.cancel(deadline);
        }
    }

    /// Tasks that were sent while the agent restarted may never have arrived: those that the
    /// executor does not know are dropped.
    fn drop_unknown(&mut self, place: &Place, known: BTreeSet<TaskId>, step: &mut Step<'_>) {
        let Some(framework) = self.frameworks.get(&place.framework) else { return };
        let Some(executor) = framework.executors.get(&place.executor) else { return };
        let state = framework.dropped();
        let staged = executor
            .launched()
            .iter()
            .filter(|(id, task)| task.state() == v1::TaskState::TaskStaging && !known.contains(*id));
        for task in staged.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            let why = "Task launched during agent restart";
            let word = Word::new(task, state, Reason::AgentRestarted, why).of(&place.executor);
            self.say(&place.framework, word, step);
        }
    }

    /// Tells an executor that it is known; false if it is of no use and sent away.
    fn welcome(&mut self, place: &Place, step: &mut Step<'_>) -> bool {
        let useful = !self.dismiss_useless(place, step);
        if useful {
            // ORDER: clients take nothing before this.
            self.tell(place, Saying::Subscribed, step);
        }
        useful
    }

    /// A running executor gets its tasks, if it is of any use.
    fn start(&mut self, place: &Place, step: &mut Step<'_>) {
        if !self.dismiss_useless(place, step) {
            if self.executor(place).is_some_and(|executor| !executor.queued().is_empty()) {
                self.send_queued(place, step);
            } else {
                self.update_container(place, step);
            }
        }
        self.finish_reconnecting_if_done(step);
    }

    /// An executor that never had a task and has none to come must go.
    fn dismiss_useless(&mut self, place: &Place, step: &mut Step<'_>) -> bool {
        let Some(executor) = self.executor(place) else { return true };
        if executor.ever_sent_task() || !executor.queued().is_empty() {
            return false;
        }
        step.warn(format!(
            "Shutting down executor '{}' of framework {} because it has never been sent a task and all of its \
             queued tasks have been killed before delivery",
            place.executor, place.framework
        ));
        self.shut_down(place, step);
        self.finish_reconnecting_if_done(step);
        true
    }
}

fn place(framework: &v1::FrameworkId, executor: &v1::ExecutorId) -> Place {
    Place { framework: framework.into(), executor: executor.into() }
}
