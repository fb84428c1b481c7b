//! A Linux machine of its own for a test: Debian's cloud kernel under QEMU with a busybox around the test, cgroups of
//! version 2 alone, and every right that root can have.
//!
//! It is for what the machine that runs the tests may not show: a unified hierarchy with every controller, file systems
//! that its kernel lacks. A test packs its own binary, boots, and reads what that printed. The processor is
//! emulated, which takes about ten seconds for a boot and makes everything several times slower.
//!
//! ```text
//! Packages::fetch -> Guest { programs, files } -> run("/bin/under-test root_") -> Outcome { status, output }
//! ```

mod archive;
mod guest;
mod packages;
mod xfs;

pub use crate::guest::{Guest, Outcome};
pub use crate::packages::Packages;
