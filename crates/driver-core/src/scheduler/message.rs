//! What a scheduler driver hears from the master, and what it says.

use proto::mesos::{internal, scheduler};

use crate::message::messages;

messages! {
    /// A message to a scheduler driver.
    Message {
        /// The framework is registered.
        Registered(internal::FrameworkRegisteredMessage);
        /// The framework is registered again.
        Reregistered(internal::FrameworkReregisteredMessage);
        /// Offers, and the addresses of their agents.
        Offers(internal::ResourceOffersMessage);
        /// An offer is taken back.
        Rescinded(internal::RescindResourceOfferMessage);
        /// A task's state.
        Update(internal::StatusUpdateMessage);
        /// An agent is lost.
        AgentLost(internal::LostSlaveMessage);
        /// An executor ended.
        ExecutorLost(internal::ExitedExecutorMessage);
        /// An executor's message.
        FromExecutor(internal::ExecutorToFrameworkMessage);
        /// The framework cannot go on.
        Error(internal::FrameworkErrorMessage);
    }
}

messages! {
    /// A message from a scheduler driver.
    Outgoing {
        /// To the master: any call.
        Call(scheduler::Call);
        /// To the master: the driver was aborted, send it nothing.
        Deactivate(internal::DeactivateFrameworkMessage);
        /// To an agent: a message for an executor.
        ToExecutor(internal::FrameworkToExecutorMessage);
    }
}
