//! Who refused what of an agent, beside the filters that say so: as sets.
//!
//! When everybody declines, nearly all frameworks have a filter for every agent.
//! Whoever visits an agent would ask one after the other only to hear that it
//! refused. Here those who refused the same are one set, so that all who refused
//! what is free now are passed by at once, and without touching their filters.

use crate::bits::Bits;
use crate::lot::Lot;

/// Different refusals of one agent that are noted. Who refused yet other things is
/// asked like everybody.
const NOTED: usize = 16;

/// What of one agent was refused, and by whom.
#[derive(Default)]
pub(crate) struct Refusals {
    noted: Vec<Refusal>,
    /// How many filters there are for the agent.
    filters: usize,
    /// Whether some of them may not be noted.
    others: bool,
}

struct Refusal {
    refused: Lot,
    /// The places in the tree of those who did; never nobody.
    who: Bits,
}

impl Refusals {
    /// Notes who refused something. The filter must keep what is returned.
    pub(crate) fn note(&mut self, who: usize, refused: Lot) -> Lot {
        self.filters += 1;
        let same = |noted: &&mut Refusal| {
            noted.refused.is_same(&refused) || noted.refused.resources() == refused.resources()
        };
        if let Some(noted) = self.noted.iter_mut().find(same) {
            noted.who.insert(who);
            return noted.refused.clone();
        }
        if self.noted.len() < NOTED {
            let mut one = Bits::default();
            one.insert(who);
            self.noted.push(Refusal { refused: refused.clone(), who: one });
        } else {
            self.others = true;
        }
        refused
    }

    /// A filter of somebody is over, perhaps the last with this refusal.
    pub(crate) fn forget(&mut self, who: usize, refused: &Lot, is_last: bool) {
        self.filters -= 1;
        self.others &= self.filters > 0;
        if !is_last {
            return;
        }
        let Some(at) = self.noted.iter().position(|noted| noted.refused.is_same(refused)) else {
            return;
        };
        self.noted[at].who.remove(who);
        if self.noted[at].who.is_empty() {
            self.noted.swap_remove(at);
        }
    }

    /// Whether nobody is noted.
    pub(crate) fn is_empty(&self) -> bool {
        self.noted.is_empty()
    }

    /// Puts all who are noted to have refused these resources, or a whole of which
    /// they are part, into a set.
    pub(crate) fn collect(&self, offered: &Lot, into: &mut Bits) {
        for noted in self.noted.iter().filter(|noted| noted.refused.contains(offered)) {
            into.extend(&noted.who);
        }
    }

    /// Whether somebody may have a filter for the agent: mostly known without looking
    /// for one.
    pub(crate) fn may_be_of(&self, who: usize) -> bool {
        self.others || self.noted.iter().any(|noted| noted.who.has(who))
    }

    /// How many filters there are for the agent.
    pub(crate) fn filters(&self) -> usize {
        self.filters
    }

    /// Everybody who is noted, with what they refused.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Lot)> {
        static NOBODY: Bits = Bits::EMPTY;
        self.noted.iter().flat_map(|noted| noted.who.without(&NOBODY).map(|who| (who, &noted.refused)))
    }
}

#[cfg(test)]
mod tests {
    use resources::Resources;

    use super::*;

    fn lot(text: &str) -> Lot {
        Lot::of(Resources::parse(text, "*").expect(text))
    }

    fn who(refusals: &Refusals, offered: &str) -> Vec<usize> {
        let mut bits = Bits::default();
        refusals.collect(&lot(offered), &mut bits);
        bits.without(&Bits::EMPTY).collect()
    }

    #[test]
    fn parts_of_what_was_refused_are_refused() {
        let mut refusals = Refusals::default();
        let small = refusals.note(3, lot("cpus:1;mem:10"));
        let large = refusals.note(700, lot("cpus:2;mem:20"));
        let same = refusals.note(4, lot("cpus:1;mem:10"));
        assert!(small.is_same(&same) && !small.is_same(&large));
        assert_eq!(who(&refusals, "cpus:1"), [3, 4, 700]);
        assert_eq!(who(&refusals, "cpus:2"), [700]);
        assert_eq!(who(&refusals, "cpus:1;disk:1"), []);
        refusals.note(3, small.clone());
        refusals.forget(3, &small, false);
        assert!(refusals.may_be_of(3) && !refusals.may_be_of(5));
        refusals.forget(3, &small, true);
        refusals.forget(700, &large, true);
        assert!(!refusals.may_be_of(3));
        assert_eq!(who(&refusals, "cpus:1"), [4]);
        assert_eq!(refusals.iter().map(|(who, _)| who).collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn too_many_different_refusals_are_not_noted() {
        let mut refusals = Refusals::default();
        let all: Vec<_> =
            (0..NOTED + 1).map(|at| refusals.note(at, lot(&format!("cpus:{}", at + 1)))).collect();
        assert_eq!(who(&refusals, "cpus:1"), (0..NOTED).collect::<Vec<_>>());
        assert!(refusals.may_be_of(NOTED + 5), "nobody knows");
        all.iter().enumerate().for_each(|(at, refused)| refusals.forget(at, refused, true));
        assert!(!refusals.may_be_of(NOTED) && refusals.filters() == 0);
        assert_eq!(who(&refusals, "cpus:1"), []);
    }
}
