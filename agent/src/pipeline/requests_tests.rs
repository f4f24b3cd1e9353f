//! Heads that come in pieces, late, or never whole.

use cprvagt_abi::{Function, TlsWrite};

use super::*;
use crate::join::writes::Writes;

fn read(session: u64, text: &str) -> Write {
    let length = text.len() as u64;
    let function = Function::SslRead as u32;
    let call = TlsWrite { tgid: 7, session, function, length, write: 1, ..zerocopy::FromZeros::new_zeroed() };
    Writes::default().begin(call, text.as_bytes()).remove(0)
}

/// What came out, as text.
fn texts(heads: Vec<Head>) -> Vec<String> {
    let text = |read: &Write| read.slices(0).map(String::from_utf8_lossy).collect::<String>();
    heads.iter().map(|head| head.iter().map(text).collect()).collect()
}

#[test]
fn a_head_is_put_together_from_its_reads() {
    let (mut requests, now) = (Requests::default(), Instant::now());
    assert_eq!(texts(requests.take(read(1, "GET / HTTP/1.1\r\n\r\n"), now)), ["GET / HTTP/1.1\r\n\r\n"]);
    assert!(requests.take(read(1, "GET /a"), now).is_empty());
    assert!(requests.take(read(2, "POST /b"), now).is_empty(), "another session");
    assert_eq!(texts(requests.take(read(1, "c HTTP/1.1\r\n\r\n"), now)), ["GET /ac HTTP/1.1\r\n\r\n"]);
    assert_eq!(texts(requests.take(read(2, "PUT /d"), now)), ["POST /b"], "a new one ends the old one");
    assert!(requests.take_overdue(now).is_empty());
    assert_eq!(texts(requests.take_overdue(now + WAIT_MAX)), ["PUT /d"]);
    assert!(requests.take_all().is_empty());
}

#[test]
fn memory_is_bounded_and_nothing_is_dropped() {
    let (mut requests, now) = (Requests::default(), Instant::now());
    let sessions = OPEN_MAX as u64 + 10;
    let cut: usize = (0..sessions).map(|session| requests.take(read(session, "GET /"), now).len()).sum();
    assert_eq!((cut, requests.open.len(), requests.by_name.len()), (10, OPEN_MAX, OPEN_MAX));
    assert_eq!(requests.take_all().len(), OPEN_MAX);
}

#[test]
fn only_a_method_begins_a_request() {
    for (text, expected) in
        [("GET /", true), ("OPTIONS *", true), ("get /", false), ("GE /", false), ("GET", false), ("", false)]
    {
        let read = read(1, if text.is_empty() { "\n" } else { text });
        assert_eq!(begins(&read), expected, "{text:?}");
    }
}
