//! Quoted-printable (RFC 2045, section 6.7). Tolerant: what is no escape stays as it stands.

use super::Step;
use crate::escape::hex_pair;

/// Undoes quoted-printable.
#[derive(Default)]
pub(crate) struct Quoted {
    /// An escape that the input ended in: an equals sign and at most one byte.
    held: [u8; 2],
    len: usize,
}

impl Quoted {
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        let mut step = Step::default();
        // What is held may turn out to be no escape, and comes out before the byte that shows it.
        while step.read < input.len() && output.len() - step.made > self.held.len() {
            let byte = input[step.read];
            step.read += 1;
            self.take(byte, &mut |byte| {
                output[step.made] = byte;
                step.made += 1;
            });
        }
        step
    }

    fn take(&mut self, byte: u8, make: &mut dyn FnMut(u8)) {
        match (self.len, byte) {
            (0, b'=') => self.hold(byte),
            (0, _) => make(byte),
            (1, b'\n') => self.len = 0,
            (1, b'\r') => self.hold(byte),
            (1, _) if byte.is_ascii_hexdigit() => self.hold(byte),
            (2, b'\n') if self.held[1] == b'\r' => self.len = 0,
            (2, _) if hex_pair(self.held[1], byte).is_some() => {
                self.len = 0;
                hex_pair(self.held[1], byte).into_iter().for_each(make);
            }
            _ => self.give_up(byte, make),
        }
    }

    fn hold(&mut self, byte: u8) {
        self.held[self.len] = byte;
        self.len += 1;
    }

    /// What was held is no escape; `byte` comes behind it, and may begin one.
    fn give_up(&mut self, byte: u8, make: &mut dyn FnMut(u8)) {
        let held = self.held;
        held.into_iter().take(self.len).for_each(&mut *make);
        self.len = 0;
        self.take(byte, make);
    }
}
