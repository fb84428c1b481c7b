//! Command-line flags the way Mesos takes them.
//!
//! A program describes its flags once, with [`flags!`]: name, type, default, group and help text. From that
//! one description come the struct with the values, the parser, the `--help` text, the warnings and the
//! `/flags` document.
//!
//! - `--name=value`; `--name` and `--no-name` for booleans; dashes and underscores are the same.
//! - `MESOS_NAME=value` in the environment; the command line wins; unknown variables are nobody's business.
//! - `file:///path` as a value stands for the contents of that file (not for flags that are paths).
//! - Old names of a flag still work and warn.
//! - A flag that is understood but has no effect yet is marked `pending()`: setting it warns. One that would protect
//!   the daemon is marked `guards()`: setting it is refused, so that nobody gets an open daemon who asked for another.
//!
//! Parsing is pure: arguments, environment and the way to read a file are handed in ([`Input`]); only
//! [`Input::of_process`] looks at the real ones.

mod bytes;
mod duration;
mod help;
mod load;
mod logging;
mod number;
mod spec;
mod value;

pub use bytes::Bytes;
pub use duration::Duration;
pub use load::{Input, LoadError, Loaded, Unknown, document, load};
pub use logging::LoggingFlags;
pub use spec::{FlagSet, Rule, Spec};
pub use value::{Fetch, Json, PathOrValue, Percent, Rate, Value};

/// What the expansion of [`flags!`] uses; not an interface for people.
#[doc(hidden)]
pub mod macros {
    pub use crate::spec::initial;
}
