//! Whether a `FrameworkInfo` is one, and whether it may replace another.

use std::collections::BTreeSet;
use std::num::FpCategory;

use proto::mesos::v1::{FrameworkInfo, OfferFilters};
use types::{check_id, check_role};

use super::{number_text, set_text};
use crate::capabilities::FrameworkCapabilities;

pub(crate) fn framework(info: &FrameworkInfo) -> Result<(), String> {
    roles(info)?;
    if let Some(id) = info.id.as_ref().filter(|id| !id.value.is_empty()) {
        check_id(&id.value).map_err(|why| why.to_string())?;
    }
    for filters in info.offer_filters.values() {
        offer_filters(filters)?;
    }
    failover_timeout(info.failover_timeout())
}

fn roles(info: &FrameworkInfo) -> Result<(), String> {
    #[expect(deprecated, reason = "the role of frameworks without MULTI_ROLE")]
    let role = info.role.as_deref();
    if !FrameworkCapabilities::of(&info.capabilities).multi_role {
        if !info.roles.is_empty() {
            return Err("'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable"
                .to_owned());
        }
        return check_role(role.unwrap_or("*"))
            .map_err(|why| format!("'FrameworkInfo.role' is not a valid role: {why}"));
    }
    if role.is_some() {
        return Err(
            "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable".to_owned()
        );
    }
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<_> = info.roles.iter().filter(|role| !seen.insert(*role)).collect();
    if !twice.is_empty() {
        let text = set_text(twice.into_iter().map(String::as_str));
        return Err(format!("'FrameworkInfo.roles' contains duplicate items: {text}"));
    }
    info.roles.iter().try_for_each(|role| {
        check_role(role).map_err(|why| format!("'FrameworkInfo.roles' contains invalid role: {why}"))
    })
}

fn offer_filters(filters: &OfferFilters) -> Result<(), String> {
    let Some(minimum) = &filters.min_allocatable_resources else { return Ok(()) };
    for clause in &minimum.quantities {
        if clause.quantities.is_empty() {
            return Err("Resource quantities must contain at least one quantity".to_owned());
        }
        for (name, amount) in &clause.quantities {
            scalar(amount.value).map_err(|why| format!("Invalid resource quantity for '{name}': {why}"))?;
        }
    }
    Ok(())
}

pub(crate) fn scalar(value: f64) -> Result<(), &'static str> {
    match value.classify() {
        FpCategory::Infinite => Err("Infinite values not supported"),
        FpCategory::Nan => Err("NaN not supported"),
        FpCategory::Subnormal => Err("Subnormal values not supported"),
        FpCategory::Normal if value < 0.0 => Err("Negative values not supported"),
        FpCategory::Zero | FpCategory::Normal => Ok(()),
    }
}

/// A timeout must fit 64 bits of nanoseconds. Negative ones are allowed.
fn failover_timeout(seconds: f64) -> Result<(), String> {
    const MAX: f64 = 9_223_372_036.0;
    if seconds.abs() <= MAX {
        return Ok(());
    }
    Err(format!("The framework failover_timeout ({}) is invalid", number_text(seconds)))
}

/// Whether a framework of description `old` may become `new`.
pub(crate) fn framework_update(old: &FrameworkInfo, new: &FrameworkInfo) -> Result<(), String> {
    if old.principal != new.principal {
        return Err("Changing framework's principal is not allowed.".to_owned());
    }
    if old.user != new.user {
        return Err(format!(
            "Updating 'FrameworkInfo.user' is unsupported; attempted to update from '{}' to '{}'",
            old.user, new.user
        ));
    }
    if old.checkpoint() != new.checkpoint() {
        return Err(format!(
            "Updating 'FrameworkInfo.checkpoint' is unsupported; attempted to update from '{}' to '{}'",
            old.checkpoint(),
            new.checkpoint()
        ));
    }
    Ok(())
}
