//! Static builds: the program carries its C library, so that one file is all there is to install, and to exec.

use std::path::{Path, PathBuf};

/// What such builds are for, where they can be made: it must be said, lest cargo compile macros of the compiler so too.
pub(crate) fn target() -> Option<&'static str> {
    let can = cfg!(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"));
    can.then_some("x86_64-unknown-linux-gnu")
}

/// The compiler's flags, after those that the environment has. The program stays position independent.
pub(crate) fn flags() -> String {
    let given = std::env::var("RUSTFLAGS").unwrap_or_default();
    format!("{given} -C target-feature=+crt-static").trim_start().to_owned()
}

/// Where such a build of `profile` is, below cargo's own directory.
pub(crate) fn place(cargo: &Path, profile: &str) -> PathBuf {
    target().map_or_else(|| cargo.to_owned(), |target| cargo.join(target)).join(profile)
}
