//! Runs containers: the posix launcher behind the containerizer interface.
