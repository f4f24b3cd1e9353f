//! What a field's name says about its value, in Danish and English.
//!
//! A name is read as words: `patientCprNr` is `patient`, `Cpr`, `Nr`. Case does not matter. A word that denies a
//! number counts only where it names the value; a word that supports one may stand anywhere in the field.

use core::ops::Range;

/// The longest part of a field's name that is read, from its end.
const KEY_BYTES_MAX: usize = 128;

/// What names say. All may hold at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Naming {
    /// It is called a CPR number: `cpr`, `personnummer`, the OID of the CPR register.
    pub strong: bool,
    /// It is about a person, or a birth date is named.
    pub weak: bool,
    /// It is called something else: a time, an order, an account, a telephone number.
    pub denied: bool,
}

impl Naming {
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            strong: self.strong || other.strong,
            weak: self.weak || other.weak,
            denied: self.denied || other.denied,
        }
    }
}

/// How a pattern (lower case) must lie in a word.
enum Match {
    Whole,
    Start,
    Within,
    End,
}
use Match::{End, Start, Whole, Within};

const STRONG: &[(Match, &str)] = &[
    (Start, "cpr"),
    (End, "cpr"),
    (Within, "cprn"),
    (Within, "personnummer"),
    (Within, "personnumre"),
    (Within, "personnr"),
    (Start, "civilregistration"),
];

const STRONG_PAIRS: &[(&str, &str)] = &[("person", "nummer"), ("person", "nr"), ("civil", "registration")];

const WEAK: &[(Match, &str)] = &[
    (Whole, "pnr"),
    (Whole, "ssn"),
    (Whole, "dob"),
    (Start, "patient"),
    (Start, "borger"),
    (Start, "citizen"),
    (Within, "sikring"),
    (Within, "birth"),
    (Start, "fødsel"),
    (Start, "foedsel"),
    (Start, "fodsel"),
    (Whole, "født"),
    (Whole, "foedt"),
    (Start, "nationalid"),
    (Start, "socialsecurity"),
    (Start, "personid"),
    (Start, "personalid"),
    (Start, "personalnumber"),
];

const WEAK_PAIRS: &[(&str, &str)] = &[
    ("national", "id"),
    ("social", "security"),
    ("person", "id"),
    ("personal", "id"),
    ("personal", "number"),
    ("personal", "identification"),
];

const DENYING: &[(Match, &str)] = &[
    // Times.
    (Whole, "ts"),
    (Whole, "time"),
    (Start, "timestamp"),
    (Start, "tidspunkt"),
    (Start, "tidsstempel"),
    (Start, "epoch"),
    (Whole, "exp"),
    (Start, "expir"),
    (Whole, "iat"),
    (Whole, "nbf"),
    (Start, "created"),
    (Start, "updated"),
    (Start, "modified"),
    // Client, session and trace ids, cache-busters.
    (Whole, "cid"),
    (Whole, "gid"),
    (Whole, "jid"),
    (Whole, "gjid"),
    (Whole, "sid"),
    (Whole, "auid"),
    (Whole, "ga"),
    (Whole, "gcl"),
    (Whole, "fbp"),
    (Whole, "fbc"),
    (Start, "clientid"),
    (Start, "session"),
    (Start, "trace"),
    (Whole, "span"),
    (Start, "spanid"),
    (Whole, "nonce"),
    (Whole, "seq"),
    (Start, "sequence"),
    (Whole, "rand"),
    (Whole, "random"),
    (Whole, "rnd"),
    (Whole, "cb"),
    (Whole, "ord"),
    (Start, "cachebust"),
    (Start, "nocache"),
    // Trade and accounts.
    (Start, "order"),
    (Start, "ordre"),
    (Within, "faktura"),
    (Start, "invoice"),
    (Start, "bilag"),
    (Within, "konto"),
    (Start, "account"),
    (Whole, "iban"),
    (Whole, "ean"),
    (Start, "eann"),
    (Whole, "gtin"),
    (Whole, "gln"),
    (Whole, "upc"),
    (Whole, "sku"),
    (Whole, "isbn"),
    (Start, "varenr"),
    (Start, "varenummer"),
    (Start, "tracking"),
    (Start, "shipment"),
    (Start, "forsendelse"),
    (Start, "pakkenr"),
    (Start, "transaction"),
    (Start, "transaktion"),
    (Whole, "txn"),
    (Start, "receipt"),
    (Start, "kvittering"),
    // Businesses: CVR, SE and P-number (produktionsenhed).
    (Start, "cvr"),
    (Whole, "senr"),
    (Start, "senummer"),
    (Start, "pnummer"),
    (Whole, "pnumber"),
    (Start, "produktionsenhed"),
    // Telephones.
    (Start, "tlf"),
    (Within, "telefon"),
    (Within, "phone"),
    (Start, "mobil"),
    (Whole, "fax"),
    (Whole, "msisdn"),
];

const DENYING_PAIRS: &[(&str, &str)] = &[
    ("p", "nr"),
    ("p", "no"),
    ("p", "nummer"),
    ("p", "number"),
    ("se", "nr"),
    ("se", "nummer"),
    ("client", "id"),
    ("cache", "buster"),
    ("fb", "p"),
    ("last", "modified"),
];

/// Words between a name and its value that say nothing.
const FILLERS: &[&str] = &[
    "nr", "no", "nummer", "number", "num", "id", "er", "is", "the", "på", "value", "val", "nbsp", "quot",
    "apos",
];

/// What a key says: all of its words count.
pub(crate) fn of_key(key: &str) -> Naming {
    let bytes = key.as_bytes();
    naming(&bytes[bytes.len().saturating_sub(KEY_BYTES_MAX)..], true, |_| false)
}

/// What the text of a field before a number says. Denying words count if they stand last, fillers aside, or
/// together with the last word without white space; words at offsets that `is_void` names do not count.
pub(crate) fn of_text(text: &[u8], is_void: impl Fn(usize) -> bool) -> Naming {
    naming(text, false, is_void)
}

fn naming(text: &[u8], all_deny: bool, is_void: impl Fn(usize) -> bool) -> Naming {
    let mut naming = Naming::default();
    let mut last: &[u8] = &[];
    let mut last_end = 0;
    for range in (Words { text, position: 0 }).filter(|range| !is_void(range.start)) {
        let word = &text[range.clone()];
        let glued = !text[last_end..range.start].iter().any(u8::is_ascii_whitespace);
        naming.strong |= any(STRONG, word) || any_pair(STRONG_PAIRS, last, word);
        naming.weak |= any(WEAK, word) || any_pair(WEAK_PAIRS, last, word);
        let denies = any(DENYING, word) || any_pair(DENYING_PAIRS, last, word);
        let keeps = all_deny || glued || FILLERS.iter().any(|filler| same(word, filler.as_bytes()));
        naming.denied = denies || (naming.denied && keeps);
        last = word;
        last_end = range.end;
    }
    naming
}

fn any(patterns: &[(Match, &str)], word: &[u8]) -> bool {
    patterns.iter().any(|(how, pattern)| matches(how, pattern.as_bytes(), word))
}

fn any_pair(pairs: &[(&str, &str)], first: &[u8], second: &[u8]) -> bool {
    pairs.iter().any(|(one, two)| same(first, one.as_bytes()) && same(second, two.as_bytes()))
}

fn matches(how: &Match, pattern: &[u8], word: &[u8]) -> bool {
    let Some(room) = word.len().checked_sub(pattern.len()) else {
        return false;
    };
    match how {
        Whole => room == 0 && same(word, pattern),
        Start => same(&word[..pattern.len()], pattern),
        End => same(&word[room..], pattern),
        Within => word.windows(pattern.len()).any(|part| same(part, pattern)),
    }
}

/// Equal but for case; `pattern` is lower case.
fn same(word: &[u8], pattern: &[u8]) -> bool {
    word.len() == pattern.len() && word.iter().zip(pattern).all(|(&byte, &lower)| fold(byte) == lower)
}

/// Lower case for ASCII and, by their UTF-8 continuation byte, for the letters of Latin-1 (Æ, Ø, Å).
fn fold(byte: u8) -> u8 {
    match byte {
        0x80..=0x9E => byte + 0x20,
        _ => byte.to_ascii_lowercase(),
    }
}

/// Runs of letters, cut where a capital follows a small letter.
struct Words<'a> {
    text: &'a [u8],
    position: usize,
}

impl Iterator for Words<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let rest = &self.text[self.position..];
        let start = self.position + rest.iter().position(|&byte| is_letter(byte))?;
        let word = &self.text[start..];
        let length = (1..word.len())
            .find(|&at| {
                !is_letter(word[at]) || word[at - 1].is_ascii_lowercase() && word[at].is_ascii_uppercase()
            })
            .unwrap_or(word.len());
        self.position = start + length;
        Some(start..self.position)
    }
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let check = |expected: &str, keys: &[&str]| {
            for key in keys {
                let naming = of_key(key);
                let found = [(naming.strong, 's'), (naming.weak, 'w'), (naming.denied, 'd')];
                let found: std::string::String =
                    found.iter().filter(|(holds, _)| *holds).map(|(_, letter)| *letter).collect();
                assert_eq!(found, expected, "{key}");
            }
        };
        check("s", &["cpr", "CPR", "cprNr", "cpr_nummer", "X-CPR", "userCpr", "personnummer", "PersonNr"]);
        check("s", &["data[cpr]", "body.cprnr", "modtagercpr", "CPRNUMMER", "civilRegistrationNumber"]);
        check("sw", &["patientCpr", "borger.cpr", "borgercpr"]);
        check(
            "w",
            &["pnr", "PNR", "ssn", "patient_id", "borgerId", "sygesikringsnr", "birthDate", "date_of_birth"],
        );
        check(
            "w",
            &[
                "FØDSELSDATO",
                "fødselsdato",
                "foedselsdag",
                "nationalId",
                "personal-number",
                "socialSecurityNo",
            ],
        );
        check(
            "d",
            &["ts", "exp", "iat", "cid", "order", "ordrenr", "orderId", "ORDER_ID", "faktura", "kontonr"],
        );
        check(
            "d",
            &[
                "p-nr",
                "P-nummer",
                "pNummer",
                "tlf",
                "telefonnr",
                "ean",
                "eanNr",
                "mobilePhone",
                "_ga",
                "_fbp",
            ],
        );
        check(
            "d",
            &["createdAt", "client_id", "clientId", "expires_in", "salgsfaktura", "bankkonto", "traceId"],
        );
        check("wd", &["patient_order"]);
        check(
            "",
            &["", "id", "x", "value", "reference", "tcprtt", "border", "personal", "nr", "texts", "expert"],
        );
        check(
            "",
            &["context", "partsno", "client", "p", "user", "kunde", "mean", "timer", "spandex", "accent"],
        );
    }

    #[test]
    fn text_denies_only_beside_the_number() {
        let check = |text: &str, expected: bool| {
            assert_eq!(of_text(text.as_bytes(), |_| false).denied, expected, "{text}");
        };
        check("ordrenr ", true);
        check("Faktura nr.: ", true);
        check("Order no. is ", true);
        check("\"order_ref\":\"", true);
        check("P-nr. ", true);
        check("tlf. ", true);
        check("telefonisk henvendelse fra ", false);
        check("ordre til borger ", false);
        check("the account of citizen ", false);
    }
}
