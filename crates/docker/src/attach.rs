//! What a container prints, as the daemon passes it on: pieces, each with the stream that it belongs to.

use bytes::{Buf as _, BytesMut};
use http_body_util::BodyExt as _;

use crate::calls::escape;
use crate::client::{Call, Client, Opened};
use crate::error::Error;

/// Which stream a piece belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// What comes of a container until its streams end.
pub struct Attached {
    opened: Opened,
    framing: Framing,
}

/// How pieces are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// Eight bytes before each: the stream, three of nothing, the length.
    Heads,
    /// A terminal has one stream.
    None,
}

impl Client {
    /// Listens to a container, which need not run yet.
    pub async fn attach(&self, container: &str, has_terminal: bool) -> Result<Attached, Error> {
        let path = format!("/containers/{}/attach?stream=1&stdout=1&stderr=1", escape(container));
        let opened = self.open(Call::post(path)).await?;
        let framing = if has_terminal { Framing::None } else { Framing::Heads };
        Ok(Attached { opened, framing })
    }
}

impl Attached {
    /// Hands over what comes, until nothing more does.
    pub async fn copy(self, mut sink: impl FnMut(Stream, &[u8])) -> Result<(), Error> {
        self.opened.pieces(self.framing, &mut sink).await
    }
}

impl std::fmt::Debug for Attached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attached").field("framing", &self.framing).finish_non_exhaustive()
    }
}

impl Opened {
    /// Hands over both streams as one.
    pub(crate) async fn read(self, sink: &mut impl FnMut(&[u8])) -> Result<(), Error> {
        self.pieces(Framing::Heads, &mut |_, bytes: &[u8]| sink(bytes)).await
    }

    async fn pieces(self, framing: Framing, sink: &mut impl FnMut(Stream, &[u8])) -> Result<(), Error> {
        let Self { response, what, connection } = self;
        let mut body = response.into_body();
        let mut demultiplexer = Demultiplexer::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|why| Error::Broken { what: what.clone(), why: why.to_string() })?;
            let Ok(data) = frame.into_data() else { continue };
            match framing {
                Framing::Heads => demultiplexer.take(&data, sink),
                Framing::None => sink(Stream::Out, &data),
            }
        }
        drop(connection);
        Ok(())
    }
}

/// Takes pieces apart. It holds no more than a head: what a piece holds is passed on as it comes.
#[derive(Default)]
struct Demultiplexer {
    head: BytesMut,
    /// Whose bytes come, and how many still.
    piece: Option<(Stream, usize)>,
}

const HEAD_BYTES: usize = 8;

impl Demultiplexer {
    fn take(&mut self, mut data: &[u8], sink: &mut impl FnMut(Stream, &[u8])) {
        while !data.is_empty() {
            if let Some((stream, left)) = self.piece {
                let (now, rest) = data.split_at(left.min(data.len()));
                sink(stream, now);
                data = rest;
                self.piece = Some((stream, left - now.len())).filter(|(_, left)| *left > 0);
                continue;
            }
            let (now, rest) = data.split_at((HEAD_BYTES - self.head.len()).min(data.len()));
            self.head.extend_from_slice(now);
            data = rest;
            if self.head.len() == HEAD_BYTES {
                let stream = if self.head.get_u8() == 2 { Stream::Err } else { Stream::Out };
                self.head.advance(3);
                let left = usize::try_from(self.head.get_u32()).unwrap_or(usize::MAX);
                self.piece = Some((stream, left)).filter(|(_, left)| *left > 0);
                self.head.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_told_apart_wherever_they_are_cut() {
        let mut bytes = Vec::new();
        for (stream, text) in [(1, "one"), (2, "two two"), (1, ""), (1, "3")] {
            bytes.extend([stream, 0, 0, 0]);
            bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        for size in 1..bytes.len() {
            let (mut out, mut err) = (String::new(), String::new());
            let mut demultiplexer = Demultiplexer::default();
            for chunk in bytes.chunks(size) {
                demultiplexer.take(chunk, &mut |stream, bytes: &[u8]| {
                    let text = std::str::from_utf8(bytes).unwrap();
                    match stream {
                        Stream::Out => out += text,
                        Stream::Err => err += text,
                    }
                });
            }
            assert_eq!((out.as_str(), err.as_str()), ("one3", "two two"));
        }
    }
}
