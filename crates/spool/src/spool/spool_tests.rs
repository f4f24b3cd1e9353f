//! Tests of the spool on the model file system: one by one, and against a model of what must come out.

use core::ops::Range;
use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::model_files::{Fault, ModelFiles};

const FAULTS: [Fault; 3] = [Fault::Io, Fault::Full, Fault::Crash];

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn limits() -> Limits {
    Limits { segment_bytes_max: 16 << 10, ..Limits::default() }
}

fn open(files: &ModelFiles, second: i64) -> (Spool<ModelFiles>, Vec<Notice>) {
    Spool::open_in(files.another(), limits(), time(second)).unwrap()
}

fn fill(spool: &mut Spool<ModelFiles>, count: u8, bytes: usize, second: i64) -> Vec<Position> {
    let append = |number| spool.append(Kind::Report, 10, &vec![number; bytes], time(second)).unwrap();
    let positions = (0..count).map(append).collect();
    spool.commit().unwrap();
    positions
}

/// Takes everything out.
fn drain(spool: &mut Spool<ModelFiles>) -> (Vec<Stored>, Vec<Notice>) {
    let (mut all, mut told) = (Vec::new(), Vec::new());
    loop {
        let (batch, notices) = spool.next(3, 1 << 20).unwrap();
        told.extend(notices);
        let Some(last) = batch.last() else { return (all, told) };
        spool.acknowledge(last.position).unwrap();
        all.extend(batch);
    }
}

fn next_step(files: &ModelFiles) -> Range<u64> {
    files.steps() + 1..files.steps() + 2
}

fn positions(stored: &[Stored]) -> Vec<Position> {
    stored.iter().map(|stored| stored.position).collect()
}

#[test]
fn nothing_comes_out_before_it_is_committed_and_nothing_is_consumed() {
    let (mut spool, notices) = open(&ModelFiles::new(0), 0);
    assert_eq!(notices, []);
    let position = spool.append(Kind::Gap, 7, b"payload", time(1)).unwrap();
    assert_eq!(spool.next(10, 1000).unwrap().0, []);
    assert_eq!(spool.commit().unwrap(), position);
    let payload = b"payload".to_vec();
    let expected = Stored { position, kind: Kind::Gap, leaks: 7, written_at: time(1), payload };
    for _ in 0..2 {
        assert_eq!(spool.next(10, 1000).unwrap().0, std::slice::from_ref(&expected));
    }
    spool.acknowledge(position).unwrap();
    assert_eq!(spool.next(10, 1000).unwrap().0, []);
}

#[test]
fn bounds_of_a_batch_hold_but_one_record_always_comes() {
    let (mut spool, _) = open(&ModelFiles::new(0), 0);
    fill(&mut spool, 5, 100, 0);
    let mut count = |count_max, bytes_max| spool.next(count_max, bytes_max).unwrap().0.len();
    assert_eq!([count(3, 1000), count(10, 250), count(0, 0), count(10, 500)], [3, 2, 1, 5]);
}

#[test]
fn what_is_too_large_or_too_much_is_refused_and_not_numbered() {
    let (mut spool, _) = open(&ModelFiles::new(0), 0);
    let longest = vec![0; crate::PAYLOAD_BYTES_MAX];
    let too_long = vec![0; crate::PAYLOAD_BYTES_MAX + 1];
    let too_large = spool.append(Kind::Report, 1, &too_long, time(0));
    assert!(matches!(too_large, Err(SpoolError::TooLarge(_))));
    let taken = (0..100).take_while(|_| spool.append(Kind::Report, 1, &longest, time(0)).is_ok()).count();
    assert_eq!(taken, 7);
    assert!(matches!(spool.append(Kind::Report, 1, &longest, time(0)), Err(SpoolError::Backlog)));
    assert_eq!(spool.commit().unwrap().sequence, 7);
    assert_eq!(drain(&mut spool).0.len(), 7);
}

#[test]
fn a_clean_close_is_silent_and_a_kill_is_told() {
    let files = ModelFiles::new(0);
    let (mut spool, notices) = open(&files, 0);
    assert_eq!(notices, []);
    fill(&mut spool, 3, 100, 1);
    spool.close(time(2)).unwrap();
    let (mut spool, notices) = open(&files, 100);
    assert_eq!(notices, []);
    fill(&mut spool, 3, 100, 101);
    spool.touch(time(200));
    spool.touch(time(210));
    drop(spool);
    let (mut spool, notices) = open(&files, 300);
    assert_eq!(notices, [Notice::UncleanStart { last_alive: Some(time(200)), now: time(300) }]);
    let (all, told) = drain(&mut spool);
    assert_eq!((all.len(), told), (6, vec![]));
    assert_ne!(all[0].position.epoch, all[3].position.epoch);
}

#[test]
fn an_unclean_start_is_told_until_a_commit_made_it_safe() {
    let files = ModelFiles::new(0);
    drop(open(&files, 0));
    for second in [100, 200] {
        let (mut spool, notices) = open(&files, second);
        assert_eq!(notices, [Notice::UncleanStart { last_alive: Some(time(0)), now: time(second) }]);
        spool.touch(time(second + 70));
    }
    let (mut spool, _) = open(&files, 300);
    fill(&mut spool, 1, 10, 300);
    spool.touch(time(370));
    drop(spool);
    let (_, notices) = open(&files, 400);
    assert_eq!(notices, [Notice::UncleanStart { last_alive: Some(time(370)), now: time(400) }]);
}

#[test]
fn segments_behind_the_cursor_are_deleted_and_closing_leaves_none() {
    let files = ModelFiles::new(0);
    let (mut spool, _) = open(&files, 0);
    let all: Vec<_> = (0..8).flat_map(|second| fill(&mut spool, 3, 2000, second)).collect();
    assert_eq!((spool.stats().segments, spool.stats().waiting_leaks), (4, 240));
    spool.acknowledge(all[12]).unwrap();
    assert_eq!((spool.stats().segments, spool.stats().waiting_records), (2, 11));
    assert_eq!(positions(&spool.next(100, 1 << 20).unwrap().0), all[13..18]);
    spool.acknowledge(all[23]).unwrap();
    spool.close(time(9)).unwrap();
    assert_eq!(files.names(), ["closed", "lock", "state"]);
}

#[test]
fn a_position_never_committed_is_refused_and_one_long_gone_ignored() {
    let (mut spool, _) = open(&ModelFiles::new(0), 0);
    let last = *fill(&mut spool, 2, 10, 0).last().unwrap();
    let beyond = Position { sequence: 3, ..last };
    assert!(matches!(spool.acknowledge(beyond), Err(SpoolError::NotStored(position)) if position == beyond));
    spool.acknowledge(Position { epoch: Uuid::nil(), sequence: 1 }).unwrap();
    assert_eq!(spool.stats().waiting_records, 2);
}

#[test]
fn a_second_owner_is_refused() {
    let files = ModelFiles::new(0);
    let _spool = open(&files, 0);
    assert!(matches!(Spool::open_in(files.another(), limits(), time(0)), Err(SpoolError::Busy)));
}

#[test]
fn size_drops_the_oldest_segments_and_tells_what_was_in_them() {
    let files = ModelFiles::new(0);
    let limits = Limits { total_bytes_max: 30 << 10, ..limits() };
    let (mut spool, _) = Spool::open_in(files.another(), limits, time(0)).unwrap();
    let all: Vec<_> = (0..8).flat_map(|second| fill(&mut spool, 3, 2000, second)).collect();
    spool.acknowledge(all[0]).unwrap();
    let dropped = |first: usize, last: usize, from, to| Notice::Dropped {
        reason: Reason::Size,
        first: all[first],
        last: all[last],
        records: (last - first + 1) as u64,
        leaks: (last - first + 1) as u64 * 10,
        from: time(from),
        to: time(to),
    };
    assert_eq!(spool.enforce(time(9)).unwrap(), [dropped(1, 5, 0, 1), dropped(6, 11, 2, 3)]);
    assert!(spool.stats().bytes <= limits.total_bytes_max);
    assert_eq!(positions(&drain(&mut spool).0), all[12..]);
}

#[test]
fn age_counts_time_that_passed_and_not_a_clock_set_a_year_ahead_or_back() {
    const YEAR: i64 = 365 * 86_400;
    const HALF: i64 = 1800;
    let check = |times: &[i64], expected: Option<usize>| {
        let limits = Limits { age_max: Duration::from_secs(7200), ..limits() };
        let (mut spool, _) = Spool::open_in(ModelFiles::new(0), limits, time(0)).unwrap();
        fill(&mut spool, 3, 100, 0);
        let dropped = times.iter().position(|&second| !spool.enforce(time(second)).unwrap().is_empty());
        assert_eq!(dropped, expected, "{times:?}");
    };
    check(&[HALF, 2 * HALF, 3 * HALF, 4 * HALF], None);
    check(&[HALF, 2 * HALF, 3 * HALF, 4 * HALF, 4 * HALF + 1], Some(4));
    check(&[YEAR, 10, 20, 30, 40], None);
    check(&[YEAR, YEAR + HALF, YEAR + 2 * HALF, YEAR + 3 * HALF], Some(3));
    check(&[-YEAR, HALF - YEAR, 2 * HALF - YEAR, 3 * HALF - YEAR, 4 * HALF - YEAR], None);
    check(&[-YEAR, 0, HALF, 2 * HALF, 3 * HALF], Some(4));
}

#[test]
fn age_goes_on_over_a_restart() {
    let files = ModelFiles::new(0);
    let limits = Limits { age_max: Duration::from_secs(7200), ..limits() };
    for hour in 0..5 {
        let (mut spool, _) = Spool::open_in(files.another(), limits, time(hour * 3600)).unwrap();
        if hour == 0 {
            fill(&mut spool, 3, 100, 0);
        }
        let dropped = spool.enforce(time(hour * 3600)).unwrap();
        assert_eq!(dropped.len(), usize::from(hour == 3), "{dropped:?}");
        spool.close(time(hour * 3600)).unwrap();
    }
}

#[test]
fn a_full_disk_is_told_and_nothing_is_lost_nor_numbered_anew() {
    let files = ModelFiles::new(0);
    let (mut spool, _) = open(&files, 0);
    fill(&mut spool, 3, 100, 0);
    files.set_free(0);
    files.fail_at(next_step(&files), Fault::Full);
    let last = (0..3).map(|_| spool.append(Kind::Report, 1, b"late", time(1)).unwrap()).last().unwrap();
    assert!(spool.commit().unwrap_err().is_full());
    let steps = files.steps();
    assert!(spool.commit().unwrap_err().is_full());
    assert_eq!(files.steps(), steps, "nothing is tried while there is no room");
    assert_eq!(spool.stats().uncommitted_records, 3);
    files.set_free(u64::MAX);
    assert_eq!(spool.commit().unwrap(), last);
    let (all, told) = drain(&mut spool);
    let sequences: Vec<_> = all.iter().map(|stored| stored.position.sequence).collect();
    assert_eq!((sequences, told), (vec![1, 2, 3, 4, 5, 6], vec![]));
}

#[test]
fn a_full_disk_does_not_keep_the_spool_from_opening_and_emptying() {
    let files = ModelFiles::new(0);
    let (mut spool, _) = open(&files, 0);
    fill(&mut spool, 3, 100, 0);
    spool.close(time(1)).unwrap();
    for step in 1..10 {
        let failing = files.steps() + step;
        files.fail_at(failing..failing + 1, Fault::Full);
        match Spool::open_in(files.another(), limits(), time(2)) {
            Ok((mut spool, _)) => assert_eq!(drain(&mut spool).0.len(), 3, "step {step}"),
            Err(error) => assert!(error.is_full()),
        }
        files.fail_at(0..0, Fault::Full);
        let (mut spool, _) = open(&files, 3);
        drain(&mut spool);
        fill(&mut spool, 3, 100, 3);
    }
}

#[test]
fn damage_since_the_open_costs_what_it_hit_and_is_told() {
    let files = ModelFiles::new(0);
    let (mut spool, _) = open(&files, 0);
    let all: Vec<_> = (0..4).flat_map(|second| fill(&mut spool, 3, 2000, second)).collect();
    files.damage("0000000000000001.seg", |bytes| bytes[64 + 2060 + 100] ^= 1);
    files.damage("0000000000000002.seg", |bytes| bytes[64 + 8] ^= 1);
    let (left, told) = drain(&mut spool);
    let expected: Vec<_> = (0..12).filter(|at| ![1, 6].contains(at)).map(|at| all[at]).collect();
    assert_eq!(positions(&left), expected);
    let skipped = |segment, from, to, leaks| Notice::MiddleSkipped { segment, from, to, records: 1, leaks };
    assert_eq!(told, [skipped(1, 2124, 4184, 10), skipped(2, 64, 2124, 10)]);
}

#[test]
fn damage_found_at_an_open_is_told_once_and_the_rest_comes_out() {
    let files = ModelFiles::new(0);
    let (mut spool, _) = open(&files, 0);
    let all: Vec<_> = (0..4).flat_map(|second| fill(&mut spool, 3, 2000, second)).collect();
    spool.close(time(5)).unwrap();
    files.damage("0000000000000001.seg", |bytes| bytes[5000..6000].fill(0));
    files.damage("0000000000000002.seg", |bytes| bytes.truncate(bytes.len() - 1));
    let (mut spool, notices) = open(&files, 6);
    let (from, to) = (4184, 6244);
    let middle = Notice::MiddleSkipped { segment: 1, from, to, records: 1, leaks: 10 };
    assert_eq!(notices, [middle, Notice::TailCut { segment: 2, bytes: 2059 }]);
    let (left, told) = drain(&mut spool);
    assert_eq!((left.len(), told), (10, vec![]));
    assert!(positions(&left).iter().all(|position| *position != all[2] && *position != all[11]));
}

#[test]
fn an_unreadable_segment_is_set_aside_and_another_version_refused() {
    let files = ModelFiles::new(0);
    let (mut spool, _) = open(&files, 0);
    (0..4).for_each(|second| drop(fill(&mut spool, 3, 2000, second)));
    spool.close(time(5)).unwrap();
    files.damage("0000000000000001.seg", |bytes| bytes.fill(7));
    let (mut spool, notices) = open(&files, 6);
    assert!(matches!(notices[..], [Notice::SegmentUnreadable { segment: 1, .. }]), "{notices:?}");
    fill(&mut spool, 1, 10, 6);
    assert!(files.names().contains(&"0000000000000001.bad".to_owned()));
    spool.close(time(7)).unwrap();
    files.damage("0000000000000002.seg", |bytes| {
        crate::format::begin(&mut bytes[..64], *b"CPRSPOOL", 2);
        crate::format::finish(&mut bytes[..64]);
    });
    let refused = Spool::open_in(files.another(), limits(), time(8));
    assert!(matches!(refused, Err(SpoolError::Version { found: 2, .. })));
}

#[test]
fn a_lost_segment_and_a_lost_cursor_are_told() {
    let files = ModelFiles::new(0);
    let (mut spool, _) = open(&files, 0);
    let all: Vec<_> = (0..6).flat_map(|second| fill(&mut spool, 3, 2000, second)).collect();
    spool.close(time(7)).unwrap();
    files.remove("0000000000000002.seg").unwrap();
    files.damage("state", |bytes| bytes[20] ^= 1);
    let (mut spool, notices) = open(&files, 8);
    let missing = Notice::Missing { first: all[6], last: 12 };
    assert_eq!(notices, [missing, Notice::CursorLost]);
    assert_eq!(drain(&mut spool).0.len(), 12);
}

#[test]
fn an_unreadable_sector_does_not_block_the_queue() {
    let files = ModelFiles::new(0);
    let (mut spool, _) = open(&files, 0);
    (0..4).for_each(|second| drop(fill(&mut spool, 3, 2000, second)));
    files.break_reads("0000000000000001.seg", 64..10_000);
    let (left, told) = drain(&mut spool);
    assert_eq!((left.len(), told.len()), (7, 5));
}

#[test]
fn an_unreadable_sector_at_an_open_costs_its_block_only() {
    let files = ModelFiles::new(0);
    let (mut spool, _) = open(&files, 0);
    let all = fill(&mut spool, 100, 2000, 0);
    spool.close(time(1)).unwrap();
    files.break_reads("0000000000000001.seg", 70_000..70_512);
    let (mut spool, notices) = open(&files, 2);
    let [Notice::MiddleSkipped { records, .. }] = notices[..] else { panic!("{notices:?}") };
    assert!(records <= 34, "{records} records in a block of 64 KiB");
    let left = drain(&mut spool).0;
    assert_eq!(left.len() as u64 + records, 100);
    assert_eq!(left[99 - usize::try_from(records).unwrap()].position, all[99]);
}

#[test]
fn a_close_commits_what_is_left() {
    let files = ModelFiles::new(0);
    let (mut spool, _) = open(&files, 0);
    spool.append(Kind::Report, 1, b"late", time(0)).unwrap();
    spool.close(time(1)).unwrap();
    assert_eq!(drain(&mut open(&files, 2).0).0.len(), 1);
}

/// A write that never ended may leave a torn tail, and later pages of it without earlier ones.
fn is_of_a_torn_write(notice: &Notice) -> bool {
    use Notice::{MiddleSkipped, TailCut, UncleanStart};
    matches!(notice, UncleanStart { .. } | TailCut { .. } | MiddleSkipped { .. })
}

/// What an owner does.
#[derive(Clone, Debug)]
enum Action {
    Append { bytes: usize, leaks: u32 },
    Commit,
    Send { count: usize },
    Touch,
    Enforce,
    Restart,
    Kill,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        6 => (prop_oneof![0_usize..200, 3000_usize..6000], 0_u32..300)
            .prop_map(|(bytes, leaks)| Action::Append { bytes, leaks }),
        4 => Just(Action::Commit),
        3 => (1_usize..6).prop_map(|count| Action::Send { count }),
        1 => Just(Action::Touch),
        2 => Just(Action::Enforce),
        1 => Just(Action::Restart),
        1 => Just(Action::Kill),
    ];
    prop::collection::vec(action, 1..40)
}

/// An owner, and what it may rely on.
struct Owner {
    files: ModelFiles,
    spool: Option<Spool<ModelFiles>>,
    limits: Limits,
    second: i64,
    /// Everything ever appended, by its position, with its place in order.
    appended: HashMap<Position, (usize, Vec<u8>, u32)>,
    order: Vec<Position>,
    uncommitted: Vec<Position>,
    /// Must come out.
    owed: Vec<Position>,
    /// Came out in this open.
    seen: Vec<Position>,
    was_closed: bool,
    /// A crash may have swallowed notices of drops.
    is_drop_untold: bool,
}

impl Owner {
    fn new(seed: u64, limits: Limits) -> Self {
        Self {
            files: ModelFiles::new(seed),
            spool: None,
            limits,
            second: 0,
            appended: HashMap::new(),
            order: Vec::new(),
            uncommitted: Vec::new(),
            owed: Vec::new(),
            seen: Vec::new(),
            was_closed: true,
            is_drop_untold: false,
        }
    }

    /// Does one thing. A failure is right only if a fault was injected meanwhile.
    fn act(&mut self, action: &Action) {
        self.second += 10;
        if self.files.is_down() {
            self.kill();
        }
        if self.spool.is_none() && !self.open() {
            return;
        }
        let now = time(self.second);
        let spool = self.spool.as_mut().unwrap();
        let outcome = match action {
            Action::Append { bytes, leaks } => {
                self.append(*bytes, *leaks);
                Ok(())
            }
            Action::Commit => spool.commit().map(|last| self.committed(last)),
            Action::Send { count } => self.send(*count),
            Action::Touch => {
                spool.touch(now);
                Ok(())
            }
            Action::Enforce => {
                let outcome = spool.enforce(now).map(|notices| self.told(&notices));
                self.is_drop_untold |= self.files.is_down();
                outcome
            }
            Action::Restart => self.restart(),
            Action::Kill => {
                self.kill();
                Ok(())
            }
        };
        self.judge(outcome);
    }

    fn judge(&self, outcome: Result<(), SpoolError>) {
        let had_fault = self.files.take_fault() || self.files.is_down();
        if let Err(error) = outcome {
            assert!(had_fault, "without a fault: {error}");
        }
    }

    fn open(&mut self) -> bool {
        match Spool::open_in(self.files.another(), self.limits, time(self.second)) {
            Ok((spool, notices)) => {
                let is_unclean = notices.iter().any(|notice| matches!(notice, Notice::UncleanStart { .. }));
                assert!(is_unclean || self.was_closed, "a death was not told");
                for notice in &notices {
                    assert!(is_of_a_torn_write(notice), "{notice}");
                }
                self.spool = Some(spool);
                self.seen.clear();
                self.was_closed = false;
                true
            }
            outcome => {
                self.judge(outcome.map(drop));
                false
            }
        }
    }

    fn append(&mut self, bytes: usize, leaks: u32) {
        let payload: Vec<u8> = (0..bytes).map(|at| (at * 7 + self.order.len()) as u8).collect();
        let spool = self.spool.as_mut().unwrap();
        let position = spool.append(Kind::Report, leaks, &payload, time(self.second)).unwrap();
        let before = self.appended.insert(position, (self.order.len(), payload, leaks));
        assert!(before.is_none(), "{position} was given twice");
        self.order.push(position);
        self.uncommitted.push(position);
    }

    fn committed(&mut self, last: Position) {
        if let Some(expected) = self.uncommitted.last() {
            assert_eq!(*expected, last);
        }
        self.owed.append(&mut self.uncommitted);
    }

    fn send(&mut self, count: usize) -> Result<(), SpoolError> {
        let spool = self.spool.as_mut().unwrap();
        let (batch, notices) = spool.next(count, 10_000)?;
        assert_eq!(notices, [], "nothing was damaged");
        assert!(batch.iter().all(|stored| !self.uncommitted.contains(&stored.position)));
        let Some(last) = batch.last().map(|stored| stored.position) else { return Ok(()) };
        let outcome = spool.acknowledge(last);
        self.take(&batch);
        outcome
    }

    /// In order, once, intact, and nothing owed left out before it.
    fn take(&mut self, batch: &[Stored]) {
        for stored in batch {
            let (place, payload, leaks) = &self.appended[&stored.position];
            assert!(
                stored.payload == *payload && stored.leaks == *leaks,
                "{} is not intact",
                stored.position
            );
            let last = self.seen.last().map(|last| self.appended[last].0);
            assert!(last.is_none_or(|last| last < *place), "{} is out of order", stored.position);
            let skipped = self.owed.iter().find(|owed| self.appended[*owed].0 < *place);
            assert_eq!(skipped.filter(|_| !self.is_drop_untold), None, "left out");
            self.seen.push(stored.position);
            let place = *place;
            self.owed.retain(|owed| self.appended[owed].0 > place);
        }
    }

    fn told(&mut self, notices: &[Notice]) {
        for notice in notices {
            let Notice::Dropped { first, last, records, leaks, .. } = notice else { panic!("{notice}") };
            let (first, last) = (self.appended[first].0, self.appended[last].0);
            assert_eq!(last - first + 1, usize::try_from(*records).unwrap());
            let sum: u32 = self.order[first..=last].iter().map(|at| self.appended[at].2).sum();
            assert_eq!(u64::from(sum), *leaks);
            self.owed.retain(|owed| !(first..=last).contains(&self.appended[owed].0));
        }
    }

    /// Once all is committed a failing close may or may not have left its mark.
    fn restart(&mut self) -> Result<(), SpoolError> {
        let last = self.spool.as_mut().unwrap().commit()?;
        self.committed(last);
        self.was_closed = true;
        self.spool.take().unwrap().close(time(self.second))
    }

    fn kill(&mut self) {
        self.spool = None;
        self.uncommitted.clear();
        self.files.crash();
    }

    /// After all faults: everything owed comes out.
    fn finish(&mut self) {
        self.files.fail_at(0..0, Fault::Io);
        self.files.take_fault();
        self.kill();
        self.second += 10;
        assert!(self.open());
        let (all, notices) = drain(self.spool.as_mut().unwrap());
        assert_eq!(notices, []);
        self.take(&all);
        assert!(self.owed.is_empty() || self.is_drop_untold, "lost: {:?}", self.owed);
    }
}

/// Runs the actions with a fault at each step in turn, and at some steps behind it.
fn check(actions: &[Action], seed: u64, limits: Limits) {
    let steps = run(actions, seed, limits, None);
    for step in 1..=steps {
        for fault in FAULTS {
            let failing = step..step + 1 + (seed ^ step) % 4;
            run(actions, seed ^ step, limits, Some((failing, fault)));
        }
    }
}

fn run(actions: &[Action], seed: u64, limits: Limits, fault: Option<(Range<u64>, Fault)>) -> u64 {
    let mut owner = Owner::new(seed, limits);
    if let Some((steps, fault)) = fault {
        owner.files.fail_at(steps, fault);
    }
    actions.iter().for_each(|action| owner.act(action));
    let steps = owner.files.steps();
    owner.finish();
    steps
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_committed_comes_out_whatever_fails(actions in actions(), seed: u64) {
        check(&actions, seed, limits());
    }

    #[test]
    fn what_was_dropped_was_told_and_the_rest_comes_out(actions in actions(), seed: u64) {
        check(&actions, seed, Limits { total_bytes_max: 40 << 10, ..limits() });
    }

    #[test]
    fn each_record_that_a_rotten_disk_loses_is_told(
        damage in prop::collection::vec((1_u64..5, any::<prop::sample::Index>(), 1_usize..5000), 1..6),
        closed: bool,
    ) {
        let files = ModelFiles::new(0);
        let (mut spool, _) = open(&files, 0);
        let all: Vec<_> = (0..8).flat_map(|second| fill(&mut spool, 3, 2000, second)).collect();
        let running = if closed { spool.close(time(9)).map(|()| None).unwrap() } else { Some(spool) };
        for (segment, at, length) in damage {
            files.damage(&name(segment), |bytes| {
                let at = 64 + at.index(bytes.len() - 64);
                let end = bytes.len().min(at + length);
                bytes[at..end].iter_mut().for_each(|byte| *byte = !*byte);
            });
        }
        let (spool, notices) = running.map_or_else(|| open(&files, 10), |spool| (spool, Vec::new()));
        check_told(spool, notices, &all);
    }
}

fn check_told(mut spool: Spool<ModelFiles>, mut notices: Vec<Notice>, all: &[Position]) {
    let (left, told) = drain(&mut spool);
    notices.extend(told);
    let lost = (all.len() - left.len()) as u64;
    let records: u64 = notices.iter().map(records_told).sum();
    let has_tail = notices.iter().any(|notice| matches!(notice, Notice::TailCut { .. }));
    assert!(records == lost || (has_tail && records < lost), "{lost} are lost: {notices:?}");
}

fn records_told(notice: &Notice) -> u64 {
    match notice {
        Notice::MiddleSkipped { records, .. } => *records,
        Notice::Missing { first, last } => last - first.sequence + 1,
        Notice::TailCut { .. } => 0,
        other => panic!("{other}"),
    }
}
