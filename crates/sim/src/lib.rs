//! The deterministic simulation: a cluster of real cores in a modelled world, where everything that can go wrong does,
//! and one seed gives one history, byte for byte.
//!
//! | question | file |
//! |---|---|
//! | what a seed says: who is there, what goes wrong | `plan` |
//! | the heap, and what happens | `world` |
//! | connections, and how they break | `network`, `wires` |
//! | the election and the registry's store | `coordination`, `election` |
//! | how a master's core is driven | `master` |
//! | how an agent's core is driven; its disk; its containers | `agent`, `disk`, `container` |
//! | how frameworks behave | `framework` |
//! | what must hold | `checkers` |
//! | failing histories made small | `shrink` |
//! | fifty thousand agents | `wide` |
//! | what is printed of a history | `journal`, `observe` |

mod agent;
mod checkers;
mod container;
mod coordination;
mod disk;
mod election;
mod framework;
mod journal;
mod master;
mod network;
mod node;
mod observe;
mod plan;
mod shrink;
#[cfg(test)]
mod testing;
mod wide;
mod wires;
mod world;

pub use journal::Journal;
pub use node::{MILLI, Nanos, Node, SECOND};
pub use plan::{Fault, Guest, Plan, Temper};
pub use shrink::{recipe, run, shrink};
pub use wide::{WideOutcome, wide};
pub use world::{Breakage, Outcome, Violation, World};
