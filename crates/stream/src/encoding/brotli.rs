//! Brotli (RFC 7932), by brotli-decompressor.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::{Step, Stop, WINDOW_BYTES_MAX};

type State = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

/// See the module.
pub(crate) struct Brotli {
    state: State,
    /// What the first byte says of the window.
    window: Option<u64>,
    made: u64,
}

impl Default for Brotli {
    fn default() -> Self {
        let alloc = StandardAlloc::default;
        Self { state: State::new(alloc(), alloc(), alloc()), window: None, made: 0 }
    }
}

impl Brotli {
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        let Some(window) = self.window.or_else(|| input.first().map(|first| window_bytes(*first))) else {
            return Step::default();
        };
        self.window = Some(window);
        let room =
            if window > WINDOW_BYTES_MAX { WINDOW_BYTES_MAX.saturating_sub(self.made) } else { u64::MAX };
        if room == 0 {
            return Step { stop: Some(Stop::Window), ..Step::default() };
        }
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(output.len());
        self.decode(input, &mut output[..room])
    }

    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        let (mut left, mut read, mut room, mut made, mut total) = (input.len(), 0, output.len(), 0, 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut read,
            input,
            &mut room,
            &mut made,
            output,
            &mut total,
            &mut self.state,
        );
        self.made += made as u64;
        let stop = match result {
            BrotliResult::ResultSuccess => Some(Stop::End),
            BrotliResult::ResultFailure => Some(Stop::Corrupt),
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => None,
        };
        Step { read, made, stop }
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.window.map_or(0, |window| window.min(self.made)) as usize
    }
}

/// The window that a stream declares by its first bits (section 9.1), rounded up.
const fn window_bytes(first: u8) -> u64 {
    let bits = match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, ..) => 16,
        (_, 0, 0) => 17,
        (_, 0, low) => 8 + low,
        (_, high, _) => 17 + high,
    };
    1 << bits
}
