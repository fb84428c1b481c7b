//! What a client of the v1 APIs decides: subscribe, resubscribe, keep what is
//! not yet acknowledged, notice a silent peer.
//!
//! One session per API, each a [`machine::Machine`] that knows no sockets: the
//! shell opens the stream, posts the calls and hands in what arrives.

mod backoff;
pub mod executor;
pub mod scheduler;

pub use backoff::Backoff;
