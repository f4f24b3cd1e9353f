//! `decode_rate`: how fast streams are decoded and matched, on one core; one JSON object for all rows.
//!
//! A row is decoding and matching as the agent does it, against something that does a part of that: the matcher over the
//! stream as it stands, or a decompressor alone. Both take turns, since a machine's speed drifts.

use std::hint::black_box;
use std::io::Write;
use std::time::Duration;

use cprvagt_cpr::{Place, Scene, scan};
use cprvagt_stream::{Decoder, Window};
use fastrand::Rng;
use nix::time::{ClockId, clock_gettime};

/// Rounds that count; the first is for warming up.
const ROUNDS: usize = 9;
/// How long each side of a row runs in a round.
const TURN: Duration = Duration::from_millis(120);
/// Content of one turn.
const CONTENT_BYTES: usize = 4 << 20;
/// Bytes that come at a time: a large TLS record.
const PUSH_BYTES: usize = 16 << 10;

/// 28 November 2026.
const NOW_UNIX: i64 = 1_795_824_000;

/// One side of a row; returns how many numbers it found, so that nothing is left out.
type Side<'a> = Box<dyn FnMut() -> usize + 'a>;

fn main() {
    let mut rows = Vec::new();
    for (name, len) in [("json 16 KiB", 16 << 10), ("json 1 KiB", 1 << 10), ("json 64 KiB", 64 << 10)] {
        let bodies = bodies(len);
        let stream = messages("", &bodies);
        rows.push(row(name, stream.len(), Box::new(|| decoded(&stream)), Box::new(|| matched(&stream))));
    }
    for (name, header, pack) in encodings() {
        let bodies = bodies(64 << 10);
        let packed: Vec<Vec<u8>> = bodies.iter().map(|body| pack(body)).collect();
        let stream = messages(header, &packed);
        let alone: Side<'_> = match name {
            "gzip 64 KiB" => Box::new(|| packed.iter().map(|body| inflated(body)).sum()),
            "brotli 64 KiB" => Box::new(|| packed.iter().map(|body| unbrotlied(body)).sum()),
            _ => Box::new(|| packed.iter().map(|body| unzstded(body)).sum()),
        };
        let content: usize = bodies.iter().map(Vec::len).sum();
        rows.push(row(name, content, Box::new(|| decoded(&stream)), alone));
    }
    let (stream, strings) = requests();
    let own: Side<'_> = Box::new(|| decoded(&stream));
    rows.push(row("http/2 requests", stream.len(), own, Box::new(|| unhuffed(&strings))));
    println!("[{}]", rows.join(","));
}

/// Measures, and tells it as JSON.
fn row(name: &str, bytes: usize, mut own: Side<'_>, mut other: Side<'_>) -> String {
    let (mut rates, mut ratios) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (own, other) = (seconds(&mut own), seconds(&mut other));
        if round > 0 {
            rates.push(bytes as f64 / own / 1e9);
            ratios.push(other / own);
        }
    }
    format!("{{\"name\":\"{name}\",\"gb_per_s\":{:.3},\"ratio\":{:.3}}}", median(rates), median(ratios))
}

/// Seconds of processor time of one call, over a turn.
fn seconds(side: &mut Side<'_>) -> f64 {
    let (started, mut calls) = (processor_time(), 0u32);
    while processor_time() - started < TURN {
        black_box(side());
        calls += 1;
    }
    (processor_time() - started).as_secs_f64() / f64::from(calls)
}

/// What others do on the machine meanwhile does not count.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has it").into()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// JSON texts of about a length, as services send them: names, times, amounts, identifiers, and no CPR number.
fn bodies(len: usize) -> Vec<Vec<u8>> {
    let mut random = Rng::with_seed(7);
    (0..CONTENT_BYTES / len).map(|_| body(&mut random, len)).collect()
}

fn body(random: &mut Rng, len: usize) -> Vec<u8> {
    let mut text = "{\"items\":[".to_owned();
    let words = ["blue", "green", "large", "wooden", "chair", "table", "lamp", "with", "drawer", "oak"];
    while text.len() < len - 260 {
        let name: Vec<&str> = (0..random.usize(2..8)).map(|_| words[random.usize(..words.len())]).collect();
        text += &format!(
            "{{\"id\":\"{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}\",\"name\":\"{}\",\"price\":{}.{:02},\"stock\":{},\
             \"changed\":\"2026-11-{:02}T{:02}:{:02}:00Z\",\"tags\":[\"new\",\"sale\"],\"visible\":true}},",
            random.u32(..),
            random.u16(..),
            random.u16(..0x1000),
            random.u16(..0x1000),
            random.u64(..1 << 48),
            name.join(" "),
            random.u32(1..9000),
            random.u32(..100),
            random.u32(..500),
            random.u32(1..29),
            random.u32(..24),
            random.u32(..60),
        );
    }
    text += "{}]}";
    text.into_bytes()
}

fn messages(header: &str, bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = Vec::new();
    for body in bodies {
        let head = format!(
            "POST /api/v1/items HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\n{header}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.extend_from_slice(head.as_bytes());
        stream.extend_from_slice(body);
    }
    stream
}

/// A stream of small HTTP/2 requests, and the strings in it, which are under Huffman code (RFC 7541).
fn requests() -> (Vec<u8>, Vec<Vec<u8>>) {
    const REQUESTS: u32 = 2000;
    const HEADERS_OF_ALL: [u8; 2] = [1, 0x05];
    let mut random = Rng::with_seed(7);
    let (mut stream, mut strings) =
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(), Vec::new());
    for number in 0..REQUESTS {
        let path = format!("/api/v1/items/{:08x}?fields=name,price", random.u32(..));
        // Indices of the static table: method, scheme, path, authority, user agent; a name of its own at the end.
        let fields: [(&[u8], &str); 6] = [
            (&[0x82, 0x87, 0x04], &path),
            (&[0x01], "shop.example"),
            (&[0x0F, 0x2B], "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101"),
            (&[0x0F, 0x04], "application/json"),
            (&[0x00], "x-request-id"),
            (&[], &format!("{:016x}", random.u64(..))),
        ];
        let mut block = Vec::new();
        for (index, text) in fields {
            let mut string = Vec::new();
            httlib_huffman::encode(text.as_bytes(), &mut string).expect("every byte has a code");
            block.extend_from_slice(index);
            block.push(0x80 | string.len() as u8);
            block.extend_from_slice(&string);
            strings.push(string);
        }
        stream.extend_from_slice(&(block.len() as u32).to_be_bytes()[1..]);
        stream.extend_from_slice(&HEADERS_OF_ALL);
        stream.extend_from_slice(&(2 * number + 1).to_be_bytes());
        stream.extend_from_slice(&block);
    }
    (stream, strings)
}

/// Undoes the Huffman code alone.
fn unhuffed(strings: &[Vec<u8>]) -> usize {
    let mut text = Vec::new();
    for string in strings {
        text.clear();
        httlib_huffman::decode(string, &mut text, httlib_huffman::DecoderSpeed::FourBits).expect("sound");
        black_box(&text);
    }
    strings.len()
}

/// Decodes and matches as the agent does.
fn decoded(stream: &[u8]) -> usize {
    let (mut decoder, mut found) = (Decoder::stream(), 0);
    let mut look = |window: Window<'_>| {
        let scene = Scene { key: window.field, place: Place::Other, now_unix: NOW_UNIX };
        scan(window.bytes, &scene, &mut |hit| found += usize::from(window.owned.contains(&hit.start)));
    };
    stream.chunks(PUSH_BYTES).for_each(|piece| decoder.push(piece, &mut look));
    decoder.finish(&mut look);
    found
}

/// Matches alone.
fn matched(stream: &[u8]) -> usize {
    let (mut found, scene) = (0, Scene { key: None, place: Place::Other, now_unix: NOW_UNIX });
    stream.chunks(PUSH_BYTES).for_each(|piece| scan(piece, &scene, &mut |_| found += 1));
    found
}

/// Name, header field, and what makes the encoding.
type Packing = (&'static str, &'static str, fn(&[u8]) -> Vec<u8>);

fn encodings() -> [Packing; 3] {
    [
        ("gzip 64 KiB", "Content-Encoding: gzip\r\n", gzip),
        ("brotli 64 KiB", "Content-Encoding: br\r\n", brotli),
        ("zstd 64 KiB", "Content-Encoding: zstd\r\n", |body| {
            zstd::stream::encode_all(body, 3).expect("memory takes it")
        }),
    ]
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(body).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn brotli(body: &[u8]) -> Vec<u8> {
    let parameters = brotli::enc::BrotliEncoderParams { lgwin: 19, quality: 5, ..Default::default() };
    let mut encoded = Vec::new();
    brotli::BrotliCompress(&mut &body[..], &mut encoded, &parameters).expect("memory takes it");
    encoded
}

fn inflated(body: &[u8]) -> usize {
    const WINDOW_BITS: u8 = 15;
    let (mut state, mut made) = (flate2::Decompress::new_gzip(WINDOW_BITS), vec![0; PUSH_BYTES]);
    loop {
        let read = state.total_in() as usize;
        let status =
            state.decompress(&body[read..], &mut made, flate2::FlushDecompress::None).expect("sound");
        black_box(&made);
        if status == flate2::Status::StreamEnd {
            return state.total_out() as usize;
        }
    }
}

fn unbrotlied(body: &[u8]) -> usize {
    let mut plain = Vec::with_capacity(70 << 10);
    brotli_decompressor::BrotliDecompress(&mut &body[..], &mut plain).expect("sound");
    plain.len()
}

fn unzstded(body: &[u8]) -> usize {
    zstd::stream::decode_all(body).expect("sound").len()
}
