//! Bytes that C++ takes and prost does not: strings that are not UTF-8, which proto2
//! never checks there, and fields of another wire type, which are unknown fields there.
//!
//! It runs only on what prost has refused.

use prost::encoding::{WireType, encode_key, encode_varint};

use super::{Entry, entry};
use crate::schema::{Kind, Label, Message};

/// How deep messages may nest, as in protobuf.
pub(super) const DEPTH_MAX: usize = 100;

/// The bytes without the fields that are unknown, and with the parts of strings
/// replaced that are not text. `None` when the bytes are cut off or are not protobuf.
pub(super) fn repair(table: &'static Message, mut bytes: &[u8], depth: usize) -> Option<Vec<u8>> {
    let depth = depth.checked_sub(1)?;
    let mut out = Vec::with_capacity(bytes.len());
    while let Some(first) = bytes.first() {
        let doubles = first & 7 == WireType::SixtyFourBit as u8;
        let before = bytes;
        let (number, value) = entry(&mut bytes)?;
        let whole = &before[..before.len() - bytes.len()];
        let Some(at) = table.position(number, 0) else {
            continue;
        };
        let field = &table.fields[at];
        match (field.kind, value) {
            (Kind::String, Entry::Slice(text)) => {
                put(number, String::from_utf8_lossy(text).as_bytes(), &mut out);
            }
            (Kind::Message(inner), Entry::Slice(body)) => put(number, &repair(inner, body, depth)?, &mut out),
            (Kind::String | Kind::Message(_), _) => {}
            (Kind::Bytes, Entry::Slice(_)) => out.extend_from_slice(whole),
            (Kind::Bytes, _) => {}
            // A list of numbers in one field.
            (_, Entry::Slice(_)) if field.label == Label::Repeated => out.extend_from_slice(whole),
            (Kind::Double, Entry::Other) if doubles => out.extend_from_slice(whole),
            (Kind::Double, _) => {}
            (_, Entry::Varint(_)) => out.extend_from_slice(whole),
            (_, Entry::Slice(_) | Entry::Other) => {}
        }
    }
    Some(out)
}

fn put(number: u32, body: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(body.len() as u64, out);
    out.extend_from_slice(body);
}
