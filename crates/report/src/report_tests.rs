//! Reports sealed and opened, whole, broken, too large.

use super::*;
use crate::{HostId, Label, Scrub, Scrubbed};

struct AsIs;

impl Scrub for AsIs {
    fn scrub(&self, text: &[u8]) -> String {
        String::from_utf8_lossy(text).into_owned()
    }
}

fn report(entries: usize) -> Report {
    let now = Moment::now();
    let gap = Gap { from: now, to: now, reason: Label::new("disk-full"), bytes_min: 0 };
    Report {
        schema: ReportSchema::V1,
        host: Host { name: Scrubbed::by(&AsIs, "web1"), id: HostId::new([1; 16]) },
        made_at: now,
        entries: vec![Entry::Gap(GapRecord { gap, leaks_lost: 3 }); entries],
    }
}

fn pack(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, ZSTD_LEVEL).unwrap()
}

#[test]
fn a_report_comes_back_as_it_was() {
    let key = PrivateKey::generate();
    for entries in [0, 1, REPORT_ENTRIES_MAX] {
        let report = report(entries);
        let sealed = report.seal(key.public());
        assert_eq!(Report::open(&sealed, &key).unwrap(), report);
    }
}

#[test]
fn the_sealed_form_shows_nothing_of_the_content() {
    let sealed = report(1).seal(PrivateKey::generate().public());
    for word in ["web1", "disk-full", "cprvagt"] {
        assert!(!sealed.windows(word.len()).any(|it| it == word.as_bytes()), "{word}");
    }
}

#[test]
fn what_is_no_report_is_refused_by_reason() {
    let key = PrivateKey::generate();
    let sealed = report(1).seal(key.public());
    let other = PrivateKey::generate();
    assert!(matches!(Report::open(&[], &key), Err(BadReport::Seal(_))));
    assert!(matches!(Report::open(&[9, 1, 2], &key), Err(BadReport::Version(9))));
    assert!(matches!(Report::open(&sealed, &other), Err(BadReport::Seal(_))));
    assert!(matches!(Report::open(&vec![1; SEALED_BYTES_MAX + 1], &key), Err(BadReport::TooLarge)));
    for cut in 0..sealed.len() {
        assert!(Report::open(&sealed[..cut], &key).is_err(), "{cut}");
    }
    assert!(matches!(Report::unpack(b"no zstd"), Err(BadReport::Malformed)));
    assert!(matches!(Report::unpack(&pack(b"{}")), Err(BadReport::Malformed)));
    let many = serde_json::to_vec(&report(REPORT_ENTRIES_MAX + 1)).unwrap();
    assert!(matches!(Report::unpack(&pack(&many)), Err(BadReport::TooManyEntries(201))));
}

#[test]
fn a_small_report_does_not_unfold_into_a_large_one() {
    let bomb = pack(&vec![b' '; PLAIN_BYTES_MAX + 1]);
    assert!(bomb.len() < SEALED_BYTES_MAX / 100);
    assert!(matches!(Report::unpack(&bomb), Err(BadReport::TooLarge)));
}

#[test]
fn an_account_of_very_many_lines_is_refused() {
    let now = Moment::now();
    let gap = Gap { from: now, to: now, reason: Label::new("ring-full"), bytes_min: 0 };
    for (gaps, fits) in [(LEDGER_LINES_MAX, true), (LEDGER_LINES_MAX + 1, false)] {
        let ledger = Ledger { gaps: vec![gap.clone(); gaps], ..Ledger::opened(now) };
        let report = Report { entries: vec![Entry::Ledger(Box::new(ledger))], ..report(0) };
        let packed = pack(&serde_json::to_vec(&report).unwrap());
        assert_eq!(Report::unpack(&packed).is_ok(), fits, "{gaps}");
    }
}

#[test]
fn errors_tell_nothing_of_the_content() {
    let number = ["251248", "9996"].concat();
    let error = Report::unpack(&pack(format!("{{\"schema\":\"{number}\"}}").as_bytes())).unwrap_err();
    assert!(!error.to_string().contains(&number), "{error}");
}
