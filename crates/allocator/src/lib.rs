//! Who is offered what: dominant resource fairness over roles and frameworks.
//!
//! [`Allocator`] keeps the books of every agent (total, and what is allocated to
//! which framework in which role; an outstanding offer counts as allocated) and
//! says, step by step, which free resources to offer to whom. It knows nothing of
//! offers, tasks or messages: the master makes an offer of every [`Allocation`],
//! and reports with [`Allocator::recover`] what comes back.
//!
//! **It is incremental.** Nothing is recomputed on a clock. Work has a cause: an
//! agent changed (resources freed, added, converted; the whitelist), a framework
//! woke (added, activated, revived, or it sent REQUEST), a decline filter expired, or
//! something that was kept back may be had (quota, a large task's hold). The first
//! looks at one agent and at frameworks in the order of their shares until one takes
//! what is there; the second looks at the agents that have something to offer, for
//! that framework; the third at one agent for one framework; the fourth at the agents
//! in question, until what there is has been taken. An agent with nothing to offer
//! and a framework that wants nothing cost nothing, and while nobody wants offers
//! nobody looks. Those who refused what is free of an agent, and roles that reached
//! their limits, are sets of bits that a look passes by (`refusals.rs`, `full.rs`):
//! work follows filters that expire, not filters that exist.
//!
//! **Order.** Agents are taken in random order from a seeded generator. Roles form
//! a tree; at each level the child with the least weighted dominant share comes
//! first, and within a role the framework with the least share ([`Policy`] has other
//! orders). Ties go to who was
//! picked least often, then by name. All that is eligible of an agent goes to one
//! framework at once. No floats: shares are fractions in integers ([`Share`]).
//!
//! **Invariant:** between steps, with no work left, no framework that wants
//! resources could take anything of any agent.

mod agents;
mod allocator;
mod arena;
mod asks;
mod bits;
mod books;
mod check;
mod claim;
mod constraints;
mod explain;
mod figures;
mod filters;
mod frameworks;
mod full;
mod held_back;
mod hint;
mod labels;
mod large;
mod lot;
mod lottery;
mod missing;
mod names;
mod options;
mod order;
mod policy;
mod quota;
mod refusals;
mod report;
mod share;
mod short;
mod tree;
mod uses;
mod visit;
mod whitelist;
mod work;

pub use allocator::Allocator;
pub use claim::ClaimError;
pub use constraints::{
    AgentProfile, Constraint, Constraints, Pattern, PatternError, PatternLimits, Predicate, Selector,
};
pub use explain::Obstacle;
pub use figures::RoleFigures;
pub use large::KeptAgent;
pub use options::{
    AgentOptions, Allocation, FrameworkCapabilities, FrameworkOptions, Options, Progress, Refusal,
};
pub use policy::{Policy, Sorter};
pub use quota::Quota;
pub use report::{AgentClass, Explanation, Finding, Holder, RoleReport, Standing};
pub use share::{Share, Weight};
pub use short::ShortTasks;
