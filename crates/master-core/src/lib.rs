//! Every decision of the master, as one deterministic state machine.
//!
//! Events go in, ordered effects come out ([`Machine`]); nothing here knows
//! sockets, disks, threads or clocks. Readers get a [`View`].

mod config;
mod effect;
mod event;
mod message;
pub mod metrics;
pub mod registry;
pub mod validation;
mod view;

use std::sync::Arc;

use machine::{Instant, Machine, Now};

pub use config::Config;
pub use effect::{Effect, Process, Reply, Status};
pub use event::{Event, OperatorCall, RequestId, StreamId, Ticket};
pub use message::{DecodeError, Message, Outgoing};
pub use metrics::{Counters, FrameworkCounters};
pub use view::{AgentView, FrameworkView, Resources, View};

/// The master.
#[derive(Debug)]
pub struct Master {
    config: Arc<Config>,
    counters: Arc<Counters>,
}

impl Master {
    /// A master that does not lead yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config: Arc::new(config), counters: Arc::default() }
    }

    /// What readers may know, as of now. Take one per tick for all its readers.
    #[must_use]
    pub fn view(&self) -> View {
        View {
            config: Arc::clone(&self.config),
            elected_time: None,
            recovered: false,
            agents: Vec::new(),
            recovered_agents: Vec::new(),
            unreachable_agents: 0,
            frameworks: Vec::new(),
            completed_frameworks: Vec::new(),
            operator_streams: 0,
            offers: 0,
            counters: Arc::clone(&self.counters),
        }
    }
}

impl Machine for Master {
    type Event = Event;
    type Effect = Effect;

    fn handle_event(&mut self, _now: Now, _event: Event, _fx: &mut Vec<Effect>) {}

    fn handle_timeout(&mut self, _now: Now, _fx: &mut Vec<Effect>) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
