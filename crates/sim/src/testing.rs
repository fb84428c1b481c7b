//! What tests of checkers look at.

use master_core::View;

use crate::journal::Journal;
use crate::node::SECOND;
use crate::plan::{Guest, Plan, Temper};
use crate::world::{Breakage, World};

fn guest(temper: Temper, role: &'static str) -> Guest {
    Guest { temper, role, checkpoint: true, partition_aware: true, own_executors: true }
}

/// A small world in which nothing goes wrong.
pub(crate) fn quiet_plan() -> Plan {
    let guests = vec![guest(Temper::Hoarding, "dev"), guest(Temper::Greedy, "ops")];
    Plan { seed: 1, agents: 3, guests, faults: Vec::new(), busy: 60 * SECOND }
}

/// What readers see of a master in the middle of its work: something runs, something is offered.
pub(crate) fn busy_view() -> View {
    let mut world = World::new(quiet_plan(), Breakage::default(), Journal::default());
    loop {
        assert!(world.step(), "something runs before all is over");
        let Some(process) = world.serving().and_then(|master| world.masters[master].process.as_ref()) else {
            continue;
        };
        let view = process.core.view();
        let offered = view.frameworks.iter().any(|framework| !framework.offers.is_empty());
        let used = view.agents.iter().any(|agent| !agent.used.is_empty());
        if offered && used {
            return view;
        }
    }
}
