//! Messages full of digits that are no CPR numbers.
//!
//! *Invariants*: nothing is produced that a person who knows the rules would call a CPR number.
//! A bare random ten-digit value passes date and modulus 11 by chance (1 in 500), and so do one in
//! twenty Icelandic kennitölur.  Such a value is drawn again, with one exception: bare, in JSON, under a
//! key that says what it is (`order`, `faktura`, `konto`, `ts`).  There the key decides, and a detector
//! that goes by digits alone must fail.

use crate::program::Job;

/// A kind of look-alike: its name, the key it stands under and how a value is drawn.
struct Kind {
    name: &'static str,
    key: &'static str,
    draw: fn(&mut Draw) -> String,
    /// The key says what the number is, so even a value that passes every rule on digits is fair.
    key_decides: bool,
}

const fn kind(name: &'static str, key: &'static str, draw: fn(&mut Draw) -> String) -> Kind {
    Kind { name, key, draw, key_decides: false }
}

const fn keyed(name: &'static str, key: &'static str, draw: fn(&mut Draw) -> String) -> Kind {
    Kind { name, key, draw, key_decides: true }
}

const KINDS: [Kind; 24] = [
    keyed("order", "order", Draw::ten_digits),
    keyed("order-dk", "ordre_nr", Draw::ten_digits_no_zero),
    keyed("invoice", "faktura", Draw::ten_digits),
    keyed("account", "konto", Draw::ten_digits),
    keyed("epoch-s", "ts", Draw::epoch_s),
    keyed("expiry", "exp", Draw::epoch_s_later),
    kind("epoch-ms", "t", Draw::epoch_ms),
    kind("uuid", "request_id", Draw::uuid),
    kind("phone", "tlf", Draw::phone),
    kind("phone-spaced", "mobil", Draw::phone_spaced),
    kind("ean", "ean", Draw::ean),
    kind("iban", "iban", Draw::iban),
    kind("pan", "kort", Draw::pan),
    kind("pan-grouped", "kort", Draw::pan_grouped),
    kind("dns-serial", "serial", Draw::dns_serial),
    kind("amount", "beloeb", Draw::amount),
    kind("amount-dk", "total", Draw::amount_dk),
    kind("kennitala", "kennitala", Draw::kennitala),
    kind("hetu", "hetu", Draw::hetu),
    kind("swedish", "id_se", Draw::swedish),
    kind("p-number", "p-nr", Draw::p_number),
    kind("git-hash", "commit", Draw::git_hash),
    kind("position", "lat", Draw::position),
    kind("random-id", "item", Draw::ten_digits),
];

/// Draws look-alike messages from a seed.
pub struct Draw {
    random: fastrand::Rng,
    /// Seconds since 1970, for time stamps around now.
    now_s: u64,
}

impl Draw {
    /// `now_s` is in seconds since 1970.
    pub fn new(random: fastrand::Rng, now_s: u64) -> Self {
        Self { random, now_s }
    }

    /// The next message to `origin`.
    pub fn message(&mut self, origin: &str) -> Job {
        let at = self.random.usize(0..KINDS.len() + 1);
        let Some(kind) = KINDS.get(at) else { return self.cookies(origin) };
        let place = self.random.u8(0..6);
        let value = self.value(kind, place == 0);
        let Kind { name, key, .. } = kind;
        let escaped = escape(&value);
        match place {
            0 => Job::post(format!("{origin}/{name}"), "application/json", json(key, &value)),
            1 => Job::get(format!("{origin}/{name}?{key}={escaped}")),
            2 => Job::get(format!("{origin}/{name}/{escaped}/vis")),
            3 => Job::get(format!("{origin}/{name}")).header(&format!("X-{key}").replace('_', "-"), value),
            4 => Job::post(
                format!("{origin}/{name}"),
                "application/x-www-form-urlencoded",
                format!("a=1&{key}={escaped}"),
            ),
            _ => {
                Job::post(format!("{origin}/{name}"), "text/plain", format!("Vedr. {key} {value} i dag.\r\n"))
            }
        }
    }

    /// A value that is fair for its place.
    fn value(&mut self, kind: &Kind, in_json: bool) -> String {
        loop {
            let value = (kind.draw)(self);
            let bare = value.len() == 10;
            if !reads_as_cpr(&value) || (bare && in_json && kind.key_decides) {
                return value;
            }
        }
    }

    /// Advertising cookies: digits between dots.
    fn cookies(&mut self, origin: &str) -> Job {
        let (client, browser) = (self.random.u32(1_000_000_000..2_147_483_647), self.ten_digits());
        let (first, ms) = (self.epoch_s(), self.epoch_ms());
        let cookies = format!("_ga=GA1.2.{client}.{first}; _fbp=fb.1.{ms}.{browser}");
        Job::get(format!("{origin}/cookies")).header("Cookie", cookies)
    }

    fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| self.random.digit(10)).collect()
    }

    fn ten_digits(&mut self) -> String {
        self.digits(10)
    }

    fn ten_digits_no_zero(&mut self) -> String {
        self.random.u64(1_000_000_000..=9_999_999_999).to_string()
    }

    fn epoch_s(&mut self) -> String {
        (self.now_s - self.random.u64(0..31_536_000)).to_string()
    }

    fn epoch_s_later(&mut self) -> String {
        (self.now_s + self.random.u64(0..31_536_000)).to_string()
    }

    fn epoch_ms(&mut self) -> String {
        format!("{}{}", self.epoch_s(), self.digits(3))
    }

    fn hex(&mut self, count: usize) -> String {
        (0..count).map(|_| self.random.digit(16)).collect()
    }

    fn uuid(&mut self) -> String {
        let parts = [8, 4, 3, 3, 12].map(|count| self.hex(count));
        format!("{}-{}-4{}-a{}-{}", parts[0], parts[1], parts[2], parts[3], parts[4])
    }

    fn phone(&mut self) -> String {
        format!("+45{}", self.random.u32(20_000_000..=99_999_999))
    }

    fn phone_spaced(&mut self) -> String {
        let pairs = [2, 2, 2, 2].map(|count| self.digits(count));
        format!("+45 {}", pairs.join(" "))
    }

    fn ean(&mut self) -> String {
        format!("57{}", self.digits(11))
    }

    fn iban(&mut self) -> String {
        format!("DK{}", self.digits(16))
    }

    fn pan(&mut self) -> String {
        format!("4571{}", self.digits(12))
    }

    fn pan_grouped(&mut self) -> String {
        let groups = [4, 4, 4].map(|count| self.digits(count));
        format!("4571-{}", groups.join("-"))
    }

    fn dns_serial(&mut self) -> String {
        let (month, day) = (self.random.u8(1..=12), self.random.u8(1..=28));
        format!("{}{month:02}{day:02}{:02}", self.random.u16(2024..=2027), self.random.u8(0..100))
    }

    fn amount(&mut self) -> String {
        format!("{}.{}", self.random.u32(1_000_000..=99_999_999), self.digits(2))
    }

    fn amount_dk(&mut self) -> String {
        format!("{}.{}.{},{}", self.random.u8(1..=99), self.digits(3), self.digits(3), self.digits(2))
    }

    /// Icelandic: the same shape as a CPR number.
    fn kennitala(&mut self) -> String {
        let (day, month, year) = (self.random.u8(1..=28), self.random.u8(1..=12), self.random.u8(0..100));
        format!("{day:02}{month:02}{year:02}-{}{}", self.random.u8(20..100), self.random.u8(10..100))
    }

    /// Finnish: the last character is a digit or a letter.
    fn hetu(&mut self) -> String {
        let (day, month, year) = (self.random.u8(1..=28), self.random.u8(1..=12), self.random.u8(0..100));
        let last = char::from(b"0123456789ABCDEFHJKLMNPRSTUVWXY"[self.random.usize(0..31)]);
        format!("{day:02}{month:02}{year:02}-{}{last}", self.digits(3))
    }

    /// Swedish: the year stands first.
    fn swedish(&mut self) -> String {
        let (day, month, year) = (self.random.u8(1..=28), self.random.u8(1..=12), self.random.u8(30..100));
        format!("{year:02}{month:02}{day:02}-{}", self.digits(4))
    }

    /// The number of a Danish production unit.
    fn p_number(&mut self) -> String {
        self.random.u32(1_000_000_000..=1_032_000_000).to_string()
    }

    fn git_hash(&mut self) -> String {
        self.hex(40)
    }

    fn position(&mut self) -> String {
        format!("55.{}", self.ten_digits())
    }
}

/// Whether `value` has ten digits, or six, a hyphen and four, standing alone, that have a date and pass
/// modulus 11 or lie on 1 January, where numbers without the control have been issued.
/// Coarser than the real rule (no century, every year): what it refuses is refused rightly or for safety.
pub fn reads_as_cpr(value: &str) -> bool {
    let parts: Vec<&str> = value.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').collect();
    let joined =
        parts.windows(2).filter(|pair| pair[0].len() == 6 && pair[1].len() == 4).map(|pair| pair.concat());
    let bare = parts.iter().filter(|part| part.len() == 10).map(ToString::to_string);
    let mut candidates = bare.chain(joined).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    candidates.any(|digits| {
        let number =
            |range| digits.get(range).and_then(|part: &str| part.parse::<u8>().ok()).unwrap_or_default();
        let dated = matches!(number(0..2), 1..=31 | 61..=91) && matches!(number(2..4), 1..=12);
        dated && (passes_mod11(&digits) || digits.starts_with("0101"))
    })
}

/// Weights of the modulus-11 control (CPR-kontoret, "Opbygning af CPR-nummeret").
const WEIGHTS: [u32; 10] = [4, 3, 2, 7, 6, 5, 4, 3, 2, 1];

fn passes_mod11(digits: &str) -> bool {
    let sum: u32 = digits.chars().zip(WEIGHTS).filter_map(|(c, weight)| Some(c.to_digit(10)? * weight)).sum();
    sum.is_multiple_of(11)
}

/// Numbers without a leading zero go as JSON numbers, as order systems send them.
fn json(key: &str, value: &str) -> String {
    let number = value.parse::<u64>().ok().filter(|number| number.to_string() == value);
    let value = number.map_or_else(|| serde_json::Value::from(value), serde_json::Value::from);
    serde_json::json!({"event": "view", key: value, "ok": true}).to_string()
}

fn escape(value: &str) -> String {
    value.replace('+', "%2B").replace(' ', "%20").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_as_cpr() {
        // MedCom's test number fails modulus 11 on purpose.
        let cases = [("2512489996", false), ("0101000000", true), ("9912489996", false), ("a.1.2", false)];
        for (value, expected) in cases {
            assert_eq!(reads_as_cpr(value), expected, "{value}");
        }
        let number = &crate::demo::Plan::new(1, &crate::Program::ALL).citizens[0];
        assert!(reads_as_cpr(number) && reads_as_cpr(&format!("x {}-{} y", &number[..6], &number[6..])));
        for inside in [format!("1{number}"), format!("a{number}"), format!("55.{number}")] {
            assert!(!reads_as_cpr(&inside));
        }
    }

    #[test]
    fn look_alikes_are_fair() {
        let mut draw = Draw::new(fastrand::Rng::with_seed(7), 1_790_000_000);
        let mut decided_by_key = 0;
        for _ in 0..50_000 {
            let job = draw.message("http://a.example");
            let headers = job.headers.iter().filter(|(name, _)| *name != "Cookie").map(|(_, value)| value);
            assert!(!reads_as_cpr(&job.url) && headers.into_iter().all(|value| !reads_as_cpr(value)));
            let json = job.headers.get("Content-Type").is_some_and(|kind| kind == "application/json");
            match job.body.as_deref().is_some_and(reads_as_cpr) {
                true if json => decided_by_key += 1,
                true => panic!("not fair: {}", job.url),
                false => {}
            }
        }
        assert!(decided_by_key > 0, "some look-alikes must be hard");
    }
}
