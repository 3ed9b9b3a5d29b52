//! Nix's own base-32: 32 characters without `e`, `o`, `t` and `u`, the least significant digit last.
//!
//! Not RFC 4648: the bytes are read as one little-endian number, and the digits are printed from the top.

/// The digits in the order of their value.
pub const ALPHABET: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";

/// The value of each byte as a digit, or `0xff`.
const VALUES: [u8; 256] = {
    let mut values = [0xff; 256];
    let mut digit = 0;
    while digit < 32 {
        values[ALPHABET[digit] as usize] = digit as u8;
        digit += 1;
    }
    values
};

/// How many characters `bytes` bytes take.
pub const fn encoded_len(bytes: usize) -> usize {
    (bytes * 8).div_ceil(5)
}

/// Is this byte one of the 32 digits?
pub const fn is_digit(byte: u8) -> bool {
    VALUES[byte as usize] != 0xff
}

/// Appends the encoding of `bytes` to `out`.
pub fn encode_into(bytes: &[u8], out: &mut String) {
    for position in (0..encoded_len(bytes.len())).rev() {
        let bit = position * 5;
        let (index, shift) = (bit / 8, bit % 8);
        let low = bytes[index] >> shift;
        let high = match bytes.get(index + 1) {
            Some(next) if shift > 3 => next << (8 - shift),
            _ => 0,
        };
        out.push(ALPHABET[usize::from((low | high) & 0x1f)] as char);
    }
}

/// The encoding of `bytes`.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(encoded_len(bytes.len()));
    encode_into(bytes, &mut out);
    out
}

/// Decodes `text` into exactly `out.len()` bytes.
///
/// Returns `false`, with `out` unspecified, when the length is another, a character is not a digit, or the bits
/// beyond the last byte are not zero (so that every value has one spelling).
pub fn decode_into(text: &[u8], out: &mut [u8]) -> bool {
    if text.len() != encoded_len(out.len()) {
        return false;
    }
    out.fill(0);
    for (position, &byte) in text.iter().rev().enumerate() {
        let digit = VALUES[usize::from(byte)];
        if digit == 0xff {
            return false;
        }
        let bit = position * 5;
        let (index, shift) = (bit / 8, bit % 8);
        out[index] |= digit << shift;
        if shift > 3 {
            let carry = digit >> (8 - shift);
            match out.get_mut(index + 1) {
                Some(next) => *next |= carry,
                None if carry != 0 => return false,
                None => {}
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_values() {
        assert_eq!(encode(&[]), "");
        assert_eq!(encode(&[0x1f]), "0z");
        let sha256_of_empty: [u8; 32] = [
            0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae,
            0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
        ];
        assert_eq!(encode(&sha256_of_empty), "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73");
    }

    #[test]
    fn excess_bits_are_refused() {
        let mut out = [0; 1];
        assert!(decode_into(b"7z", &mut out));
        assert!(!decode_into(b"8z", &mut out));
        assert!(!decode_into(b"0e", &mut out));
    }

    proptest! {
        #[test]
        fn round_trip(bytes in proptest::collection::vec(any::<u8>(), 0..70)) {
            let mut back = vec![0; bytes.len()];
            prop_assert!(decode_into(encode(&bytes).as_bytes(), &mut back));
            prop_assert_eq!(back, bytes);
        }
    }
}
