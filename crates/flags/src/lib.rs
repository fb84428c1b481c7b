//! Command-line flags the way Mesos takes them.
