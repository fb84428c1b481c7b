//! What an executor driver hears from the agent, and what it says.

use proto::mesos::internal;

use crate::message::messages;

messages! {
    /// A message to an executor driver.
    Message {
        /// The executor is registered.
        Registered(internal::ExecutorRegisteredMessage);
        /// The executor is registered again.
        Reregistered(internal::ExecutorReregisteredMessage);
        /// The agent restarted: register again.
        Reconnect(internal::ReconnectExecutorMessage);
        /// Run a task.
        RunTask(internal::RunTaskMessage);
        /// Kill a task.
        KillTask(internal::KillTaskMessage);
        /// The agent has an update.
        Acknowledgement(internal::StatusUpdateAcknowledgementMessage);
        /// The framework's message.
        FromFramework(internal::FrameworkToExecutorMessage);
        /// Kill your tasks and exit.
        Shutdown(internal::ShutdownExecutorMessage);
    }
}

messages! {
    /// A message from an executor driver.
    Outgoing {
        /// To the agent: here I am.
        Register(internal::RegisterExecutorMessage);
        /// To the agent: still here, with what you may not know.
        Reregister(internal::ReregisterExecutorMessage);
        /// To the agent: a task's state.
        Update(internal::StatusUpdateMessage);
        /// To the agent: a message for the framework.
        ToFramework(internal::ExecutorToFrameworkMessage);
    }
}
