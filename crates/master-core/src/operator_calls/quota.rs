//! SET_QUOTA, REMOVE_QUOTA and UPDATE_QUOTA.
//!
//! All three become one change of the registry. When it is durable the allocator is
//! told, and offers are withdrawn that stand in its way: of roles above their new
//! limits, and of others until what is free would do for the guarantees.

use allocator::Quota;
use proto::mesos::v1::master::call;
use proto::mesos::v1::quota::{QuotaConfig, QuotaRequest};
use resources::Quantities;
use types::Role;

use super::Asker;
use crate::Master;
use crate::effect::{Effect, Reply};
use crate::event::RequestId;
use crate::pending::Pending;
use crate::quotas::guaranteed;
use crate::registry::Operation;
use crate::step::Step;
use crate::validation::quota as check;

/// Which offers are withdrawn for a change.
#[derive(Debug)]
pub(crate) enum Rescind {
    /// None: a quota was removed.
    None,
    /// All offers of agents, one by one, for a guarantee of the old kind.
    Agents(Box<QuotaRequest>),
    /// Offers one by one, for limits and for guarantees.
    Offers,
}

impl Master {
    pub(crate) fn set_quota(
        &mut self,
        asker: Asker<'_>,
        body: call::SetQuota,
        step: &mut Step<'_>,
    ) -> Option<Reply> {
        match self.check_set_quota(&body.quota_request) {
            Ok(config) => {
                let rescind = Rescind::Agents(Box::new(body.quota_request));
                self.change_quota(asker.request, vec![config], rescind, step);
                None
            }
            Err(refusal) => Some(refusal),
        }
    }

    pub(crate) fn remove_quota(
        &mut self,
        asker: Asker<'_>,
        body: call::RemoveQuota,
        step: &mut Step<'_>,
    ) -> Option<Reply> {
        if !self.quotas.decided.contains_key(body.role.as_str()) {
            let why = format!("Failed to remove quota: Role '{}' has no quota set", body.role);
            return Some(Reply::bad_request(why));
        }
        let config = QuotaConfig { role: body.role, ..QuotaConfig::default() };
        self.change_quota(asker.request, vec![config], Rescind::None, step);
        None
    }

    pub(crate) fn update_quota(
        &mut self,
        asker: Asker<'_>,
        body: call::UpdateQuota,
        step: &mut Step<'_>,
    ) -> Option<Reply> {
        if let Err(why) = self.check_update_quota(&body) {
            return Some(Reply::bad_request(why));
        }
        self.change_quota(asker.request, body.quota_configs, Rescind::Offers, step);
        None
    }

    fn change_quota(
        &mut self,
        request: RequestId,
        configs: Vec<QuotaConfig>,
        rescind: Rescind,
        step: &mut Step<'_>,
    ) {
        self.quotas.decide(&configs);
        let operation = Operation::UpdateQuota(configs.clone());
        self.ask_registry(operation, Pending::Quota { request, configs, rescind }, step);
    }

    pub(crate) fn on_quota_changed(
        &mut self,
        request: RequestId,
        configs: &[QuotaConfig],
        rescind: &Rescind,
        step: &mut Step<'_>,
    ) {
        self.enforce(configs);
        match rescind {
            Rescind::None => {}
            Rescind::Agents(request) => self.rescind_agents(request, step),
            Rescind::Offers => self.rescind_for_quota(configs, step),
        }
        step.fx.push(Effect::Reply { request, reply: Reply::ok() });
    }

    fn allows_role(&self, role: &str) -> bool {
        let allowed = self.config.roles.as_ref();
        allowed.is_none_or(|allowed| role == "*" || allowed.iter().any(|one| one == role))
    }

    fn check_set_quota(&self, request: &QuotaRequest) -> Result<QuotaConfig, Reply> {
        let refuse = |why: String| Reply::bad_request(format!("Failed to validate set quota request: {why}"));
        let quota = check::request(request).map_err(refuse)?;
        let role = request.role();
        if !self.allows_role(role) {
            return Err(refuse(format!("Unknown role '{role}'")));
        }
        if self.quotas.decided.contains_key(role) {
            return Err(refuse(format!("Cannot set quota for role '{role}' which already has quota")));
        }
        if role.contains('/') {
            let why = format!("Setting quota on nested role '{role}' is not supported yet");
            return Err(Reply::bad_request(why));
        }
        let total = guaranteed(self.quotas.decided.values().chain([&quota]));
        let capacity = self.capacity();
        if !request.force() && !capacity.contains(&total) {
            return Err(Reply::conflict(format!(
                "Quota guarantees overcommit the cluster (use 'force' to bypass this check): Total quota \
                 guarantees '{total}' exceed cluster capacity '{capacity}'"
            )));
        }
        Ok(check::to_config(&Role::from(role), &quota))
    }

    fn check_update_quota(&self, body: &call::UpdateQuota) -> Result<(), String> {
        let mut wanted = self.quotas.decided.clone();
        let mut changed: Vec<(Role, Quota)> = Vec::new();
        for config in &body.quota_configs {
            let role = config.role.as_str();
            if !self.allows_role(role) {
                return Err(format!("Invalid QuotaConfig: '{role}' is not on the roles whitelist"));
            }
            if role.contains('/') {
                return Err(format!("Updating quota on nested role '{role}' is not supported yet"));
            }
            let quota = check::config(config).map_err(|why| format!("Invalid QuotaConfig: {why}"))?;
            wanted.insert(Role::from(role), quota.clone());
            changed.push((Role::from(role), quota));
        }
        if body.force() {
            return Ok(());
        }
        let offered = self.offered_by_role();
        for (role, Quota { limits, .. }) in changed.iter().filter(|(_, quota)| !quota.limits.is_empty()) {
            let consumed = self.consumed_quota(role, &offered);
            if !limits.contains(&consumed) {
                return Err(format!(
                    "Invalid QuotaConfig: Role '{role}' is already consuming '{consumed}'; this is more than \
                     the requested limits '{limits}' (use 'force' flag to bypass this check)"
                ));
            }
        }
        let (total, capacity) = (guaranteed(wanted.values()), self.capacity());
        if !capacity.contains(&total) {
            return Err(format!(
                "Invalid QuotaConfig: total quota guarantees '{total}' exceed cluster capacity '{capacity}' \
                 (use 'force' flag to bypass this check)"
            ));
        }
        Ok(())
    }

    /// The non-revocable scalars of all registered agents, connected or not.
    fn capacity(&self) -> Quantities {
        let mut sum = Quantities::new();
        for agent in self.agents.iter() {
            for resource in agent.view().total.iter().filter(|resource| !resource.is_revocable()) {
                if let Some(amount) = resource.as_scalar() {
                    sum.add(resource.name(), amount);
                }
            }
        }
        sum
    }
}
