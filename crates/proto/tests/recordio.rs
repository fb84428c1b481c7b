//! RecordIO: whatever the pieces in which a stream arrives, the records are the same.

use bytes::BytesMut;
use proptest::prelude::*;
use proto::recordio::{Decoder, RecordError, encode};

fn stream(records: &[Vec<u8>]) -> BytesMut {
    let mut out = BytesMut::new();
    for record in records {
        encode(&mut out, record);
    }
    out
}

/// All records of a stream that arrives in pieces.
fn decode<'p>(pieces: impl Iterator<Item = &'p [u8]>) -> Result<Vec<Vec<u8>>, RecordError> {
    let mut decoder = Decoder::new(1 << 20);
    let mut records = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        while let Some(record) = decoder.next_record()? {
            records.push(record.to_vec());
        }
    }
    assert!(decoder.is_at_border(), "something is left over");
    Ok(records)
}

proptest! {
    #[test]
    fn every_split(records in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..30), 0..6)) {
        let stream = stream(&records);
        for at in 0..=stream.len() {
            let (head, tail) = stream.split_at(at);
            prop_assert_eq!(decode([head, tail].into_iter()), Ok(records.clone()));
        }
        prop_assert_eq!(decode(stream.chunks(1)), Ok(records));
    }

    #[test]
    fn garbage_never_panics(garbage in proptest::collection::vec(any::<u8>(), 0..200), piece in 1usize..50) {
        let mut decoder = Decoder::new(64);
        for piece in garbage.chunks(piece) {
            decoder.feed(piece);
            while let Ok(Some(record)) = decoder.next_record() {
                prop_assert!(record.len() <= 64);
            }
        }
    }
}

#[test]
fn the_form_is_the_one_of_mesos() {
    assert_eq!(&stream(&[b"hello".to_vec(), Vec::new()])[..], b"5\nhello0\n");
}

#[test]
fn bad_headers_are_refused_for_good() {
    let cases: [(&str, &str); 7] = [
        ("x", "Failed to decode length 'x': Failed to convert 'x' to number"),
        ("\n", "Failed to decode length '': Failed to convert '' to number"),
        ("-1\n", "Failed to decode length '-': Failed to convert '-' to number"),
        ("12 \n", "Failed to decode length '12 ': Failed to convert '12 ' to number"),
        (
            "99999999999999999999\n",
            "Failed to decode length '99999999999999999999': Failed to convert '99999999999999999999' to number",
        ),
        (
            "000000000000000000000",
            "Failed to decode length '000000000000000000000': Failed to convert '000000000000000000000' to number",
        ),
        ("11\n", "Record of 11 bytes exceeds the maximum of 10 bytes"),
    ];
    for (text, expected) in cases {
        let mut decoder = Decoder::new(10);
        decoder.feed(text.as_bytes());
        assert_eq!(decoder.next_record().unwrap_err().to_string(), expected, "{text:?}");
        decoder.feed(b"1\na");
        assert_eq!(decoder.next_record(), Err(RecordError::Failed));
    }
}

#[test]
fn a_large_record_byte_by_byte_takes_linear_time() {
    // Quadratic work would take minutes here.
    let record = vec![b'x'; 1 << 20];
    let stream = stream(std::slice::from_ref(&record));
    assert_eq!(decode(stream.chunks(1)), Ok(vec![record]));
}
