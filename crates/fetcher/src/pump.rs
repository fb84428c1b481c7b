//! Copying bytes within bounds: a limit, and a flag that stops it.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// What bounds a copy.
#[derive(Clone, Copy)]
pub struct Bounds<'a> {
    /// Set when nobody wants the result any more.
    pub cancel: &'a AtomicBool,
    /// The most bytes that may be copied.
    pub bytes_max: u64,
}

impl Bounds<'_> {
    /// An error once the work has been cancelled.
    pub(crate) fn check_cancel(&self) -> io::Result<()> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(io::Error::other("cancelled"));
        }
        Ok(())
    }
}

/// Copies everything; says how much that was.
pub fn pump(mut from: impl Read, mut to: impl Write, bounds: Bounds<'_>) -> io::Result<u64> {
    let mut buffer = vec![0; 128 * 1024];
    let mut total = 0;
    loop {
        bounds.check_cancel()?;
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        total += count as u64;
        if total > bounds.bytes_max {
            return Err(io::Error::new(
                ErrorKind::FileTooLarge,
                format!("more than the {} bytes that are allowed", bounds.bytes_max),
            ));
        }
        to.write_all(&buffer[..count])?;
    }
}
