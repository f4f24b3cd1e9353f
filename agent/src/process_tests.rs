//! Processes that come and go, out of recorded `/proc` entries, and a real one.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::procfs::{
    Procfs,
    tests::{procfs, run_program},
};

/// A memory over a recorded procfs.
fn over(dir: &tempfile::TempDir) -> Processes {
    Processes::new(Box::new(Procfs::new(dir.path())))
}

#[test]
fn a_process_that_is_gone_is_all_unknown() {
    let dir = procfs("/bin/true", 1);
    let facts = over(&dir).facts(8, Instant::now());
    assert_eq!(*facts, ProcessFacts::of_pid(8));
}

#[test]
fn the_dead_are_remembered_for_a_while() {
    let dir = procfs("/bin/short", 1);
    let (mut processes, now) = (over(&dir), Instant::now());
    processes.facts(7, now);
    processes.exit(7, now);
    fs::remove_dir_all(dir.path().join("7")).unwrap();
    let exe = |processes: &mut Processes, after| processes.facts(7, now + after).exe.clone();
    assert_eq!(exe(&mut processes, Duration::from_secs(1)).as_deref(), Some("/bin/short"));
    assert_eq!(exe(&mut processes, DEAD_KEPT).as_deref(), Some("/bin/short"));
    assert_eq!(exe(&mut processes, DEAD_KEPT + Duration::from_secs(2)), None);
}

#[test]
fn one_that_ran_before_is_known_when_it_is_gone() {
    let dir = procfs("/bin/short", 1);
    let now = Instant::now();
    let mut processes = Processes::of_running(Box::new(Procfs::new(dir.path())), now);
    fs::remove_dir_all(dir.path().join("7")).unwrap();
    let facts = processes.facts(7, now + Duration::from_secs(5));
    assert_eq!(facts.exe.as_deref(), Some("/bin/short"));
}

#[test]
fn one_that_ran_before_may_have_become_another_program() {
    let dir = procfs("/bin/sh", 1);
    let now = Instant::now();
    let mut processes = Processes::of_running(Box::new(Procfs::new(dir.path())), now);
    run_program(&dir, "/usr/bin/curl", 1);
    assert_eq!(processes.facts(7, now).exe.as_deref(), Some("/usr/bin/curl"));
}

#[test]
fn an_id_used_again_is_another_process() {
    let dir = procfs("/bin/first", 1);
    let (mut processes, now) = (over(&dir), Instant::now());
    assert_eq!(processes.facts(7, now).exe.as_deref(), Some("/bin/first"));
    processes.exit(7, now);
    run_program(&dir, "/bin/second", 2);
    assert_eq!(processes.facts(7, now).exe.as_deref(), Some("/bin/second"));
    run_program(&dir, "/bin/third", 3);
    let later = now + Duration::from_secs(2);
    assert_eq!(processes.facts(7, later).exe.as_deref(), Some("/bin/third"), "the exit was not told");
}

#[test]
fn a_zombie_keeps_its_executable() {
    let dir = procfs("/bin/first", 1);
    let (mut processes, now) = (over(&dir), Instant::now());
    processes.facts(7, now);
    processes.exit(7, now);
    fs::remove_file(dir.path().join("7/exe")).unwrap();
    let facts = processes.facts(7, now + Duration::from_secs(5));
    assert_eq!(facts.exe.as_deref(), Some("/bin/first"));
}

#[test]
fn exec_replaces_the_program() {
    let dir = procfs("/bin/sh", 1);
    let (mut processes, now) = (over(&dir), Instant::now());
    processes.facts(7, now);
    run_program(&dir, "/usr/bin/curl", 1);
    assert_eq!(processes.facts(7, now).exe.as_deref(), Some("/bin/sh"), "looked at a moment ago");
    processes.exec(7);
    assert_eq!(processes.facts(7, now).exe.as_deref(), Some("/usr/bin/curl"));
}

#[test]
fn memory_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let (mut processes, now) = (over(&dir), Instant::now());
    for pid in 1..(PROCESSES_MAX as u32 + 100) {
        processes.facts(pid, now + Duration::from_micros(pid.into()));
    }
    assert!(processes.known.len() <= PROCESSES_MAX);
}

#[test]
fn a_real_process_is_known() {
    let mut child = Command::new("sleep").arg("30").stdout(Stdio::null()).spawn().unwrap();
    let facts = Processes::new(Box::new(Procfs::default())).facts(child.id(), Instant::now());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(facts.exe.as_deref().unwrap().contains("/"), "{facts:?}");
    let age = Timestamp::now().duration_since(facts.started_at.unwrap().0);
    assert!(age.abs() < SignedDuration::from_secs(60), "{age}");
}

#[test]
fn what_takes_from_its_host_is_asked_for_once_a_minute_and_then_known() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (pid, now) = (std::process::id(), Instant::now());
    let mut processes = Processes::new(Box::new(Procfs::default()));
    assert!(!processes.takes_from_host(pid, now), "nobody has asked who it is");
    // Facts hold for a second, and a test of this program may have taken something just now.
    processes.facts(pid, now);
    let known = processes.known.get_mut(&pid).unwrap();
    (known.takes, known.takes_asked) = (false, Some(now));
    let _stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert!(!processes.takes_from_host(pid, now + TAKES_TRUSTED_FOR - Duration::from_millis(1)));
    assert!(processes.takes_from_host(pid, now + TAKES_TRUSTED_FOR));
    drop(listener);
    assert!(processes.takes_from_host(pid, now + 3 * TAKES_TRUSTED_FOR));
}
