//! Nothing stays behind: not after a good end, and not after SIGKILL.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use aya::maps::loaded_maps;
use aya::programs::{loaded_links, loaded_programs};
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::{Lab, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long the kernel may take to free what nothing holds any more.
const FREED: Duration = Duration::from_secs(60);
/// Programs that must be loaded, so that their absence afterwards means something.
const PROGRAMS: [&str; 7] =
    ["wire_egress", "wire_ingress", "sock_connect4", "sock_connect6", "sock_send4", "sock_send6", "flow_ops"];
/// The beginning of the names of those that read TLS writes: which one it is depends on the kernel.
const TLS_PROGRAM: &str = "tls_write";

/// What a process holds in the kernel.
#[derive(Debug, Default, PartialEq, Eq)]
struct Held {
    programs: BTreeSet<u32>,
    maps: BTreeSet<u32>,
    links: BTreeSet<u32>,
}

impl Held {
    /// By the descriptors of a process.
    fn by(pid: u32) -> Self {
        let mut held = Self::default();
        for entry in fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap().flatten() {
            let info = fs::read_to_string(entry.path()).unwrap_or_default();
            let id = |name: &str| {
                let line = info.lines().find_map(|line| line.strip_prefix(name))?;
                line.trim().parse::<u32>().ok()
            };
            // A link's descriptor tells its program too.
            held.programs.extend(id("prog_id:"));
            held.maps.extend(id("map_id:"));
            held.links.extend(id("link_id:"));
        }
        held
    }

    /// What of it the kernel still has.
    fn left(&self) -> Self {
        let programs = loaded_programs().flatten().map(|program| program.id());
        let maps = loaded_maps().flatten().map(|map| map.id());
        let links = loaded_links().flatten().map(|link| link.id());
        Self {
            programs: programs.filter(|id| self.programs.contains(id)).collect(),
            maps: maps.filter(|id| self.maps.contains(id)).collect(),
            links: links.filter(|id| self.links.contains(id)).collect(),
        }
    }

    fn names(&self) -> BTreeSet<String> {
        let own = loaded_programs().flatten().filter(|program| self.programs.contains(&program.id()));
        own.filter_map(|program| program.name_as_str().map(str::to_owned)).collect()
    }
}

/// A process that has libssl mapped and does nothing.
struct Victim(Child);

impl Victim {
    fn start() -> Self {
        let script = "import ssl, sys; print('mapped', flush=True); sys.stdin.read()";
        let mut python = Command::new("/usr/bin/python3");
        python.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
        Self(child)
    }

    /// How many bytes of its mapped libssl code are not those of the file: breakpoints of probes.
    fn changed_bytes(&self) -> usize {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.0.id())).unwrap();
        let code = |line: &&str| line.contains("libssl.so") && line.contains(" r-xp ");
        let line = maps.lines().find(code).expect("libssl is mapped");
        let words: Vec<&str> = line.split_whitespace().collect();
        let (from, to) = words[0].split_once('-').unwrap();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        let length = (number(to) - number(from)) as usize;
        let file = read_at(words[5], number(words[2]), length);
        let memory = read_at(&format!("/proc/{}/mem", self.0.id()), number(from), file.len());
        file.iter().zip(&memory).filter(|(file, memory)| file != memory).count()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _reaped_already = self.0.wait();
    }
}

/// Up to `length` bytes; the last page of a mapping may be longer than its file.
fn read_at(path: &str, offset: u64, length: usize) -> Vec<u8> {
    let mut file = File::open(path).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    let mut bytes = Vec::new();
    file.take(length as u64).read_to_end(&mut bytes).unwrap();
    bytes
}

fn children_of(pid: u32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

fn namespaces_of(pid: &str) -> Vec<String> {
    ["mnt", "net", "pid", "ipc", "uts", "cgroup"]
        .map(|kind| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().display().to_string())
        .into()
}

fn pinned() -> BTreeSet<String> {
    let entries = fs::read_dir("/sys/fs/bpf").into_iter().flatten().flatten();
    entries.map(|entry| entry.path().display().to_string()).collect()
}

fn check(end: impl FnOnce(Trial)) {
    let victim = Victim::start();
    assert_eq!(victim.changed_bytes(), 0, "another agent runs");
    let before = pinned();
    let lab = Lab::new().unwrap();
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let pid = trial.pid();
    let held = Held::by(pid);
    let missing: Vec<_> = PROGRAMS.into_iter().filter(|name| !held.names().contains(*name)).collect();
    assert!(missing.is_empty(), "not loaded: {missing:?} of {held:?}");
    assert!(held.names().iter().any(|name| name.starts_with(TLS_PROGRAM)), "{held:?}");
    assert!(held.maps.len() >= 8 && !held.links.is_empty(), "{held:?}");
    assert!(victim.changed_bytes() > 0, "no probe in libssl");
    assert_eq!(namespaces_of(&pid.to_string()), namespaces_of("self"), "the agent needs no namespace");
    let children = children_of(pid);
    end(trial);
    let ended = Instant::now();
    while held.left() != Held::default() && ended.elapsed() < FREED {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(held.left(), Held::default(), "still in the kernel");
    assert_eq!(victim.changed_bytes(), 0, "probes are left in libssl");
    assert_eq!(pinned(), before, "pinned");
    let alive = |child: &&String| fs::metadata(format!("/proc/{child}")).is_ok();
    assert_eq!(children.iter().filter(alive).count(), 0, "processes are left: {children:?}");
}

#[test]
fn nothing_is_left_after_a_good_end() {
    if !can_run("nothing_is_left_after_a_good_end", &[Need::Root, Need::Agent]) {
        return;
    }
    check(|trial| {
        let _seen = trial.stop().unwrap();
    });
}

#[test]
fn nothing_is_left_after_sigkill() {
    if !can_run("nothing_is_left_after_sigkill", &[Need::Root, Need::Agent]) {
        return;
    }
    check(|trial| {
        kill(Pid::from_raw(trial.pid().cast_signed()), Signal::SIGKILL).unwrap();
        drop(trial);
    });
}
