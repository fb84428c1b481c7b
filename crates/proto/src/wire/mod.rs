//! Incoming bytes to messages, checked as protobuf's C++ library checks them.
//!
//! prost fills a missing required field with its default in silence, so that
//! [`decode`] walks the bytes once more, led by the message's table. Only when that
//! quick walk finds something missing is it worked out what it is.

mod repair;

use bytes::Buf;
use prost::encoding::{WireType, decode_key, decode_varint};

use crate::schema::{Described, Enum, Field, Kind, Label, Message};

/// Why bytes were refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WireError {
    /// The bytes are cut off or are not protobuf, or nest too deep.
    #[error("malformed {message}")]
    Malformed {
        /// The full name of the message.
        message: &'static str,
        /// What prost found.
        #[source]
        source: prost::DecodeError,
    },
    /// Required fields are absent.
    #[error("{message} is missing required fields: {}", fields.join(", "))]
    Missing {
        /// The full name of the message.
        message: &'static str,
        /// The paths of the absent fields, like `offers[0].agent_id.value`.
        fields: Vec<String>,
    },
}

/// Decodes a message and makes sure that its required fields are there.
///
/// Byte fields share memory with the body when that is a `Bytes`; a `&[u8]` is
/// copied from.
pub fn decode<T: prost::Message + Default + Described>(
    body: impl Buf + AsRef<[u8]> + Clone,
) -> Result<T, WireError> {
    let (decoded, fields) = match decode_unchecked(body.clone()) {
        Ok(decoded) => (decoded, missing(T::table(), body.as_ref())),
        Err(error) => {
            let Some(repaired) = repair::repair(T::table(), body.as_ref(), repair::DEPTH_MAX) else {
                return Err(error);
            };
            (decode_unchecked(repaired.as_slice())?, missing(T::table(), &repaired))
        }
    };
    if fields.is_empty() { Ok(decoded) } else { Err(WireError::Missing { message: T::NAME, fields }) }
}

/// Decodes a message without a look at required fields, for bytes that we wrote.
pub fn decode_unchecked<T: prost::Message + Default + Described>(body: impl Buf) -> Result<T, WireError> {
    T::decode(body).map_err(|source| WireError::Malformed { message: T::NAME, source })
}

/// The full protobuf name of a message type.
#[must_use]
pub fn name<T: Described>() -> &'static str {
    T::NAME
}

/// The paths of the required fields that well-formed `bytes` lack, in the order in
/// which C++ names them: a message's own first, then those of its parts.
#[must_use]
pub fn missing(table: &'static Message, bytes: &[u8]) -> Vec<String> {
    let mut paths = Vec::new();
    if table.deep && !complete(table, bytes).unwrap_or(false) {
        collect(table, bytes, "", &mut paths);
    }
    paths
}

/// One pass over the bytes. It may answer `false` for a message whose parts come in
/// pieces that only together are complete, never `true` for an incomplete one;
/// `None` is for bytes that prost refuses anyway.
fn complete(table: &'static Message, mut bytes: &[u8]) -> Option<bool> {
    let mut seen = 0u64;
    let mut hint = 0;
    while !bytes.is_empty() {
        let (number, value) = entry(&mut bytes)?;
        let Some(at) = table.position(number, hint) else {
            continue;
        };
        hint = at;
        let field = &table.fields[at];
        if !names_value(field, &value) {
            continue;
        }
        seen |= 1 << at;
        if let (Kind::Message(inner), Entry::Slice(part)) = (field.kind, value)
            && inner.deep
            && !complete(inner, part)?
        {
            return Some(false);
        }
    }
    Some(seen & table.required == table.required)
}

/// Whether a value counts. A number that a required enum does not name is an
/// unknown field to C++, hence no value at all.
fn names_value(field: &Field, value: &Entry<'_>) -> bool {
    match (field.kind, value) {
        (Kind::Enum(table), Entry::Varint(number)) if field.label == Label::Required => {
            is_named(table, *number)
        }
        _ => true,
    }
}

fn is_named(table: &Enum, number: u64) -> bool {
    table.has(number as i32)
}

/// Appends the paths of what is missing below `prefix`.
fn collect(table: &'static Message, bytes: &[u8], prefix: &str, paths: &mut Vec<String>) {
    let parts = Parts::of(table, bytes);
    for (at, field) in table.fields.iter().enumerate() {
        if table.required & 1 << at != 0 && parts.seen & 1 << at == 0 {
            paths.push(format!("{prefix}{}", field.name));
        }
    }
    for (at, bodies) in parts.messages {
        let field = &table.fields[at];
        let Kind::Message(inner) = field.kind else {
            continue;
        };
        if field.label == Label::Repeated {
            for (i, body) in bodies.iter().enumerate() {
                collect(inner, body, &format!("{prefix}{}[{i}].", field.name), paths);
            }
        } else {
            // Pieces of one message are merged, and that is what it means to put
            // their bytes in a row.
            collect(inner, &bodies.concat(), &format!("{prefix}{}.", field.name), paths);
        }
    }
}

/// What a message consists of.
struct Parts<'b> {
    /// The bits, by position, of the fields that have a value.
    seen: u64,
    /// The bodies of nested messages that may lack something, by position.
    messages: Vec<(usize, Vec<&'b [u8]>)>,
}

impl<'b> Parts<'b> {
    fn of(table: &'static Message, mut bytes: &'b [u8]) -> Self {
        let mut parts = Self { seen: 0, messages: Vec::new() };
        while let Some((number, value)) = entry(&mut bytes) {
            let Some(at) = table.position(number, 0) else {
                continue;
            };
            let field = &table.fields[at];
            if !names_value(field, &value) {
                continue;
            }
            parts.seen |= 1 << at;
            if let (Kind::Message(Message { deep: true, .. }), Entry::Slice(body)) = (field.kind, value) {
                match parts.messages.iter_mut().find(|(i, _)| *i == at) {
                    Some((_, bodies)) => bodies.push(body),
                    None => parts.messages.push((at, vec![body])),
                }
            }
        }
        parts.messages.sort_by_key(|(at, _)| table.fields[*at].number);
        parts
    }
}

/// The value of one field on the wire.
enum Entry<'b> {
    Varint(u64),
    Slice(&'b [u8]),
    /// A fixed-size number or a group, neither of which the checks look into.
    Other,
}

/// Takes one field off the front of the bytes.
fn entry<'b>(bytes: &mut &'b [u8]) -> Option<(u32, Entry<'b>)> {
    let key = varint(bytes)?;
    let number = u32::try_from(key >> 3).ok()?;
    let value = match WireType::try_from(key & 7).ok()? {
        WireType::Varint => Entry::Varint(varint(bytes)?),
        WireType::LengthDelimited => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            let (slice, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            Entry::Slice(slice)
        }
        WireType::SixtyFourBit => {
            *bytes = bytes.get(8..)?;
            Entry::Other
        }
        WireType::ThirtyTwoBit => {
            *bytes = bytes.get(4..)?;
            Entry::Other
        }
        WireType::StartGroup => {
            skip_group(bytes, number)?;
            Entry::Other
        }
        WireType::EndGroup => return None,
    };
    Some((number, value))
}

/// Takes a number off the front of the bytes. Most are one byte long.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    match bytes {
        [byte @ 0..0x80, rest @ ..] => {
            *bytes = rest;
            Some(u64::from(*byte))
        }
        _ => decode_varint(bytes).ok(),
    }
}

/// Skips the rest of a group. Groups within it are counted, not recursed into.
fn skip_group(bytes: &mut &[u8], number: u32) -> Option<()> {
    let mut open = vec![number];
    while let Some(innermost) = open.last() {
        let mut ahead = *bytes;
        let (number, wire_type) = decode_key(&mut ahead).ok()?;
        match wire_type {
            WireType::StartGroup => {
                open.push(number);
                *bytes = ahead;
            }
            WireType::EndGroup => {
                if number != *innermost {
                    return None;
                }
                open.pop();
                *bytes = ahead;
            }
            _ => {
                entry(bytes)?;
            }
        }
    }
    Some(())
}
