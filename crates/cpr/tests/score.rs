//! Tables of texts and how sure the scanner is of them: as many counter-examples as examples.
//!
//! `{}` stands for a number with check digit, `{-}` for the same with hyphen, `{!}` and `{!-}` for one without.
#![allow(clippy::unwrap_used, reason = "tests")]

mod people;

use cprvagt_cpr::{Clue, Place};
use people::{
    CLOCKS, DATE, JUNE_2058, MARCH_2027, NOVEMBER_2026, check, check_in, confidences, failing, filled, hits,
    hyphened, passing, scene,
};

#[test]
fn names_decide() {
    check("{\"cpr\":\"{}\"}", "high");
    check("{\"cpr\":\"{-}\"}", "high");
    check("{\"cpr\":{}}", "high");
    check("{\"cpr\":[\"{}\",\"{}\"]}", "high high");
    check("cpr={}", "high");
    check("<cpr>{}</cpr>", "high");
    check("CPR-nr.: {}", "high");
    check("CPR {}", "high");
    check("urn:oid:1.2.208.176.1.2:{}", "high");
    // Without a check digit a name needs the official form.
    check("{\"cpr\":\"{!}\"}", "low");
    check("{\"cpr\":\"{!-}\"}", "medium");
    // A name that other numbers have too.
    check("{\"pnr\":\"{-}\"}", "medium");
    check("{\"pnr\":\"{}\"}", "low");
    check_in(Some("cpr"), Place::Other, "{}", "high");
    check_in(Some("borger.personnummer"), Place::Other, "{}", "high");
    check_in(Some("cprOrder"), Place::Other, "{}", "high");
    check_in(Some("order"), Place::Other, "cpr {}", "high");
    check_in(Some("patient"), Place::Other, "{-}", "medium");
}

#[test]
fn no_name_no_report_of_bare_numbers() {
    check("{}", "low");
    check("{!}", "none");
    check("{\"id\":\"{}\"}", "low");
    check("{\"id\":\"{!}\"}", "none");
    check("{\"id\":{!}}", "none");
    check("{!-}", "none");
    // Forms that telephone numbers and amounts have.
    check("{6}.{4}", "low");
    check("{6} {4}", "low");
    // The name is that of another field, or of another line.
    check("{\"cpr\":null,\"id\":\"{}\"}", "low");
    check("cpr=x&id={}", "low");
    check("cpr\n{}", "low");
}

#[test]
fn denying_names() {
    let keys =
        ["order", "ordrenr", "faktura", "orderId", "ts", "exp", "iat", "cid", "konto", "p-nr", "tlf", "ean"];
    for key in keys {
        check_in(Some(key), Place::Other, "{}", "none");
        check_in(Some(key), Place::UrlQuery, "{}", "none");
        check_in(Some(key), Place::UrlPath, "{}", "none");
        check_in(Some(key), Place::Other, "{-}", "none");
        check(&format!("{{\"{key}\":\"{{}}\"}}"), "none");
        check(&format!("{key}: {{}}"), "none");
        check_in(None, Place::UrlQuery, &format!("{key}={{}}"), "none");
    }
    // A denying name of another field, or far from the number, denies nothing.
    check("{\"order\":1,\"x\":\"{-}\"}", "medium");
    check("telefonisk henvendelse fra {-}", "medium");
    check("ordre til {-}", "medium");
    check_in(None, Place::UrlQuery, "order=1&x={}", "medium");
}

#[test]
fn floor_of_the_official_form() {
    check("{-}", "medium");
    check("{6}%2D{4}", "medium");
    check("{6}\u{2011}{4}", "medium");
    // No check digit.
    check("{!-}", "none");
    // Not the official form: a fraction, a range.
    check("{6}/{4}", "low");
    check("{6}\u{2013}{4}", "low");
}

#[test]
fn floor_of_urls() {
    use Place::{Other, UrlPath, UrlQuery};
    for text in ["{}", "/{}", "/borger/{}", "/borger/{}/sag", "/{}?x=1", "/a/{}#b"] {
        check_in(None, UrlPath, text, "medium");
        check_in(None, Other, text, "low");
    }
    for text in ["{}", "x={}", "x={}&y=1", "a=1&x={}", "?x={}", "x={}#b"] {
        check_in(None, UrlQuery, text, "medium");
        check_in(None, Other, text, "low");
    }
    // No check digit.
    check_in(None, UrlPath, "/borger/{!}", "none");
    check_in(None, UrlQuery, "x={!}", "none");
    // Not the whole of its segment or value.
    check_in(None, UrlPath, "/borger/x_{}", "low");
    check_in(None, UrlPath, "/borger/{}_x", "low");
    check_in(None, UrlQuery, "x=a+{}", "low");
    check_in(None, UrlQuery, "x={}+a", "low");
    check_in(None, UrlPath, "/borger/{}.pdf", "");
    // A name that denies takes the floor away, another does not.
    check_in(Some("id"), UrlQuery, "{}", "medium");
    check_in(Some("order"), UrlQuery, "{}", "none");
}

/// What other systems write that has ten digits in it, or nearly; and why it is no number, or not enough of one.
#[rustfmt::skip]
const LOOK_ALIKES: [(&str, &str); 44] = [
    ("{\"ts\":1795305600}", "seconds since 1970"),
    ("{\"exp\":1801012345,\"iat\":1803010009}", "the times of a token, within the months that look like birth dates"),
    ("{\"t\":1801012345}", "the same, and its name says nothing"),
    ("?_=1801012345", "a time against caches"),
    ("_ga=GA1.2.1203751234.1801012345", "a client's id of Google Analytics: a number and a time, between points"),
    ("_ga_ABC123=GS1.1.1801012345.1.1.1801012399.0.0.0", "its session, between points"),
    ("_ga_ABC123=GS2.1.s1801012345$o1$g1$t1801012399$j60$l0$h0", "its session in the newer form, behind letters"),
    ("_fbp=fb.1.1801012345678.1203751234", "a browser's id of Facebook: milliseconds and a number, between points"),
    ("_gcl_au=1.1.1203751234.1801012345", "an id of advertisers, between points"),
    ("cid=1203751234.1801012345", "a client's id: its name denies, and points tie it"),
    ("ean=5790001203751", "an EAN has thirteen digits, and its name denies"),
    ("EAN 5790001203751", "the same in running text"),
    ("tlf. +45 12037512", "a telephone number of eight digits"),
    ("+4512037512", "the same with its country: ten digits, and no day 45"),
    ("+1-212-037-5123", "a telephone number in four groups"),
    ("(212) 037-5123", "a telephone number in three groups"),
    ("0612037512", "a French telephone number, and no check digit"),
    ("123e4567-e89b-12d3-a456-120375123456", "a UUID whose last group begins like a date"),
    ("a1203751234b5678c9", "letters on both sides"),
    ("0x1203751234", "a letter before it"),
    ("4b2f1203751234aa", "a piece of base 16"),
    ("da39a3ee5e6b4b0d3255bfef95601890afd80709", "a SHA-1"),
    ("GB29NWBK60161331926819", "an IBAN, with letters before its digits"),
    ("DK5000400440116243", "an IBAN without spaces"),
    ("DK50 0040 0440 1162 43", "an IBAN in groups of four"),
    ("NO93 8601 1117 947", "an IBAN whose last groups are four and three"),
    ("4111 1111 1111 1111", "a payment card in groups of four"),
    ("4111111111111111", "a payment card of sixteen digits"),
    ("3782 822463 10005", "a payment card whose groups are four, six and five"),
    ("0.1203751234", "a fraction"),
    ("55.1203751234,12.1203751234", "a place on the globe"),
    ("0.120375 1234", "a fraction, and another number behind it"),
    ("192.168.120.375:1234", "an address and a port"),
    ("12.03.75.123", "an address, or three digits for a serial"),
    ("2026-11-22T10:30:00Z", "a time"),
    ("20261122103000", "a time of fourteen digits"),
    ("2026112201", "the serial of a DNS zone: no month 26"),
    ("ISBN 0-306-40615-2", "an ISBN in groups"),
    ("order 1203751234", "its name denies"),
    ("Faktura nr. 1203751234", "its name denies, with a word between"),
    ("CVR 12037512, P-nr. 1012037512", "a company of eight digits, and a unit whose name denies"),
    ("trace_id=12037512341203751234120375123412", "an id of 32 digits"),
    ("1203751234567890", "an id of sixteen digits"),
    ("x1203751234.jpg", "a file's name: a letter before it, a name behind its point"),
];

#[test]
fn look_alikes_are_silent() {
    for (text, why) in LOOK_ALIKES {
        for (now, place) in CLOCKS.into_iter().flat_map(|now| [(now, Place::Other), (now, Place::UrlQuery)]) {
            let found = hits(text.as_bytes(), &scene(None, place, now));
            let loud = found
                .iter()
                .filter(|hit| hit.confidence.as_str() == "medium" || hit.confidence.as_str() == "high");
            assert_eq!(loud.count(), 0, "{text} {place:?} at {now}, {why}: {found:?}");
        }
    }
}

#[test]
fn epoch_seconds() {
    // Born on 18 January 1980, if a person; 4 February 2027, if a time.
    let second = passing("180180", 1200);
    let check = |text: &str, place, now, expected: &str| {
        let text = text.replace("{}", &second);
        assert_eq!(confidences(&text, &scene(None, place, now)), expected, "{text} {place:?} {now}");
    };
    for now in [NOVEMBER_2026, MARCH_2027] {
        check("{\"t\":{}}", Place::Other, now, "none");
        check("t={}", Place::UrlQuery, now, "none");
        check("/borger/{}", Place::UrlPath, now, "medium");
        check("cpr={}", Place::UrlQuery, now, "high");
        check("{\"cpr\":\"{}\"}", Place::Other, now, "high");
    }
    check("{\"t\":{}}", Place::Other, JUNE_2058, "low");
    let separated = format!("{}/{}", &second[..6], &second[6..]);
    check(&separated, Place::Other, NOVEMBER_2026, "low");
    let later = passing("120375", 1200);
    let found = confidences(&format!("t={later}"), &scene(None, Place::UrlQuery, MARCH_2027));
    assert_eq!(found, "medium", "a person born on another day");
}

#[test]
fn times_of_day() {
    let check = |date: &str, serial, now, expected: &str| {
        let text = hyphened(&passing(date, serial));
        assert_eq!(confidences(&text, &scene(None, Place::Other, now)), expected, "{date} {serial} {now}");
    };
    check("210926", 1100, NOVEMBER_2026, "none");
    check("210924", 1100, NOVEMBER_2026, "none");
    check("210923", 1100, NOVEMBER_2026, "medium");
    check("210926", 2400, NOVEMBER_2026, "medium");
    check("210926", 1160, NOVEMBER_2026, "medium");
    check("210958", 1100, JUNE_2058, "none");
    check("210950", 1100, JUNE_2058, "medium");
    let centenarian = passing("210926", 1100);
    let named = confidences(&format!("cpr: {centenarian}"), &scene(None, Place::Other, NOVEMBER_2026));
    assert_eq!(named, "high");
}

#[test]
fn births_have_happened() {
    let check = |date: &str, serial, now, expected: usize| {
        let text = hyphened(&passing(date, serial));
        let found = hits(text.as_bytes(), &scene(None, Place::Other, now));
        assert_eq!(found.len(), expected, "{date} {serial} {now}");
    };
    check("221126", 4000, NOVEMBER_2026, 1);
    check("231126", 4000, NOVEMBER_2026, 0);
    check("231126", 4000, MARCH_2027, 1);
    check("160327", 5000, MARCH_2027, 0);
    check("140327", 5000, MARCH_2027, 1);
    check("010157", 5000, MARCH_2027, 0);
    check("010157", 5000, JUNE_2058, 1);
    check("290200", 4000, NOVEMBER_2026, 1);
    check("290200", 1000, NOVEMBER_2026, 0);
    check("290296", 1000, NOVEMBER_2026, 1);
    check("290297", 1000, NOVEMBER_2026, 0);
    check("310490", 1000, NOVEMBER_2026, 0);
    check("001290", 1000, NOVEMBER_2026, 0);
    check("321290", 1000, NOVEMBER_2026, 0);
    check("011390", 1000, NOVEMBER_2026, 0);
}

#[test]
fn serial_0000_is_invalid() {
    let scene = scene(Some("cpr"), Place::Other, NOVEMBER_2026);
    assert_eq!(confidences(&format!("{DATE}0000"), &scene), "");
    assert_ne!(confidences(&format!("{DATE}0001"), &scene), "");
}

#[test]
fn the_very_old_count_less() {
    let check = |date: &str, serial, now, expected: &str| {
        let text = hyphened(&passing(date, serial));
        assert_eq!(confidences(&text, &scene(None, Place::Other, now)), expected, "{date} {serial} {now}");
    };
    check("231115", 2500, NOVEMBER_2026, "medium");
    check("221116", 2500, NOVEMBER_2026, "medium");
    check("211115", 2500, NOVEMBER_2026, "low");
    check("120399", 5000, NOVEMBER_2026, "low");
    check("120347", 2500, JUNE_2058, "low");
}

#[test]
fn checksum_is_evidence() {
    let check = |ten: &str, expected: (&str, &str, &str)| {
        let found = hits(ten.as_bytes(), &scene(Some("cpr"), Place::Other, NOVEMBER_2026));
        let found: Vec<_> = found
            .iter()
            .map(|hit| (hit.class.as_str(), hit.checksum.as_str(), hit.confidence.as_str()))
            .collect();
        assert_eq!(found, [expected], "{}", &ten[..6]);
    };
    check(&passing("010190", 1000), ("cpr", "mod11", "high"));
    check(&failing("010190", 1000), ("cpr", "listed-date", "medium"));
    check(&failing("010193", 1000), ("cpr", "none", "low"));
    check(&failing("020190", 1000), ("cpr", "none", "low"));
    check(&failing("010162", 1000), ("cpr", "listed-date", "medium"));
    check(&failing("010160", 5000), ("cpr", "none", "none"));
    check(&passing("120375", 1000), ("cpr", "mod11", "high"));
    check(&passing("120376", 1010), ("cpr", "mod11", "high"));
    check(&passing("720375", 1000), ("replacement", "mod11", "high"));
    check(&failing("720375", 1000), ("replacement", "none", "medium"));
    check(&failing("610190", 1000), ("replacement", "none", "medium"));
    check("2512489996", ("test", "none", "high"));
    check(
        &format!("{DATE}9990"),
        ("test", if people::remainder(&format!("{DATE}9990")) == 0 { "mod11" } else { "none" }, "high"),
    );
    check(&passing("120375", 9991), ("cpr", "mod11", "high"));
}

#[test]
fn adoptees_are_real() {
    for serial in [1000, 1100] {
        let ten = passing("120380", serial);
        assert!(matches!(&ten[6..8], "10" | "11"));
        let found = confidences(&hyphened(&ten), &scene(None, Place::Other, NOVEMBER_2026));
        assert_eq!(found, "medium");
    }
}

#[test]
fn scores_are_the_published_sums() {
    let check = |key: Option<&str>, template: &str, expected: f32| {
        let found = hits(filled(template).as_bytes(), &scene(key, Place::Other, NOVEMBER_2026));
        let scores: Vec<_> = found.iter().map(|hit| hit.score.decibans()).collect();
        assert_eq!(scores, [expected], "{key:?} {template}");
    };
    check(None, "{}", -3.1);
    check(None, "{!}", -23.5);
    check(None, "{6}/{4}", 0.9);
    check(None, "{-}", 10.0);
    check(None, "{!-}", -13.5);
    check(Some("cpr"), "{}", 21.9);
    check(Some("cpr"), "{!}", 1.5);
    check(Some("cpr"), "{!-}", 11.5);
    check(Some("cpr"), "{-}", 31.9);
    check(Some("pnr"), "{}", 4.9);
    check(Some("pnr"), "{-}", 14.9);
    check(Some("order"), "{}", -23.1);
    check(Some("patient_order"), "{}", -15.1);
}

#[test]
fn sequences() {
    let first: u64 = passing(DATE, 1200).parse().unwrap();
    let check = |numbers: &[u64], expected: &str| {
        let text: Vec<_> = numbers.iter().map(|number| format!("/{number}")).collect();
        let found = confidences(&text.concat(), &scene(None, Place::UrlPath, NOVEMBER_2026));
        assert_eq!(found, expected, "{:?}", numbers.iter().map(|number| number - first).collect::<Vec<_>>());
    };
    check(&[first], "medium");
    check(&[first, first], "medium medium");
    check(&[first, first + 1], "none none");
    check(&[first + 1, first], "none none");
    check(&[first, first + 100], "none none");
    check(&[first, first + 101], "medium none");
    let twin: u64 = passing(DATE, 1210).parse().unwrap();
    assert!(twin > first && twin - first < 100);
    check(&[first, twin], "medium medium");
    let strangers = (0..16).map(|year| format!("/1203{:02}1234", year + 40)).collect::<String>();
    let far = format!("/{first}{strangers}/{}", first + 1);
    let found = confidences(&far, &scene(None, Place::UrlPath, NOVEMBER_2026));
    assert!(found.starts_with("medium"), "sixteen candidates between: {found}");
}

#[test]
fn foreign_numbers_weigh_less() {
    // An Icelandic check digit in the ninth place, the century in the tenth, and modulus 11 by search.
    let icelandic = |ten: &str| {
        let weights = [3, 2, 7, 6, 5, 4, 3, 2, 1];
        let sum: u32 =
            ten.chars().zip(weights).map(|(digit, weight)| digit.to_digit(10).unwrap() * weight).sum();
        sum.is_multiple_of(11) && ten.ends_with('9')
    };
    let ten = (1..3000)
        .map(|serial| format!("1203{:02}{:04}", serial % 50 + 45, serial))
        .find(|ten| icelandic(ten) && people::remainder(ten) == 0)
        .unwrap();
    let score = |key: Option<&str>, text: &str| {
        hits(text.as_bytes(), &scene(key, Place::Other, NOVEMBER_2026))[0].score.decibans()
    };
    assert_eq!(score(None, &ten), -9.1);
    assert_eq!(score(Some("cpr"), &ten), 21.9);
    assert_eq!(score(None, &hyphened(&ten)), 10.0, "the floor stays");
}

#[test]
fn lists_share_their_label() {
    check("CPR: {}, {}", "high high");
    check("{\"cpr\":[\"{}\", \"{}\", \"{}\"]}", "high high high");
    // No comma between: a list is not known to go on.
    check("cpr {} {}", "high low");
    // Another field.
    check("cpr={}&x={}", "high low");
    check("{\"cpr\":\"{}\",\"x\":\"{}\"}", "high low");
    check("<cpr>{}</cpr><id>{}</id>", "high low");
}

#[test]
fn reasons_name_what_was_seen() {
    let check = |key: Option<&str>, place, template: &str, expected: &str| {
        let found = hits(filled(template).as_bytes(), &scene(key, place, NOVEMBER_2026));
        let [hit] = &found[..] else { panic!("{template}: {found:?}") };
        let reasons: Vec<_> = hit.why.reasons().collect();
        let words: Vec<_> = reasons.iter().map(|reason| reason.clue.as_str()).collect();
        assert_eq!(words.join(" "), format!("prior birth-date {expected}"), "{template}");
        let sum: i16 = reasons.iter().map(|reason| reason.weight.tenths()).sum();
        assert_eq!(sum, hit.score.tenths(), "{template}");
    };
    use Place::{Other, UrlPath, UrlQuery};
    check(None, Other, "{}", "check-digit no-separator");
    check(None, Other, "{!}", "no-check-digit no-separator");
    check(None, Other, "cpr: {-}", "check-digit official-form strong-name");
    check(None, Other, "{-}", "check-digit official-form form-floor");
    check(None, Other, "{6}/{4}", "check-digit other-separator");
    check(None, UrlPath, "/sag/{}", "check-digit no-separator url-floor");
    check(None, UrlPath, "/borger/{}", "check-digit no-separator weak-name url-floor");
    check(None, UrlQuery, "x={}", "check-digit no-separator url-floor");
    check(Some("patient_order"), Other, "{}", "check-digit no-separator denying-name weak-name");
    let second = passing("180180", 1200);
    check(None, Other, &second, "check-digit no-separator epoch-second");
    check(Some("cpr"), Other, &second, "check-digit no-separator strong-name");
}

#[test]
fn a_neighbour_is_among_the_reasons_of_both() {
    let first: u64 = passing(DATE, 1200).parse().unwrap();
    let found = hits(format!("{first} {}", first + 1).as_bytes(), &scene(None, Place::Other, NOVEMBER_2026));
    let has = |clue| move |hit: &cprvagt_cpr::Hit| hit.why.reasons().any(|reason| reason.clue == clue);
    assert_eq!(found.iter().filter(|hit| has(Clue::Neighbour)(hit)).count(), 2);
}
