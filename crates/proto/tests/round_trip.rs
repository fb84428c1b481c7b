//! Random messages of many types: bytes to message to JSON and back, in all names;
//! and the check for required fields against a message that is known to lack some.

use proptest::prelude::*;
use proto::json::{self, Json, Names};
use proto::mesos::{internal, scheduler as v0_scheduler, v1};
use proto::schema::{Field, Kind, Label, Message};
use proto::wire;

/// Choices for a random message, taken from bytes that proptest makes and shrinks.
struct Choices<'a> {
    bytes: std::iter::Copied<std::slice::Iter<'a, u8>>,
}

impl Choices<'_> {
    /// A byte; zero once there are no more, which chooses the simplest message.
    fn byte(&mut self) -> u8 {
        self.bytes.next().unwrap_or(0)
    }

    fn number(&mut self) -> u64 {
        match self.byte() % 4 {
            0 => u64::from(self.byte()),
            1 => u64::MAX - u64::from(self.byte()),
            2 => u64::from(self.byte()) << 24,
            _ => (0..8).fold(0, |n, _| n << 8 | u64::from(self.byte())),
        }
    }

    fn text(&mut self) -> String {
        const LETTERS: [char; 8] = ['a', 'Z', '"', '\\', '\n', '\u{1}', 'é', '😀'];
        (0..self.byte() % 6).map(|_| LETTERS[usize::from(self.byte() % 8)]).collect()
    }
}

/// Appends a message. Required fields are left out when `drop` says so, and their
/// paths are put into `missing`.
fn message(
    table: &Message,
    choices: &mut Choices<'_>,
    depth: usize,
    drop: bool,
    prefix: &str,
    missing: &mut Vec<String>,
) -> Vec<u8> {
    let mut out = Vec::new();
    let mut inner_missing = Vec::new();
    for field in table.fields {
        let required = field.label == Label::Required;
        if required && drop && choices.byte() % 8 == 1 {
            missing.push(format!("{prefix}{}", field.name));
            continue;
        }
        let count = match field.label {
            Label::Required => 1,
            _ if depth == 0 => 0,
            Label::Optional => choices.byte() % 3 % 2,
            Label::Repeated => choices.byte() % 5 % 4,
        };
        for i in 0..count {
            let path = match field.label {
                Label::Repeated => format!("{prefix}{}[{i}].", field.name),
                _ => format!("{prefix}{}.", field.name),
            };
            value(field, choices, depth, drop, &path, (i, &mut inner_missing), &mut out);
        }
    }
    missing.append(&mut inner_missing);
    out
}

fn value(
    field: &Field,
    choices: &mut Choices<'_>,
    depth: usize,
    drop: bool,
    path: &str,
    (nth, missing): (u8, &mut Vec<String>),
    out: &mut Vec<u8>,
) {
    use prost::encoding::{WireType, encode_key, encode_varint};
    let slice = |out: &mut Vec<u8>, bytes: &[u8]| {
        encode_key(field.number, WireType::LengthDelimited, out);
        encode_varint(bytes.len() as u64, out);
        out.extend_from_slice(bytes);
    };
    let varint = |out: &mut Vec<u8>, number: u64| {
        encode_key(field.number, WireType::Varint, out);
        encode_varint(number, out);
    };
    match field.kind {
        Kind::Bool => varint(out, u64::from(choices.byte() % 2)),
        Kind::Int32 => varint(out, i64::from(choices.number() as i32) as u64),
        Kind::Uint32 => varint(out, u64::from(choices.number() as u32)),
        // The JSON parser of C++ has no integers above i64, hence neither have we.
        Kind::Int64 | Kind::Uint64 => varint(out, choices.number() & (u64::MAX >> 1)),
        Kind::Double => {
            let bits = f64::from_bits(choices.number());
            let number = if bits.is_nan() { 0.1 } else { bits };
            encode_key(field.number, WireType::SixtyFourBit, out);
            out.extend_from_slice(&number.to_le_bytes());
        }
        Kind::String => slice(out, choices.text().as_bytes()),
        Kind::Bytes => slice(out, &choices.number().to_le_bytes()),
        Kind::Enum(table) => {
            let at = usize::from(choices.byte()) % table.values.len();
            varint(out, i64::from(table.values[at].number) as u64);
        }
        Kind::Message(inner) if inner.map_entry => {
            // Keys of a map differ, so that no entry replaces another.
            let mut entry = Vec::new();
            entry.extend_from_slice(&[10, 1, b'a' + nth]);
            value(
                &inner.fields[1],
                choices,
                depth.saturating_sub(1),
                drop,
                &format!("{path}value."),
                (0, missing),
                &mut entry,
            );
            slice(out, &entry);
        }
        Kind::Message(inner) => {
            let bytes = message(inner, choices, depth.saturating_sub(1), drop, path, missing);
            slice(out, &bytes);
        }
    }
}

/// What a check says, as text, since a proptest body is one closure for all types.
fn round_trip<T: Json>(entropy: &[u8]) -> Result<(), TestCaseError> {
    let mut choices = Choices { bytes: entropy.iter().copied() };
    let bytes = message(T::table(), &mut choices, 6, false, "", &mut Vec::new());
    let value: T = match wire::decode(bytes.as_slice()) {
        Ok(value) => value,
        Err(error) => return Err(TestCaseError::fail(format!("{}: {error}", T::NAME))),
    };
    for names in [Names::V0, Names::V1Internal] {
        let text = json::to_vec(&value, names);
        let shown = String::from_utf8_lossy(&text).into_owned();
        let oracle: Result<serde_json::Value, _> = serde_json::from_slice(&text);
        prop_assert!(oracle.is_ok(), "{}: not JSON: {shown}", T::NAME);
        let back = json::parse(&text).and_then(|value| T::from_json_named(&value, names));
        let back = back.map_err(|error| TestCaseError::fail(format!("{error}: {shown}")))?;
        // A printed default counts as set when it is read, so texts are compared.
        prop_assert_eq!(json::to_string(&back, names), shown);
    }
    let text = json::to_vec(&value, Names::V1);
    prop_assert!(json::from_slice::<T>(&text).is_ok());
    Ok(())
}

/// Drops required fields and wants them named, neither more nor less.
fn lacking<T: Json>(entropy: &[u8]) -> Result<(), TestCaseError> {
    let mut choices = Choices { bytes: entropy.iter().copied() };
    let mut expected = Vec::new();
    let bytes = message(T::table(), &mut choices, 6, true, "", &mut expected);
    let found = match wire::decode::<T>(bytes.as_slice()) {
        Ok(_) => Vec::new(),
        Err(wire::WireError::Missing { fields, .. }) => fields,
        Err(error) => return Err(TestCaseError::fail(error.to_string())),
    };
    prop_assert_eq!(found, expected);
    Ok(())
}

/// Truncated and mangled bytes are refused or taken, but never panic.
fn mangled<T: Json>(entropy: &[u8], cut: usize, flip: usize) -> Result<(), TestCaseError> {
    let mut choices = Choices { bytes: entropy.iter().copied() };
    let mut bytes = message(T::table(), &mut choices, 6, false, "", &mut Vec::new());
    if !bytes.is_empty() {
        let at = flip % bytes.len();
        bytes[at] ^= 1 << (flip % 8);
        bytes.truncate(bytes.len() - cut % bytes.len());
    }
    if let Ok(value) = wire::decode::<T>(bytes.as_slice()) {
        let text = json::to_vec(&value, Names::V1);
        let oracle: Result<serde_json::Value, _> = serde_json::from_slice(&text);
        prop_assert!(oracle.is_ok());
    }
    Ok(())
}

macro_rules! for_each_type {
    ($check:ident($($arg:expr),*)) => {
        $check::<v1::scheduler::Call>($($arg),*)?;
        $check::<v1::scheduler::Event>($($arg),*)?;
        $check::<v1::executor::Call>($($arg),*)?;
        $check::<v1::executor::Event>($($arg),*)?;
        $check::<v1::master::Call>($($arg),*)?;
        $check::<v1::master::Response>($($arg),*)?;
        $check::<v1::master::Event>($($arg),*)?;
        $check::<v1::agent::Response>($($arg),*)?;
        $check::<v1::TaskInfo>($($arg),*)?;
        $check::<v1::FrameworkInfo>($($arg),*)?;
        $check::<v0_scheduler::Call>($($arg),*)?;
        $check::<internal::ReregisterSlaveMessage>($($arg),*)?;
        $check::<internal::Registry>($($arg),*)?;
    };
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn json_says_all(entropy in proptest::collection::vec(any::<u8>(), 0..2000)) {
        for_each_type!(round_trip(&entropy));
    }

    #[test]
    fn what_lacks_is_named(entropy in proptest::collection::vec(any::<u8>(), 0..2000)) {
        for_each_type!(lacking(&entropy));
    }

    #[test]
    fn garbage_never_panics(
        entropy in proptest::collection::vec(any::<u8>(), 0..500),
        cut in 0usize..100,
        flip in any::<usize>(),
    ) {
        for_each_type!(mangled(&entropy, cut, flip));
    }
}
