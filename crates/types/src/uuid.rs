//! Sixteen bytes that name a status update, a stream or a master.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use machine::Rng;
use thiserror::Error;

/// A UUID: sixteen bytes on the wire, hyphenated hex in text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid([u8; 16]);

/// The bytes or text are not a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a UUID")]
pub struct UuidError;

impl Uuid {
    /// The UUID with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The UUID's bytes, as they go on the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A random (version 4) UUID.
    pub fn random(rng: &mut Rng) -> Self {
        Self(rng.uuid_bytes())
    }
}

impl TryFrom<&[u8]> for Uuid {
    type Error = UuidError;

    fn try_from(bytes: &[u8]) -> Result<Self, UuidError> {
        bytes.try_into().map(Self).map_err(|_| UuidError)
    }
}

impl From<Uuid> for Bytes {
    fn from(uuid: Uuid) -> Self {
        Self::copy_from_slice(&uuid.0)
    }
}

impl FromStr for Uuid {
    type Err = UuidError;

    fn from_str(text: &str) -> Result<Self, UuidError> {
        let text = text.as_bytes();
        if text.len() != 36 {
            return Err(UuidError);
        }
        let mut bytes = [0; 16];
        let mut at = 0;
        for (i, byte) in bytes.iter_mut().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                if text[at] != b'-' {
                    return Err(UuidError);
                }
                at += 1;
            }
            let digit =
                |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok()).ok_or(UuidError);
            *byte = digit(text[at])? << 4 | digit(text[at + 1])?;
            at += 2;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        let uuid = Uuid::random(&mut Rng::new(1));
        assert_eq!(uuid.to_string().parse(), Ok(uuid));
        assert_eq!(Uuid::try_from(uuid.as_bytes().as_slice()), Ok(uuid));
    }

    #[test]
    fn refuses_what_is_not_one() {
        for bad in [
            "",
            "x",
            "0000000000000000000000000000000000000",
            "00000000-0000-0000-0000-00000000000g",
            "00000000+0000-0000-0000-000000000000",
        ] {
            assert_eq!(bad.parse::<Uuid>(), Err(UuidError), "{bad}");
        }
        assert_eq!(Uuid::try_from(&[0; 15][..]), Err(UuidError));
    }
}
