//! Randomness from the operating system: the core's seed, and ids that outsiders must not guess.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::Read as _;

use machine::Rng;
use types::Uuid;

/// A seed that nobody can foresee.
pub fn seed() -> u64 {
    let mut bytes = [0; 8];
    match fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        // Without /dev (a bare chroot) the standard library's own seeds must do; they come from the kernel too.
        Err(_) => RandomState::new().build_hasher().finish(),
    }
}

/// A random (version 4) UUID.
pub fn uuid() -> Uuid {
    let mut bytes = [0; 16];
    if fill(&mut bytes).is_err() {
        return Uuid::random(&mut Rng::new(seed()));
    }
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    Uuid::from_bytes(bytes)
}

fn fill(bytes: &mut [u8]) -> std::io::Result<()> {
    std::fs::File::open("/dev/urandom")?.read_exact(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_of_version_4_and_differ() {
        let (a, b) = (uuid(), uuid());
        assert_ne!(a, b);
        assert_eq!(a.to_string().as_bytes()[14], b'4');
    }
}
