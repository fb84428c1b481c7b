//! Who holds what of one agent: a short sorted list.

use resources::Resources;

use crate::arena::Key;
use crate::frameworks::Client;

/// Resources by client, sorted by client. A busy agent has a few dozen, most one.
#[derive(Clone, Default)]
pub(crate) struct Uses(Vec<(Key<Client>, Resources)>);

impl Uses {
    fn find(&self, client: Key<Client>) -> Result<usize, usize> {
        self.0.binary_search_by_key(&client, |(holder, _)| *holder)
    }

    pub(crate) fn get(&self, client: &Key<Client>) -> Option<&Resources> {
        self.find(*client).ok().map(|at| &self.0[at].1)
    }

    pub(crate) fn get_mut(&mut self, client: &Key<Client>) -> Option<&mut Resources> {
        self.find(*client).ok().map(|at| &mut self.0[at].1)
    }

    /// What a client holds, nothing where it is new.
    pub(crate) fn entry(&mut self, client: Key<Client>) -> &mut Resources {
        let at = self.find(client).unwrap_or_else(|at| {
            if self.0.capacity() == 0 {
                self.0.reserve_exact(1);
            }
            self.0.insert(at, (client, Resources::new()));
            at
        });
        &mut self.0[at].1
    }

    pub(crate) fn remove(&mut self, client: &Key<Client>) {
        if let Ok(at) = self.find(*client) {
            self.0.remove(at);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key<Client>, &Resources)> {
        self.0.iter().map(|(client, held)| (client, held))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key<Client>> {
        self.0.iter().map(|(client, _)| client)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Resources> {
        self.0.iter().map(|(_, held)| held)
    }
}

impl IntoIterator for Uses {
    type Item = (Key<Client>, Resources);
    type IntoIter = std::vec::IntoIter<(Key<Client>, Resources)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
