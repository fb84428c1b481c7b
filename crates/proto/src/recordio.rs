//! RecordIO, the framing of event streams: the length of a record in decimal
//! digits, a newline, the record. No input or output here, only bytes.

use bytes::{BufMut, Bytes, BytesMut};

/// The digits of the largest length, 2^64 - 1.
const DIGITS_MAX: usize = 20;

/// Appends one record.
pub fn encode(out: &mut BytesMut, payload: &[u8]) {
    let mut digits = itoa::Buffer::new();
    let header = digits.format(payload.len());
    out.reserve(header.len() + 1 + payload.len());
    out.put_slice(header.as_bytes());
    out.put_u8(b'\n');
    out.put_slice(payload);
}

/// One record as bytes of its own, for the writers of streams.
#[must_use]
pub fn record(payload: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    encode(&mut out, payload);
    out.freeze()
}

/// Why a stream of records cannot be read further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The length is not a number. Its text, cut to what a length may have.
    #[error("Failed to decode length '{0}': Failed to convert '{0}' to number")]
    Length(String),
    /// The record is longer than this side takes.
    #[error("Record of {length} bytes exceeds the maximum of {max} bytes")]
    TooLong {
        /// What the header says, in bytes.
        length: usize,
        /// The bound, in bytes.
        max: usize,
    },
    /// An earlier record failed, and where the next one starts is unknown.
    #[error("Decoder is in a FAILED state")]
    Failed,
}

/// Cuts a stream into records. Feed it what arrives, then take records until there
/// is none: it holds at most what was fed and not yet taken.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    state: State,
    record_max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Within a header, of which so many bytes are known to be digits.
    Header(usize),
    /// Within a record of so many bytes.
    Record(usize),
    Failed,
}

impl Decoder {
    /// A decoder that refuses records of more than `record_max` bytes.
    #[must_use]
    pub fn new(record_max: usize) -> Self {
        Self { buffer: BytesMut::new(), state: State::Header(0), record_max }
    }

    /// Adds bytes that arrived. After a failure they are dropped.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.state != State::Failed {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next whole record, `None` until more bytes are fed. An error is final.
    pub fn next_record(&mut self) -> Result<Option<Bytes>, RecordError> {
        let length = match self.state {
            State::Header(known) => match self.header(known) {
                Ok(Some(length)) => length,
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.state = State::Failed;
                    self.buffer = BytesMut::new();
                    return Err(error);
                }
            },
            State::Record(length) => length,
            State::Failed => return Err(RecordError::Failed),
        };
        if self.buffer.len() < length {
            return Ok(None);
        }
        self.state = State::Header(0);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    /// Whether the stream may end here: nothing is left of a record or a header.
    #[must_use]
    pub fn is_at_border(&self) -> bool {
        self.state == State::Header(0) && self.buffer.is_empty()
    }

    /// Reads on in a header that starts with `known` digits.
    fn header(&mut self, known: usize) -> Result<Option<usize>, RecordError> {
        let window = &self.buffer[..self.buffer.len().min(DIGITS_MAX + 1)];
        let fresh = &window[known..];
        let Some(end) = fresh.iter().position(|b| !b.is_ascii_digit()) else {
            if window.len() > DIGITS_MAX {
                return Err(RecordError::Length(text(window)));
            }
            self.state = State::Header(window.len());
            return Ok(None);
        };
        let digits = known + end;
        if window[digits] != b'\n' {
            return Err(RecordError::Length(text(&window[..=digits])));
        }
        let header = text(&window[..digits]);
        let Ok(length) = header.parse() else {
            return Err(RecordError::Length(header));
        };
        if length > self.record_max {
            let max = self.record_max;
            return Err(RecordError::TooLong { length, max });
        }
        let _ = self.buffer.split_to(digits + 1);
        self.state = State::Record(length);
        Ok(Some(length))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
