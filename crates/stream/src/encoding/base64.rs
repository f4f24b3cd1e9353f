//! Base64 (RFC 4648) in its two alphabets, over lines.

use super::{Step, Stop};

/// Bits of a character that stands for none.
const NONE: u8 = 0xFF;

/// The six bits of each character.
const BITS: [u8; 256] = bits();

/// Undoes base64. Line ends and other white space are passed over, padding begins anew.
#[derive(Default)]
pub(crate) struct Base64 {
    bits: u32,
    len: u32,
}

impl Base64 {
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        let mut step = Step::default();
        for byte in input {
            if step.made == output.len() {
                break;
            }
            match BITS[usize::from(*byte)] {
                NONE if byte.is_ascii_whitespace() => {}
                NONE if *byte == b'=' => self.len = 0,
                NONE => return Step { stop: Some(Stop::Corrupt), ..step },
                bits => step.made += self.take(bits, &mut output[step.made..]),
            }
            step.read += 1;
        }
        step
    }

    /// Takes six bits; returns how many bytes are complete.
    fn take(&mut self, bits: u8, output: &mut [u8]) -> usize {
        self.bits = self.bits << 6 | u32::from(bits);
        self.len += 6;
        if self.len < 8 {
            return 0;
        }
        self.len -= 8;
        output[0] = (self.bits >> self.len) as u8;
        1
    }
}

/// Whether a byte stands for six bits.
pub(crate) fn is_base64(byte: u8) -> bool {
    BITS[usize::from(byte)] != NONE
}

const fn bits() -> [u8; 256] {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bits = [NONE; 256];
    let mut at = 0;
    while at < ALPHABET.len() {
        bits[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    bits[b'-' as usize] = 62;
    bits[b'_' as usize] = 63;
    bits
}
