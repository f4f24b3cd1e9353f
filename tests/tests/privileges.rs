//! `cprvagt run` as a unit starts it that is not root: which process keeps which privilege, and that this is enough.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cprvagt_tests::agent::{self, Agent};
use cprvagt_tests::collector::{self, Collector, Enrolled};
use cprvagt_tests::injection::{Argument, Stopped};
use cprvagt_tests::lab::{Lab, Recipient, Service};
use cprvagt_tests::live::{Need, can_run, here_or_in_guest, kernel_version};
use cprvagt_tests::network::Family;
use cprvagt_tests::payload;
use cprvagt_tests::program::library;
use cprvagt_tests::scratch::{Scratch, unique_name};
use nix::libc;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const NEEDS: [Need<'static>; 4] = [Need::Root, Need::Agent, Need::Collector, Need::Program("setpriv")];
const WAIT: Duration = Duration::from_secs(60);
/// A user that no file of the system belongs to.
const USER: u32 = 61_734;
const NOBODY: u32 = 65_534;
/// `AmbientCapabilities=` and `CapabilityBoundingSet=` of the unit.
const UNIT: [&str; 9] = [
    "bpf",
    "perfmon",
    "net_admin",
    "sys_admin",
    "sys_ptrace",
    "dac_read_search",
    "setuid",
    "setgid",
    "setpcap",
];
const PARANOID: &str = "/proc/sys/kernel/perf_event_paranoid";

/// An agent that is enrolled at a collector, with files that belong to its user.
struct World {
    enrolled: Enrolled,
    program: PathBuf,
    _collector: Collector,
    _scratch: Scratch,
}

impl World {
    fn new() -> Self {
        Self::of(USER)
    }

    fn of(user: u32) -> Self {
        let scratch = Scratch::new(&unique_name()).unwrap();
        let folder = scratch.path();
        let collector =
            Collector::start(&collector::binary().unwrap(), &folder.join("collector"), "").unwrap();
        let (url, token) = (collector.agents_url(), collector.token().unwrap());
        // Where the built one lies, other users may not come.
        let program = folder.join("cprvagt");
        fs::copy(agent::binary().unwrap(), &program).unwrap();
        let enrolled = Enrolled::new(&program, &folder.join("agent"), url, &token, "").unwrap();
        lchown(folder, Some(user), Some(user)).unwrap();
        give_away(&folder.join("agent"), user);
        Self { enrolled, program, _collector: collector, _scratch: scratch }
    }

    /// `cprvagt run` as [`USER`] with these capabilities.
    fn command(&self, capabilities: &[&str]) -> Command {
        let daemon = self.enrolled.daemon(&self.program);
        let sets = capabilities.iter().map(|name| format!(",+{name}"));
        let sets = format!("-all{}", sets.collect::<String>());
        let mut command = Command::new("setpriv");
        command.arg(format!("--reuid={USER}")).arg(format!("--regid={USER}")).arg("--clear-groups");
        for set in ["inh-caps", "ambient-caps", "bounding-set"] {
            command.arg(format!("--{set}={sets}"));
        }
        // As the unit's LimitMEMLOCK=: before 5.11 kernel programs and maps count as locked memory. Where it is not
        // permitted, in a container, the kernel is a newer one, or the start says what is wrong.
        let _not_needed = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
        command.arg("--no-new-privs").arg(daemon.get_program()).args(daemon.get_args());
        command
    }

    fn start(&self) -> Agent {
        Agent::spawn(self.command(&UNIT)).unwrap()
    }

    /// What a start that fails says.
    fn fail(&self, capabilities: &[&str]) -> Output {
        self.command(capabilities).stdin(Stdio::null()).output().unwrap()
    }

    /// The processes by name: capture, broker, inspect, send.
    fn pids(&self) -> [u32; 4] {
        let mut command = Command::new(&self.program);
        command.args(["status", "--json", "--runtime-dir"]).arg(&self.enrolled.runtime);
        let output = command.output().unwrap();
        let status: Value = serde_json::from_slice(&output.stdout).unwrap();
        ["capture", "broker", "inspect", "send"]
            .map(|name| status["processes"][name].as_u64().unwrap().try_into().unwrap())
    }
}

fn give_away(path: &Path, user: u32) {
    lchown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give_away(&entry.unwrap().path(), user));
    }
}

/// One value of a status file of `/proc`.
fn value(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.split_whitespace().next().unwrap().to_owned()
}

/// A set of capabilities, by number (linux/capability.h).
fn set(numbers: &[u32]) -> u64 {
    numbers.iter().map(|number| 1 << number).sum()
}

/// Every thread of the process is this user and has exactly these capabilities.
fn check(process: &str, pid: u32, user: u32, expected: u64) {
    let mut threads = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let Ok(status) = fs::read_to_string(thread.unwrap().path().join("status")) else { continue };
        let name = format!("{process}, thread {}", value(&status, "Name"));
        for (which, expected) in [("CapPrm", expected), ("CapEff", expected), ("CapInh", 0), ("CapAmb", 0)] {
            let found = u64::from_str_radix(&value(&status, which), 16).unwrap();
            assert_eq!(found, expected, "{name}: {which} is {found:x}, not {expected:x}");
        }
        assert_eq!(u64::from_str_radix(&value(&status, "CapBnd"), 16), Ok(0), "{name}");
        let (privileges, filters) = (value(&status, "NoNewPrivs"), value(&status, "Seccomp"));
        assert_eq!((privileges.as_str(), filters.as_str()), ("1", "2"), "{name}");
        assert_eq!(value(&status, "Uid"), user.to_string(), "{name}");
        threads += 1;
    }
    assert!(threads > 0, "{process} is gone");
}

/// Reading a map that one has takes a capability before Linux 5.19.
fn maps_take_bpf() -> bool {
    kernel_version() < (5, 19)
}

/// What capture keeps: CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE, and CAP_BPF where maps take it.
fn capture_keeps() -> u64 {
    set(if maps_take_bpf() { &[2, 19, 39] } else { &[2, 19] })
}

#[test]
fn each_process_has_its_capabilities_and_no_more() {
    if !can_run("each_process_has_its_capabilities_and_no_more", &NEEDS) {
        return;
    }
    let world = World::new();
    let agent = world.start();
    let [capture, broker, inspect, send] = world.pids();
    check("capture", capture, USER, capture_keeps());
    check("broker", broker, NOBODY, set(&[21]));
    check("inspect", inspect, NOBODY, 0);
    check("send", send, USER, 0);
    assert_eq!(fs::metadata(world.enrolled.runtime.join("status.sock")).unwrap().uid(), USER);
    let ended = agent.stop().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// A certificate or a spool of root's would be of no use to the daemon.
#[test]
fn what_root_does_beside_the_daemon_belongs_to_the_daemon() {
    if !can_run("what_root_does_beside_the_daemon_belongs_to_the_daemon", &NEEDS) {
        return;
    }
    let world = World::new();
    assert!(world.start().stop().unwrap().status.success());
    world.enrolled.flush(&world.program).unwrap();
    let mut repair = Command::new(&world.program);
    repair.args(["spool", "fsck", "--repair", "--dir"]).arg(&world.enrolled.spool);
    assert!(repair.status().unwrap().success());
    for folder in [&world.enrolled.spool, &world.enrolled.enrolment] {
        for file in fs::read_dir(folder).unwrap().flatten() {
            assert_eq!(file.metadata().unwrap().uid(), USER, "{}", file.path().display());
        }
    }
}

#[test]
fn root_gives_up_the_same() {
    if !can_run("root_gives_up_the_same", &NEEDS) {
        return;
    }
    let world = World::of(0);
    let agent = Agent::spawn(world.enrolled.daemon(&world.program)).unwrap();
    let [capture, broker, inspect, send] = world.pids();
    check("capture", capture, 0, capture_keeps());
    check("broker", broker, NOBODY, set(&[21]));
    check("inspect", inspect, NOBODY, 0);
    check("send", send, 0, 0);
    assert!(agent.stop().unwrap().status.success());
}

#[test]
fn capture_loads_and_opens_nothing_more_and_the_broker_opens_only_probes() {
    let name = "capture_loads_and_opens_nothing_more_and_the_broker_opens_only_probes";
    if !can_run(name, &NEEDS) {
        return;
    }
    let world = World::new();
    let agent = world.start();
    let [capture, broker, ..] = world.pids();
    let refused = i64::from(-libc::EPERM);
    {
        let stopped = stop(capture);
        let bpf = |command: u64| {
            stopped.call(libc::SYS_bpf, &[Argument::Number(command), Argument::Bytes(&[0; 128])]).unwrap()
        };
        // BPF_MAP_CREATE, PROG_LOAD, PROG_ATTACH, PROG_GET_NEXT_ID, PROG_GET_FD_BY_ID, RAW_TRACEPOINT_OPEN
        for command in [0, 5, 8, 11, 13, 17] {
            assert_eq!(bpf(command), refused, "bpf command {command}");
        }
        // BPF_MAP_LOOKUP_ELEM: refused for its empty arguments only
        assert_ne!(bpf(1), refused);
        for call in [libc::SYS_perf_event_open, libc::SYS_pidfd_getfd, libc::SYS_ptrace] {
            assert_eq!(stopped.call(call, &[Argument::Bytes(&[0; 128])]).unwrap(), refused, "call {call}");
        }
    }
    {
        let stopped = stop(broker);
        assert!(!stopped.opens("/etc/hostname", libc::O_RDONLY).unwrap());
        assert!(!stopped.makes_socket(libc::AF_UNIX, libc::SOCK_STREAM).unwrap());
        let others = [
            libc::SYS_bpf,
            libc::SYS_clone,
            libc::SYS_execve,
            libc::SYS_ioctl,
            libc::SYS_kill,
            libc::SYS_mount,
            libc::SYS_process_vm_readv,
            libc::SYS_ptrace,
            libc::SYS_quotactl,
            libc::SYS_setresuid,
        ];
        for call in others {
            let answer = stopped.call(call, &[Argument::Bytes(b"/etc/hostname\0"); 6]).unwrap();
            assert_eq!(answer, refused, "call {call}");
        }
    }
    assert!(agent.stop().unwrap().status.success(), "it goes on after all that");
}

/// Stops a process that is between two pieces of work.
fn stop(pid: u32) -> Stopped {
    let started = Instant::now();
    loop {
        match Stopped::stop(pid) {
            Ok(stopped) => return stopped,
            Err(error) => assert!(started.elapsed() < WAIT, "{error}"),
        }
        thread::sleep(Duration::from_millis(30));
    }
}

/// The message names the capability, at each `kernel.perf_event_paranoid` that can be set here.
#[test]
fn without_sys_admin_the_start_names_it() {
    if !can_run("without_sys_admin_the_start_names_it", &NEEDS) {
        return;
    }
    let world = World::new();
    let without: Vec<&str> = UNIT.into_iter().filter(|name| *name != "sys_admin").collect();
    let _paranoid = Paranoid::keep();
    for value in here_or_in_guest::<[_]>(&["1", "2", "3"], &["3"]) {
        if fs::write(PARANOID, value).is_err() {
            println!("{PARANOID} cannot be set to {value} here");
            continue;
        }
        let output = world.fail(&without);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(4), "at {value}: {said}");
        assert!(said.contains("permission denied") && said.contains("CAP_SYS_ADMIN"), "at {value}: {said}");
        assert!(!said.contains("TLS functions of a file are not observed"), "one error is enough: {said}");
    }
}

/// The setting as it was, put back on drop.
struct Paranoid(String);

impl Paranoid {
    fn keep() -> Self {
        Self(fs::read_to_string(PARANOID).unwrap())
    }
}

impl Drop for Paranoid {
    fn drop(&mut self) {
        // What could not be set need not be put back.
        let _ = fs::write(PARANOID, self.0.trim());
    }
}

#[test]
fn without_the_broker_all_end() {
    if !can_run("without_the_broker_all_end", &NEEDS) {
        return;
    }
    let world = World::new();
    let agent = world.start();
    let pids = world.pids();
    kill(Pid::from_raw(pids[1].cast_signed()), Signal::SIGKILL).unwrap();
    let started = Instant::now();
    let lives = |pid: &u32| {
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        state.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
    };
    while pids.iter().any(lives) {
        assert!(started.elapsed() < WAIT, "{:?}", pids.map(|pid| lives(&pid)));
        thread::sleep(Duration::from_millis(50));
    }
    drop(agent);
}

/// A libssl that only one process sees, in a file that did not exist when the agent started.
#[test]
fn a_library_that_appears_later_is_observed() {
    let name = "a_library_that_appears_later_is_observed";
    let more = [Need::Program("curl"), Need::Program("ldconfig")];
    if !can_run(name, &[&NEEDS[..], &more].concat()) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let recipient = lab.recipient("sundhed.analyse.example", Service::Https, Family::V4).unwrap();
    let world = World::new();
    let agent = world.start();
    let mut child = curl_with_its_own_library(&lab, &recipient).spawn().unwrap();
    let folder = lab.scratch().path().join("own");
    let started = Instant::now();
    let maps = || fs::read_to_string(format!("/proc/{}/maps", child.id())).unwrap_or_default();
    while !maps().contains(&format!("{}/libssl", folder.display())) {
        assert!(started.elapsed() < WAIT, "curl does not use the copy: {}", maps());
        thread::sleep(Duration::from_millis(20));
    }
    assert!(fs::read_dir(&folder).unwrap().next().is_none(), "the copy is for curl alone");
    assert!(child.wait().unwrap().success());
    let to_recipient = |object: &Value| object["destination"]["ip"] == recipient.ip().to_string();
    let Some(leak) = std::iter::from_fn(|| agent.next(WAIT)).find(to_recipient) else {
        panic!("no leak is told: {}", String::from_utf8_lossy(&agent.stop().unwrap().stderr));
    };
    assert_eq!(leak["schema"], "cprvagt.leak/1");
    assert!(leak["transport"]["tls_version"].is_string(), "{leak:#}");
    // What appeared later is held with the same capabilities.
    check("capture", world.pids()[0], USER, capture_keeps());
    let ended = agent.stop().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// curl with a copy of libssl on a file system in its own mount namespace. It asks for a page, waits so long that
/// every agent has seen what it mapped, and sends a number.
fn curl_with_its_own_library(lab: &Lab, recipient: &Recipient) -> Command {
    let folder = lab.scratch().path().join("own");
    fs::create_dir(&folder).unwrap();
    let text = payload::named(&payload::citizens(64, 1)[0]);
    let authority = lab.authority().file().display().to_string();
    let common = format!("silent\nshow-error\noutput = \"/dev/null\"\ncacert = \"{authority}\"\n");
    let url = format!("url = \"{}/\"\n", recipient.origin());
    let config = format!("rate = \"10/m\"\n{common}{url}next\n{common}{url}data-raw = \"{text}\"\n");
    let config = lab.scratch().write("curl", config).unwrap();
    let script = r#"mount -t tmpfs none "$0" && cp "$1" "$0" && LD_LIBRARY_PATH="$0" exec curl --disable --config "$2""#;
    let mut command = lab.command("sh").unwrap();
    command.args(["-c", script]).args([&folder, &library("libssl.so.3"), &config]);
    command
}
