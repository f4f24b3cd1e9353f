//! Tables of written forms and their surroundings: as many counter-examples as examples.
//!
//! `{}` stands for a number with check digit, `{-}` for the same with hyphen, `{!}` and `{!-}` for one without.
#![allow(clippy::unwrap_used, reason = "tests")]

mod people;

use cprvagt_cpr::{Place, scrub_ranges};
use people::{CLOCKS, NOVEMBER_2026, check, confidences, filled, hits, scene};

#[test]
fn separators() {
    let separators = [
        "-", ".", "/", "_", "+", " ", "\u{a0}", "\u{2010}", "\u{2011}", "\u{2012}", "\u{2013}", "\u{2212}",
        "\u{ad}",
    ];
    for separator in separators.into_iter().chain(["%2D", "%2d", "%20", " - ", "\t"]) {
        let text = filled(&format!("CPR: {{6}}{separator}{{4}}!"));
        let found = hits(text.as_bytes(), &scene(None, Place::Other, NOVEMBER_2026));
        assert_eq!(found.len(), 1, "{text}");
        assert_eq!((found[0].start, found[0].end), (5, text.len() - 1), "{text}");
        assert_eq!(found[0].confidence.as_str(), "high", "{text}");
        assert_eq!(found[0].number.digits()[..], *filled("{}").as_bytes());
    }
}

#[test]
fn what_is_no_separator() {
    let others = [
        ("--", "one hyphen at most"),
        ("- ", "spaces on both sides of a hyphen, or on none"),
        (" -", "spaces on both sides of a hyphen, or on none"),
        (" / ", "only a hyphen has spaces around it"),
        ("  ", "the gap between two columns"),
        ("\n", "the next line is another value"),
        ("%0A", "the same, escaped"),
        (",", "the next value of a list"),
        ("%2C", "the same, escaped"),
        (":", "a time of day, or a port"),
        ("=", "a name and its value"),
        ("*", "a product"),
        ("x", "a letter makes it a name"),
        ("\u{ff}", "a letter, whose first byte no separator has"),
        ("\u{a1}", "begins like the space that does not break"),
        ("\u{2014}", "the dash between two clauses"),
        ("\u{2015}", "the byte behind the last dash"),
        ("\u{2009}", "begins like a dash, and is a thin space"),
    ];
    for (separator, why) in others {
        let found = confidences(
            &filled(&format!("CPR: {{6}}{separator}{{4}}")),
            &scene(None, Place::Other, NOVEMBER_2026),
        );
        assert_eq!(found, "", "{separator:?}: {why}");
    }
}

#[test]
fn shapes() {
    let check = |template: &str, expected: &str| {
        let found = hits(filled(template).as_bytes(), &scene(None, Place::Other, NOVEMBER_2026));
        assert_eq!(found.iter().map(|hit| hit.shape.as_str()).collect::<Vec<_>>(), [expected], "{template}");
    };
    check("{}", "xxxxxxxxxx");
    check("{-}", "xxxxxx-xxxx");
    check("{6}%2d{4}", "xxxxxx-xxxx");
    check("{6} {4}", "xxxxxx xxxx");
    check("{6} - {4}", "xxxxxx - xxxx");
    check("{6}\u{a0}{4}", "xxxxxx xxxx");
    check("12 03 75 {4}", "xx.xx.xx-xxxx");
}

/// Each counter-example says why it is none.
#[test]
fn dates_with_separators() {
    check("cpr 12.03.75-{4}", "high");
    check("cpr 12 03 75 {4}", "high");
    check("cpr: 12-03-75-{4}", "high");
    check("cpr=12/03/75-{4}", "high");
    check("cpr 12.03.75 - {4}", "high");
    check("cpr 12.03.75\u{2013}{4}", "high");
    check("cpr%3A%2012.03.75-{4}", "high");
    // Without a name it is a form that much else has, so neither the form's weight nor a floor counts.
    check("12.03.75-{4}", "low");
    check("(12 03 75 {4})", "low");
    // Two kinds of separator.
    check("cpr 12.03-75-{4}", "");
    // A kind that dates do not have.
    check("cpr 12:03:75-{4}", "");
    check("cpr 12_03_75-{4}", "");
    // Nothing before the serial.
    check("cpr 12.03.75{4}", "");
    // A telephone number, an address, a version: the row has begun before.
    check("cpr +45 12 03 75 {4}", "");
    check("cpr 10.12.03.75.{4}", "");
    check("cpr 1-12-03-75-{4}", "");
    // A year in full: no form of the number.
    check("cpr 12.03.1975-{4}", "");
    // No such day.
    check("cpr 30.02.75-{4}", "");
    // A piece of something longer.
    check("cpr x12.03.75-{4}", "");
    check("cpr 12.03.75-{4}x", "");
    check("cpr 12.03.75-{4}1", "");
}

/// Each in both orders; boundaries, names and places are those of the text that UTF-16 writes.
#[test]
fn utf16() {
    let check = check_wide;
    check(Place::Other, "cpr: {}", "high");
    check(Place::Other, "{\"cpr\":\"{-}\"}", "high");
    check(Place::Other, "Personnummer på patienten: {}", "high");
    check(Place::Other, "{-}", "medium");
    check(Place::Other, "{6}\u{2011}{4}", "medium");
    check(Place::Other, "{}", "low");
    check(Place::Other, "\r\n{}\r\n", "low");
    check(Place::UrlQuery, "id={}&x=1", "medium");
    // Pairs of bytes that are no UTF-16 mostly read as far scripts: no letters here.
    check(Place::Other, "\u{4e00}{-}\u{4e00}", "medium");
    // Another field's name.
    check(Place::Other, "cpr=x&id={}", "low");
    // Pieces of something longer.
    check(Place::Other, "x{-}", "");
    check(Place::Other, "å{-}", "");
    check(Place::Other, "{-}x", "");
    check(Place::Other, "1{}", "");
    check(Place::Other, "{}1", "");
    check(Place::Other, "1.{-}", "");
    check(Place::Other, "{-}-a", "");
    check(Place::Other, "{-}.1", "");
    // A letter whose low byte is a digit.
    check(Place::Other, "\u{131}{-}", "");
    // No separator of the grammar; of the last the low byte is one.
    check(Place::Other, "cpr {6}:{4}", "");
    check(Place::Other, "cpr {6}--{4}", "");
    check(Place::Other, "cpr {6}\u{2014}{4}", "");
    check(Place::Other, "cpr {6}\u{22d}{4}", "");
    // Digits before it that an escape owns, and those that none does.
    check(Place::Other, "%22{}%22", "low");
    check(Place::Other, "cpr=%22{-}%22", "high");
    check(Place::Other, "cpr: \\u0022{}\\u0022", "high");
    check(Place::Other, "cpr: %2{}", "");
    check(Place::Other, "cpr: 22{}", "");
}

/// Each in both orders, and each counter-example says why it is none.
#[test]
fn dates_with_separators_in_utf16() {
    let check = |template: &str, expected: &str| check_wide(Place::Other, template, expected);
    check("cpr 12.03.75-{4}", "high");
    check("cpr 12 03 75 {4}", "high");
    check("cpr: 12-03-75-{4}", "high");
    check("cpr=12/03/75-{4}", "high");
    check("cpr 12.03.75 - {4}", "high");
    check("cpr 12.03.75\u{2013}{4}", "high");
    check("cpr=%2212.03.75%2D{4}%22", "high");
    check("cpr\t12.03.75\t{4}\r\n", "high");
    check("\u{4e00}12 03 75 {4}\u{4e00}", "low");
    check("12.03.75-{4}", "low");
    // Two kinds of separator.
    check("cpr 12.03-75-{4}", "");
    // A kind that dates do not have; of the last the low byte is one.
    check("cpr 12:03:75-{4}", "");
    check("cpr 12\u{22e}03\u{22e}75-{4}", "");
    // Nothing before the serial, or a character whose low byte alone is a hyphen.
    check("cpr 12.03.75{4}", "");
    check("cpr 12.03.75\u{22d}{4}", "");
    // The row has begun before, as in a telephone number or an address.
    check("cpr +45 12 03 75 {4}", "");
    check("cpr 10.12.03.75.{4}", "");
    // A year in full: no form of the number.
    check("cpr 12.03.1975-{4}", "");
    // No such day.
    check("cpr 30.02.75-{4}", "");
    // A piece of something longer.
    check("cpr x12.03.75-{4}", "");
    check("cpr 112.03.75-{4}", "");
    check("cpr 12.03.75-{4}x", "");
    check("cpr 12.03.75-{4}1", "");
}

/// The confidences of a filled template in UTF-16, in both orders and behind bytes that are no part of it.
fn check_wide(place: Place, template: &str, expected: &str) {
    for order in [u16::to_le_bytes, u16::to_be_bytes] {
        for before in [&[][..], &[0], &[10, 0, 0]] {
            let mut text = before.to_vec();
            text.extend(filled(template).encode_utf16().flat_map(order));
            let found = hits(&text, &scene(None, place, NOVEMBER_2026));
            let found: Vec<_> = found.iter().map(|hit| hit.confidence.as_str()).collect();
            assert_eq!(found.join(" "), expected, "{template} {before:?}");
        }
    }
}

#[test]
fn boundaries_that_are_open() {
    // Nothing beside it, or a bracket, a quotation mark, a tag, a name and its value.
    check("{-}", "medium");
    check("({-})", "medium");
    check("\"{-}\"", "medium");
    check("<a>{-}</a>", "medium");
    check("x={-}&y", "medium");
    // A point ends the sentence; a hyphen without a letter or digit on its other side is a dash.
    check("Han er {-}.", "medium");
    check("Han er {-}. Hun", "medium");
    check("- {-}-", "medium");
    check("--{-}--", "medium");
    // An underscore and a colon join names, not numbers.
    check("_{-}_x", "medium");
    check("a_{-}", "medium");
    check("a:{-}:b", "medium");
    // A comma is the border of a column, where it is not the comma of a decimal.
    check("Hansen,{-},Aarhus", "medium");
    check("7,{-},8", "medium");
    check("Hansen,{},Aarhus", "low");
    // An escape is what it means: quotation marks, spaces, signs, ends of lines.
    check("%22{-}%22", "medium");
    check("%2522{-}%2522", "medium");
    check("%20{-}%20", "medium");
    check("%3D{-}%26", "medium");
    check("%0A{-}", "medium");
    check("\\n{-}\\n", "medium");
    check("a\\t{-}\\r\\n", "medium");
    check("\\u0022{-}\\u0022", "medium");
    check("\\u003d{-}", "medium");
    check("\\u00a0{-}", "medium");
    check("x=3D{-}=0A", "medium");
    check("&quot;{-}&quot;", "medium");
    check("&#34;{-}&#34;", "medium");
    check("a&#32;{-}", "medium");
    check("\u{2013}{-}", "medium");
    // Digits before the number that the escape owns.
    check("%22{}%22", "low");
    check("\\u0022{}\\u0022", "low");
    // A percent sign behind a quotation mark is a pattern of SQL, and begins no escape.
    check("LIKE '%{-}%'", "medium");
    check("LIKE '%{}%'", "low");
    // Bytes of no text at all.
    check("\u{1}\n{-}\u{0}", "medium");
}

#[test]
fn boundaries_that_are_closed() {
    // A digit makes it longer, a letter makes it a name, in any script.
    for neighbour in ["1", "a", "Z", "\u{e5}", "\u{416}"] {
        closes_before(neighbour);
        closes_behind(neighbour);
    }
    // A point or a hyphen with more on its other side: a decimal, a host's name, an id.
    ["1.", "a.", "a-", "1-"].into_iter().for_each(closes_before);
    [".1", ".a", "-1", "-a"].into_iter().for_each(closes_behind);
    // An escape closes where what it means does.
    for neighbour in ["%41", "\\u0041", "&#65;"] {
        closes_before(neighbour);
        closes_behind(neighbour);
    }
    closes_before("%30");
    ["%2D1", "%2E5", "&#45;a"].into_iter().for_each(closes_behind);
    // A decimal comma.
    check("1,{}", "");
    check("{},5", "");
    // An escaped hyphen with a letter on its other side.
    check("a&#45;{-}", "");
    check("a%2D{-}", "");
    check("a\\u002d{-}", "");
    // Digits before it that no escape owns.
    check("22{}", "");
    check("%2{}", "");
    check("0022{}", "");
    check("u0022{}", "");
    // Letters on both sides.
    check("a{-}b", "");
}

fn closes_before(neighbour: &str) {
    check(&format!("{neighbour}{{-}}"), "");
    check(&format!("{neighbour}{{}}"), "");
}

fn closes_behind(neighbour: &str) {
    check(&format!("{{-}}{neighbour}"), "");
    check(&format!("{{}}{neighbour}"), "");
}

#[test]
fn percent_escapes_do_not_lend_digits() {
    // A space and eight digits, such as a telephone number: "%20" + "12037512" would name a date.
    for now in CLOCKS {
        assert_eq!(confidences("q=x%2012037512", &scene(None, Place::UrlQuery, now)), "");
        assert_eq!(confidences("q=x%201203-7512", &scene(None, Place::UrlQuery, now)), "");
        assert_eq!(confidences("&#2003751234;", &scene(None, Place::Other, now)), "");
    }
}

#[test]
fn keywords_directly_before() {
    for keyword in ["cpr", "CPR", "cprnr", "CprNr.", "cpr-nr.", "cpr_", "cpr-", "personnummer", "cprnummer"] {
        check(&format!("{keyword}{{}}"), "high");
        check(&format!("x {keyword}{{-}} y"), "high");
    }
    check("1.2.208.176.1.2.{}", "high");
    // A part of the name, or the name with a letter behind it.
    for other in ["cp", "pr", "person", "nummer", "cprx", "cpr-x", "cpr--x"] {
        closes_before(other);
    }
    // Another name, or another register's OID: what it stands before is an id.
    for other in ["id", "kunde-", "cvr", "1.2.208.176.1.3."] {
        closes_before(other);
    }
}

#[test]
fn what_is_printed_of_a_hit_has_no_digit_of_it() {
    let found = hits(filled("cpr {}").as_bytes(), &scene(None, Place::Other, NOVEMBER_2026));
    let printed = format!("{found:?}");
    let number = filled("{}");
    for part in 0..=number.len() - 4 {
        assert!(!printed.contains(&number[part..part + 4]), "{printed}");
    }
    assert!(printed.contains("4..14") && printed.contains("High"));
}

#[test]
fn names_are_scrubbed_whole() {
    let check = |template: &str, expected: &str| {
        let text = filled(template);
        let (mut scrubbed, mut rest) = (String::new(), 0);
        scrub_ranges(text.as_bytes(), NOVEMBER_2026, &mut |range| {
            scrubbed += &text[rest..range.start];
            scrubbed += "{}";
            rest = range.end;
        });
        scrubbed += &text[rest..];
        assert_eq!(scrubbed, expected, "{template}");
    };
    check("host-{}.example", "host-{}.example");
    check("a{-}b", "a{}b");
    check("{!}", "{}");
    check("x{}99y{!-}", "x{}y{}");
    check("9999999999", "{}");
    check("web-01.example", "web-01.example");
    check("10.20.30.40", "10.20.30.40");
    check("2026-11-22", "2026-11-22");
}
