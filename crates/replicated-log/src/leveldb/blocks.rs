//! Logs and manifests: records, cut into fragments that lie in blocks of 32 KiB. Pure.

use super::bytes::{Reader, check};

const BLOCK: usize = 32 * 1024;
const HEAD: usize = 7;

/// The records of a file, whole. One that is cut short or damaged is an error that says where.
pub(super) fn records(file: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut all = Vec::new();
    let mut open: Option<Vec<u8>> = None;
    let mut at = 0;
    while at < file.len() {
        let left = BLOCK - at % BLOCK;
        if left < HEAD {
            // The rest of a block is zeros.
            at += left;
            continue;
        }
        let here = |why: String| format!("{why} (byte {at})");
        let mut reader = Reader::new(&file[at..]);
        let sum = reader.fixed32().map_err(here)?;
        let length =
            usize::from(u16::from_le_bytes([reader.byte().map_err(here)?, reader.byte().map_err(here)?]));
        let kind = reader.byte().map_err(here)?;
        if (sum, length, kind) == (0, 0, 0) {
            // Space that was reserved and never written.
            at += left;
            continue;
        }
        if length > left - HEAD {
            return Err(here("has a record beyond its block".to_owned()));
        }
        let fragment = reader.take(length).map_err(here)?;
        check(&[&[kind], fragment], sum).map_err(here)?;
        match (kind, &mut open) {
            (1, None) => all.push(fragment.to_vec()),
            (2, None) => open = Some(fragment.to_vec()),
            (3, Some(record)) => record.extend_from_slice(fragment),
            (4, Some(record)) => {
                record.extend_from_slice(fragment);
                all.extend(open.take());
            }
            (_, _) => return Err(here(format!("has a fragment of kind {kind} where none may be"))),
        }
        at += HEAD + length;
    }
    match open {
        None => Ok(all),
        Some(_) => Err(format!("ends within a record (byte {at})")),
    }
}
