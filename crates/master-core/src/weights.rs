//! The weights of roles: from the registry, or from `--weights` where it has none.

use std::collections::BTreeMap;
use std::sync::Arc;

use allocator::Weight;
use proto::mesos::internal::registry;
use proto::mesos::v1;
use types::Role;

use crate::Master;
use crate::effect::Effect;
use crate::pending::Pending;
use crate::registry::Operation;
use crate::step::Step;

/// The weights that were set; every other role has 1.
pub type Weights = BTreeMap<Role, f64>;

/// Reads `--weights`: `role=weight`, divided by commas. `allowed` are the roles of
/// `--roles`, where it is set. The refusals are those of Mesos.
pub fn parse_weights(text: &str, allowed: Option<&[String]>) -> Result<Weights, String> {
    let mut weights = Weights::new();
    for token in text.split(',').filter(|token| !token.is_empty()) {
        let mut parts = token.split('=').filter(|part| !part.is_empty());
        let (Some(role), Some(weight), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(format!(
                "Invalid weight: '{token}'. --weights should be of the form 'role=weight,role=weight'"
            ));
        };
        if !is_allowed(role, allowed) || types::check_role(role).is_err() {
            return Err(format!("Invalid weight: '{token}'. {role} is not a valid role"));
        }
        let weight = weight.trim().parse().unwrap_or(0.0);
        if Weight::from_f64(weight).is_none() {
            return Err(format!("Invalid weight: '{token}'. Weights must be positive"));
        }
        weights.insert(Role::from(role), weight);
    }
    Ok(weights)
}

/// Whether `--roles` lets a role be.
pub(crate) fn is_allowed(role: &str, allowed: Option<&[String]>) -> bool {
    allowed.is_none_or(|allowed| role == "*" || allowed.iter().any(|one| one == role))
}

impl Master {
    /// Takes over the weights of the registry, or those of `--weights` where it has
    /// none; the latter are then the registry's.
    pub(crate) fn recover_weights(&mut self, stored: &[registry::Weight], step: &mut Step<'_>) {
        let flag = self.config.weights.clone();
        if !stored.is_empty() {
            if !flag.is_empty() {
                step.fx.push(Effect::Log(
                    "Ignoring --weights and recovering the weights from the registry".to_owned(),
                ));
            }
            self.set_weights(stored.iter().map(|weight| &weight.info));
        } else if !flag.is_empty() {
            let infos: Vec<_> = flag.iter().map(|(role, weight)| info(role, *weight)).collect();
            self.set_weights(infos.iter());
            self.ask_registry(
                Operation::UpdateWeights(infos.clone()),
                Pending::Weights { infos, request: None },
                step,
            );
        }
    }

    /// Notes weights here and in the allocator.
    pub(crate) fn set_weights<'a>(&mut self, infos: impl Iterator<Item = &'a v1::WeightInfo>) {
        let weights = Arc::make_mut(&mut self.weights);
        for info in infos {
            let role = Role::from(info.role());
            // A registry that somebody else wrote may hold anything.
            let Some(weight) = Weight::from_f64(info.weight) else { continue };
            self.allocator.set_weight(&role, weight);
            weights.insert(role, info.weight);
        }
    }
}

pub(crate) fn info(role: &Role, weight: f64) -> v1::WeightInfo {
    v1::WeightInfo { role: Some(role.as_str().to_owned()), weight }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_is_read_or_refused_as_in_mesos() {
        let allowed = Some(["eng".to_owned()]);
        let read = |text| parse_weights(text, allowed.as_ref().map(|roles| &roles[..]));
        let weights = read("eng=2.5,*=3,").unwrap();
        assert_eq!(weights, Weights::from([("eng".into(), 2.5), ("*".into(), 3.0)]));
        for (text, why) in [
            ("eng", "Invalid weight: 'eng'. --weights should be of the form 'role=weight,role=weight'"),
            ("web=1", "Invalid weight: 'web=1'. web is not a valid role"),
            ("eng=0", "Invalid weight: 'eng=0'. Weights must be positive"),
            ("eng=-1", "Invalid weight: 'eng=-1'. Weights must be positive"),
            ("eng=nan", "Invalid weight: 'eng=nan'. Weights must be positive"),
            ("eng=much", "Invalid weight: 'eng=much'. Weights must be positive"),
        ] {
            assert_eq!(read(text), Err(why.to_owned()), "{text}");
        }
        assert!(parse_weights("web/x=1", None).is_ok());
    }
}
