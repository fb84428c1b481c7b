//! What is counted, and under which names it is published.
//!
//! The core only counts. [`snapshot`] runs on a [`View`](crate::View), off the
//! core's thread, and derives all gauges there.

mod snapshot;

use std::collections::BTreeMap;

use proto::mesos::v1::OperationState;
use proto::mesos::v1::offer::operation;
use proto::mesos::v1::task_status::{Reason, Source};
use proto::mesos::v1::{TaskState, scheduler};

pub use snapshot::snapshot;

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident = $name:literal;)*) => {
        /// Counts since the start of this master.
        #[derive(Clone, Debug, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $field: u64,)*
            /// Updates to each state, by who caused it and why; only those with a reason.
            pub task_states: BTreeMap<(TaskState, Source, Reason), u64>,
            /// Operations by type and state: those that are in it now, and of states that
            /// end an operation all that came to it.
            pub operation_states: BTreeMap<(operation::Type, OperationState), u64>,
        }

        impl Counters {
            pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$(($name, self.$field),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Messages that were dropped unheard.
    dropped_messages = "dropped_messages";
    /// RegisterFramework and SUBSCRIBE without an id.
    messages_register_framework = "messages_register_framework";
    /// ReregisterFramework and SUBSCRIBE with an id.
    messages_reregister_framework = "messages_reregister_framework";
    /// UnregisterFramework.
    messages_unregister_framework = "messages_unregister_framework";
    /// DeactivateFramework.
    messages_deactivate_framework = "messages_deactivate_framework";
    /// KILL.
    messages_kill_task = "messages_kill_task";
    /// REQUEST.
    messages_resource_request = "messages_resource_request";
    /// ACCEPT with a launch, and LaunchTasks.
    messages_launch_tasks = "messages_launch_tasks";
    /// DECLINE.
    messages_decline_offers = "messages_decline_offers";
    /// REVIVE.
    messages_revive_offers = "messages_revive_offers";
    /// SUPPRESS.
    messages_suppress_offers = "messages_suppress_offers";
    /// RECONCILE.
    messages_reconcile_tasks = "messages_reconcile_tasks";
    /// RECONCILE_OPERATIONS.
    messages_reconcile_operations = "messages_reconcile_operations";
    /// MESSAGE.
    messages_framework_to_executor = "messages_framework_to_executor";
    /// Updates from agents.
    messages_status_update = "messages_status_update";
    /// ACKNOWLEDGE.
    messages_status_update_acknowledgement = "messages_status_update_acknowledgement";
    /// Operation updates from agents.
    messages_operation_status_update = "messages_operation_status_update";
    /// ACKNOWLEDGE_OPERATION_STATUS.
    messages_operation_status_update_acknowledgement = "messages_operation_status_update_acknowledgement";
    /// Executors' messages.
    messages_executor_to_framework = "messages_executor_to_framework";
    /// RegisterSlave.
    messages_register_agent = "messages_register_slave";
    /// ReregisterSlave.
    messages_reregister_agent = "messages_reregister_slave";
    /// UnregisterSlave.
    messages_unregister_agent = "messages_unregister_slave";
    /// UpdateSlave.
    messages_update_agent = "messages_update_slave";
    /// ExitedExecutor.
    messages_exited_executor = "messages_exited_executor";
    /// Authenticate.
    messages_authenticate = "messages_authenticate";
    /// MESSAGEs passed on.
    valid_framework_to_executor_messages = "valid_framework_to_executor_messages";
    /// MESSAGEs dropped.
    invalid_framework_to_executor_messages = "invalid_framework_to_executor_messages";
    /// Executors' messages passed on.
    valid_executor_to_framework_messages = "valid_executor_to_framework_messages";
    /// Executors' messages dropped.
    invalid_executor_to_framework_messages = "invalid_executor_to_framework_messages";
    /// Updates of known tasks.
    valid_status_updates = "valid_status_updates";
    /// Other updates.
    invalid_status_updates = "invalid_status_updates";
    /// Acknowledgements passed on.
    valid_status_update_acknowledgements = "valid_status_update_acknowledgements";
    /// Acknowledgements dropped.
    invalid_status_update_acknowledgements = "invalid_status_update_acknowledgements";
    /// Operation updates of known operations.
    valid_operation_status_updates = "valid_operation_status_updates";
    /// Other operation updates.
    invalid_operation_status_updates = "invalid_operation_status_updates";
    /// Operation acknowledgements passed on.
    valid_operation_status_update_acknowledgements = "valid_operation_status_update_acknowledgements";
    /// Operation acknowledgements dropped.
    invalid_operation_status_update_acknowledgements = "invalid_operation_status_update_acknowledgements";
    /// Agents of the registry that did not come back after the election.
    recovery_agent_removals = "recovery_slave_removals";
    /// Agents admitted.
    agent_registrations = "slave_registrations";
    /// Agents that came back.
    agent_reregistrations = "slave_reregistrations";
    /// Agents removed.
    agent_removals = "slave_removals";
    /// Agents removed because they did not answer.
    agent_removals_unhealthy = "slave_removals/reason_unhealthy";
    /// Agents removed because they left.
    agent_removals_unregistered = "slave_removals/reason_unregistered";
    /// Agents removed because another registered at their address.
    agent_removals_registered = "slave_removals/reason_registered";
    /// Kept for its name.
    agent_shutdowns_scheduled = "slave_shutdowns_scheduled";
    /// Kept for its name.
    agent_shutdowns_completed = "slave_shutdowns_completed";
    /// Kept for its name.
    agent_shutdowns_canceled = "slave_shutdowns_canceled";
    /// Agents to be marked unreachable.
    agent_unreachable_scheduled = "slave_unreachable_scheduled";
    /// Agents marked unreachable.
    agent_unreachable_completed = "slave_unreachable_completed";
    /// Agents that answered before they were marked.
    agent_unreachable_canceled = "slave_unreachable_canceled";
    /// Tasks that finished.
    tasks_finished = "tasks_finished";
    /// Tasks that failed.
    tasks_failed = "tasks_failed";
    /// Tasks that were killed.
    tasks_killed = "tasks_killed";
    /// Tasks that were lost.
    tasks_lost = "tasks_lost";
    /// Tasks that were refused.
    tasks_error = "tasks_error";
    /// Tasks that were never launched.
    tasks_dropped = "tasks_dropped";
    /// Tasks whose agent runs them no more.
    tasks_gone = "tasks_gone";
    /// Tasks on agents that an operator declared gone.
    tasks_gone_by_operator = "tasks_gone_by_operator";
}

/// What is counted for one framework.
#[derive(Clone, Debug, Default)]
pub struct FrameworkCounters {
    /// Calls, by the number of their type.
    pub calls: [u64; 18],
    /// Events, by the number of their type; driver messages count as the event they stand for.
    pub events: [u64; 12],
    /// Offers made.
    pub offers_sent: u64,
    /// Offers accepted.
    pub offers_accepted: u64,
    /// Offers declined.
    pub offers_declined: u64,
    /// Offers withdrawn.
    pub offers_rescinded: u64,
    /// Tasks that came to a terminal state, by the number of the state.
    pub terminal_tasks: [u64; 14],
    /// Operations, by the number of their type.
    pub operations: [u64; 15],
}

impl Counters {
    /// Counts a task's way into a state. Without a reason only terminal states count.
    pub(crate) fn task_state(&mut self, state: TaskState, source: Source, reason: Option<Reason>) {
        match state {
            TaskState::TaskFinished => self.tasks_finished += 1,
            TaskState::TaskFailed => self.tasks_failed += 1,
            TaskState::TaskKilled => self.tasks_killed += 1,
            TaskState::TaskLost => self.tasks_lost += 1,
            TaskState::TaskError => self.tasks_error += 1,
            TaskState::TaskDropped => self.tasks_dropped += 1,
            TaskState::TaskGone => self.tasks_gone += 1,
            TaskState::TaskGoneByOperator => self.tasks_gone_by_operator += 1,
            TaskState::TaskStaging
            | TaskState::TaskStarting
            | TaskState::TaskRunning
            | TaskState::TaskKilling
            | TaskState::TaskUnreachable
            | TaskState::TaskUnknown => {}
        }
        if let Some(reason) = reason {
            *self.task_states.entry((state, source, reason)).or_default() += 1;
        }
    }
}

impl Counters {
    /// Counts an operation's way into a state.
    pub(crate) fn operation_state(&mut self, kind: operation::Type, state: OperationState) {
        *self.operation_states.entry((kind, state)).or_default() += 1;
    }

    /// An operation is in this state no more.
    pub(crate) fn operation_left(&mut self, kind: operation::Type, state: OperationState) {
        if let Some(count) = self.operation_states.get_mut(&(kind, state)) {
            *count = count.saturating_sub(1);
        }
    }
}

impl FrameworkCounters {
    pub(crate) fn call(&mut self, kind: scheduler::call::Type) {
        bump(&mut self.calls, kind as i32);
    }

    pub(crate) fn event(&mut self, kind: scheduler::event::Type) {
        bump(&mut self.events, kind as i32);
    }

    pub(crate) fn operation(&mut self, kind: operation::Type) {
        bump(&mut self.operations, kind as i32);
    }

    pub(crate) fn terminal_task(&mut self, state: TaskState) {
        bump(&mut self.terminal_tasks, state as i32);
    }
}

fn bump(counts: &mut [u64], number: i32) {
    if let Some(count) = usize::try_from(number).ok().and_then(|at| counts.get_mut(at)) {
        *count += 1;
    }
}
