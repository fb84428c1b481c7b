//! What all models of a run share: sizes and what must go wrong.

use proto::mesos::v1;
use proto::mesos::v1::value;

use crate::options::Fault;

/// Thousandths of a CPU that a task takes.
pub(crate) const TASK_CPUS_MILLI: u32 = 1000;

/// Megabytes that a task takes.
pub(crate) const TASK_MEM_MB: u32 = 32;

/// The name of a task that is a probe.
pub(crate) const PROBE: &str = "probe";

/// The role of all frameworks.
pub(crate) const ROLE: &str = "load";

/// The settings of a run, as the models need them.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Tasks that fit on an agent.
    pub(crate) slots: u32,
    /// The most tasks in one ACCEPT.
    pub(crate) batch: usize,
    /// What is done wrong.
    pub(crate) fault: Option<Fault>,
    /// How long tasks run; without it they end as soon as their start is acknowledged.
    pub(crate) length: Option<Length>,
    /// Tasks that fit on all agents together.
    pub(crate) slots_all: u64,
    /// Labels of each task that agents report.
    pub(crate) labels: u32,
}

/// How long tasks run, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    pub(crate) mean_us: u64,
    /// From half to one and a half times that, lest all end together.
    pub(crate) varies: bool,
}

impl Length {
    /// The length of one task, by its number. The first of each slot end at any time within it.
    pub(crate) fn of(self, task: u32, slots: u64) -> u64 {
        let mixed = u64::from(task).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // Thousandths.
        let chance = (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32 & 1023;
        if u64::from(task) < slots {
            self.mean_us * chance / 1024
        } else if self.varies {
            self.mean_us / 2 + self.mean_us * chance / 1024
        } else {
            self.mean_us
        }
    }
}

/// The task with which a negative control goes wrong: early in a run of any size.
pub(crate) const FAULTY_TASK: u32 = 7;

/// An amount of CPU (in thousandths) and memory (in megabytes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) cpus_milli: u32,
    pub(crate) mem_mb: u32,
}

impl Amount {
    /// What one task takes.
    pub(crate) const TASK: Self = Self { cpus_milli: TASK_CPUS_MILLI, mem_mb: TASK_MEM_MB };

    /// So many tasks' worth.
    pub(crate) fn tasks(count: u32) -> Self {
        Self { cpus_milli: count * TASK_CPUS_MILLI, mem_mb: count * TASK_MEM_MB }
    }

    /// How many tasks fit.
    pub(crate) fn fits(self) -> usize {
        let fits = (self.cpus_milli / TASK_CPUS_MILLI).min(self.mem_mb / TASK_MEM_MB);
        usize::try_from(fits).unwrap_or(usize::MAX)
    }

    /// What is left, if there is enough.
    pub(crate) fn less(self, other: Self) -> Option<Self> {
        Some(Self {
            cpus_milli: self.cpus_milli.checked_sub(other.cpus_milli)?,
            mem_mb: self.mem_mb.checked_sub(other.mem_mb)?,
        })
    }

    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self { cpus_milli: self.cpus_milli + other.cpus_milli, mem_mb: self.mem_mb + other.mem_mb }
    }

    /// The CPUs and the memory in a list of resources.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small amounts of our own making"
    )]
    pub(crate) fn of(resources: &[v1::Resource]) -> Self {
        let mut amount = Self::default();
        for resource in resources {
            let value = resource.scalar.as_ref().map_or(0.0, |scalar| scalar.value);
            match resource.name.as_str() {
                "cpus" => amount.cpus_milli += (value * 1000.0).round() as u32,
                "mem" => amount.mem_mb += value.round() as u32,
                _ => {}
            }
        }
        amount
    }

    /// The same as resources.
    pub(crate) fn resources(self) -> Vec<v1::Resource> {
        let scalar = |name: &str, value: f64| v1::Resource {
            name: name.to_owned(),
            r#type: value::Type::Scalar.into(),
            scalar: Some(value::Scalar { value }),
            ..v1::Resource::default()
        };
        vec![scalar("cpus", f64::from(self.cpus_milli) / 1000.0), scalar("mem", f64::from(self.mem_mb))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_round_trip() {
        let four = Amount::tasks(4);
        assert_eq!(Amount::of(&four.resources()), four);
        assert_eq!(four.fits(), 4);
        assert_eq!(four.less(Amount::tasks(3)), Some(Amount::TASK));
        assert_eq!(four.less(Amount::tasks(5)), None);
        assert_eq!(Amount::tasks(3).plus(Amount::TASK), four);
    }
}
