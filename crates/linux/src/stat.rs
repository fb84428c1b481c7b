//! The flat files of cgroups: a name and a number on each line, as in `memory.stat`. Pure.

use std::collections::BTreeMap;

/// The numbers by their names. Lines that are none of that form are skipped.
#[must_use]
pub fn parse_flat_keyed(text: &str) -> BTreeMap<&str, u64> {
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.filter_map(|(name, value)| Some((name, value.trim().parse().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_name() {
        let stat =
            parse_flat_keyed("nr_periods 12\nnr_throttled 3\n\nbroken\nx -1\ntoo 99999999999999999999\n");
        assert_eq!(stat, BTreeMap::from([("nr_periods", 12), ("nr_throttled", 3)]));
    }
}
