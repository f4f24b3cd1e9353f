//! The whole process, as the main process and `inspect` see it.

use std::io::Write as _;
use std::path::Path;
use std::thread::JoinHandle;

use cprvagt_report::ReceiptOutcome;
use cprvagt_spool::list;

use super::frame::{Frame, FrameKind};
use super::scripted::{Authority, HOUR, Reply, Scripted, Speech};
use super::*;
use crate::config::Config;
use crate::host::this_host;

/// The process, in a thread.
struct Running {
    control: UnixStream,
    reports: UnixStream,
    thread: JoinHandle<Result<(), SendError>>,
}

fn settings(root: &Path, url: Option<CollectorUrl>) -> Settings {
    let mut config = Config::default();
    config.spool.dir = root.join("spool");
    config.collector.enrolment = root.join("enrolment");
    config.collector.url = url;
    Settings::of(&config, this_host(&Scrubber::at(0)))
}

impl Running {
    fn start(settings: &Settings, confine: Result<(), &'static str>) -> Self {
        let (control, theirs) = UnixStream::pair().unwrap();
        let (reports, their_reports) = UnixStream::pair().unwrap();
        channel::send(&control, &ToSend::Start(settings.clone())).unwrap();
        let thread = std::thread::spawn(move || run(theirs, their_reports, |_| confine));
        Self { control, reports, thread }
    }

    /// The next message that is no sign of life.
    fn hear(&self) -> Option<FromSend> {
        loop {
            match channel::receive(&self.control).unwrap() {
                Some(FromSend::Alive) => {}
                other => return other,
            }
        }
    }

    fn status(&self) -> SendStatus {
        channel::send(&self.control, &ToSend::Status).unwrap();
        match self.hear() {
            Some(FromSend::Status(status)) => *status,
            other => panic!("{other:?}"),
        }
    }

    fn report(&mut self, number: u8) {
        let frame = Frame { kind: FrameKind::Report, leaks: 1, sealed: vec![number; 50] };
        self.reports.write_all(&frame.encode()).unwrap();
    }

    fn stop(self) -> Result<(), SendError> {
        drop(self.reports);
        channel::send(&self.control, &ToSend::Stop).unwrap();
        self.thread.join().unwrap()
    }
}

/// Waits until `is_so`, as long as it takes.
fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn waiting(root: &Path) -> u64 {
    list(&root.join("spool")).unwrap().iter().map(|segment| segment.records).sum()
}

#[test]
fn without_a_collector_reports_are_spooled_and_the_last_one_too() {
    let root = tempfile::tempdir().unwrap();
    let mut send = Running::start(&settings(root.path(), None), Ok(()));
    let Some(FromSend::Ready { epoch }) = send.hear() else { panic!("it is not ready") };
    (1..=100).for_each(|number| send.report(number));
    let status = send.status();
    assert_eq!((status.spool.epoch, status.collector, status.last_error), (epoch, None, None));
    send.stop().unwrap();
    assert_eq!(waiting(root.path()), 100);
    assert!(cprvagt_spool::check(&root.path().join("spool")).unwrap().is_closed);
}

#[test]
fn the_end_of_the_main_process_is_the_end_and_nothing_is_lost() {
    let root = tempfile::tempdir().unwrap();
    let mut send = Running::start(&settings(root.path(), None), Ok(()));
    send.hear();
    send.report(1);
    let Running { control, reports, thread } = send;
    drop(control);
    drop(reports);
    thread.join().unwrap().unwrap();
    assert_eq!(waiting(root.path()), 1);
}

#[test]
fn what_arrives_is_delivered_and_a_reload_is_followed() {
    let root = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let collector =
        Scripted::in_background(Speech::of(&authority), |seen| Reply::receipts(seen, ReceiptOutcome::Stored));
    let nowhere = "https://localhost:1".parse().unwrap();
    authority.enrol(&root.path().join("enrolment"), &collector.url, (-HOUR, 9 * HOUR));
    let mut send = Running::start(&settings(root.path(), Some(nowhere)), Ok(()));
    send.hear();
    send.report(1);
    until(|| send.status().last_error.is_some());
    assert_eq!(send.status().spool.records, 1);
    channel::send(&send.control, &ToSend::Reload(settings(root.path(), None))).unwrap();
    until(|| send.status().delivered == 1);
    send.report(2);
    until(|| send.status().delivered == 2);
    let status = send.status();
    assert_eq!((status.spool.records, status.last_error, status.next_attempt_in), (0, None, None));
    assert_eq!(status.collector, Some(collector.url.clone()));
    assert!(status.certificate_expires_at.is_some() && status.last_delivery_at.is_some());
    send.stop().unwrap();
    let seen = collector.seen();
    assert_eq!(seen[0].delivery().reports[0].sealed, [1; 50]);
    assert_eq!(seen[1].delivery().reports[0].sealed, [2; 50]);
}

#[test]
fn a_process_that_is_not_confined_or_has_no_spool_does_not_start() {
    let root = tempfile::tempdir().unwrap();
    let send = Running::start(&settings(root.path(), None), Err("no Landlock"));
    let Some(FromSend::Failed(why)) = send.hear() else { panic!("it started") };
    assert_eq!(why, "the process could not be confined: no Landlock");
    assert!(send.thread.join().unwrap().is_err());
    let first = Running::start(&settings(root.path(), None), Ok(()));
    assert!(matches!(first.hear(), Some(FromSend::Ready { .. })));
    let second = Running::start(&settings(root.path(), None), Ok(()));
    let Some(FromSend::Failed(why)) = second.hear() else { panic!("it started") };
    assert!(why.contains("in use"), "{why}");
    first.stop().unwrap();
}

#[test]
fn a_stream_that_breaks_ends_the_process_and_says_so() {
    let root = tempfile::tempdir().unwrap();
    let mut send = Running::start(&settings(root.path(), None), Ok(()));
    send.hear();
    send.reports.write_all(&[0; 4]).unwrap();
    let Some(FromSend::Failed(why)) = send.hear() else { panic!("it goes on") };
    assert!(why.contains("stream of reports"), "{why}");
    assert!(send.thread.join().unwrap().is_err());
}
