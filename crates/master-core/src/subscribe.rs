//! SUBSCRIBE: a framework comes, comes back, or takes over from its former self.

use std::collections::BTreeSet;
use std::sync::Arc;

use proto::mesos::internal::UpdateFrameworkMessage;
use proto::mesos::v1;
use proto::mesos::v1::scheduler;
use types::{FrameworkId, Pid, Principal, Role, Uuid};

use crate::Master;
use crate::allocation::framework_options;
use crate::connection::{Connection, Say, error_event};
use crate::effect::{Effect, Reply};
use crate::event::StreamId;
use crate::frameworks::{Framework, Phase, roles_of};
use crate::message::Outgoing;
use crate::offers::End;
use crate::operators;
use crate::step::{Due, Step};
use crate::validation;

/// Who subscribes, and over what.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// Over HTTP. It always takes over.
    Stream { stream: StreamId, uuid: Uuid },
    /// A driver. Without `force` it does not take over from another process.
    Driver { pid: Pid, force: bool },
}

impl Caller {
    fn connection(&self) -> Connection {
        match self {
            Self::Stream { stream, uuid } => Connection::Stream { stream: *stream, uuid: *uuid },
            Self::Driver { pid, force: _ } => Connection::Driver(pid.clone()),
        }
    }
}

/// What a framework says of itself.
pub(crate) struct Wish {
    pub(crate) info: v1::FrameworkInfo,
    pub(crate) suppressed: BTreeSet<Role>,
    pub(crate) constraints: Option<scheduler::OfferConstraints>,
}

impl Wish {
    pub(crate) fn new(
        info: v1::FrameworkInfo,
        suppressed: Vec<String>,
        constraints: Option<scheduler::OfferConstraints>,
    ) -> Self {
        Self { info, suppressed: suppressed.into_iter().map(Role::from).collect(), constraints }
    }
}

impl Master {
    pub(crate) fn on_subscribe(
        &mut self,
        stream: StreamId,
        uuid: Uuid,
        principal: Option<Principal>,
        call: scheduler::Call,
        step: &mut Step<'_>,
    ) {
        let caller = Caller::Stream { stream, uuid };
        if !self.serves() {
            return self.refuse(&caller, "Master has not finished recovery", step);
        }
        if let Err(why) = validation::call(&call, principal.as_ref()) {
            return self.refuse(&caller, format!("Failed to validate scheduler::Call: {why}"), step);
        }
        let Some(body) = call.subscribe else {
            return self.refuse(&caller, "Expecting 'subscribe' to be present", step);
        };
        let mut wish = Wish::new(body.framework_info, body.suppressed_roles, body.offer_constraints);
        if let Some(principal) = principal {
            wish.info.principal.get_or_insert_with(|| principal.as_str().to_owned());
        }
        self.subscribe(caller, wish, step);
    }

    /// Subscribes a framework, or says why not.
    pub(crate) fn subscribe(&mut self, caller: Caller, wish: Wish, step: &mut Step<'_>) {
        let id = wish.info.id.as_ref().map(|id| id.value.as_str()).unwrap_or_default();
        if id.is_empty() {
            self.counters().messages_register_framework += 1;
        } else {
            self.counters().messages_reregister_framework += 1;
        }
        if let Err(why) = self.check_wish(&wish) {
            return self.refuse(&caller, why, step);
        }
        if id.is_empty() {
            self.subscribe_new(&caller, wish, step);
        } else {
            let id = FrameworkId::from(id);
            self.subscribe_known(&id, &caller, wish, step);
        }
    }

    /// Whether a framework may be what it says it is.
    fn check_wish(&self, wish: &Wish) -> Result<(), String> {
        self.check_info(&wish.info)?;
        self.check_roles(wish)
    }

    fn check_info(&self, info: &v1::FrameworkInfo) -> Result<(), String> {
        validation::framework(info)?;
        if let Some(allowed) = &self.config.roles {
            let refused: Vec<_> = roles_of(info)
                .into_iter()
                .filter(|role| !role.is_any() && !allowed.iter().any(|a| a == role.as_str()))
                .collect();
            if !refused.is_empty() {
                let text = validation::set_text(refused.iter().map(Role::as_str));
                return Err(format!("Roles {text} are not present in the master's --roles"));
            }
        }
        if info.user == "root" && !self.config.root_submissions {
            return Err(
                "User 'root' is not allowed to run frameworks without --root_submissions set".to_owned()
            );
        }
        if info.id.as_ref().is_some_and(|id| self.frameworks.is_completed(&id.value)) {
            return Err("Framework has been removed".to_owned());
        }
        Ok(())
    }

    fn refuse(&mut self, caller: &Caller, why: impl Into<String>, step: &mut Step<'_>) {
        match caller {
            Caller::Stream { stream, .. } => {
                let stream = *stream;
                step.fx.push(Effect::SchedulerEvent { stream, event: error_event(why) });
                step.fx.push(Effect::Close { stream });
            }
            Caller::Driver { pid, .. } => {
                let message = why.into();
                let body = proto::mesos::internal::FrameworkErrorMessage { message };
                step.send(pid, Outgoing::FrameworkError(body));
            }
        }
    }

    fn subscribe_new(&mut self, caller: &Caller, mut wish: Wish, step: &mut Step<'_>) {
        // A driver asks again until it is answered.
        if let Caller::Driver { pid, .. } = caller
            && let Some(id) = self.frameworks.at_pid(pid)
        {
            return self.say_subscribed(&id, false, step);
        }
        let id = self.frameworks.next_id(&self.config.master.id);
        wish.info.id = Some((&id).into());
        let mut framework = Framework::new(id.clone(), wish.info, Phase::Connected, step.now.wall);
        framework.suppressed = wish.suppressed;
        framework.constraints = wish.constraints.map(Arc::new);
        self.allocator.add_framework(
            &id,
            &framework_options(&framework, &self.config),
            framework.is_active(),
        );
        framework.counters_mut().call(scheduler::call::Type::Subscribe);
        self.frameworks.add(framework);
        self.put_on_line(&id, caller, step);
        self.say_subscribed(&id, false, step);
        self.start_heartbeat(&id, step);
        self.publish_framework(&id, operators::framework_added, step);
    }

    fn subscribe_known(&mut self, id: &FrameworkId, caller: &Caller, mut wish: Wish, step: &mut Step<'_>) {
        if let Caller::Driver { pid, .. } = caller
            && self.frameworks.at_pid(pid).is_some_and(|other| other != *id)
        {
            // COMPAT(mesos): no answer, since it would reach the framework that is there.
            return;
        }
        if self.frameworks.get(id.as_str()).is_none() {
            // It had subscribed at an earlier master, and no agent runs anything of it.
            self.recover_framework(wish.info.clone(), step);
        }
        let Some(framework) = self.frameworks.get_mut(id.as_str()) else { return };
        wish.info.user.clone_from(&framework.info.user);
        wish.info.checkpoint = framework.info.checkpoint;
        if let Err(why) = validation::framework_update(&framework.info, &wish.info) {
            return self.refuse(caller, why, step);
        }
        let phase = framework.phase();
        if let Caller::Driver { pid, force: false } = caller
            && phase != Phase::Recovered
            && framework.pid() != Some(pid)
        {
            return self.refuse(caller, "Framework failed over", step);
        }
        framework.counters_mut().call(scheduler::call::Type::Subscribe);
        self.apply_wish(id, wish, step);
        match phase {
            Phase::Recovered => self.subscribe_recovered(id, caller, step),
            Phase::Connected | Phase::Disconnected => self.fail_over(id, caller, step),
        }
        self.spread_framework(id, step);
    }

    /// A framework that only agents knew is there.
    fn subscribe_recovered(&mut self, id: &FrameworkId, caller: &Caller, step: &mut Step<'_>) {
        let Some(framework) = self.frameworks.get_mut(id.as_str()) else { return };
        framework.registered_time = step.now.wall;
        framework.reregistered_time = step.now.wall;
        self.put_on_line(id, caller, step);
        self.activate(id);
        // COMPAT(mesos): for a driver this is a first registration at this master.
        self.say_subscribed(id, false, step);
        self.start_heartbeat(id, step);
    }

    /// A framework that this master knows is there again, perhaps at another place.
    fn fail_over(&mut self, id: &FrameworkId, caller: &Caller, step: &mut Step<'_>) {
        let Some(framework) = self.frameworks.get_mut(id.as_str()) else { return };
        framework.reregistered_time = step.now.wall;
        let same_driver = matches!(caller, Caller::Driver { pid, .. } if framework.pid() == Some(pid));
        let forced = match caller {
            Caller::Stream { .. } => true,
            Caller::Driver { force, .. } => *force,
        };
        if !same_driver && framework.is_connected() {
            framework.tell(Say::Error("Framework failed over".to_owned()), step.fx);
        }
        if !forced {
            // COMPAT(mesos): the driver may have answered offers before it knew that it
            // was disconnected, so they are withdrawn aloud.
            self.end_offers_of(id, End::Rescinded, step);
        }
        self.put_on_line(id, caller, step);
        self.end_offers_of(id, End::Discarded, step);
        self.activate(id);
        self.say_subscribed(id, !forced, step);
        self.start_heartbeat(id, step);
    }

    /// Makes `caller` the end of the framework's line, and ends the old one.
    fn put_on_line(&mut self, id: &FrameworkId, caller: &Caller, step: &mut Step<'_>) {
        let old = self.frameworks.connect(id, caller.connection());
        self.stop_timers_of(id);
        match (&old, caller) {
            (Connection::Stream { stream, .. }, _) => step.fx.push(Effect::Close { stream: *stream }),
            (Connection::Driver(old), Caller::Driver { pid, .. }) if old == pid => {}
            (Connection::Driver(old), _) => step.fx.push(Effect::Unlink { pid: old.clone() }),
            (Connection::None, _) => {}
        }
        if let Caller::Driver { pid, .. } = caller {
            step.fx.push(Effect::Link { pid: pid.clone(), reconnect: false });
        }
    }

    fn stop_timers_of(&mut self, id: &FrameworkId) {
        let Some(framework) = self.frameworks.get_mut(id.as_str()) else { return };
        for timer in [framework.heartbeat.take(), framework.failover.take()].into_iter().flatten() {
            self.timers.cancel(timer);
        }
    }

    fn say_subscribed(&mut self, id: &FrameworkId, again: bool, step: &mut Step<'_>) {
        let master = Box::new(self.config.master.clone());
        if let Some(framework) = self.frameworks.get_mut(id.as_str()) {
            framework.tell(Say::Subscribed { again, master }, step.fx);
        }
        self.begin_waiting(id, step);
        self.watch_starvation(id, step);
    }

    /// The first heartbeat comes at once: some clients see an event only when the
    /// next one follows (as observed of Mesos).
    fn start_heartbeat(&mut self, id: &FrameworkId, step: &mut Step<'_>) {
        let streams = |f: &&mut Framework| matches!(f.connection(), Connection::Stream { .. });
        let due = step.after(self.config.heartbeat_interval);
        let Some(framework) = self.frameworks.get_mut(id.as_str()).filter(streams) else { return };
        framework.tell(Say::Heartbeat, step.fx);
        framework.heartbeat = Some(self.timers.arm(due, Due::Heartbeat(id.clone())));
    }

    pub(crate) fn on_heartbeat_due(&mut self, id: &FrameworkId, step: &mut Step<'_>) {
        self.start_heartbeat(id, step);
    }

    fn activate(&mut self, id: &FrameworkId) {
        let Some(framework) = self.frameworks.get_mut(id.as_str()) else { return };
        if !framework.is_active() {
            framework.set_active(true);
            self.allocator.activate_framework(id);
        }
    }

    /// Takes over a framework's wishes; offers in roles that it left are withdrawn.
    fn apply_wish(&mut self, id: &FrameworkId, wish: Wish, step: &mut Step<'_>) {
        let roles = roles_of(&wish.info);
        let left: Vec<_> = self
            .frameworks
            .get(id.as_str())
            .into_iter()
            .flat_map(|framework| &framework.offers)
            .filter(|offer| self.offers.get(offer.as_str()).is_some_and(|o| !roles.contains(&o.role)))
            .cloned()
            .collect();
        for offer in left {
            self.end_offer(offer.as_str(), End::Rescinded, None, step);
        }
        let Some(framework) = self.frameworks.get_mut(id.as_str()) else { return };
        framework.describe(wish.info);
        framework.suppressed = wish.suppressed;
        framework.constraints = wish.constraints.map(Arc::new);
        self.allocator.update_framework(id, &framework_options(framework, &self.config));
    }

    /// Tells operators and all agents what a framework is now, and where.
    fn spread_framework(&mut self, id: &FrameworkId, step: &mut Step<'_>) {
        self.publish_framework(id, operators::framework_updated, step);
        let Some(framework) = self.frameworks.get(id.as_str()) else { return };
        for agent in self.agents.iter() {
            step.send(agent.pid(), Outgoing::UpdateFramework(Box::new(update_message(framework))));
        }
    }

    fn publish_framework(
        &mut self,
        id: &FrameworkId,
        event: impl Fn(&Framework) -> v1::master::Event,
        step: &mut Step<'_>,
    ) {
        if !self.operators.any() {
            return;
        }
        if let Some(event) = self.frameworks.get(id.as_str()).map(event) {
            self.publish(event, step);
        }
    }

    /// Records a framework that this master only heard of. Its tasks and executors
    /// follow from the agents.
    pub(crate) fn recover_framework(&mut self, info: v1::FrameworkInfo, step: &mut Step<'_>) {
        let Some(id) = info.id.as_ref().map(FrameworkId::from) else { return };
        let framework = Framework::new(id.clone(), info, Phase::Recovered, machine::WallTime::default());
        self.allocator.add_framework(
            &id,
            &framework_options(&framework, &self.config),
            framework.is_active(),
        );
        self.frameworks.add(framework);
        self.publish_framework(&id, operators::framework_added, step);
    }

    /// UPDATE_FRAMEWORK: what a framework says of itself changes while it is connected.
    pub(crate) fn update_framework(
        &mut self,
        id: &FrameworkId,
        body: scheduler::call::UpdateFramework,
        step: &mut Step<'_>,
    ) -> Reply {
        let wish = Wish::new(body.framework_info, body.suppressed_roles, body.offer_constraints);
        if let Err(why) = self.check_info(&wish.info) {
            return Reply::bad_request(format!("Supplied FrameworkInfo is not valid: {why}"));
        }
        let Some(framework) = self.frameworks.get(id.as_str()) else {
            return Reply::bad_request("Framework cannot be found");
        };
        if let Err(why) = validation::framework_update(&framework.info, &wish.info) {
            return Reply::bad_request(format!("FrameworkInfo update is not valid: {why}"));
        }
        if let Err(why) = self.check_roles(&wish) {
            return Reply::bad_request(format!("'UpdateFramework' call is not valid: {why}"));
        }
        let changed = *framework.info != wish.info;
        self.apply_wish(id, wish, step);
        if changed {
            self.spread_framework(id, step);
        }
        Reply::ok()
    }
}

impl Master {
    /// Whether the roles that are suppressed or constrained are among the framework's.
    fn check_roles(&self, wish: &Wish) -> Result<(), String> {
        let roles = roles_of(&wish.info);
        let strange: Vec<_> = wish.suppressed.difference(&roles).map(Role::as_str).collect();
        if !strange.is_empty() {
            let text = validation::set_text(strange);
            return Err(format!("Suppressed roles {text} are not contained in the set of roles"));
        }
        let constrained = wish.constraints.iter().flat_map(|all| &all.role_constraints);
        for (role, _) in constrained {
            if !roles.contains(role.as_str()) {
                return Err(format!(
                    "Offer constraints specify `role_constraints` for a role '{role}'not contained in the set of roles"
                ));
            }
        }
        if let Some(constraints) = &wish.constraints {
            validation::constraints(constraints, self.config.pattern_limits)
                .map_err(|why| format!("Offer constraints are not valid: {why}"))?;
        }
        Ok(())
    }
}

/// What agents are told of a framework.
pub(crate) fn update_message(framework: &Framework) -> UpdateFrameworkMessage {
    UpdateFrameworkMessage {
        framework_id: (&framework.id).into(),
        pid: framework.pid_text(),
        framework_info: Some((*framework.info).clone()),
    }
}
