//! CRC-64 with the polynomial of ISO 3309, by which tar-split checks the content of files.

const POLYNOMIAL: u64 = 0xd800_0000_0000_0000;
/// Eight tables, so that eight bytes are taken at a step.
static TABLES: [[u64; 256]; 8] = tables();

/// A checksum in the making.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Crc64(u64);

impl Crc64 {
    /// The checksum of `data`.
    pub fn of(data: &[u8]) -> u64 {
        let mut crc = Self::default();
        crc.update(data);
        crc.value()
    }

    pub fn update(&mut self, data: &[u8]) {
        let mut crc = !self.0;
        let mut words = data.chunks_exact(8);
        for word in &mut words {
            let mixed = (crc ^ u64::from_le_bytes(word.try_into().expect("eight bytes"))).to_le_bytes();
            crc = mixed.iter().enumerate().fold(0, |sum, (at, byte)| sum ^ TABLES[7 - at][usize::from(*byte)]);
        }
        for byte in words.remainder() {
            crc = TABLES[0][usize::from(crc as u8 ^ byte)] ^ (crc >> 8);
        }
        self.0 = !crc;
    }

    pub fn value(self) -> u64 {
        self.0
    }
}

const fn tables() -> [[u64; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before: u64 = tables[table - 1][byte];
            tables[table][byte] = tables[0][(before & 0xff) as usize] ^ (before >> 8);
            byte += 1;
        }
        table += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_and_pieces() {
        // Of the catalogue of CRC algorithms, CRC-64/GO-ISO.
        assert_eq!(Crc64::of(b"123456789"), 0xb909_56c7_75a4_1001);
        let data: Vec<u8> = (0..1000_u32).map(|n| (n * n) as u8).collect();
        let mut pieces = Crc64::default();
        data.chunks(37).for_each(|piece| pieces.update(piece));
        assert_eq!(pieces.value(), Crc64::of(&data));
    }
}
