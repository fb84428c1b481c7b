//! A call names its type and carries a body for it: whether the two agree.
//!
//! Each function checks what can be seen in the call alone, in the order and in the
//! words of C++ Mesos. The caller adds its prefix, for example
//! `Failed to validate scheduler::Call: `. Checks that need the state, resources or
//! the caller's identity are the business of the daemons.

mod agent;
mod executor;
mod master;
mod resource_provider;
mod scheduler;

pub use agent::{validate as agent, validate_container_id};
pub use executor::validate as executor;
pub use master::validate as master;
pub use resource_provider::validate as resource_provider;
pub use scheduler::validate as scheduler;

/// Why a call is not valid; the text is what C++ Mesos says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

/// Something that must be set.
fn present<T>(body: Option<&T>, name: &str) -> Result<(), Invalid> {
    match body {
        Some(_) => Ok(()),
        None => Err(Invalid(format!("Expecting '{name}' to be present"))),
    }
}

/// The type of a call. A number without a name is as good as none.
fn named<E: TryFrom<i32>>(number: Option<i32>) -> Result<E, Invalid> {
    let known = number.and_then(|number| E::try_from(number).ok());
    known.ok_or_else(|| Invalid("Expecting 'type' to be present".to_owned()))
}

/// The bytes of a UUID: 16 of them, with a version that RFC 4122 knows.
fn uuid(bytes: &[u8]) -> Result<(), Invalid> {
    let version = bytes.get(6).map(|byte| byte >> 4);
    match version {
        Some(1..=5) if bytes.len() == 16 => Ok(()),
        _ => Err(Invalid("Not a valid UUID".to_owned())),
    }
}
