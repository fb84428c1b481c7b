//! Which tasks are taken from whom, so that a framework that starves gets its part.
//!
//! Each framework is guaranteed a part of the cluster. What it holds beyond that may be
//! taken back while another has less than its own guarantee: revocable tasks before
//! others, the youngest first, and no more than is needed.
//!
//! **Invariant:** a framework within its guarantee loses nothing, and nobody is brought
//! below it ([`Guarantee::spares`]).

use resources::{Name, Quantities, Scalar};
use types::{AgentId, FrameworkId, TaskId};

/// What a framework may keep, whoever else starves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// Amounts, from the quota of its role. Names that are absent are not guaranteed.
    Amounts(Quantities),
    /// A part of the cluster, measured by the dominant share.
    Part {
        /// The cluster's total.
        total: Quantities,
        /// How much of it, as a fraction: numerator and denominator.
        of: (u64, u64),
    },
}

/// A task that may be ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub task: TaskId,
    /// Where it runs.
    pub agent: AgentId,
    /// What it uses.
    pub amounts: Quantities,
    /// Whether it uses revocable resources.
    pub revocable: bool,
    /// Since when, in nanoseconds of the wall clock.
    pub since: i64,
}

/// A framework with what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Which.
    pub framework: FrameworkId,
    /// What it may keep.
    pub guarantee: Guarantee,
    /// What it holds.
    pub held: Quantities,
    /// Its tasks.
    pub tasks: Vec<Candidate>,
}

/// Tasks that one choice takes at most.
const VICTIMS_MAX: usize = 256;

fn milli(amounts: &Quantities, name: &Name) -> i128 {
    i128::from(amounts.get(name).milli())
}

impl Guarantee {
    /// What is lacking to the guarantee; nothing for who has it.
    #[must_use]
    pub fn lacking(&self, held: &Quantities) -> Quantities {
        let mut lacking = match self {
            Self::Amounts(amounts) => amounts.clone(),
            Self::Part { total, of } => {
                if reaches(held, total, *of) {
                    return Quantities::new();
                }
                let part =
                    |amount: &Scalar| i128::from(amount.milli()) * i128::from(of.0) / i128::from(of.1.max(1));
                let parts = total.iter().map(|(name, amount)| (name, part(amount)));
                parts
                    .map(|(name, part)| (name, Scalar::from_milli(i64::try_from(part).unwrap_or(i64::MAX))))
                    .collect()
            }
        };
        lacking -= held;
        lacking
    }

    /// Whether who holds this would have its guarantee untouched without `taken`.
    #[must_use]
    pub fn spares(&self, held: &Quantities, taken: &Quantities) -> bool {
        match self {
            Self::Amounts(amounts) => taken.iter().all(|(name, amount)| {
                let guaranteed = milli(amounts, name);
                guaranteed == 0 || milli(held, name) - i128::from(amount.milli()) >= guaranteed
            }),
            Self::Part { total, of } => {
                let mut rest = held.clone();
                rest -= taken;
                reaches(&rest, total, *of)
            }
        }
    }
}

/// Whether a dominant share is at least a part.
fn reaches(held: &Quantities, total: &Quantities, of: (u64, u64)) -> bool {
    total.iter().any(|(name, amount)| {
        milli(held, name) * i128::from(of.1) >= i128::from(amount.milli()) * i128::from(of.0)
    })
}

/// The tasks to end so that `starving` gets what it lacks. Without `any_task` only
/// revocable ones.
#[must_use]
pub fn choose<'a>(
    starving: &Account,
    others: &'a [Account],
    any_task: bool,
) -> Vec<(&'a FrameworkId, &'a Candidate)> {
    let mut lacking = starving.guarantee.lacking(&starving.held);
    let mut held: Vec<Quantities> = others.iter().map(|other| other.held.clone()).collect();
    let tasks =
        others.iter().enumerate().flat_map(|(at, other)| other.tasks.iter().map(move |task| (at, task)));
    let mut tasks: Vec<_> = tasks.filter(|(_, task)| any_task || task.revocable).collect();
    tasks.sort_by(|(_, a), (_, b)| (b.revocable, b.since, &b.task).cmp(&(a.revocable, a.since, &a.task)));
    let mut victims = Vec::new();
    for (at, task) in tasks {
        if lacking.is_empty() || victims.len() >= VICTIMS_MAX {
            break;
        }
        let other = &others[at];
        let helps = task.amounts.iter().any(|(name, _)| !lacking.get(name).is_zero());
        if other.framework == starving.framework
            || !helps
            || !other.guarantee.spares(&held[at], &task.amounts)
        {
            continue;
        }
        held[at] -= &task.amounts;
        lacking -= &task.amounts;
        victims.push((&other.framework, task));
    }
    victims
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn amounts(cpus: i64, mem: i64) -> Quantities {
        [(&Name::CPUS, Scalar::from_units(cpus)), (&Name::MEM, Scalar::from_units(mem))].into_iter().collect()
    }

    fn account(name: &str, guarantee: Guarantee, tasks: &[(i64, i64, bool)]) -> Account {
        let mut held = Quantities::new();
        let candidate = |(at, (cpus, mem, revocable)): (usize, &(i64, i64, bool))| Candidate {
            task: format!("{name}-{at}").as_str().into(),
            agent: "a".into(),
            amounts: amounts(*cpus, *mem),
            revocable: *revocable,
            since: i64::try_from(at).expect("small"),
        };
        let tasks: Vec<_> = tasks.iter().enumerate().map(candidate).collect();
        tasks.iter().for_each(|task| held += &task.amounts);
        Account { framework: name.into(), guarantee, held, tasks }
    }

    fn names(victims: &[(&FrameworkId, &Candidate)]) -> Vec<String> {
        victims.iter().map(|(_, task)| task.task.to_string()).collect()
    }

    #[test]
    fn the_youngest_revocable_go_first_and_no_more_than_needed() {
        let half = || Guarantee::Part { total: amounts(10, 1000), of: (1, 2) };
        let hoarder = account(
            "h",
            half(),
            &[(2, 10, true), (2, 10, false), (2, 10, true), (2, 10, false), (2, 10, false)],
        );
        let poor = account("p", half(), &[]);
        let all = [hoarder, poor.clone()];
        assert_eq!(names(&choose(&poor, &all, false)), ["h-2", "h-0"]);
        // Half of ten cpus is what the hoarder keeps.
        assert_eq!(names(&choose(&poor, &all, true)), ["h-2", "h-0"]);
        let quota = |cpus| Guarantee::Amounts(amounts(cpus, 0));
        let poor = account("p", quota(3), &[(2, 0, false)]);
        let all = [
            account("h", quota(2), &[(1, 10, false), (1, 10, false), (1, 10, false), (1, 10, false)]),
            poor.clone(),
        ];
        assert_eq!(names(&choose(&poor, &all, true)), ["h-3"]);
        assert_eq!(names(&choose(&poor, &all, false)), [""; 0]);
    }

    fn guarantee() -> impl Strategy<Value = Guarantee> {
        prop_oneof![
            (0_i64..12, 0_i64..12).prop_map(|(cpus, mem)| Guarantee::Amounts(amounts(cpus, mem))),
            (1_i64..40, 1_i64..40, 0_u64..5, 1_u64..5).prop_map(|(cpus, mem, part, of)| Guarantee::Part {
                total: amounts(cpus, mem),
                of: (part, of)
            }),
        ]
    }

    proptest! {
        #[test]
        fn nobody_is_touched_within_the_guarantee(
            accounts in prop::collection::vec(
                (guarantee(), prop::collection::vec((0_i64..4, 0_i64..4, any::<bool>()), 0..12)),
                1..6,
            ),
            any_task in any::<bool>(),
        ) {
            let name = |at: usize| format!("f{at}");
            let all: Vec<_> = accounts
                .iter()
                .enumerate()
                .map(|(at, (guarantee, tasks))| account(&name(at), guarantee.clone(), tasks))
                .collect();
            let victims = choose(&all[0], &all, any_task);
            for one in &all {
                let mut rest = one.held.clone();
                let lost: Vec<_> = victims.iter().filter(|(of, _)| **of == one.framework).collect();
                lost.iter().for_each(|(_, task)| rest -= &task.amounts);
                match &one.guarantee {
                    Guarantee::Amounts(guaranteed) => {
                        for (name, amount) in guaranteed.iter() {
                            prop_assert!(rest.get(name) >= one.held.get(name).min(*amount), "{one:?}");
                        }
                    }
                    Guarantee::Part { total, of } => {
                        prop_assert!(lost.is_empty() || reaches(&rest, total, *of), "{one:?}");
                        let within = !reaches(&one.held, total, *of);
                        prop_assert!(!within || lost.is_empty());
                    }
                }
                prop_assert!(any_task || lost.iter().all(|(_, task)| task.revocable));
            }
            let mut ids: Vec<_> = victims.iter().map(|(_, task)| &task.task).collect();
            ids.sort();
            ids.dedup();
            prop_assert_eq!(ids.len(), victims.len(), "each once");
            prop_assert!(all[0].tasks.iter().all(|own| !ids.contains(&&own.task)), "not the one that starves");
            prop_assert!(!all[0].guarantee.lacking(&all[0].held).is_empty() || victims.is_empty());
        }
    }
}
