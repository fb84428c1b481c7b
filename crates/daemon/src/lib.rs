//! What the master and the agent serve alike: files, metrics, logging, flags, version, health.
//!
//! A daemon makes a [`Common`] and puts its [`routes`](Common::routes) into its router; for the operator API it asks
//! the same parts for the v1 messages ([`Files::browse`], [`Files::read`], [`Version::message`],
//! [`flag_messages`], [`metrics::messages`], [`Logging`]). This crate knows neither masters nor agents.

pub mod chance;
pub mod clock;
mod common;
pub mod documents;
mod files;
mod logfiles;
mod logging;
pub mod metrics;
pub mod place;
pub mod system;
mod version;

pub use common::{Common, MetricsSource, flag_messages};
pub use files::{Files, FilesError};
pub use logging::{LogError, Logging};
pub use version::{VERSION, Version};
