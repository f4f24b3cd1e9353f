//! What first bytes ask a proxy for, wherever they are cut.

use super::*;

/// What all of `bytes` came to when they came in two parts: what was wanted, what was for the proxy, what was content.
fn read(bytes: &[u8], cut: usize) -> (Option<Wanted>, Vec<u8>, Vec<u8>) {
    let (mut reader, mut asked, mut content) = (ProxyReader::default(), Vec::new(), Vec::new());
    for part in [&bytes[..cut], &bytes[cut..]].into_iter().filter(|it| !it.is_empty()) {
        match reader.take(part) {
            Passed::Content => content.extend_from_slice(part),
            Passed::Held => {}
            Passed::Released(held) => content.extend([&held[..], part].concat()),
            Passed::Asked(message, count) => {
                asked.extend_from_slice(&message);
                content.extend_from_slice(&part[count..]);
            }
        }
    }
    content.extend(reader.give_up().iter().flat_map(|held| held.iter()));
    (reader.wanted().cloned(), asked, content)
}

#[track_caller]
fn check(bytes: &[u8], asked: usize, wanted: Option<Wanted>) {
    let expected = (wanted, bytes[..asked].to_vec(), bytes[asked..].to_vec());
    for cut in 0..=bytes.len() {
        assert_eq!(read(bytes, cut), expected, "cut at {cut}: {}", bytes.escape_ascii());
    }
}

fn host(name: &str, port: u16) -> Option<Wanted> {
    Some(Wanted::Host(name.to_owned(), port))
}

fn address(text: &str, port: u16) -> Option<Wanted> {
    Some(Wanted::Address(text.parse().unwrap(), port))
}

#[test]
fn requests_of_http_are_content_that_asks() {
    let cases: [(&str, Option<Wanted>); 14] = [
        (
            "CONNECT analyse.example:443 HTTP/1.1\r\nHost: analyse.example:443\r\n\r\n",
            host("analyse.example", 443),
        ),
        ("CONNECT 192.0.2.7:8443 HTTP/1.1\r\n\r\n", address("192.0.2.7", 8443)),
        ("CONNECT [2001:db8::7]:443 HTTP/1.1\r\n\r\n", address("2001:db8::7", 443)),
        ("GET http://analyse.example/sag HTTP/1.1\r\n", Some(Wanted::EachItsOwn)),
        ("POST HTTP://analyse.example/ HTTP/1.1\r\n", Some(Wanted::EachItsOwn)),
        // Nothing is asked of anybody else.
        ("GET /http://analyse.example/ HTTP/1.1\r\n", None),
        ("GET https://analyse.example/ HTTP/1.1\r\n", None),
        ("GET /sag HTTP/1.1\r\n", None),
        ("OPTIONS * HTTP/1.1\r\n", None),
        // No port, no name, no request.
        ("CONNECT analyse.example HTTP/1.1\r\n", None),
        ("CONNECT :443 HTTP/1.1\r\n", None),
        ("CONNECT analyse.example:65536 HTTP/1.1\r\n", None),
        ("CONNECTED TO http://analyse.example/ NOW", None),
        ("et brev uden anmodning", None),
    ];
    for (text, wanted) in cases {
        check(text.as_bytes(), 0, wanted);
    }
}

#[test]
fn socks_messages_are_for_the_proxy() {
    let behind = b"GET /sag HTTP/1.1\r\n\r\n";
    let name = b"\x03\x0fanalyse.example\x01\xbb";
    let cases: [(&[&[u8]], Option<Wanted>); 6] = [
        (&[b"\x05\x01\x00", b"\x05\x01\x00", name], host("analyse.example", 443)),
        (&[b"\x05\x02\x00\x02", b"\x01\x03jeg\x02nu", b"\x05\x01\x00", name], host("analyse.example", 443)),
        (&[b"\x05\x01\x00\x05\x01\x00\x01", &[192, 0, 2, 7], b"\x00\x50"], address("192.0.2.7", 80)),
        (
            &[
                b"\x05\x01\x00\x05\x01\x00\x04",
                &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7],
                b"\x00\x50",
            ],
            address("2001:db8::7", 80),
        ),
        (&[b"\x04\x01\x00\x50", &[192, 0, 2, 7], b"jeg\x00"], address("192.0.2.7", 80)),
        (&[b"\x04\x01\x00\x50\x00\x00\x00\x01\x00", b"analyse.example\x00"], host("analyse.example", 80)),
    ];
    for (parts, wanted) in cases {
        let message = parts.concat();
        check(&message, message.len(), wanted.clone());
        check(&[&message[..], behind].concat(), message.len(), wanted);
    }
}

#[test]
fn what_only_begins_like_socks_is_content() {
    let cases: [&[u8]; 9] = [
        b"\x05",
        b"\x05\x00 og mere",
        b"\x05\x01\x00",
        // Another command than to connect; another kind of address; another version.
        b"\x05\x01\x00\x05\x03\x00\x01\xc0\x00\x02\x07\x00\x50",
        b"\x05\x01\x00\x05\x01\x00\x02\xc0\x00\x02\x07\x00\x50",
        b"\x05\x01\x00\x04\x01\x00\x01\xc0\x00\x02\x07\x00\x50",
        b"\x04\x02\x00\x50\xc0\x00\x02\x07\x00",
        b"\x04\x01\x00\x50\xc0",
        // A name that is none.
        b"\x05\x01\x00\x05\x01\x00\x03\x02a \x00\x50",
    ];
    for bytes in cases {
        check(bytes, 0, None);
    }
}

#[test]
fn what_is_too_long_to_be_a_request_is_let_go() {
    let endless = [&b"\x04\x01\x00\x50\xc0\x00\x02\x07"[..], &[b'x'; 2 * ASKED_BYTES_MAX]].concat();
    let mut reader = ProxyReader::default();
    assert_eq!(reader.take(&endless[..100]), Passed::Held);
    let Passed::Released(held) = reader.take(&endless[100..]) else { panic!("it is not let go") };
    assert_eq!(held[..], endless[..100]);
    assert_eq!(reader.take(b"mere"), Passed::Content);
}
