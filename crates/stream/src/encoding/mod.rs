//! Encodings of whole contents, undone as the bytes come.
//!
//! *Invariants*: work is linear in bytes in and out; what was made before an error stands.
//!
//! *Limits*: a decompressor looks back [`WINDOW_BYTES_MAX`]. The windows of decompressors are memory of their libraries,
//! which is not wiped.

mod base64;
mod brotli;
mod inflate;
mod quoted;
mod wide;
mod zstandard;

use crate::plain::Plain;
use crate::window::Decoding;
use brotli::Brotli;
use inflate::Inflate;
use zstandard::Zstandard;

pub(crate) use base64::{Base64, is_base64};
pub(crate) use quoted::Quoted;
pub(crate) use wide::{Order, Wide};

/// How far decompressors look back. Of content that may look further back, so much is decoded.
pub(crate) const WINDOW_BYTES_MAX: u64 = 1 << 20;

/// First bytes that tell an encoding: RFC 1952, RFC 8878, and the byte order marks of UTF-16.
const MAGICS: [(&[u8], Coding); 4] = [
    (b"\x1F\x8B\x08", Coding::Gzip),
    (b"\x28\xB5\x2F\xFD", Coding::Zstd),
    (b"\xFF\xFE", Coding::Wide(Order::LowFirst)),
    (b"\xFE\xFF", Coding::Wide(Order::HighFirst)),
];

/// Room for output with which every decoder makes something of its input.
const STEP_BYTES_MIN: usize = 8;

/// An encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// RFC 1952, several members in a row too.
    Gzip,
    /// RFC 1950, or what many send instead: RFC 1951 alone.
    Deflate,
    /// RFC 1951.
    Inflate,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
    /// RFC 4648, lines and both alphabets.
    Base64,
    /// RFC 2045, section 6.7.
    Quoted,
    /// UTF-16, made to UTF-8.
    Wide(Order),
    /// One that is not known.
    Unknown,
}

impl Coding {
    /// The encoding of that name in a Content-Encoding, Transfer-Encoding or Content-Transfer-Encoding; `None` where
    /// nothing is encoded.
    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        let name = name.trim_ascii();
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let plain = ["", "identity", "chunked", "7bit", "8bit", "binary", "aws-chunked"];
        Some(match () {
            () if plain.into_iter().any(is) => return None,
            () if is("gzip") || is("x-gzip") => Self::Gzip,
            () if is("deflate") => Self::Deflate,
            () if is("br") => Self::Brotli,
            () if is("zstd") => Self::Zstd,
            () if is("base64") => Self::Base64,
            () if is("quoted-printable") => Self::Quoted,
            () => Self::Unknown,
        })
    }

    /// The encoding that content which begins so has, if its first bytes tell.
    pub(crate) fn by_magic(start: &[u8]) -> Option<Self> {
        MAGICS.into_iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, coding)| coding)
    }

    /// Whether the first bytes of an encoding may begin so.
    pub(crate) fn may_be_magic(start: &[u8]) -> bool {
        MAGICS.iter().any(|(magic, _)| magic.starts_with(start))
    }

    /// What a report calls it.
    pub(crate) const fn decoding(self) -> Option<Decoding> {
        Some(match self {
            Self::Gzip => Decoding::Gzip,
            Self::Deflate | Self::Inflate => Decoding::Deflate,
            Self::Brotli => Decoding::Brotli,
            Self::Zstd => Decoding::Zstd,
            Self::Base64 => Decoding::Base64,
            Self::Quoted => Decoding::QuotedPrintable,
            Self::Wide(_) => Decoding::Utf16,
            Self::Unknown => return None,
        })
    }

    /// What short content reads as, as far as it is so encoded.
    pub(crate) fn decoded(self, bytes: &[u8]) -> Plain {
        let mut plain = Plain::from(vec![0; bytes.len() + STEP_BYTES_MIN]);
        let step = self.decoder().map(|mut decoder| decoder.step(bytes, plain.as_mut_slice()));
        plain.truncate(step.map_or(0, |step| step.made));
        plain
    }

    /// What undoes it; `None` if nothing here does.
    pub(crate) fn decoder(self) -> Option<Decoder> {
        Some(match self {
            Self::Gzip => Decoder::Inflate(Inflate::gzip()),
            Self::Deflate => Decoder::Inflate(Inflate::zlib_or_raw()),
            Self::Inflate => Decoder::Inflate(Inflate::raw()),
            Self::Brotli => Decoder::Brotli(Box::default()),
            Self::Zstd => Decoder::Zstd(Zstandard::new()?),
            Self::Base64 => Decoder::Base64(Base64::default()),
            Self::Quoted => Decoder::Quoted(Quoted::default()),
            Self::Wide(order) => Decoder::Wide(Wide::new(order)),
            Self::Unknown => return None,
        })
    }
}

/// Undoes an encoding.
pub(crate) enum Decoder {
    Inflate(Inflate),
    Brotli(Box<Brotli>),
    Zstd(Zstandard),
    Base64(Base64),
    Quoted(Quoted),
    Wide(Wide),
}

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// Bytes that were read.
    pub(crate) read: usize,
    /// Bytes that were made.
    pub(crate) made: usize,
    /// Why no further step can be made.
    pub(crate) stop: Option<Stop>,
}

/// Why a decoder takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The encoded content is complete.
    End,
    /// It is not so encoded, or damaged.
    Corrupt,
    /// It may look further back than is kept.
    Window,
    /// It becomes too much.
    Limit,
}

impl Decoder {
    /// Reads some of `input` and makes some of `output`. Where neither, it waits for more input.
    pub(crate) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        match self {
            Self::Inflate(decoder) => decoder.step(input, output),
            Self::Brotli(decoder) => decoder.step(input, output),
            Self::Zstd(decoder) => decoder.step(input, output),
            Self::Base64(decoder) => decoder.step(input, output),
            Self::Quoted(decoder) => decoder.step(input, output),
            Self::Wide(decoder) => decoder.step(input, output),
        }
    }

    /// Captured bytes that it holds at most, now.
    pub(crate) fn held_bytes(&self) -> usize {
        match self {
            Self::Inflate(_) => inflate::WINDOW_BYTES,
            Self::Brotli(decoder) => decoder.held_bytes(),
            Self::Zstd(decoder) => decoder.held_bytes(),
            Self::Base64(_) | Self::Quoted(_) | Self::Wide(_) => 0,
        }
    }
}

#[cfg(test)]
#[path = "encoding_tests.rs"]
mod tests;
