//! Decoders of encodings: whatever the pieces, what is damaged, and bounds.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use super::*;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn raw(plain: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn brotli(plain: &[u8], window_bits: i32) -> Vec<u8> {
    let parameters =
        ::brotli::enc::BrotliEncoderParams { lgwin: window_bits, quality: 5, ..Default::default() };
    let mut encoded = Vec::new();
    ::brotli::BrotliCompress(&mut &plain[..], &mut encoded, &parameters).unwrap();
    encoded
}

fn zstd(plain: &[u8], window_bits: u32) -> Vec<u8> {
    let mut encoder = ::zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(window_bits).unwrap();
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// What comes out when `input` comes in pieces of a length, and why it ends.
fn decode(coding: Coding, input: &[u8], piece: usize, room: usize) -> (Vec<u8>, Option<Stop>) {
    let mut decoder = coding.decoder().unwrap();
    let (mut plain, mut output) = (Vec::new(), vec![0; room]);
    for piece in input.chunks(piece) {
        let mut rest = piece;
        loop {
            let step = decoder.step(rest, &mut output);
            plain.extend_from_slice(&output[..step.made]);
            rest = &rest[step.read..];
            if step.stop.is_some() {
                return (plain, step.stop);
            }
            if step.read == 0 && step.made == 0 {
                break;
            }
        }
        assert!(rest.is_empty(), "nothing is left over");
    }
    (plain, None)
}

#[test]
fn whatever_the_pieces_the_content_is_the_same() {
    let plain = "Nancy Ann Berggren, r\u{f8}d gr\u{f8}d med fl\u{f8}de; ".repeat(30).into_bytes();
    let members = [gzip(&plain[..100]), gzip(&plain[100..])].concat();
    let frames = [zstd(&plain[..100], 10), zstd(&plain[100..], 10)].concat();
    let cases = [
        (Coding::Gzip, gzip(&plain)),
        (Coding::Gzip, members),
        (Coding::Deflate, zlib(&plain)),
        (Coding::Deflate, raw(&plain)),
        (Coding::Inflate, raw(&plain)),
        (Coding::Brotli, brotli(&plain, 18)),
        (Coding::Zstd, zstd(&plain, 18)),
        (Coding::Zstd, frames),
    ];
    for (coding, encoded) in cases {
        for (piece, room) in [(1, 7), (2, 4096), (3, 1), (17, 50), (4096, 4096), (4096, 13)] {
            let (decoded, stop) = decode(coding, &encoded, piece, room);
            assert_eq!(decoded, plain, "{coding:?} in pieces of {piece}");
            assert!(matches!(stop, None | Some(Stop::End)), "{coding:?} {stop:?}");
        }
    }
}

#[test]
fn texts() {
    let cases: &[(Coding, &str, &str)] = &[
        (Coding::Base64, "QUJDRA==", "ABCD"),
        (Coding::Base64, "QUJD\r\n RA", "ABCD"),
        (Coding::Base64, "QQ==QQ==", "AA"),
        (Coding::Base64, "-_-_", "\u{fffd}\u{fffd}\u{fffd}"),
        (Coding::Quoted, "r=C3=B8d =\r\ngr=F8", "r\u{f8}d gr\u{fffd}"),
        (Coding::Quoted, "a=3D1 b=\nc", "a=1 bc"),
        (Coding::Quoted, "a==41=4=3x=", "a=A=4=3x"),
        (Coding::Quoted, "=\rx==\r\n", "=\rx="),
        (Coding::Wide(Order::LowFirst), "A\0\u{8}\0", "A\u{8}"),
        (Coding::Wide(Order::HighFirst), "\0A\0B\0", "AB"),
    ];
    for (coding, encoded, expected) in cases {
        for piece in 1..encoded.len() {
            let (decoded, _) = decode(*coding, encoded.as_bytes(), piece, 9);
            assert_eq!(String::from_utf8_lossy(&decoded), *expected, "{coding:?} {encoded:?}");
        }
    }
}

#[test]
fn surrogates() {
    let units = "a\u{1f980}b".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let lone =
        [0xD83Eu16, 0xD83E, 0x41, 0xDD80].iter().flat_map(|unit| unit.to_be_bytes()).collect::<Vec<_>>();
    let cases =
        [(Order::LowFirst, units, "a\u{1f980}b"), (Order::HighFirst, lone, "\u{fffd}\u{fffd}A\u{fffd}")];
    for (order, bytes, expected) in cases {
        for piece in 1..bytes.len() {
            let (decoded, _) = decode(Coding::Wide(order), &bytes, piece, 6);
            assert_eq!(String::from_utf8_lossy(&decoded), expected);
        }
    }
}

#[test]
fn what_is_damaged_or_another_encoding_stops() {
    let plain = b"some text and some more text and some text".repeat(9);
    let mut damaged = gzip(&plain);
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x55;
    let cases = [
        (Coding::Gzip, damaged, Stop::Corrupt),
        (Coding::Gzip, plain.clone(), Stop::Corrupt),
        (Coding::Gzip, [gzip(&plain), b"behind it".to_vec()].concat(), Stop::End),
        (Coding::Deflate, b"{\"cpr\":\"a text\"}".to_vec(), Stop::Corrupt),
        (Coding::Brotli, vec![0x55; 400], Stop::Corrupt),
        (Coding::Zstd, plain.clone(), Stop::Corrupt),
        (Coding::Base64, b"QUJD, and so on".to_vec(), Stop::Corrupt),
    ];
    for (coding, encoded, expected) in cases {
        for piece in [1, 7, 1000] {
            assert_eq!(decode(coding, &encoded, piece, 64).1, Some(expected), "{coding:?}");
        }
    }
}

/// What declares a larger window than is kept is decoded as far as that cannot matter.
#[test]
fn windows_are_bounded() {
    let plain: Vec<u8> = (0..3_000_000u32).flat_map(|at| (at / 7).to_le_bytes()).take(3_000_000).collect();
    let cases = [
        (Coding::Brotli, brotli(&plain, 20), plain.len(), None),
        (Coding::Brotli, brotli(&plain, 22), 1 << 20, Some(Stop::Window)),
        (Coding::Zstd, zstd(&plain, 20), plain.len(), None),
        (Coding::Zstd, zstd(&plain, 21), 1 << 20, Some(Stop::Window)),
        (Coding::Zstd, zstd(&plain, 24), 0, Some(Stop::Window)),
        (Coding::Brotli, brotli(&plain[..900_000], 22), 900_000, None),
    ];
    for (coding, encoded, len, stop) in cases {
        for piece in [1000, encoded.len()] {
            let (decoded, why) = decode(coding, &encoded, piece, 16 << 10);
            assert!(decoded == plain[..len], "{coding:?} {stop:?}: {} bytes", decoded.len());
            assert_eq!(why.filter(|why| *why != Stop::End), stop, "{coding:?}");
        }
    }
}

#[test]
fn names() {
    let cases: &[(&str, Option<Coding>)] = &[
        (" GZip ", Some(Coding::Gzip)),
        ("x-gzip", Some(Coding::Gzip)),
        ("br", Some(Coding::Brotli)),
        ("deflate", Some(Coding::Deflate)),
        ("zstd", Some(Coding::Zstd)),
        ("BASE64", Some(Coding::Base64)),
        ("quoted-printable", Some(Coding::Quoted)),
        ("identity", None),
        ("chunked", None),
        ("", None),
        ("aes128gcm", Some(Coding::Unknown)),
    ];
    for (name, expected) in cases {
        assert_eq!(Coding::named(name.as_bytes()), *expected, "{name}");
    }
}
