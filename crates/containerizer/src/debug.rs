//! What is shown of the containerizer to who looks for faults in it.

use std::fmt;

use crate::config::Config;
use crate::containerizer::Containerizer;

impl fmt::Debug for Containerizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Containerizer").field("containers", &self.containers()).finish()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("settings", &self.settings).finish_non_exhaustive()
    }
}
