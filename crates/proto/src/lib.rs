//! The words of Mesos: message types, their JSON dialect and RecordIO framing.
//!
//! One set of types serves both API generations, since v0 and v1 messages are
//! the same bytes under other names. [`mesos::v1`] holds the data model and the
//! public APIs, [`mesos::internal`] what masters, agents, drivers and executors
//! say to each other.
//!
//! Bytes from outside come in through [`wire::decode`] or [`json::from_slice`],
//! which refuse what C++ Mesos refuses; a call is then checked by [`unions`].

pub mod json;
pub mod recordio;
pub mod schema;
pub mod unions;
pub mod v0;
pub mod wire;

pub use generated::{appc, docker, mesos};

mod generated {
    #![expect(
        missing_docs,
        clippy::all,
        clippy::allow_attributes,
        reason = "generated from the .proto files"
    )]
    include!(concat!(env!("OUT_DIR"), "/mod.rs"));
}

/// The compiled descriptors of every `.proto` file, as a serialised `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
