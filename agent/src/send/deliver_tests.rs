//! Against a collector that answers by a script, over real TLS.

use std::path::Path;

use cprvagt_report::{Host, RenewAnswer};
use cprvagt_spool::Limits;
use tempfile::TempDir;

use super::*;
use crate::config::CollectorUrl;
use crate::host::this_host;
use crate::scrub::Scrubber;
use crate::send::frame::{Frame, FrameKind};
use crate::send::scripted::{Authority, HOUR, Reply, Scripted, Seen, Speech};
use crate::send::sealed_spool::SealedSpool;

const VALID: (i64, i64) = (-HOUR, 100 * HOUR);

/// A host that is enrolled, with some reports in its spool.
struct Lab {
    dir: TempDir,
    shared: Shared,
    deliverer: Deliverer,
}

fn host() -> Host {
    this_host(&Scrubber::at(0))
}

impl Lab {
    fn new(authority: &Authority, url: &CollectorUrl, validity: (i64, i64)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        authority.enrol(&dir.path().join("enrolment"), url, validity);
        Self::of(dir)
    }

    fn of(dir: TempDir) -> Self {
        let spool = SealedSpool::open(&dir.path().join("spool"), Limits::default(), host()).unwrap();
        let deliverer = Deliverer::new(Link::new(dir.path().join("enrolment"), None));
        Self { shared: Shared::new(spool), deliverer, dir }
    }

    fn enrolment(&self) -> std::path::PathBuf {
        self.dir.path().join("enrolment")
    }

    fn fill(&self, reports: u8, bytes: usize) {
        let mut spool = self.shared.spool.borrow_mut();
        for number in 1..=reports {
            let frame = Frame { kind: FrameKind::Report, leaks: 1, sealed: vec![number; bytes] };
            spool.append(&frame).unwrap();
            spool.commit().unwrap();
        }
    }

    fn waiting(&self) -> u64 {
        self.shared.spool.borrow().stats().waiting_records
    }

    async fn turn(&mut self) -> Next {
        self.deliverer.turn(&self.shared).await
    }

    fn last_error(&self) -> String {
        self.shared.progress.borrow().last_error.clone().unwrap_or_default()
    }

    fn has_failed(&self, next: Next) -> bool {
        matches!(next, Next::After(_)) && !self.last_error().is_empty()
    }
}

fn sequences(seen: &Seen) -> Vec<u64> {
    seen.positions().into_iter().map(|(_, sequence)| sequence).collect()
}

async fn collector(authority: &Authority, script: impl FnMut(&Seen) -> Reply + Send + 'static) -> Scripted {
    Scripted::start(Speech::of(authority), script).await
}

#[tokio::test]
async fn what_has_a_receipt_is_forgotten_and_the_connection_is_kept() {
    let authority = Authority::new();
    let collector = collector(&authority, |seen| Reply::receipts(seen, ReceiptOutcome::Stored)).await;
    let mut lab = Lab::new(&authority, &collector.url, VALID);
    lab.fill(70, 10);
    assert_eq!(lab.turn().await, Next::AtOnce);
    assert_eq!(lab.turn().await, Next::AtOnce);
    assert_eq!(lab.turn().await, Next::WhenSomethingArrives);
    assert_eq!(lab.waiting(), 0);
    let seen = collector.seen();
    assert_eq!(sequences(&seen[0]), (1..=64).collect::<Vec<u64>>());
    assert_eq!(sequences(&seen[1]), (65..=70).collect::<Vec<u64>>());
    assert_eq!(seen[1].delivery().reports[5].sealed, [70; 10]);
    assert!(seen.iter().all(|it| it.connection == 0 && it.path == REPORTS_PATH && it.certificate.is_some()));
    let progress = lab.shared.progress.borrow();
    assert_eq!((progress.delivered, progress.set_aside), (70, 0));
    assert!(progress.last_delivery_at.is_some() && progress.certificate_expires_at.is_some());
}

#[tokio::test]
async fn a_delivery_is_never_larger_than_allowed() {
    let authority = Authority::new();
    let collector = collector(&authority, |seen| Reply::receipts(seen, ReceiptOutcome::Stored)).await;
    let mut lab = Lab::new(&authority, &collector.url, VALID);
    lab.fill(9, cprvagt_report::SEALED_BYTES_MAX);
    while lab.turn().await == Next::AtOnce {}
    assert_eq!(lab.waiting(), 0);
    // `Seen::delivery` decodes, which refuses what is too large.
    assert_eq!(
        collector.seen().iter().flat_map(sequences).collect::<Vec<u64>>(),
        (1..=9).collect::<Vec<u64>>()
    );
}

#[tokio::test]
async fn only_reports_up_to_the_first_without_a_receipt_are_forgotten() {
    let authority = Authority::new();
    let mut first = true;
    let collector = collector(&authority, move |seen| {
        let mut positions = seen.positions();
        if std::mem::take(&mut first) {
            positions.remove(2);
            positions.reverse();
        }
        Reply::receipts_for(&positions, ReceiptOutcome::Stored)
    })
    .await;
    let mut lab = Lab::new(&authority, &collector.url, VALID);
    lab.fill(5, 10);
    assert_eq!(lab.turn().await, Next::AtOnce);
    assert_eq!(lab.waiting(), 3);
    assert_eq!(lab.turn().await, Next::AtOnce);
    assert_eq!(lab.waiting(), 0);
    assert_eq!(sequences(&collector.seen()[1]), [3, 4, 5]);
    assert_eq!(lab.shared.progress.borrow().delivered, 5);
}

#[tokio::test]
async fn receipts_for_other_reports_and_garbage_forget_nothing() {
    let authority = Authority::new();
    let mut turn = 0;
    let collector = collector(&authority, move |seen| {
        turn += 1;
        let (epoch, sequence) = seen.positions()[0];
        match turn {
            1 => Reply::receipts_for(&[(uuid::Uuid::max(), sequence)], ReceiptOutcome::Stored),
            2 => Reply::receipts_for(&[(epoch, sequence + 50)], ReceiptOutcome::Stored),
            3 => Reply::receipts_for(&[], ReceiptOutcome::Stored),
            4 => Reply::Answer(200, None, b"<html>proxy</html>".to_vec()),
            5 => Reply::Answer(200, None, vec![]),
            6 => Reply::Answer(204, None, vec![]),
            7 => Reply::Answer(302, None, vec![]),
            8 => Reply::Answer(200, None, vec![1; 2 << 20]),
            _ => Reply::receipts(seen, ReceiptOutcome::Stored),
        }
    })
    .await;
    let mut lab = Lab::new(&authority, &collector.url, VALID);
    lab.fill(2, 10);
    for turn in 1..=8 {
        let next = lab.turn().await;
        assert!(lab.has_failed(next), "{turn}");
        assert_eq!(lab.waiting(), 2, "{turn}");
    }
    assert_eq!(lab.turn().await, Next::AtOnce);
    assert_eq!((lab.waiting(), lab.last_error()), (0, String::new()));
}

#[tokio::test]
async fn an_answer_that_is_lost_means_sending_again() {
    let authority = Authority::new();
    let mut turn = 0;
    let collector = collector(&authority, move |seen| {
        turn += 1;
        match turn {
            // The collector has committed, and dies before it answers.
            1 => Reply::Cut,
            _ => Reply::receipts(seen, ReceiptOutcome::Duplicate),
        }
    })
    .await;
    let mut lab = Lab::new(&authority, &collector.url, VALID);
    lab.fill(3, 10);
    let next = lab.turn().await;
    assert!(lab.has_failed(next));
    assert_eq!(lab.waiting(), 3);
    assert_eq!(lab.turn().await, Next::AtOnce);
    assert_eq!(lab.waiting(), 0);
    let seen = collector.seen();
    assert_eq!(seen[0].positions(), seen[1].positions());
    assert_ne!(seen[0].connection, seen[1].connection);
    assert_eq!(lab.shared.progress.borrow().delivered, 3);
}

#[tokio::test]
async fn the_collector_is_left_alone_as_long_as_it_asks() {
    let authority = Authority::new();
    let mut turn = 0;
    let collector = collector(&authority, move |_| {
        turn += 1;
        match turn {
            1 => Reply::refusal(503, Some("120"), "too much to do"),
            2 => Reply::refusal(429, Some("7"), "too often"),
            3 => Reply::refusal(503, Some("999999"), "away"),
            _ => Reply::refusal(403, Some("120"), "revoked"),
        }
    })
    .await;
    let mut lab = Lab::new(&authority, &collector.url, VALID);
    lab.fill(1, 10);
    for (least, most) in [(120, 132), (7, 8), (3600, 3960)] {
        let Next::After(wait) = lab.turn().await else { panic!("it failed") };
        assert!((least..=most).contains(&wait.as_secs()), "{wait:?}");
    }
    // Only who is busy can ask for time.
    let Next::After(wait) = lab.turn().await else { panic!("it failed") };
    assert!(wait <= Duration::from_secs(8), "{wait:?}");
    assert_eq!(lab.last_error(), "the collector refused (403 Forbidden): revoked");
}

#[tokio::test]
async fn what_a_collector_says_is_scrubbed_and_cut() {
    let authority = Authority::new();
    let number = cprvagt_cpr::citizens::Citizens::new(7).next().unwrap();
    let number = String::from_utf8_lossy(number.digits()).into_owned();
    let said = format!("no {number} {}", "x".repeat(100_000));
    let collector = collector(&authority, move |_| Reply::refusal(400, None, &said)).await;
    let mut lab = Lab::new(&authority, &collector.url, VALID);
    lab.fill(1, 10);
    lab.turn().await;
    let told = lab.last_error();
    assert!(told.contains("no {}") && told.len() <= 512, "{told}");
}

#[tokio::test]
async fn what_is_set_aside_is_counted_and_forgotten() {
    let authority = Authority::new();
    let collector = collector(&authority, |seen| Reply::receipts(seen, ReceiptOutcome::SetAside)).await;
    let mut lab = Lab::new(&authority, &collector.url, VALID);
    lab.fill(2, 10);
    assert_eq!(lab.turn().await, Next::AtOnce);
    assert_eq!(lab.waiting(), 0);
    let progress = lab.shared.progress.borrow();
    assert_eq!((progress.delivered, progress.set_aside), (2, 2));
}

#[tokio::test]
async fn a_delivery_that_is_too_large_for_the_collector_is_halved() {
    let authority = Authority::new();
    let collector = collector(&authority, |seen| match seen.delivery().reports.len() {
        4.. => Reply::refusal(413, None, "too large"),
        _ => Reply::receipts(seen, ReceiptOutcome::Stored),
    })
    .await;
    let mut lab = Lab::new(&authority, &collector.url, VALID);
    lab.fill(10, 10);
    for _ in 0..2 {
        let next = lab.turn().await;
        assert!(lab.has_failed(next));
    }
    assert_eq!(lab.turn().await, Next::AtOnce);
    let sizes: Vec<usize> = collector.seen().iter().map(|it| it.positions().len()).collect();
    assert_eq!(sizes, [10, 5, 2]);
    assert_eq!(lab.waiting(), 8);
}

#[tokio::test]
async fn a_link_that_was_too_slow_gets_more_reports_little_by_little() {
    let authority = Authority::new();
    let mut slow = 4;
    let collector = collector(&authority, move |seen| {
        slow -= i32::from(slow > 0);
        match slow {
            1.. => Reply::refusal(408, None, "too slow"),
            _ => Reply::receipts(seen, ReceiptOutcome::Stored),
        }
    })
    .await;
    let mut lab = Lab::new(&authority, &collector.url, VALID);
    lab.fill(9, 10);
    while lab.waiting() > 0 {
        lab.turn().await;
    }
    let sizes: Vec<usize> = collector.seen().iter().map(|it| it.positions().len()).collect();
    assert_eq!(sizes, [9, 4, 2, 1, 2, 4, 2]);
    let late = ConnectionError::Late { url: collector.url, step: "a request", after: Duration::ZERO };
    assert!(DeliverError::from(late).is_too_much());
    assert!(!DeliverError::NoReceipt.is_too_much());
}

/// What is said of a collector that must not be believed; it must not see a single request.
async fn check_not_believed(speech: Speech, trusted: &Authority, expected: &str) {
    let collector = Scripted::start(speech, |seen| Reply::receipts(seen, ReceiptOutcome::Stored)).await;
    let mut lab = Lab::new(trusted, &collector.url, VALID);
    lab.fill(1, 10);
    let next = lab.turn().await;
    assert!(lab.has_failed(next));
    assert!(lab.last_error().contains(expected), "{expected}: {}", lab.last_error());
    assert_eq!((lab.waiting(), collector.seen().len()), (1, 0));
}

#[tokio::test]
async fn only_a_collector_in_order_is_believed() {
    let (authority, other) = (Authority::new(), Authority::new());
    let speech = |signer: &Authority, name, validity| {
        let (chain, key) = signer.server(name, validity);
        Speech { chain, key, ..Speech::of(&authority) }
    };
    let good = (-HOUR, HOUR);
    check_not_believed(speech(&other, "localhost", good), &authority, "BadSignature").await;
    check_not_believed(speech(&authority, "localhost", (-9 * HOUR, -HOUR)), &authority, "expired").await;
    check_not_believed(speech(&authority, "localhost", (HOUR, 9 * HOUR)), &authority, "not valid yet").await;
    check_not_believed(speech(&authority, "other.example", good), &authority, "not valid for name").await;
    let old = Speech { version: &rustls::version::TLS12, ..speech(&authority, "localhost", good) };
    check_not_believed(old, &authority, "ProtocolVersion").await;
    let other_protocol = Speech { alpn: b"http/1.1", ..speech(&authority, "localhost", good) };
    check_not_believed(other_protocol, &authority, "NoApplicationProtocol").await;
}

#[tokio::test]
async fn a_host_that_is_not_enrolled_only_spools() {
    let mut lab = Lab::of(tempfile::tempdir().unwrap());
    lab.fill(3, 10);
    assert_eq!(lab.turn().await, Next::WhenSomethingArrives);
    assert_eq!((lab.waiting(), lab.last_error()), (3, String::new()));
    let authority = Authority::new();
    let collector = collector(&authority, |seen| Reply::receipts(seen, ReceiptOutcome::Stored)).await;
    authority.enrol(&lab.enrolment(), &collector.url, VALID);
    assert_eq!(lab.turn().await, Next::AtOnce);
    assert_eq!(lab.waiting(), 0);
}

#[tokio::test]
async fn files_that_change_are_used_for_a_new_connection() {
    let authority = Authority::new();
    let collector = collector(&authority, |seen| Reply::receipts(seen, ReceiptOutcome::Stored)).await;
    let mut lab = Lab::new(&authority, &collector.url, VALID);
    for _ in 0..2 {
        lab.fill(1, 10);
        assert_eq!(lab.turn().await, Next::AtOnce);
    }
    let (certificate, key) = authority.agent(VALID);
    enrol::renew(&lab.enrolment(), &key, &certificate).unwrap();
    lab.fill(1, 10);
    assert_eq!(lab.turn().await, Next::AtOnce);
    // A certificate that somebody broke: what was read before holds on.
    std::fs::write(lab.enrolment().join("agent.crt"), "broken").unwrap();
    lab.fill(1, 10);
    assert_eq!(lab.turn().await, Next::AtOnce);
    let seen = collector.seen();
    let connections: Vec<usize> = seen.iter().map(|it| it.connection).collect();
    assert_eq!(connections, [0, 0, 1, 1]);
    assert_ne!(seen[1].certificate, seen[2].certificate);
}

/// Answers renewals with a certificate of `validity`, and everything else with receipts.
fn renewing(authority: Authority, validity: (i64, i64)) -> impl FnMut(&Seen) -> Reply + Send {
    move |seen| match seen.path.as_str() {
        RENEW_PATH => {
            let request: RenewRequest = serde_json::from_slice(&seen.body).unwrap();
            let certificate = authority.sign(&request.request, validity);
            let answer = RenewAnswer { certificate, expires_at: Moment::now() };
            Reply::Answer(200, None, serde_json::to_vec(&answer).unwrap())
        }
        _ => Reply::receipts(seen, ReceiptOutcome::Stored),
    }
}

#[tokio::test]
async fn a_certificate_is_renewed_after_two_thirds_of_its_time() {
    for (validity, renewals) in [((-3 * HOUR, 3 * HOUR), 0), ((-5 * HOUR, HOUR), 1)] {
        let authority = Authority::new();
        let speech = Speech::of(&authority);
        let dir = tempfile::tempdir().unwrap();
        let enrolment = dir.path().join("enrolment");
        // The address is known only once the collector listens, which takes the authority with it.
        authority.enrol(&enrolment, &"https://localhost:1".parse().unwrap(), validity);
        let collector = Scripted::start(speech, renewing(authority, VALID)).await;
        let mut lab = Lab::of(dir);
        lab.deliverer.link().set_url(Some(collector.url.clone()));
        lab.fill(1, 10);
        let old_key = std::fs::read(enrolment.join("agent.key")).unwrap();
        assert_eq!(lab.turn().await, Next::AtOnce);
        assert_eq!(lab.turn().await, Next::WhenSomethingArrives);
        let paths: Vec<String> = collector.seen().into_iter().map(|it| it.path).collect();
        assert_eq!(paths.iter().filter(|path| *path == RENEW_PATH).count(), renewals);
        let is_new = std::fs::read(enrolment.join("agent.key")).unwrap() != old_key;
        assert_eq!(is_new, renewals == 1, "a new certificate has a new key");
        check_only_names(&enrolment, &["agent.crt", "agent.key", "ca.crt", "enrolment.json"]);
        let seen = collector.seen();
        assert_eq!(seen.first().unwrap().connection != seen.last().unwrap().connection, renewals == 1);
        assert_eq!(lab.waiting(), 0);
    }
}

fn check_only_names(dir: &Path, expected: &[&str]) {
    let names = std::fs::read_dir(dir).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn a_renewal_that_fails_stops_no_delivery_and_is_left_alone_for_a_while() {
    let authority = Authority::new();
    let collector = collector(&authority, |seen| match seen.path.as_str() {
        RENEW_PATH => Reply::refusal(500, None, "no"),
        _ => Reply::receipts(seen, ReceiptOutcome::Stored),
    })
    .await;
    let mut lab = Lab::new(&authority, &collector.url, (-5 * HOUR, HOUR));
    for _ in 0..3 {
        lab.fill(1, 10);
        assert_eq!(lab.turn().await, Next::AtOnce);
    }
    let renewals = collector.seen().iter().filter(|it| it.path == RENEW_PATH).count();
    assert_eq!((lab.waiting(), renewals), (0, 1));
}

#[tokio::test]
async fn a_certificate_that_ended_is_told_as_such() {
    let authority = Authority::new();
    let collector = collector(&authority, |seen| Reply::receipts(seen, ReceiptOutcome::Stored)).await;
    let mut lab = Lab::new(&authority, &collector.url, (-9 * HOUR, -HOUR));
    lab.fill(1, 10);
    let next = lab.turn().await;
    assert!(lab.has_failed(next));
    assert!(lab.last_error().starts_with("the certificate ended at "), "{}", lab.last_error());
    assert_eq!((lab.waiting(), collector.seen().len()), (1, 0));
}
