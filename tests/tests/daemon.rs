//! `cprvagt run`: four processes that can each do one thing, minded by a service manager.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cprvagt_tests::agent::{self, Agent};
use cprvagt_tests::collector::{self, Collector, Enrolled};
use cprvagt_tests::injection::{Argument, Stopped};
use cprvagt_tests::lab::{Lab, Service};
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::Family;
use cprvagt_tests::scratch::{Scratch, unique_name};
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const NEEDS: [Need<'static>; 3] = [Need::Root, Need::Agent, Need::Collector];
const WAIT: Duration = Duration::from_secs(120);

/// A collector and an agent that is enrolled at it.
struct World {
    collector: Collector,
    enrolled: Enrolled,
    scratch: Scratch,
}

impl World {
    fn new(config: &str) -> Self {
        let scratch = Scratch::new(&unique_name()).unwrap();
        let folder = scratch.path();
        let collector =
            Collector::start(&collector::binary().unwrap(), &folder.join("collector"), "").unwrap();
        let (url, token) = (collector.agents_url(), collector.token().unwrap());
        let program = agent::binary().unwrap();
        let enrolled = Enrolled::new(&program, &folder.join("agent"), url, &token, config).unwrap();
        Self { collector, enrolled, scratch }
    }

    fn command(&self) -> Command {
        self.enrolled.daemon(&agent::binary().unwrap())
    }

    fn start(&self) -> Agent {
        Agent::spawn(self.command()).unwrap()
    }

    /// What `doctor` says of the daemon.
    fn doctor(&self) -> Value {
        let mut command = Command::new(agent::binary().unwrap());
        command.args(["doctor", "--json", "--runtime-dir"]).arg(&self.enrolled.runtime);
        let output = command.stderr(Stdio::null()).output().unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        told["daemon"].clone()
    }

    /// What `status --json` says, or its exit code.
    fn status(&self) -> Result<Value, i32> {
        self.enrolled.status(&agent::binary().unwrap()).map_err(Option::unwrap)
    }

    fn await_status(&self, is_so: impl Fn(&Value) -> bool) -> Value {
        self.enrolled.await_status(&agent::binary().unwrap(), WAIT, is_so).unwrap()
    }

    fn pids(&self) -> [u32; 3] {
        let status = self.await_status(|status| !status["processes"].is_null());
        ["capture", "inspect", "send"]
            .map(|name| status["processes"][name].as_u64().unwrap().try_into().unwrap())
    }
}

/// A line of `/proc/PID/status`.
fn proc_status(pid: u32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn inspect_can_open_neither_file_nor_socket() {
    if !can_run("inspect_can_open_neither_file_nor_socket", &NEEDS) {
        return;
    }
    let world = World::new("");
    let agent = world.start();
    let [_, inspect, _] = world.pids();
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(u64::from_str_radix(&proc_status(inspect, set), 16), Ok(0), "{set}");
    }
    assert_eq!(proc_status(inspect, "NoNewPrivs"), "1");
    assert_eq!(proc_status(inspect, "Seccomp"), "2");
    assert_eq!(proc_status(inspect, "Uid"), "65534");
    {
        let stopped = Stopped::stop(inspect).unwrap();
        let readable = world.scratch.write("readable", "x").unwrap();
        for path in ["/etc/hostname", "/proc/self/status", "/dev/null", &readable.display().to_string()] {
            assert!(!stopped.opens(path, libc::O_RDONLY).unwrap(), "{path}");
        }
        assert!(!stopped.opens("/tmp/cprvagt-test", libc::O_WRONLY | libc::O_CREAT).unwrap());
        for family in [libc::AF_INET, libc::AF_INET6, libc::AF_UNIX, libc::AF_NETLINK, libc::AF_PACKET] {
            for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_RAW] {
                assert!(!stopped.makes_socket(family, kind).unwrap(), "family {family} kind {kind}");
            }
        }
        let others = [
            (libc::SYS_execve, "execve"),
            (libc::SYS_clone, "clone"),
            (libc::SYS_fork, "fork"),
            (libc::SYS_kill, "kill"),
            (libc::SYS_ptrace, "ptrace"),
            (libc::SYS_bpf, "bpf"),
            (libc::SYS_memfd_create, "memfd_create"),
            (libc::SYS_open, "open"),
            (libc::SYS_openat2, "openat2"),
            (libc::SYS_connect, "connect"),
            (libc::SYS_bind, "bind"),
            (libc::SYS_socketpair, "socketpair"),
            (libc::SYS_io_uring_setup, "io_uring_setup"),
            (libc::SYS_process_vm_readv, "process_vm_readv"),
            (libc::SYS_unlinkat, "unlinkat"),
        ];
        for (number, name) in others {
            let answer = stopped.call(number, &[Argument::Bytes(b"/etc/hostname\0"); 6]).unwrap();
            assert_eq!(answer, i64::from(-libc::EPERM), "{name}");
        }
    }
    world.await_status(|status| status["inspect"]["bad_records"] == 0);
    assert!(agent.stop().unwrap().status.success(), "it goes on after all that");
}

#[test]
fn capture_and_send_keep_only_what_they_need() {
    let name = "capture_and_send_keep_only_what_they_need";
    if !can_run(name, &NEEDS) {
        return;
    }
    let world = World::new("");
    let agent = world.start();
    let [capture, _, send] = world.pids();
    for pid in [capture, send] {
        assert_eq!((proc_status(pid, "NoNewPrivs"), proc_status(pid, "Seccomp")), ("1".into(), "2".into()));
    }
    assert_eq!(u64::from_str_radix(&proc_status(send, "CapEff"), 16), Ok(0));
    assert_eq!(u64::from_str_radix(&proc_status(send, "CapBnd"), 16), Ok(0));
    let kept = u64::from_str_radix(&proc_status(capture, "CapEff"), 16).unwrap();
    // CHOWN, DAC_OVERRIDE, SETUID, SETPCAP, NET_RAW, SYS_MODULE, SYS_RAWIO, SYS_BOOT, MKNOD (linux/capability.h)
    for gone in [0, 1, 7, 8, 13, 16, 17, 22, 27] {
        assert_eq!(kept & (1 << gone), 0, "capability {gone}");
    }
    let (write, program) = (libc::O_WRONLY | libc::O_CREAT, [Argument::Bytes(b"/bin/true\0"); 1]);
    {
        let stopped = Stopped::stop(capture).unwrap();
        assert!(!stopped.opens("/tmp/cprvagt-test", write).unwrap());
        assert!(!stopped.makes_socket(libc::AF_INET, libc::SOCK_STREAM).unwrap());
        assert!(!stopped.makes_socket(libc::AF_INET6, libc::SOCK_DGRAM).unwrap());
        assert_eq!(stopped.call(libc::SYS_execve, &program).unwrap(), i64::from(-libc::EPERM));
    }
    {
        let stopped = Stopped::stop(send).unwrap();
        if limits_files() {
            assert!(!stopped.opens("/tmp/cprvagt-test", write).unwrap());
            assert!(!stopped.opens("/proc/1/environ", libc::O_RDONLY).unwrap());
        } else {
            println!("skipped: {name} (files): this kernel has no Landlock");
        }
        assert_eq!(stopped.call(libc::SYS_execve, &program).unwrap(), i64::from(-libc::EPERM));
        assert_eq!(stopped.call(libc::SYS_bpf, &[]).unwrap(), i64::from(-libc::EPERM));
    }
    assert!(!Path::new("/tmp/cprvagt-test").exists());
    assert!(agent.stop().unwrap().status.success());
}

/// What the doctor says of this kernel's Landlock.
fn limits_files() -> bool {
    let output = Command::new(agent::binary().unwrap()).args(["doctor", "--json"]).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = told["findings"].as_array().unwrap();
    let finding = findings.iter().find(|it| it["capability"] == "confinement").unwrap();
    finding["what"] != "this kernel has no Landlock"
}

#[test]
fn status_tells_and_a_second_daemon_is_refused() {
    if !can_run("status_tells_and_a_second_daemon_is_refused", &NEEDS) {
        return;
    }
    let world = World::new("");
    assert_eq!(world.status(), Err(3));
    assert_eq!(world.doctor(), serde_json::json!({"runs": false}));
    let agent = world.start();
    let status = world.await_status(|status| status["send"]["last_delivery_at"].is_null());
    assert_eq!(status["schema"], "cprvagt.status/1");
    world.await_status(|status| !status["ledger"].is_null());
    let coverage = &world.doctor()["coverage"];
    assert!(coverage.is_array(), "{coverage}");
    let second = world.command().stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(5), "{said}");
    assert!(said.contains("already running"), "{said}");
    let ended = agent.stop().unwrap();
    assert!(ended.status.success());
    assert_eq!(ended.objects.last().unwrap()["schema"], "cprvagt.ledger/1");
    assert_eq!(world.status(), Err(3));
}

#[test]
fn without_an_enrolment_it_says_what_to_do() {
    if !can_run("without_an_enrolment_it_says_what_to_do", &[Need::Root, Need::Agent]) {
        return;
    }
    let scratch = Scratch::new(&unique_name()).unwrap();
    let text = format!("[collector]\nenrolment = {:?}\n", scratch.path().join("none").display().to_string());
    let config = scratch.write("agent.toml", text).unwrap();
    let mut command = Command::new(agent::binary().unwrap());
    let output = command.args(["run", "--config"]).arg(config).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("cprvagt enrol"), "{said}");
}

#[test]
fn the_service_manager_is_told() {
    if !can_run("the_service_manager_is_told", &NEEDS) {
        return;
    }
    let world = World::new("");
    let path = world.scratch.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(WAIT)).unwrap();
    let told = |wanted: &str| {
        let started = Instant::now();
        let mut heard = Vec::new();
        while started.elapsed() < WAIT {
            let mut bytes = [0; 1024];
            let Ok(length) = manager.recv(&mut bytes) else { break };
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if text.lines().any(|line| line.starts_with(wanted)) {
                return;
            }
            heard.push(text);
        }
        panic!("{wanted} was not said, but {heard:?}");
    };
    let mut command = world.command();
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "3000000");
    let agent = Agent::spawn(command).unwrap();
    told("READY=1");
    told("WATCHDOG=1");
    kill(Pid::from_raw(agent.pid().cast_signed()), Signal::SIGHUP).unwrap();
    told("RELOADING=1");
    told("READY=1");
    let ended = agent.stop().unwrap();
    assert!(ended.status.success());
    told("STOPPING=1");
}

/// A configuration that is wrong changes nothing; one that is right holds for what comes after.
#[test]
fn reload_is_whole_or_not_at_all() {
    if !can_run(
        "reload_is_whole_or_not_at_all",
        &[Need::Root, Need::Agent, Need::Collector, Need::Program("curl")],
    ) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let recipient = lab.recipient("log.drift.example", Service::Http, Family::V4).unwrap();
    let world = World::new("");
    let agent = world.start();
    let number = ["251248", "9996"].concat();
    let leaks = || {
        let mut curl = lab.command("curl").unwrap();
        curl.args(["-s", "-o", "/dev/null", "-d", &format!("cpr={number}")]).arg(recipient.origin());
        assert!(curl.status().unwrap().success());
        std::iter::from_fn(|| agent.next(Duration::from_secs(2)))
            .filter(|object| object["destination"]["ip"] == recipient.ip().to_string())
            .count()
    };
    let rewrite = |more: &str| {
        let text = fs::read_to_string(&world.enrolled.config).unwrap();
        fs::write(&world.enrolled.config, format!("{text}\n{more}")).unwrap();
        kill(Pid::from_raw(agent.pid().cast_signed()), Signal::SIGHUP).unwrap();
        thread::sleep(Duration::from_millis(500));
    };
    rewrite("[report]\nclasses = [\"cpr\", \"test\"]\n");
    assert_eq!(leaks(), 1, "MedCom's test numbers are told now");
    let before = fs::read_to_string(&world.enrolled.config).unwrap();
    let allow = format!(
        "[[allow]]\nto = \"{}\"\nbecause = \"x\"\nwaives = [\"not-allowed\", \"cleartext\"]\n",
        recipient.ip()
    );
    rewrite(&format!("{allow}[oops]\n"));
    assert_eq!(leaks(), 1, "half of a wrong file is not believed");
    fs::write(&world.enrolled.config, before).unwrap();
    rewrite(&allow);
    assert_eq!(leaks(), 0, "the recipient is allowed now");
    let ended = agent.stop().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(said.contains("stays as it was") && said.contains("oops"), "{said}");
}

/// Nobody sends a signal: the file is written, and holds; it is broken, and the status says so.
#[test]
fn a_changed_file_is_taken_by_itself_and_a_broken_one_is_an_alarm() {
    if !can_run("a_changed_file_is_taken_by_itself_and_a_broken_one_is_an_alarm", &NEEDS) {
        return;
    }
    let world = World::new("");
    let agent = world.start();
    let file = &world.enrolled.config;
    let before = fs::read_to_string(file).unwrap();
    fs::write(file, format!("{before}\n[oops]\n")).unwrap();
    world.await_status(|status| status["config"]["problem"].as_str().is_some_and(|it| it.contains("oops")));
    let other = file.with_extension("new");
    let entry = "[[allow]]\nto = \"192.0.2.77\"\nbecause = \"y\"\n";
    fs::write(&other, format!("{before}\n{entry}")).unwrap();
    fs::rename(&other, file).unwrap();
    world.await_status(|status| status["config"]["problem"].is_null());
    let ended = agent.stop().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(said.contains("stays as it was"), "{said}");
    assert!(said.contains("+ [[allow]] 192.0.2.77 waives not-allowed because"), "{said}");
}

/// What the agent itself sends is in no account, wherever the collector is.
#[test]
fn its_own_reports_are_not_watched() {
    if !can_run("its_own_reports_are_not_watched", &NEEDS) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let stranger = lab.recipient("collector.example", Service::Https, Family::V4).unwrap();
    let world = World::new(&format!("url = \"https://{}:443\"\n", stranger.ip()));
    // An end without a farewell leaves something to report.
    drop(world.start());
    let agent = world.start();
    world.await_status(|status| status["send"]["last_error"].is_string());
    let ended = agent.stop().unwrap();
    assert!(!stranger.server.received().errors.is_empty(), "it was asked");
    let ledger = ended.objects.last().unwrap();
    let to_stranger = |line: &Value| line["destination"]["ip"] == stranger.ip().to_string();
    for list in ["lost", "blind"] {
        assert!(!ledger[list].as_array().unwrap().iter().any(to_stranger), "{ledger:#}");
    }
    drop(world.collector);
}

/// When one of the processes is gone, the others end: nothing goes on half.
#[test]
fn none_goes_on_without_the_others() {
    if !can_run("none_goes_on_without_the_others", &NEEDS) {
        return;
    }
    let world = World::new("");
    for victim in 0..3 {
        let agent = world.start();
        let pids = world.pids();
        kill(Pid::from_raw(pids[victim].cast_signed()), Signal::SIGKILL).unwrap();
        let started = Instant::now();
        let lives = |pid: &u32| {
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            state.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
        };
        while pids.iter().any(lives) {
            let living: Vec<bool> = pids.iter().map(lives).collect();
            assert!(started.elapsed() < WAIT, "without {victim} these live on: {living:?}");
            thread::sleep(Duration::from_millis(50));
        }
        drop(agent);
    }
    let agent = world.start();
    world.await_status(|status| status["send"]["delivered"].as_u64().is_some_and(|count| count > 0));
    assert!(agent.stop().unwrap().status.success(), "and it starts again");
}
