//! How sealed reports come from `inspect` to `send`: `[u32 length of the rest][u8 kind][u32 leaks][sealed]`,
//! little endian.
//!
//! *Limits*: a report of [`SEALED_BYTES_MAX`] bytes. A frame that breaks the rules ends the stream: the other
//! side is of the same build.

use cprvagt_report::SEALED_BYTES_MAX;

/// Bytes of the length.
const LENGTH_BYTES: usize = 4;
/// Bytes between the length and the sealed report: kind and leaks.
const HEAD_BYTES: usize = 5;

/// What a sealed report is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum FrameKind {
    /// Leaks and ledgers.
    Report = 0,
    /// Gaps alone.
    Gap = 1,
}

/// One sealed report on its way to the spool.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    /// What it is about.
    pub kind: FrameKind,
    /// How many leaks it tells.
    pub leaks: u32,
    /// The report, 1 to [`SEALED_BYTES_MAX`] bytes.
    pub sealed: Vec<u8>,
}

/// The bytes are no frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadFrame {
    /// The length is that of no frame.
    #[error("a frame of {0} bytes")]
    Length(u32),
    /// The kind is unknown.
    #[error("a frame of kind {0}")]
    Kind(u8),
}

impl Frame {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let length = u32::try_from(HEAD_BYTES + self.sealed.len()).expect("a sealed report is bounded");
        let mut bytes = Vec::with_capacity(LENGTH_BYTES + HEAD_BYTES + self.sealed.len());
        bytes.extend(length.to_le_bytes());
        bytes.push(self.kind as u8);
        bytes.extend(self.leaks.to_le_bytes());
        bytes.extend_from_slice(&self.sealed);
        bytes
    }
}

/// Cuts a stream of bytes into frames.
#[derive(Debug, Default)]
pub struct Frames {
    waiting: Vec<u8>,
}

impl Frames {
    /// Adds bytes, as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// The next whole frame; `None` when more bytes are needed.
    ///
    /// # Errors
    /// What comes next is no frame, and never will be.
    pub fn next(&mut self) -> Result<Option<Frame>, BadFrame> {
        let Some((length, rest)) = self.waiting.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length);
        let bytes = length as usize;
        if !(HEAD_BYTES + 1..=HEAD_BYTES + SEALED_BYTES_MAX).contains(&bytes) {
            return Err(BadFrame::Length(length));
        }
        let Some(frame) = rest.get(..bytes) else { return Ok(None) };
        let kind = match frame[0] {
            0 => FrameKind::Report,
            1 => FrameKind::Gap,
            other => return Err(BadFrame::Kind(other)),
        };
        let leaks = u32::from_le_bytes([frame[1], frame[2], frame[3], frame[4]]);
        let frame = Frame { kind, leaks, sealed: frame[HEAD_BYTES..].to_vec() };
        self.waiting.drain(..LENGTH_BYTES + bytes);
        Ok(Some(frame))
    }

    /// Whether the stream may end here.
    pub fn is_whole(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<Frame> {
        vec![
            Frame { kind: FrameKind::Report, leaks: 200, sealed: vec![1, 2, 3] },
            Frame { kind: FrameKind::Gap, leaks: 0, sealed: vec![0] },
            Frame { kind: FrameKind::Report, leaks: u32::MAX, sealed: vec![9; 70] },
        ]
    }

    fn all(frames: &mut Frames) -> Vec<Frame> {
        core::iter::from_fn(|| frames.next().unwrap()).collect()
    }

    #[test]
    fn frames_come_back_at_every_cut() {
        let bytes: Vec<u8> = frames().iter().flat_map(Frame::encode).collect();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let mut read = Frames::default();
                let mut got = Vec::new();
                for part in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                    read.push(part);
                    got.extend(all(&mut read));
                }
                assert_eq!(got, frames(), "{first} {second}");
                assert!(read.is_whole());
            }
        }
    }

    #[test]
    fn an_unfinished_frame_is_none_and_not_whole() {
        let bytes = frames()[0].encode();
        for cut in 1..bytes.len() {
            let mut read = Frames::default();
            read.push(&bytes[..cut]);
            assert_eq!(read.next(), Ok(None), "{cut}");
            assert!(!read.is_whole(), "{cut}");
        }
    }

    #[test]
    fn the_largest_frame_fits_and_nothing_larger() {
        let largest = Frame { kind: FrameKind::Report, leaks: 1, sealed: vec![0; SEALED_BYTES_MAX] };
        let mut read = Frames::default();
        read.push(&largest.encode());
        assert_eq!(read.next(), Ok(Some(largest)));
        let cases = [
            (vec![0, 0, 0, 0], BadFrame::Length(0)),
            (vec![5, 0, 0, 0], BadFrame::Length(5)),
            (vec![6, 0, 16, 0], BadFrame::Length(0x0010_0006)),
            (vec![0xff; 4], BadFrame::Length(u32::MAX)),
            (vec![6, 0, 0, 0, 2, 0, 0, 0, 0, 0], BadFrame::Kind(2)),
        ];
        for (bytes, expected) in cases {
            let mut read = Frames::default();
            read.push(&bytes);
            assert_eq!(read.next(), Err(expected), "{bytes:?}");
        }
    }
}
