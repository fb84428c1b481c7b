//! Sizes in the text form Mesos uses: `512MB`, `2GB`; powers of 1024.

use crate::number::numify;
use std::fmt;
use std::str::FromStr;

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

/// Unit names, smallest first; each is 1024 times the one before.
const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];

impl FromStr for Bytes {
    type Err = String;

    /// A whole number and a unit, in either case, without a space between.
    fn from_str(text: &str) -> Result<Self, String> {
        let Some(split) = text.find(|c: char| !c.is_ascii_digit()) else {
            return Err(format!("Invalid bytes '{text}'"));
        };
        let (number, unit) = text.split_at(split);
        if unit.starts_with('.') {
            return Err(format!("Fractional bytes '{text}'"));
        }
        let value: u64 = numify(number)?;
        let unit = unit.to_ascii_uppercase();
        let Some(power) = UNITS.iter().position(|name| *name == unit) else {
            return Err(format!("Unknown bytes unit '{unit}'"));
        };
        match value.checked_mul(1 << (10 * power)) {
            Some(bytes) => Ok(Self(bytes)),
            None => Err(format!("Failed to convert '{text}' to number")),
        }
    }
}

impl fmt::Display for Bytes {
    /// The largest unit that loses nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0;
        let mut power = 0;
        while value != 0 && value.is_multiple_of(1024) && power + 1 < UNITS.len() {
            value /= 1024;
            power += 1;
        }
        write!(f, "{value}{}", UNITS[power])
    }
}

#[cfg(test)]
mod tests {
    use super::Bytes;

    #[test]
    fn reads_and_prints() {
        for (given, printed) in [
            ("2GB", "2GB"),
            ("4096B", "4KB"),
            ("10mb", "10MB"),
            ("1025KB", "1025KB"),
            ("0TB", "0B"),
            ("2048TB", "2048TB"),
        ] {
            assert_eq!(given.parse::<Bytes>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn refuses_with_mesos_words() {
        let error = |text: &str| text.parse::<Bytes>().unwrap_err();
        assert_eq!(error("10"), "Invalid bytes '10'");
        assert_eq!(error("1.5GB"), "Fractional bytes '1.5GB'");
        assert_eq!(error("1XB"), "Unknown bytes unit 'XB'");
        assert!(error("99999999999TB").starts_with("Failed"));
    }
}
