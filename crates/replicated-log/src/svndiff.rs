//! What differs between two values, as Subversion writes it (svndiff, version 0). Masters of old wrote such. Pure.

/// A larger value is none of a registry.
const VALUE_MAX: usize = 1 << 30;

/// The new value, from the old one and the difference.
pub(crate) fn apply(old: &[u8], diff: &[u8]) -> Result<Vec<u8>, String> {
    let mut rest = match diff.split_at_checked(4) {
        Some((b"SVN\0", rest)) => rest,
        Some(([b'S', b'V', b'N', version], _)) => {
            return Err(format!("is a difference of the unknown version {version}"));
        }
        Some(_) | None => return Err("is no difference of Subversion's".to_owned()),
    };
    let mut new = Vec::new();
    while !rest.is_empty() {
        window(old, &mut rest, &mut new)?;
    }
    Ok(new)
}

/// One window: a piece of the new value.
fn window(old: &[u8], rest: &mut &[u8], new: &mut Vec<u8>) -> Result<(), String> {
    let (offset, source_length) = (number(rest)?, number(rest)?);
    let target_length = number(rest)?;
    let (instructions_length, data_length) = (number(rest)?, number(rest)?);
    let source = offset.checked_add(source_length).and_then(|end| old.get(offset..end));
    let source = source.ok_or("is a difference from a longer value")?;
    let mut instructions = take(rest, instructions_length)?;
    let mut data = take(rest, data_length)?;
    let start = new.len();
    if target_length > VALUE_MAX - start.min(VALUE_MAX) {
        return Err("makes a value beyond all measure".to_owned());
    }
    while let Some((&first, after)) = instructions.split_first() {
        instructions = after;
        let short = usize::from(first & 0x3f);
        let length = if short == 0 { number(&mut instructions)? } else { short };
        if new.len() - start + length.min(VALUE_MAX) > target_length {
            return Err("makes more than it says".to_owned());
        }
        match first >> 6 {
            0 => {
                let from = number(&mut instructions)?;
                let copied = from.checked_add(length).and_then(|end| source.get(from..end));
                new.extend_from_slice(copied.ok_or("copies what is not there")?);
            }
            1 => {
                let from = start + number(&mut instructions)?.min(VALUE_MAX);
                // What is copied may be made by this very copying.
                for at in from..from + length {
                    let byte = *new.get(at).ok_or("copies what is not there yet")?;
                    new.push(byte);
                }
            }
            2 => new.extend_from_slice(take(&mut data, length)?),
            _ => return Err("has an unknown instruction".to_owned()),
        }
    }
    if new.len() - start == target_length && data.is_empty() {
        Ok(())
    } else {
        Err("makes less than it says".to_owned())
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], String> {
    let (taken, after) = rest.split_at_checked(length).ok_or("is a difference that was cut short")?;
    *rest = after;
    Ok(taken)
}

/// Seven bits in a byte, the highest first.
fn number(rest: &mut &[u8]) -> Result<usize, String> {
    let mut number: usize = 0;
    for _ in 0..8 {
        let (&byte, after) = rest.split_first().ok_or("is a difference that was cut short")?;
        *rest = after;
        number = number << 7 | usize::from(byte & 0x7f);
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err("has a number beyond all measure".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand from the format's description: "aaaabbbbcccc" becomes "aaaaccccdddddddd".
    const DIFF: &[u8] = b"SVN\0\x00\x0c\x10\x07\x01\x04\x00\x04\x08\x81\x47\x08d";

    #[test]
    fn values_are_made_from_differences() {
        assert_eq!(apply(b"aaaabbbbcccc", DIFF).unwrap(), b"aaaaccccdddddddd");
        assert_eq!(apply(b"x", b"SVN\0").unwrap(), b"");
    }

    #[test]
    fn no_difference_does_harm() {
        for end in 5..DIFF.len() {
            assert!(apply(b"aaaabbbbcccc", &DIFF[..end]).is_err(), "{end}");
        }
        assert!(apply(b"aaaa", DIFF).is_err());
        assert!(apply(b"", b"SVN\x01").is_err());
        assert!(apply(b"", b"nonsense").is_err());
        for at in 4..DIFF.len() {
            for bit in 0..8 {
                let mut bad = DIFF.to_vec();
                bad[at] ^= 1 << bit;
                // Whatever it makes, it ends.
                let _ = apply(b"aaaabbbbcccc", &bad);
            }
        }
    }
}
