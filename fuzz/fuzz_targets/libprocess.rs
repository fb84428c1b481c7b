//! The messages of a connection are the same whatever the pieces it arrives in.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use libprocess::{Broken, Decoder, DecoderLimits, Received, Step};

/// The messages up to the first thing that is none.
fn decode<'p>(pieces: impl Iterator<Item = &'p [u8]>) -> (Vec<Received>, Option<Broken>) {
    let limits = DecoderLimits { head_bytes_max: 8192, body_bytes_max: 4096 };
    let mut decoder = Decoder::new(limits);
    let mut buffer = BytesMut::new();
    let mut messages = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.step(&mut buffer) {
                Ok(Step::Message(message)) => messages.push(message),
                Ok(Step::Continue) => {}
                Ok(Step::NeedMore) => break,
                Ok(Step::Foreign) => return (messages, None),
                Err(broken) => return (messages, Some(broken)),
            }
        }
    }
    (messages, None)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, stream) = input;
    let whole = decode(std::iter::once(stream));
    let pieces = decode(stream.chunks(usize::from(piece).max(1)));
    assert_eq!(whole, pieces);
});
