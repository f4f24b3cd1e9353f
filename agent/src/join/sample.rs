//! Writes and the kernel programs' records, made by hand for tests.

use cprvagt_abi::{
    FlowEnd, FlowOpen, INLINE_MAX, ProcessExec, ProcessExit, TlsAnswer, TlsData, TlsFile, TlsHello,
    TlsRecord, TlsWrite, TlsWriteEnd, WireData,
};

use super::writes::{Write, Writes};
use crate::record::Record;

/// Bytes of one record: a head, then what is added.
pub struct Bytes(Vec<u8>);

impl Bytes {
    /// A head with this tag.
    pub fn new(tag: u32) -> Self {
        Self([&tag.to_ne_bytes()[..], &[0; 12]].concat())
    }

    /// Written at this time.
    fn at(mut self, ns: u64) -> Self {
        self.0[8..16].copy_from_slice(&ns.to_ne_bytes());
        self
    }

    /// More bytes.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Numbers of 32 bits.
    pub fn u32(self, values: &[u32]) -> Self {
        values.iter().fold(self, |bytes, value| bytes.raw(&value.to_ne_bytes()))
    }

    /// Numbers of 64 bits.
    pub fn u64(self, values: &[u64]) -> Self {
        values.iter().fold(self, |bytes, value| bytes.raw(&value.to_ne_bytes()))
    }

    /// The record, with room behind the payload as the kernel's size classes leave it.
    pub fn with(mut self, payload: &[u8]) -> Vec<u8> {
        self.0[4..8].copy_from_slice(&(payload.len() as u32).to_ne_bytes());
        [&self.0[..], payload, &[0xee; 3]].concat()
    }
}

/// What differs between flows.
#[derive(Clone, Copy)]
pub struct FlowSample {
    pub id: u64,
    pub tgid: u32,
    pub protocol: u32,
    pub kind: u32,
    pub verdict: u32,
    pub role: u32,
    pub remote: [u8; 4],
    pub port: u32,
    pub local_port: u32,
    pub wire_bytes: u64,
    pub lost_bytes: u64,
    pub blind_bytes: u64,
    pub header_len: u32,
    pub opened_ns: u64,
    /// What the socket is connected to.
    pub asked: Option<(std::net::Ipv4Addr, u32)>,
}

impl FlowSample {
    /// A flow to 203.0.113.`id`:443, opened by process `tgid`.
    pub fn tcp(id: u64, tgid: u32, kind: cprvagt_abi::Kind) -> Self {
        Self {
            id,
            tgid,
            protocol: 6,
            kind: kind as u32,
            verdict: 0,
            role: 1,
            remote: [203, 0, 113, id as u8],
            port: 443,
            local_port: 40_000,
            wire_bytes: 0,
            lost_bytes: 0,
            blind_bytes: 0,
            header_len: 0,
            opened_ns: 0,
            asked: None,
        }
    }

    fn put(&self, bytes: Bytes) -> Bytes {
        let mapped = [&[0; 10][..], &[0xff, 0xff], &self.remote].concat();
        bytes
            .u64(&[self.id, self.wire_bytes, self.lost_bytes, self.blind_bytes])
            .raw(&mapped)
            .raw(&[0; 16])
            .raw(&self.asked.map_or([0; 16], |(address, _)| address.to_ipv6_mapped().octets()))
            .u32(&[self.port, self.local_port, self.asked.map_or(0, |(_, port)| port)])
            .u32(&[self.protocol, self.kind, self.verdict, 0, 0, 0, 0])
            .raw(&[0; 8])
            .u32(&[self.header_len, 1, 0, 0])
            .u32(&[self.tgid, 0])
            .u64(&[0])
            .raw(b"sample\0\0\0\0\0\0\0\0\0\0")
            .u32(&[self.role, 0])
    }

    pub fn opening(&self) -> Vec<u8> {
        self.put(Bytes::new(FlowOpen::TAG).at(self.opened_ns).raw(&[0; 32])).with(b"")
    }

    pub fn end(&self) -> Vec<u8> {
        self.put(Bytes::new(FlowEnd::TAG)).with(b"")
    }

    pub fn kernel(&self) -> cprvagt_abi::Flow {
        match Record::parse(&self.end()) {
            Ok(Record::FlowEnd(end)) => end.flow,
            _ => unreachable!("it is one"),
        }
    }
}

pub fn wire_data(
    flow: &FlowSample,
    seq: u32,
    (offset, left, segment): (u32, u32, u32),
    payload: &[u8],
) -> Vec<u8> {
    let bytes = Bytes::new(WireData::TAG).u64(&[flow.id, flow.wire_bytes, flow.lost_bytes]);
    bytes.u32(&[seq, offset, left, segment]).with(payload)
}

pub fn hello(flow: &FlowSample, random: u8, payload: &[u8]) -> Vec<u8> {
    let bytes = Bytes::new(TlsHello::TAG).u64(&[flow.id]).raw(&[random; 32]);
    bytes.u32(&[0, flow.verdict, flow.tgid, 0]).with(payload)
}

pub fn answer(flow: u64, payload: &[u8]) -> Vec<u8> {
    Bytes::new(TlsAnswer::TAG).u64(&[flow]).with(payload)
}

pub fn tls_record(flow: u64, content: u32, length: u32) -> Vec<u8> {
    Bytes::new(TlsRecord::TAG).u64(&[flow]).u32(&[0, length, content, 0]).with(b"")
}

/// What differs between calls of a writing function.
#[derive(Clone, Copy)]
pub struct CallSample {
    pub write: u64,
    pub flow: u64,
    pub session: u64,
    pub buffer: u64,
    pub random: u8,
    pub tgid: u32,
    pub tid: u32,
    pub function: u32,
}

impl Default for CallSample {
    fn default() -> Self {
        Self {
            write: 1,
            flow: 0,
            session: 0x5e55,
            buffer: 0x1000,
            random: 0,
            tgid: 4_000_001,
            tid: 4_000_001,
            function: 1,
        }
    }
}

impl CallSample {
    /// The head of a write of `length` bytes that brings `payload`.
    pub fn head(&self, length: u64, payload: &[u8]) -> Vec<u8> {
        Bytes::new(TlsWrite::TAG)
            .u64(&[self.write, self.flow, self.session, self.buffer, length])
            .raw(&[self.random; 32])
            .u32(&[self.tgid, self.tid, self.function, 0])
            .raw(b"sample\0\0\0\0\0\0\0\0\0\0")
            .u64(&[0])
            .with(payload)
    }

    pub fn data(&self, offset: u64, payload: &[u8]) -> Vec<u8> {
        Bytes::new(TlsData::TAG).u64(&[self.write, offset]).with(payload)
    }

    pub fn end(&self, lost: u64, skipped: u64) -> Vec<u8> {
        Bytes::new(TlsWriteEnd::TAG).u64(&[self.write, lost, skipped]).with(b"")
    }

    /// In place of bytes and end: a part of a file that begins where `buffer` says.
    pub fn file(&self, length: u64) -> TlsFile {
        let bytes = Bytes::new(TlsFile::TAG).u64(&[self.write, self.buffer, length]);
        match Record::parse(&bytes.u32(&[self.tgid, 9]).with(b"")) {
            Ok(Record::TlsFile(file)) => file,
            _ => unreachable!("it is one"),
        }
    }

    /// All records of a write, as the TLS tap makes them.
    pub fn records(&self, content: &[u8]) -> Vec<Vec<u8>> {
        if content.len() as u64 <= INLINE_MAX {
            return vec![self.head(content.len() as u64, content)];
        }
        let chunks = content.chunks(cprvagt_abi::CHUNK_MAX).enumerate();
        let data = chunks.map(|(index, chunk)| self.data((index * cprvagt_abi::CHUNK_MAX) as u64, chunk));
        let head = self.head(content.len() as u64, b"");
        std::iter::once(head).chain(data).chain([self.end(0, 0)]).collect()
    }

    /// The write, put together.
    pub fn whole(&self, content: &[u8]) -> Write {
        let mut writes = Writes::default();
        self.records(content)
            .iter()
            .flat_map(|bytes| feed(&mut writes, bytes))
            .next()
            .expect("the last record ends the write")
    }
}

/// What comes out of `writes` for one record.
pub fn feed(writes: &mut Writes, bytes: &[u8]) -> Vec<Write> {
    match Record::parse(bytes) {
        Ok(Record::TlsWrite(call, payload)) => writes.begin(call, payload),
        Ok(Record::TlsData(data, payload)) => writes.data(&data, payload),
        Ok(Record::TlsWriteEnd(end)) => writes.end(&end).into_iter().collect(),
        _ => panic!("no record of a write"),
    }
}

pub fn exec(tgid: u32) -> Vec<u8> {
    Bytes::new(ProcessExec::TAG).u32(&[tgid, 0]).with(b"")
}

pub fn exit(tgid: u32) -> Vec<u8> {
    Bytes::new(ProcessExit::TAG).u32(&[tgid, 0]).with(b"")
}
