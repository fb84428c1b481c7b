//! The Docker daemon as Mesos uses it: a client of its Engine API over a unix socket, and what Mesos says of a container in
//! the daemon's words.
//!
//! It makes no decisions about tasks, keeps nothing and tries nothing again; every answer is bounded in time and size.

mod attach;
mod auth;
mod calls;
mod client;
mod error;
mod image;
mod inspected;
mod options;
mod parameters;
mod volumes;

/// Reads a document that a program of ours was handed as a flag.
pub fn read_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

pub use crate::attach::{Attached, Stream};
pub use crate::auth::{Auth, of_sandbox};
pub use crate::client::Client;
pub use crate::error::Error;
pub use crate::image::with_tag;
pub use crate::inspected::{Inspected, container_id, container_name};
pub use crate::options::{Bind, Body, Request, update};
