//! What is shown, against golden text.

use std::sync::{Arc, Mutex};

use cprvagt_report::{
    Covered, Endpoint, Handover, Label, Location, Mask, Moment, Part, Process, Proof, Protocol, Pseudonym,
    Relayed, Rule, Scrubbed, Transport, Unread, sample,
};
use jiff::Timestamp;

use super::summary::Encrypted;
use super::*;
use crate::scrub::Scrubber;

fn name(text: &str) -> Scrubbed {
    Scrubber::at(1_700_000_000).name(text)
}

fn moment(second: i64) -> Moment {
    Moment(Timestamp::new(1_700_000_000 + second, 0).unwrap())
}

/// A leak to `host` about the citizen with this pseudonym.
pub(super) fn leak(host: &str, citizen: u8) -> Leak {
    let mut leak = Leak {
        observed_at: moment(0),
        masked: Mask::of("000000-0000"),
        pseudonym: Pseudonym::from_keyed_hash([citizen; 16]),
        process: Some(Process { pid: Some(7), comm: Some(name("curl")), ..Process::default() }),
        location: Location {
            protocol: "http/1.1".into(),
            part: Part::UrlQuery,
            field: Some(name("cpr")),
            path: Some(name("/b/{}")),
        },
        ..sample::leak(citizen.into(), host)
    };
    leak.destination.as_mut().unwrap().ip = Some([192, 0, 2, 7].into());
    leak
}

fn clear(mut leak: Leak, second: i64) -> Leak {
    leak.observed_at = moment(second);
    leak.rule = Rule::Cleartext;
    leak.transport =
        Some(Transport { protocol: Protocol::Tcp, encrypted: false, tls_version: None, weak: false });
    let destination = leak.destination.as_mut().unwrap();
    (destination.host, destination.proof) = (None, Proof::Unknown);
    leak
}

fn ledger() -> Ledger {
    let unread = |reason: &'static str, bytes| Unread {
        reason: Label::new(reason),
        bytes,
        process: Some(Process { exe: Some(name("/usr/bin/ssh")), ..Process::default() }),
        destination: Some(Endpoint { ip: "2001:db8::1".parse().unwrap(), port: 22, host: None }),
    };
    let mut ledger = Ledger {
        wire_bytes: 3 << 20,
        inspected_bytes: 2 << 20,
        protocol_bytes: 1536,
        lost: vec![],
        blind: vec![unread("opaque", 100 << 10)],
        coverage: vec![Covered {
            wire_bytes: 110 << 10,
            covered_bytes: 10 << 10,
            process: Some(Process { exe: Some(name("/usr/bin/ssh")), ..Process::default() }),
            destination: Some(Endpoint { ip: "2001:db8::1".parse().unwrap(), port: 22, host: None }),
        }],
        flows: 12,
        leaks: 3,
        ..Ledger::opened(moment(0))
    };
    ledger.unexplained_bytes = 0;
    ledger
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn shown(leaks: &[Leak], json: bool) -> String {
    let out = Shared::default();
    let mut screen = Screen::to(out.clone(), json);
    for leak in leaks {
        screen.leak(leak).unwrap();
        screen.tick().unwrap();
    }
    screen.close(&ledger()).unwrap();
    let bytes = out.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn who_handed_a_relay_its_number_stands_before_it() {
    let mut relayed = leak("stats.example", 1);
    let from = Some(Process { comm: Some(name("php")), ..Process::default() });
    relayed.relayed = Some(Relayed { handover: Handover::Same, proof: Proof::Likely, from });
    assert!(shown(&[relayed], false).contains(" php -> curl[7] -> stats.example "));
}

#[test]
fn without_a_terminal_lines_then_table_then_ledger() {
    let leaks = [leak("stats.example", 1), leak("stats.example", 2), clear(leak("x", 2), 61)];
    let golden = "\
22:13:20 high     not-allowed curl[7] -> stats.example url.query:cpr /b/{} encrypted proven xxxxxx-xxxx 01010101
22:13:20 high     not-allowed curl[7] -> stats.example url.query:cpr /b/{} encrypted proven xxxxxx-xxxx 02020202
22:14:21 high     cleartext curl[7] -> 192.0.2.7:443 url.query:cpr /b/{} READABLE xxxxxx-xxxx 02020202
3 leaks to 2 recipients, 2 citizens in total. Times are UTC.
RECIPIENT                   CITIZENS   LEAKS    FIRST     LAST ENCRYPTED PROOF
stats.example                      2       2 22:13:20 22:13:20 yes       proven
192.0.2.7:443                      1       1 22:14:21 22:14:21 NO        unknown

Sent to destinations not allowed, in 12 flows:
  in all                              3 MiB
  read and searched                   2 MiB
  TLS handshakes and framing        1.5 KiB
  lost on the way                       0 B
  could not be read                 100 KiB
    opaque             100 KiB /usr/bin/ssh -> [2001:db8::1]:22
  unexplained                           0 B
  read of each program:
      9 % of    110 KiB /usr/bin/ssh -> [2001:db8::1]:22
";
    assert_eq!(shown(&leaks, false), golden);
}

#[test]
fn without_a_leak_that_is_said() {
    assert!(shown(&[], false).starts_with("No leak seen.\n\nSent to "));
}

#[test]
fn json_is_one_object_a_line_and_the_ledger_last() {
    let shown = shown(&[leak("stats.example", 1)], true);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(serde_json::from_str::<Leak>(lines[0]).unwrap(), leak("stats.example", 1));
    assert_eq!(serde_json::from_str::<Ledger>(lines[1]).unwrap(), ledger());
}

#[test]
fn the_table_holds_at_80_columns() {
    let mut summary = Summary::default();
    let long = format!("{}.example", "a".repeat(120));
    for host in [long.as_str(), "日本語日本語日本語日本語日本語日本語.example", "short.example"]
    {
        summary.add(&leak(host, 1));
        summary.add(&clear(leak(host, 2), 5));
    }
    for line in table::lines(&summary, 40, 1).iter().chain(&table::lines(&summary, 80, 9)) {
        assert!(unicode_width::UnicodeWidthStr::width(line.as_str()) <= 80, "{line}");
    }
    assert_eq!(table::lines(&summary, 80, 1).last().unwrap(), "and 3 more recipients");
}

#[test]
fn a_row_tells_the_weakest_proof_and_mixed_encryption() {
    let mut summary = Summary::default();
    summary.add(&leak("stats.example", 1));
    let mut weaker = clear(leak("stats.example", 1), -30);
    weaker.destination.as_mut().unwrap().host = Some(name("stats.example"));
    summary.add(&weaker);
    let (_, row) = summary.rows()[0];
    assert_eq!((row.citizens(), row.leaks()), (1, 2));
    assert_eq!((row.first(), row.last()), (moment(-30), moment(0)));
    assert_eq!((row.encrypted(), row.proof()), (Some(Encrypted::Mixed), Proof::Unknown));
}

#[test]
fn recipients_are_bounded() {
    let mut summary = Summary::default();
    for number in 0..summary::RECIPIENTS_MAX + 10 {
        summary.add(&leak(&format!("h{number:x}.example"), 1));
    }
    assert_eq!(summary.recipients(), summary::RECIPIENTS_MAX + 1);
    assert_eq!(summary.rows()[0].0, "(other recipients)");
    assert_eq!(summary.rows()[0].1.leaks(), 10);
}

#[test]
fn an_unknown_destination_is_named_so() {
    let mut leak = leak("x", 1);
    leak.destination = None;
    assert!(line::of(&leak).contains(" -> (unknown destination) "));
}
