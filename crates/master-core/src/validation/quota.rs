//! Whether a quota is one.

use std::collections::{BTreeMap, BTreeSet};

use allocator::Quota;
use proto::mesos::v1;
use proto::mesos::v1::quota::{QuotaConfig, QuotaRequest};
use resources::{Limits, Name, Quantities, Scalar, general};
use types::{Role, check_role};

use super::framework::scalar;

/// An exbibyte in mebibytes: the most mem or disk of a quota.
const EXABYTE: u64 = 1 << 40;

/// The most of everything else.
const TRILLION: u64 = 1_000_000_000_000;

type Amounts = BTreeMap<String, v1::value::Scalar>;

/// The quota of a configuration, checked.
pub(crate) fn config(config: &QuotaConfig) -> Result<Quota, String> {
    check_role(&config.role).map_err(|why| format!("Invalid 'QuotaConfig.role': {why}"))?;
    bounded(&config.guarantees).map_err(|why| format!("Invalid 'QuotaConfig.guarantees': {why}"))?;
    bounded(&config.limits).map_err(|why| format!("Invalid 'QuotaConfig.limits': {why}"))?;
    sane(&config.guarantees, "guarantee")?;
    sane(&config.limits, "limit")?;
    let quota = of_config(config);
    if quota.limits.contains(&quota.guarantees) {
        return Ok(quota);
    }
    Err(format!(
        "'QuotaConfig.guarantees' {} is not contained within the 'QuotaConfig.limits' {}",
        text(&config.guarantees),
        text(&config.limits)
    ))
}

/// The quota of a configuration that was checked before, as one of the registry.
pub(crate) fn of_config(config: &QuotaConfig) -> Quota {
    let guarantees = config.guarantees.iter().filter_map(|(name, amount)| Some((name, fixed(amount)?)));
    let mut quota = Quota::default();
    guarantees.for_each(|(name, amount)| quota.guarantees.add(&Name::from(name.as_str()), amount));
    for (name, amount) in &config.limits {
        if let Some(bound) = fixed(amount) {
            quota.limits.set(&Name::from(name.as_str()), bound);
        }
    }
    quota
}

/// The configuration that says a quota.
pub(crate) fn to_config(role: &Role, quota: &Quota) -> QuotaConfig {
    let amount = |(name, amount): (&Name, &Scalar)| {
        (name.as_str().to_owned(), v1::value::Scalar { value: amount.as_f64() })
    };
    QuotaConfig {
        role: role.as_str().to_owned(),
        guarantees: quota.guarantees.iter().map(amount).collect(),
        limits: quota.limits.iter().map(amount).collect(),
    }
}

/// The quota of a request of the old kind, in which a guarantee is a limit as well.
pub(crate) fn request(request: &QuotaRequest) -> Result<Quota, String> {
    let valid = request.guarantee.iter().try_for_each(resources::validate::resource);
    valid.map_err(|why| format!("QuotaInfo with invalid resource: {why}"))?;
    let Some(role) = &request.role else { return Err("QuotaInfo must specify a role".to_owned()) };
    check_role(role).map_err(|why| format!("QuotaInfo with invalid role: {why}"))?;
    if request.guarantee.is_empty() {
        return Err("QuotaInfo with empty 'guarantee'".to_owned());
    }
    let mut names = BTreeSet::new();
    request.guarantee.iter().try_for_each(|resource| guarantee(resource, &mut names))?;
    Ok(of_guarantee(&request.guarantee))
}

fn guarantee<'a>(resource: &'a v1::Resource, names: &mut BTreeSet<&'a str>) -> Result<(), String> {
    #[expect(deprecated, reason = "the form of reservations before their refinement")]
    let of_role = resource.role.as_deref().is_some_and(|role| role != "*") || resource.reservation.is_some();
    let refused = |what: &str| Err(format!("QuotaInfo must not {what}"));
    if !resource.reservations.is_empty() || of_role {
        return refused("contain any ReservationInfo");
    }
    if resource.disk.is_some() {
        return refused("contain DiskInfo");
    }
    if resource.revocable.is_some() {
        return refused("contain RevocableInfo");
    }
    if resource.scalar.is_none() {
        return refused("include non-scalar resources");
    }
    if !names.insert(&resource.name) {
        return Err(format!("QuotaInfo contains duplicate resource name '{}'", resource.name));
    }
    Ok(())
}

/// The quota of the old kind with this guarantee.
pub(crate) fn of_guarantee(guarantee: &[v1::Resource]) -> Quota {
    let scalars = guarantee
        .iter()
        .filter_map(|resource| Some((Name::from(resource.name.as_str()), fixed(resource.scalar.as_ref()?)?)));
    let scalars: Vec<_> = scalars.collect();
    Quota {
        guarantees: scalars.iter().map(|(name, amount)| (name, *amount)).collect::<Quantities>(),
        limits: scalars.iter().map(|(name, amount)| (name, *amount)).collect::<Limits>(),
    }
}

fn fixed(amount: &v1::value::Scalar) -> Option<Scalar> {
    Scalar::from_f64(amount.value)
}

fn bounded(amounts: &Amounts) -> Result<(), String> {
    for (name, amount) in amounts {
        let (most, words) = match name.as_str() {
            "mem" | "disk" => (EXABYTE, "1 exabyte"),
            _ => (TRILLION, "1 trillion"),
        };
        #[expect(clippy::cast_precision_loss, reason = "both bounds are exact")]
        if amount.value > most as f64 {
            let value = general(amount.value);
            return Err(format!(
                "{{'{name}': {value}}} is invalid: values greater than {words} ({most}) are not supported"
            ));
        }
    }
    Ok(())
}

fn sane(amounts: &Amounts, kind: &str) -> Result<(), String> {
    amounts.iter().try_for_each(|(name, amount)| {
        scalar(amount.value).map_err(|why| {
            format!("Invalid {kind} configuration {{'{name}': {}}}: {why}", general(amount.value))
        })
    })
}

fn text(amounts: &Amounts) -> String {
    let pairs: Vec<_> =
        amounts.iter().map(|(name, amount)| format!("{name}: {}", general(amount.value))).collect();
    super::set_text(pairs.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amounts(pairs: &[(&str, f64)]) -> Amounts {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), v1::value::Scalar { value: *value })).collect()
    }

    #[test]
    fn configurations_are_refused_with_their_numbers() {
        let check = |role: &str, guarantees: &[(&str, f64)], limits: &[(&str, f64)]| {
            let config = QuotaConfig {
                role: role.to_owned(),
                guarantees: amounts(guarantees),
                limits: amounts(limits),
            };
            super::config(&config).map(|quota| to_config(&Role::from(role), &quota) == config)
        };
        assert_eq!(check("eng", &[("cpus", 1.5)], &[("cpus", 2.0), ("mem", 0.0)]), Ok(true));
        assert_eq!(check("*", &[], &[]), Ok(true));
        for (role, guarantees, limits, why) in [
            ("", vec![], vec![], "Invalid 'QuotaConfig.role': Role names cannot be the empty string"),
            (
                "a b",
                vec![],
                vec![],
                "Invalid 'QuotaConfig.role': Role component 'a b' is invalid because it contains backspace or \
                 whitespace",
            ),
            (
                "eng",
                vec![("mem", 1e13)],
                vec![],
                "Invalid 'QuotaConfig.guarantees': {'mem': 10000000000000} is invalid: values greater than 1 \
                 exabyte (1099511627776) are not supported",
            ),
            (
                "eng",
                vec![],
                vec![("cpus", f64::INFINITY)],
                "Invalid 'QuotaConfig.limits': {'cpus': inf} is invalid: values greater than 1 trillion \
                 (1000000000000) are not supported",
            ),
            (
                "eng",
                vec![("cpus", -1.0)],
                vec![],
                "Invalid guarantee configuration {'cpus': -1}: Negative values not supported",
            ),
            (
                "eng",
                vec![],
                vec![("cpus", f64::NAN)],
                "Invalid limit configuration {'cpus': NaN}: NaN not supported",
            ),
            (
                "eng",
                vec![("cpus", 2.0)],
                vec![("cpus", 1.0)],
                "'QuotaConfig.guarantees' { cpus: 2 } is not contained within the 'QuotaConfig.limits' { cpus: 1 }",
            ),
        ] {
            assert_eq!(check(role, &guarantees, &limits), Err(why.to_owned()));
        }
    }
}
