//! Drawing lots without putting them back: a weighted shuffle, one draw at a time.
//!
//! Mesos sorts by the keys `-U^(1/w)`. To draw one after the other, each with a
//! chance in proportion to its weight among those left, gives every order the same
//! chance; it needs no floats, and who looks only at the first few draws no more.

use machine::Rng;

use crate::share::Weight;

/// The lots that are left.
pub(crate) struct Lottery<T> {
    lots: Vec<T>,
    /// A binary indexed tree of the weights of the lots that are left.
    sums: Vec<u64>,
    left: u64,
}

impl<T: Copy> Lottery<T> {
    pub(crate) fn new(lots: impl IntoIterator<Item = (T, Weight)>) -> Self {
        let mut lottery = Self { lots: Vec::new(), sums: vec![0], left: 0 };
        for (lot, weight) in lots {
            lottery.push(lot, weight.chances());
        }
        lottery
    }

    fn push(&mut self, lot: T, chances: u64) {
        self.lots.push(lot);
        let at = self.lots.len();
        let mut sum = chances;
        // The sum over the lots that this place stands for.
        let mut below = 1;
        while below < lowest_bit(at) {
            sum += self.sums[at - below];
            below *= 2;
        }
        self.sums.push(sum);
        self.left += chances;
    }

    /// Draws one of those left.
    pub(crate) fn draw(&mut self, rng: &mut Rng) -> Option<T> {
        if self.left == 0 {
            return None;
        }
        let mut chance = rng.below(self.left);
        let mut at = 0;
        let mut stride = self.lots.len().next_power_of_two();
        while stride > 0 {
            if let Some(sum) = self.sums.get(at + stride).filter(|sum| **sum <= chance) {
                chance -= sum;
                at += stride;
            }
            stride /= 2;
        }
        let lot = self.lots[at];
        self.take_out(at + 1);
        Some(lot)
    }

    fn take_out(&mut self, place: usize) {
        let mut weight = self.sums[place];
        let mut below = 1;
        while below < lowest_bit(place) {
            weight -= self.sums[place - below];
            below *= 2;
        }
        self.left -= weight;
        let mut at = place;
        while let Some(sum) = self.sums.get_mut(at) {
            *sum -= weight;
            at += lowest_bit(at);
        }
    }
}

fn lowest_bit(at: usize) -> usize {
    at & at.wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(weight: f64) -> Weight {
        Weight::from_f64(weight).expect("positive")
    }

    #[test]
    fn each_lot_is_drawn_once() {
        let mut rng = Rng::new(1);
        for count in 0..70 {
            let mut lottery = Lottery::new((0..count).map(|lot| (lot, weight(f64::from(lot) + 0.5))));
            let mut drawn: Vec<_> = std::iter::from_fn(|| lottery.draw(&mut rng)).collect();
            drawn.sort_unstable();
            assert_eq!(drawn, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_is_drawn_in_proportion_to_its_weight() {
        let mut rng = Rng::new(7);
        let mut first = [0; 3];
        for _ in 0..12_000 {
            let lots = [(0, weight(1.0)), (1, weight(2.0)), (2, weight(3.0))];
            first[Lottery::new(lots).draw(&mut rng).expect("three lots")] += 1;
        }
        for (count, expected) in first.into_iter().zip([2000, 4000, 6000_i32]) {
            assert!((expected - count).abs() < 200, "{first:?}");
        }
    }

    #[test]
    fn any_weights_can_be_drawn() {
        let mut rng = Rng::new(3);
        let all = [(0, weight(f64::MAX)), (1, weight(f64::MAX)), (2, weight(1e-300))];
        let mut lottery = Lottery::new(all);
        let drawn: Vec<_> = std::iter::from_fn(|| lottery.draw(&mut rng)).collect();
        assert_eq!(drawn.len(), 3);
    }
}
