//! Who is in the world, where each one listens, and what each one's clock says.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use machine::{Instant, Now, WallTime};

/// True time: nanoseconds since the world began. No process ever sees it.
pub type Nanos = u64;

/// A millisecond of true time.
pub const MILLI: Nanos = 1_000_000;

/// A second of true time.
pub const SECOND: Nanos = 1_000_000_000;

/// The wall clock of the world at its beginning: a round number in 2023.
const EPOCH_NANOS: i64 = 1_700_000_000_000_000_000;

/// A machine of the world, with what runs on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// One of the masters.
    Master(usize),
    /// An agent's machine.
    Agent(usize),
    /// A framework's scheduler.
    Framework(usize),
    /// ZooKeeper or etcd, taken as one.
    Coordination,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master(number) => write!(f, "master {number}"),
            Self::Agent(number) => write!(f, "agent {number}"),
            Self::Framework(number) => write!(f, "framework {number}"),
            Self::Coordination => f.write_str("coordination"),
        }
    }
}

impl Node {
    /// Where its daemon listens.
    #[must_use]
    pub fn address(self) -> SocketAddr {
        let (network, number, port) = match self {
            Self::Master(number) => (1, number, 5050),
            Self::Agent(number) => (2, number, 5051),
            Self::Framework(number) => (3, number, 6000),
            Self::Coordination => (4, 0, 2181),
        };
        let bytes = u32::try_from(number + 1).unwrap_or(u32::MAX).to_be_bytes();
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, bytes[1] * 8 + network, bytes[2], bytes[3])), port)
    }

    /// Whose address that is.
    #[must_use]
    pub fn at(address: SocketAddr) -> Option<Self> {
        let IpAddr::V4(ip) = address.ip() else { return None };
        let [_, second, third, fourth] = ip.octets();
        let number = u32::from_be_bytes([0, second / 8, third, fourth]);
        let number = usize::try_from(number).ok()?.checked_sub(1)?;
        match second % 8 {
            1 => Some(Self::Master(number)),
            2 => Some(Self::Agent(number)),
            3 => Some(Self::Framework(number)),
            4 => Some(Self::Coordination),
            _ => None,
        }
    }
}

/// The clock of one process: it begins with the process and runs a little fast or slow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// When the process began.
    pub began: Nanos,
    /// How many millionths it runs fast.
    pub drift_ppm: i64,
    /// How far the machine's wall clock is off.
    pub wall_off_nanos: i64,
}

impl Clock {
    fn rate(self) -> u128 {
        u128::try_from(1_000_000 + self.drift_ppm).unwrap_or(1)
    }

    /// What the process is told of time.
    #[must_use]
    pub(crate) fn now(self, at: Nanos) -> Now {
        let elapsed = u128::from(at.saturating_sub(self.began)) * self.rate() / 1_000_000;
        let mono = Instant::from_nanos(u64::try_from(elapsed).unwrap_or(u64::MAX));
        let wall = EPOCH_NANOS.saturating_add(i64::try_from(at).unwrap_or(i64::MAX)) + self.wall_off_nanos;
        Now { mono, wall: WallTime::from_nanos(wall) }
    }

    /// When the process's clock will have reached that.
    #[must_use]
    pub(crate) fn reaches(self, mono: Instant) -> Nanos {
        let elapsed = (u128::from(mono.as_nanos()) * 1_000_000).div_ceil(self.rate());
        self.began.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_an_address_of_its_own() {
        for number in [0, 1, 254, 255, 256, 49_999] {
            for node in [Node::Master(number), Node::Agent(number), Node::Framework(number)] {
                assert_eq!(Node::at(node.address()), Some(node));
            }
        }
        assert_eq!(Node::at(Node::Coordination.address()), Some(Node::Coordination));
    }

    #[test]
    fn a_deadline_has_come_when_the_clock_reaches_it() {
        for drift_ppm in [-500, 0, 3, 500] {
            let clock = Clock { began: 17, drift_ppm, wall_off_nanos: 0 };
            for deadline in [0, 1, 999, 1_000_000_007, 3_600_000_000_001] {
                let mono = Instant::from_nanos(deadline);
                let at = clock.reaches(mono);
                assert!(clock.now(at).mono >= mono);
                assert!(at == clock.began || clock.now(at - 1).mono < mono);
            }
        }
    }
}
