//! What a report becomes, above all one that an attacker wrote. Its sample leak serves the store's tests too.

use cprvagt_cpr::citizens::Citizens;
pub(crate) use cprvagt_report::sample::name;
use cprvagt_report::{Endpoint, Location, Part, ReportSchema, System, Transport, Unread, sample};
use jiff::Timestamp;
use uuid::Uuid;

use super::*;

fn label(text: &str) -> Label {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).unwrap()
}

/// Seconds after a fixed point in time.
pub(crate) fn moment(second: i64) -> Moment {
    Moment(Timestamp::new(1_780_000_000 + second, 0).unwrap())
}

/// A leak with this id of citizen number `citizen` to `host`.
pub(crate) fn leak(id: u128, citizen: u128, host: &str) -> Leak {
    Leak {
        id: LeakId(Uuid::from_u128(id)),
        observed_at: moment(0),
        process: Some(Process { pid: Some(4711), exe: Some(name("/usr/sbin/nginx")), ..Process::default() }),
        system: Some(System {
            name: name("TastSelv"),
            vendor: None,
            controller: Some(name("Myndighed X")),
            processor: None,
        }),
        transport: Some(Transport {
            protocol: Protocol::Tcp,
            encrypted: true,
            tls_version: Some("1.3".into()),
            weak: false,
        }),
        location: Location {
            protocol: "http/1.1".into(),
            part: Part::Json,
            field: Some(name("persons[].cpr")),
            path: Some(name("/v1/borger/{}")),
        },
        decodings: vec!["gzip".into()],
        ..sample::leak(citizen, host)
    }
}

/// A report of `entries` from the host `web1`.
pub(crate) fn report(entries: Vec<Entry>) -> Report {
    let host = Host { name: name("web1"), id: HostId::new([1; 16]) };
    Report { schema: ReportSchema::V1, host, made_at: moment(0), entries }
}

/// Ten digits of nobody in particular, with a hyphen.
pub(crate) fn number() -> String {
    let number = Citizens::new(3).next().unwrap();
    let digits = std::str::from_utf8(number.digits()).unwrap().to_owned();
    format!("{}-{}", &digits[..6], &digits[6..])
}

/// A report with the number in every text that there is.
pub(crate) fn hostile() -> Report {
    let number = number();
    let bad = || Some(name(&format!("x{number}\u{1b}[31m")));
    let mut leak = leak(1, 1, &format!("{number}.stats.example"));
    leak.process = Some(Process {
        pid: Some(2_512_489_996),
        comm: bad(),
        exe: bad(),
        unit: bad(),
        container: bad(),
        package: bad(),
        package_version: bad(),
        started_at: None,
    });
    leak.system = Some(System { name: name(&number), vendor: bad(), controller: bad(), processor: bad() });
    let destination = leak.destination.as_mut().unwrap();
    (destination.recipient, destination.via) = (bad(), bad());
    leak.transport.as_mut().unwrap().tls_version = Some(label(&number));
    leak.tap = Some(label(&number));
    leak.location = Location { protocol: label(&number), part: Part::UrlPath, field: bad(), path: bad() };
    leak.decodings = vec![label(&number), label(&number)];
    leak.also_present = vec![label(&number)];
    let gap = Gap { from: moment(0), to: moment(1), reason: label(&number), bytes_min: 0 };
    let mut ledger = Ledger::opened(moment(0));
    ledger.lost.push(Unread {
        reason: label(&number),
        bytes: 1,
        process: leak.process.clone(),
        destination: Some(Endpoint { ip: [192, 0, 2, 1].into(), port: 443, host: bad() }),
    });
    ledger.gaps.push(gap.clone());
    let gap = GapRecord { gap, leaks_lost: 0 };
    let entries = vec![Entry::Leak(Box::new(leak)), Entry::Gap(gap), Entry::Ledger(Box::new(ledger))];
    Report { host: Host { name: name(&number), id: HostId::new([1; 16]) }, ..report(entries) }
}

fn opened(report: Report) -> Opened {
    Opened::of(AgentId(Uuid::nil()), report, &CitizenKey::random().unwrap())
}

fn one(leak: Leak) -> Occurrence {
    opened(report(vec![Entry::Leak(Box::new(leak))])).occurrences.remove(0)
}

#[test]
fn a_report_in_order_is_not_touched() {
    let opened = opened(report(vec![Entry::Leak(Box::new(leak(1, 1, "www.stats.example")))]));
    assert_eq!(opened.rescrubbed, 0);
    let it = &opened.occurrences[0];
    assert_eq!(it.subject.site, "stats.example");
    assert_eq!(it.trace.destination.as_ref().unwrap().as_str(), "www.stats.example");
    assert_eq!((it.pid, it.trace.ip), (Some(4711), Some([192, 0, 2, 1].into())));
    assert_eq!(it.incident, it.subject.id());
}

#[test]
fn no_text_gets_past_with_a_number_in_it() {
    let opened = opened(hostile());
    let shown = format!("{opened:?}");
    assert!(!shown.contains(&number()), "{shown}");
    assert!(!shown.contains(&number().replace('-', "")) && !shown.contains("\\u{1b}"), "{shown}");
    assert_eq!(opened.occurrences[0].pid, None);
    assert!(opened.rescrubbed >= 25, "{}", opened.rescrubbed);
    assert_eq!(opened.gaps[0].1.gap.reason.as_str(), "{}");
    assert_eq!(opened.ledgers[0].lost[0].reason.as_str(), "{}");
}

#[test]
fn times_and_sizes_are_held_to_what_can_be_shown_and_summed() {
    let mut leak = leak(1, 1, "a.example");
    leak.observed_at = Moment(Timestamp::MIN);
    let gap =
        Gap { from: Moment(Timestamp::MIN), to: Moment(Timestamp::MAX), reason: label("x"), bytes_min: 0 };
    let mut ledger = Ledger::opened(Moment(Timestamp::MIN));
    ledger.until = Moment(Timestamp::MAX);
    let unread = Unread { reason: label("x"), bytes: u64::MAX, process: None, destination: None };
    ledger.lost = vec![unread.clone(), unread];
    ledger.gaps = vec![gap.clone()];
    let entries = vec![
        Entry::Leak(Box::new(leak)),
        Entry::Gap(GapRecord { gap, leaks_lost: 0 }),
        Entry::Ledger(Box::new(ledger)),
    ];
    let opened = opened(report(entries));
    let (earliest, latest) = (Moment(bounds::EARLIEST), Moment(bounds::LATEST));
    assert_eq!(latest.0.to_string(), "2200-01-01T00:00:00Z");
    assert_eq!(opened.occurrences[0].observed_at, earliest);
    assert_eq!((opened.gaps[0].1.gap.from, opened.gaps[0].1.gap.to), (earliest, latest));
    let ledger = &opened.ledgers[0];
    assert_eq!((ledger.since, ledger.until), (earliest, latest));
    assert_eq!((ledger.gaps[0].from, ledger.gaps[0].to), (earliest, latest));
    assert!(ledger.lost_bytes() > 1 << 48);
    assert_eq!(opened.rescrubbed, 7);
}

#[test]
fn long_texts_are_cut_after_they_are_scrubbed() {
    let mut it = leak(1, 1, "a.example");
    it.location.path = Some(name(&format!("{}{}", "æ".repeat(125), number())));
    let path = one(it).trace.path.unwrap();
    assert!(path.as_str().len() <= TEXT_BYTES_MAX && path.as_str().ends_with("æ{}"), "{path}");
}

#[test]
fn an_answer_to_a_client_keeps_no_address() {
    let mut it = leak(1, 1, "a.example");
    it.direction = Some(Direction::Response);
    it.destination.as_mut().unwrap().host = None;
    let it = one(it);
    assert_eq!((it.trace.ip, it.trace.port), (None, None));
    assert_eq!(it.subject.site, crate::fingerprint::SITE_SERVER);
}

#[test]
fn each_fact_of_a_trace_makes_another_trace() {
    let base = one(leak(1, 1, "a.example"));
    let changes: [fn(&mut Leak); 8] = [
        |it| it.process.as_mut().unwrap().exe = Some(name("/usr/bin/curl")),
        |it| it.destination.as_mut().unwrap().port = Some(8443),
        |it| it.destination.as_mut().unwrap().proof = Proof::Likely,
        |it| it.transport.as_mut().unwrap().encrypted = false,
        |it| it.tap = None,
        |it| it.decodings.clear(),
        |it| it.class = Class::Replacement,
        |it| it.location.path = Some(name("/v1/borger/7")),
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut other = leak(2, 2, "a.example");
        change(&mut other);
        let other = one(other);
        assert_ne!(other.trace_id, base.trace_id, "{index}");
        assert_eq!(other.incident, base.incident, "{index}");
    }
    assert_eq!(one(leak(2, 2, "a.example")).trace_id, base.trace_id);
}

#[test]
fn a_process_id_makes_no_trace() {
    let mut other = leak(2, 2, "a.example");
    other.process.as_mut().unwrap().pid = Some(4712);
    assert_eq!(one(other).trace_id, one(leak(1, 1, "a.example")).trace_id);
}

#[test]
fn what_is_sealed_in_name_only_is_dropped() {
    assert!(unreadable(&[0x80; 58]).is_some());
    let digits = number().replace('-', "");
    assert!(unreadable(format!("{digits:a<58}").as_bytes()).is_none());
}
