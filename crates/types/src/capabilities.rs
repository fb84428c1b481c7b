//! Sets of Linux capabilities: what of root's power a process has.

use std::fmt;

use proto::mesos::v1::CapabilityInfo;
use proto::mesos::v1::capability_info::Capability;

/// The schema's number of the capability that the kernel numbers 0.
const OFFSET: i32 = 1000;

/// A set of capabilities, a bit each as the kernel numbers them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Capabilities(u64);

/// A capability that this version does not know, by its number in the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Unknown capability {0}")]
pub struct UnknownCapability(pub i32);

impl Capabilities {
    /// None.
    pub const NONE: Self = Self(0);

    /// The set with these bits.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Its bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The capability of that name, such as `NET_RAW`, by itself.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let number = Capability::from_str_name(name)? as i32 - OFFSET;
        Some(Self(1 << u32::try_from(number).ok()?))
    }

    /// What a message lists.
    pub fn of(info: &CapabilityInfo) -> Result<Self, UnknownCapability> {
        let bit = |number: i32| match Capability::try_from(number) {
            Ok(Capability::Unknown) | Err(_) => Err(UnknownCapability(number)),
            Ok(known) => Ok(1_u64 << (known as i32 - OFFSET)),
        };
        info.capabilities.iter().try_fold(0, |bits, number| Ok(bits | bit(*number)?)).map(Self)
    }

    /// The message that lists it.
    #[must_use]
    pub fn to_proto(self) -> CapabilityInfo {
        let number = |bit: i32| (self.0 & (1 << bit) != 0).then_some(bit + OFFSET);
        CapabilityInfo { capabilities: (0..64).filter_map(number).collect() }
    }

    /// Whether all of these are in it.
    #[must_use]
    pub const fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Whether there is none in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in both.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// What is in it and not in the others.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }
}

/// COMPAT(mesos): the names between braces, `{ CHOWN, KILL }`.
impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{ ")?;
        let numbers = (0..64).filter(|number| self.0 & (1 << number) != 0);
        for (at, number) in numbers.enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            match Capability::try_from(number + OFFSET) {
                Ok(known) => f.write_str(known.as_str_name())?,
                // A newer kernel's.
                Err(_) => write!(f, "{number}")?,
            }
        }
        f.write_str(" }")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_become_sets() {
        let info = |capabilities: &[i32]| CapabilityInfo { capabilities: capabilities.to_vec() };
        let set = Capabilities::of(&info(&[1005, 1000, 1005, 1040])).unwrap();
        assert_eq!(
            (set.bits(), set.to_string().as_str()),
            (0x100_0000_0021, "{ CHOWN, KILL, CHECKPOINT_RESTORE }")
        );
        assert_eq!(set.to_proto(), info(&[1000, 1005, 1040]));
        assert_eq!(Capabilities::of(&info(&[])).unwrap().to_string(), "{  }");
        assert_eq!(Capabilities::of(&info(&[0])), Err(UnknownCapability(0)));
        assert_eq!(Capabilities::of(&info(&[1041])), Err(UnknownCapability(1041)));
        assert_eq!(Capabilities::named("CHOWN"), Some(Capabilities::from_bits(1)));
        assert_eq!((Capabilities::named("UNKNOWN"), Capabilities::named("CAP_KILL")), (None, None));
    }

    #[test]
    fn sets_are_compared() {
        let (few, more) = (Capabilities::from_bits(0b10), Capabilities::from_bits(0b110));
        assert!(more.contains(few) && !few.contains(more) && few.contains(Capabilities::NONE));
        assert_eq!((more.without(few).bits(), more.and(few)), (0b100, few));
        assert!(few.without(more).is_empty());
    }
}
