//! Durations in the text form Mesos uses everywhere: flags, environment of executors, JSON documents.

use crate::number::{numify, print_15_digits};
use std::fmt;
use std::str::FromStr;

/// A span of time in nanoseconds, at least zero when parsed from text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration {
    nanos: i64,
}

/// Unit names, smallest first, with their length in nanoseconds.
const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("secs", 1_000_000_000),
    ("mins", 60 * 1_000_000_000),
    ("hrs", 3_600 * 1_000_000_000),
    ("days", 86_400 * 1_000_000_000),
    ("weeks", 604_800 * 1_000_000_000),
];

impl Duration {
    /// So many nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self { nanos }
    }

    /// So many milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self { nanos: millis * 1_000_000 }
    }

    /// So many seconds.
    pub const fn from_secs(secs: i64) -> Self {
        Self { nanos: secs * 1_000_000_000 }
    }

    /// The length in nanoseconds.
    pub const fn nanos(self) -> i64 {
        self.nanos
    }

    /// The length in whole milliseconds, rounded down; zero for a negative length.
    pub const fn millis(self) -> u64 {
        if self.nanos < 0 { 0 } else { self.nanos.unsigned_abs() / 1_000_000 }
    }

    /// The length in seconds, for JSON documents.
    pub fn secs_f64(self) -> f64 {
        self.nanos as f64 / 1e9
    }

    /// The standard library's form; zero for a negative length.
    pub const fn to_std(self) -> std::time::Duration {
        if self.nanos < 0 {
            std::time::Duration::ZERO
        } else {
            std::time::Duration::from_nanos(self.nanos.unsigned_abs())
        }
    }
}

impl FromStr for Duration {
    type Err = String;

    /// `10secs`, `1.5hrs`, `2weeks`; a number (digits and at most one dot) and a unit without a space between.
    fn from_str(text: &str) -> Result<Self, String> {
        let Some(split) = text.find(|c: char| !c.is_ascii_digit() && c != '.') else {
            return Err(format!("Invalid duration '{text}'"));
        };
        let (number, unit) = text.split_at(split);
        let value: f64 = numify(number)?;
        let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!(
                "Unknown duration unit '{unit}'; supported units are \
                 'ns', 'us', 'ms', 'secs', 'mins', 'hrs', 'days', and 'weeks'"
            ));
        };
        let nanos = value * *factor as f64;
        if nanos >= i64::MAX as f64 {
            return Err(
                "Argument out of the range that a Duration can represent due to int64_t's size limit".into(),
            );
        }
        Ok(Self { nanos: nanos as i64 })
    }
}

impl fmt::Display for Duration {
    /// The largest unit that fits, or the one below it when that gives a whole number: `90mins`, `10days`, `1.5secs`
    /// (which reads `1500ms`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos < 0 {
            f.write_str("-")?;
        }
        let nanos = self.nanos.saturating_abs();
        let largest = UNITS.iter().rposition(|(_, factor)| nanos >= *factor).unwrap_or(0);
        let whole = |unit: usize| nanos % UNITS[unit].1 == 0;
        // COMPAT(mesos): between 1us and 1ms a fraction always goes down to nanoseconds; that is the same rule, since
        // every length is whole in nanoseconds.
        let unit = if largest > 0 && !whole(largest) && whole(largest - 1) { largest - 1 } else { largest };
        let (name, factor) = UNITS[unit];
        write!(f, "{}{name}", print_15_digits(nanos as f64 / factor as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::Duration;

    #[track_caller]
    fn check(given: &str, printed: &str) {
        assert_eq!(given.parse::<Duration>().unwrap().to_string(), printed);
    }

    #[test]
    fn prints_in_the_unit_that_reads_best() {
        check("10secs", "10secs");
        check("60secs", "1mins");
        check("90secs", "90secs");
        check("1.5hrs", "90mins");
        check("2weeks", "2weeks");
        check("14days", "2weeks");
        check("10days", "10days");
        check("0secs", "0ns");
        check("500ms", "500ms");
        check("1500us", "1500us");
        check("1.5us", "1500ns");
        check("3661secs", "1.01694444444444hrs");
    }

    #[test]
    fn refuses_with_mesos_words() {
        let error = |text: &str| text.parse::<Duration>().unwrap_err();
        assert_eq!(error("10"), "Invalid duration '10'");
        assert_eq!(error(""), "Invalid duration ''");
        assert_eq!(error("secs"), "Failed to convert '' to number");
        assert_eq!(error("-1secs"), "Failed to convert '' to number");
        assert_eq!(
            error("1sec"),
            "Unknown duration unit 'sec'; supported units are 'ns', 'us', 'ms', 'secs', 'mins', 'hrs', 'days', and 'weeks'"
        );
        assert!(error("99999999weeks").contains("int64_t"));
    }
}
