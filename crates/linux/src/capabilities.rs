//! Capabilities of this thread, as bits: the kernel's number of each is that of its bit.
//!
//! All of this concerns the calling thread alone, so the calling process should have one.

use std::io;

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
    set_keep_capabilities,
};

/// What this thread may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// What is in force.
    pub effective: u64,
    /// What it can put in force.
    pub permitted: u64,
    /// What it keeps over an exec where the file has it too.
    pub inheritable: u64,
}

/// What this thread has.
pub fn held() -> io::Result<Held> {
    let sets = capabilities(None)?;
    Ok(Held {
        effective: sets.effective.bits(),
        permitted: sets.permitted.bits(),
        inheritable: sets.inheritable.bits(),
    })
}

/// Gives this thread other sets.
pub fn hold(held: Held) -> io::Result<()> {
    let sets = CapabilitySets {
        effective: CapabilitySet::from_bits_retain(held.effective),
        permitted: CapabilitySet::from_bits_retain(held.permitted),
        inheritable: CapabilitySet::from_bits_retain(held.inheritable),
    };
    Ok(set_capabilities(None, sets)?)
}

/// What files that are executed can bring at most.
pub fn bounding() -> io::Result<u64> {
    let mut bits = 0;
    for one in every_bit() {
        match capability_is_in_bounding_set(one) {
            Ok(true) => bits |= one.bits(),
            Ok(false) => {}
            // The kernel has fewer.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(bits)
}

/// Takes from files that are executed what is not among these, for good.
pub fn bound(keep: u64) -> io::Result<()> {
    for one in every_bit().filter(|one| keep & one.bits() == 0) {
        match remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Keeps what is permitted when the user changes, until the next exec.
pub fn keep_permitted() -> io::Result<()> {
    Ok(set_keep_capabilities(true)?)
}

/// Makes these, and no others, what a user who is not root keeps over an exec. They must be permitted and inheritable.
pub fn keep_over_exec(ambient: u64) -> io::Result<()> {
    clear_ambient_capability_set()?;
    for one in every_bit().filter(|one| ambient & one.bits() != 0) {
        configure_capability_in_ambient_set(one, true)?;
    }
    Ok(())
}

fn every_bit() -> impl Iterator<Item = CapabilitySet> {
    (0..u64::BITS).map(|number| CapabilitySet::from_bits_retain(1 << number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_can_be_read() {
        let line = |name: &str| {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        let held = held().unwrap();
        assert_eq!((held.effective, held.permitted), (line("CapEff:"), line("CapPrm:")));
        assert_eq!((held.inheritable, bounding().unwrap()), (line("CapInh:"), line("CapBnd:")));
    }
}
