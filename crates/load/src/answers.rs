//! Takes HTTP answers out of the bytes of a connection. Pure; it holds no more than one piece.

use anyhow::{Context as _, bail, ensure};
use bytes::{Buf as _, Bytes, BytesMut};

/// More than this is no head of ours.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A head.
    Head(AnswerHead),
    /// Some of the body.
    Data(Bytes),
    /// The answer is complete.
    End,
}

/// The parts of a head that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AnswerHead {
    /// The status.
    pub(crate) status: u16,
    /// `Mesos-Stream-Id`.
    pub(crate) stream_id: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    /// So many bytes of the body are missing.
    Body(usize),
    ChunkSize,
    Chunk(usize),
    ChunkEnd,
    /// After the last chunk.
    Trailers,
}

/// Decodes the answers of one connection.
#[derive(Debug, Default)]
pub(crate) struct AnswerDecoder {
    state: State,
}

impl AnswerDecoder {
    /// The next piece; `None` until more bytes come.
    pub(crate) fn next_piece(&mut self, buffer: &mut BytesMut) -> anyhow::Result<Option<Piece>> {
        loop {
            match self.state {
                State::Head => return self.head(buffer),
                State::Body(0) => {
                    self.state = State::Head;
                    return Ok(Some(Piece::End));
                }
                State::Body(left) => {
                    let Some(data) = take(buffer, left) else { return Ok(None) };
                    self.state = State::Body(left - data.len());
                    return Ok(Some(Piece::Data(data)));
                }
                State::ChunkSize => {
                    let Some(line) = line(buffer) else { return Ok(None) };
                    let text = std::str::from_utf8(&line).context("a chunk's size")?;
                    let digits = text.split(';').next().unwrap_or_default().trim();
                    let size = usize::from_str_radix(digits, 16).context("a chunk's size")?;
                    self.state = if size == 0 { State::Trailers } else { State::Chunk(size) };
                }
                State::Chunk(left) => {
                    let Some(data) = take(buffer, left) else { return Ok(None) };
                    let left = left - data.len();
                    self.state = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                    return Ok(Some(Piece::Data(data)));
                }
                State::ChunkEnd => {
                    let Some(line) = line(buffer) else { return Ok(None) };
                    ensure!(line.is_empty(), "a chunk is longer than it says");
                    self.state = State::ChunkSize;
                }
                State::Trailers => {
                    let Some(line) = line(buffer) else { return Ok(None) };
                    if line.is_empty() {
                        self.state = State::Head;
                        return Ok(Some(Piece::End));
                    }
                }
            }
        }
    }

    fn head(&mut self, buffer: &mut BytesMut) -> anyhow::Result<Option<Piece>> {
        let Some(end) = memchr::memmem::find(buffer, b"\r\n\r\n") else {
            ensure!(buffer.len() <= HEAD_BYTES_MAX, "an endless head");
            return Ok(None);
        };
        let text = std::str::from_utf8(&buffer[..end]).context("a head that is no text")?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
        let Some(status) = status else { bail!("no status line: {text:.80}") };
        let mut head = AnswerHead { status, stream_id: None };
        let mut state = State::Body(0);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name.len() {
                14 if name.eq_ignore_ascii_case("content-length") => {
                    state = State::Body(value.parse().context("the length of a body")?);
                }
                17 if name.eq_ignore_ascii_case("transfer-encoding") => state = State::ChunkSize,
                15 if name.eq_ignore_ascii_case("mesos-stream-id") => head.stream_id = Some(value.to_owned()),
                _ => {}
            }
        }
        buffer.advance(end + 4);
        self.state = state;
        Ok(Some(Piece::Head(head)))
    }
}

/// Up to so many bytes of what is there; `None` if nothing is.
fn take(buffer: &mut BytesMut, most: usize) -> Option<Bytes> {
    (!buffer.is_empty()).then(|| buffer.split_to(buffer.len().min(most)).freeze())
}

fn line(buffer: &mut BytesMut) -> Option<BytesMut> {
    let end = memchr::memmem::find(buffer, b"\r\n")?;
    let line = buffer.split_to(end);
    buffer.advance(2);
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All answers as (status, stream id, body).
    fn check(text: &str, expected: &[(u16, Option<&str>, &str)]) {
        for cut in [1, 3, text.len()] {
            let (mut decoder, mut buffer) = (AnswerDecoder::default(), BytesMut::new());
            let (mut answers, mut open) = (Vec::new(), None);
            for part in text.as_bytes().chunks(cut) {
                buffer.extend_from_slice(part);
                while let Some(piece) = decoder.next_piece(&mut buffer).unwrap() {
                    match piece {
                        Piece::Head(head) => open = Some((head, Vec::new())),
                        Piece::Data(data) => open.as_mut().unwrap().1.extend_from_slice(&data),
                        Piece::End => answers.extend(open.take()),
                    }
                }
            }
            let answers: Vec<_> = answers
                .iter()
                .map(|(head, body)| {
                    (head.status, head.stream_id.as_deref(), std::str::from_utf8(body).unwrap())
                })
                .collect();
            assert_eq!(answers, expected, "in parts of {cut}");
        }
    }

    #[test]
    fn answers_of_both_framings() {
        check(
            "HTTP/1.1 202 Accepted\r\nDate: x\r\nContent-Length: 0\r\n\r\nHTTP/1.1 400 Bad Request\r\ncontent-length: \
             3\r\n\r\nnoHTTP/1.1 200 OK\r\n\r\n"
                .replace("noHTTP", "no!HTTP")
                .as_str(),
            &[(202, None, ""), (400, None, "no!"), (200, None, "")],
        );
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nMesos-Stream-Id: s\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: \
             y\r\n\r\n",
            &[(200, Some("s"), "abcde")],
        );
    }

    #[test]
    fn what_is_no_answer() {
        for text in
            ["GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200\r\nContent-Length: x\r\n\r\n", "HTTP/1.1 20\r\n\r\n"]
        {
            let mut buffer = BytesMut::from(text);
            assert!(AnswerDecoder::default().next_piece(&mut buffer).is_err(), "{text}");
        }
    }
}
