//! An offer is outstanding to one framework: what frameworks were told agrees with what the master keeps.

use std::collections::{BTreeMap, BTreeSet};

use master_core::{StreamId, View};

/// An offer as its framework was told of it.
#[derive(Clone, Debug)]
struct Told {
    master: usize,
    stream: StreamId,
    framework: usize,
}

/// The offers that frameworks believe to have.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    told: BTreeMap<String, Told>,
}

impl Offers {
    /// An offer is told.
    pub(crate) fn offered(
        &mut self,
        master: usize,
        stream: StreamId,
        framework: usize,
        offer: &str,
    ) -> Result<(), String> {
        let told = Told { master, stream, framework };
        match self.told.insert(offer.to_owned(), told) {
            None => Ok(()),
            Some(before) => {
                Err(format!("{offer} is told to framework {framework} after {}", before.framework))
            }
        }
    }

    /// An offer is taken back aloud, or its framework has answered it.
    pub(crate) fn ended(&mut self, offer: &str) {
        self.told.remove(offer);
    }

    /// What was told on a stream is void with it.
    pub(crate) fn stream_over(&mut self, stream: StreamId) {
        self.told.retain(|_, told| told.stream != stream);
    }

    pub(crate) fn leader_gone(&mut self, master: usize) {
        self.told.retain(|_, told| told.master != master);
    }

    /// Whether a master keeps the offers that its frameworks believe to have.
    pub(crate) fn check(&self, master: usize, view: &View) -> Result<(), String> {
        let kept: BTreeSet<&str> = view
            .frameworks
            .iter()
            .flat_map(|framework| &framework.offers)
            .map(|offer| offer.id.as_str())
            .collect();
        let lost = self.told.iter().find(|(id, told)| told.master == master && !kept.contains(id.as_str()));
        match lost {
            None => Ok(()),
            Some((id, told)) => Err(format!(
                "framework {} believes to have {id}, and nobody told it otherwise",
                told.framework
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn sees_an_offer_that_goes_in_silence() {
        let view = testing::busy_view();
        let mut offers = Offers::default();
        assert_eq!(offers.check(0, &view), Ok(()));
        offers.offered(0, StreamId(1), 0, "o").expect("a first offer");
        assert!(offers.offered(0, StreamId(2), 1, "o").is_err());
        assert!(offers.check(0, &view).is_err());
        offers.ended("o");
        assert_eq!(offers.check(0, &view), Ok(()));
    }
}
