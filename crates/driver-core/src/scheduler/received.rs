//! What the master says, and what the scheduler is told of it.

use bytes::Bytes;
use proto::mesos::internal;
use proto::mesos::v1;
use proto::mesos::v1::scheduler::call::{self, Type};
use types::{AgentId, OfferId, Pid};

use super::{Callback, Driver, Effect, Message, Outgoing, Phase};

impl Driver {
    pub(super) fn on_received(&mut self, from: &Pid, message: Message, fx: &mut Vec<Effect>) {
        if self.is_over() {
            return;
        }
        match message {
            Message::Registered(message) => {
                let internal::FrameworkRegisteredMessage { framework_id, master_info } = *message;
                if let Some(leader) = self.registering(from, "registered", fx) {
                    self.framework.id = Some(framework_id.clone());
                    fx.push(Effect::Info(format!("Framework registered with {}", framework_id.value)));
                    self.connect(leader, fx);
                    let callback = Callback::Registered(framework_id, Box::new(master_info));
                    fx.push(Effect::Callback(callback));
                }
            }
            Message::Reregistered(message) => self.on_reregistered(from, *message, fx),
            // COMPAT(mesos): these two count from whomever they come: executors' messages may come from their agent.
            Message::FromExecutor(message) => {
                let internal::ExecutorToFrameworkMessage { slave_id, executor_id, data, .. } = *message;
                fx.push(Effect::Callback(Callback::Message { executor_id, agent_id: slave_id, data }));
            }
            Message::Error(message) => self.fail(message.message, fx),
            Message::Offers(message) => {
                if self.hears(from) {
                    self.on_offers(*message, fx);
                }
            }
            Message::Rescinded(message) => {
                if self.hears(from) {
                    self.offers.remove(message.offer_id.value.as_str());
                    fx.push(Effect::Callback(Callback::Rescinded(message.offer_id)));
                }
            }
            Message::Update(message) => {
                if self.hears(from) {
                    self.on_update(*message, fx);
                }
            }
            Message::AgentLost(message) => {
                if self.hears(from) {
                    self.agents.remove(message.slave_id.value.as_str());
                    fx.push(Effect::Callback(Callback::AgentLost(message.slave_id)));
                }
            }
            Message::ExecutorLost(message) => {
                if self.hears(from) {
                    let internal::ExitedExecutorMessage { slave_id, executor_id, status, .. } = *message;
                    let callback = Callback::ExecutorLost { executor_id, agent_id: slave_id, status };
                    fx.push(Effect::Callback(callback));
                }
            }
        }
    }

    /// Whether a message comes from the master that knows this driver.
    fn hears(&self, from: &Pid) -> bool {
        self.connected().is_some_and(|leader| *leader == *from)
    }

    /// The leader, if it is the one that answers a registration.
    fn registering(&self, from: &Pid, what: &str, fx: &mut Vec<Effect>) -> Option<Pid> {
        let leading = match &self.phase {
            Phase::Registering { leader, .. } if *leader == *from => return Some(leader.clone()),
            Phase::Registering { leader, .. } => format!("leading master '{leader}'"),
            Phase::Away => "leading master, which is not known".to_owned(),
            // An answer to a registration that was sent twice.
            Phase::Connected { .. } | Phase::Aborted { .. } | Phase::Over => return None,
        };
        fx.push(Effect::Warn(format!(
            "Ignoring framework {what} message because it was sent from '{from}' instead of the {leading}"
        )));
        None
    }

    fn on_reregistered(
        &mut self,
        from: &Pid,
        message: internal::FrameworkReregisteredMessage,
        fx: &mut Vec<Effect>,
    ) {
        let internal::FrameworkReregisteredMessage { framework_id, master_info } = message;
        let Some(leader) = self.registering(from, "reregistered", fx) else { return };
        if let Some(id) = self.id()
            && *id != framework_id
        {
            let message = format!("The master reregistered framework {} as {}", id.value, framework_id.value);
            self.fail(message, fx);
            return;
        }
        fx.push(Effect::Info(format!("Framework reregistered with {}", framework_id.value)));
        self.framework.id = Some(framework_id);
        self.connect(leader, fx);
        fx.push(Effect::Callback(Callback::Reregistered(Box::new(master_info))));
    }

    fn on_offers(&mut self, message: internal::ResourceOffersMessage, fx: &mut Vec<Effect>) {
        let internal::ResourceOffersMessage { offers, pids } = message;
        if offers.is_empty() {
            return;
        }
        for (offer, pid) in offers.iter().zip(&pids) {
            if let Ok(pid) = pid.parse() {
                self.offers.insert(OfferId::from(&offer.id), (AgentId::from(&offer.agent_id), pid));
            }
        }
        fx.push(Effect::Callback(Callback::Offers(offers)));
    }

    fn on_update(&mut self, message: internal::StatusUpdateMessage, fx: &mut Vec<Effect>) {
        let internal::StatusUpdateMessage { update, pid } = message;
        let internal::StatusUpdate { slave_id, mut status, uuid, .. } = update;
        let uuid = uuid.filter(|uuid| !uuid.is_empty());
        let task_id = status.task_id.clone();
        // Only an update that an agent sent has an address, and is to be acknowledged by the scheduler.
        let from_agent = pid.is_some_and(|pid| !pid.is_empty());
        status.uuid = uuid.clone().filter(|_| from_agent);
        fx.push(Effect::Callback(Callback::Update(Box::new(status))));
        if let (true, Some(uuid), Some(agent_id)) = (self.implicit_acknowledgements, uuid, slave_id) {
            let call = self.acknowledgement(agent_id, task_id, uuid);
            if let Some(leader) = self.connected() {
                let message = Outgoing::Call(Box::new(call));
                fx.push(Effect::Acknowledge { to: leader.clone(), message });
            }
        }
    }

    /// The call that acknowledges an update.
    pub(super) fn acknowledgement(
        &self,
        agent_id: v1::AgentId,
        task_id: v1::TaskId,
        uuid: Bytes,
    ) -> proto::mesos::scheduler::Call {
        let mut call = self.call(Type::Acknowledge);
        call.acknowledge = Some(call::Acknowledge { agent_id, task_id, uuid });
        call
    }
}
