//! UPDATE_WEIGHTS.

use allocator::Weight;
use proto::mesos::v1;
use proto::mesos::v1::master::call;
use resources::Resources;
use types::{Role, check_role};

use super::Asker;
use crate::Master;
use crate::effect::{Effect, Reply};
use crate::event::RequestId;
use crate::pending::Pending;
use crate::registry::Operation;
use crate::step::Step;
use crate::validation::number_text;
use crate::weights::is_allowed;

impl Master {
    pub(crate) fn update_weights(
        &mut self,
        asker: Asker<'_>,
        body: call::UpdateWeights,
        step: &mut Step<'_>,
    ) -> Option<Reply> {
        let infos = body.weight_infos.into_iter().map(|info| self.checked(info));
        let infos: Vec<_> = match infos.collect() {
            Ok(infos) => infos,
            Err(why) => return Some(Reply::bad_request(why)),
        };
        let pending = Pending::Weights { infos: infos.clone(), request: Some(asker.request) };
        self.ask_registry(Operation::UpdateWeights(infos), pending, step);
        None
    }

    fn checked(&self, info: v1::WeightInfo) -> Result<v1::WeightInfo, String> {
        let role = info.role().trim();
        let refuse = |why: String| Err(format!("Failed to validate update weights request JSON{why}"));
        if let Err(why) = check_role(role) {
            return refuse(format!(": Invalid role '{role}': {why}"));
        }
        if !is_allowed(role, self.config.roles.as_deref()) {
            return refuse(format!(": Unknown role '{role}'"));
        }
        if Weight::from_f64(info.weight).is_none() {
            let weight = number_text(info.weight);
            return refuse(format!(
                " for role '{role}': Invalid weight '{weight}': Weights must be positive"
            ));
        }
        Ok(v1::WeightInfo { role: Some(role.to_owned()), weight: info.weight })
    }

    /// The registry has the weights: they count from now on.
    pub(crate) fn on_weights_stored(
        &mut self,
        infos: &[v1::WeightInfo],
        request: Option<RequestId>,
        step: &mut Step<'_>,
    ) {
        // Those of the flag count since the registry was read.
        let Some(request) = request else { return };
        self.set_weights(infos.iter());
        // All offers are made anew if any weight matters now (as observed of Mesos).
        if infos.iter().any(|info| self.is_in_use(&Role::from(info.role()))) {
            let agents: Vec<_> = self.agents.iter().map(|agent| agent.id().clone()).collect();
            agents.iter().for_each(|agent| self.end_offers_on(agent, step));
        }
        step.fx.push(Effect::Reply { request, reply: Reply::ok() });
    }

    /// Whether a framework is subscribed in a role, or holds or is offered something in it.
    fn is_in_use(&self, role: &Role) -> bool {
        let holds = |resources: &Resources| resources.allocation_roles().contains(role);
        self.frameworks.iter().any(|framework| {
            framework.roles.contains(role)
                || holds(framework.offered())
                || framework.used().values().any(holds)
        })
    }
}
