//! The JSON dialect of Mesos, both ways.
//!
//! Out: field names as in the `.proto` files, enums by name, bytes as base64,
//! 64-bit integers as plain numbers, unset optional fields and empty repeated
//! fields left out. An optional field that has a default and is not deprecated is
//! printed even when unset, as C++ Mesos does.
//!
//! In: as lenient as the parser of C++ Mesos. `null` means unset, a value that
//! stands where a list is expected is its only element, numbers may come as
//! strings, unknown keys and unknown names of optional enums are dropped.
//!
//! [`Writer`] also serves documents that are written by hand, such as `/state`.

mod parse;
mod read;
mod value;
mod writer;

pub use parse::parse;
pub use value::{Object, Value};
pub use writer::Writer;

use crate::generated::*;
use crate::schema::*;

/// Which generation of names a document uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// `slave_id`, `REASON_SLAVE_REMOVED`: the endpoints and messages of old.
    V0,
    /// `agent_id`, `REASON_AGENT_REMOVED`: the v1 APIs.
    V1,
    /// v1 names in the answers to the reads GET_AGENTS, GET_EXECUTORS,
    /// GET_FRAMEWORKS, GET_TASKS and GET_STATE of master and agent, and in the
    /// SUBSCRIBED event for operators.
    // COMPAT(mesos): these documents are written by hand there. Lists of things show
    // up even when empty, and agents are the internal SlaveInfo with words replaced,
    // so that `checkpoint`, which v1 does not have, shows up here and nowhere else
    // (tests/recorded.rs).
    V1Internal,
}

impl Names {
    /// The spelling that these names ask for.
    pub fn pick<'a>(self, v1: &'a str, v0: &'a str) -> &'a str {
        match self {
            Self::V0 => v0,
            Self::V1 | Self::V1Internal => v1,
        }
    }
}

/// A message that has a JSON form.
pub trait Json: prost::Message + Default + Described {
    /// Prints the fields without the braces, so that a document written by hand
    /// can put more of them beside.
    fn write_fields(&self, out: &mut Writer, names: Names);

    /// Prints the message as an object.
    fn write_json(&self, out: &mut Writer, names: Names) {
        out.begin_object();
        self.write_fields(out, names);
        out.end_object();
    }

    /// Reads the message from a document with v1 names.
    fn from_json(value: &Value<'_>) -> Result<Self, JsonError> {
        Self::from_json_named(value, Names::V1)
    }

    /// Reads the message from a document with the given names; names of the other
    /// generation are unknown keys.
    fn from_json_named(value: &Value<'_>, names: Names) -> Result<Self, JsonError> {
        let mut bytes = Vec::new();
        read::transcode(Self::table(), value, names, &mut bytes)?;
        crate::wire::decode(bytes.as_slice()).map_err(|error| match error {
            crate::wire::WireError::Missing { fields, .. } => JsonError::Missing(fields),
            crate::wire::WireError::Malformed { source, .. } => JsonError::Convert(source.to_string()),
        })
    }
}

/// Why a document was refused. The texts are those of C++ Mesos.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The text is not JSON, or nests too deep, or a number is out of range.
    #[error("{0}")]
    Syntax(String),
    /// The JSON does not fit the message.
    #[error("{0}")]
    Convert(String),
    /// Required fields are absent; their paths, like `offers[0].agent_id.value`.
    #[error("Missing required fields: {}", .0.join(", "))]
    Missing(Vec<String>),
}

impl JsonError {
    /// What an endpoint answers to a body of this kind: `what` is the last part of
    /// the message's name, usually `Call`.
    #[must_use]
    pub fn body_message(&self, what: &str) -> String {
        match self {
            Self::Syntax(text) => format!("Failed to parse body into JSON: {text}"),
            Self::Convert(_) | Self::Missing(_) => {
                format!("Failed to convert JSON into {what} protobuf: {self}")
            }
        }
    }
}

/// Prints a message.
#[must_use]
pub fn to_vec<T: Json>(message: &T, names: Names) -> Vec<u8> {
    let mut out = Writer::new();
    message.write_json(&mut out, names);
    out.into_bytes()
}

/// Prints a message.
#[must_use]
pub fn to_string<T: Json>(message: &T, names: Names) -> String {
    let mut out = Writer::new();
    message.write_json(&mut out, names);
    out.into_string()
}

/// Reads a message from a document with v1 names.
pub fn from_slice<T: Json>(text: &[u8]) -> Result<T, JsonError> {
    T::from_json(&parse(text)?)
}

/// Reads a message from a document with v0 names.
pub fn from_slice_v0<T: Json>(text: &[u8]) -> Result<T, JsonError> {
    T::from_json_named(&parse(text)?, Names::V0)
}

/// Reads a list of messages, for example resources, from a JSON array.
pub fn list_from_slice<T: Json>(text: &[u8], names: Names) -> Result<Vec<T>, JsonError> {
    let value = parse(text)?;
    let Value::Array(items) = &value else {
        return Err(JsonError::Convert("Expecting a JSON array".to_owned()));
    };
    let read = |item| T::from_json_named(item, names);
    items.iter().map(read).collect()
}

// The generated printers.
mod printers {
    #![expect(
        deprecated,
        unused_variables,
        clippy::all,
        reason = "generated; deprecated fields are printed like others"
    )]

    use super::*;

    include!(concat!(env!("OUT_DIR"), "/printers.rs"));
}
