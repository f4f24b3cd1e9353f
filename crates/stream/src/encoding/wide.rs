//! UTF-16, made to UTF-8. What is no character becomes U+FFFD.

use super::Step;

/// Which byte of a code unit comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    LowFirst,
    HighFirst,
}

/// Makes UTF-8 of UTF-16.
pub(crate) struct Wide {
    order: Order,
    /// The first byte of a unit.
    first: Option<u8>,
    /// The first unit of a pair.
    high: Option<u16>,
}

/// Bytes of UTF-8 that one unit may lead to: a lone unit before it, and itself.
const UNIT_BYTES_MAX: usize = 6;

impl Wide {
    pub(super) const fn new(order: Order) -> Self {
        Self { order, first: None, high: None }
    }

    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        let mut step = Step::default();
        for byte in input {
            if output.len() - step.made < UNIT_BYTES_MAX {
                break;
            }
            step.read += 1;
            let Some(first) = self.first.take() else {
                self.first = Some(*byte);
                continue;
            };
            let unit = match self.order {
                Order::LowFirst => u16::from_le_bytes([first, *byte]),
                Order::HighFirst => u16::from_be_bytes([first, *byte]),
            };
            step.made += self.take(unit, &mut output[step.made..]);
        }
        step
    }

    /// Takes a unit; returns how many bytes it made.
    fn take(&mut self, unit: u16, output: &mut [u8]) -> usize {
        let is_high = (0xD800..0xDC00).contains(&unit);
        if is_high && self.high.is_none() {
            self.high = Some(unit);
            return 0;
        }
        let units = self.high.take().into_iter().chain([unit]);
        let mut made = 0;
        for character in char::decode_utf16(units) {
            let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
            made += character.encode_utf8(&mut output[made..]).len();
        }
        made
    }
}
