//! Field tables of every message: what the checks of [`crate::wire`] and the
//! reader of [`crate::json`] walk over. The build script writes the tables from
//! the descriptors; nothing here is written by hand.

/// A message type with its table.
pub trait Described {
    /// The full protobuf name, for example `mesos.internal.PingSlaveMessage`.
    /// libprocess uses it as the last part of a URL.
    const NAME: &'static str;

    /// The fields of the message.
    fn table() -> &'static Message;
}

/// The table of a message.
#[derive(Debug)]
pub struct Message {
    /// The full protobuf name.
    pub name: &'static str,
    /// Whether this is an entry of a map: field 1 is its key, field 2 its value.
    pub map_entry: bool,
    /// Whether this message, or one that it may contain, has a required field.
    pub deep: bool,
    /// The bits, by position in `fields`, of the required fields.
    pub required: u64,
    /// The fields in the order of their declaration.
    pub fields: &'static [Field],
}

/// A row of a message's table.
#[derive(Debug)]
pub struct Field {
    /// The number on the wire.
    pub number: u32,
    /// The name in the `.proto` file, which is the v1 name.
    pub name: &'static str,
    /// The v0 name.
    pub v0: &'static str,
    /// Whether v1 does not have this field.
    pub v0_only: bool,
    /// How often the field may or must occur.
    pub label: Label,
    /// The type of the value.
    pub kind: Kind,
}

/// How often a field may or must occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// Never or once.
    Optional,
    /// Exactly once.
    Required,
    /// Any number of times.
    Repeated,
}

/// The type of a field's value.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A truth value.
    Bool,
    /// A 64-bit floating point number.
    Double,
    /// A signed 32-bit integer.
    Int32,
    /// A signed 64-bit integer.
    Int64,
    /// An unsigned 32-bit integer.
    Uint32,
    /// An unsigned 64-bit integer.
    Uint64,
    /// Text.
    String,
    /// Bytes, base64 in JSON.
    Bytes,
    /// One of a list of names.
    Enum(&'static Enum),
    /// A nested message.
    Message(&'static Message),
}

/// The table of an enum.
#[derive(Debug)]
pub struct Enum {
    /// The full protobuf name.
    pub name: &'static str,
    /// The values in the order of their declaration; with aliases, the first of a
    /// number is the one that is printed.
    pub values: &'static [EnumValue],
}

/// A row of an enum's table.
#[derive(Debug)]
pub struct EnumValue {
    /// The number on the wire.
    pub number: i32,
    /// The v1 name.
    pub name: &'static str,
    /// The v0 name.
    pub v0: &'static str,
}

impl Message {
    /// The position of the field with this number. `hint` is where the last one was:
    /// encoders write fields in order, so the next is nearly always there or soon after.
    pub(crate) fn position(&self, number: u32, hint: usize) -> Option<usize> {
        let mut at = hint;
        // One step more than there are fields, for the turn at the end of the table.
        for _ in 0..=self.fields.len() {
            match self.fields.get(at) {
                Some(field) if field.number == number => return Some(at),
                Some(_) => at += 1,
                None => at = 0,
            }
        }
        None
    }
}

impl Enum {
    /// The row of a number, `None` when the enum does not name it.
    #[must_use]
    pub fn value(&self, number: i32) -> Option<&'static EnumValue> {
        // Most enums count up from zero in order.
        let direct = usize::try_from(number).ok().and_then(|i| self.values.get(i));
        match direct {
            Some(value) if value.number == number => Some(value),
            _ => self.values.iter().find(|value| value.number == number),
        }
    }

    /// Whether the enum names this number.
    #[must_use]
    pub fn has(&self, number: i32) -> bool {
        self.value(number).is_some()
    }
}

/// The tables of all messages, ordered by full name.
#[must_use]
pub fn messages() -> &'static [&'static Message] {
    MESSAGES
}

/// The tables of all enums, ordered by full name.
#[must_use]
pub fn enums() -> &'static [&'static Enum] {
    ENUMS
}

pub(crate) use tables::*;

/// The tables themselves.
mod tables {

    use super::{Described, Enum, EnumValue, Field, Kind, Label, Message};
    use crate::generated::*;

    include!(concat!(env!("OUT_DIR"), "/tables.rs"));
}
