//! A stream of records must decode to the same whatever the pieces it arrives in.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::recordio::{Decoder, RecordError};

const RECORD_MAX: usize = 4096;

/// What a decoder makes of the pieces, up to the first error.
fn decode<'p>(pieces: impl Iterator<Item = &'p [u8]>) -> (Vec<Vec<u8>>, Option<RecordError>) {
    let mut decoder = Decoder::new(RECORD_MAX);
    let mut records = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        loop {
            match decoder.next_record() {
                Ok(Some(record)) => {
                    assert!(record.len() <= RECORD_MAX);
                    records.push(record.to_vec());
                }
                Ok(None) => break,
                Err(error) => return (records, Some(error)),
            }
        }
    }
    (records, None)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, stream) = input;
    let whole = decode(std::iter::once(stream));
    let pieces = decode(stream.chunks(usize::from(piece).max(1)));
    assert_eq!(whole, pieces);
});
