//! The book of a run: every offer that was made and given back, kept apart from the allocator and compared with it.

use std::collections::BTreeMap;

use allocator::{Allocation, Allocator};
use resources::Resources;
use types::{AgentId, FrameworkId};

use crate::world::Control;

/// Complaints that are kept; more say nothing more.
const COMPLAINTS_MAX: usize = 5;

#[derive(Default)]
struct Page {
    total: Resources,
    /// What is held or offered, allocated to nobody.
    held: Resources,
}

/// What every agent has, and what of it is out.
pub(crate) struct Book {
    pages: BTreeMap<AgentId, Page>,
    offers: usize,
    control: Option<Control>,
    complaints: Vec<String>,
}

impl Book {
    pub(crate) fn new(control: Option<Control>) -> Self {
        Self { pages: BTreeMap::new(), offers: 0, control, complaints: Vec::new() }
    }

    pub(crate) fn add_agent(&mut self, id: &AgentId, total: &Resources, used: &[(FrameworkId, Resources)]) {
        let held = used.iter().map(|(_, held)| held.unallocated()).sum();
        self.pages.insert(id.clone(), Page { total: total.clone(), held });
    }

    /// An agent has other resources now.
    pub(crate) fn set_total(&mut self, id: &AgentId, total: &Resources) {
        if let Some(page) = self.pages.get_mut(id) {
            page.total = total.clone();
        }
    }

    /// How many offers were made.
    pub(crate) fn offers(&self) -> usize {
        self.offers
    }

    pub(crate) fn offered(&mut self, offers: &[Allocation]) {
        for offer in offers {
            self.offers += 1;
            let times = match self.control {
                Some(Control::LoseOffer) if self.offers == 1 => 0,
                Some(Control::DoubleOffer) if self.offers == 1 => 2,
                Some(Control::LoseOffer | Control::DoubleOffer | Control::FullPass | Control::AskAll)
                | None => 1,
            };
            let Some(page) = self.pages.get_mut(&offer.agent) else {
                self.complaints.push(format!("{} was offered, which is not there", offer.agent));
                continue;
            };
            (0..times).for_each(|_| page.held += &offer.resources.unallocated());
            if !page.total.contains(&page.held) {
                self.complaints.push(format!(
                    "over-committed: {} has {}, and {} of it is held or offered",
                    offer.agent, page.total, page.held
                ));
            }
        }
    }

    pub(crate) fn given_back(&mut self, offer: &Allocation) {
        self.returned(&offer.agent, &offer.resources);
    }

    pub(crate) fn returned(&mut self, agent: &AgentId, resources: &Resources) {
        if let Some(page) = self.pages.get_mut(agent) {
            page.held -= &resources.unallocated();
        }
    }

    /// Compares the book with the allocator's, agent by agent.
    pub(crate) fn audit(&self, allocator: &Allocator, agents: &[AgentId]) -> Vec<String> {
        let mut complaints = self.complaints.clone();
        for agent in agents {
            let Some(page) = self.pages.get(agent) else { continue };
            match allocator.agent_allocated(agent) {
                Some(held) if held == page.held => {}
                Some(held) => {
                    complaints.push(format!("{agent}: {held} is out, but {} was offered", page.held))
                }
                None => complaints.push(format!("{agent} was forgotten")),
            }
        }
        if complaints.len() > COMPLAINTS_MAX {
            let more = complaints.len() - COMPLAINTS_MAX;
            complaints.truncate(COMPLAINTS_MAX);
            complaints.push(format!("and {more} more"));
        }
        complaints
    }
}
