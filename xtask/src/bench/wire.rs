//! `bench wire`: what the agent costs a host whose programs send in clear, and how much it inspects without loss.
//!
//! *Units*: processor time of client, server and agent together, as the kernel's scheduler counts it. What the kernel
//! does for a packet is in it, since it is done while one of them runs. Client and server each keep to a processor of
//! their own: where they share one, and where they do not, a request takes a third more or less.
//! *Limits*: [`PAIRS`] pairs of rounds without and with the agent, in turn; `--check` holds the means against
//! [`PLAIN_PERCENT_MAX`], [`ALLOWED_PERCENT_MAX`] and [`GIB_SECONDS_MAX`].

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cprvagt_tests::agent::{Agent, allow};
use cprvagt_tests::lab::{Lab, Recipient, Service};
use cprvagt_tests::network::Family;
use cprvagt_tests::server::{Server, Speaks};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use nix::unistd::{Pid, geteuid};
use serde_json::Value;

use super::numbers;
use crate::refusal::{MISSING, refuse};
use crate::{build, shell};

/// Pairs of rounds.
const PAIRS: usize = 15;
/// Student's t for 95 % on both sides and a degree of freedom less than [`PAIRS`].
const T_95: f64 = 2.145;
/// Requests of a round.
const REQUESTS: u32 = 8_000;
/// The agent still reads large programs when it says that it is ready. What a start costs is `bench discovery`'s.
const SETTLE: Duration = Duration::from_secs(3);
/// The server's processor; the client takes the first (`wire_bench.py`).
const SERVER_PROCESSOR: usize = 1;
/// Requests of 1 KiB in clear to a destination that is not allowed may cost so much more.
const PLAIN_PERCENT_MAX: f64 = 4.0;
/// The same over TLS to one that is.
const ALLOWED_PERCENT_MAX: f64 = 1.0;
/// Processor seconds of the agent for each GiB that it inspects.
const GIB_SECONDS_MAX: f64 = 0.5;
/// What is sent in bulk, in MiB.
const BULK_MEBIBYTES: u32 = 1024;
/// Rates at which it is sent, in MiB a second; 0 is as fast as it goes.
const RATES: [u32; 5] = [50, 100, 200, 400, 0];
/// Where it is sent to.
const BULK_PORT: u16 = 9000;

/// Measures, and prints tables; needs root.
pub fn run(check: bool) -> Result<()> {
    if !geteuid().is_root() {
        return refuse(
            MISSING,
            "bench: root is needed, to load kernel programs and to build the lab network",
        );
    }
    let program = build::programs(build::Profile::Release)?.agent;
    let mut lab = Lab::new()?;
    let (plain, allowed) = on_processor(SERVER_PROCESSOR, || {
        let plain = lab.recipient("plain.example", Service::Http, Family::V4)?;
        Ok((plain, lab.recipient("allowed.example", Service::Https, Family::V4)?))
    })?;
    let sink = SocketAddr::new(lab.spare_address(Family::V4)?, BULK_PORT);
    let sink = Server::tcp(lab.network(), sink, Speaks::Sink, None)?;
    let bench =
        Bench { lab: &lab, program: &program, script: shell::root().join("tests/programs/wire_bench.py") };
    println!(
        "{:<30} {:>10} {:>9} {:>16} {:>10}",
        "requests of 1 KiB", "us of CPU", "extra", "95 % interval", "agent, us"
    );
    let plain = bench.requests("in clear, not allowed", &plain, "")?;
    let address = allowed.server.address();
    let config = allow(&[(address.ip(), address.port())]);
    let allowed = bench.requests("over TLS, allowed", &allowed, &config)?;
    println!(
        "{:<44} {:>10} {:>9} {:>16}",
        "1 GiB of text in clear, one connection", "MiB/s", "lost", "CPU s per GiB"
    );
    let gib = bench.bulk(sink.address())?;
    if check {
        ensure!(plain <= PLAIN_PERCENT_MAX, "bench wire: a request in clear costs {plain:.1} % more");
        ensure!(allowed <= ALLOWED_PERCENT_MAX, "bench wire: a request over TLS costs {allowed:.1} % more");
        ensure!(gib <= GIB_SECONDS_MAX, "bench wire: a GiB costs {gib:.2} s of processor time");
    }
    Ok(())
}

struct Bench<'a> {
    lab: &'a Lab,
    program: &'a Path,
    script: PathBuf,
}

impl Bench<'_> {
    /// Percent that a request costs more with the agent.
    fn requests(&self, what: &str, recipient: &Recipient, config: &str) -> Result<f64> {
        let round = || self.round(recipient);
        round()?;
        let (mut without, mut extra, mut owns) = (Vec::new(), Vec::new(), Vec::new());
        for pair in 0..PAIRS {
            let with = || {
                let agent = self.start(config)?;
                thread::sleep(SETTLE);
                let before = agent_seconds(agent.pid())?;
                let others = round()?;
                // What it does with the last request ends within a tick.
                thread::sleep(Duration::from_millis(400));
                let own = agent_seconds(agent.pid())? - before;
                agent.stop()?;
                anyhow::Ok((others + own, own))
            };
            // Turn about, so that a drift of the machine falls on both.
            let (off, (on, own)) = if pair % 2 == 0 {
                let off = round()?;
                (off, with()?)
            } else {
                let on = with()?;
                (round()?, on)
            };
            extra.push((on / off - 1.0) * 100.0);
            without.push(off / f64::from(REQUESTS) * 1e6);
            owns.push(own / f64::from(REQUESTS) * 1e6);
        }
        let (mean, half) = interval(&extra);
        let [(each, _), (own, _)] = [&without, &owns].map(|values| interval(values));
        let between = format!("{:.1} to {:.1} %", mean - half, mean + half);
        println!("{what:<30} {each:>10.1} {mean:>7.1} % {between:>16} {own:>10.1}");
        Ok(mean)
    }

    /// Processor seconds of client and server in one round.
    fn round(&self, recipient: &Recipient) -> Result<f64> {
        let before = own_seconds()?;
        let scheme = if recipient.service == Service::Https { "https" } else { "http" };
        let mut command = self.command()?;
        command.args(["requests", scheme, &recipient.host]).arg(self.lab.authority().file());
        let [client, _] = numbers(command.arg(REQUESTS.to_string()))?;
        Ok(client + own_seconds()? - before)
    }

    /// Sends at each rate; the agent's processor seconds for each GiB at the fastest of them without loss.
    fn bulk(&self, sink: SocketAddr) -> Result<f64> {
        let mut lossless = f64::NAN;
        for rate in RATES {
            let agent = self.start("")?;
            let before = agent_seconds(agent.pid())?;
            let mut command = self.command()?;
            let numbers_of = [BULK_MEBIBYTES.to_string(), rate.to_string()];
            command.args(["bulk", &sink.ip().to_string(), &sink.port().to_string()]).args(numbers_of);
            let [_, clock] = numbers(&mut command)?;
            thread::sleep(Duration::from_secs(1));
            let taken = agent_seconds(agent.pid())? - before;
            let (inspected, lost) = account(&agent.stop()?.objects)?;
            let each = taken / (inspected / f64::from(1 << 30));
            let (reached, share) = (f64::from(BULK_MEBIBYTES) / clock, lost / (inspected + lost) * 100.0);
            if lost == 0.0 {
                lossless = each;
            }
            let what =
                if rate == 0 { "as fast as it goes".to_owned() } else { format!("{rate} MiB/s asked for") };
            println!("{what:<30} {reached:>10.0} {share:>7.1} % {each:>16.2}");
        }
        Ok(lossless)
    }

    fn start(&self, config: &str) -> Result<Agent> {
        Agent::start_program(self.program, self.lab.scratch(), config, &[])
    }

    fn command(&self) -> Result<Command> {
        let mut command = self.lab.command("/usr/bin/python3")?;
        command.arg(&self.script);
        Ok(command)
    }
}

/// Does something whose threads keep to one processor; the caller's own thread does so meanwhile only.
fn on_processor<T>(processor: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let own = Pid::from_raw(0);
    let all = sched_getaffinity(own)?;
    let mut one = CpuSet::new();
    one.set(processor)?;
    sched_setaffinity(own, &one).context("bench wire: two processors are needed")?;
    let done = work();
    sched_setaffinity(own, &all)?;
    done
}

/// Bytes that were inspected, and that were lost.
fn account(objects: &[Value]) -> Result<(f64, f64)> {
    let ledger = objects.iter().rfind(|it| it["schema"] == "cprvagt.ledger/1").context("no ledger")?;
    let bytes = |value: &Value| value.as_f64().unwrap_or(0.0);
    let lost = ledger["lost"].as_array().into_iter().flatten().map(|it| bytes(&it["bytes"])).sum();
    Ok((bytes(&ledger["inspected_bytes"]), lost))
}

/// Mean, and half the interval that holds the true one with 95 %.
fn interval(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, T_95 * (variance / count).sqrt())
}

/// Processor seconds of this process so far, which has the server: threads that have ended too.
fn own_seconds() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    Ok((usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6)
}

/// Processor seconds of the agent so far, all its threads: the first number of `schedstat`, in nanoseconds.
fn agent_seconds(pid: u32) -> Result<f64> {
    let folder = format!("/proc/{pid}/task");
    let mut nanoseconds = 0.0;
    for thread in fs::read_dir(&folder).context(folder)? {
        let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        nanoseconds += text.split(' ').next().and_then(|it| it.parse::<f64>().ok()).unwrap_or(0.0);
    }
    Ok(nanoseconds / 1e9)
}
