//! Takes messages out of the bytes of a connection. Pure: it waits for nothing and answers nothing.
//!
//! ```text
//! Head -> Body -> Head                        (Content-Length, or no body)
//! Head -> Size -> Chunk -> Size ... Trailers -> Head    (chunked)
//! ```

use bytes::{Buf as _, Bytes, BytesMut};
use thiserror::Error;
use types::Pid;

use crate::head::{Head, receiver};

/// What a message may be at most.
#[derive(Clone, Copy, Debug)]
pub struct DecoderLimits {
    /// Bytes of a head.
    pub head_bytes_max: usize,
    /// Bytes of a body. An agent that registers again sends all it knows in one.
    pub body_bytes_max: usize,
}

impl Default for DecoderLimits {
    fn default() -> Self {
        Self { head_bytes_max: 64 * 1024, body_bytes_max: 128 * 1024 * 1024 }
    }
}

/// Bytes of a chunk's size line, with its extensions, and of all trailers.
const SIZE_LINE_MAX: usize = 1024;
const TRAILERS_MAX: usize = 8 * 1024;

/// One step of decoding.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The bytes so far hold no whole message.
    NeedMore,
    /// The next request is no message. Nothing of it was consumed.
    Foreign,
    /// The sender waits for `100 Continue` before it goes on.
    Continue,
    /// A message.
    Message(Received),
}

/// A message as it came.
#[derive(Debug, PartialEq, Eq)]
pub struct Received {
    /// The process it is for.
    pub to: String,
    /// Who sent it; `None` if that is no address of a process.
    pub from: Option<Pid>,
    /// Its name, such as `mesos.internal.PingSlaveMessage`.
    pub name: String,
    /// Its body.
    pub body: Bytes,
    /// Whether the connection stays open after it.
    pub keeps_alive: bool,
}

/// Why the rest of a connection cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Broken {
    /// The path names no process.
    #[error("Request URL path must start with '/'")]
    Path,
    /// The length of the body is no number.
    #[error("Failed to parse the request's length")]
    Length,
    /// The chunks are not framed as they must be.
    #[error("Failed to parse the request's chunks")]
    Chunks,
    /// The body is over the limit of so many bytes.
    #[error("Request body exceeds the limit of {0} bytes")]
    TooLarge(usize),
}

/// Decodes the messages of one connection.
#[derive(Debug)]
pub struct Decoder {
    limits: DecoderLimits,
    state: State,
    /// The message whose body is being read.
    pending: Option<Received>,
    /// Chunks before the last one, if there are several.
    chunks: BytesMut,
    /// How far the buffer is known to hold no end of a head.
    scanned: usize,
    /// The last sender: nearly always the next one too.
    sender: Option<(String, Pid)>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    Body(usize),
    Size,
    Chunk(usize),
    Trailers(usize),
}

impl Decoder {
    /// A decoder at the start of a connection.
    pub fn new(limits: DecoderLimits) -> Self {
        Self { limits, state: State::Head, pending: None, chunks: BytesMut::new(), scanned: 0, sender: None }
    }

    /// Whether a message has begun and is not complete.
    pub fn is_amid(&self, buffer: &BytesMut) -> bool {
        self.pending.is_some() || !buffer.is_empty()
    }

    /// Takes the next message from the front of `buffer`. After an error the connection is of no use.
    pub fn step(&mut self, buffer: &mut BytesMut) -> Result<Step, Broken> {
        loop {
            let more = match self.state {
                State::Head => return self.head(buffer),
                State::Body(length) => self.body(buffer, length),
                State::Size => self.size(buffer)?,
                State::Chunk(length) => self.chunk(buffer, length)?,
                State::Trailers(seen) => self.trailers(buffer, seen)?,
            };
            match more {
                Progress::Wait => return Ok(Step::NeedMore),
                Progress::Go => {}
                Progress::Done => {
                    let message = self.pending.take().expect("a body belongs to a message");
                    self.state = State::Head;
                    return Ok(Step::Message(message));
                }
            }
        }
    }

    fn head(&mut self, buffer: &mut BytesMut) -> Result<Step, Broken> {
        while buffer.starts_with(b"\r\n") {
            buffer.advance(2);
            self.scanned = 0;
        }
        let Some(end) =
            memchr::memmem::find(&buffer[self.scanned..], b"\r\n\r\n").map(|at| at + self.scanned)
        else {
            self.scanned = buffer.len().saturating_sub(3);
            return Ok(if buffer.len() > self.limits.head_bytes_max {
                Step::Foreign
            } else {
                Step::NeedMore
            });
        };
        if end > self.limits.head_bytes_max {
            return Ok(Step::Foreign);
        }
        let Some(head) = Head::parse(&buffer[..end]).filter(Head::is_message) else {
            return Ok(Step::Foreign);
        };
        let (to, name) = receiver(head.target).ok_or(Broken::Path)?;
        let message = Received {
            to,
            from: resolve(&mut self.sender, head.sender().unwrap_or_default()),
            name: name.to_owned(),
            body: Bytes::new(),
            keeps_alive: head.keeps_alive(),
        };
        self.state = if head.chunked { State::Size } else { State::Body(self.length(head.content_length)?) };
        let continues = head.expects_continue;
        buffer.advance(end + 4);
        self.scanned = 0;
        self.pending = Some(message);
        if continues { Ok(Step::Continue) } else { self.step(buffer) }
    }

    fn length(&self, text: Option<&str>) -> Result<usize, Broken> {
        let Some(text) = text else { return Ok(0) };
        if text.is_empty() || text.len() > 18 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Broken::Length);
        }
        let length = text.parse().map_err(|_| Broken::Length)?;
        if length > self.limits.body_bytes_max {
            Err(Broken::TooLarge(self.limits.body_bytes_max))
        } else {
            Ok(length)
        }
    }

    fn body(&mut self, buffer: &mut BytesMut, length: usize) -> Progress {
        if buffer.len() < length {
            return Progress::Wait;
        }
        self.finish(buffer.split_to(length));
        Progress::Done
    }

    fn size(&mut self, buffer: &mut BytesMut) -> Result<Progress, Broken> {
        let window = &buffer[..buffer.len().min(SIZE_LINE_MAX)];
        let Some(end) = memchr::memmem::find(window, b"\r\n") else {
            return if buffer.len() >= SIZE_LINE_MAX { Err(Broken::Chunks) } else { Ok(Progress::Wait) };
        };
        let line = std::str::from_utf8(&window[..end]).map_err(|_| Broken::Chunks)?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        if digits.is_empty() || digits.len() > 15 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Broken::Chunks);
        }
        let length = usize::from_str_radix(digits, 16).map_err(|_| Broken::Chunks)?;
        let whole =
            self.pending.as_ref().map_or(0, |message| message.body.len()) + self.chunks.len() + length;
        if whole > self.limits.body_bytes_max {
            return Err(Broken::TooLarge(self.limits.body_bytes_max));
        }
        buffer.advance(end + 2);
        self.state = if length == 0 { State::Trailers(0) } else { State::Chunk(length) };
        Ok(Progress::Go)
    }

    fn chunk(&mut self, buffer: &mut BytesMut, length: usize) -> Result<Progress, Broken> {
        if buffer.len() < length + 2 {
            return Ok(Progress::Wait);
        }
        let chunk = buffer.split_to(length);
        if !buffer.starts_with(b"\r\n") {
            return Err(Broken::Chunks);
        }
        buffer.advance(2);
        let message = self.pending.as_mut().expect("a chunk belongs to a message");
        // One chunk, the usual case, is not copied.
        if message.body.is_empty() && self.chunks.is_empty() {
            message.body = chunk.freeze();
        } else {
            self.chunks.extend_from_slice(&std::mem::take(&mut message.body));
            self.chunks.extend_from_slice(&chunk);
        }
        self.state = State::Size;
        Ok(Progress::Go)
    }

    fn trailers(&mut self, buffer: &mut BytesMut, seen: usize) -> Result<Progress, Broken> {
        let Some(end) = memchr::memmem::find(buffer, b"\r\n") else {
            return if seen + buffer.len() > TRAILERS_MAX { Err(Broken::Chunks) } else { Ok(Progress::Wait) };
        };
        buffer.advance(end + 2);
        if end > 0 {
            let seen = seen + end + 2;
            if seen > TRAILERS_MAX {
                return Err(Broken::Chunks);
            }
            self.state = State::Trailers(seen);
            return Ok(Progress::Go);
        }
        if !self.chunks.is_empty() {
            let all = std::mem::take(&mut self.chunks);
            self.finish(all);
        }
        Ok(Progress::Done)
    }

    fn finish(&mut self, body: BytesMut) {
        if let Some(message) = &mut self.pending {
            message.body = body.freeze();
        }
    }
}

enum Progress {
    /// More bytes are needed.
    Wait,
    /// The next state may go on at once.
    Go,
    /// The message is complete.
    Done,
}

/// The process address that `text` is, by way of the one that was seen last.
fn resolve(last: &mut Option<(String, Pid)>, text: &str) -> Option<Pid> {
    if let Some((known, pid)) = last
        && known == text
    {
        return Some(pid.clone());
    }
    let pid: Pid = text.parse().ok()?;
    *last = Some((text.to_owned(), pid.clone()));
    Some(pid)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::encode::encode_message;

    fn decode_all(bytes: &[u8], cut: usize) -> (Vec<Received>, Option<Result<Step, Broken>>) {
        let limits = DecoderLimits { head_bytes_max: 1000, body_bytes_max: 2000 };
        let mut decoder = Decoder::new(limits);
        let mut buffer = BytesMut::new();
        let mut messages = Vec::new();
        for piece in bytes.chunks(cut.max(1)) {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.step(&mut buffer) {
                    Ok(Step::Message(message)) => messages.push(message),
                    Ok(Step::Continue) => {}
                    Ok(Step::NeedMore) => break,
                    other => return (messages, Some(other)),
                }
            }
        }
        (messages, None)
    }

    const FROM: &str = "Libprocess-From: slave(1)@127.0.0.1:5051\r\n";

    fn one(text: &str) -> Received {
        let (mut messages, end) = decode_all(text.as_bytes(), usize::MAX);
        assert_eq!((messages.len(), end), (1, None), "{text}");
        messages.remove(0)
    }

    #[test]
    fn bodies_of_all_forms() {
        let head = format!("POST /master/name HTTP/1.0\r\n{FROM}");
        for (rest, body) in [
            ("\r\n", ""),
            ("Content-Length: 3\r\n\r\nabc", "abc"),
            ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "abc"),
            ("Transfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n2 \r\nbc\r\n0\r\nTrailer: x\r\n\r\n", "abc"),
            ("Transfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n0\r\n\r\n", ""),
            ("Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx", "x"),
        ] {
            let message = one(&format!("{head}{rest}"));
            assert_eq!(message.body, body, "{rest}");
            assert_eq!((message.to.as_str(), message.name.as_str()), ("master", "name"));
            assert_eq!(message.from, Some("slave(1)@127.0.0.1:5051".parse().unwrap()));
        }
    }

    #[test]
    fn foreign_requests_are_left_alone() {
        for text in ["GET / HTTP/1.1\r\n\r\n", "POST /x HTTP/1.1\r\nHost: x\r\n\r\n", "rubbish\r\n\r\n"] {
            let mut buffer = BytesMut::from(text);
            assert_eq!(Decoder::new(DecoderLimits::default()).step(&mut buffer), Ok(Step::Foreign));
            assert_eq!(buffer, text);
        }
    }

    #[test]
    fn what_is_broken() {
        let chunked = "Transfer-Encoding: chunked\r\n\r\n";
        for (rest, expected) in [
            ("Content-Length: x\r\n\r\n", Broken::Length),
            ("Content-Length: -1\r\n\r\n", Broken::Length),
            ("Content-Length: 99999999999999999999\r\n\r\n", Broken::Length),
            ("Content-Length: 2001\r\n\r\n", Broken::TooLarge(2000)),
            (&format!("{chunked}7d1\r\n"), Broken::TooLarge(2000)),
            (&format!("{chunked}1\r\na\r\n7d0\r\n"), Broken::TooLarge(2000)),
            (&format!("{chunked}ffffffffffffffff\r\n"), Broken::Chunks),
            (&format!("{chunked}\r\n"), Broken::Chunks),
            (&format!("{chunked}zz\r\n"), Broken::Chunks),
            (&format!("{chunked}1\r\nabc"), Broken::Chunks),
            (&format!("{chunked}{}", "0".repeat(SIZE_LINE_MAX)), Broken::Chunks),
            (&format!("{chunked}0\r\n{}", "a".repeat(TRAILERS_MAX + 1)), Broken::Chunks),
            (&format!("{chunked}0\r\n{}", "a: b\r\n".repeat(TRAILERS_MAX)), Broken::Chunks),
        ] {
            let text = format!("POST /master/name HTTP/1.1\r\n{FROM}{rest}");
            for cut in [1, 7, usize::MAX] {
                assert_eq!(decode_all(text.as_bytes(), cut), (vec![], Some(Err(expected))), "{rest:.60}");
            }
        }
        let text = format!("POST master HTTP/1.1\r\n{FROM}\r\n");
        assert_eq!(decode_all(text.as_bytes(), 100), (vec![], Some(Err(Broken::Path))));
    }

    #[test]
    fn an_endless_head_is_foreign() {
        assert_eq!(decode_all(&[b'a'; 5000], 100), (vec![], Some(Ok(Step::Foreign))));
    }

    #[test]
    fn an_unreadable_sender_is_told_apart() {
        assert_eq!(one("POST /master/x HTTP/1.1\r\nLibprocess-From: nonsense\r\n\r\n").from, None);
        assert_eq!(one("POST /master/x HTTP/1.1\r\nUser-Agent: libprocess/\r\n\r\n").from, None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..500), 1..5),
            id in "[a-z/% ü()0-9-]{1,20}",
            cut in 1_usize..2000,
        ) {
            let from: Pid = "slave(1)@127.0.0.1:5051".parse().unwrap();
            let to = Pid::new(id.as_str(), "127.0.0.1:5050".parse().unwrap());
            let mut bytes = Vec::new();
            for body in &bodies {
                encode_message(&mut bytes, &from, &to, "mesos.internal.X", body);
            }
            let (messages, end) = decode_all(&bytes, cut);
            prop_assert_eq!(end, None);
            prop_assert_eq!(messages.len(), bodies.len());
            for (message, body) in messages.iter().zip(&bodies) {
                prop_assert_eq!(&message.body[..], &body[..]);
                prop_assert_eq!(message.from.as_ref(), Some(&from));
                prop_assert_eq!((message.to.as_str(), message.name.as_str()), (id.as_str(), "mesos.internal.X"));
            }
        }

        #[test]
        fn garbage_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 1_usize..300) {
            let mut text = format!("POST /m/n HTTP/1.1\r\n{FROM}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
            text.extend_from_slice(&bytes);
            decode_all(&text, cut);
            decode_all(&bytes, cut);
        }
    }
}
