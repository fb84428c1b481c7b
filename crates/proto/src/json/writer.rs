//! Prints JSON into a buffer, with no tree in between.
//!
//! Commas are the writer's business: a key or a value that follows another one in
//! the same object or array gets its comma. Balance is the caller's.
//!
//! Numbers and strings look as in C++ Mesos: a double always shows a fraction or
//! an exponent (`15.0`), infinity is a string, text outside ASCII is left as it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Names;
use crate::schema::Enum;

/// A JSON document in the making.
#[derive(Debug, Default, Clone)]
pub struct Writer {
    out: Vec<u8>,
    /// Whether the next key or value follows another one.
    comma: bool,
}

impl Writer {
    /// An empty document.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty document that has room for `bytes` bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes), comma: false }
    }

    /// The document.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// The document as text.
    #[must_use]
    pub fn into_string(self) -> String {
        String::from_utf8(self.out).expect("only text is ever written")
    }

    /// How many bytes were written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Opens an object.
    pub fn begin_object(&mut self) {
        self.separate();
        self.out.push(b'{');
        self.comma = false;
    }

    /// Closes an object.
    pub fn end_object(&mut self) {
        self.out.push(b'}');
        self.comma = true;
    }

    /// Opens an array.
    pub fn begin_array(&mut self) {
        self.separate();
        self.out.push(b'[');
        self.comma = false;
    }

    /// Closes an array.
    pub fn end_array(&mut self) {
        self.out.push(b']');
        self.comma = true;
    }

    /// An object whose members `body` prints.
    pub fn object(&mut self, body: impl FnOnce(&mut Self)) {
        self.begin_object();
        body(self);
        self.end_object();
    }

    /// An array whose elements `body` prints.
    pub fn array(&mut self, body: impl FnOnce(&mut Self)) {
        self.begin_array();
        body(self);
        self.end_array();
    }

    /// The key of the next value.
    pub fn key(&mut self, key: &str) {
        self.separate();
        self.quoted(key);
        self.out.push(b':');
        self.comma = false;
    }

    /// A key and a string.
    pub fn field_str(&mut self, key: &str, value: &str) {
        self.key(key);
        self.string(value);
    }

    /// A key and a truth value.
    pub fn field_bool(&mut self, key: &str, value: bool) {
        self.key(key);
        self.bool(value);
    }

    /// A key and a signed integer.
    pub fn field_i64(&mut self, key: &str, value: i64) {
        self.key(key);
        self.i64(value);
    }

    /// A key and an unsigned integer.
    pub fn field_u64(&mut self, key: &str, value: u64) {
        self.key(key);
        self.u64(value);
    }

    /// A key and a double.
    pub fn field_f64(&mut self, key: &str, value: f64) {
        self.key(key);
        self.f64(value);
    }

    /// A key and an object.
    pub fn field_object(&mut self, key: &str, body: impl FnOnce(&mut Self)) {
        self.key(key);
        self.object(body);
    }

    /// A key and an array.
    pub fn field_array(&mut self, key: &str, body: impl FnOnce(&mut Self)) {
        self.key(key);
        self.array(body);
    }

    /// A key and a message.
    pub fn field_message<T: super::Json>(&mut self, key: &str, message: &T, names: Names) {
        self.key(key);
        message.write_json(self, names);
    }

    /// A key that comes with its quotes and colon.
    pub(crate) fn raw_key(&mut self, key: &str) {
        self.separate();
        self.out.extend_from_slice(key.as_bytes());
        self.comma = false;
    }

    /// A value that is JSON already.
    pub fn raw(&mut self, json: &str) {
        self.value(json.as_bytes());
    }

    /// `null`.
    pub fn null(&mut self) {
        self.value(b"null");
    }

    /// A truth value.
    pub fn bool(&mut self, value: bool) {
        self.value(if value { b"true" } else { b"false" });
    }

    /// A signed integer.
    pub fn i64(&mut self, value: i64) {
        self.value(itoa::Buffer::new().format(value).as_bytes());
    }

    /// An unsigned integer.
    pub fn u64(&mut self, value: u64) {
        self.value(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A double.
    pub fn f64(&mut self, value: f64) {
        self.separate();
        self.comma = true;
        double(&mut self.out, value);
    }

    /// A string.
    pub fn string(&mut self, value: &str) {
        self.separate();
        self.quoted(value);
        self.comma = true;
    }

    /// Bytes, as base64 with padding.
    pub fn base64(&mut self, value: &[u8]) {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(STANDARD.encode(value).as_bytes());
        self.out.push(b'"');
        self.comma = true;
    }

    /// The name of an enum's value; the caller has made sure that it has one.
    pub(crate) fn enum_name(&mut self, table: &'static Enum, number: i32, names: Names) {
        match table.value(number) {
            Some(value) => self.string(names.pick(value.name, value.v0)),
            None => self.null(),
        }
    }

    fn value(&mut self, text: &[u8]) {
        self.separate();
        self.out.extend_from_slice(text);
        self.comma = true;
    }

    fn separate(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
    }

    fn quoted(&mut self, text: &str) {
        self.out.push(b'"');
        let bytes = text.as_bytes();
        let mut rest = 0;
        for (i, byte) in bytes.iter().enumerate() {
            if *byte >= b' ' && *byte != b'"' && *byte != b'\\' {
                continue;
            }
            self.out.extend_from_slice(&bytes[rest..i]);
            rest = i + 1;
            let short = match *byte {
                0x08 => b'b',
                0x0c => b'f',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                b'"' | b'\\' => *byte,
                control => {
                    const HEX: &[u8; 16] = b"0123456789ABCDEF";
                    self.out.extend_from_slice(b"\\u00");
                    self.out.push(HEX[usize::from(control >> 4)]);
                    self.out.push(HEX[usize::from(control & 15)]);
                    continue;
                }
            };
            self.out.extend_from_slice(&[b'\\', short]);
        }
        self.out.extend_from_slice(&bytes[rest..]);
        self.out.push(b'"');
    }
}

/// The shortest digits that read back as `value`, laid out as rapidjson does.
fn double(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        // COMPAT(mesos): infinity is a string, for limits without bound. It writes
        // NaN bare, which no parser takes, so we quote that too.
        let name: &[u8] = match value {
            f64::INFINITY => b"\"Infinity\"",
            f64::NEG_INFINITY => b"\"-Infinity\"",
            _ => b"\"NaN\"",
        };
        out.extend_from_slice(name);
        return;
    }
    if value == 0.0 {
        out.extend_from_slice(if value.is_sign_negative() { b"-0.0" } else { b"0.0" });
        return;
    }
    // Nearly all our numbers are whole thousandths. A decimal of up to 15 digits
    // is the shortest one for the double next to it, so no search is needed.
    let thousandths = value * 1000.0;
    if thousandths.abs() < 1e15 && thousandths == thousandths.trunc() {
        let number = thousandths as i64;
        if number as f64 / 1000.0 == value {
            milli(out, number);
            return;
        }
    }
    general(out, value);
}

/// Prints `number` thousandths.
fn milli(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    let number = number.unsigned_abs();
    out.extend_from_slice(itoa::Buffer::new().format(number / 1000).as_bytes());
    out.push(b'.');
    let digit = |n: u64| b'0' + (n % 10) as u8;
    let digits = [digit(number / 100), digit(number / 10), digit(number)];
    let length = digits.iter().rposition(|d| *d != b'0').map_or(1, |i| i + 1);
    out.extend_from_slice(&digits[..length]);
}

fn general(out: &mut Vec<u8>, value: f64) {
    let text = format!("{value:e}");
    let text = match text.strip_prefix('-') {
        Some(positive) => {
            out.push(b'-');
            positive
        }
        None => &text,
    };
    let (mantissa, exponent) = text.split_once('e').expect("{:e} prints an exponent");
    let exponent: i32 = exponent.parse().expect("{:e} prints a small exponent");
    let mut digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    // Where the point stands, counted from the first digit.
    let point = exponent + 1;
    match usize::try_from(point) {
        Ok(point) if (1..=21).contains(&point) => {
            while digits.len() <= point {
                digits.push(b'0');
            }
            out.extend_from_slice(&digits[..point]);
            out.push(b'.');
            out.extend_from_slice(&digits[point..]);
        }
        _ if (-5..=0).contains(&point) => {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + point.unsigned_abs() as usize, b'0');
            out.extend_from_slice(&digits);
        }
        _ => {
            out.push(digits[0]);
            if digits.len() > 1 {
                out.push(b'.');
                out.extend_from_slice(&digits[1..]);
            }
            out.push(b'e');
            out.extend_from_slice(itoa::Buffer::new().format(exponent).as_bytes());
        }
    }
}
