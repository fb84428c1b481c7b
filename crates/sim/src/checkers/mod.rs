//! What must hold in every history, one file per rule. Each looks at what went over the wires, onto disks or into the
//! store, or at what readers of the master may see; none asks a core whether it thinks that all is well.
//!
//! | rule | file |
//! |---|---|
//! | total = free + offered + used, on each agent | `books` |
//! | an offer is outstanding to one framework, and as it was told | `offers` |
//! | no task runs twice | `once` |
//! | what has ended does not live on | `fate` |
//! | an update is on disk before its executor is told, and is not sent again once it was acknowledged | `updates` |
//! | only the newest epoch writes the registry | `registry` |
//! | limits hold | `limits` |
//! | in the end all agree | `agreement` |

pub(crate) mod agreement;
pub(crate) mod books;
pub(crate) mod fate;
pub(crate) mod limits;
pub(crate) mod offers;
pub(crate) mod once;
pub(crate) mod registry;
pub(crate) mod updates;

use std::collections::BTreeMap;

use crate::node::Nanos;

/// What the checkers have seen.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    pub(crate) offers: offers::Offers,
    pub(crate) once: once::Once,
    pub(crate) fate: fate::Fate,
    pub(crate) registry: registry::Registry,
    pub(crate) limits: limits::Limits,
    /// How long the master that is killed now stays away.
    pub(crate) master_down: Option<Nanos>,
    /// Why masters ended themselves, and how often.
    pub(crate) aborts: BTreeMap<String, u64>,
}

impl Oracle {
    /// A leader is gone, and its streams with it.
    pub(crate) fn leader_gone(&mut self, master: usize) {
        self.offers.leader_gone(master);
        self.limits.leader_gone();
    }

    pub(crate) fn aborted(&mut self, why: &str) {
        *self.aborts.entry(why.to_owned()).or_default() += 1;
    }
}
