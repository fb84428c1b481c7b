//! Numbers and strings as LevelDB writes them, and its checksums. Pure.

/// Reads from the front.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn take(&mut self, bytes: usize) -> Result<&'a [u8], String> {
        let Some((taken, rest)) = self.rest.split_at_checked(bytes) else {
            return Err(format!("ends {} bytes too early", bytes - self.rest.len()));
        };
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn fixed32(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().expect("four bytes")))
    }

    pub(super) fn fixed64(&mut self) -> Result<u64, String> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().expect("eight bytes")))
    }

    pub(super) fn varint(&mut self) -> Result<u64, String> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("has a number of more than 64 bits".to_owned())
    }

    pub(super) fn length(&mut self) -> Result<usize, String> {
        usize::try_from(self.varint()?).map_err(|_| "has a length beyond all memory".to_owned())
    }

    pub(super) fn string(&mut self) -> Result<&'a [u8], String> {
        let length = self.length()?;
        self.take(length)
    }
}

/// Refuses bytes that have another checksum (CRC-32C, masked) than was written down.
pub(super) fn check(bytes: &[&[u8]], written: u32) -> Result<(), String> {
    let crc = !bytes.iter().copied().flatten().fold(!0_u32, |crc, byte| {
        let index = usize::from(crc.to_le_bytes()[0] ^ byte);
        TABLE[index] ^ (crc >> 8)
    });
    let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
    if masked == written { Ok(()) } else { Err("is damaged: a checksum is wrong".to_owned()) }
}

/// The remainders of all bytes by Castagnoli's polynomial.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let mut crc = n as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[n] = crc;
        n += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, B.4: 32 bytes of zero give 0x8a9136aa.
        let masked = 0x8a91_36aa_u32.rotate_right(15).wrapping_add(0xa282_ead8);
        check(&[&[0; 20], &[0; 12]], masked).unwrap();
        assert!(check(&[&[1; 32]], masked).is_err());
    }

    #[test]
    fn numbers_end_where_they_end() {
        let mut reader = Reader::new(&[0x96, 0x01, 2, b'a', b'b', 7]);
        assert_eq!((reader.varint(), reader.string(), reader.byte()), (Ok(150), Ok(&b"ab"[..]), Ok(7)));
        assert_eq!(reader.byte(), Err("ends 1 bytes too early".to_owned()));
        assert!(Reader::new(&[0xff; 11]).varint().is_err());
        assert!(Reader::new(&[9, 1]).string().is_err());
    }
}
