//! Quotas in the registry.

use std::collections::BTreeMap;

use proto::mesos::internal::registry::MinimumCapability;
use proto::mesos::v1::quota::QuotaConfig;

use super::State;
use crate::validation::quota::{of_config, of_guarantee, to_config};
use types::Role;

/// What a master must know to lead with a registry that has quotas of this kind.
const QUOTA_V2: &str = "QUOTA_V2";

impl State {
    /// The quotas of all roles; in those of the old kind a guarantee is a limit as well.
    #[must_use]
    pub fn quotas(&self) -> Vec<QuotaConfig> {
        #[expect(deprecated, reason = "registries of old masters have quotas of the old kind")]
        let old = self
            .rest
            .quotas
            .iter()
            .map(|quota| to_config(&Role::from(quota.info.role()), &of_guarantee(&quota.info.guarantee)));
        old.chain(self.rest.quota_configs.iter().cloned()).collect()
    }

    /// Sets the quotas of roles, and forgets those of the old kind of these roles.
    pub(super) fn update_quota(&mut self, configs: &[QuotaConfig]) {
        let kept = std::mem::take(&mut self.rest.quota_configs);
        let mut by_role: BTreeMap<String, QuotaConfig> =
            kept.into_iter().map(|config| (config.role.clone(), config)).collect();
        for config in configs {
            if of_config(config).is_default() {
                by_role.remove(&config.role);
            } else {
                by_role.insert(config.role.clone(), config.clone());
            }
        }
        #[expect(deprecated, reason = "registries of old masters have quotas of the old kind")]
        self.rest.quotas.retain(|old| configs.iter().all(|config| old.info.role() != config.role));
        self.rest.quota_configs = by_role.into_values().collect();
        let minimum = &mut self.rest.minimum_capabilities;
        minimum.retain(|one| one.capability != QUOTA_V2);
        if !self.rest.quota_configs.is_empty() {
            minimum.push(MinimumCapability { capability: QUOTA_V2.to_owned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::mesos::internal::Registry;
    use proto::mesos::v1::quota::QuotaInfo;
    use proto::mesos::v1::value;

    use super::super::Operation;
    use super::*;

    fn config(role: &str, cpus: &[f64]) -> QuotaConfig {
        let limits = cpus.iter().map(|cpus| ("cpus".to_owned(), value::Scalar { value: *cpus }));
        QuotaConfig { role: role.to_owned(), limits: limits.collect(), ..QuotaConfig::default() }
    }

    #[test]
    fn quotas_replace_those_of_their_roles() {
        let old = |role: &str| proto::mesos::internal::registry::Quota {
            info: QuotaInfo { role: Some(role.to_owned()), ..QuotaInfo::default() },
        };
        #[expect(deprecated, reason = "registries of old masters have quotas of the old kind")]
        let before = Registry { quotas: vec![old("eng"), old("ops")], ..Registry::default() };
        let mut state = State::from(before);
        let update = |state: &mut State, configs: &[QuotaConfig]| {
            assert!(state.apply(&Operation::UpdateQuota(configs.to_vec())));
            let registry = Registry::from(&*state);
            let minimum: Vec<_> =
                registry.minimum_capabilities.into_iter().map(|one| one.capability).collect();
            #[expect(deprecated, reason = "registries of old masters have quotas of the old kind")]
            let old: Vec<_> = registry.quotas.iter().map(|quota| quota.info.role().to_owned()).collect();
            let new: Vec<_> = registry.quota_configs.into_iter().map(|config| config.role).collect();
            (old.join(" "), new.join(" "), minimum.join(" "))
        };
        let all = |old: &str, new: &str, minimum: &str| (old.to_owned(), new.to_owned(), minimum.to_owned());
        let both = [config("web", &[2.0]), config("eng", &[0.0])];
        assert_eq!(update(&mut state, &both), all("ops", "eng web", "QUOTA_V2"));
        assert_eq!(update(&mut state, &[config("web", &[3.0])]), all("ops", "eng web", "QUOTA_V2"));
        assert_eq!(update(&mut state, &[config("ops", &[])]), all("", "eng web", "QUOTA_V2"));
        let none = [config("web", &[]), config("eng", &[])];
        assert_eq!(update(&mut state, &none), all("", "", ""));
    }
}
