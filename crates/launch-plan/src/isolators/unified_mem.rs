//! `cgroups/mem` on version 2: how much memory a container is protected to, and how much it can use.

use crate::amounts::Amounts;
use crate::facts::Settings;
use crate::isolators::cgroups_mem::MEMORY_MIN_BYTES;
use crate::plan::{Refusal, Step};

/// The writes that set both. `now` is the hard limit as it is, of a container that runs.
pub(crate) fn limit(
    settings: &Settings,
    amounts: &Amounts,
    path: &str,
    now: Option<u64>,
) -> Result<Vec<Step>, Refusal> {
    let Some(memory) = amounts.memory_bytes else {
        return Err(Refusal("No memory resources requested".to_owned()));
    };
    let write = |file, value: String| Step::Write { path: path.to_owned(), file, value };
    let mut steps = vec![write("memory.low", memory.max(MEMORY_MIN_BYTES).to_string())];
    let hard = amounts.memory_bound_bytes().map(|bytes| bytes.max(MEMORY_MIN_BYTES));
    // COMPAT(mesos): a limit that falls below what is used would kill, so that a running container's only rises.
    if let (Some(hard), Some(now)) = (hard, now)
        && hard <= now
    {
        return Ok(steps);
    }
    steps.push(write("memory.max", hard.map_or_else(|| "max".to_owned(), |bytes| bytes.to_string())));
    // Mesos takes no notice of the flag here. Version 2 counts swap by itself, so that memory with swap is at most as
    // much as memory when there is none.
    if settings.limit_swap && now.is_none() {
        steps.push(write("memory.swap.max", "0".to_owned()));
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amounts::Limit;
    use crate::isolation::Isolation;

    const MB: u64 = 1024 * 1024;

    fn check(settings: &Settings, amounts: &Amounts, now: Option<u64>, expected: &[(&str, &str)]) {
        let steps = limit(settings, amounts, "/m", now).unwrap();
        let writes = steps.iter().map(|step| match step {
            Step::Write { file, value, .. } => (file.trim_start_matches("memory."), value.as_str()),
            other => panic!("{other:?}"),
        });
        assert_eq!(writes.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn limits_only_rise_once_it_runs() {
        let mut settings = Settings::new(Isolation::posix());
        let mem = |mb: u64| Amounts { memory_bytes: Some(mb * MB), ..Amounts::default() };
        check(&settings, &mem(64), None, &[("low", "67108864"), ("max", "67108864")]);
        check(&settings, &mem(1), None, &[("low", "33554432"), ("max", "33554432")]);
        check(&settings, &mem(64), Some(128 * MB), &[("low", "67108864")]);
        check(&settings, &mem(64), Some(u64::MAX), &[("low", "67108864")]);
        let infinite = Amounts { memory_limit: Some(Limit::Infinite), ..mem(64) };
        check(&settings, &infinite, Some(128 * MB), &[("low", "67108864"), ("max", "max")]);
        assert!(limit(&settings, &Amounts::default(), "/m", None).is_err());
        settings.limit_swap = true;
        check(&settings, &mem(64), None, &[("low", "67108864"), ("max", "67108864"), ("swap.max", "0")]);
    }
}
