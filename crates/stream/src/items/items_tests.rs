//! Items of both formats, in pieces of every length.

use super::*;

/// Part, field, what was undone and content of each value.
fn values(mut items: Items, bytes: &[u8], piece: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut sink = |value: Value<'_>| {
        let made_by: Vec<&str> = value.made_by.iter().map(|decoding| decoding.as_str()).collect();
        let content = String::from_utf8_lossy(&value.bytes[value.owned.clone()]).into_owned();
        let (part, field) = (value.part.as_str(), value.field.unwrap_or(""));
        found.push(format!("{part} {field} {} {content}", made_by[made_by.len() - 1]));
    };
    let mut from = 0;
    for end in (piece..bytes.len()).step_by(piece) {
        from = items.run(&bytes[..end], from, (Mode::More, usize::MAX), &mut sink);
    }
    items.run(bytes, from, (Mode::End, usize::MAX), &mut sink);
    found
}

fn check(items: fn() -> Items, bytes: &[u8], expected: &[&str]) {
    for piece in 1..=bytes.len() {
        assert_eq!(values(items(), bytes, piece), expected, "{bytes:x?} in pieces of {piece}");
    }
}

#[test]
fn cbor() {
    let cases: &[(&[u8], &[&str])] = &[
        // {"a": "b", "c": [1, "d"]}
        (b"\xA2\x61a\x61b\x61c\x82\x01\x61d", &["value a cbor b", "value c[] cbor d"]),
        // {_ "a": {"b": h'78'}, "c": "d"}
        (b"\xBF\x61a\xA1\x61b\x41x\x61c\x61d\xFF", &["value a.b cbor x", "value c cbor d"]),
        // 2512489996, 101000000, 99999999, -2512489996, 12345678901
        (b"\x1A\x95\xC1\x8E\x0C", &["value  integer 2512489996"]),
        (b"\x1A\x06\x05\x23\x40", &["value  integer 0101000000"]),
        (b"\x1A\x05\xF5\xE0\xFF", &[]),
        (b"\x3A\x95\xC1\x8E\x0B", &[]),
        (b"\x1B\x00\x00\x00\x02\xDF\xDC\x1C\x35", &[]),
        // 1("a"), 1.5, true, "b"
        (b"\x84\xC1\x61a\xF9\x3E\x00\xF5\x61b", &["value [] cbor a", "value [] cbor b"]),
        // {2512489996: "x"}
        (b"\xA1\x1A\x95\xC1\x8E\x0C\x61x", &["key  integer 2512489996", "value 2512489996 cbor x"]),
        // "cut o
        (b"\x66cut o", &["value  cbor cut o"]),
        (b"\xFF\x61a", &["value  cbor a"]),
        (b"\x1C\x61a", &[]),
    ];
    for (bytes, expected) in cases {
        check(Items::cbor, bytes, expected);
    }
}

#[test]
fn msgpack() {
    let cases: &[(&[u8], &[&str])] = &[
        (b"\x82\xA1a\xA1b\xA1c\x92\x01\xD9\x01d", &["value a msgpack b", "value c[] msgpack d"]),
        (b"\xCE\x95\xC1\x8E\x0C", &["value  integer 2512489996"]),
        (b"\xD3\x00\x00\x00\x00\x95\xC1\x8E\x0C", &["value  integer 2512489996"]),
        (b"\xD2\x95\xC1\x8E\x0C", &[]),
        (b"\xD2\x1E\x8D\x29\x8C", &["value  integer 0512567692"]),
        (b"\x93\xC0\xC3\xA1a", &["value [] msgpack a"]),
        (b"\x92\xD6\x01\x00\x00\x00\x00\xC4\x02ab", &["value [] msgpack ab"]),
        (b"\xDE\x00\x01\xA1k\x80", &[]),
        (b"\xC1\xA1a", &[]),
        (b"\x92\xCB\x40\x00\x00\x00\x00\x00\x00\x00\xA1a", &["value [] msgpack a"]),
    ];
    for (bytes, expected) in cases {
        check(Items::msgpack, bytes, expected);
    }
}

#[test]
fn depth_is_bounded() {
    let mut items = Items::cbor();
    let deep = [vec![0x81; 1000], b"\x61a".to_vec()].concat();
    items.run(&deep, 0, (Mode::End, usize::MAX), &mut |_| panic!("too deep to be read"));
    assert!(items.is_broken());
}
