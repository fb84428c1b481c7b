//! `cgroups/cpu`: a share of the cpus, and a hard limit where it is asked for.

use crate::amounts::{Amounts, Limit};
use crate::facts::Settings;
use crate::plan::{Refusal, Step};

const SHARES_PER_CPU: u64 = 1024;
const SHARES_PER_REVOCABLE_CPU: u64 = 10;
/// The least that the kernel takes.
const SHARES_MIN: u64 = 2;
const PERIOD_US: u64 = 100_000;
const QUOTA_MIN_US: u64 = 1_000;

/// The writes that set both.
pub(crate) fn limit(settings: &Settings, amounts: &Amounts, path: &str) -> Result<Vec<Step>, Refusal> {
    let Some(cpus_milli) = amounts.cpus_milli else {
        return Err(Refusal("Failed to update subsystem 'cpu': No cpus resource given".to_owned()));
    };
    let low = settings.revocable_cpu_low_priority && amounts.has_revocable_cpus;
    let per_cpu = if low { SHARES_PER_REVOCABLE_CPU } else { SHARES_PER_CPU };
    let shares = (cpus_milli.saturating_mul(per_cpu) / 1000).max(SHARES_MIN);
    let write = |file, value: String| Step::Write { path: path.to_owned(), file, value };
    let mut steps = vec![write("cpu.shares", shares.to_string())];
    let quota = match amounts.cpus_limit {
        Some(Limit::Infinite) => Some("-1".to_owned()),
        Some(Limit::Milli(milli)) => Some(quota_us(milli).to_string()),
        None => settings.enable_cfs.then(|| quota_us(cpus_milli).to_string()),
    };
    if let Some(quota) = quota {
        steps.push(write("cpu.cfs_period_us", PERIOD_US.to_string()));
        steps.push(write("cpu.cfs_quota_us", quota));
    }
    Ok(steps)
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
        let values = limit(&settings, amounts, "/c").unwrap().into_iter().map(|step| match step {
            Step::Write { value, .. } => value,
            other => panic!("{other:?}"),
        });
        assert_eq!(values.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn shares_and_quotas() {
        let cpus = |milli| Amounts { cpus_milli: Some(milli), ..Amounts::default() };
        check(&cpus(100), false, &["102"]);
        check(&cpus(1), false, &["2"]);
        check(&cpus(500), true, &["512", "100000", "50000"]);
        check(&cpus(1), true, &["2", "100000", "1000"]);
        check(&Amounts { has_revocable_cpus: true, ..cpus(2000) }, false, &["20"]);
        check(
            &Amounts { cpus_limit: Some(Limit::Milli(1500)), ..cpus(500) },
            false,
            &["512", "100000", "150000"],
        );
        check(&Amounts { cpus_limit: Some(Limit::Infinite), ..cpus(500) }, true, &["512", "100000", "-1"]);
        let settings = Settings::new(Isolation::posix());
        assert!(limit(&settings, &Amounts::default(), "/c").is_err());
    }
}
