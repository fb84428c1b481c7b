//! The master's shell: sockets, routes, documents and the loop around its core.

mod flags;

pub use self::flags::MasterFlags;
