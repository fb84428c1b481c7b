//! The command executor: runs one task's command and reports on it.
