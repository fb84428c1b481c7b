//! Revocation: a framework that hoards gives back what is beyond its guarantee while
//! another starves. Off unless configured; not of Apache Mesos, but of the paper that
//! it began with.
//!
//! ```text
//! (offered nothing for `after`, and below its guarantee) -> starving: hoarders are warned
//!     -- (`grace`) --> still so: the tasks warned of are killed
//! ```
//!
//! The warning is an inverse offer for the agent, with the resources, whose
//! unavailability begins when the tasks will be killed. Which tasks: [`policy`].

pub mod policy;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proto::mesos::internal;
use proto::mesos::v1;
use proto::mesos::v1::TaskState;
use proto::mesos::v1::task_status::Reason;
use resources::{Quantities, Resources};
use types::{AgentId, FrameworkId, OfferId, Role, TaskId};

use crate::Master;
use crate::connection::Say;
use crate::effect::Effect;
use crate::frameworks::Framework;
use crate::maintenance::inverse_offers::Cause;
use crate::message::Outgoing;
use crate::offers::End;
use crate::step::{Due, Step};
use policy::{Account, Candidate, Guarantee};

/// How revocation works, where it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a framework is offered nothing before others are warned for its sake
    /// (`--revocation_after`).
    pub after: Duration,
    /// How long those have to end tasks by themselves (`--revocation_grace`).
    pub grace: Duration,
    /// Whether tasks on resources that are not revocable may be killed, too
    /// (`--revocation_any_task`).
    pub any_task: bool,
}

/// Who was warned, and which tasks are being killed.
#[derive(Debug, Default)]
pub(crate) struct Revocations {
    /// For whose sake, the tasks warned of and the warnings.
    warned: BTreeMap<FrameworkId, Warned>,
    /// Tasks that were told to end, and why.
    killed: BTreeMap<(FrameworkId, TaskId), String>,
}

#[derive(Debug, Default)]
struct Warned {
    tasks: BTreeSet<(FrameworkId, TaskId)>,
    offers: Vec<OfferId>,
}

impl Revocations {
    /// A task's record ends.
    pub(crate) fn forget_task(&mut self, framework: &FrameworkId, task: &TaskId) {
        if !self.killed.is_empty() {
            self.killed.remove(&(framework.clone(), task.clone()));
        }
    }

    /// Says in an update why a task was killed, if it was for another's sake.
    pub(crate) fn explain(&self, framework: &FrameworkId, task: &TaskId, status: &mut v1::TaskStatus) {
        if self.killed.is_empty() || status.state() != TaskState::TaskKilled {
            return;
        }
        if let Some(why) = self.killed.get(&(framework.clone(), task.clone())) {
            status.reason = Some(Reason::ContainerPreempted.into());
            status.message = Some(why.clone());
        }
    }
}

fn top(role: &Role) -> Role {
    Role::from(role.as_str().split('/').next().unwrap_or_default())
}

impl Master {
    /// Begins to watch whether a framework starves.
    pub(crate) fn watch_starvation(&mut self, id: &FrameworkId, step: &Step<'_>) {
        let Some(settings) = self.config.revocation else { return };
        let Some(framework) = self.frameworks.get_mut(id.as_str()) else { return };
        framework.waiting.served(step.now.mono);
        if !framework.starvation_watched {
            framework.starvation_watched = true;
            self.timers.arm(step.after(settings.after), Due::Starving(id.clone()));
        }
    }

    /// Looks whether a framework starves, and warns those who hoard if it does.
    pub(crate) fn on_starving_due(&mut self, id: &FrameworkId, step: &mut Step<'_>) {
        let Some(settings) = self.config.revocation else { return };
        let Some(framework) = self.frameworks.get_mut(id.as_str()) else { return };
        framework.starvation_watched = framework.is_active();
        if !framework.is_active() {
            // It is watched again when it subscribes.
            return;
        }
        let wants = framework.roles.iter().any(|role| !framework.suppressed.contains(role));
        if !wants || !framework.offers.is_empty() {
            framework.waiting.served(step.now.mono);
        }
        let due = framework.waiting.since() + settings.after;
        if due > step.now.mono {
            self.timers.arm(due, Due::Starving(id.clone()));
        } else if self.warn_hoarders(id, settings, step) {
            self.timers.arm(step.after(settings.grace), Due::Revoke(id.clone()));
        } else {
            self.timers.arm(step.after(settings.after), Due::Starving(id.clone()));
        }
    }

    /// Returns whether anybody was warned.
    fn warn_hoarders(&mut self, id: &FrameworkId, settings: Settings, step: &mut Step<'_>) -> bool {
        let (starving, others) = self.accounts_for(id);
        let Some(starving) = starving else { return false };
        let mut warned = Warned::default();
        let mut agents: BTreeMap<(FrameworkId, AgentId), Resources> = BTreeMap::new();
        for (framework, victim) in policy::choose(&starving, &others, settings.any_task) {
            let task = self.frameworks.get(framework.as_str()).and_then(|owner| owner.task(&victim.task));
            let Some(task) = task else { continue };
            *agents.entry((framework.clone(), victim.agent.clone())).or_default() += &task.resources;
            warned.tasks.insert((framework.clone(), victim.task.clone()));
        }
        let grace = i64::try_from(settings.grace.as_nanos()).unwrap_or(i64::MAX);
        let start = v1::TimeInfo { nanoseconds: step.now.wall.as_nanos().saturating_add(grace) };
        let unavailability = v1::Unavailability { start, duration: None };
        for ((framework, agent), resources) in agents {
            let Some(pid) = self.agents.get(agent.as_str()).map(|agent| agent.pid().to_string()) else {
                continue;
            };
            let offer = self.make_inverse_offer(&framework, &agent, unavailability, Cause::Revocation, step);
            let Some(mut offer) = offer else { continue };
            offer.resources = resources.to_protos();
            warned.offers.push(OfferId::from(&offer.id));
            let text = format!(
                "Framework {framework} is warned: it holds more than its guarantee, framework {id} starves; {resources} of agent {agent} are to be free in {} s",
                settings.grace.as_secs()
            );
            step.fx.push(Effect::Log(text));
            if let Some(owner) = self.frameworks.get_mut(framework.as_str()) {
                owner.tell(Say::InverseOffers { offers: vec![offer], pids: vec![pid] }, step.fx);
            }
        }
        let any = !warned.tasks.is_empty();
        if any {
            self.revocations.warned.insert(id.clone(), warned);
        }
        any
    }

    /// The grace is over: what was warned of is killed, if it is still needed and
    /// still beyond the guarantee.
    pub(crate) fn on_revoke_due(&mut self, id: &FrameworkId, step: &mut Step<'_>) {
        let Some(settings) = self.config.revocation else { return };
        let Some(warned) = self.revocations.warned.remove(id) else { return };
        for offer in &warned.offers {
            self.end_inverse_offer(offer, End::Rescinded, step);
        }
        let served = |framework: &Framework, step: &Step<'_>| {
            framework.waiting.since() + settings.after > step.now.mono || !framework.offers.is_empty()
        };
        let starves = self.frameworks.get(id.as_str()).is_some_and(|f| f.is_active() && !served(f, step));
        if starves {
            let (starving, mut others) = self.accounts_for(id);
            for other in &mut others {
                let of = &other.framework;
                other.tasks.retain(|task| warned.tasks.contains(&(of.clone(), task.task.clone())));
            }
            let victims: Vec<_> = starving
                .iter()
                .flat_map(|starving| policy::choose(starving, &others, settings.any_task))
                .map(|(framework, victim)| (framework.clone(), victim.task.clone(), victim.agent.clone()))
                .collect();
            for (framework, task, agent) in victims {
                self.revoke(id, framework, task, &agent, step);
            }
        }
        if self.frameworks.get(id.as_str()).is_some() {
            self.timers.arm(step.after(settings.after), Due::Starving(id.clone()));
        }
    }

    fn revoke(
        &mut self,
        starving: &FrameworkId,
        framework: FrameworkId,
        task: TaskId,
        agent: &AgentId,
        step: &mut Step<'_>,
    ) {
        let Some(place) = self.agents.get_mut(agent.as_str()) else { return };
        let why =
            format!("Revoked: the framework holds more than its guarantee, framework {starving} starves");
        step.fx.push(Effect::Log(format!("Killing task {task} of framework {framework}. {why}")));
        place.killed.insert((framework.clone(), task.clone()));
        if place.is_connected() {
            let message = internal::KillTaskMessage {
                framework_id: (&framework).into(),
                task_id: (&task).into(),
                kill_policy: None,
            };
            step.send(place.pid(), Outgoing::KillTask(message));
        }
        self.revocations.killed.insert((framework, task), why);
    }

    /// The account of a framework, where it has less than its guarantee, and those of
    /// all others.
    fn accounts_for(&self, id: &FrameworkId) -> (Option<Account>, Vec<Account>) {
        let mut roles: BTreeMap<Role, u64> = BTreeMap::new();
        for framework in self.frameworks.iter() {
            let tops: BTreeSet<Role> = framework.roles.iter().map(top).collect();
            tops.into_iter().for_each(|role| *roles.entry(role).or_default() += 1);
        }
        let weight = |role: &Role| self.allocator.weight(role).millionths();
        let weights: u64 = roles.keys().map(weight).fold(0, u64::saturating_add);
        let guarantee = |role: &Role| {
            let members = roles.get(role).copied().unwrap_or(1).max(1);
            let quota = self.allocator.quota(role).guarantees;
            if quota.is_empty() {
                let of = (weight(role), weights.saturating_mul(members).max(1));
                return Guarantee::Part { total: self.allocator.total().clone(), of };
            }
            let members = i64::try_from(members).unwrap_or(i64::MAX);
            // Rounded up: what does not divide is nobody's to take.
            let part = |amount: resources::Scalar| amount.milli().saturating_add(members - 1) / members;
            let parts =
                quota.iter().map(|(name, amount)| (name, resources::Scalar::from_milli(part(*amount))));
            Guarantee::Amounts(parts.collect())
        };
        let accounts = |framework: &Framework| -> Vec<Account> {
            let tops: BTreeSet<Role> = framework.roles.iter().map(top).collect();
            tops.iter().map(|role| account(framework, role, guarantee(role))).collect()
        };
        let starving = self.frameworks.get(id.as_str()).map(accounts).unwrap_or_default();
        let starving =
            starving.into_iter().find(|account| !account.guarantee.lacking(&account.held).is_empty());
        let others = self.frameworks.iter().filter(|framework| framework.id != *id);
        let mut others: Vec<_> = others.flat_map(accounts).collect();
        for other in &mut others {
            // Who refused an agent's resources does not wait for more of them.
            other.tasks.retain(|task| !self.allocator.refuses(id, &task.agent));
        }
        (starving, others)
    }
}

/// What a framework holds in a top-level role and below it.
fn account(framework: &Framework, role: &Role, guarantee: Guarantee) -> Account {
    let within = |resources: &Resources| {
        resources.filter(|one| one.allocation_role().is_some_and(|of| top(of) == *role))
    };
    let mut held = Quantities::new();
    for used in framework.used().values() {
        held += &Quantities::of_scalars(&within(used));
    }
    let tasks = framework.tasks().filter(|task| task.is_running()).filter_map(|task| {
        let own = within(&task.resources);
        // What is reserved, and volumes with it, would be of no use to others.
        let takeable = !own.is_empty() && own.reserved().is_empty();
        takeable.then(|| Candidate {
            task: task.id.clone(),
            agent: task.agent.clone(),
            amounts: Quantities::of_scalars(&own),
            revocable: !own.revocable().is_empty(),
            since: task.since.as_nanos(),
        })
    });
    Account { framework: framework.id.clone(), guarantee, held, tasks: tasks.collect() }
}
