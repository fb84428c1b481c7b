//! The one binary, `mesos`.

fn main() {}
