//! What a container's processes may do: what the agent's flags say of it, and what a plan does.

use std::sync::Arc;

use seccomp::{Profile, Program};
use types::Capabilities;

use crate::facts::Facts;
use crate::ids::IdRange;
use crate::isolation::{Isolation, IsolationError, Isolator};
use crate::root::DeviceNode;

/// What the flags say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// `--effective_capabilities`: what a container has that does not ask.
    pub effective: Option<Capabilities>,
    /// `--bounding_capabilities`: what a container can have at most.
    pub bounding: Option<Capabilities>,
    /// The profile of `--seccomp_profile_name`, for a container that asks for none.
    pub seccomp: Option<Arc<Profile>>,
    /// The devices of `--allowed_devices`, as `linux/devices` shows them.
    pub devices: Vec<DeviceNode>,
    /// `--userns_range`: whom the users of containers are outside.
    pub ids: IdRange,
}

/// What the first process of a container does about its privileges, just before it is the command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Privileges {
    /// The capabilities that it has, where they are not those of its user.
    pub capabilities: Option<Granted>,
    /// Whether files that are executed bring no privileges.
    pub no_new_privs: bool,
    /// What answers each of its system calls, once it is the command.
    pub seccomp: Option<Program>,
}

/// Capabilities of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// What its command has; none for what its user has.
    pub effective: Option<Capabilities>,
    /// What files that are executed can bring at most.
    pub bounding: Capabilities,
}

impl Security {
    /// Whether isolators can do on this machine what the flags say.
    pub fn check(&self, isolation: &Isolation, facts: &Facts) -> Result<(), IsolationError> {
        if !isolation.has(Isolator::LinuxCapabilities) {
            return Ok(());
        }
        let impossible = |reason: String| {
            Err(IsolationError::Impossible { name: Isolator::LinuxCapabilities.name(), reason })
        };
        let Some(effective) = self.effective else { return Ok(()) };
        if self.bounding.is_some_and(|bounding| !bounding.contains(effective)) {
            // COMPAT(mesos): the words, and how it spells one.
            return impossible(
                "Allowed capabilities are not a subset of the bounding capabilites".to_owned(),
            );
        }
        let lacking = effective.without(facts.capabilities);
        if !lacking.is_empty() {
            return impossible(format!(
                "--effective_capabilities has '{lacking}', which the agent itself does not have"
            ));
        }
        Ok(())
    }
}
