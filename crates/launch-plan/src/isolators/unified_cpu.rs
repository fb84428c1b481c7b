//! `cgroups/cpu` on version 2: a weight among its siblings, and a hard limit where it is asked for.

use crate::amounts::{Amounts, Limit};
use crate::facts::Settings;
use crate::plan::{Refusal, Step};

const WEIGHT_PER_CPU: u64 = 100;
const WEIGHT_PER_REVOCABLE_CPU: u64 = 1;
/// What the kernel takes.
const WEIGHT_MIN: u64 = 1;
const WEIGHT_MAX: u64 = 10_000;
const PERIOD_US: u64 = 100_000;
const QUOTA_MIN_US: u64 = 1_000;

/// The writes that set both.
pub(crate) fn limit(settings: &Settings, amounts: &Amounts, path: &str) -> Result<Vec<Step>, Refusal> {
    let Some(cpus_milli) = amounts.cpus_milli else {
        let message = "Failed to update the 'cpu' controller: No cpu resources requested";
        return Err(Refusal(message.to_owned()));
    };
    let low = settings.revocable_cpu_low_priority && amounts.has_revocable_cpus;
    let per_cpu = if low { WEIGHT_PER_REVOCABLE_CPU } else { WEIGHT_PER_CPU };
    let weight = (cpus_milli.saturating_mul(per_cpu) / 1000).clamp(WEIGHT_MIN, WEIGHT_MAX);
    let quota_us = match amounts.cpus_limit {
        Some(Limit::Infinite) => None,
        Some(Limit::Milli(milli)) => Some(quota_us(milli)),
        None => settings.enable_cfs.then(|| quota_us(cpus_milli)),
    };
    let quota = quota_us.map_or_else(|| "max".to_owned(), |quota| quota.to_string());
    let write = |file, value| Step::Write { path: path.to_owned(), file, value };
    Ok(vec![write("cpu.weight", weight.to_string()), write("cpu.max", format!("{quota} {PERIOD_US}"))])
}

fn quota_us(cpus_milli: u64) -> u64 {
    (cpus_milli.saturating_mul(PERIOD_US) / 1000).max(QUOTA_MIN_US)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolation::Isolation;

    fn check(amounts: &Amounts, enable_cfs: bool, expected: &[&str]) {
        let settings = Settings { enable_cfs, ..Settings::new(Isolation::posix()) };
        let steps = limit(&settings, amounts, "/c").unwrap();
        let values = steps.iter().map(|step| match step {
            Step::Write { value, .. } => value.as_str(),
            other => panic!("{other:?}"),
        });
        assert_eq!(values.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn cpus_become_weights_and_quotas() {
        let cpus = |milli| Amounts { cpus_milli: Some(milli), ..Amounts::default() };
        check(&cpus(100), false, &["10", "max 100000"]);
        check(&cpus(1), true, &["1", "1000 100000"]);
        check(&cpus(1_500), true, &["150", "150000 100000"]);
        check(&cpus(1_000_000), false, &["10000", "max 100000"]);
        check(&Amounts { has_revocable_cpus: true, ..cpus(2000) }, false, &["2", "max 100000"]);
        check(
            &Amounts { cpus_limit: Some(Limit::Milli(1500)), ..cpus(500) },
            false,
            &["50", "150000 100000"],
        );
        check(&Amounts { cpus_limit: Some(Limit::Infinite), ..cpus(500) }, true, &["50", "max 100000"]);
        assert!(limit(&Settings::new(Isolation::posix()), &Amounts::default(), "/c").is_err());
    }
}
