//! Decoding what the kernel programs wrote.
//!
//! *Invariants*: nothing about a record is believed: not its tag, not its lengths. What cannot be read
//! is named, counted and left.

use cprvagt_abi::{
    FlowEnd, FlowOpen, Head, ProcessExec, ProcessExit, ProcessSeen, SiteTwice, TlsAnswer, TlsData, TlsFile,
    TlsHello, TlsRecord, TlsWrite, TlsWriteEnd, WireData,
};
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// One record, with its payload where it has one.
pub enum Record<'a> {
    /// A flow carried payload for the first time.
    FlowOpen(FlowOpen),
    /// A flow's socket closed.
    FlowEnd(FlowEnd),
    /// Payload of a plaintext flow.
    WireData(WireData, &'a [u8]),
    /// A ClientHello.
    TlsHello(TlsHello, &'a [u8]),
    /// A ServerHello.
    TlsAnswer(TlsAnswer, &'a [u8]),
    /// The header of a TLS record.
    TlsRecord(TlsRecord),
    /// A TLS write; short ones bring their bytes along.
    TlsWrite(TlsWrite, &'a [u8]),
    /// Bytes of a TLS write.
    TlsData(TlsData, &'a [u8]),
    /// The end of a TLS write.
    TlsWriteEnd(TlsWriteEnd),
    /// A TLS write of a part of a file.
    TlsFile(TlsFile),
    /// A process is seen for the first time.
    ProcessSeen(ProcessSeen),
    /// A process became another program.
    ProcessExec(ProcessExec),
    /// A process ended.
    ProcessExit(ProcessExit),
    /// Two probes fire for one call.
    SiteTwice(SiteTwice),
}

/// Why a record could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// A tag that this agent does not know.
    #[error("record with unknown tag {tag}: kernel programs and agent are of different versions")]
    UnknownTag {
        /// The tag.
        tag: u32,
    },
    /// Fewer bytes than the record says or needs.
    #[error("record with tag {tag} cut short: {have} bytes")]
    Truncated {
        /// The tag; 0 when even that is missing.
        tag: u32,
        /// Bytes there.
        have: usize,
    },
}

impl BadRecord {
    /// Counts it; the first is told. They come in floods or not at all.
    pub fn note(self, count: &mut u64) {
        *count += 1;
        if *count == 1 {
            tracing::warn!(bad = %self, "a record of the kernel programs was left out");
        }
    }
}

impl<'a> Record<'a> {
    /// Reads one record of the ring.
    ///
    /// # Errors
    /// An unknown tag, or too few bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BadRecord> {
        let (head, _) =
            Head::read_from_prefix(bytes).map_err(|_| BadRecord::Truncated { tag: 0, have: bytes.len() })?;
        let cut = Reader { head, bytes };
        Ok(match head.tag {
            FlowOpen::TAG => Self::FlowOpen(cut.fixed()?.0),
            FlowEnd::TAG => Self::FlowEnd(cut.fixed()?.0),
            WireData::TAG => cut.with_payload(Self::WireData)?,
            TlsHello::TAG => cut.with_payload(Self::TlsHello)?,
            TlsAnswer::TAG => cut.with_payload(Self::TlsAnswer)?,
            TlsRecord::TAG => Self::TlsRecord(cut.fixed()?.0),
            TlsWrite::TAG => cut.with_payload(Self::TlsWrite)?,
            TlsData::TAG => cut.with_payload(Self::TlsData)?,
            TlsWriteEnd::TAG => Self::TlsWriteEnd(cut.fixed()?.0),
            TlsFile::TAG => Self::TlsFile(cut.fixed()?.0),
            ProcessSeen::TAG => Self::ProcessSeen(cut.fixed()?.0),
            ProcessExec::TAG => Self::ProcessExec(cut.fixed()?.0),
            ProcessExit::TAG => Self::ProcessExit(cut.fixed()?.0),
            SiteTwice::TAG => Self::SiteTwice(cut.fixed()?.0),
            tag => return Err(BadRecord::UnknownTag { tag }),
        })
    }
}

struct Reader<'a> {
    head: Head,
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn fixed<T: FromBytes + Immutable + KnownLayout>(&self) -> Result<(T, &'a [u8]), BadRecord> {
        T::read_from_prefix(self.bytes).map_err(|_| self.truncated())
    }

    fn with_payload<T: FromBytes + Immutable + KnownLayout>(
        &self,
        record: fn(T, &'a [u8]) -> Record<'a>,
    ) -> Result<Record<'a>, BadRecord> {
        let (fixed, rest) = self.fixed::<T>()?;
        let payload = rest.get(..self.head.payload_len as usize).ok_or_else(|| self.truncated())?;
        Ok(record(fixed, payload))
    }

    fn truncated(&self) -> BadRecord {
        BadRecord::Truncated { tag: self.head.tag, have: self.bytes.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire_data(payload_len: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(WireData::TAG.to_ne_bytes());
        bytes.extend(payload_len.to_ne_bytes());
        bytes.extend(7u64.to_ne_bytes());
        bytes.resize(size_of::<WireData>(), 0);
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn payload_ends_where_the_head_says_and_room_behind_it_is_ignored() {
        let bytes = wire_data(3, b"abc-room");
        assert!(matches!(Record::parse(&bytes), Ok(Record::WireData(_, b"abc"))));
    }

    #[test]
    fn every_cut_of_a_record_is_an_error_that_names_the_tag() {
        let bytes = wire_data(3, b"abc");
        for len in 0..bytes.len() {
            let tag = if len < size_of::<Head>() { 0 } else { WireData::TAG };
            assert_eq!(
                Record::parse(&bytes[..len]).err(),
                Some(BadRecord::Truncated { tag, have: len }),
                "{len}"
            );
        }
    }

    #[test]
    fn a_payload_length_beyond_the_record_is_an_error() {
        let bytes = wire_data(u32::MAX, b"abc");
        assert!(matches!(Record::parse(&bytes), Err(BadRecord::Truncated { .. })));
    }

    #[test]
    fn an_unknown_tag_is_an_error() {
        let mut bytes = wire_data(0, b"");
        bytes[..4].copy_from_slice(&999u32.to_ne_bytes());
        assert_eq!(Record::parse(&bytes).err(), Some(BadRecord::UnknownTag { tag: 999 }));
    }
}
