//! The framing of capture files, pcap and pcapng.

use std::io::Read;

use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader, traits::PcapReaderIterator};

/// Longest packet with its framing, in bytes: far beyond what any link carries.
pub const BLOCK_BYTES_MAX: usize = 16 << 20;
/// Bytes that are read at a time.
const READ_BYTES: usize = 256 << 10;
/// Interfaces of one section of a pcapng file; packets of others are not understood.
const INTERFACES_MAX: usize = 4096;

/// Why a file cannot be read as a capture.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// It begins like neither format.
    #[error("it is neither pcap nor pcapng")]
    NoCapture,
    /// Its framing is broken behind that many packets.
    #[error("it is damaged behind {0} packets")]
    Damaged(u64),
    /// The system would not read it.
    #[error("it cannot be read")]
    Unreadable,
}

/// A packet as it was captured.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Its place in the file, from 1.
    pub number: u64,
    /// What the first header is.
    pub(crate) link: Linktype,
    /// The bytes that were kept.
    pub(crate) bytes: &'a [u8],
    /// How many it had on the wire.
    pub(crate) wire_len: u32,
}

/// Reads a capture from its beginning, packet by packet. Returns whether it came to its end: a capture that was being
/// written, or whose end was cut off, breaks off within a packet.
///
/// # Errors
/// It is no capture, is damaged, or cannot be read.
pub fn read(input: impl Read + Send, take: &mut dyn FnMut(Packet<'_>)) -> Result<bool, CaptureError> {
    let mut reader = create_reader(READ_BYTES, input).map_err(|error| match error {
        PcapError::ReadError => CaptureError::Unreadable,
        _ => CaptureError::NoCapture,
    })?;
    let (mut links, mut number) = (Links::default(), 0);
    loop {
        match reader.next() {
            Ok((len, block)) => {
                number += u64::from(links.take(&block, number + 1, take));
                reader.consume(len);
            }
            Err(PcapError::Eof) => return Ok(true),
            Err(PcapError::Incomplete(_) | PcapError::BufferTooSmall | PcapError::UnexpectedEof) => {
                if reader.data().len() >= BLOCK_BYTES_MAX {
                    return Err(CaptureError::Damaged(number));
                }
                if !more(reader.as_mut()).map_err(|()| CaptureError::Unreadable)? {
                    return Ok(reader.data().is_empty());
                }
            }
            Err(PcapError::ReadError) => return Err(CaptureError::Unreadable),
            Err(_) => return Err(CaptureError::Damaged(number)),
        }
    }
}

/// Reads on, into a longer buffer where this one is full; false where nothing more comes.
fn more(reader: &mut dyn PcapReaderIterator) -> Result<bool, ()> {
    let before = reader.data().len();
    if reader.reader_exhausted() {
        return Ok(false);
    }
    reader.grow((before * 2).clamp(READ_BYTES, BLOCK_BYTES_MAX));
    reader.refill().map_err(drop)?;
    Ok(reader.data().len() > before || !reader.reader_exhausted())
}

/// What the first headers of packets are, by interface.
#[derive(Default)]
struct Links(Vec<(Linktype, u32)>);

impl Links {
    /// Hands on the packet of a block, and says whether there is one.
    fn take(&mut self, block: &PcapBlockOwned<'_>, number: u64, take: &mut dyn FnMut(Packet<'_>)) -> bool {
        let (interface, bytes, kept_len, wire_len) = match block {
            PcapBlockOwned::LegacyHeader(header) => {
                self.0 = vec![(header.network, header.snaplen)];
                return false;
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => {
                self.0.clear();
                return false;
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(it)) => {
                if self.0.len() < INTERFACES_MAX {
                    self.0.push((it.linktype, it.snaplen));
                }
                return false;
            }
            PcapBlockOwned::Legacy(it) => (0, it.data, it.caplen, it.origlen),
            PcapBlockOwned::NG(Block::EnhancedPacket(it)) => {
                (it.if_id as usize, it.data, it.caplen, it.origlen)
            }
            PcapBlockOwned::NG(Block::SimplePacket(it)) => {
                let snaplen = self.0.first().map_or(0, |(_, snaplen)| *snaplen);
                let kept = if snaplen == 0 { it.origlen } else { it.origlen.min(snaplen) };
                (0, it.data, kept, it.origlen)
            }
            PcapBlockOwned::NG(_) => return false,
        };
        let kept_len = usize::try_from(kept_len).unwrap_or(usize::MAX).min(bytes.len());
        if let Some((link, _)) = self.0.get(interface) {
            take(Packet { number, link: *link, bytes: &bytes[..kept_len], wire_len });
        }
        true
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
