//! Notices become gap records, sealed, and none is forgotten while there is no key.

use cprvagt_report::seal::PrivateKey;
use cprvagt_spool::Notice;

use super::*;
use crate::host::this_host;
use crate::scrub::Scrubber;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn host() -> Host {
    this_host(&Scrubber::at(0))
}

/// The gaps that the spool's records tell, opened with `key`.
fn told(spool: &mut SealedSpool, key: &PrivateKey) -> Vec<(String, u64)> {
    let stored = spool.next(100, 1 << 20).unwrap();
    let reports = stored.iter().map(|it| (it.kind, Report::open(&it.payload, key).unwrap()));
    let entries = reports.flat_map(|(kind, report)| {
        assert_eq!(kind, Kind::Gap);
        report.entries
    });
    let gaps = entries.map(|entry| match entry {
        Entry::Gap(record) => (record.gap.reason.as_str().to_owned(), record.leaks_lost),
        other => panic!("{other:?}"),
    });
    gaps.collect()
}

#[test]
fn each_loss_has_its_reason_and_no_loss_none() {
    let position = Position { epoch: uuid::Uuid::nil(), sequence: 1 };
    let dropped = |reason| Notice::Dropped {
        reason,
        first: position,
        last: position,
        records: 1,
        leaks: 7,
        from: at(10),
        to: at(20),
    };
    let cases = [
        (Notice::UncleanStart { last_alive: Some(at(50)), now: at(90) }, Some(("unclean-start", 50, 90, 0))),
        (Notice::UncleanStart { last_alive: None, now: at(90) }, Some(("unclean-start", 90, 90, 0))),
        // The clock went back meanwhile: a gap does not end before it begins.
        (Notice::UncleanStart { last_alive: Some(at(99)), now: at(90) }, Some(("unclean-start", 99, 99, 0))),
        (Notice::TailCut { segment: 1, bytes: 2 }, Some(("spool-corrupt", 100, 100, 0))),
        (
            Notice::MiddleSkipped { segment: 1, from: 1, to: 2, records: 1, leaks: 5 },
            Some(("spool-corrupt", 100, 100, 5)),
        ),
        (Notice::SegmentUnreadable { segment: 1, bytes: 2 }, Some(("spool-corrupt", 100, 100, 0))),
        (Notice::Missing { first: position, last: 2 }, Some(("spool-corrupt", 100, 100, 0))),
        (dropped(Reason::Size), Some(("spool-size", 10, 20, 7))),
        (dropped(Reason::Age), Some(("spool-age", 10, 20, 7))),
        (Notice::CursorLost, None),
    ];
    for (notice, expected) in cases {
        let expected = expected.map(|(reason, from, to, leaks)| gap(reason, at(from), at(to), leaks));
        assert_eq!(gap_of(&notice, at(100)), expected, "{notice:?}");
    }
}

#[test]
fn an_unclean_start_is_told_once_there_is_a_key() {
    let (dir, key) = (tempfile::tempdir().unwrap(), PrivateKey::generate());
    let open = || SealedSpool::open(dir.path(), Limits::default(), host()).unwrap();
    let mut spool = open();
    spool.append(&Frame { kind: FrameKind::Report, leaks: 3, sealed: vec![1] }).unwrap();
    spool.commit().unwrap();
    // Not closed: as after a kill.
    drop(spool);
    let mut spool = open();
    spool.commit().unwrap();
    assert_eq!(spool.stats().waiting_records, 1, "no key, no gap record");
    spool.seal_to(Some(key.public().clone()));
    spool.commit().unwrap();
    let first = spool.next(1, 1 << 20).unwrap()[0].position;
    spool.acknowledge(first).unwrap();
    assert_eq!(told(&mut spool, &key), [("unclean-start".to_owned(), 0)]);
    spool.commit().unwrap();
    assert_eq!(told(&mut spool, &key).len(), 1, "told once");
    spool.close().unwrap();
    let mut spool = open();
    spool.seal_to(Some(key.public().clone()));
    spool.commit().unwrap();
    assert_eq!(told(&mut spool, &key).len(), 1, "a spool that was closed starts cleanly");
}

#[test]
fn a_spool_that_grows_too_large_says_how_many_leaks_it_dropped() {
    let (dir, key) = (tempfile::tempdir().unwrap(), PrivateKey::generate());
    let limits = Limits { segment_bytes_max: 4096, total_bytes_max: 20_000, ..Limits::default() };
    let mut spool = SealedSpool::open(dir.path(), limits, host()).unwrap();
    spool.seal_to(Some(key.public().clone()));
    for _ in 0..20 {
        spool.append(&Frame { kind: FrameKind::Report, leaks: 10, sealed: vec![1; 3000] }).unwrap();
        spool.commit().unwrap();
    }
    let mut stored: Vec<Stored> = Vec::new();
    while spool.stats().waiting_records > 0 {
        stored.extend(spool.next(100, 1 << 20).unwrap());
        spool.acknowledge(stored.last().unwrap().position).unwrap();
    }
    let reports = stored.iter().filter(|it| it.kind == Kind::Report);
    let kept: u64 = reports.map(|it| u64::from(it.leaks)).sum();
    let gaps = stored.iter().filter(|it| it.kind == Kind::Gap);
    let lost: u64 = gaps
        .flat_map(|it| Report::open(&it.payload, &key).unwrap().entries)
        .map(|entry| match entry {
            Entry::Gap(record) => {
                assert_eq!(record.gap.reason.as_str(), "spool-size");
                record.leaks_lost
            }
            other => panic!("{other:?}"),
        })
        .sum();
    assert!(kept > 0 && lost > 0);
    assert_eq!(kept + lost, 200, "each leak is kept or told as lost");
}

#[test]
fn gaps_that_wait_are_bounded_and_lose_no_count() {
    let (dir, key) = (tempfile::tempdir().unwrap(), PrivateKey::generate());
    let mut spool = SealedSpool::open(dir.path(), Limits::default(), host()).unwrap();
    for second in 0..3 * UNTOLD_MAX as i64 {
        spool.tell(gap("disk-full", at(second), at(second), 2));
    }
    spool.seal_to(Some(key.public().clone()));
    spool.commit().unwrap();
    let told = told(&mut spool, &key);
    assert_eq!(told.len(), UNTOLD_MAX);
    assert_eq!(told.iter().map(|(_, leaks)| leaks).sum::<u64>(), 6 * UNTOLD_MAX as u64);
}
