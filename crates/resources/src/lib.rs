//! The resource algebra: what an agent has, an offer carries and a task uses.
//!
//! A [`Resources`] is a multiset of [`Resource`]s. Scalars are integers of
//! thousandths, so that sums are exact and no decision rests on a float; ranges
//! are sorted and coalesced; sets keep the order in which they were given. Two
//! resources add up only where everything that tells them apart is equal
//! ([`Resource`] lists it), so reserved, revocable and allocated parts stay apart.
//!
//! Everything inside is in the post-reservation-refinement form of Mesos (a stack
//! of reservations, no `role` field). [`format`](mod@format) converts at the
//! boundaries, [`Resources::from_protos`] checks what comes in.
//!
//! This crate decides nothing about who gets what; that is the allocator.

pub mod attributes;
mod conversion;
mod convert;
pub mod format;
mod limits;
mod name;
mod parse;
mod print;
mod quantities;
mod ranges;
mod reservation;
mod resource;
mod resources;
mod scalar;
mod select;
mod set;
mod summary;
pub mod validate;
mod value;

pub use conversion::{Conversion, conversions, resources_of};
pub use format::Format;
pub use limits::Limits;
pub use name::Name;
pub use parse::ParseError;
pub use print::ProtoText;
pub use quantities::{Amounts, Quantities};
pub use ranges::{Range, Ranges};
pub use reservation::{Reservation, ReservationKind};
pub use resource::Resource;
pub use resources::Resources;
pub use scalar::{Scalar, general};
pub use set::Set;
pub use summary::SummaryValue;
pub use validate::Invalid;
pub use value::Value;
