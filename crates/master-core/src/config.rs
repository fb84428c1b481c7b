//! What the operator decided before the master began.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proto::mesos::v1;
use resources::Quantities;
use types::Role;

/// The master's settings. The defaults are those of Mesos (as observed of Mesos).
#[derive(Clone, Debug)]
pub struct Config {
    /// This master, as frameworks and agents are told: `id` is the prefix of all ids it gives.
    pub master: v1::MasterInfo,
    /// Seeds everything random: ids of updates, the allocator's shuffle.
    pub seed: u64,
    /// Time between pings of an agent, which is also the time an answer may take
    /// (`--agent_ping_timeout`).
    pub agent_ping_interval: Duration,
    /// Unanswered pings in a row until an agent is unreachable (`--max_agent_ping_timeouts`).
    pub agent_pings_max: u32,
    /// How long a disconnected agent, or one known from the registry, may stay away
    /// (`--agent_reregister_timeout`).
    pub agent_reregister_timeout: Duration,
    /// The part of the agents of the registry that may be given up after an election, in
    /// thousandths; with more missing the master ends (`--recovery_agent_removal_limit`).
    pub removal_permille: u32,
    /// How long a framework may hold an offer; none for ever (`--offer_timeout`).
    pub offer_timeout: Option<Duration>,
    /// How long a framework may want offers and get none before that is logged, with the
    /// reason; none to be silent (`--offer_wait_warning`, not a flag of Mesos).
    pub offer_wait_warning: Option<Duration>,
    /// Whether, and how, what a framework holds beyond its guarantee is taken back while
    /// another starves; not of Mesos.
    pub revocation: Option<crate::revocation::Settings>,
    /// Time between heartbeats of scheduler streams. Fixed at 15 s but for tests.
    pub heartbeat_interval: Duration,
    /// Completed frameworks that are remembered (`--max_completed_frameworks`).
    pub completed_frameworks_max: usize,
    /// Completed tasks that are remembered per framework (`--max_completed_tasks_per_framework`).
    pub completed_tasks_max: usize,
    /// Unreachable tasks that are remembered per framework (`--max_unreachable_tasks_per_framework`).
    pub unreachable_tasks_max: usize,
    /// Operators that may watch at a time; one more ends the oldest
    /// (`--max_operator_event_stream_subscribers`).
    pub operator_streams_max: usize,
    /// How often agents that are unreachable or gone for long are forgotten
    /// (`--registry_gc_interval`).
    pub registry_gc_interval: Duration,
    /// How long they are remembered (`--registry_max_agent_age`).
    pub registry_age_max: Duration,
    /// How many of each kind are remembered (`--registry_max_agent_count`).
    pub registry_agents_max: usize,
    /// Whether frameworks may run as root (`--root_submissions`).
    pub root_submissions: bool,
    /// Whether agents must say in which fault domain they are (`--require_agent_domain`).
    pub require_agent_domain: bool,
    /// Roles that frameworks may have; none allows all (`--roles`).
    pub roles: Option<Vec<String>>,
    /// How long Mesos lets changes wait for its periodic allocation
    /// (`--allocation_interval`). Here nothing waits; a tenth of it is how long a
    /// decline without a filter holds at least.
    pub allocation_interval: Duration,
    /// What is worth offering, in Mesos's text form, clauses separated by `|`
    /// (`--min_allocatable_resources`).
    pub min_allocatable_resources: String,
    /// Agents that one allocation step looks at before the master does something else.
    pub allocation_budget: usize,
    /// The only hosts that are offered at first; all without it (`--whitelist`).
    pub whitelist: Option<BTreeSet<String>>,
    /// How large the patterns of offer constraints may be (`--offer_constraints_re2_max_mem`
    /// and `--offer_constraints_re2_max_program_size`).
    pub pattern_limits: allocator::PatternLimits,
    /// In which order roles and frameworks come (`--role_sorter`, `--framework_sorter`,
    /// `--role_priorities`).
    pub policy: allocator::Policy,
    /// The least that roles are offered of one agent (`--min_offer_size`).
    pub min_offers: BTreeMap<Role, Quantities>,
    /// How long an agent is kept for such a role at most (`--min_offer_hold`).
    pub min_offer_hold: Duration,
    /// What part of each agent is for short tasks, and of which roles.
    pub short_tasks: crate::ShortTasks,
    /// The weights of roles while the registry has none (`--weights`).
    pub weights: crate::Weights,
    /// Names of resources that do not count as anyone's share
    /// (`--fair_sharing_excluded_resource_names`).
    pub fair_sharing_excluded: Vec<String>,
    /// With quotas, the part of the agents of the registry that must be back after a
    /// failover before anything is offered, in thousandths
    /// (`--allocator_agent_recovery_factor`).
    pub recovery_permille: u32,
    /// The longest that is waited for them (`--allocator_recovery_timeout`).
    pub allocator_recovery_timeout: Duration,
    /// Whether agents with GPUs are kept for frameworks that know them
    /// (`--filter_gpu_resources`).
    pub filter_gpu_resources: bool,
}

impl Config {
    /// The defaults, for this master.
    #[must_use]
    pub fn new(master: v1::MasterInfo) -> Self {
        Self {
            master,
            seed: 0,
            agent_ping_interval: Duration::from_secs(15),
            agent_pings_max: 5,
            agent_reregister_timeout: Duration::from_secs(600),
            removal_permille: 1000,
            offer_timeout: None,
            offer_wait_warning: None,
            revocation: None,
            heartbeat_interval: Duration::from_secs(15),
            completed_frameworks_max: 50,
            completed_tasks_max: 1000,
            unreachable_tasks_max: 1000,
            operator_streams_max: 1000,
            registry_gc_interval: Duration::from_secs(15 * 60),
            registry_age_max: Duration::from_secs(14 * 24 * 60 * 60),
            registry_agents_max: 102_400,
            root_submissions: true,
            require_agent_domain: false,
            roles: None,
            allocation_interval: Duration::from_secs(1),
            min_allocatable_resources: "cpus:0.01|mem:32".to_owned(),
            allocation_budget: 256,
            whitelist: None,
            pattern_limits: allocator::PatternLimits::default(),
            policy: allocator::Policy::default(),
            min_offers: BTreeMap::new(),
            min_offer_hold: Duration::from_secs(60),
            short_tasks: crate::ShortTasks::default(),
            weights: crate::Weights::new(),
            fair_sharing_excluded: Vec::new(),
            recovery_permille: 800,
            allocator_recovery_timeout: Duration::from_secs(600),
            filter_gpu_resources: true,
        }
    }
}
