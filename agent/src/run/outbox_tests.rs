//! The outbox against a reader that reads, waits, or goes away.

use std::io::Read as _;

use cprvagt_report::seal::PrivateKey;
use cprvagt_report::{HostId, Report};

use super::*;
use crate::scrub::Scrubber;

struct World {
    outbox: Outbox,
    reader: UnixStream,
    /// The start of a frame whose rest has not come.
    cut: Vec<u8>,
    key: PrivateKey,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let (stream, reader) = UnixStream::pair().unwrap();
        let key = PrivateKey::generate();
        let host = Host { name: Scrubber::at(0).name("web1"), id: HostId::new([1; 16]) };
        let outbox = Outbox::new(stream, key.public().clone(), host).unwrap();
        Self { outbox, reader, cut: Vec::new(), key, now: Instant::now() }
    }

    fn turn(&mut self, after: Duration) {
        self.now += after;
        self.outbox.turn(self.now).unwrap();
    }

    /// What can be read now.
    fn reports(&mut self) -> Vec<Report> {
        self.reader.set_nonblocking(true).unwrap();
        let mut bytes = std::mem::take(&mut self.cut);
        let _would_block = self.reader.read_to_end(&mut bytes);
        let (mut reports, mut rest) = (Vec::new(), bytes.as_slice());
        while let Some((length, after)) = rest.split_first_chunk()
            && let Some((frame, after)) = after.split_at_checked(u32::from_le_bytes(*length) as usize)
        {
            reports.push(Report::open(&frame[5..], &self.key).unwrap());
            rest = after;
        }
        self.cut = rest.to_vec();
        reports
    }
}

fn leak() -> Leak {
    let json = r#"{"schema":"cprvagt.leak/1","id":"01890a5d-ac96-774b-bcce-b302099a8057",
        "observed_at":"2026-11-22T08:01:02.000000003Z","rule":"not-allowed","severity":"high","confidence":"high",
        "score":20.0,"class":"cpr","checksum":"mod11","masked":"xxxxxx-xxxx",
        "pseudonym":"5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a","location":{"protocol":"raw","part":"raw"}}"#;
    serde_json::from_str(json).unwrap()
}

#[test]
fn leaks_that_come_together_share_a_report() {
    let mut world = World::new();
    for _ in 0..3 {
        world.outbox.leak(leak(), world.now);
    }
    world.turn(Duration::ZERO);
    assert_eq!(world.reports(), [], "they wait for others");
    assert_eq!(world.outbox.queued_leaks(), 3);
    world.turn(WAIT_MAX);
    let reports = world.reports();
    assert_eq!(reports.iter().map(Report::leaks).collect::<Vec<_>>(), [3]);
    assert_eq!(world.outbox.queued_leaks(), 0);
}

#[test]
fn a_report_that_is_full_does_not_wait() {
    let mut world = World::new();
    for _ in 0..REPORT_ENTRIES_MAX + 1 {
        world.outbox.leak(leak(), world.now);
    }
    world.turn(Duration::ZERO);
    assert_eq!(world.reports().iter().map(Report::leaks).collect::<Vec<_>>(), [REPORT_ENTRIES_MAX]);
    world.outbox.finish(Duration::from_secs(1)).unwrap();
}

#[test]
fn what_finds_no_room_is_told_once_there_is_some() {
    let mut world = World::new();
    world.outbox.queued_bytes = QUEUE_BYTES_MAX;
    for _ in 0..7 {
        world.outbox.leak(leak(), world.now);
    }
    world.turn(WAIT_MAX);
    assert_eq!(world.reports(), []);
    assert_eq!(world.outbox.lost_leaks(), 7);
    world.outbox.queued_bytes = 0;
    world.turn(Duration::ZERO);
    world.turn(WAIT_MAX);
    let reports = world.reports();
    let [Entry::Gap(gap)] = &reports[0].entries[..] else { panic!("{reports:?}") };
    assert_eq!((gap.leaks_lost, gap.gap.reason.as_str()), (7, REASON));
    world.outbox.leak(leak(), world.now);
    world.turn(WAIT_MAX);
    assert_eq!(world.reports().iter().map(Report::leaks).sum::<usize>(), 1, "it goes on");
}

#[test]
fn a_reader_that_waits_holds_nothing_up_and_loses_nothing() {
    let mut world = World::new();
    let mut told = 0;
    while world.outbox.waits_for().is_none() {
        for _ in 0..REPORT_ENTRIES_MAX {
            world.outbox.leak(leak(), world.now);
        }
        told += REPORT_ENTRIES_MAX;
        world.turn(Duration::ZERO);
    }
    assert!(world.outbox.queued_leaks() > 0, "the socket is full");
    let mut heard = 0;
    // A frame may be cut where the socket was full: its rest comes with the next turn.
    while heard < told {
        world.turn(Duration::ZERO);
        heard += world.reports().iter().map(Report::leaks).sum::<usize>();
    }
    assert_eq!(heard, told);
    assert_eq!(
        (world.outbox.queued_leaks(), world.outbox.queued_bytes, world.outbox.lost_leaks()),
        (0, 0, 0)
    );
}

/// The end must not look well when something was left behind.
#[test]
fn an_end_that_a_reader_holds_up_is_an_error() {
    let mut world = World::new();
    while world.outbox.waits_for().is_none() {
        for _ in 0..REPORT_ENTRIES_MAX {
            world.outbox.leak(leak(), world.now);
        }
        world.turn(Duration::ZERO);
    }
    let error = world.outbox.finish(Duration::from_millis(50)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn a_reader_that_is_gone_is_an_error() {
    let mut world = World::new();
    drop(world.reader);
    world.outbox.leak(leak(), world.now);
    assert!(world.outbox.turn(world.now + WAIT_MAX).is_err());
}
