//! Frames over a real socket into a real spool; a disk that is full is a small one.

use std::path::Path;
use std::process::Command;

use cprvagt_report::seal::PrivateKey;
use cprvagt_report::{Entry, Report};
use cprvagt_spool::{Kind, Limits};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::*;
use crate::host::this_host;
use crate::scrub::Scrubber;
use crate::send::frame::FrameKind;
use crate::send::sealed_spool::SealedSpool;

fn shared(dir: &Path) -> Shared {
    let host = this_host(&Scrubber::at(0));
    Shared::new(SealedSpool::open(dir, Limits::default(), host).unwrap())
}

fn frame(number: u8, bytes: usize) -> Frame {
    Frame { kind: FrameKind::Report, leaks: 2, sealed: vec![number; bytes] }
}

/// Waits until so many reports are in the spool.
async fn until_waiting(shared: &Shared, records: u64) {
    while shared.spool.borrow().stats().waiting_records < records {
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn frames_end_up_in_the_spool_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let shared = shared(dir.path());
    let (mut here, there) = UnixStream::pair().unwrap();
    let mut intake = Intake::new(there);
    let send = async {
        for number in 1..=200 {
            // In two pieces, so that frames are cut.
            let bytes = frame(number, 1000).encode();
            here.write_all(&bytes[..number as usize]).await.unwrap();
            here.write_all(&bytes[number as usize..]).await.unwrap();
        }
        drop(here);
    };
    let (taken, ()) = tokio::join!(intake.run(&shared), send);
    taken.unwrap();
    let stored = shared.spool.borrow_mut().next(1000, 1 << 20).unwrap();
    let numbers: Vec<u8> = stored.iter().map(|it| it.payload[0]).collect();
    assert_eq!(numbers, (1..=200).collect::<Vec<u8>>());
    assert!(stored.iter().all(|it| it.kind == Kind::Report && it.leaks == 2 && it.payload.len() == 1000));
    let stats = shared.spool.borrow().stats();
    assert_eq!((stats.uncommitted_records, stats.waiting_leaks), (0, 400));
}

#[tokio::test]
async fn large_frames_do_not_fill_the_spools_memory() {
    let dir = tempfile::tempdir().unwrap();
    let shared = shared(dir.path());
    let (mut here, there) = UnixStream::pair().unwrap();
    let mut intake = Intake::new(there);
    let send = async {
        for number in 1..=30 {
            here.write_all(&frame(number, cprvagt_report::SEALED_BYTES_MAX).encode()).await.unwrap();
        }
        drop(here);
    };
    let (taken, ()) = tokio::join!(intake.run(&shared), send);
    taken.unwrap();
    assert_eq!(shared.spool.borrow().stats().waiting_records, 30);
    assert!(shared.progress.borrow().blocked_since.is_none());
}

#[tokio::test]
async fn one_report_alone_is_durable_without_another_coming() {
    let dir = tempfile::tempdir().unwrap();
    let shared = shared(dir.path());
    let (mut here, there) = UnixStream::pair().unwrap();
    let mut intake = Intake::new(there);
    here.write_all(&frame(1, 10).encode()).await.unwrap();
    tokio::select! {
        ended = intake.run(&shared) => panic!("{ended:?}"),
        () = until_waiting(&shared, 1) => {}
    }
}

#[tokio::test]
async fn a_run_that_is_dropped_anywhere_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let shared = shared(dir.path());
    let (mut here, there) = UnixStream::pair().unwrap();
    let mut intake = Intake::new(there);
    let bytes: Vec<u8> = (1..=20).flat_map(|number| frame(number, 50).encode()).collect();
    for piece in bytes.chunks(37) {
        here.write_all(piece).await.unwrap();
        let _ = timeout(Duration::from_millis(1), intake.run(&shared)).await;
    }
    drop(here);
    intake.run(&shared).await.unwrap();
    let stored = shared.spool.borrow_mut().next(1000, 1 << 20).unwrap();
    let numbers: Vec<u8> = stored.iter().map(|it| it.payload[0]).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<u8>>());
}

#[tokio::test]
async fn what_came_whole_before_a_broken_frame_is_kept() {
    for (rest, expected) in [(&[9, 9][..], "middle"), (&[0, 0, 0, 0], "of 0 bytes")] {
        let dir = tempfile::tempdir().unwrap();
        let shared = shared(dir.path());
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(&[&frame(1, 10).encode()[..], rest].concat()).await.unwrap();
        drop(here);
        let error = Intake::new(there).run(&shared).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(shared.spool.borrow().stats().waiting_records, 1);
    }
}

/// A file system of 4 MiB; `None` where this user may not mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs"]).arg(dir.path());
        let mounted = mount.stderr(std::process::Stdio::null()).status().is_ok_and(|it| it.success());
        mounted.then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_stops_intake_and_is_told_once_there_is_room() {
    let Some(disk) = SmallDisk::new() else {
        eprintln!("skipped: a small file system cannot be mounted by this user");
        return;
    };
    let (shared, key) = (shared(&disk.0.path().join("spool")), PrivateKey::generate());
    shared.spool.borrow_mut().seal_to(Some(key.public().clone()));
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![0; 3 << 20]).unwrap();
    let (mut here, there) = UnixStream::pair().unwrap();
    let mut intake = Intake::new(there);
    let send = async {
        for number in 1..=20 {
            here.write_all(&frame(number, 100_000).encode()).await.unwrap();
        }
        drop(here);
    };
    let make_room = async {
        while shared.progress.borrow().blocked_since.is_none() {
            sleep(Duration::from_millis(5)).await;
        }
        assert!(shared.status().spool_blocked_since.is_some());
        std::fs::remove_file(&ballast).unwrap();
    };
    let (taken, (), ()) = tokio::join!(intake.run(&shared), send, make_room);
    taken.unwrap();
    assert!(shared.progress.borrow().blocked_since.is_none());
    let stored = shared.spool.borrow_mut().next(1000, 100 << 20).unwrap();
    let reports: Vec<u8> =
        stored.iter().filter(|it| it.kind == Kind::Report).map(|it| it.payload[0]).collect();
    assert_eq!(reports, (1..=20).collect::<Vec<u8>>(), "nothing is lost, nothing comes twice");
    let gaps: Vec<_> = stored.iter().filter(|it| it.kind == Kind::Gap).collect();
    let [gap] = gaps[..] else { panic!("{} gap records", gaps.len()) };
    let Entry::Gap(gap) = &Report::open(&gap.payload, &key).unwrap().entries[0] else { panic!("a gap") };
    assert_eq!((gap.gap.reason.as_str(), gap.leaks_lost), ("disk-full", 0));
    assert!(gap.gap.to > gap.gap.from);
}
