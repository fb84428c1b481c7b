//! What the allocator is told, and what it answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use resources::{Name, Quantities, Resources, Scalar};
use types::{AgentId, FrameworkId, Role};

use crate::{Constraints, Policy, ShortTasks, Weight};

/// How an allocator behaves; set once.
#[derive(Clone, Debug)]
pub struct Options {
    /// An offer has at least one of these. An empty list allows any offer.
    /// Mesos's `--min_allocatable_resources`, by default `cpus:0.01|mem:32`.
    pub min_allocatable: Vec<Quantities>,
    /// The least that frameworks in a role are offered of one agent, beside the least of
    /// any offer (`--min_offer_size`). What is freed of an agent adds up for it.
    pub min_offers: BTreeMap<Role, Quantities>,
    /// How long an agent is kept for such a framework at most, and then is kept for
    /// nobody (`--min_offer_hold`). None is ever kept where this is zero.
    pub min_offer_hold: Duration,
    /// What part of each agent is for short tasks (`--short_task_share`).
    pub short_tasks: ShortTasks,
    /// Whether agents with GPUs are kept for frameworks that know GPUs
    /// (`--filter_gpu_resources`).
    pub filter_gpus: bool,
    /// Names that do not count for fairness (`--fair_sharing_excluded_resource_names`).
    pub fairness_excluded: Vec<Name>,
    /// How long a decline holds at least. A framework that declines with
    /// `refuse_seconds` of zero gets the same offer again only after this pause,
    /// others at once.
    ///
    // COMPAT(mesos): the pause stands for the periodic allocation cycle of Mesos,
    // without which such a framework and the master would keep each other busy.
    pub decline_pause: Duration,
    /// In which order roles and frameworks come.
    pub policy: Policy,
    /// The weights of roles; every other role has weight 1.
    pub weights: Vec<(Role, Weight)>,
    /// Where chance comes from: the order of agents, and lots.
    pub rng_seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        let one = |name: Name, amount: Scalar| [(&name, amount)].into_iter().collect();
        Self {
            min_allocatable: vec![
                one(Name::CPUS, Scalar::from_milli(10)),
                one(Name::MEM, Scalar::from_units(32)),
            ],
            min_offers: BTreeMap::new(),
            min_offer_hold: Duration::from_secs(60),
            short_tasks: ShortTasks::default(),
            filter_gpus: true,
            fairness_excluded: Vec::new(),
            decline_pause: Duration::from_millis(100),
            policy: Policy::default(),
            weights: Vec::new(),
            rng_seed: 0,
        }
    }
}

/// What a framework is able to handle, from its `FrameworkInfo.capabilities`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameworkCapabilities {
    /// GPU_RESOURCES: it may be offered agents with GPUs.
    pub gpu_resources: bool,
    /// REVOCABLE_RESOURCES: it may be offered what can be taken back.
    pub revocable_resources: bool,
    /// SHARED_RESOURCES: it may be offered shared volumes.
    pub shared_resources: bool,
    /// MULTI_ROLE: it needs agents that know allocation roles.
    pub multi_role: bool,
    /// RESERVATION_REFINEMENT: it may be offered refined reservations.
    pub reservation_refinement: bool,
    /// REGION_AWARE: it may be offered agents of other regions.
    pub region_aware: bool,
}

/// What a framework asks for; replaced as a whole by an update.
#[derive(Clone, Debug, Default)]
pub struct FrameworkOptions {
    /// The roles it is subscribed in.
    pub roles: Vec<Role>,
    /// Those of its roles in which it wants no offers for now.
    pub suppressed: Vec<Role>,
    /// What it is able to handle.
    pub capabilities: FrameworkCapabilities,
    /// Its own rule in place of [`Options::min_allocatable`], by role. An empty
    /// list allows any offer.
    pub min_allocatable: Vec<(Role, Vec<Quantities>)>,
    /// Which agents it may be offered, by role; all where there is nothing.
    pub constraints: BTreeMap<Role, Arc<Constraints>>,
}

/// What the allocator must know of an agent besides its resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentOptions {
    /// Whether it is connected and neither drained nor deactivated: only then is
    /// anything of it offered.
    pub active: bool,
    /// MULTI_ROLE: it knows allocation roles.
    pub multi_role: bool,
    /// HIERARCHICAL_ROLE: it knows roles with slashes.
    pub hierarchical_role: bool,
    /// Whether its region is another than the master's.
    pub remote_region: bool,
}

impl Default for AgentOptions {
    /// An active agent of this age, in the master's region.
    fn default() -> Self {
        Self { active: true, multi_role: true, hierarchical_role: true, remote_region: false }
    }
}

/// For how long a framework refuses what it gave back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    hold: Duration,
}

impl Refusal {
    /// What Mesos assumes where a framework says nothing: 5 seconds.
    pub const DEFAULT: Self = Self { hold: Duration::from_secs(5) };

    /// The longest refusal: 365 days.
    pub const MAX: Self = Self { hold: Duration::from_secs(365 * 24 * 60 * 60) };

    /// The refusal of `Filters.refuse_seconds`: too long ones are cut to a year,
    /// negative ones and NaN are the default.
    #[must_use]
    pub fn from_seconds(seconds: f64) -> Self {
        if seconds.is_nan() || seconds < 0.0 {
            return Self::DEFAULT;
        }
        let hold =
            Duration::try_from_secs_f64(seconds).map_or(Self::MAX.hold, |hold| hold.min(Self::MAX.hold));
        Self { hold }
    }

    /// How long the refusal holds.
    #[must_use]
    pub const fn hold(self) -> Duration {
        self.hold
    }
}

impl Default for Refusal {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Resources that are to be offered. They are on the books as allocated from the
/// moment this is returned, until they are recovered.
#[derive(Clone, Debug, PartialEq)]
pub struct Allocation {
    /// Whom to offer to.
    pub framework: FrameworkId,
    /// In which of its roles.
    pub role: Role,
    /// Whose resources.
    pub agent: AgentId,
    /// What; all of it is marked as allocated to `role`.
    pub resources: Resources,
}

/// Whether a step finished its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// Nothing is left until something changes or [`crate::Allocator::poll_timeout`] comes.
    Done,
    /// The budget ran out; step again soon.
    More,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_bounded() {
        let year = 365.0 * 86_400.0;
        for (seconds, held) in [
            (0.0, 0.0),
            (0.25, 0.25),
            (-1.0, 5.0),
            (f64::NEG_INFINITY, 5.0),
            (f64::NAN, 5.0),
            (year * 2.0, year),
            (f64::INFINITY, year),
        ] {
            assert_eq!(Refusal::from_seconds(seconds).hold().as_secs_f64(), held, "{seconds}");
        }
    }
}
