//! `bench discovery`: what it costs the agent to find TLS libraries, at its start and while programs come and go.
//!
//! *Units*: processor time of the agent, user and system, as `/proc/PID/stat` tells it: in hundredths of a second.
//! *Limits*: `--check` holds it against [`START_SECONDS_MAX`] and [`CORE_PERCENT_MAX`].

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cprvagt_tests::agent::Agent;
use cprvagt_tests::held::Held;
use cprvagt_tests::scratch::{Scratch, unique_name};
use nix::unistd::{SysconfVar, geteuid, sysconf};

use super::median;
use crate::build;
use crate::refusal::{MISSING, refuse};

/// Processes that run while the agent starts.
const PROCESSES: usize = 2000;
/// Those of them that are Python with its TLS, some thirty files each.
const WITH_LIBRARIES: usize = 100;
/// Starts of the agent, each way.
const STARTS: usize = 3;
/// A start with so many processes may take so much.
const START_SECONDS_MAX: f64 = 2.0;
/// Processes started each second.
const RATE: u32 = 200;
/// How long they are started, and how long the agent is watched without.
const PERIOD: Duration = Duration::from_secs(20);
/// Of one core, beyond what the agent takes when nothing is started.
const CORE_PERCENT_MAX: f64 = 1.0;

/// Measures, and prints a table; needs root.
pub fn run(check: bool) -> Result<()> {
    if !geteuid().is_root() {
        return refuse(MISSING, "bench: root is needed, to load kernel programs");
    }
    let program = build::programs(build::Profile::Release)?.agent;
    let scratch = Scratch::new(&unique_name())?;
    let start = starts(&program, &scratch)?;
    let percent = comings_and_goings(&program, &scratch)?;
    if check {
        ensure!(start <= START_SECONDS_MAX, "bench discovery: a start took {start:.2} s of processor time");
        ensure!(percent <= CORE_PERCENT_MAX, "bench discovery: {percent:.2} % of a core");
    }
    Ok(())
}

/// Processor seconds of a start with many processes.
fn starts(program: &Path, scratch: &Scratch) -> Result<f64> {
    let few = processes().count();
    let alone = start(program, scratch)?;
    let held = (0..PROCESSES).map(waiting).collect::<Result<Vec<_>>>()?;
    // Python takes a moment to load what it imports.
    std::thread::sleep(Duration::from_secs(10));
    let many = processes().count();
    let crowded = start(program, scratch);
    drop(held);
    let crowded = crowded?;
    println!("{:<44} {:>10}", "processor time of the agent", "");
    println!("{:<44} {alone:>8.2} s", format!("start, {few} processes"));
    println!("{:<44} {crowded:>8.2} s", format!("start, {many} processes"));
    Ok(crowded)
}

fn waiting(number: usize) -> Result<Held> {
    let mut command = if number < WITH_LIBRARIES {
        let mut python = Command::new("/usr/bin/python3");
        python.args(["-c", "import ssl, time; time.sleep(600)"]);
        python
    } else {
        let mut sleep = Command::new("sleep");
        sleep.arg("600");
        sleep
    };
    Held::start(command.stdin(Stdio::null()))
}

/// The median of some starts.
fn start(program: &Path, scratch: &Scratch) -> Result<f64> {
    let one = |_| {
        let agent = Agent::start_program(program, scratch, "", &[])?;
        let taken = processor_seconds(agent.pid())?;
        agent.stop()?;
        Ok(taken)
    };
    Ok(median((0..STARTS).map(one).collect::<Result<_>>()?))
}

/// Percent of a core that the agent takes while processes are started, beyond what it takes otherwise; the larger of
/// those that a small program and a program with a TLS library cost.
fn comings_and_goings(program: &Path, scratch: &Scratch) -> Result<f64> {
    let agent = Agent::start_program(program, scratch, "", &[])?;
    let idle = percent(&agent, || std::thread::sleep(PERIOD))?;
    println!("{:<44} {idle:>8.2} %", "nothing started");
    let mut most = 0_f64;
    for (program, arguments) in [("true", &[][..]), ("curl", &["--version"])] {
        let mut started = 0;
        let taken = percent(&agent, || started = start_at_rate(program, arguments))? - idle;
        let rate = f64::from(started) / PERIOD.as_secs_f64();
        println!("{:<44} {taken:>8.2} %", format!("{rate:.0} `{program}` started a second, beyond that"));
        most = most.max(taken);
    }
    agent.stop()?;
    Ok(most)
}

fn percent(agent: &Agent, work: impl FnOnce()) -> Result<f64> {
    let (before, started) = (processor_seconds(agent.pid())?, Instant::now());
    work();
    Ok((processor_seconds(agent.pid())? - before) / started.elapsed().as_secs_f64() * 100.0)
}

/// Starts processes evenly over the period, as many as this machine can; returns how many.
fn start_at_rate(program: &str, arguments: &[&str]) -> u32 {
    let begun = Instant::now();
    let mut started = 0;
    let mut running: Vec<Held> = Vec::new();
    while begun.elapsed() < PERIOD {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        running.extend(Held::start(&mut command));
        started += 1;
        running.retain_mut(|it| it.0.try_wait().is_ok_and(|status| status.is_none()));
        std::thread::sleep((Duration::from_secs(1) / RATE * started).saturating_sub(begun.elapsed()));
    }
    started
}

fn processes() -> impl Iterator<Item = String> {
    let names = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
}

/// User and system time so far: the twelfth and thirteenth number behind the name (proc_pid_stat(5)).
fn processor_seconds(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).context("the agent's processor time")?;
    let (_, behind_name) = text.rsplit_once(')').context("a stat without a name")?;
    let ticks: f64 = behind_name.split_whitespace().skip(11).take(2).flat_map(str::parse::<f64>).sum();
    let a_second = sysconf(SysconfVar::CLK_TCK)?.context("ticks of the clock")?;
    #[expect(clippy::cast_precision_loss, reason = "a hundred")]
    Ok(ticks / a_second as f64)
}
