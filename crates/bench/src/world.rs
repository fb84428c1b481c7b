//! A cluster for one run: an allocator, a clock that stands still, and the book of what was offered.

use std::time::Duration;

use allocator::{
    AgentOptions, Allocation, Allocator, FrameworkCapabilities, FrameworkOptions, Options, Progress, Refusal,
};
use machine::Instant;
use resources::Resources;
use types::{AgentId, FrameworkId, Role};

use crate::audit::Book;

/// What a step may do at most; the master's own budget is of this size.
const BUDGET: usize = 10_000;

/// The front of every id, as long as the master makes them.
const MASTER: &str = "6f1c5a0e-52b1-4f6b-8f0e-8a4c4e0d7c11";

/// What is done wrong on purpose, so that an audit or a limit must fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Control {
    /// After every change every agent is looked at again, as a periodic pass over the cluster would.
    FullPass,
    /// At every decline every framework is asked whether it has a filter there, as a walk over filters would.
    AskAll,
    /// One offer of every run is kept from the book.
    LoseOffer,
    /// One offer of every run is in the book twice.
    DoubleOffer,
}

/// An allocator under test.
pub(crate) struct World {
    pub(crate) allocator: Allocator,
    pub(crate) now: Instant,
    pub(crate) book: Book,
    pub(crate) agents: Vec<AgentId>,
    pub(crate) frameworks: Vec<FrameworkId>,
    control: Option<Control>,
}

/// An agent's id, of the form that a master gives.
pub(crate) fn agent_id(at: usize) -> AgentId {
    AgentId::from(format!("{MASTER}-S{at}"))
}

/// A framework's id, of the form that a master gives.
pub(crate) fn framework_id(at: usize) -> FrameworkId {
    FrameworkId::from(format!("{MASTER}-{at:04}"))
}

/// Resources from their text.
pub(crate) fn parse(text: &str) -> Resources {
    Resources::parse(text, "*").expect("the text is ours")
}

impl World {
    pub(crate) fn new(control: Option<Control>) -> Self {
        Self::with_options(control, Options::default())
    }

    pub(crate) fn with_options(control: Option<Control>, options: Options) -> Self {
        Self {
            allocator: Allocator::new(options),
            now: Instant::ZERO,
            book: Book::new(control),
            agents: Vec::new(),
            frameworks: Vec::new(),
            control,
        }
    }

    /// One more framework in these roles.
    pub(crate) fn add_framework(&mut self, roles: Vec<Role>, capabilities: FrameworkCapabilities) {
        let id = framework_id(self.frameworks.len());
        let options = FrameworkOptions { roles, capabilities, ..FrameworkOptions::default() };
        self.allocator.add_framework(&id, &options, true);
        self.frameworks.push(id);
    }

    /// So many frameworks, all in one role.
    pub(crate) fn add_frameworks(&mut self, count: usize, role: &str) {
        let role = Role::from(role);
        (0..count).for_each(|_| {
            self.add_framework(vec![role.clone()], FrameworkCapabilities::default());
        });
    }

    /// One more agent; `used` is what frameworks hold on it, by their number.
    pub(crate) fn add_agent(&mut self, total: &Resources, used: &[(usize, Resources)]) {
        let at = self.agents.len();
        let id = agent_id(at);
        let used: Vec<_> = used
            .iter()
            .map(|(framework, held)| (self.frameworks[*framework].clone(), held.clone()))
            .collect();
        self.allocator.add_agent(&id, AgentOptions::default(), total.clone(), &used);
        self.book.add_agent(&id, total, &used);
        self.agents.push(id);
    }

    /// Lets the allocator work until nothing is left, as the master does after an event.
    pub(crate) fn step(&mut self, out: &mut Vec<Allocation>) {
        if self.control == Some(Control::FullPass) {
            self.look_at_all();
        }
        while self.allocator.step(self.now, BUDGET, out) == Progress::More {}
    }

    /// Works until nothing is left, and books what was offered.
    pub(crate) fn settle(&mut self) -> Vec<Allocation> {
        let mut out = Vec::new();
        self.step(&mut out);
        self.book.offered(&out);
        out
    }

    /// Marks every agent as changed.
    pub(crate) fn look_at_all(&mut self) {
        for agent in &self.agents {
            self.allocator.set_agent_options(agent, AgentOptions::default());
        }
    }

    /// A framework gives an offer back.
    pub(crate) fn give_back(&mut self, offer: &Allocation, refusal: Option<Refusal>) {
        let Allocation { framework, agent, resources, .. } = offer;
        self.allocator.recover(self.now, framework, agent, resources, refusal);
        if self.control == Some(Control::AskAll) && refusal.is_some() {
            let refusers =
                self.frameworks.iter().filter(|framework| self.allocator.refuses(framework, agent));
            std::hint::black_box(refusers.count());
        }
    }

    /// Time passes.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Everything that is not as the book says.
    pub(crate) fn audit(&self) -> Vec<String> {
        self.book.audit(&self.allocator, &self.agents)
    }
}
