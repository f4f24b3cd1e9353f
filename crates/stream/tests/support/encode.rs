//! The other way round: encodes content as programs do.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::Write;

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

pub fn gzip(plain: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain.as_ref()).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

pub fn zlib(plain: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain.as_ref()).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

pub fn deflate(plain: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain.as_ref()).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

pub fn brotli(plain: impl AsRef<[u8]>) -> Vec<u8> {
    let parameters = ::brotli::enc::BrotliEncoderParams { lgwin: 18, quality: 5, ..Default::default() };
    let mut encoded = Vec::new();
    ::brotli::BrotliCompress(&mut plain.as_ref(), &mut encoded, &parameters).expect("memory takes it");
    encoded
}

pub fn zstd(plain: impl AsRef<[u8]>) -> Vec<u8> {
    ::zstd::stream::encode_all(plain.as_ref(), 1).expect("memory takes it")
}

pub fn base64(plain: impl AsRef<[u8]>) -> String {
    BASE64.encode(plain.as_ref())
}

pub fn base64url(plain: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(plain.as_ref())
}

pub fn hex(plain: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(plain.as_ref())
}

/// Every byte as `before` and its two hexadecimal digits.
pub fn escaped(before: &str, plain: &str) -> String {
    plain.bytes().map(|byte| format!("{before}{byte:02X}")).collect()
}

/// Every character as a reference by its number.
pub fn entities(plain: &str) -> String {
    plain.chars().map(|character| format!("&#{};", u32::from(character))).collect()
}

/// A text as the value of a JSON string.
pub fn quoted(plain: &str) -> String {
    format!("\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\""))
}

pub fn utf16(plain: &str) -> Vec<u8> {
    "\u{FEFF}".encode_utf16().chain(plain.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

pub fn utf16_big(plain: &str) -> Vec<u8> {
    "\u{FEFF}".encode_utf16().chain(plain.encode_utf16()).flat_map(u16::to_be_bytes).collect()
}

/// A multipart body of parts with the boundary `cut`; each is its head and its content.
pub fn multipart(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = b"preamble\r\n".to_vec();
    for (head, content) in parts {
        body.extend_from_slice(format!("--cut\r\n{}\r\n\r\n", head.replace('|', "\r\n")).as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--cut--\r\n");
    body
}

/// How a member of an archive is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Member {
    Stored,
    Deflated,
    /// As programs do that write to a pipe: lengths come behind.
    Piped,
    Encrypted,
}

pub fn zip(members: &[(&str, Member, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, kind, content) in members {
        let packed = if *kind == Member::Stored { content.to_vec() } else { deflate(content) };
        let method = if *kind == Member::Stored { 0u16 } else { 8 };
        let flags = match kind {
            Member::Piped => 1u16 << 3,
            Member::Encrypted => 1,
            Member::Stored | Member::Deflated => 0,
        };
        let known = if *kind == Member::Piped { 0 } else { packed.len() as u32 };
        archive.extend_from_slice(b"PK\x03\x04\x14\0");
        archive.extend_from_slice(&flags.to_le_bytes());
        archive.extend_from_slice(&method.to_le_bytes());
        archive.extend_from_slice(&[0; 8]);
        archive.extend_from_slice(&known.to_le_bytes());
        archive.extend_from_slice(&(content.len() as u32).to_le_bytes());
        archive.extend_from_slice(&(name.len() as u16).to_le_bytes());
        archive.extend_from_slice(&[0; 2]);
        archive.extend_from_slice(name.as_bytes());
        match kind {
            Member::Encrypted => archive.extend(packed.iter().map(|byte| byte ^ 0xA5)),
            _ => archive.extend_from_slice(&packed),
        }
        if *kind == Member::Piped {
            archive.extend_from_slice(b"PK\x07\x08\0\0\0\0");
            archive.extend_from_slice(&(packed.len() as u32).to_le_bytes());
            archive.extend_from_slice(&(content.len() as u32).to_le_bytes());
        }
    }
    archive.extend_from_slice(b"PK\x01\x02 and so on");
    archive
}

/// A map with short keys, as CBOR.
pub fn cbor(fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut map = vec![0xA0 + fields.len() as u8];
    for (key, value) in fields {
        map.extend(cbor_text(key));
        map.extend(value);
    }
    map
}

pub fn cbor_text(text: &str) -> Vec<u8> {
    [&[0x78, text.len() as u8], text.as_bytes()].concat()
}

pub fn cbor_integer(value: u64) -> Vec<u8> {
    [&[0x1B], &value.to_be_bytes()[..]].concat()
}

/// The same as MessagePack.
pub fn msgpack(fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut map = vec![0x80 + fields.len() as u8];
    for (key, value) in fields {
        map.extend(msgpack_text(key));
        map.extend(value);
    }
    map
}

pub fn msgpack_text(text: &str) -> Vec<u8> {
    [&[0xD9, text.len() as u8], text.as_bytes()].concat()
}

pub fn msgpack_integer(value: u64) -> Vec<u8> {
    [&[0xCF], &value.to_be_bytes()[..]].concat()
}

/// Bytes that look like nothing, the same for a seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}
