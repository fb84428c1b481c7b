//! A parsed document to the bytes of a message, led by the message's table.
//!
//! It refuses what cannot be converted; what is *missing* is found afterwards in
//! the bytes, by the same check that incoming bytes go through.

use prost::encoding::{WireType, encode_key, encode_varint};

use super::value::{Object, Value};
use super::{JsonError, Names, parse};
use crate::schema::{Enum, Field, Kind, Label, Message};

/// Appends the bytes of the message that `value` describes.
pub(crate) fn transcode(
    table: &'static Message,
    value: &Value<'_>,
    names: Names,
    out: &mut Vec<u8>,
) -> Result<(), JsonError> {
    let Value::Object(object) = value else {
        return Err(JsonError::Convert("Expecting a JSON object".to_owned()));
    };
    Transcoder { names, out }.message(table, object)
}

struct Transcoder<'o> {
    names: Names,
    out: &'o mut Vec<u8>,
}

impl Transcoder<'_> {
    fn message(&mut self, table: &'static Message, object: &Object<'_>) -> Result<(), JsonError> {
        for (key, value) in object.iter() {
            let known = |field: &&Field| match self.names {
                Names::V0 => field.v0 == key,
                Names::V1 => field.name == key && !field.v0_only,
                Names::V1Internal => field.name == key,
            };
            if let Some(field) = table.fields.iter().find(known) {
                self.field(field, value)?;
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &'static Field, value: &Value<'_>) -> Result<(), JsonError> {
        match value {
            Value::Null => Ok(()),
            Value::Bool(value) => match field.kind {
                Kind::Bool => {
                    self.varint(field, u64::from(*value));
                    Ok(())
                }
                _ => Err(unexpected("boolean", field)),
            },
            Value::Int(value) => self.integer(field, *value),
            Value::Float(value) => self.float(field, *value),
            Value::String(text) => self.text(field, text),
            Value::Array(items) => {
                if field.label != Label::Repeated {
                    return Err(unexpected("array", field));
                }
                items.iter().try_for_each(|item| self.field(field, item))
            }
            Value::Object(object) => match field.kind {
                Kind::Message(table) if table.map_entry => self.map(field, table, object),
                Kind::Message(table) => {
                    let start = self.open(field);
                    self.message(table, object)?;
                    self.close(start);
                    Ok(())
                }
                _ => Err(unexpected("object", field)),
            },
        }
    }

    /// An entry per member.
    fn map(
        &mut self,
        field: &'static Field,
        entry: &'static Message,
        object: &Object<'_>,
    ) -> Result<(), JsonError> {
        for (key, value) in object.iter() {
            let start = self.open(field);
            self.text(&entry.fields[0], key)?;
            self.field(&entry.fields[1], value)?;
            self.close(start);
        }
        Ok(())
    }

    fn integer(&mut self, field: &Field, value: i64) -> Result<(), JsonError> {
        match field.kind {
            Kind::Double => self.double(field, value as f64),
            // COMPAT(mesos): a number that does not fit is cut, as C++ casts it.
            Kind::Int32 => self.varint(field, i64::from(value as i32) as u64),
            Kind::Uint32 => self.varint(field, u64::from(value as u32)),
            Kind::Int64 | Kind::Uint64 => self.varint(field, value as u64),
            _ => return Err(unexpected("number", field)),
        }
        Ok(())
    }

    fn float(&mut self, field: &Field, value: f64) -> Result<(), JsonError> {
        match field.kind {
            Kind::Double => self.double(field, value),
            Kind::Int32 => self.varint(field, i64::from(value as i32) as u64),
            Kind::Uint32 => self.varint(field, u64::from(value as u32)),
            Kind::Int64 => self.varint(field, value as i64 as u64),
            Kind::Uint64 => self.varint(field, value as u64),
            _ => return Err(unexpected("number", field)),
        }
        Ok(())
    }

    fn text(&mut self, field: &'static Field, text: &str) -> Result<(), JsonError> {
        match field.kind {
            Kind::String => self.bytes(field, text.as_bytes()),
            Kind::Bytes => match decode_base64(text) {
                Ok(bytes) => self.bytes(field, &bytes),
                Err(invalid) => {
                    return Err(JsonError::Convert(format!(
                        "Failed to base64 decode bytes field '{}': Invalid character '{invalid}'",
                        field.name
                    )));
                }
            },
            Kind::Enum(table) => match number_of(table, text, self.names) {
                Some(number) => self.varint(field, i64::from(number) as u64),
                None if field.label == Label::Required => {
                    return Err(JsonError::Convert(format!("Failed to find enum for '{text}'")));
                }
                None => {}
            },
            Kind::Double if text == "Infinity" => self.double(field, f64::INFINITY),
            Kind::Double if text == "-Infinity" => self.double(field, f64::NEG_INFINITY),
            Kind::Double | Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 => {
                return match inner(field, text, "number")? {
                    Value::Int(value) => self.integer(field, value),
                    Value::Float(value) => self.float(field, value),
                    _ => Err(not_inner(field, text, "number", UNEXPECTED_TYPE)),
                };
            }
            Kind::Bool => match inner(field, text, "boolean")? {
                Value::Bool(value) => self.varint(field, u64::from(value)),
                _ => return Err(not_inner(field, text, "boolean", UNEXPECTED_TYPE)),
            },
            Kind::Message(_) => return Err(unexpected("string", field)),
        }
        Ok(())
    }

    fn varint(&mut self, field: &Field, value: u64) {
        encode_key(field.number, WireType::Varint, self.out);
        encode_varint(value, self.out);
    }

    fn double(&mut self, field: &Field, value: f64) {
        encode_key(field.number, WireType::SixtyFourBit, self.out);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, field: &Field, value: &[u8]) {
        encode_key(field.number, WireType::LengthDelimited, self.out);
        encode_varint(value.len() as u64, self.out);
        self.out.extend_from_slice(value);
    }

    /// Starts a nested message. One byte is kept for its length, which is enough
    /// for most.
    fn open(&mut self, field: &Field) -> usize {
        encode_key(field.number, WireType::LengthDelimited, self.out);
        self.out.push(0);
        self.out.len()
    }

    /// Puts in the length of the nested message that began at `start`.
    fn close(&mut self, start: usize) {
        let length = self.out.len() - start;
        if let Ok(byte @ 0..128) = u8::try_from(length) {
            self.out[start - 1] = byte;
            return;
        }
        let mut prefix = [0; 10];
        let mut rest = &mut prefix[..];
        encode_varint(length as u64, &mut rest);
        let used = 10 - rest.len();
        self.out.splice(start - 1..start, prefix[..used].iter().copied());
    }
}

const UNEXPECTED_TYPE: &str = "Unexpected JSON type parsed";

/// What a string holds in which a number or a truth value is expected.
fn inner<'t>(field: &Field, text: &'t str, what: &str) -> Result<Value<'t>, JsonError> {
    parse(text.as_bytes()).map_err(|error| not_inner(field, text, what, &error.to_string()))
}

fn not_inner(field: &Field, text: &str, what: &str, why: &str) -> JsonError {
    JsonError::Convert(format!("Failed to parse '{text}' as a JSON {what} for field '{}': {why}", field.name))
}

fn unexpected(what: &str, field: &Field) -> JsonError {
    JsonError::Convert(format!("Not expecting a JSON {what} for field '{}'", field.name))
}

fn number_of(table: &Enum, text: &str, names: Names) -> Option<i32> {
    let named = table.values.iter().find(|v| names.pick(v.name, v.v0) == text);
    named.map(|value| value.number)
}

/// Decodes either alphabet of base64. White space is skipped, the first `=` ends
/// the text, and the error is the character that belongs to neither.
fn decode_base64(text: &str) -> Result<Vec<u8>, char> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let mut bits = 0u32;
    let mut held = 0;
    for character in text.chars() {
        let sextet = match character {
            '=' => break,
            ' ' | '\t'..='\r' => continue,
            'A'..='Z' => character as u32 - 'A' as u32,
            'a'..='z' => character as u32 - 'a' as u32 + 26,
            '0'..='9' => character as u32 - '0' as u32 + 52,
            '+' | '-' => 62,
            '/' | '_' => 63,
            other => return Err(other),
        };
        bits = bits << 6 | sextet;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Ok(out)
}
