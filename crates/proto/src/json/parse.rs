//! Text to [`Value`]: accepts what the parser of C++ Mesos accepts and refuses the
//! rest with its words, which quote the line from where reading stopped.
//!
//! It must keep count of what it has read exactly as that parser does, since the
//! quoted text depends on it.

use std::borrow::Cow;

use super::JsonError;
use super::value::{Object, Value};

/// How deep arrays and objects may nest.
const DEPTH_MAX: usize = 200;

/// Parses a document. Nothing but white space may follow it.
pub fn parse(text: &[u8]) -> Result<Value<'_>, JsonError> {
    let mut input = Input { text, next: 0, returned: false, out_of_range: false };
    let Some(value) = input.value(DEPTH_MAX) else {
        return Err(JsonError::Syntax(input.complaint()));
    };
    let visible = text.iter().rposition(|b| !b" \t\n\r".contains(b));
    let end = visible.map_or(0, |i| i + 1);
    let read = input.read();
    if read != end {
        // COMPAT(mesos): after a bare number one more byte counts as read; what
        // follows is then quoted up to the end of the text.
        let tail = if read < end { &text[read..end] } else { &text[read..] };
        return Err(JsonError::Syntax(format!(
            "Parsed JSON included non-whitespace trailing characters: {}",
            String::from_utf8_lossy(tail)
        )));
    }
    Ok(value)
}

struct Input<'a> {
    text: &'a [u8],
    /// The byte that `take` gives next.
    next: usize,
    /// Whether that byte was read before and put back.
    returned: bool,
    /// Whether the failure is a number that no double can hold.
    out_of_range: bool,
}

impl<'a> Input<'a> {
    fn take(&mut self) -> Option<u8> {
        self.returned = false;
        let byte = self.text.get(self.next).copied()?;
        self.next += 1;
        Some(byte)
    }

    /// Puts the byte of the last `take` back.
    fn put_back(&mut self) {
        self.next -= 1;
        self.returned = true;
    }

    /// How many bytes were read, with one that was put back.
    fn read(&self) -> usize {
        self.next + usize::from(self.returned)
    }

    fn complaint(&self) -> String {
        if self.out_of_range {
            return "Value out of range".to_owned();
        }
        // A newline counts once a byte after it has been read.
        let before = &self.text[..self.read().saturating_sub(1)];
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        let rest = self.text[self.next..].split(|b| *b == b'\n').next();
        let mut near = rest.unwrap_or_default().to_vec();
        near.retain(|b| *b >= b' ');
        format!("syntax error at line {line} near: {}", String::from_utf8_lossy(&near))
    }

    /// Takes the next byte after white space if it is `wanted`.
    fn expect(&mut self, wanted: u8) -> Option<()> {
        match self.after_space()? {
            byte if byte == wanted => Some(()),
            _ => {
                self.put_back();
                None
            }
        }
    }

    /// The next byte that is not white space.
    fn after_space(&mut self) -> Option<u8> {
        loop {
            match self.take()? {
                b' ' | b'\t' | b'\n' | b'\r' => {}
                byte => return Some(byte),
            }
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        match self.after_space()? {
            b'n' => self.word(b"ull", Value::Null),
            b'f' => self.word(b"alse", Value::Bool(false)),
            b't' => self.word(b"rue", Value::Bool(true)),
            b'"' => self.string().map(Value::String),
            b'[' => self.array(depth.checked_sub(1)?),
            b'{' => self.object(depth.checked_sub(1)?),
            b'-' | b'0'..=b'9' => {
                self.put_back();
                self.number()
            }
            _ => {
                self.put_back();
                None
            }
        }
    }

    fn word(&mut self, rest: &[u8], value: Value<'a>) -> Option<Value<'a>> {
        for wanted in rest {
            if self.take()? != *wanted {
                self.put_back();
                return None;
            }
        }
        Some(value)
    }

    fn array(&mut self, depth: usize) -> Option<Value<'a>> {
        let mut items = Vec::new();
        if self.expect(b']').is_some() {
            return Some(Value::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            if self.expect(b',').is_none() {
                break;
            }
        }
        self.expect(b']')?;
        Some(Value::Array(items))
    }

    fn object(&mut self, depth: usize) -> Option<Value<'a>> {
        let mut members = Vec::new();
        if self.expect(b'}').is_some() {
            return Some(Value::Object(Object::default()));
        }
        loop {
            self.expect(b'"')?;
            let key = self.string()?;
            self.expect(b':')?;
            members.push((key, self.value(depth)?));
            if self.expect(b',').is_none() {
                break;
            }
        }
        self.expect(b'}')?;
        Some(Value::Object(Object::new(members)))
    }

    fn number(&mut self) -> Option<Value<'a>> {
        let start = self.next;
        while let Some(byte) = self.take() {
            if !matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'e' | b'E' | b'.') {
                self.put_back();
                break;
            }
        }
        let digits = std::str::from_utf8(&self.text[start..self.next]).ok()?;
        if let Ok(number) = digits.parse::<i64>() {
            return Some(Value::Int(number));
        }
        let number = digits.parse::<f64>().ok()?;
        if !number.is_finite() {
            self.out_of_range = true;
            return None;
        }
        Some(Value::Float(number))
    }

    /// The string whose opening quote was just taken.
    fn string(&mut self) -> Option<Cow<'a, str>> {
        let start = self.next;
        let plain = plain_length(&self.text[start..]);
        self.next += plain;
        self.returned = false;
        let run = &self.text[start..self.next];
        if self.text.get(self.next) == Some(&b'"') {
            self.next += 1;
            return Some(String::from_utf8_lossy(run));
        }
        let mut out = run.to_vec();
        loop {
            match self.take()? {
                b'"' => return Some(Cow::Owned(text_of(out))),
                b'\\' => self.escape(&mut out)?,
                0..b' ' => {
                    self.put_back();
                    return None;
                }
                byte => {
                    let from = self.next;
                    self.next += plain_length(&self.text[from..]);
                    out.push(byte);
                    out.extend_from_slice(&self.text[from..self.next]);
                }
            }
        }
    }

    /// The escape whose backslash was just taken.
    fn escape(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let byte = match self.take()? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let point = self.code_point()?;
                out.extend_from_slice(point.encode_utf8(&mut [0; 4]).as_bytes());
                return Some(());
            }
            _ => return None,
        };
        out.push(byte);
        Some(())
    }

    /// One `\uXXXX`, or the two of a pair, after the `u`.
    fn code_point(&mut self) -> Option<char> {
        let first = self.four_hex()?;
        if !(0xd800..0xe000).contains(&first) {
            return char::from_u32(first);
        }
        if first >= 0xdc00 {
            return None;
        }
        for wanted in [b'\\', b'u'] {
            if self.take()? != wanted {
                self.put_back();
                return None;
            }
        }
        let second = self.four_hex()?;
        if !(0xdc00..0xe000).contains(&second) {
            return None;
        }
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
    }

    fn four_hex(&mut self) -> Option<u32> {
        let mut number = 0;
        for _ in 0..4 {
            let Some(digit) = char::from(self.take()?).to_digit(16) else {
                self.put_back();
                return None;
            };
            number = number * 16 + digit;
        }
        Some(number)
    }
}

/// How many bytes stand for themselves in a string.
fn plain_length(text: &[u8]) -> usize {
    let special = |b: &u8| *b == b'"' || *b == b'\\' || *b < b' ';
    text.iter().position(special).unwrap_or(text.len())
}

fn text_of(bytes: Vec<u8>) -> String {
    match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}
