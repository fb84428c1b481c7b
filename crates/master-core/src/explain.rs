//! Answers to the oldest complaint about Mesos: offers that do not come, without a
//! word why.
//!
//! The allocator says what is in the way ([`allocator::Explanation`]); here it is
//! joined with what only the master knows, the offers that are out and for how long.
//! A framework that waits for long is logged with the reason, unasked.

use std::collections::BTreeMap;
use std::time::Duration;

use allocator::{Explanation, Finding, Obstacle, RoleReport};
use machine::Instant;
use types::{FrameworkId, Role};

use crate::Master;
use crate::effect::Effect;
use crate::step::{Due, Step};

/// Agents that are examined for an answer to a question. More would hold up the
/// master for longer than a step may take.
const ASKED_AGENTS: usize = 20_000;

/// Agents that are examined for a line in the log.
const LOGGED_AGENTS: usize = 500;

/// The longest time between two lines about one framework, in multiples of the first.
const PATIENCE_MAX: u32 = 64;

/// What people may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Why is this framework offered nothing, or only so much?
    Framework(FrameworkId),
    /// Who competes in this role, and who is next?
    Role(Role),
}

/// The answer to a [`Question`].
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// About a framework.
    Framework(FrameworkAnswer),
    /// About a role.
    Role {
        /// What the allocator says.
        report: RoleReport,
        /// The offers that its frameworks have not answered.
        pending: BTreeMap<FrameworkId, Pending>,
    },
}

/// Why a framework is offered what it is.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameworkAnswer {
    /// Which framework.
    pub id: FrameworkId,
    /// Its name.
    pub name: String,
    /// For each of its roles.
    pub roles: Vec<RoleAnswer>,
    /// The offers not answered, of the framework and of those who hold what it might have.
    pub pending: BTreeMap<FrameworkId, Pending>,
}

/// Why a framework is offered what it is in one role.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleAnswer {
    /// The whole truth.
    pub explanation: Explanation,
    /// The same in sentences, the weightiest first.
    pub sentences: Vec<String>,
}

/// Offers that a framework has not answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// The framework's name.
    pub name: String,
    /// How many offers.
    pub offers: usize,
    /// For how long the oldest has been out.
    pub oldest: Option<Duration>,
}

/// Since when a framework waits to be offered something.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waiting {
    /// When it was last sent offers, or began to want some.
    since: Instant,
    /// How often it was logged meanwhile.
    logged: u32,
}

impl Waiting {
    /// Since when.
    pub(crate) fn since(self) -> Instant {
        self.since
    }

    /// Offers went out just now.
    pub(crate) fn served(&mut self, now: Instant) {
        *self = Self { since: now, logged: 0 };
    }
}

impl Master {
    /// Answers a question; none if there is no such framework or nobody in such a
    /// role. A read, but of one step's cost.
    #[must_use]
    pub fn explain(&mut self, now: Instant, question: &Question) -> Option<Answer> {
        match question {
            Question::Framework(id) => self.explain_framework(now, id, ASKED_AGENTS).map(Answer::Framework),
            Question::Role(role) => {
                let report = self.allocator.report_role(role)?;
                let pending = report.frameworks.iter().map(|one| &one.framework);
                let pending =
                    pending.filter_map(|id| Some((id.clone(), self.pending_of(now, id)?))).collect();
                Some(Answer::Role { report, pending })
            }
        }
    }

    fn explain_framework(
        &mut self,
        now: Instant,
        id: &FrameworkId,
        agents_max: usize,
    ) -> Option<FrameworkAnswer> {
        let name = self.frameworks.get(id.as_str())?.info.name.clone();
        let explanations = self.allocator.explain(id, agents_max);
        let mut pending = BTreeMap::new();
        let findings = explanations.iter().flat_map(|one| &one.classes).flat_map(|class| &class.findings);
        let holders = findings.clone().flat_map(|finding| &finding.holders).map(|holder| &holder.framework);
        let kept_for = findings.flat_map(|finding| &finding.kept_for).map(|(framework, _)| framework);
        for framework in holders.chain(kept_for).chain([id]) {
            if let Some(of) = self.pending_of(now, framework) {
                pending.insert(framework.clone(), of);
            }
        }
        let roles = explanations
            .into_iter()
            .map(|explanation| RoleAnswer { sentences: sentences(&explanation, &pending, now), explanation })
            .collect();
        Some(FrameworkAnswer { id: id.clone(), name, roles, pending })
    }

    fn pending_of(&self, now: Instant, id: &FrameworkId) -> Option<Pending> {
        let framework = self.frameworks.get(id.as_str())?;
        let offers = framework.offers.iter().filter_map(|offer| self.offers.get(offer.as_str()));
        Some(Pending {
            name: framework.info.name.clone(),
            offers: framework.offers.len(),
            oldest: offers.map(|offer| now.since(offer.made)).max(),
        })
    }

    /// Begins to watch how long a framework waits for offers.
    pub(crate) fn begin_waiting(&mut self, id: &FrameworkId, step: &Step<'_>) {
        let Some(patience) = self.config.offer_wait_warning else { return };
        let Some(framework) = self.frameworks.get_mut(id.as_str()) else { return };
        framework.waiting.served(step.now.mono);
        if framework.wait_timer.is_none() {
            let timer = self.timers.arm(step.after(patience), Due::Waiting(id.clone()));
            framework.wait_timer = Some(timer);
        }
    }

    /// Logs why a framework has been offered nothing for long, if that is so.
    pub(crate) fn on_waiting_due(&mut self, id: &FrameworkId, step: &mut Step<'_>) {
        let Some(patience) = self.config.offer_wait_warning else { return };
        let Some(framework) = self.frameworks.get_mut(id.as_str()) else { return };
        framework.wait_timer = None;
        if !framework.is_active() {
            // It is watched again when it subscribes.
            return;
        }
        let wants = framework.roles.iter().any(|role| !framework.suppressed.contains(role));
        if !wants || !framework.offers.is_empty() {
            framework.waiting.served(step.now.mono);
        }
        let Waiting { since, logged } = framework.waiting;
        let mut due = since + patience * 2_u32.saturating_pow(logged).min(PATIENCE_MAX);
        if due <= step.now.mono {
            framework.waiting.logged += 1;
            due = since + patience * 2_u32.saturating_pow(logged + 1).min(PATIENCE_MAX);
            if due <= step.now.mono {
                due = step.after(patience * PATIENCE_MAX);
            }
            self.log_waiting(id, since, step);
        }
        let timer = self.timers.arm(due, Due::Waiting(id.clone()));
        if let Some(framework) = self.frameworks.get_mut(id.as_str()) {
            framework.wait_timer = Some(timer);
        }
    }

    fn log_waiting(&mut self, id: &FrameworkId, since: Instant, step: &mut Step<'_>) {
        let Some(answer) = self.explain_framework(step.now.mono, id, LOGGED_AGENTS) else { return };
        let waited = step.now.mono.since(since).as_secs();
        let reasons: Vec<_> =
            answer.roles.iter().filter_map(|role| role.sentences.first().cloned()).collect();
        let reasons = reasons.join("; ");
        let name = answer.name;
        let text = format!("Framework {id} ({name}) has been offered nothing for {waited} s: {reasons}");
        step.fx.push(Effect::Log(text));
    }
}

/// One sentence for each obstacle of a role, the one before the most agents first.
fn sentences(
    explanation: &Explanation,
    pending: &BTreeMap<FrameworkId, Pending>,
    now: Instant,
) -> Vec<String> {
    let role = &explanation.role;
    if explanation.classes.is_empty() {
        return vec![format!("in role '{role}' because there are no agents")];
    }
    let all = explanation.classes.iter();
    let mut findings: Vec<_> =
        all.flat_map(|class| class.findings.iter().map(move |finding| (finding, class))).collect();
    findings.sort_by_key(|(finding, _)| std::cmp::Reverse(finding.agents));
    let examined = explanation.examined.0;
    let sentence = |(finding, class): (&Finding, &allocator::AgentClass)| {
        let Finding { obstacle, agents, .. } = finding;
        let what = format!("in role '{role}' for {agents} of {examined} agents (each {})", class.total);
        format!("{what} because {}{}", obstacle.text(), detail(finding, pending, now))
    };
    findings.into_iter().map(sentence).collect()
}

/// What makes an obstacle's sentence of use: who, for whom, until when.
fn detail(finding: &Finding, pending: &BTreeMap<FrameworkId, Pending>, now: Instant) -> String {
    let mut text = String::new();
    if let Some(until) = finding.until {
        text += &format!(", for {} s more", until.since(now).as_secs_f64().ceil());
    }
    if !finding.reserved_for.is_empty() {
        let roles: Vec<_> = finding.reserved_for.iter().map(|role| format!("'{role}'")).collect();
        text += &format!(": {}", roles.join(", "));
    }
    for (at, (framework, role)) in finding.kept_for.iter().enumerate() {
        let comma = if at == 0 { ':' } else { ',' };
        let name = pending.get(framework).map_or("", |of| of.name.as_str());
        text += &format!("{comma} framework {framework} ({name}) in role '{role}'");
    }
    if matches!(finding.obstacle, Obstacle::NothingFree | Obstacle::BelowMinimum)
        && let Some(holder) = finding.holders.first()
    {
        let none = Pending::default();
        let Pending { name, offers, oldest } = pending.get(&holder.framework).unwrap_or(&none);
        let (id, amounts) = (&holder.framework, &holder.amounts);
        text += &format!("; framework {id} ({name}) has the most: {amounts} on {} agents", holder.agents);
        if let Some(oldest) = oldest {
            text += &format!(", {offers} offers unanswered, the oldest for {} s", oldest.as_secs());
        }
    }
    text
}
