//! `cgroups/net_cls`: the numbers by which the machine's traffic rules know a container's packets.
//!
//! A number is a primary handle of 16 bits, the same for all containers of an agent, and a secondary one of its own.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use thiserror::Error;

/// Which handles an agent may give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetClsRange {
    primary: u16,
    secondaries: RangeInclusive<u16>,
}

/// Why the flags give no handles. COMPAT(mesos): the texts.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NetClsError {
    /// The primary handle is none.
    #[error("Failed to parse the primary handle '{0}' set in flag --cgroups_net_cls_primary_handle")]
    Primary(String),
    /// The range has not two ends.
    #[error(
        "Failed to parse the range of secondary handles '{0}' set in flag --cgroups_net_cls_secondary_handles"
    )]
    Range(String),
    /// An end of the range is no handle.
    #[error(
        "Failed to parse the {end} bound of range of secondary handles '{range}' set in flag --cgroups_net_cls_secondary_handles"
    )]
    Bound {
        /// Which.
        end: &'static str,
        /// The whole flag.
        range: String,
    },
    /// Zero is no handle.
    #[error("The secondary handle has to be a non-zero value.")]
    Zero,
    /// The end comes before the beginning.
    #[error(
        "Secondary handle range specified '{0}', in flag --cgroups_net_cls_secondary_handles, is an empty set"
    )]
    Empty(String),
}

/// Every handle is taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("Failed to allocate a net_cls handle: No free handles remaining for primary handle {0:#x}")]
pub struct NoHandle(u16);

impl NetClsRange {
    /// Reads `--cgroups_net_cls_primary_handle` and `--cgroups_net_cls_secondary_handles`. Without the first an operator
    /// gives the numbers, and the second says nothing.
    pub fn parse(primary: Option<&str>, secondaries: Option<&str>) -> Result<Option<Self>, NetClsError> {
        let Some(text) = primary else { return Ok(None) };
        let primary = number(text).ok_or_else(|| NetClsError::Primary(text.to_owned()))?;
        let Some(text) = secondaries else { return Ok(Some(Self { primary, secondaries: 1..=u16::MAX })) };
        let bounds: Vec<&str> = text.split(',').filter(|bound| !bound.is_empty()).collect();
        let [lower, upper] = bounds[..] else { return Err(NetClsError::Range(text.to_owned())) };
        let bound = |end, bound| number(bound).ok_or(NetClsError::Bound { end, range: text.to_owned() });
        let (lower, upper) = (bound("lower", lower)?, bound("upper", upper)?);
        match lower {
            0 => Err(NetClsError::Zero),
            lower if lower > upper => Err(NetClsError::Empty(text.to_owned())),
            lower => Ok(Some(Self { primary, secondaries: lower..=upper })),
        }
    }
}

/// A number, hexadecimal after `0x`.
fn number(text: &str) -> Option<u16> {
    let text = text.trim();
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u16::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The handles of a range, and which of them are taken.
#[derive(Clone, Debug)]
pub struct NetClsHandles {
    range: NetClsRange,
    taken: BTreeSet<u16>,
}

impl NetClsHandles {
    /// All of them are free.
    #[must_use]
    pub fn new(range: NetClsRange) -> Self {
        Self { range, taken: BTreeSet::new() }
    }

    /// Takes the lowest one that is free, as a class id.
    pub fn take(&mut self) -> Result<u32, NoHandle> {
        let mut free = *self.range.secondaries.start();
        for taken in self.taken.range(self.range.secondaries.clone()) {
            if *taken != free {
                break;
            }
            free = match taken.checked_add(1).filter(|next| self.range.secondaries.contains(next)) {
                Some(next) => next,
                None => return Err(NoHandle(self.range.primary)),
            };
        }
        self.taken.insert(free);
        Ok((u32::from(self.range.primary) << 16) | u32::from(free))
    }

    /// Takes that one, of a container that an earlier agent gave it. What is not of the range is nobody's to give.
    pub fn keep(&mut self, class_id: u32) {
        self.taken.extend(self.own(class_id));
    }

    /// Gives one back.
    pub fn give_back(&mut self, class_id: u32) {
        if let Some(secondary) = self.own(class_id) {
            self.taken.remove(&secondary);
        }
    }

    fn own(&self, class_id: u32) -> Option<u16> {
        let secondary = u16::try_from(class_id & 0xffff).ok()?;
        let own = class_id >> 16 == u32::from(self.range.primary);
        (own && self.range.secondaries.contains(&secondary)).then_some(secondary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(primary: &str, secondaries: &str) -> Result<NetClsRange, String> {
        let secondaries = Some(secondaries).filter(|text| !text.is_empty());
        let range = NetClsRange::parse(Some(primary), secondaries).map_err(|error| error.to_string());
        range.map(|range| range.expect("there is a primary handle"))
    }

    #[test]
    fn flags_are_read() {
        assert_eq!(NetClsRange::parse(None, Some("x")), Ok(None));
        assert_eq!(parse("0x10", ""), Ok(NetClsRange { primary: 16, secondaries: 1..=u16::MAX }));
        let small = NetClsRange { primary: 18, secondaries: 0xaaaa..=0xaaac };
        assert_eq!(parse("18", "0xaaaa,0xAAAC"), Ok(small));
        let flag = "set in flag --cgroups_net_cls_secondary_handles";
        for (primary, secondaries, expected) in [
            (
                "0x10000",
                "",
                "Failed to parse the primary handle '0x10000' set in flag --cgroups_net_cls_primary_handle",
            ),
            ("1", "2", &format!("Failed to parse the range of secondary handles '2' {flag}")),
            (
                "1",
                "x,2",
                &format!("Failed to parse the lower bound of range of secondary handles 'x,2' {flag}"),
            ),
            ("1", "0,2", "The secondary handle has to be a non-zero value."),
            (
                "1",
                "3,2",
                "Secondary handle range specified '3,2', in flag --cgroups_net_cls_secondary_handles, is an empty set",
            ),
        ] {
            assert_eq!(parse(primary, secondaries), Err(expected.to_owned()));
        }
    }

    #[test]
    fn every_handle_is_given_once() {
        let mut handles = NetClsHandles::new(parse("0x1", "0xfffe,0xffff").unwrap());
        handles.keep(0x2_fffe);
        handles.keep(0x1_fffe);
        assert_eq!(handles.take(), Ok(0x1_ffff));
        let refused = handles.take().unwrap_err().to_string();
        assert_eq!(
            refused,
            "Failed to allocate a net_cls handle: No free handles remaining for primary handle 0x1"
        );
        handles.give_back(0x1_fffe);
        handles.give_back(0x1_0001);
        assert_eq!(handles.take(), Ok(0x1_fffe));
        assert!(handles.take().is_err());
    }
}
