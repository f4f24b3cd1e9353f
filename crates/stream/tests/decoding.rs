//! What comes out of which stream: parts, fields, decodings, messages, and what the limits do.

mod support;

use cprvagt_stream::{Decoder, Decoding, Part, Protocol};
use support::{NANCY, Seen, Step, check_promises, decode, hits, leaks, run, specific};

/// Part, field, decodings and content of each specific window, in order.
fn check(stream: &str, expected: &[(&str, &str, &str, &str)]) {
    let stream = wire(stream);
    let seen = decode(&stream, &[]);
    check_promises(&stream, &seen);
    let found: Vec<_> = seen.iter().filter(|window| window.part.is_specific()).map(described).collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(part, field, decodings, content)| [*part, *field, *decodings, *content].map(str::to_owned))
        .collect();
    assert_eq!(found, expected);
}

fn wire(stream: &str) -> Vec<u8> {
    stream.replace('|', "\r\n").into_bytes()
}

fn described(window: &Seen) -> [String; 4] {
    let decodings: Vec<_> = window.decodings.iter().map(|decoding| decoding.as_str()).collect();
    let content = String::from_utf8_lossy(window.content()).into_owned();
    [window.part.as_str().into(), window.field.clone().unwrap_or_default(), decodings.join(","), content]
}

#[test]
fn request_head() {
    check(
        "GET /a%20b/c?d=e&f=g+h%2Di&j&k%31=l HTTP/1.1|Host: h.example:8080|X-A:  b |Cookie: m=n; o=p%20q;r||",
        &[
            ("url.path", "", "", "/a%20b/c"),
            ("url.path", "", "percent", "/a b/c"),
            ("url.query", "d", "", "e"),
            ("url.query", "f", "form-plus,percent", "g h-i"),
            ("url.query", "", "", "j"),
            ("url.query", "k1", "", "l"),
            ("url.host", "Host", "", "h.example:8080"),
            ("header", "X-A", "", "b"),
            ("cookie", "m", "", "n"),
            ("cookie", "o", "", "p%20q"),
            ("cookie", "o", "percent", "p q"),
            ("cookie", "", "", "r"),
        ],
    );
}

#[test]
fn referer_absolute_form_and_names_with_numbers() {
    check(
        &format!("GET http://u.example/p?{NANCY}=1 HTTP/1.1|Referer: https://r/?a=b%2Dc||"),
        &[
            ("url.host", "", "", "u.example"),
            ("url.path", "", "", "/p"),
            ("url.query", "", "", NANCY),
            ("url.query", NANCY, "", "1"),
            ("referer", "Referer", "", "https://r/?a=b%2Dc"),
            ("referer", "Referer", "percent", "https://r/?a=b-c"),
        ],
    );
}

#[test]
fn percent_encoding_is_undone_twice() {
    check(
        "GET /?a=12345%252D678&b=%25zz HTTP/1.1||",
        &[
            ("url.path", "", "", "/"),
            ("url.query", "a", "percent", "12345%2D678"),
            ("url.query", "a", "percent,percent", "12345-678"),
            ("url.query", "b", "percent", "%zz"),
        ],
    );
}

#[test]
fn form() {
    check(
        "POST /f HTTP/1.1|Content-Type: application/x-www-form-urlencoded|Content-Length: 22||a=b+c&d%65=%32&e&f=&=g",
        &[
            ("url.path", "", "", "/f"),
            ("header", "Content-Type", "", "application/x-www-form-urlencoded"),
            ("header", "Content-Length", "", "22"),
            ("form", "a", "form-plus", "b c"),
            ("form", "de", "percent", "2"),
            ("form", "", "", "e"),
            ("form", "", "", "g"),
        ],
    );
}

#[test]
fn json_in_chunks_with_a_trailer() {
    check(
        "POST / HTTP/1.1|Transfer-Encoding: chunked||8;x=y|{\"a\":{\"b|c|\":\"\\u0041\",\"|7|c\":[1]}|2|}\n|0|T: v||",
        &[
            ("url.path", "", "", "/"),
            ("header", "Transfer-Encoding", "", "chunked"),
            // The trailer is read before the body ends.
            ("header", "T", "", "v"),
            ("json", "a.b", "chunked,json-escape", "A"),
            ("json", "a.c[]", "chunked", "1"),
        ],
    );
}

/// However they arrive, body windows show exactly the data of the chunks, and raw windows all the rest.
#[test]
fn chunked_bodies_are_shown_as_data_and_framing() {
    let head = "POST / HTTP/1.1|Transfer-Encoding: chunked||";
    let chunks = ["3;ext=\"a b\"|", "12\r", "|", "0004|", "\n345", "|", "00|", "X: y|", "|"];
    let is_data = |index: &usize| [1, 4].contains(index);
    let joined = |wanted: &dyn Fn(&usize) -> bool| -> String {
        chunks.iter().enumerate().filter(|(index, _)| wanted(index)).map(|(_, piece)| *piece).collect()
    };
    let (data, framing) =
        (wire(&joined(&is_data)), wire(&(head.to_owned() + &joined(&|index| !is_data(index)))));
    let stream = wire(&(head.to_owned() + &chunks.concat()));
    for cut in 0..stream.len() {
        let seen = decode(&stream, &[cut]);
        check_promises(&stream, &seen);
        let shown = |part| {
            seen.iter().filter(|window| window.part == part).flat_map(Seen::content).copied().collect()
        };
        let (body, raw): (Vec<u8>, Vec<u8>) = (shown(Part::Body), shown(Part::Raw));
        assert_eq!((body, raw), (data.clone(), framing.clone()), "cut {cut}");
    }
}

#[test]
fn a_form_that_is_json_is_json() {
    let seen = decode(
        &wire(
            "POST / HTTP/1.1|Content-Type: application/x-www-form-urlencoded|Content-Length: 9||{\"a\":\"b\"}",
        ),
        &[],
    );
    assert!(seen.iter().any(|window| window.part == Part::Json && window.field.as_deref() == Some("a")));
    assert!(seen.iter().all(|window| window.part != Part::Form));
}

#[test]
fn encoded_bodies_are_not_parsed() {
    let head = "POST / HTTP/1.1|Content-Encoding: gzip|Content-Type: application/json|Content-Length: 40||";
    let stream = [wire(head), vec![0x9C; 40]].concat();
    let seen = decode(&stream, &[]);
    check_promises(&stream, &seen);
    let body: Vec<_> = seen.iter().filter(|window| window.part == Part::Body).collect();
    assert_eq!(body.len(), 1);
    assert!(!body[0].text, "compressed bytes are opaque");
    assert!(seen.iter().filter(|window| window.part != Part::Body).all(|window| window.text));
}

#[test]
fn values_come_before_the_bytes_they_stand_in() {
    let stream = wire("POST /p HTTP/1.1|Host: h|Content-Length: 9||{\"a\":\"b\"}");
    let parts: Vec<_> = decode(&stream, &[]).iter().map(|window| window.part.as_str()).collect();
    assert_eq!(parts, ["url.path", "url.host", "header", "raw", "json", "body"]);
}

#[test]
fn message_path_host_and_source() {
    let stream = wire(
        "GET /1 HTTP/1.1|Cookie: a=b;  c = d|Host: a||POST /2?q=r HTTP/1.1|Host: b|Content-Length: 2||ok",
    );
    for window in decode(&stream, &[]) {
        let expected = [("/1", "a"), ("/2", "b")][window.message as usize];
        assert_eq!((window.path.as_deref(), window.host.as_deref()), (Some(expected.0), Some(expected.1)));
        assert_eq!(window.protocol, Protocol::Http11);
        let source = window.source.start as usize..window.source.end as usize;
        assert_eq!(window.content(), &stream[source], "{:?}", window.part);
    }
}

#[test]
fn parts_of_the_corners() {
    let cases = [
        ("CONNECT p.example:443 HTTP/1.1||# in the tunnel", Part::Raw, 1, Protocol::Raw),
        ("GET / HTTP/1.1|Upgrade: websocket||# in a frame", Part::Raw, 1, Protocol::Raw),
        ("POST / HTTP/1.0||# without a length", Part::Body, 0, Protocol::Http11),
        ("HTTP/1.0 200 OK||# to the end", Part::Body, 0, Protocol::Http11),
        ("HTTP/1.1 200 OK|Content-Length: 9||HTTP/1.1 200 OK|X: #||", Part::Header, 1, Protocol::Http11),
        (
            "PUT / HTTP/1.1|Expect: 100-continue|Content-Length: 9||PUT /# HTTP/1.1||",
            Part::UrlPath,
            1,
            Protocol::Http11,
        ),
        ("PUT / HTTP/1.1|Content-Length: 29||PUT /# HTTP/1.1||", Part::Body, 0, Protocol::Http11),
        ("POST / HTTP/1.1|Transfer-Encoding: chunked||0||# later", Part::Raw, 1, Protocol::Raw),
        ("POST / HTTP/1.1|Transfer-Encoding: chunked||5|abcdeX|#", Part::Raw, 1, Protocol::Raw),
        ("GET 2|#", Part::Raw, 0, Protocol::Raw),
    ];
    for (stream, part, message, protocol) in cases {
        let bytes = wire(&stream.replace('#', NANCY));
        let seen = decode(&bytes, &[]);
        check_promises(&bytes, &seen);
        let found: Vec<_> = leaks(&seen).into_iter().map(|(message, part, ..)| (message, part)).collect();
        assert_eq!(found, [(message, part)], "{stream}");
        assert!(hits(&seen).iter().all(|(window, _)| window.protocol == protocol), "{stream}");
    }
}

#[test]
fn a_push_after_a_pause_may_begin_a_message() {
    let request = wire(&format!("GET /?cpr={NANCY} HTTP/1.1||"));
    let raw = Step::Push(b"something else ".to_vec());
    let push = Step::Push(request);
    let part = |steps: &[Step]| {
        leaks(&run(Decoder::stream(), steps)).first().map(|(message, part, ..)| (*message, *part))
    };
    assert_eq!(part(&[raw.clone(), push.clone(), Step::Finish]), Some((0, Part::Raw)));
    assert_eq!(part(&[raw.clone(), Step::Quiet, push.clone(), Step::Finish]), Some((1, Part::UrlQuery)));
    assert_eq!(part(&[raw, Step::Gap(9), push, Step::Finish]), Some((1, Part::UrlQuery)));
}

#[test]
fn a_gap_in_a_body_of_known_length_leads_to_the_next_message() {
    let head = wire("POST / HTTP/1.1|Content-Length: 100||");
    let steps = [
        Step::Push([&head[..], b"{\"a\":\"b"].concat()),
        Step::Gap(73),
        Step::Push([NANCY.as_bytes(), b"\"}        GET /next HTTP/1.1\r\n\r\n"].concat()),
        Step::Finish,
    ];
    let seen = run(Decoder::stream(), &steps);
    let expected = (0, Part::Body, None, NANCY.to_owned());
    assert_eq!(leaks(&seen), [expected], "values behind a gap are not guessed");
    let next = seen.iter().find(|window| window.part == Part::UrlPath && window.message == 1);
    assert_eq!(next.and_then(|window| window.path.as_deref()), Some("/next"));
    let body = seen.iter().find(|window| window.part == Part::Body && !hits(&[(*window).clone()]).is_empty());
    let start = head.len() as u64 + 7 + 73;
    assert_eq!(body.map(|window| window.source.clone()), Some(start..start + 20), "gaps count in offsets");
}

#[test]
fn raw_streams_are_messages_of_64_kib() {
    let push = |len: usize| Step::Push(b"some text and ".repeat(len / 14));
    let seen = run(Decoder::stream(), &[push(200_000), Step::Gap(5), push(20), Step::Finish]);
    for window in &seen {
        let expected = if window.source.start < 200_000 - 14 { window.source.start / 65_536 } else { 4 };
        assert_eq!(window.message, expected, "{:?}", window.source);
    }
    assert_eq!(seen.last().map(|window| window.message), Some(4));
}

#[test]
fn a_gap_directly_behind_a_head_is_body() {
    let steps = [
        Step::Push(wire("HTTP/1.1 200 OK|Content-Length: 100||")),
        Step::Gap(90),
        Step::Push(format!("{NANCY}HTTP/1.1 204 No|X: y||").replace('|', "\r\n").into_bytes()),
        Step::Finish,
    ];
    let seen = run(Decoder::stream(), &steps);
    let body: Vec<_> = seen.iter().filter(|window| window.part == Part::Body).collect();
    assert_eq!(body.len(), 1);
    assert_eq!(body[0].content(), NANCY.as_bytes());
    assert!(
        specific(&seen).iter().any(|(message, _, field, ..)| *message == 1 && field.as_deref() == Some("X"))
    );
}

#[test]
fn datagrams_are_messages() {
    let mut decoder = Decoder::datagram();
    let mut seen = Vec::new();
    for datagram in ["251248", "9996", "", "GET / HTTP/1.1\r\n\r\n"] {
        decoder.push(datagram.as_bytes(), &mut |window| {
            seen.push((window.message, window.part, String::from_utf8_lossy(window.bytes).into_owned()));
        });
    }
    decoder.quiet(&mut |_| panic!("nothing is held back"));
    decoder.finish(&mut |_| panic!("nothing is held back"));
    let expected = [(0, "251248"), (1, "9996"), (2, "GET / HTTP/1.1\r\n\r\n")];
    assert_eq!(seen, expected.map(|(message, text)| (message, Part::Raw, text.to_owned())));
}

#[test]
fn quiet_shows_what_is_held_back_once() {
    let mut decoder = Decoder::stream();
    let count = |decoder: &mut Decoder| {
        let mut count = 0;
        decoder.quiet(&mut |_| count += 1);
        count
    };
    decoder.push(b"GET /a?cpr=2512489", &mut |_| panic!("a head waits for its end"));
    assert_eq!((count(&mut decoder), count(&mut decoder)), (3, 0), "path, query, raw; then nothing");
    decoder.push(b"996 HTTP/1.1\r\nContent-Length: 50\r\n\r\n{\"a\":\"12", &mut |_| {});
    assert_eq!((count(&mut decoder), count(&mut decoder)), (2, 0), "json, body; then nothing");
}

#[test]
fn heads_beyond_the_limits_are_raw_and_still_read() {
    let long = format!("GET /?cpr={NANCY} HTTP/1.1\r\nX: {}\r\nY: {NANCY}\r\n\r\n", "x".repeat(70_000));
    let many = format!("GET /?cpr={NANCY} HTTP/1.1\r\n{}Y: {NANCY}\r\n\r\n", "A: b\r\n".repeat(200));
    for (stream, query) in [(long, true), (many, false)] {
        let seen = decode(stream.as_bytes(), &[]);
        check_promises(stream.as_bytes(), &seen);
        let parts: Vec<_> = leaks(&seen).into_iter().map(|(_, part, ..)| part).collect();
        assert_eq!(parts.contains(&Part::UrlQuery), query);
        assert_eq!(hits(&seen).iter().filter(|(window, _)| window.part == Part::Raw).count(), 2);
    }
}

/// Numbers around each border of 64 KiB, in each kind of long content, whole and cut.
#[test]
fn long_content_is_shown_in_pieces_that_lose_nothing() {
    const LEN: usize = 300_000;
    let spaced = |separator: &str| {
        let mut text = String::new();
        while text.len() < LEN {
            let far = 65_536 - (text.len() % 65_536) > 400;
            text.push_str(if far { "some words here" } else { NANCY });
            text.push_str(separator);
        }
        text
    };
    let post = |kind: &str, body: String| {
        format!("POST / HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let json_values = format!("[\"{}\"]", spaced("\",\"").trim_end_matches("\",\""));
    let cases = [
        (Part::Raw, spaced(" ")),
        (Part::Raw, spaced("\n")),
        (Part::Body, post("text/plain", spaced(", "))),
        (Part::Form, post("application/x-www-form-urlencoded", format!("a=b&long={}&c=d", spaced("+")))),
        (Part::Form, post("application/x-www-form-urlencoded", format!("a=b&long={}", spaced("%20")))),
        (Part::Form, post("application/x-www-form-urlencoded", spaced("&x="))),
        (Part::Json, post("application/json", format!("{{\"k\":\"{}\"}}", spaced("\\u0020")))),
        (Part::Json, post("application/json", format!("{{\"k\":\"{}\"}}", spaced("\\\\")))),
        (Part::Json, post("application/json", format!("{{\"k\":\"{}", spaced("\\n")))),
        (Part::Json, post("application/json", json_values)),
    ];
    for (part, stream) in cases {
        let expected = stream.matches(NANCY).count();
        for cuts in [vec![], (0..stream.len()).step_by(1459).collect::<Vec<_>>()] {
            let seen = decode(stream.as_bytes(), &cuts);
            check_promises(stream.as_bytes(), &seen);
            let found = hits(&seen).iter().filter(|(window, _)| window.part == part).count();
            assert_eq!(found, expected, "{part:?} {}", &stream[..100]);
            let long = seen.iter().filter(|window| window.part == part && window.field.is_some());
            assert!(long.clone().all(|window| !window.content().contains(&b'%')), "escapes are not cut");
        }
    }
}

/// The pieces of a long value, decoded, are the decoded value: no piece begins or ends inside an escape.
#[test]
fn pieces_of_a_long_value_join_to_the_value() {
    let form = ("application/x-www-form-urlencoded", "k=", "");
    let json = ("application/json", "{\"k\":\"", "\"}");
    let cases = [
        (form, "%41", "A"),
        (form, "+b%20", " b "),
        (json, "\\\\", "\\"),
        (json, "\\u0041", "A"),
        (json, "x\\ud83e\\udd80", "x\u{1f980}"),
        (json, "\\n-", "\n-"),
    ];
    for ((kind, open, close), unit, plain) in cases {
        let count = 200_000 / unit.len();
        for pad in ["", "1", "22", "333", "4444", "55555"] {
            let body = format!("{open}{pad}{}{close}", unit.repeat(count));
            let head =
                format!("POST / HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
            let seen = decode((head + &body).as_bytes(), &[]);
            let pieces: Vec<_> = seen.iter().filter(|window| window.field.as_deref() == Some("k")).collect();
            assert!(pieces.len() > 2, "{unit}: in pieces");
            let joined: Vec<u8> = pieces.iter().flat_map(|window| window.content()).copied().collect();
            assert!(joined == (pad.to_owned() + &plain.repeat(count)).into_bytes(), "{unit} behind {pad:?}");
        }
    }
}

#[test]
fn endless_lines_and_paths_are_bounded() {
    let mut decoder = Decoder::stream();
    decoder.push(&wire("POST / HTTP/1.1|Transfer-Encoding: chunked||5;"), &mut |_| {});
    for _ in 0..300 {
        decoder.push(&[b'x'; 1024], &mut |_| {});
        assert!(decoder.held_bytes() < 20_000, "{}", decoder.held_bytes());
    }
    let keys = format!("{{\"{}\":", "k".repeat(100)).repeat(50);
    let stream = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{keys}\"{NANCY}\"", keys.len() + 12);
    let seen = decode(stream.as_bytes(), &[]);
    let path = seen.iter().find(|window| window.part == Part::Json).and_then(|window| window.field.clone());
    let len = path.map_or(0, |path| path.len());
    assert!((400..=512).contains(&len), "{len}");
}

/// What is given up as a head goes on as body without being looked at twice.
#[test]
fn a_body_that_looks_like_a_response_at_first() {
    let next = format!("HTTP/1.1 200 OK|X: {NANCY}||");
    let stream = wire(&format!("HTTP/1.1 200 OK|Content-Length: 14||HTTP/1.1 2x0|{next}"));
    let seen = decode(&stream, &[]);
    check_promises(&stream, &seen);
    assert_eq!(leaks(&seen), [(1, Part::Header, Some("X".to_owned()), NANCY.to_owned())]);
    let body: Vec<u8> =
        seen.iter().filter(|w| w.part == Part::Body).flat_map(Seen::content).copied().collect();
    assert_eq!(body, b"HTTP/1.1 2x0\r\n");
}

/// Work and memory stay proportional when bytes come one by one.
#[test]
fn one_byte_at_a_time_is_linear() {
    let body = format!("{{\"k\":\"{}\"}}", "x".repeat(100_000));
    let head =
        format!("POST / HTTP/1.1\r\nX: {}\r\nContent-Length: {}\r\n\r\n", "y".repeat(60_000), body.len());
    let stream = [head, body].concat();
    let (mut decoder, mut shown) = (Decoder::stream(), 0);
    for byte in stream.as_bytes() {
        decoder.push(&[*byte], &mut |window| shown += window.bytes.len());
        assert!(decoder.held_bytes() < 70_000);
    }
    decoder.finish(&mut |window| shown += window.bytes.len());
    assert!(shown < stream.len() * 3, "{shown}");
}

#[test]
fn an_idle_stream_holds_little() {
    let mut decoder = Decoder::stream();
    decoder.push(&b"some text ".repeat(20_000), &mut |_| {});
    decoder.quiet(&mut |_| {});
    assert!(decoder.held_bytes() <= 144, "{}", decoder.held_bytes());
}

#[test]
fn names_in_reports() {
    let decodings = [Decoding::Chunked, Decoding::Percent, Decoding::FormPlus, Decoding::JsonEscape];
    assert_eq!(decodings.map(Decoding::as_str), ["chunked", "percent", "form-plus", "json-escape"]);
    assert_eq!([Protocol::Http11, Protocol::Raw].map(Protocol::as_str), ["http/1.1", "raw"]);
}
