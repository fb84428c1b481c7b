//! Seccomp profiles in Docker's format, compiled to the programs that the kernel runs before each system call.
//!
//! Pure: text in, instructions out. Whoever loads the program is elsewhere.
//!
//! ```text
//! JSON -> Profile (names, conditions) -> rules of this machine and these capabilities -> intervals of numbers -> Program
//! ```

mod arch;
mod compile;
mod condition;
mod profile;
mod program;

pub use crate::arch::{Arch, Machine};
pub use crate::profile::{Profile, ProfileError};
pub use crate::program::{Instruction, Program};
