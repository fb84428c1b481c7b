//! What this agent says of itself in documents, fixed once it has started.

use std::collections::BTreeMap;
use std::sync::Arc;

use machine::WallTime;
use types::Pid;

/// Address, flags and times of this agent.
#[derive(Debug)]
pub(crate) struct Identity {
    /// When it started.
    pub(crate) start_time: WallTime,
    /// Where it listens, as peers are told.
    pub(crate) pid: Pid,
    /// Every flag that has a value.
    pub(crate) flags: Arc<BTreeMap<String, String>>,
}
