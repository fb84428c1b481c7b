//! What is refused, and in which words.
//!
//! Each file checks one kind of thing and changes nothing. The texts are those of
//! Mesos, since people search for them.

mod call;

pub use call::call;
