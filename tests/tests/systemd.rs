//! `cprvagt run` as a unit of systemd: started, asked, reloaded, hurt and stopped as an operator does.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use aya::programs::loaded_programs;
use cprvagt_tests::agent;
use cprvagt_tests::collector::{self, Collector, Enrolled};
use cprvagt_tests::lab::{Lab, Recipient, Service};
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::Family;
use cprvagt_tests::payload;
use cprvagt_tests::scratch::{Scratch, unique_name};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const NEEDS: [Need<'static>; 5] =
    [Need::Root, Need::Systemd, Need::Agent, Need::Collector, Need::Program("curl")];
/// In an emulated guest a start takes several seconds.
const LIMIT: Duration = Duration::from_secs(90);
/// Of MedCom's test numbers, so that it is told only when the configuration asks for that class.
const TEST_NUMBER: [&str; 2] = ["251248", "9996"];

/// A unit that runs the agent, a collector that it is enrolled at, and somebody to leak to; all gone on drop.
struct World {
    unit: Unit,
    recipient: Arc<Recipient>,
    collector: Collector,
    enrolled: Enrolled,
    lab: Lab,
    _scratch: Scratch,
}

impl World {
    fn new() -> Self {
        let mut lab = Lab::new().unwrap();
        let recipient = lab.recipient("log.drift.example", Service::Http, Family::V4).unwrap();
        let scratch = Scratch::new(&unique_name()).unwrap();
        let program = collector::binary().unwrap();
        let collector = Collector::start(&program, &scratch.path().join("collector"), "").unwrap();
        let (agent, name) = (agent::binary().unwrap(), unique_name());
        let state = Path::new("/var/lib").join(&name);
        let token = collector.token().unwrap();
        let enrolled = Enrolled::new(&agent, &state, collector.agents_url(), &token, "").unwrap();
        let unit = Unit::new(name, state, &agent, &enrolled);
        Self { unit, recipient, collector, enrolled, lab, _scratch: scratch }
    }

    /// One request with a number, by curl.
    fn leak(&self, digits: &str) {
        let mut curl = self.lab.command("curl").unwrap();
        curl.args(["-s", "-o", "/dev/null", "-d", &format!("cpr={digits}")]).arg(self.recipient.origin());
        assert!(curl.status().unwrap().success());
    }

    /// How many different people's numbers the collector knows of.
    fn citizens(&self) -> u64 {
        let objects = self.collector.incidents().unwrap();
        let totals = objects.iter().find(|object| object["schema"] == "cprvagt.totals/1").unwrap();
        totals["citizens"].as_u64().unwrap()
    }

    fn await_citizens(&self, count: u64) {
        self.unit.await_that(&format!("{count} citizens with the collector"), || self.citizens() >= count);
        assert_eq!(self.citizens(), count);
    }
}

/// A unit file in /run/systemd/system; its processes, file and state are gone on drop.
struct Unit {
    name: String,
    file: PathBuf,
    state: PathBuf,
}

impl Unit {
    fn new(name: String, state: PathBuf, agent: &Path, enrolled: &Enrolled) -> Self {
        let (agent, config) = (agent.display(), enrolled.config.display());
        let text = format!(
            "[Service]\nType=notify\nExecStart={agent} run --config {config} --runtime-dir /run/{name}\n\
             ExecReload=/bin/kill -HUP $MAINPID\nKillMode=mixed\nWatchdogSec=20\nTimeoutStartSec=80\n\
             Restart=on-failure\nRestartSec=200ms\nStateDirectory={name}\nRuntimeDirectory={name}\n"
        );
        let file = PathBuf::from(format!("/run/systemd/system/{name}.service"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        let unit = Self { name, file, state };
        unit.manage("daemon-reload", &[]);
        unit
    }

    /// `systemctl VERB`; waits for the end of the job, as systemctl does.
    fn manage(&self, verb: &str, arguments: &[&str]) {
        let output = Command::new("systemctl").arg(verb).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "systemctl {verb}: {said}\n{}", self.journal());
    }

    fn order(&self, verb: &str) {
        self.manage(verb, &[&self.name]);
    }

    fn property(&self, name: &str) -> String {
        let output = Command::new("systemctl").args(["show", "--value", "-p", name, &self.name]).output();
        String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
    }

    fn main_pid(&self) -> Pid {
        Pid::from_raw(self.property("MainPID").parse().unwrap())
    }

    /// The process of that command line, `inspect` or `send`.
    fn part(&self, word: &str) -> Pid {
        let procs = format!("/sys/fs/cgroup{}/cgroup.procs", self.property("ControlGroup"));
        let pids = fs::read_to_string(procs).unwrap();
        let is_it = |pid: &&str| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())
        };
        Pid::from_raw(pids.lines().find(is_it).expect("all parts run").parse().unwrap())
    }

    fn await_that(&self, what: &str, is_so: impl Fn() -> bool) {
        let started = Instant::now();
        while !is_so() {
            assert!(started.elapsed() < LIMIT, "not within {LIMIT:?}: {what}\n{}", self.journal());
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits for a start that was nobody's order.
    fn await_restart(&self, count: u32) {
        let is_so =
            || self.property("NRestarts") == count.to_string() && self.property("ActiveState") == "active";
        self.await_that(&format!("restart {count}"), is_so);
    }

    /// What systemd and the agent said.
    fn journal(&self) -> String {
        let output = Command::new("journalctl").args(["--no-pager", "-u", &self.name]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        let _ended_already = Command::new("systemctl").args(["kill", "-s", "KILL", &self.name]).output();
        let _ended_already = Command::new("systemctl").args(["stop", &self.name]).output();
        let _gone_already = fs::remove_file(&self.file);
        let _gone_already = fs::remove_dir_all(&self.state);
        let _told = Command::new("systemctl").arg("daemon-reload").output();
    }
}

/// The names of the agent's kernel programs that are loaded.
fn programs() -> BTreeSet<String> {
    let names = loaded_programs().flatten().filter_map(|program| program.name_as_str().map(str::to_owned));
    names.filter(|name| name.starts_with("wire_") || name.starts_with("tls_")).collect()
}

#[test]
fn a_unit_is_started_reloaded_and_stopped() {
    if !can_run("a_unit_is_started_reloaded_and_stopped", &NEEDS) {
        return;
    }
    let world = World::new();
    let citizens = payload::citizens(101, 3);
    assert_eq!(programs(), BTreeSet::new());
    world.unit.order("start");
    // The order ends with READY=1: from now on nothing passes unseen.
    world.leak(&citizens[0]);
    assert!(programs().contains("wire_egress"), "{:?}", programs());
    assert_eq!(world.unit.property("ActiveState"), "active");
    world.await_citizens(1);

    world.leak(&TEST_NUMBER.concat());
    let text = fs::read_to_string(&world.enrolled.config).unwrap();
    fs::write(&world.enrolled.config, format!("{text}\n[report]\nclasses = [\"cpr\", \"test\"]\n")).unwrap();
    let before = world.unit.main_pid();
    world.unit.order("reload");
    world.unit.await_that("an end of the reload", || world.unit.property("SubState") == "running");
    thread::sleep(Duration::from_secs(1));
    world.leak(&TEST_NUMBER.concat());
    world.await_citizens(2);
    assert_eq!(world.unit.main_pid(), before, "a reload is no restart");

    world.unit.order("stop");
    assert_ended_well(&world.unit);
    world.unit.order("start");
    world.leak(&citizens[1]);
    world.await_citizens(3);
    world.unit.order("restart");
    world.leak(&citizens[2]);
    world.await_citizens(4);
    world.unit.order("stop");
    assert_ended_well(&world.unit);
}

/// Exit 0, no process, nothing attached.
fn assert_ended_well(unit: &Unit) {
    let state = ["ActiveState", "Result", "ExecMainStatus"].map(|name| unit.property(name));
    assert_eq!(state, ["inactive", "success", "0"], "{}", unit.journal());
    assert_eq!(unit.property("ControlGroup"), "", "processes are left");
    unit.await_that("an end of all kernel programs", || programs().is_empty());
}

/// Whatever part is hurt, the unit starts anew as a whole, and what leaks then is told.
#[test]
fn a_unit_that_is_hurt_starts_again() {
    if !can_run("a_unit_that_is_hurt_starts_again", &NEEDS) {
        return;
    }
    let world = World::new();
    let citizens = payload::citizens(102, 3);
    world.unit.order("start");
    kill(world.unit.part("inspect"), Signal::SIGKILL).unwrap();
    world.unit.await_restart(1);
    world.leak(&citizens[0]);
    world.await_citizens(1);
    kill(world.unit.main_pid(), Signal::SIGKILL).unwrap();
    world.unit.await_restart(2);
    world.leak(&citizens[1]);
    world.await_citizens(2);
    // One that hangs says nothing to the watchdog.
    kill(world.unit.main_pid(), Signal::SIGSTOP).unwrap();
    world.unit.await_restart(3);
    world.leak(&citizens[2]);
    world.await_citizens(3);
    assert!(world.unit.journal().contains("Watchdog timeout"), "{}", world.unit.journal());
    world.unit.order("stop");
    assert_ended_well(&world.unit);
}
