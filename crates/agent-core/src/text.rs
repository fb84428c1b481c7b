//! Durations in the text form of Mesos.

use std::time::Duration;

/// The units, each with its length in nanoseconds, the shortest first.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("secs", 1_000_000_000),
    ("mins", 60 * 1_000_000_000),
    ("hrs", 3600 * 1_000_000_000),
    ("days", 86_400 * 1_000_000_000),
    ("weeks", 604_800 * 1_000_000_000),
];

/// `5secs`, `1500ms`, `15mins`: in the largest unit that is not longer than the
/// duration, or the next smaller one where only that makes a whole number.
pub(crate) fn duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let fits = UNITS.iter().rposition(|(_, length)| *length <= nanos).unwrap_or(0);
    let whole = |at: usize| nanos.is_multiple_of(UNITS[at].1);
    let at = if fits > 0 && !whole(fits) && whole(fits - 1) { fits - 1 } else { fits };
    let (unit, length) = UNITS[at];
    if whole(at) {
        return format!("{}{unit}", nanos / length);
    }
    // Nine digits after the point; what people set has fewer.
    let fraction = (nanos % length) * 1_000_000_000 / length;
    let fraction = format!("{fraction:09}");
    format!("{}.{}{unit}", nanos / length, fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_mesos_does() {
        let check = |nanos: u64, text: &str| assert_eq!(duration(Duration::from_nanos(nanos)), text);
        let second = 1_000_000_000;
        check(0, "0ns");
        check(5 * second, "5secs");
        check(1_500_000_000, "1500ms");
        check(60 * second, "1mins");
        check(90 * second, "90secs");
        check(15 * 60 * second, "15mins");
        check(10 * 86_400 * second, "10days");
        check(7 * 86_400 * second, "1weeks");
        check(61_500_000_000, "1.025mins");
    }
}
