//! Running seeds, and making a failing history small: what can be left out so that the same rule is still broken is.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::journal::Journal;
use crate::node::SECOND;
use crate::plan::Plan;
use crate::world::{Breakage, Outcome, Violation, World};

/// Runs a plan to its end. A core that gives up is a rule broken as well.
#[must_use]
pub fn run(plan: &Plan, breakage: Breakage) -> Outcome {
    let mut world = World::new(plan.clone(), breakage, Journal::default());
    let ran = catch_unwind(AssertUnwindSafe(|| world.run(None)));
    match ran {
        Ok(outcome) => outcome,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let mut outcome = world.outcome();
            outcome.violation = Some(Violation {
                checker: "invariants",
                what: text.unwrap_or_default(),
                event: outcome.events,
                at: outcome.lasted,
            });
            outcome
        }
    }
}

/// A smaller plan that breaks the same rule, and how it does.
#[must_use]
pub fn shrink(plan: &Plan, breakage: Breakage, violation: &Violation) -> (Plan, Violation) {
    let mut best = (plan.clone(), violation.clone());
    let attempt = |plan: Plan, best: &mut (Plan, Violation)| {
        let outcome = run(&plan, breakage);
        match outcome.violation {
            Some(found) if found.checker == violation.checker => {
                *best = (plan, found);
                true
            }
            Some(_) | None => false,
        }
    };
    let mut again = true;
    while again {
        again = false;
        for index in (0..best.0.faults.len()).rev() {
            let mut smaller = best.0.clone();
            smaller.faults.remove(index);
            again |= attempt(smaller, &mut best);
        }
        if best.0.guests.len() > 1 {
            let mut smaller = best.0.clone();
            smaller.guests.pop();
            again |= attempt(smaller, &mut best);
        }
        if best.0.agents > 1 {
            let mut smaller = best.0.clone();
            smaller.agents -= 1;
            again |= attempt(smaller, &mut best);
        }
        if best.0.busy > 10 * SECOND {
            let mut smaller = best.0.clone();
            smaller.busy /= 2;
            again |= attempt(smaller, &mut best);
        }
    }
    best
}

/// What must be said to see a shrunk history again: what is left of the seed's plan.
#[must_use]
pub fn recipe(plan: &Plan) -> String {
    let whole = Plan::of_seed(plan.seed);
    let mut text = format!("--seed {}", plan.seed);
    if plan.faults != whole.faults {
        let kept: Vec<String> = (0..whole.faults.len())
            .filter(|index| plan.faults.contains(&whole.faults[*index]))
            .map(|index| index.to_string())
            .collect();
        text += &format!(" --faults {}", if kept.is_empty() { "none".to_owned() } else { kept.join(",") });
    }
    if plan.agents != whole.agents {
        text += &format!(" --agents {}", plan.agents);
    }
    if plan.guests != whole.guests {
        text += &format!(" --frameworks {}", plan.guests.len());
    }
    if plan.busy != whole.busy {
        text += &format!(" --busy-ms {}", plan.busy / crate::node::MILLI);
    }
    text
}
