//! Names that attackers shape, and names that must stay as they are.

use super::*;

/// A MedCom test person's number.
const NUMBER: &str = "2512489996";

fn scrubber() -> Scrubber {
    Scrubber::at(1_700_000_000)
}

fn name(text: &str) -> String {
    scrubber().name(text).to_string()
}

/// `NUMBER` in the text becomes the number, `HOLE` in the expectation stays.
fn check(text: &str, expected: &str) {
    let text = text.replace("NUMBER", NUMBER);
    assert_eq!(name(&text), expected, "{text:?}");
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[test]
fn names_without_numbers_stay() {
    for text in ["", "stats.example", "/usr/sbin/nginx", "x-request-id", "Ærø.example", "a%20b", "100%", "{}"]
    {
        check(text, text);
    }
}

#[test]
fn plain_numbers_go() {
    check("NUMBER", "{}");
    check("NUMBER.stats.example", "{}.stats.example");
    check("id-251248-9996.example", "id-{}.example");
    check("/tmp/NUMBER.csv", "/tmp/{}.csv");
    check("aNUMBERb", "a{}b");
    check("NUMBER,NUMBER", "{},{}");
}

#[test]
fn percent_encoded_numbers_go() {
    let once = percent(NUMBER);
    let twice = percent(&once);
    let five = once.replace('%', "%25252525");
    let cases = [
        (format!("q={once}&x"), "q={}&x".to_owned()),
        (format!("a/{twice}"), "a/{}".to_owned()),
        ("25124899%39%36".to_owned(), "{}".to_owned()),
        (format!("{NUMBER}/{once}"), "{}/{}".to_owned()),
    ];
    for (text, expected) in cases {
        assert_eq!(name(&text), expected, "{text}");
    }
    assert!(!name(&five).contains(|c: char| c.is_ascii_digit()), "deeper than is looked");
}

#[test]
fn hex_and_base64_of_numbers_go() {
    use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, HEXLOWER};
    let dashed = "251248-9996";
    let cases = [
        (format!("v-{}", HEXLOWER.encode(NUMBER.as_bytes())), "v-{}"),
        (HEXLOWER.encode(dashed.as_bytes()).to_uppercase(), "{}"),
        (format!("a{}z", HEXLOWER.encode(dashed.as_bytes())), "{}z"),
        (format!("host.{}", BASE64_NOPAD.encode(NUMBER.as_bytes())), "host.{}"),
        (format!("c={}", BASE64.encode(dashed.as_bytes())), "c={}="),
        (format!("t:{}", BASE64URL.encode(format!("{{\"cpr\":\"{NUMBER}\"}}").as_bytes())), "t:{}="),
        (format!("t:{}", BASE64.encode(&[&[0xff, 0xff], NUMBER.as_bytes()].concat())), "t:{}"),
        (format!("x_{}", BASE64.encode(format!(">>>{NUMBER}").as_bytes())), "{}=="),
    ];
    for (text, expected) in cases {
        assert_eq!(name(&text), expected, "{text}");
    }
    for ahead in 0..9 {
        let text = "~".repeat(ahead) + NUMBER + "tail";
        for (encoded, about) in
            [(BASE64.encode(text.as_bytes()), "base64"), (HEXLOWER.encode(text.as_bytes()), "hex")]
        {
            let shown = name(&format!("ab{encoded}"));
            assert!(shown.contains("{}") && shown.len() < 16, "{about} {ahead}: {shown}");
        }
    }
}

#[test]
fn nothing_that_a_terminal_obeys_stays() {
    check("\u{1b}[31mred\u{1b}[0m", "red");
    check("\u{1b}]0;title\u{7}x", "]0;titlex");
    check("a\r\nb\tc\0", "abc");
    check("a\u{202e}b\u{200b}c\u{9b}d", "abcd");
    check("\u{1b}[", "");
    // Numbers that escapes or invisible marks tear apart are whole again before they are looked for.
    check("25124\u{1b}[1m89996", "{}");
    check("25124\u{200b}89996", "{}");
    assert_eq!(scrubber().name(b"a\xff\xfeb").to_string(), "a\u{fffd}\u{fffd}b");
}

#[test]
fn names_are_bounded_and_never_cut_inside_a_number() {
    for ahead in NAME_BYTES_MAX - 12..NAME_BYTES_MAX + 2 {
        let shown = name(&format!("{}{NUMBER}tail{}", "-".repeat(ahead), "z".repeat(50)));
        assert!(shown.len() <= NAME_BYTES_MAX && !shown.contains("2512"), "{shown}");
    }
    let base64 = data_encoding::BASE64.encode("251248-9996".as_bytes());
    for ahead in 0..30 {
        for piece in ["2512489996 ", "251248-9996,", &percent(NUMBER), &base64] {
            let shown = name(&("-".repeat(ahead) + &piece.repeat(READ_BYTES_MAX / 10)));
            assert!(shown.len() <= NAME_BYTES_MAX && shown.ends_with('…'), "{shown}");
            assert!(!shown.contains("25") && !shown.contains("MjUx"), "{shown}");
        }
    }
    let wide = name(&"æ".repeat(400));
    assert!(wide.len() <= NAME_BYTES_MAX && wide.ends_with("æ…"));
}

#[test]
fn paths_keep_their_shape_alone() {
    let uuid = "/doc/550e8400-e29b-41d4-a716-446655440000/pdf";
    let cases = [
        ("/borger/NUMBER", "/borger/{}"),
        ("/v1/users/42/profile", "/v1/users/{}/profile"),
        ("/api/v2/citizens", "/api/v2/citizens"),
        ("/2024/report", "/{}/report"),
        (uuid, "/doc/{}/pdf"),
        ("/o/deadbeef01/x", "/o/{}/x"),
        ("/t/dGhpc0lzQVRva2VuMTIz/x", "/t/{}/x"),
        ("/feedface/cafe", "/feedface/cafe"),
        ("/mail/nancy@example.dk", "/mail/{}"),
        ("/x?cpr=NUMBER#y", "/x"),
        // A number with the separators of a date; beside it, what is none.
        ("/25/12/48/9996", "/{}"),
        ("/25/13/48/9996", "/{}/{}/{}/{}"),
        ("/%32%35%31%32%34%38%39%39%39%36/a", "/{}/a"),
        ("/", "/"),
        ("", ""),
        ("*", "*"),
        ("/getInternationalizedContent", "/getInternationalizedContent"),
    ];
    for (path, expected) in cases {
        let path = path.replace("NUMBER", NUMBER);
        assert_eq!(scrubber().path(&path).as_str(), expected, "{path}");
    }
}

#[test]
fn digits_at_the_cut_of_a_command_name_go() {
    let cases = [
        ("nginx", "nginx"),
        ("job-251248-9996", "job-{}"),
        ("worker-25124899", "worker-{}"),
        ("worker:251248-9", "worker:{}"),
        ("worker:251248-", "worker:251248-"),
        ("php-fpm8.2", "php-fpm8.2"),
    ];
    for (comm, expected) in cases {
        assert_eq!(scrubber().comm(comm).as_str(), expected, "{comm}");
    }
}
