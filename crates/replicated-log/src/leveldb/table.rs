//! Sorted tables: blocks of keys and values, and an index of them. Pure.

use super::bytes::{Reader, check};

const FOOTER: usize = 48;
const MAGIC: u64 = 0xdb47_7524_8b80_fb57;

/// What precedes a block's checksum: how it is compressed.
const PLAIN: u8 = 0;
const SNAPPY: u8 = 1;

/// The kinds of a write.
pub(super) const DELETE: u8 = 0;
pub(super) const PUT: u8 = 1;

/// A larger block is none that LevelDB made: its blocks are of 4 KB, or of one value.
const BLOCK_MAX: usize = 1 << 30;

/// Gives every entry of a table to `each`.
pub(super) fn read(
    file: &[u8],
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let Some(start) = file.len().checked_sub(FOOTER) else {
        return Err("is too short for a table".to_owned());
    };
    let mut footer = Reader::new(&file[start..]);
    let _metaindex = handle(&mut footer)?;
    let index = handle(&mut footer)?;
    if Reader::new(&file[file.len() - 8..]).fixed64()? != MAGIC {
        return Err("does not end as a table does".to_owned());
    }
    let mut places = Vec::new();
    entries(&block(file, index)?, |_, value| {
        places.push(handle(&mut Reader::new(value))?);
        Ok(())
    })?;
    for place in places {
        entries(&block(file, place)?, &mut each)?;
    }
    Ok(())
}

/// The user's key, the number of its write and that write's kind.
pub(super) fn parts_of(key: &[u8]) -> Result<(&[u8], u64, u8), String> {
    let Some((key, number)) = key.len().checked_sub(8).map(|at| key.split_at(at)) else {
        return Err("has a key that is too short".to_owned());
    };
    let number = Reader::new(number).fixed64()?;
    Ok((key, number >> 8, number.to_le_bytes()[0]))
}

fn handle(reader: &mut Reader<'_>) -> Result<(usize, usize), String> {
    Ok((reader.length()?, reader.length()?))
}

/// A block's contents.
fn block(file: &[u8], (offset, size): (usize, usize)) -> Result<Vec<u8>, String> {
    let here = |why: String| format!("{why} (block at byte {offset})");
    let mut reader = Reader::new(file.get(offset..).ok_or_else(|| here("ends before a block".to_owned()))?);
    let contents = reader.take(size).map_err(here)?;
    let compression = reader.byte().map_err(here)?;
    let sum = reader.fixed32().map_err(here)?;
    check(&[contents, &[compression]], sum).map_err(here)?;
    match compression {
        PLAIN => Ok(contents.to_vec()),
        SNAPPY => {
            let wrong = |error: snap::Error| here(format!("cannot be decompressed: {error}"));
            if snap::raw::decompress_len(contents).map_err(wrong)? > BLOCK_MAX {
                return Err(here("has a block beyond all measure".to_owned()));
            }
            snap::raw::Decoder::new().decompress_vec(contents).map_err(wrong)
        }
        other => Err(here(format!("is compressed in the unknown way {other}"))),
    }
}

/// Gives every entry of a block to `each`. A key says only in what it differs from the last.
fn entries(block: &[u8], mut each: impl FnMut(&[u8], &[u8]) -> Result<(), String>) -> Result<(), String> {
    let Some(tail) = block.len().checked_sub(4) else { return Err("has a block without an end".to_owned()) };
    let restarts = usize::try_from(Reader::new(&block[tail..]).fixed32()?).unwrap_or(usize::MAX);
    let end = restarts.checked_mul(4).and_then(|bytes| tail.checked_sub(bytes));
    let Some(end) = end else { return Err("has a block with more restarts than bytes".to_owned()) };
    let mut reader = Reader::new(&block[..end]);
    let mut key = Vec::new();
    while !reader.is_empty() {
        let (shared, own, value) = (reader.length()?, reader.length()?, reader.length()?);
        if shared > key.len() {
            return Err("has a key that shares more than there is".to_owned());
        }
        key.truncate(shared);
        key.extend_from_slice(reader.take(own)?);
        each(&key, reader.take(value)?)?;
    }
    Ok(())
}
