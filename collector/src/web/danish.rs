//! What the pages say: the fixed words of reports, numbers, sizes and times, as Danes write them.
//!
//! *Units*: times are shown in Danish local time; the machine-readable form beside them is UTC.
//! *Limits*: Danish summer time by the rule that holds since 1996; earlier times are off by an hour in
//! some Octobers.

use std::sync::LazyLock;

use cprvagt_report::{Direction, Outcome, Part, Proof, Rule, Severity};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::fingerprint::{SITE_SERVER, SITE_UNKNOWN};

/// Danish time as a POSIX rule, so that no time zone database is needed.
static DANISH_TIME: LazyLock<TimeZone> =
    LazyLock::new(|| TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("the rule is well formed"));

/// A point in time in the two forms that a `<time>` element needs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Time {
    /// RFC 3339 in UTC, to the second.
    pub utc: String,
    /// `22.11.2026 kl. 12.33`, Danish local time.
    pub local: String,
}

impl Time {
    /// Both forms of `at`.
    pub fn of(at: Timestamp) -> Self {
        let local = at.to_zoned(DANISH_TIME.clone());
        Self {
            utc: at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            local: local.strftime("%-d.%-m.%Y kl. %H.%M").to_string(),
        }
    }
}

/// A time span in words: `inden for ét minut`, `over 3 timer`, `over 12 dage`.
pub fn span(from: Timestamp, to: Timestamp) -> String {
    let minutes = (to.as_second() - from.as_second()).max(0) / 60;
    match minutes {
        0 => "inden for ét minut".to_owned(),
        1 => "over 1 minut".to_owned(),
        2..=119 => format!("over {minutes} minutter"),
        120..=2879 => format!("over {} timer", minutes / 60),
        _ => format!("over {} dage", number(minutes.unsigned_abs() / 1440)),
    }
}

/// `count` with a dot between groups of three digits.
pub fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('.');
        }
        text.push(digit);
    }
    text
}

/// `count` and the noun that goes with it.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// `bytes` with a unit: `1.023 byte`, `1,5 MB`; decimal prefixes.
pub fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (10_000, "kB")];
    let Some((least, unit)) = UNITS.into_iter().find(|(least, _)| bytes >= *least) else {
        return format!("{} byte", number(bytes));
    };
    let scale = if unit == "kB" { 1000 } else { least };
    let tenths = bytes / (scale / 10);
    format!("{},{} {unit}", number(tenths / 10), tenths % 10)
}

/// `part` of `whole` in percent with one decimal; rounds down, so that 100 % means all of it.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let tenths = u128::from(part) * 1000 / u128::from(whole);
    format!("{},{} %", tenths / 10, tenths % 10)
}

/// The rule in a few words.
pub const fn rule(rule: Rule) -> &'static str {
    match rule {
        Rule::CprInUrl => "Personnummer i webadresse (URL)",
        Rule::NotAllowed => "Sendt til ikke-godkendt modtager",
        Rule::Cleartext => "Sendt uden kryptering",
        Rule::MassExposure => "Mange personnumre i ét svar",
        Rule::MailCleartext => "Sendt i ukrypteret mail",
        Rule::Found => "Fundet ved gennemsøgning",
    }
}

/// A recipient site as people read it, under the rule that its incidents break or under any.
pub fn site(site: &str, rule: Option<Rule>) -> &str {
    match rule {
        _ if site == SITE_SERVER => "Serverens klienter",
        _ if site != SITE_UNKNOWN => site,
        Some(Rule::MassExposure) => "Serverens klienter",
        _ => "Ukendt modtager",
    }
}

/// What the rule is about, as a sentence.
pub const fn rule_explained(rule: Rule) -> &'static str {
    match rule {
        Rule::CprInUrl => {
            "Personnummeret stod i webadressen. Webadresser gemmes i logge og gives videre af browsere."
        }
        Rule::NotAllowed => "Ingen regel i agentens opsætning tillader, at modtageren får personnumre.",
        Rule::Cleartext => "Personnummeret kunne læses undervejs på netværket.",
        Rule::MassExposure => "Ét svar fra serveren indeholdt mange borgeres personnumre.",
        Rule::MailCleartext => "Mailen blev sendt uden kryptering.",
        Rule::Found => "Personnummeret blev fundet i en fil, ikke i trafik.",
    }
}

/// The severity in one word.
pub const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "Kritisk",
        Severity::High => "Høj",
        Severity::Medium => "Middel",
        Severity::Low => "Lav",
    }
}

/// The part of a message, as it stands after "i".
pub const fn part(part: Part) -> &'static str {
    match part {
        Part::UrlPath => "webadressens sti",
        Part::UrlQuery => "webadressens forespørgsel",
        Part::UrlHost => "webadressens værtsnavn",
        Part::Header => "en HTTP-header",
        Part::Cookie => "en cookie",
        Part::Referer => "en Referer-header",
        Part::Form => "et formularfelt",
        Part::Json => "et JSON-felt",
        Part::Xml => "et XML-element",
        Part::Multipart => "en del af en sammensat meddelelse",
        Part::Filename => "et filnavn",
        Part::Html => "en HTML-side",
        Part::Body => "meddelelsens indhold",
        Part::Sql => "en databaseforespørgsel (SQL)",
        Part::Key => "en nøgle",
        Part::Value => "en værdi",
        Part::DnsName => "navnet i et DNS-opslag",
        Part::MailEnvelope => "mailens afsender eller modtager",
        Part::MailHeader => "en mailheader",
        Part::MailBody => "mailens tekst",
        Part::Log => "en loglinje",
        Part::Raw => "ubestemt indhold",
    }
}

/// The same where it begins a line.
pub const fn part_capital(part: Part) -> &'static str {
    match part {
        Part::UrlPath => "Webadressens sti",
        Part::UrlQuery => "Webadressens forespørgsel",
        Part::UrlHost => "Webadressens værtsnavn",
        Part::Header => "HTTP-header",
        Part::Cookie => "Cookie",
        Part::Referer => "Referer-header",
        Part::Form => "Formularfelt",
        Part::Json => "JSON-felt",
        Part::Xml => "XML-element",
        Part::Multipart => "Del af en sammensat meddelelse",
        Part::Filename => "Filnavn",
        Part::Html => "HTML-side",
        Part::Body => "Meddelelsens indhold",
        Part::Sql => "Databaseforespørgsel (SQL)",
        Part::Key => "Nøgle",
        Part::Value => "Værdi",
        Part::DnsName => "Navn i DNS-opslag",
        Part::MailEnvelope => "Mailens afsender eller modtager",
        Part::MailHeader => "Mailheader",
        Part::MailBody => "Mailens tekst",
        Part::Log => "Loglinje",
        Part::Raw => "Ubestemt indhold",
    }
}

/// How well the recipient is established.
pub const fn proof(proof: Proof) -> &'static str {
    match proof {
        Proof::Proven => "Bevist",
        Proof::Likely => "Sandsynlig",
        Proof::Unknown => "Ikke fastslået",
    }
}

/// What that means.
pub const fn proof_explained(proof: Proof) -> &'static str {
    match proof {
        Proof::Proven => "Afsendelsen er set på netværket, på netop denne forbindelse.",
        Proof::Likely => "Forbindelsen er udpeget, men afsendelsen er ikke genfundet på netværket.",
        Proof::Unknown => "Det vides ikke sikkert, hvem der modtog personnumrene.",
    }
}

/// Which way the message went.
pub const fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Egress => "Sendt af værten som klient",
        Direction::Response => "Svar fra værten som server",
        Direction::Request => "Forespørgsel til værten som server",
    }
}

/// Whether the message left the host.
pub const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Sent => "afsendelsen er set på netværket",
        Outcome::NotSent => "blev ikke afsendt",
        Outcome::Unknown => "det er ikke set, om det blev afsendt",
    }
}

/// Other personal data in a message; a kind that this version does not know is shown as it is.
pub fn other_data(word: &str) -> &str {
    match word {
        "ip" => "IP-adresse",
        "email" => "mailadresse",
        "phone" => "telefonnummer",
        "name-field" => "felt med navn",
        "address-field" => "felt med adresse",
        "cookie-id" => "id i cookie",
        other => other,
    }
}

/// Why something was not read or kept; a reason that this version does not know is shown as it is.
pub fn reason(word: &str) -> &str {
    match word {
        "ring-full" => "Bufferen fra kernen var fuld",
        "not-resident" => "Data lå ikke i hukommelsen",
        "limit" => "En grænse for mængden var nået",
        "no-tap" => "Krypteret af et program, der ikke kan aflæses",
        "symbol-missing" => "Krypteringsbibliotekets funktioner blev ikke fundet",
        "opaque" => "Indhold, som ikke kan afkodes",
        "quic" => "QUIC (HTTP/3)",
        "window" => "Uden for det læste vindue",
        "unclean-start" => "Agenten blev startet igen uden at være stoppet rent",
        "agent-queue-full" => "Agenten kunne ikke følge med",
        "disk-full" => "Disken var fuld",
        "spool-failed" => "Agentens kø kunne ikke skrives",
        "spool-size" => "Agentens kø var fuld, og de ældste fund blev slettet",
        "spool-age" => "Fund blev for gamle i agentens kø og blev slettet",
        "spool-corrupt" => "Data i agentens kø var beskadigede",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn times_are_danish_in_winter_and_summer() {
        let cases = [
            ("2026-11-22T11:33:09Z", "22.11.2026 kl. 12.33"),
            ("2026-07-01T22:30:00Z", "2.7.2026 kl. 00.30"),
            ("2026-03-29T00:59:59Z", "29.3.2026 kl. 01.59"),
            ("2026-03-29T01:00:00Z", "29.3.2026 kl. 03.00"),
            ("2026-10-25T00:59:59Z", "25.10.2026 kl. 02.59"),
            ("2026-10-25T01:00:00Z", "25.10.2026 kl. 02.00"),
        ];
        for (utc, local) in cases {
            assert_eq!(Time::of(at(utc)), Time { utc: utc.to_owned(), local: local.to_owned() });
        }
    }

    #[test]
    fn numbers_have_dots_between_thousands() {
        let cases = [(0, "0"), (999, "999"), (1000, "1.000"), (1_234_567_890, "1.234.567.890")];
        for (count, text) in cases {
            assert_eq!(number(count), text);
        }
        assert_eq!(counted(1, "borger", "borgere"), "1 borger");
        assert_eq!(counted(0, "borger", "borgere"), "0 borgere");
    }

    #[test]
    fn sizes_keep_one_decimal() {
        let cases = [
            (0, "0 byte"),
            (9_999, "9.999 byte"),
            (10_000, "10,0 kB"),
            (1_550_000, "1,5 MB"),
            (2_000_000_000, "2,0 GB"),
            (u64::MAX, "18.446.744,0 TB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn a_hundred_percent_means_all() {
        let cases = [(0, 0, "–"), (1, 3, "33,3 %"), (9_999, 10_000, "99,9 %"), (5, 5, "100,0 %")];
        for (part, whole, text) in cases {
            assert_eq!(percent(part, whole), text);
        }
    }

    #[test]
    fn spans_are_in_the_unit_that_fits() {
        let start = at("2026-01-01T00:00:00Z");
        let cases = [
            ("2025-12-31T00:00:00Z", "inden for ét minut"),
            ("2026-01-01T00:00:59Z", "inden for ét minut"),
            ("2026-01-01T00:01:00Z", "over 1 minut"),
            ("2026-01-01T01:59:00Z", "over 119 minutter"),
            ("2026-01-02T05:00:00Z", "over 29 timer"),
            ("2026-01-13T05:00:00Z", "over 12 dage"),
        ];
        for (end, text) in cases {
            assert_eq!(span(start, at(end)), text);
        }
    }
}
