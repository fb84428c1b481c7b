//! Dominant shares as integers, and the cluster's total they are shares of.

use std::fmt;

use resources::{Name, Quantities, Scalar};

/// A weighted dominant share, as a fraction with 48 binary places.
///
/// Equal fractions are equal shares, and the same on every machine; exact enough to
/// tell a mebibyte in a cluster of 256 exbibytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u128);

/// Binary places of a share. An amount of 59 bits, a weight's million and these
/// places fit 128 bits together.
const PLACES: i32 = 48;

impl Share {
    /// The share as a float, for metrics only.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "only shown")]
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 2_f64.powi(PLACES)
    }
}

/// A role's weight, in millionths: twice the weight, twice the share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(u64);

impl Weight {
    /// The weight of a role for which none was set.
    pub const ONE: Self = Self(1_000_000);

    /// The nearest weight of at least a millionth; none unless positive and finite.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive and finite, and the cast saturates"
    )]
    pub fn from_f64(weight: f64) -> Option<Self> {
        (weight > 0.0 && weight.is_finite()).then(|| Self(((weight * 1e6).round() as u64).max(1)))
    }

    /// The weight as a number of lots. So many that all of a lottery fit 64 bits.
    pub(crate) fn chances(self) -> u64 {
        self.0.min(1 << 40)
    }

    /// The weight in millionths.
    #[must_use]
    pub const fn millionths(self) -> u64 {
        self.0
    }

    /// The weight as a float, for documents only.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "only shown")]
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_f64().fmt(f)
    }
}

/// Which name makes a share: its place in the basis, or nothing's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Class(Option<u16>);

/// What shares are shares of.
///
/// Every agent that comes or goes changes all shares, and measuring all of them
/// anew each time would cost more than all else. So the order of shares is kept
/// against a *basis*: the total of some time ago. While the total is proportional
/// to it, as when all agents are of one shape, both give the same order.
///
/// Afterwards the order within each class still is that of the amounts of its name,
/// whatever the total is, and so of a share that nobody of the class can be below.
/// Who comes first is found by measuring the first of each class; whoever has a
/// larger share by another name is put into that class then ([`Tree::end`]). Only when
/// names come or go, or proportions are far from the basis, is everybody measured.
///
/// [`Tree::end`]: crate::tree::Tree::end
#[derive(Debug, Default)]
pub(crate) struct Totals {
    total: Quantities,
    basis: Quantities,
    epoch: u64,
    /// Whether the total was no multiple of the basis at some time of the epoch: since
    /// then classes are what was found when each was measured.
    drifted: bool,
    excluded: Vec<Name>,
}

/// How many times the proportions may be those of the basis.
const DRIFT: u128 = 2;

impl Totals {
    pub(crate) fn new(excluded: Vec<Name>) -> Self {
        Self { excluded, ..Self::default() }
    }

    pub(crate) fn total(&self) -> &Quantities {
        &self.total
    }

    /// Shares against the bases of two epochs cannot be compared.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether shares against the basis are in the order of shares.
    pub(crate) fn is_exact(&self) -> bool {
        !self.drifted
    }

    pub(crate) fn replace(&mut self, old: &Quantities, new: &Quantities) {
        self.total -= old;
        self.total += new;
        match self.drift() {
            Some(((most, of_most), (least, of_least))) => {
                self.drifted |= most * of_least != least * of_most;
            }
            None => {
                self.basis = self.total.clone();
                self.epoch += 1;
                self.drifted = false;
            }
        }
    }

    /// The largest and the least `total / basis`; none when names differ or the
    /// two are too far apart.
    fn drift(&self) -> Option<((u128, u128), (u128, u128))> {
        let counted = |of: &Quantities| of.iter().filter(|(name, _)| !self.excluded.contains(name)).count();
        if counted(&self.total) != counted(&self.basis) {
            return None;
        }
        let mut bounds: Option<((u128, u128), (u128, u128))> = None;
        for (name, amount) in self.total.iter().filter(|(name, _)| !self.excluded.contains(name)) {
            let ratio = (bounded(*amount), bounded(self.basis.get(name)));
            if ratio.1 == 0 {
                return None;
            }
            // Cross products of 59-bit amounts fit 118 bits.
            let less = |a: (u128, u128), b: (u128, u128)| a.0 * b.1 < b.0 * a.1;
            bounds = Some(bounds.map_or((ratio, ratio), |(most, least)| {
                (if less(most, ratio) { ratio } else { most }, if less(ratio, least) { ratio } else { least })
            }));
        }
        bounds.filter(|(most, least)| most.0 * least.1 <= least.0 * most.1 * DRIFT)
    }

    /// The least share against the total that one may have who is of a class: that
    /// by the name of the class alone.
    pub(crate) fn at_least(&self, allocated: &Quantities, class: Class, weight: Weight) -> Share {
        let Some((name, _)) = class.0.and_then(|at| self.basis.at(usize::from(at))) else {
            return Share::default();
        };
        let whole = self.total.get(name);
        if whole > Scalar::ZERO { fraction(allocated.get(name), whole, weight) } else { Share::default() }
    }

    /// The class that `allocated` is of by the total, and its share against the basis in
    /// that class.
    pub(crate) fn share(&self, allocated: &Quantities, weight: Weight) -> (Share, Class) {
        let Some(dominant) = self.dominant(allocated, &self.total) else { return Default::default() };
        let class = self.basis.position(dominant.name).and_then(|at| u16::try_from(at).ok());
        let class = Class(class);
        (self.share_in(allocated, class, weight), class)
    }

    /// The share of `allocated` against the basis by the name of a class.
    pub(crate) fn share_in(&self, allocated: &Quantities, class: Class, weight: Weight) -> Share {
        match class.0.and_then(|at| self.basis.at(usize::from(at))) {
            Some((name, whole)) => fraction(allocated.get(name), whole, weight),
            None => Share::default(),
        }
    }

    /// The share of `allocated` against the total, and the name that makes it.
    pub(crate) fn true_share(&self, allocated: &Quantities, weight: Weight) -> (Share, Option<Name>) {
        match self.dominant(allocated, &self.total) {
            Some(dominant) => (dominant.share(weight), Some(dominant.name.clone())),
            None => (Share::default(), None),
        }
    }

    /// The name of which the largest part is allocated.
    fn dominant<'a>(&self, allocated: &'a Quantities, of: &Quantities) -> Option<Dominant<'a>> {
        let mut most: Option<Dominant<'a>> = None;
        for (name, amount) in allocated.iter().filter(|(name, _)| !self.excluded.contains(name)) {
            let part = Dominant { name, amount: bounded(*amount), whole: bounded(of.get(name)) };
            if part.whole == 0 {
                continue;
            }
            // Cross products of 59-bit amounts fit 118 bits.
            if most.as_ref().is_none_or(|most| part.amount * most.whole >= most.amount * part.whole) {
                most = Some(part);
            }
        }
        most
    }
}

/// What makes a share: an amount of a whole.
struct Dominant<'a> {
    name: &'a Name,
    amount: u128,
    whole: u128,
}

impl Dominant<'_> {
    fn share(&self, weight: Weight) -> Share {
        divide(self.amount, self.whole, weight)
    }
}

fn fraction(amount: Scalar, whole: Scalar, weight: Weight) -> Share {
    divide(bounded(amount), bounded(whole), weight)
}

/// One division, so that equal fractions give equal shares whatever the weights.
fn divide(amount: u128, whole: u128, weight: Weight) -> Share {
    if weight == Weight::ONE {
        // The same, with smaller numbers, which divide faster.
        return Share((amount << PLACES) / whole);
    }
    Share((amount << PLACES) * u128::from(Weight::ONE.0) / (whole * u128::from(weight.0)))
}

/// The amount in thousandths, cut to 59 bits.
fn bounded(amount: Scalar) -> u128 {
    u128::try_from(amount.milli()).unwrap_or(0).min((1 << 59) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn q(text: &str) -> Quantities {
        Quantities::parse(text).expect(text)
    }

    #[test]
    fn the_dominant_name_counts() {
        let mut totals = Totals::new(vec![Name::GPUS]);
        totals.replace(&q(""), &q("cpus:9;mem:18;gpus:4"));
        let share = |allocated: &str, weight: f64| {
            let weight = Weight::from_f64(weight).expect("positive");
            totals.true_share(&q(allocated), weight).0.as_f64()
        };
        for (allocated, weight, expected) in [
            ("cpus:3;mem:12", 1.0, 12.0 / 18.0),
            ("cpus:4.5;mem:1;gpus:4", 2.0, 0.25),
            ("bananas:1", 1.0, 0.0),
            ("", 1.0, 0.0),
        ] {
            let share = share(allocated, weight);
            assert!((share - expected).abs() < 1e-12, "{allocated}: {share}");
        }
    }

    #[test]
    fn one_shape_keeps_the_epoch() {
        let mut totals = Totals::default();
        totals.replace(&q(""), &q("cpus:4;mem:8"));
        let epoch = totals.epoch();
        totals.replace(&q(""), &q("cpus:2;mem:4"));
        assert_eq!(totals.epoch(), epoch);
        assert!(totals.is_exact());
        totals.replace(&q(""), &q("cpus:2;mem:50"));
        assert_ne!(totals.epoch(), epoch);
        assert!(totals.is_exact());
    }

    #[test]
    fn drift_keeps_the_epoch_and_bounds_shares() {
        let mut totals = Totals::default();
        totals.replace(&q(""), &q("cpus:1000;mem:1000"));
        let epoch = totals.epoch();
        let all = ["cpus:3", "mem:777", "cpus:1000;mem:1", "cpus:0.001", "cpus:10.02;mem:10"];
        let classes = all.map(|allocated| totals.share(&q(allocated), Weight::ONE).1);
        for more in ["cpus:10;mem:5", "cpus:500", "mem:900"] {
            totals.replace(&q(""), &q(more));
            assert_eq!(totals.epoch(), epoch);
            assert!(!totals.is_exact());
            for (allocated, class) in all.into_iter().zip(classes) {
                let (share, _) = totals.true_share(&q(allocated), Weight::ONE);
                assert!(totals.at_least(&q(allocated), class, Weight::ONE) <= share, "{allocated}");
                // In the class of now it is the share itself.
                let (_, class) = totals.share(&q(allocated), Weight::ONE);
                assert_eq!(totals.at_least(&q(allocated), class, Weight::ONE), share, "{allocated}");
            }
        }
        // The same proportions as before do not make old classes right.
        totals.replace(&q("cpus:1510;mem:1905"), &q("cpus:1000;mem:1000"));
        assert!(!totals.is_exact());
        totals.replace(&q(""), &q("gpus:1"));
        assert_ne!(totals.epoch(), epoch);
        assert!(totals.is_exact());
        let epoch = totals.epoch();
        totals.replace(&q(""), &q("cpus:2000"));
        assert_ne!(totals.epoch(), epoch);
    }

    #[test]
    fn weights_are_positive() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Weight::from_f64(bad), None);
        }
        assert_eq!(Weight::from_f64(1.0), Some(Weight::ONE));
        assert_eq!(Weight::from_f64(1e-9).map(Weight::as_f64), Some(1e-6));
    }
}
