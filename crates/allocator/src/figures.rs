//! What metrics show of roles.

use std::collections::BTreeMap;

use types::Role;

use crate::{Allocator, Share};

/// What metrics show of a role with subscribed frameworks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RoleFigures {
    /// Its weighted dominant share, roles below it counted.
    pub share: Share,
    /// How many filters its frameworks have in force.
    pub filters: usize,
}

impl Allocator {
    /// The figures of every role that a framework is subscribed in.
    #[must_use]
    pub fn role_figures(&self) -> BTreeMap<Role, RoleFigures> {
        let mut all: BTreeMap<Role, RoleFigures> = BTreeMap::new();
        for (_, client) in self.frameworks.clients.iter().filter(|(_, client)| client.subscribed) {
            match all.get_mut(&client.role) {
                Some(figures) => figures.filters += client.filter_count,
                None => {
                    let share = self.role_share(&client.role);
                    all.insert(client.role.clone(), RoleFigures { share, filters: client.filter_count });
                }
            }
        }
        all
    }
}
