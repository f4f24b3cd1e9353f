//! The decoder behind the start of each protocol, so that what follows is read as that protocol.

use crate::stream;

/// What announces a body to an HTTP/1 server; its length is longer than any input.
const POST: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 99999\r\nContent-Type: application/";

/// Streams of DNS queries, and datagrams.
pub fn dns_decode(bytes: &[u8]) {
    behind(&[], bytes);
}

/// The messages of a gRPC call, compressed ones by gzip.
pub fn grpc_decode(bytes: &[u8]) {
    behind(&[POST, b"grpc\r\nGrpc-Encoding: gzip\r\n\r\n"], bytes);
}

/// Frames of HTTP/2.
pub fn http2_decode(bytes: &[u8]) {
    behind(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], bytes);
}

/// What an SMTP client says.
pub fn mail_decode(bytes: &[u8]) {
    behind(&[b"EHLO a.example\r\n"], bytes);
}

/// What a PostgreSQL client sends once the connection is there.
pub fn postgres_decode(bytes: &[u8]) {
    behind(&[b"\0\0\0\x10\0\x03\0\0user\0a\0\0"], bytes);
}

/// What an LDAP client sends, after it has bound.
pub fn ldap_decode(bytes: &[u8]) {
    behind(&[b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00"], bytes);
}

/// A protocol buffer.
pub fn protobuf_decode(bytes: &[u8]) {
    behind(&[POST, b"x-protobuf\r\n\r\n"], bytes);
}

/// What a Redis client sends.
pub fn redis_decode(bytes: &[u8]) {
    behind(&[b"*1\r\n$4\r\nPING\r\n"], bytes);
}

/// Syslog in streams and datagrams.
pub fn syslog_decode(bytes: &[u8]) {
    behind(&[], bytes);
}

/// What a WebSocket client sends once the connection is there.
pub fn websocket_decode(bytes: &[u8]) {
    behind(&[b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"], bytes);
}

/// The first byte says how the stream is cut, the second what happens between; the rest goes on behind `start`.
fn behind(start: &[&[u8]], bytes: &[u8]) {
    if let Some((&choice, rest)) = bytes.split_first_chunk() {
        stream::check(choice, &[&start.concat(), rest].concat());
    }
}
