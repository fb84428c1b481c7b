//! `cgroups/mem`: how much memory a container is meant to use, and how much it can.

use crate::amounts::{Amounts, Limit};
use crate::facts::{Facts, Settings};
use crate::plan::{Container, Refusal, Step};

/// The least that a container is held to.
pub(crate) const MEMORY_MIN_BYTES: u64 = 32 * 1024 * 1024;

/// The writes that set both. `now` is the hard limit as it is, of a container that runs.
pub(crate) fn limit(
    settings: &Settings,
    amounts: &Amounts,
    path: &str,
    now: Option<u64>,
) -> Result<Vec<Step>, Refusal> {
    let Some(memory) = amounts.memory_bytes else {
        return Err(Refusal("Failed to update subsystem 'memory': No memory resource given".to_owned()));
    };
    let write = |file, value: String| Step::Write { path: path.to_owned(), file, value };
    let soft = memory.max(MEMORY_MIN_BYTES);
    let mut steps = vec![write("memory.soft_limit_in_bytes", soft.to_string())];
    let hard = amounts.memory_bound_bytes().map(|bytes| bytes.max(MEMORY_MIN_BYTES));
    // COMPAT(mesos): a limit that falls below what is used would kill, so that a running container's only rises.
    if let (Some(hard), Some(now)) = (hard, now)
        && hard <= now
    {
        return Ok(steps);
    }
    let value = hard.map_or_else(|| "-1".to_owned(), |bytes| bytes.to_string());
    let mut files = vec!["memory.limit_in_bytes"];
    if settings.limit_swap {
        files.push("memory.memsw.limit_in_bytes");
    }
    // ORDER: the kernel wants memory at most as large as memory with swap, at every moment.
    if now.is_some() {
        files.reverse();
    }
    steps.extend(files.into_iter().map(|file| write(file, value.clone())));
    Ok(steps)
}

/// The `oom_score_adj` of a command task that may use more memory than it requested: what does is killed first when the
/// machine runs out.
pub(crate) fn first_to_die(facts: &Facts, container: &Container<'_>) -> Option<i32> {
    let amounts = &container.amounts;
    let soft = amounts.memory_bytes?.max(MEMORY_MIN_BYTES);
    let bursts = match amounts.memory_limit {
        None => false,
        Some(Limit::Infinite) => true,
        Some(Limit::Milli(_)) => amounts.memory_bound_bytes().is_some_and(|hard| hard > soft),
    };
    (bursts && container.is_command_task).then(|| oom_score_adj(soft, facts.memory_bytes))
}

/// 1000 less the promille of the machine's memory that it requested.
fn oom_score_adj(requested_bytes: u64, machine_bytes: u64) -> i32 {
    let machine = u128::from(machine_bytes.max(1));
    let share = (u128::from(requested_bytes) * 1000 / machine).min(1000);
    let share = i32::try_from(share).expect("it is at most 1000");
    1000 - share
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let settings = Settings::new(Isolation::posix());
        let mem = |mb: u64| Amounts { memory_bytes: Some(mb * MB), ..Amounts::default() };
        let (soft, hard) = ("soft_limit_in_bytes", "limit_in_bytes");
        check(&settings, &mem(64), None, &[(soft, "67108864"), (hard, "67108864")]);
        check(&settings, &mem(1), None, &[(soft, "33554432"), (hard, "33554432")]);
        check(&settings, &mem(64), Some(128 * MB), &[(soft, "67108864")]);
        check(&settings, &mem(64), Some(32 * MB), &[(soft, "67108864"), (hard, "67108864")]);
        let infinite = Amounts { memory_limit: Some(Limit::Infinite), ..mem(64) };
        check(&settings, &infinite, Some(128 * MB), &[(soft, "67108864"), (hard, "-1")]);
        let more = Amounts { memory_limit: Some(Limit::Milli(96_000)), ..mem(64) };
        check(&settings, &more, None, &[(soft, "67108864"), (hard, "100663296")]);
        assert!(limit(&settings, &Amounts::default(), "/m", None).is_err());
    }

    #[test]
    fn swap_is_limited_in_the_order_that_the_kernel_wants() {
        let settings = Settings { limit_swap: true, ..Settings::new(Isolation::posix()) };
        let amounts = Amounts { memory_bytes: Some(64 * MB), ..Amounts::default() };
        let (soft, hard, swap) = ("soft_limit_in_bytes", "limit_in_bytes", "memsw.limit_in_bytes");
        let bytes = "67108864";
        check(&settings, &amounts, None, &[(soft, bytes), (hard, bytes), (swap, bytes)]);
        check(&settings, &amounts, Some(32 * MB), &[(soft, bytes), (swap, bytes), (hard, bytes)]);
    }

    #[test]
    fn who_requested_less_dies_first() {
        assert_eq!(oom_score_adj(512 * MB, 1024 * MB), 500);
        assert_eq!(oom_score_adj(0, 1024 * MB), 1000);
        assert_eq!(oom_score_adj(2048 * MB, 1024 * MB), 0);
        assert_eq!(oom_score_adj(MB, 0), 0);
    }
}
