//! Brings a task's files into its sandbox: copy, download, cache, extract.
