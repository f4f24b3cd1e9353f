//! The spool on a real directory: permissions, lock, deaths, and looking on from outside.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use cprvagt_spool::{Kind, Limits, Notice, Spool, SpoolError, check, export, list, repair};
use jiff::Timestamp;

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn limits() -> Limits {
    Limits { segment_bytes_max: 64 << 10, ..Limits::default() }
}

fn open(dir: &Path, second: i64) -> (Spool, Vec<Notice>) {
    Spool::open(dir, limits(), time(second)).unwrap()
}

fn fill(spool: &mut Spool, count: u8) {
    for number in 0..count {
        spool.append(Kind::Report, 5, &[number; 5000], time(i64::from(number))).unwrap();
        spool.commit().unwrap();
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_directory_and_its_files_are_the_owners_alone() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("made/by/the/spool");
    let (mut spool, notices) = open(&dir, 0);
    fill(&mut spool, 20);
    spool.close(time(30)).unwrap();
    assert_eq!(notices, []);
    assert_eq!(mode(&dir), 0o700);
    let files: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 5, "{files:?}");
    files.iter().for_each(|file| assert_eq!(mode(file), 0o600, "{}", file.display()));
}

#[test]
fn one_owner_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path(), 0);
    let again = Spool::open(dir.path(), limits(), time(0));
    assert!(matches!(again, Err(SpoolError::Busy)));
    assert!(matches!(repair(dir.path()), Err(SpoolError::Busy)));
    drop(spool);
    open(dir.path(), 1);
}

#[test]
fn without_a_close_everything_committed_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(dir.path(), 0);
    fill(&mut spool, 30);
    spool.append(Kind::Report, 5, b"not committed", time(40)).unwrap();
    drop(spool);
    let (mut spool, notices) = open(dir.path(), 50);
    assert_eq!(notices, [Notice::UncleanStart { last_alive: Some(time(0)), now: time(50) }]);
    let mut count = 0;
    while let Some(last) = spool.next(7, 1 << 20).unwrap().0.last() {
        count += 1;
        assert_eq!(last.payload, vec![u8::try_from(last.position.sequence - 1).unwrap(); 5000]);
        spool.acknowledge(last.position).unwrap();
    }
    assert!(count >= 30 / 7);
    assert_eq!(spool.stats().waiting_records, 0);
    spool.close(time(60)).unwrap();
    assert_eq!(list(dir.path()).unwrap(), []);
}

#[test]
fn lookers_on_see_what_waits_while_the_owner_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(dir.path(), 0);
    fill(&mut spool, 20);
    let tenth = spool.next(10, 1 << 20).unwrap().0[9].position;
    spool.acknowledge(tenth).unwrap();
    let before = fs::read_dir(dir.path()).unwrap().count();
    let checkup = check(dir.path()).unwrap();
    assert!(checkup.damage.is_empty() && !checkup.is_closed, "{checkup:?}");
    let mut sequences = Vec::new();
    export(dir.path(), |stored| {
        sequences.push(stored.position.sequence);
        sequences.len() < 15
    })
    .unwrap();
    assert_eq!(sequences, Vec::from_iter(1..=15), "the cursor is written lazily");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), before);
    drop(spool);
}

#[test]
fn a_repair_cuts_and_sets_aside_and_then_all_is_well() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(dir.path(), 0);
    fill(&mut spool, 30);
    spool.close(time(30)).unwrap();
    let segments = list(dir.path()).unwrap();
    let (first, last) = (&segments[0], segments.last().unwrap());
    fs::write(dir.path().join(&first.name), [7; 1000]).unwrap();
    let mut tail = fs::OpenOptions::new().append(true).open(dir.path().join(&last.name)).unwrap();
    tail.write_all(b"torn").unwrap();
    let damage = [
        Notice::SegmentUnreadable { segment: first.number, bytes: 1000 },
        Notice::TailCut { segment: last.number, bytes: 4 },
    ];
    assert_eq!(check(dir.path()).unwrap().damage, damage);
    assert_eq!(repair(dir.path()).unwrap().damage, damage);
    let mended = check(dir.path()).unwrap();
    assert_eq!((mended.damage, mended.aside), (vec![], vec![first.number]));
    assert_eq!(mended.segments, segments[1..]);
}

#[test]
fn looking_at_no_spool_is_an_error_and_makes_none() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    assert!(matches!(check(&nowhere), Err(SpoolError::Io { .. })));
    assert!(!nowhere.exists());
    assert_eq!(check(dir.path()).unwrap().segments, []);
}

/// Not a test: the process that [`killed_at_any_point_nothing_committed_is_lost`] kills.
#[test]
fn writer_to_be_killed() {
    let Some(dir) = std::env::var_os("SPOOL_TO_WRITE") else { return };
    let (mut spool, _) = open(Path::new(&dir), 0);
    let mut number = 0_u64;
    loop {
        let payload = number.to_le_bytes().repeat(usize::try_from(number % 300).unwrap() + 1);
        spool.append(Kind::Report, 1, &payload, time(0)).unwrap();
        number += 1;
        if number.is_multiple_of(3) {
            println!("\ncommitted {}", spool.commit().unwrap());
        }
    }
}

#[test]
fn killed_at_any_point_nothing_committed_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    for commits in [1, 7, 60, 200] {
        let told = kill_after(dir.path(), commits);
        let (mut spool, _) = open(dir.path(), 1);
        let mut last = None;
        let mut expected = 1;
        while let (batch, notices) = spool.next(64, 1 << 20).unwrap()
            && !batch.is_empty()
        {
            assert_eq!(notices, []);
            for stored in batch {
                assert_eq!(stored.position.sequence, expected);
                assert_eq!(stored.payload[..8], (expected - 1).to_le_bytes());
                expected += 1;
                last = Some(stored.position);
            }
            spool.acknowledge(last.unwrap()).unwrap();
        }
        assert_eq!(last.unwrap().epoch.to_string(), told.0);
        assert!(last.unwrap().sequence >= told.1);
    }
}

/// Epoch and sequence of the last commit that the writer told of before it was killed.
fn kill_after(dir: &Path, commits: usize) -> (String, u64) {
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer_to_be_killed", "--nocapture"])
        .env("SPOOL_TO_WRITE", dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(writer.stdout.take().unwrap()).lines().map(Result::unwrap);
    let told = |line: String| line.strip_prefix("committed ").map(str::to_owned);
    let last = lines.filter_map(told).nth(commits - 1).unwrap();
    writer.kill().unwrap();
    writer.wait().unwrap();
    let (epoch, sequence) = last.split_once('/').unwrap();
    (epoch.to_owned(), sequence.parse().unwrap())
}
