//! A histogram of durations with a bounded relative error: 64 buckets per power of two.

/// Bits of a value that are kept below its highest one.
const DETAIL_BITS: u32 = 6;

/// Durations in microseconds. Any value is at most 1.6 % off.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    sum: u64,
    max: u64,
}

impl Histogram {
    /// Adds a duration.
    pub(crate) fn record(&mut self, micros: u64) {
        let at = bucket(micros);
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
        self.total += 1;
        self.sum += micros;
        self.max = self.max.max(micros);
    }

    /// How many there are.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// All of them together.
    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    /// The longest.
    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// The value that so many of a thousand do not exceed; 0 when there is none.
    pub(crate) fn permille(&self, share: u64) -> u64 {
        let wanted = (self.total * share).div_ceil(1000).max(1);
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return highest(at).min(self.max);
            }
        }
        self.max
    }

    /// Adds what another has.
    pub(crate) fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }
}

/// Values below 64 have a bucket each; above, the six bits after the highest one tell the bucket within its power of two.
fn bucket(value: u64) -> usize {
    let bits = u64::BITS - value.leading_zeros();
    let shift = bits.saturating_sub(DETAIL_BITS + 1);
    let within = value >> shift;
    usize::try_from((u64::from(shift) << DETAIL_BITS) + within).expect("at most 64 * 65 buckets")
}

/// The largest value of a bucket.
fn highest(at: usize) -> u64 {
    let at = u64::try_from(at).expect("at most 64 * 65 buckets");
    let (shift, within) = match at >> DETAIL_BITS {
        0 => (0, at),
        power => (power - 1, (at & ((1 << DETAIL_BITS) - 1)) + (1 << DETAIL_BITS)),
    };
    ((within + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_narrow_and_in_order() {
        let mut last = 0;
        for value in (0..2000).chain([12_345, 999_999, 1 << 40]) {
            let at = bucket(value);
            assert!(at >= last, "{value}");
            last = at;
            let top = highest(at);
            assert!(top >= value && top - value <= value / 60, "{value}: {top}");
        }
    }

    #[test]
    fn quantiles() {
        let mut all = Histogram::default();
        assert_eq!(all.permille(500), 0);
        (1..=1000).for_each(|value| all.record(value));
        let mut more = Histogram::default();
        more.record(5000);
        more.merge(&all);
        assert_eq!((more.total(), more.max(), more.sum()), (1001, 5000, 505_500));
        assert!((495..=508).contains(&all.permille(500)));
        assert!((985..=1000).contains(&all.permille(990)));
        assert_eq!(all.permille(1000), 1000);
    }
}
