//! Messages and log lines as servers write them.

use std::fmt::Write as _;

use fastrand::Rng;

use super::{digits_of_number, number};

const NAMES: [&str; 10] =
    ["Anders", "Mette", "Søren", "Freja", "Jens", "Kirsten", "Lars", "Ida", "Niels", "Åse"];
const LAST_NAMES: [&str; 8] =
    ["Jensen", "Nielsen", "Hansen", "Pedersen", "Møller", "Sørensen", "Kjær", "Østergaard"];
const WORDS: [&str; 38] = [
    "ordre",
    "levering",
    "kunde",
    "faktura",
    "adresse",
    "by",
    "postnummer",
    "status",
    "aktiv",
    "konto",
    "beløb",
    "betaling",
    "journal",
    "besked",
    "tid",
    "bestilt",
    "note",
    "sag",
    "sagsbehandler",
    "kommune",
    "region",
    "service",
    "update",
    "value",
    "items",
    "total",
    "currency",
    "created",
    "shipped",
    "pending",
    "customer",
    "account",
    "payload",
    "trace",
    "result",
    "patient",
    "borger",
    "svar",
];
const PATHS: [&str; 10] = [
    "/api/v1/orders",
    "/api/v2/customers",
    "/v3/events",
    "/healthz",
    "/static/app.8f3a1c.js",
    "/api/v1/invoices",
    "/graphql",
    "/auth/token",
    "/api/v1/search",
    "/assets/img/logo.svg",
];
const AGENTS: [&str; 6] = [
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.6478.127 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
    "curl/8.7.1",
    "okhttp/4.12.0",
    "python-requests/2.32.3",
    "Go-http-client/2.0",
];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A request or response with a list of JSON objects, or a form.
pub fn http_message(random: &mut Rng, with_number: bool) -> String {
    let objects: Vec<String> = (0..random.u32(1..=12)).map(|_| object(random)).collect();
    let body = body(random, &objects.join(","), with_number);
    if random.bool() { request(random, &body) } else { response(random, &body) }
}

/// A line of an access log, of a proxy's log, or of a structured log.
pub fn log_line(random: &mut Rng, with_number: bool) -> String {
    let mut path = one(random, &PATHS).to_owned();
    if random.u32(0..10) < 7 {
        let digits = random.u32(3..=12);
        write!(path, "/{}", random.u64(0..10_u64.pow(digits))).expect("text takes everything");
    }
    if with_number {
        path = format!("{path}?cpr={}", number(random));
    }
    let peer = format!("{}.{}.{}.{}", random.u32(1..255), random.u8(..), random.u8(..), random.u8(..));
    match random.u32(0..100) {
        0..60 => access_line(random, &peer, &path),
        60..85 => proxy_line(random, &peer, &path),
        _ => structured_line(random, &peer, &path),
    }
}

fn one<'a>(random: &mut Rng, list: &[&'a str]) -> &'a str {
    list[random.usize(..list.len())]
}

/// A number of up to so many digits, of any length as likely.
fn of_any_length(random: &mut Rng, digits: std::ops::RangeInclusive<u32>) -> u64 {
    let digits = random.u32(digits);
    random.u64(0..10_u64.pow(digits))
}

fn words(random: &mut Rng, count: u32) -> String {
    (0..count).map(|_| one(random, &WORDS)).collect::<Vec<_>>().join(" ")
}

fn some_words(random: &mut Rng, count: std::ops::RangeInclusive<u32>) -> String {
    let count = random.u32(count);
    words(random, count)
}

fn uuid(random: &mut Rng) -> String {
    let bits = random.u128(..);
    let [a, b, c] = [(bits >> 96) as u32, (bits >> 80) as u32 & 0xFFFF, (bits >> 64) as u32 & 0xFFF];
    let d = (bits >> 48) as u32 & 0x3FFF | 0x8000;
    format!("{a:08x}-{b:04x}-4{c:03x}-{d:04x}-{:012x}", bits as u64 & 0xFFFF_FFFF_FFFF)
}

fn base64(random: &mut Rng, bytes: usize) -> String {
    let bytes: Vec<u8> = (0..bytes).map(|_| random.u8(..)).collect();
    data_encoding::BASE64.encode(&bytes)
}

fn phone(random: &mut Rng) -> String {
    let digits = random.u32(20_000_000..99_999_999).to_string();
    let pair = |at: usize| &digits[at..at + 2];
    match random.u32(0..4) {
        0 => format!("+45 {} {} {} {}", pair(0), pair(2), pair(4), pair(6)),
        1 => format!("+45{digits}"),
        2 => format!("{} {}", &digits[..4], &digits[4..]),
        _ => digits,
    }
}

fn iso_time(random: &mut Rng) -> String {
    let (month, day) = (random.u32(1..=12), random.u32(1..=28));
    format!("2024-{month:02}-{day:02}T{}.{:03}Z", clock(random), random.u32(0..1000))
}

fn clock(random: &mut Rng) -> String {
    format!("{:02}:{:02}:{:02}", random.u32(0..24), random.u32(0..60), random.u32(0..60))
}

fn object(random: &mut Rng) -> String {
    match random.u32(0..100) {
        0..45 => customer(random),
        45..75 => order(random),
        75..90 => format!(
            "{{\"type\":\"{}\",\"message\":\"{}\",\"level\":{},\"trace\":\"{:032x}\"}}",
            one(random, &WORDS),
            some_words(random, 8..=40),
            random.u32(0..6),
            random.u128(..)
        ),
        _ => {
            let length = random.usize(30..=300);
            format!(
                "{{\"blob\":\"{}\",\"sha256\":\"{:032x}{:032x}\",\"size\":{}}}",
                base64(random, length),
                random.u128(..),
                random.u128(..),
                of_any_length(random, 2..=9)
            )
        }
    }
}

fn customer(random: &mut Rng) -> String {
    format!(
        "{{\"id\":{},\"uuid\":\"{}\",\"name\":\"{} {}\",\"email\":\"{}{}@example.dk\",\"phone\":\"{}\",\"createdAt\":\"{}\",\
         \"updated\":{},\"active\":{},\"balance\":{:.2},\"tags\":[\"{}\",\"{}\"],\"note\":\"{}\"}}",
        random.u32(1..9_999_999),
        uuid(random),
        one(random, &NAMES),
        one(random, &LAST_NAMES),
        one(random, &WORDS),
        random.u32(0..100),
        phone(random),
        iso_time(random),
        random.u64(1_750_000_000_000..1_780_000_000_000),
        random.bool(),
        random.f64() * 9000.0,
        one(random, &WORDS),
        one(random, &WORDS),
        some_words(random, 3..=14)
    )
}

fn order(random: &mut Rng) -> String {
    format!(
        "{{\"orderNo\":\"{}-{:06}\",\"lines\":[{{\"sku\":\"{:08}\",\"qty\":{},\"price\":{:.2},\"desc\":\"{}\"}},\
         {{\"sku\":\"A{:05}\",\"qty\":{},\"price\":{:.2},\"desc\":\"{}\"}}],\"lat\":{:.6},\"lon\":{:.6},\"ts\":{}}}",
        one(random, &["A", "B", "C", "D"]),
        random.u32(0..1_000_000),
        random.u32(0..100_000_000),
        random.u32(1..=9),
        random.f64() * 999.0,
        words(random, 4),
        random.u32(0..100_000),
        random.u32(1..=9),
        random.f64() * 99.0,
        words(random, 5),
        54.5 + random.f64() * 3.0,
        8.0 + random.f64() * 5.0,
        random.u64(1_750_000_000..1_780_000_000)
    )
}

fn body(random: &mut Rng, objects: &str, with_number: bool) -> String {
    if !with_number {
        return format!("[{objects}]");
    }
    match random.u32(0..4) {
        0 => format!(
            "[{objects},{{\"cpr\":\"{}\",\"navn\":\"{} {}\"}}]",
            number(random),
            one(random, &NAMES),
            one(random, &LAST_NAMES)
        ),
        1 => format!(
            "navn={}&cpr={}&postnr={:04}",
            one(random, &NAMES),
            number(random),
            random.u32(1000..9990)
        ),
        2 => format!(
            "[{objects},{{\"note\":\"{} CPR-nr. {} {}\"}}]",
            words(random, 5),
            number(random),
            words(random, 3)
        ),
        _ => format!("[{objects},{{\"personnummer\":\"{}\"}}]", digits_of_number(random)),
    }
}

fn request(random: &mut Rng, body: &str) -> String {
    format!(
        "POST {}?id={}&page={} HTTP/1.1\r\nHost: api{}.example.dk\r\nUser-Agent: {}\r\nAuthorization: Bearer {}.{}.{}\r\n\
         X-Request-Id: {}\r\ntraceparent: 00-{:032x}-{:016x}-01\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        one(random, &PATHS),
        random.u32(0..999_999),
        random.u32(0..50),
        random.u32(0..9),
        one(random, &AGENTS),
        base64(random, 27),
        base64(random, 120),
        base64(random, 32),
        uuid(random),
        random.u128(..),
        random.u64(..),
        body.len()
    )
}

fn response(random: &mut Rng, body: &str) -> String {
    format!(
        "HTTP/1.1 {} OK\r\nDate: {}, {:02} {} 2024 {} GMT\r\nServer: nginx/1.25.4\r\nETag: \"{:x}-{:x}\"\r\n\
         Cache-Control: max-age={}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n\
         Set-Cookie: sid={}; Path=/\r\n\r\n{body}",
        one(random, &["200", "200", "200", "201", "404", "500"]),
        one(random, &DAYS),
        random.u32(1..=28),
        one(random, &MONTHS),
        clock(random),
        random.u32(..),
        random.u32(0..1 << 20),
        random.u32(0..86_400),
        body.len(),
        base64(random, 24)
    )
}

fn access_line(random: &mut Rng, peer: &str, path: &str) -> String {
    format!(
        "{peer} - - [{:02}/{}/2024:{} +0200] \"GET {path} HTTP/1.1\" {} {} \"-\" \"{}\" {:.3} {:.6} {}\n",
        random.u32(1..=28),
        one(random, &MONTHS),
        clock(random),
        one(random, &["200", "304", "404"]),
        of_any_length(random, 2..=7),
        one(random, &AGENTS),
        random.f64() * 3.0,
        random.f64(),
        random.u32(1024..65_536)
    )
}

fn proxy_line(random: &mut Rng, peer: &str, path: &str) -> String {
    format!(
        "{}.{:06} {:6} {peer} TCP_MISS/200 {} GET http://10.0.{}.{}:{}{path} - HIER_DIRECT/{peer} id={} seq={:010}\n",
        random.u64(1_750_000_000..1_780_000_000),
        random.u32(0..1_000_000),
        random.u32(0..99_999),
        random.u32(0..1_000_000),
        random.u8(..),
        random.u8(..),
        random.u16(..),
        random.u64(..) >> 1,
        random.u64(0..10_000_000_000)
    )
}

fn structured_line(random: &mut Rng, peer: &str, path: &str) -> String {
    format!(
        "{{\"ts\":{},\"pid\":{},\"tid\":{},\"dur_us\":{},\"rx\":{},\"tx\":{},\"path\":\"{path}\",\"peer\":\"{peer}:{}\",\
         \"span\":\"{:016x}\"}}\n",
        random.u64(1_750_000_000_000_000..1_780_000_000_000_000),
        random.u32(0..99_999),
        random.u32(0..99_999),
        random.u32(0..1_000_000),
        random.u32(0..100_000_000),
        random.u32(0..100_000_000),
        random.u16(..),
        random.u64(..)
    )
}
