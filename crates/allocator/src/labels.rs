//! Numbers in the order of names, so that siblings are compared without reading their names.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

/// A number among those of siblings: the lower, the earlier the name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Label(u64);

/// Room left behind the last name, before the first, and between names that are numbered anew.
const GAP: u64 = 1 << 32;

/// The names of siblings, with their numbers and what they name.
pub(crate) struct Labels<T>(BTreeMap<Arc<str>, (Label, T)>);

impl<T> Default for Labels<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Copy> Labels<T> {
    /// Numbers one more name. Where there is no number left between its neighbours all
    /// are numbered anew, and come back with their numbers.
    pub(crate) fn insert(&mut self, name: Arc<str>, thing: T) -> (Label, Vec<(Label, T)>) {
        let below = self.0.range::<str, _>((Unbounded, Excluded(&*name))).next_back();
        let above = self.0.range::<str, _>((Excluded(&*name), Unbounded)).next();
        let label = between(below.map(|(_, (label, _))| label.0), above.map(|(_, (label, _))| label.0));
        self.0.insert(Arc::clone(&name), (Label(label.unwrap_or_default()), thing));
        if let Some(label) = label {
            return (Label(label), Vec::new());
        }
        let mut next = 1 << 62;
        for (label, _) in self.0.values_mut() {
            *label = Label(next);
            next += GAP;
        }
        let own = self.0.get(&name).map(|(label, _)| *label).unwrap_or_default();
        (own, self.0.values().copied().collect())
    }

    /// Forgets a name.
    pub(crate) fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }
}

/// A number between two neighbours, if there is one.
fn between(below: Option<u64>, above: Option<u64>) -> Option<u64> {
    match (below, above) {
        (None, None) => Some(1 << 62),
        (Some(below), None) => below.checked_add(GAP),
        (None, Some(above)) => above.checked_sub(GAP),
        (Some(below), Some(above)) => (above - below > 1).then(|| below + (above - below) / 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names as numbers of a fixed width, inserted in the order given.
    fn labelled(names: impl IntoIterator<Item = u32>) -> (BTreeMap<u32, Label>, usize) {
        let mut labels = Labels::default();
        let (mut known, mut anew) = (BTreeMap::new(), 0);
        for name in names {
            let (label, all) = labels.insert(format!("{name:010}").into(), name);
            known.insert(name, label);
            anew += usize::from(!all.is_empty());
            known.extend(all.into_iter().map(|(label, name)| (name, label)));
        }
        (known, anew)
    }

    #[test]
    fn labels_are_in_the_order_of_names() {
        let to_the_middle = (0..2000).map(|at| if at % 2 == 0 { at } else { 100_000 - at });
        for names in [(0..2000).collect(), (0..2000).rev().collect(), to_the_middle.collect::<Vec<_>>()] {
            let (known, anew) = labelled(names);
            assert_eq!(known.len(), 2000);
            assert!(known.values().is_sorted_by(|one, next| one < next));
            assert!(anew < 100, "numbered anew {anew} times");
        }
    }

    #[test]
    fn where_there_is_no_room_all_are_numbered_anew() {
        let (known, anew) = labelled((1..200).map(|at| 1_000_000 / at));
        assert!(known.values().is_sorted_by(|one, next| one < next));
        assert!(anew <= 199);
        let inward = (0..40).flat_map(|at| [at, 1000 - at]);
        let (known, anew) = labelled(inward);
        assert!(known.values().is_sorted_by(|one, next| one < next));
        assert!(anew > 0, "40 halvings of a gap of 32 bits use it up");
    }

    #[test]
    fn a_name_that_is_gone_may_come_again() {
        let mut labels = Labels::default();
        labels.insert("b".into(), 1);
        let (a, _) = labels.insert("a".into(), 2);
        labels.remove("a");
        let (c, _) = labels.insert("c".into(), 3);
        let (again, _) = labels.insert("a".into(), 4);
        assert!(a < c && again < c);
    }
}
