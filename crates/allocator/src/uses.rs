//! Who holds what of one agent: a short sorted list.

use crate::arena::Key;
use crate::frameworks::Client;
use crate::lot::Lot;

/// Lots by client, sorted by client. A busy agent has a few dozen, most one.
#[derive(Clone, Default)]
pub(crate) struct Uses(Vec<(Key<Client>, Lot)>);

impl Uses {
    fn find(&self, client: Key<Client>) -> Result<usize, usize> {
        self.0.binary_search_by_key(&client, |(holder, _)| *holder)
    }

    pub(crate) fn get(&self, client: &Key<Client>) -> Option<&Lot> {
        self.find(*client).ok().map(|at| &self.0[at].1)
    }

    /// What a client holds from now on.
    pub(crate) fn set(&mut self, client: Key<Client>, held: Lot) {
        match self.find(client) {
            Ok(at) if held.is_empty() => drop(self.0.remove(at)),
            Ok(at) => self.0[at].1 = held,
            Err(_) if held.is_empty() => {}
            Err(at) => {
                if self.0.capacity() == 0 {
                    self.0.reserve_exact(1);
                }
                self.0.insert(at, (client, held));
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key<Client>, &Lot)> {
        self.0.iter().map(|(client, held)| (client, held))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key<Client>> {
        self.0.iter().map(|(client, _)| client)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Lot> {
        self.0.iter().map(|(_, held)| held)
    }
}

impl IntoIterator for Uses {
    type Item = (Key<Client>, Lot);
    type IntoIter = std::vec::IntoIter<(Key<Client>, Lot)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
