//! Deflate in its three wrappings, by flate2.

use flate2::{Decompress, FlushDecompress, Status};

use super::{Step, Stop};

/// How far deflate looks back (RFC 1951, section 2).
pub(super) const WINDOW_BYTES: usize = 32 << 10;

/// First byte of a gzip member.
const MEMBER: u8 = 0x1F;

/// See the module.
pub(crate) struct Inflate {
    state: Decompress,
    wrapping: Wrapping,
    /// A member ended, and another may follow.
    between: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrapping {
    Gzip,
    Raw,
    /// The first byte tells.
    ZlibOrRaw,
}

impl Inflate {
    pub(super) fn gzip() -> Self {
        Self { state: gzip_member(), wrapping: Wrapping::Gzip, between: false }
    }

    pub(super) fn raw() -> Self {
        Self { state: Decompress::new(false), wrapping: Wrapping::Raw, between: false }
    }

    pub(super) fn zlib_or_raw() -> Self {
        Self { wrapping: Wrapping::ZlibOrRaw, ..Self::raw() }
    }

    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        let Some(first) = input.first() else { return self.inflate(input, output) };
        if self.wrapping == Wrapping::ZlibOrRaw {
            self.state = Decompress::new(is_zlib(*first));
            self.wrapping = Wrapping::Raw;
        }
        if self.between {
            if *first != MEMBER {
                return Step { stop: Some(Stop::End), ..Step::default() };
            }
            *self = Self::gzip();
        }
        self.inflate(input, output)
    }

    fn inflate(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        let (before_in, before_out) = (self.state.total_in(), self.state.total_out());
        let status = self.state.decompress(input, output, FlushDecompress::None);
        let stop = match status {
            Ok(Status::Ok | Status::BufError) => None,
            Ok(Status::StreamEnd) if self.wrapping == Wrapping::Gzip => {
                self.between = true;
                None
            }
            Ok(Status::StreamEnd) => Some(Stop::End),
            Err(_) => Some(Stop::Corrupt),
        };
        let read = (self.state.total_in() - before_in) as usize;
        Step { read, made: (self.state.total_out() - before_out) as usize, stop }
    }
}

fn gzip_member() -> Decompress {
    /// The logarithm of [`WINDOW_BYTES`].
    const WINDOW_BITS: u8 = 15;
    Decompress::new_gzip(WINDOW_BITS)
}

/// Whether the first byte is that of a zlib header (RFC 1950, section 2.2): as raw deflate it would begin a stored block.
const fn is_zlib(first: u8) -> bool {
    first & 0x0F == 8 && first >> 4 <= 7
}
