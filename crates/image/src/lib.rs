//! Container images: where they come from, and how their layers are kept.
//!
//! [`Store::get`] gives the layers of an image and what it says about running it. It brings images from registries, or from
//! a directory of archives and layouts; what comes is checked by its digests, unpacked where it cannot do harm, and kept in
//! the layout of Apache Mesos. Stacking the layers into a root file system is not done here: [`overlay`] says what form
//! they have.
//!
//! **Invariant:** nothing is written outside the store, whatever names and links an image has (`tree.rs`). Whatever is
//! in `layers` is complete (`places.rs`); a pull that fails, is cancelled or dies leaves nothing else.

mod archive;
mod claims;
mod config;
mod digest;
mod limits;
mod local;
mod manifest;
pub mod overlay;
mod places;
mod pull;
mod records;
mod reference;
mod registry;
mod source;
mod store;
mod tree;
mod unpack;

pub use claims::Claim;
pub use config::ImageConfig;
pub use digest::{BadDigest, Digest};
pub use limits::Limits;
pub use reference::{BadReference, Reference};
pub use store::{Config, ImageError, Metrics, OpenError, Pulled, Store};
