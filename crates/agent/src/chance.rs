//! Randomness from the operating system: the core's seed.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::Read as _;

/// A seed that nobody can foresee.
pub(crate) fn seed() -> u64 {
    let mut bytes = [0; 8];
    match fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        // Without /dev (a bare chroot) the standard library's own seeds must do; they come from the kernel too.
        Err(_) => RandomState::new().build_hasher().finish(),
    }
}

fn fill(bytes: &mut [u8]) -> std::io::Result<()> {
    std::fs::File::open("/dev/urandom")?.read_exact(bytes)
}
