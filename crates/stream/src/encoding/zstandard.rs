//! Zstandard (RFC 8878), by the zstd library.

use zstd::stream::raw::{DParameter, Decoder, Operation};

use super::{Step, Stop, WINDOW_BYTES_MAX};

/// The logarithm of the largest window that a frame may declare: 8 MiB (RFC 9659). The library takes memory for it and
/// touches what it fills.
const WINDOW_BITS_MAX: u32 = 23;

/// First bytes of a frame up to its window: magic number, descriptor, window descriptor.
const HEAD_BYTES: usize = 6;

/// See the module.
pub(crate) struct Zstandard {
    state: Decoder<'static>,
    /// The first bytes of this frame.
    head: [u8; HEAD_BYTES],
    head_len: usize,
    /// Bytes made since the last border between frames.
    made: u64,
}

impl Zstandard {
    pub(super) fn new() -> Option<Self> {
        let mut state = Decoder::new().ok()?;
        state.set_parameter(DParameter::WindowLogMax(WINDOW_BITS_MAX)).ok()?;
        Some(Self { state, head: [0; HEAD_BYTES], head_len: 0, made: 0 })
    }

    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        let new = input.len().min(HEAD_BYTES - self.head_len);
        self.head[self.head_len..][..new].copy_from_slice(&input[..new]);
        let known = self.head_len + new;
        let window = window_bytes(&self.head[..known]);
        if window.is_some_and(|window| window > 1 << WINDOW_BITS_MAX) {
            return Step { stop: Some(Stop::Window), ..Step::default() };
        }
        let is_wide = window.is_some_and(|window| window > WINDOW_BYTES_MAX);
        let room = if is_wide { WINDOW_BYTES_MAX.saturating_sub(self.made) } else { u64::MAX };
        if room == 0 {
            return Step { stop: Some(Stop::Window), ..Step::default() };
        }
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(output.len());
        self.decode(input, &mut output[..room], is_wide)
    }

    fn decode(&mut self, input: &[u8], output: &mut [u8], is_wide: bool) -> Step {
        let Ok(status) = self.state.run_on_buffers(input, output) else {
            // A single segment is its own window, and may be larger than the library was allowed.
            let stop = if is_wide && self.made == 0 { Stop::Window } else { Stop::Corrupt };
            return Step { stop: Some(stop), ..Step::default() };
        };
        self.head_len = HEAD_BYTES.min(self.head_len + status.bytes_read);
        self.made += status.bytes_written as u64;
        let is_border = status.remaining == 0 && status.bytes_read > 0;
        if is_border {
            (self.head_len, self.made) = (0, 0);
        }
        Step { read: status.bytes_read, made: status.bytes_written, stop: None }
    }

    pub(super) fn held_bytes(&self) -> usize {
        let window = window_bytes(&self.head[..self.head_len]).unwrap_or(0);
        window.min(self.made) as usize
    }
}

/// The window that a frame declares (section 3.1.1.1), once its first bytes say so. A frame of a single segment needs
/// its content, which is not known here to be small.
fn window_bytes(head: &[u8]) -> Option<u64> {
    const MAGIC: [u8; 4] = *b"\x28\xB5\x2F\xFD";
    const SINGLE_SEGMENT: u8 = 1 << 5;
    let &[a, b, c, d, descriptor, window] = head else { return None };
    if [a, b, c, d] != MAGIC {
        return None;
    }
    if descriptor & SINGLE_SEGMENT != 0 {
        return Some(1 << WINDOW_BITS_MAX);
    }
    let base = 1u64 << (10 + (window >> 3));
    Some(base + base / 8 * u64::from(window & 7))
}
