//! Frame headers (RFC 9113, section 4.1 and 6), and how a stream of frames is recognised.

use crate::detect::{Known, Verdict};

/// What a client sends first (RFC 9113, section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Length of a frame header.
pub(super) const HEADER_BYTES: usize = 9;

/// Longest frame unless the peers agree on more (RFC 9113, section 6.5.2).
const PAYLOAD_BYTES_INITIAL: usize = 16 * 1024;

/// Most settings in the first frame of a connection; there are fewer than ten kinds.
const SETTINGS_MAX: usize = 16;

/// Most bytes of a first DATA frame behind which the next frame is looked at.
const FIRST_DATA_BYTES_MAX: usize = 512;

const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// What a frame is for; other kinds are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    Reset,
    PushPromise,
    Continuation,
    Other,
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    flags: u8,
    pub(super) stream: u32,
    pub(super) payload_bytes: usize,
}

impl Frame {
    /// Reads a header; `None` if no frame can have it.
    pub(super) fn parse(header: [u8; HEADER_BYTES]) -> Option<Self> {
        let [a, b, c, kind, flags, stream @ ..] = header;
        let payload_bytes = u32::from_be_bytes([0, a, b, c]) as usize;
        let stream = u32::from_be_bytes(stream) & 0x7FFF_FFFF;
        let (kind, fits) = match kind {
            0 => (Kind::Data, stream != 0),
            1 => (Kind::Headers, stream != 0 && payload_bytes > 0),
            2 => (Kind::Other, stream != 0 && payload_bytes == 5),
            3 => (Kind::Reset, stream != 0 && payload_bytes == 4),
            4 => (Kind::Other, stream == 0 && is_settings(flags, payload_bytes)),
            5 => (Kind::PushPromise, stream != 0 && payload_bytes > 4),
            6 => (Kind::Other, stream == 0 && payload_bytes == 8),
            7 => (Kind::Other, stream == 0 && payload_bytes >= 8),
            8 => (Kind::Other, payload_bytes == 4),
            9 => (Kind::Continuation, stream != 0),
            _ => (Kind::Other, true),
        };
        let padded = flags & PADDED != 0 && matches!(kind, Kind::Data | Kind::Headers | Kind::PushPromise);
        (fits && payload_bytes >= usize::from(padded)).then_some(Self { kind, flags, stream, payload_bytes })
    }

    /// Whether the stream ends with this frame.
    pub(super) fn ends_stream(&self) -> bool {
        self.flags & END_STREAM != 0 && matches!(self.kind, Kind::Data | Kind::Headers)
    }

    /// Whether a header block ends with this frame.
    pub(super) fn ends_block(&self) -> bool {
        self.flags & END_HEADERS != 0
    }

    /// Whether the payload begins with a length of padding.
    pub(super) fn is_padded(&self) -> bool {
        self.flags & PADDED != 0 && matches!(self.kind, Kind::Data | Kind::Headers | Kind::PushPromise)
    }

    /// Bytes at the start of the payload that are neither header block nor data.
    pub(super) fn lead_bytes(&self) -> usize {
        let more = match self.kind {
            Kind::Headers if self.flags & PRIORITY != 0 => 5,
            Kind::PushPromise => 4,
            _ => 0,
        };
        usize::from(self.is_padded()) + more
    }

    /// Whether flags, stream and length are such as real peers send: what a stream is recognised by.
    fn is_usual(&self, header: &[u8]) -> bool {
        let known = match header[3] {
            0 => END_STREAM | PADDED,
            1 => END_STREAM | END_HEADERS | PADDED | PRIORITY,
            4 | 6 => ACK,
            _ => 0,
        };
        let is_of_request = self.stream % 2 == 1 || self.stream == 0 && matches!(header[3], 4 | 6..=8);
        header[3] <= 9
            && self.flags & !known == 0
            && self.payload_bytes <= PAYLOAD_BYTES_INITIAL
            && self.stream < 1 << 24
            && header[5] == 0
            && is_of_request
            && !matches!(self.kind, Kind::Continuation | Kind::PushPromise)
    }
}

fn is_settings(flags: u8, payload_bytes: usize) -> bool {
    let empty_if_ack = flags & ACK == 0 || payload_bytes == 0;
    payload_bytes.is_multiple_of(6) && empty_if_ack
}

/// Whether bytes begin a connection, or go on in one at a frame: a header of which nothing is unusual, and behind it
/// what can be read of its payload.
pub(crate) fn verdict(bytes: &[u8]) -> Verdict {
    if PREFACE.starts_with(&bytes[..bytes.len().min(PREFACE.len())]) {
        let whole = bytes.len() >= PREFACE.len();
        return if whole { Verdict::Known(Known::Http2) } else { Verdict::Wait };
    }
    let Some((header, payload)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return if bytes.first() == Some(&0) { Verdict::Wait } else { Verdict::Other };
    };
    let Some(frame) = Frame::parse(*header).filter(|frame| frame.is_usual(header)) else {
        return Verdict::Other;
    };
    match frame.kind {
        Kind::Data => behind_data(&frame, payload),
        Kind::Headers => headers(&frame, payload),
        _ if header[3] == 4 && frame.payload_bytes > SETTINGS_MAX * 6 => Verdict::Other,
        _ => Verdict::Known(Known::Http2),
    }
}

/// Data can be anything: the next frame decides.
fn behind_data(frame: &Frame, payload: &[u8]) -> Verdict {
    if frame.payload_bytes > FIRST_DATA_BYTES_MAX {
        return Verdict::Other;
    }
    let next = payload.get(frame.payload_bytes..).and_then(|rest| rest.first_chunk::<HEADER_BYTES>());
    match next.map(|header| (header, Frame::parse(*header))) {
        None => Verdict::Wait,
        Some((header, Some(next))) if next.is_usual(header) => Verdict::Known(Known::Http2),
        Some(_) => Verdict::Other,
    }
}

/// A block begins with a pseudo-header, by number or name, or with what may be one that was seen before.
fn headers(frame: &Frame, payload: &[u8]) -> Verdict {
    match payload.get(frame.lead_bytes()) {
        None => Verdict::Wait,
        Some(0x81..=0x8E | 0xBE.. | 0x41..=0x4E | 0x01..=0x0E | 0x11..=0x1E | 0x20..=0x3F) => {
            Verdict::Known(Known::Http2)
        }
        Some(_) => Verdict::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        let http2 = Verdict::Known(Known::Http2);
        let data = [b"\0\0\x02\0\x01\0\0\0\x05hi" as &[u8], b"\0\0\x08\x06\0\0\0\0\0"].concat();
        let data_and_more = [&data[..11], b"{\"a\":1}\r\n"].concat();
        let cases: &[(&[u8], Verdict, &str)] = &[
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0", http2, "preface"),
            (b"PRI * HTTP/2.0\r\n\r\nSM", Verdict::Wait, "part of the preface"),
            (b"PRI * HTTP/1.1", Verdict::Other, "not the preface"),
            (b"\0", Verdict::Wait, "one zero"),
            (b"\0\0\x06\x04\0\0\0\0\0", http2, "settings"),
            (b"\0\0\x07\x04\0\0\0\0\0", Verdict::Other, "settings of odd length"),
            (b"\0\0\x06\x04\0\0\0\0\x01", Verdict::Other, "settings of a stream"),
            (b"\0\0\x06\x04\x01\0\0\0\0", Verdict::Other, "an acknowledgement with content"),
            (b"\0\0\x04\x08\0\0\0\0\x07", http2, "window update"),
            (b"\0\0\x04\x08\x01\0\0\0\x07", Verdict::Other, "with a flag it does not have"),
            (b"\0\0\x20\x01\x05\0\0\0\x03\x82", http2, "headers"),
            (b"\0\0\x20\x01\x05\0\0\0\x03\x50", Verdict::Other, "headers that begin with a cookie"),
            (b"\0\0\x20\x01\x05\0\0\0\x04\x82", Verdict::Other, "of a pushed stream"),
            (b"\0\0\x20\x01\x25\0\0\0\x03\0\0\0\0\x10\x82", http2, "with priority"),
            (&data, http2, "data and another frame"),
            (&data[..15], Verdict::Wait, "data and a part of a frame"),
            (&data_and_more, Verdict::Other, "data and no frame"),
            (b"\0\0\0\0\0\0\0\0\0", Verdict::Other, "zeroes"),
            (b"\0\0\0\x52\0\x03\0\0user\0", Verdict::Other, "a start of PostgreSQL"),
        ];
        for (bytes, expected, name) in cases {
            assert_eq!(verdict(bytes), *expected, "{name}");
        }
    }

    #[test]
    fn padding_must_fit() {
        assert_eq!(Frame::parse(*b"\0\0\0\0\x08\0\0\0\x01"), None);
        let frame = Frame::parse(*b"\0\0\x10\x01\x2C\0\0\0\x01").expect("a frame");
        assert_eq!((frame.lead_bytes(), frame.ends_block(), frame.ends_stream()), (6, true, false));
    }
}
