//! What this master says of itself in documents, fixed once it has started.

use std::collections::BTreeMap;
use std::sync::Arc;

use machine::WallTime;
use proto::json::Writer;

/// Name, flags and times of this master.
#[derive(Debug)]
pub(crate) struct Identity {
    /// When it started.
    pub(crate) start_time: WallTime,
    /// The cluster's name for people.
    pub(crate) cluster: Option<String>,
    /// Every flag that has a value.
    pub(crate) flags: Arc<BTreeMap<String, String>>,
}

impl Identity {
    /// The members of `/state` that come from flags.
    pub(crate) fn write_flags(&self, w: &mut Writer) {
        if let Some(cluster) = &self.cluster {
            w.field_str("cluster", cluster);
        }
        for name in ["log_dir", "external_log_file"] {
            if let Some(value) = self.flags.get(name) {
                w.field_str(name, value);
            }
        }
        w.field_object("flags", |w| self.flags.iter().for_each(|(name, value)| w.field_str(name, value)));
    }
}
