//! Fixed-point scalars: thousandths, as Mesos compares and adds them.

use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};

/// An amount in thousandths.
///
/// Mesos carries doubles and rounds to three decimals before it compares or adds;
/// here the rounding happens once, at the boundary. Arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scalar(i64);

impl Scalar {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The amount of `milli` thousandths.
    #[must_use]
    pub const fn from_milli(milli: i64) -> Self {
        Self(milli)
    }

    /// A whole number of units.
    #[must_use]
    pub const fn from_units(units: i64) -> Self {
        Self(units.saturating_mul(1000))
    }

    /// The amount nearest to `value`, halves away from zero; none for NaN,
    /// infinities and what does not fit 63 bits of thousandths.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the bounds are checked just before")]
    pub fn from_f64(value: f64) -> Option<Self> {
        const LIMIT: f64 = 9_223_372_036_854_775_808.0;
        let milli = (value * 1000.0).round();
        (milli > -LIMIT && milli < LIMIT).then_some(Self(milli as i64))
    }

    /// The amount in thousandths.
    #[must_use]
    pub const fn milli(self) -> i64 {
        self.0
    }

    /// The double that Mesos would print and send.
    ///
    /// Whole part and fraction are converted apart, so that equal thousandths
    /// give the equal double everywhere.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "the double is what the wire carries")]
    pub fn as_f64(self) -> f64 {
        (self.0 / 1000) as f64 + (self.0 % 1000) as f64 / 1000.0
    }

    /// Whether this is exactly nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Whether this is a whole number of units.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.0 % 1000 == 0
    }
}

impl Add for Scalar {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Scalar {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Scalar {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl SubAssign for Scalar {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl fmt::Display for Scalar {
    /// As a C++ stream prints the double with 15 significant digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&general(self.as_f64()))
    }
}

/// The `%.15g` of C: at most 15 significant digits, no trailing zeros, an
/// exponent below -4 or from 15 on.
#[must_use]
pub fn general(value: f64) -> String {
    const DIGITS: i32 = 15;
    if !value.is_finite() || value == 0.0 {
        return if value == 0.0 { "0".to_owned() } else { value.to_string() };
    }
    let scientific = format!("{value:.14e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("the format has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is a number");
    if !(-4..DIGITS).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", without_zeros(mantissa), exponent.abs());
    }
    let decimals = usize::try_from(DIGITS - 1 - exponent).unwrap_or(0);
    without_zeros(&format!("{value:.decimals$}")).to_owned()
}

/// Cuts zeros, and a bare point, off the end of a decimal fraction.
fn without_zeros(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_as_mesos_does() {
        for (value, milli) in [
            (0.1, 100),
            (0.0005, 1),
            (-0.0005, -1),
            (0.0004, 0),
            (1.9999, 2000),
            (1024.0, 1_024_000),
            (2.5e-4, 0),
            (1e15, 1_000_000_000_000_000_000),
        ] {
            assert_eq!(Scalar::from_f64(value), Some(Scalar(milli)), "{value}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e16, -1e16, f64::MAX] {
            assert_eq!(Scalar::from_f64(value), None, "{value}");
        }
    }

    #[test]
    fn sums_are_exact() {
        let tenth = Scalar::from_f64(0.1).expect("fits");
        let total = (0..10).fold(Scalar::ZERO, |sum, _| sum + tenth);
        assert_eq!(total, Scalar::from_units(1));
        assert_eq!((Scalar::from_milli(300) - tenth).as_f64(), 0.2);
    }

    #[test]
    fn prints_like_a_stream() {
        for (milli, text) in [
            (0, "0"),
            (100, "0.1"),
            (1, "0.001"),
            (4_000, "4"),
            (1_024_000, "1024"),
            (12_345, "12.345"),
            (-500, "-0.5"),
            (999_999_999_999_999_000, "999999999999999"),
            (1_000_000_000_000_000_000, "1e+15"),
            (1_234_567_890_123_456_000, "1.23456789012346e+15"),
            (123_456_789_012_345_678, "123456789012346"),
        ] {
            assert_eq!(Scalar(milli).to_string(), text);
        }
    }
}
