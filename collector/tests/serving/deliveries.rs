//! Deliveries: taken, taken once, set aside, refused, and put off.

use cprvagt_collector::ingest::IngestLimits;
use cprvagt_collector::serve::Bounds;
use cprvagt_collector::store::{DATABASE_FILE, IncidentQuery};
use cprvagt_report::seal::PrivateKey;
use cprvagt_report::{
    DELIVERY_BYTES_MAX, DELIVERY_TYPE, Delivery, Envelope, REPORTS_PATH, Receipt, ReceiptOutcome,
};
use sqlx::{ConnectOptions as _, Connection as _};
use uuid::Uuid;

use crate::rig::{Rig, deliver, receipts};
use crate::sample::{leak, report};

use ReceiptOutcome::{Duplicate, SetAside, Stored};

#[tokio::test(flavor = "multi_thread")]
async fn a_report_becomes_an_incident_once() {
    let rig = Rig::start().await;
    let agent = rig.enrol().await;
    let mut client = rig.dial_as(&agent).connect().await.unwrap();
    let epoch = Uuid::now_v7();
    let first = report((0..5).map(|citizen| leak(citizen, "tracker.example")).collect());
    let second = report((3..8).map(|citizen| leak(citizen, "www.tracker.example")).collect());
    let envelopes = || vec![agent.envelope(epoch, 1, &first), agent.envelope(epoch, 2, &second)];
    let expected = |outcome| [1, 2].map(|sequence| Receipt { epoch, sequence, outcome }).to_vec();
    assert_eq!(receipts(&deliver(&mut client, envelopes()).await).receipts, expected(Stored));
    assert_eq!(receipts(&deliver(&mut client, envelopes()).await).receipts, expected(Duplicate));
    let totals = rig.store.totals().await.unwrap();
    assert_eq!((totals.incidents, totals.occurrences, totals.citizens), (1, 10, 8));
    let incidents = rig.store.incidents(&IncidentQuery::default()).await.unwrap();
    assert_eq!((incidents[0].site.as_str(), incidents[0].citizens), ("tracker.example", 8));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_agents_at_once_are_all_taken() {
    let rig = Rig::start().await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..8 {
        let agent = rig.enrol().await;
        let mut client = rig.dial_as(&agent).connect().await.unwrap();
        tasks.spawn(async move {
            let epoch = Uuid::now_v7();
            for sequence in 1..=10 {
                let report =
                    report(vec![leak(number, "a.example"), leak(100 + u128::from(sequence), "b.example")]);
                let receipts =
                    receipts(&deliver(&mut client, vec![agent.envelope(epoch, sequence, &report)]).await);
                assert_eq!(receipts.receipts, [Receipt { epoch, sequence, outcome: Stored }]);
            }
        });
    }
    tasks.join_all().await;
    let totals = rig.store.totals().await.unwrap();
    assert_eq!((totals.incidents, totals.occurrences, totals.citizens), (2, 160, 18));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_set_aside_and_holds_up_nothing() {
    let rig = Rig::start().await;
    let agent = rig.enrol().await;
    let mut client = rig.dial_as(&agent).connect().await.unwrap();
    let epoch = Uuid::now_v7();
    let report = report(vec![leak(1, "a.example")]);
    let to_another = report.seal(PrivateKey::generate().public());
    let mut damaged = report.seal(&agent.sealing_key);
    *damaged.last_mut().unwrap() ^= 1;
    let version = [vec![9], report.seal(&agent.sealing_key)].concat();
    let good = report.seal(&agent.sealing_key);
    let sealed = [to_another, damaged, version, vec![], good];
    let envelopes =
        sealed.into_iter().zip(1..).map(|(sealed, sequence)| Envelope { epoch, sequence, sealed });
    let outcomes = receipts(&deliver(&mut client, envelopes.collect()).await);
    let outcomes: Vec<_> = outcomes.receipts.iter().map(|receipt| receipt.outcome).collect();
    assert_eq!(outcomes, [SetAside, SetAside, SetAside, SetAside, Stored]);
    assert_eq!(rig.store.totals().await.unwrap().occurrences, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_delivery_is_refused() {
    let rig = Rig::start().await;
    let agent = rig.enrol().await;
    let mut client = rig.dial_as(&agent).connect().await.unwrap();
    let good = Delivery { reports: vec![agent.envelope(Uuid::now_v7(), 1, &report(vec![]))] }.encode();
    let envelope = |sequence| Envelope { epoch: Uuid::now_v7(), sequence, sealed: vec![] };
    let numbered = |sequence| Delivery { reports: vec![envelope(sequence)] }.encode();
    let cases = [
        (vec![], 400, "malformed"),
        (vec![0xff; 100], 400, "version"),
        (good[..good.len() - 1].to_vec(), 400, "malformed"),
        ([good.clone(), vec![0]].concat(), 400, "malformed"),
        (vec![1, 0xff, 0xff, 0xff, 0xff, 0x0f], 400, "malformed"),
        (vec![1; DELIVERY_BYTES_MAX + 1], 413, "larger"),
        (Delivery { reports: (1..=65).map(envelope).collect() }.encode(), 413, "larger"),
        (numbered(0), 400, "numbered"),
        (numbered(u64::MAX), 400, "numbered"),
    ];
    for (body, status, what) in cases {
        let answer = client.post(REPORTS_PATH, DELIVERY_TYPE, body).await.unwrap();
        assert_eq!(answer.status, status, "{what}");
        assert!(answer.refusal().contains(what), "{what}: {}", answer.refusal());
    }
    let answer = client.post(REPORTS_PATH, "application/json", good.clone()).await.unwrap();
    assert_eq!(answer.status, 415);
    assert_eq!(client.post(REPORTS_PATH, DELIVERY_TYPE, good).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_says_when_to_come_again() {
    let ingest = IngestLimits { queue_reports: 1, ..IngestLimits::default() };
    let rig = Rig::start_with(Bounds { ingest, ..Bounds::default() }, |_, _| {}).await;
    let agent = rig.enrol().await;
    let mut client = rig.dial_as(&agent).connect().await.unwrap();
    let epoch = Uuid::now_v7();
    let envelope = |sequence| agent.envelope(epoch, sequence, &report(vec![leak(1, "a.example")]));
    let refused = deliver(&mut client, vec![envelope(1), envelope(2)]).await;
    assert_eq!(refused.status, 503);
    assert!(refused.retry_after.is_some_and(|seconds| seconds > 0));
    assert_eq!(rig.store.totals().await.unwrap().occurrences, 0);
    for sequence in [1, 2] {
        let outcome = receipts(&deliver(&mut client, vec![envelope(sequence)]).await).receipts[0].outcome;
        assert_eq!(outcome, Stored);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_that_is_not_committed() {
    let rig = Rig::start().await;
    let agent = rig.enrol().await;
    let mut client = rig.dial_as(&agent).connect().await.unwrap();
    let envelope = agent.envelope(Uuid::now_v7(), 1, &report(vec![leak(1, "a.example")]));
    let path = rig.config.data_dir.join(DATABASE_FILE);
    let mut other = sqlx::sqlite::SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    let held = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let refused = deliver(&mut client, vec![envelope.clone()]).await;
    assert_eq!(refused.status, 503, "{}", refused.refusal());
    assert!(refused.retry_after.is_some_and(|seconds| seconds > 0));
    held.rollback().await.unwrap();
    assert_eq!(receipts(&deliver(&mut client, vec![envelope]).await).receipts[0].outcome, Stored);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_keeps_what_was_acknowledged() {
    let rig = Rig::start().await;
    let agent = rig.enrol().await;
    let mut client = rig.dial_as(&agent).connect().await.unwrap();
    let envelope = agent.envelope(Uuid::now_v7(), 1, &report(vec![leak(1, "a.example")]));
    assert_eq!(receipts(&deliver(&mut client, vec![envelope.clone()]).await).receipts[0].outcome, Stored);
    rig.collector.stop().await;
    assert_eq!(rig.store.totals().await.unwrap().occurrences, 1);
    assert!(rig.store.agents().await.unwrap()[0].last_seen_at.is_some());
    assert!(client.post(REPORTS_PATH, DELIVERY_TYPE, vec![]).await.is_err());

    let collector = cprvagt_collector::serve::Collector::start(&rig.config, Bounds::default()).await.unwrap();
    let dial = crate::client::Dial {
        address: collector.agents_address(),
        ..crate::client::Dial::to(collector.agents_address())
    };
    let dial = crate::client::Dial { shown: Some(agent.shown.clone()), ..dial };
    let mut client = dial.connect().await.unwrap();
    assert_eq!(receipts(&deliver(&mut client, vec![envelope]).await).receipts[0].outcome, Duplicate);
    collector.stop().await;
}
