//! Where chance comes from.

use std::hash::{BuildHasher as _, RandomState};
use std::mem::MaybeUninit;

use rustix::rand::{GetRandomFlags, getrandom};

/// A number that no other executor has: from the kernel, since the standard library's own chance may be older than this
/// process, and its process id is the same in every container.
pub(crate) fn seed() -> u64 {
    let mut bytes = [MaybeUninit::<u8>::uninit(); 8];
    let filled = getrandom(&mut bytes, GetRandomFlags::empty()).ok();
    let bytes = filled.and_then(|(filled, _)| filled.try_into().ok()).map(|bytes: &mut [u8; 8]| *bytes);
    bytes.map_or_else(|| RandomState::new().hash_one(std::time::Instant::now()), u64::from_ne_bytes)
}
