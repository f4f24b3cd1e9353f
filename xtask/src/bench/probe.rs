//! `bench probe`: what the agent costs a program that it watches.
//!
//! Rounds with and without the agent alternate in one run, since a machine's speed drifts; a ratio or difference is
//! the median of the rounds'.
//!
//! *Limits*: `--check` holds a ratio against [`RATIO_MAX`] and a difference against [`PROBE_NS_MAX`].

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use cprvagt_tests::agent::{Agent, allow};
use cprvagt_tests::lab::{Lab, Recipient, Service};
use cprvagt_tests::network::Family;
use nix::unistd::geteuid;

use super::{median, numbers};
use crate::refusal::{MISSING, refuse};
use crate::{build, shell};

/// Pairs of rounds; the first is thrown away.
const ROUNDS: usize = 6;
/// Writes and requests of a round.
const COUNT: &str = "20000";
/// Writes that go nowhere, of a round.
const BARE_COUNT: &str = "200000";
/// A 1 KiB write may take at most so many times longer with the agent.
const RATIO_MAX: f64 = 4.0;
/// A read of a server with nothing to copy may take at most so much longer, in nanoseconds.
const READ_NS_MAX: f64 = 1200.0;
/// A 1 KiB write with nothing to copy may take at most so much longer, in nanoseconds.
const PROBE_NS_MAX: f64 = 700.0;

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
    let bench = Bench {
        recipient: &*lab.recipient("bench.example", Service::Https, Family::V4)?,
        bare: c_program(&lab, "write_bench")?,
        bare_read: c_program(&lab, "read_bench")?,
        lab: &lab,
        program: &program,
    };
    let probe_ns = bench.bare_writes()?;
    let read_ns = bench.bare_reads()?;
    let ratio = bench.writes_and_requests()?;
    if check && read_ns > READ_NS_MAX {
        bail!("bench probe: a read costs {read_ns:.0} ns more; at most {READ_NS_MAX:.0} are allowed");
    }
    if check && probe_ns > PROBE_NS_MAX {
        bail!(
            "bench probe: a probe with nothing to copy costs {probe_ns:.0} ns; at most {PROBE_NS_MAX:.0} are allowed"
        );
    }
    if check && ratio > RATIO_MAX {
        bail!(
            "bench probe: a write takes {ratio:.2} times as long with the agent; at most {RATIO_MAX} are allowed"
        );
    }
    Ok(())
}

/// Builds one of the programs that time a single function.
fn c_program(lab: &Lab, name: &str) -> Result<PathBuf> {
    let program = lab.scratch().path().join(name);
    let source = shell::root().join("tests/programs").join(name).with_extension("c");
    let mut compiler = Command::new("cc");
    shell::run(compiler.arg("-O2").arg("-o").args([&program, &source]).args(["-lssl", "-lcrypto"]))?;
    Ok(program)
}

struct Bench<'a> {
    lab: &'a Lab,
    recipient: &'a Recipient,
    program: &'a Path,
    bare: PathBuf,
    bare_read: PathBuf,
}

/// Microseconds of one round.
struct Round {
    write: f64,
    request: f64,
}

impl Bench<'_> {
    /// Writes to an allowed destination, of which nothing is copied: with probes where the agent puts them, and with
    /// probes on each function's first instruction. Returns the nanoseconds that the former cost.
    fn bare_writes(&self) -> Result<f64> {
        let address = self.recipient.server.address();
        let allowed = allow(&[(address.ip(), address.port())]);
        let entry = format!("[capture]\nprobe_site = \"entry\"\n{allowed}");
        let (mut without, mut cheap, mut dear) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            without.push(self.bare_round()?);
            cheap.push(self.with_agent(&allowed, Self::bare_round)?);
            dear.push(self.with_agent(&entry, Self::bare_round)?);
        }
        let extra = |with: &[f64]| median(with.iter().zip(&without).skip(1).map(|(a, b)| a - b).collect());
        let (cheap, dear) = (extra(&cheap), extra(&dear));
        println!("{:<46} {:>9} {:>9}", "SSL_write of 1 KiB, nothing to copy", "ns each", "extra ns");
        println!("{:<46} {:>9.0}", "without agent", median(without));
        println!("{:<46} {:>9} {cheap:>9.0}", "probe at the cheapest safe instruction", "");
        println!("{:<46} {:>9} {dear:>9.0}", "probe at the first instruction (probe_site)", "");
        let counted = self.counted_round(&allowed)?;
        println!("{:<46} {:>9} {counted:>9.0}", "our program alone, as the kernel counts it", "");
        Ok(cheap)
    }

    /// Reads of a server, of bodies: nothing is copied. Returns the nanoseconds that the probes cost.
    fn bare_reads(&self) -> Result<f64> {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            without.push(self.read_round()?);
            with.push(self.with_agent("", Self::read_round)?);
        }
        let extra = median(with.iter().zip(&without).skip(1).map(|(a, b)| a - b).collect());
        println!(
            "{:<46} {:>9} {:>9}",
            "SSL_read of 1 KiB by a server, nothing to copy", "ns each", "extra ns"
        );
        println!("{:<46} {:>9.0}", "without agent", median(without));
        println!("{:<46} {:>9} {extra:>9.0}", "two probes, where it begins and returns", "");
        Ok(extra)
    }

    fn read_round(&self) -> Result<f64> {
        let [certificate, key] = self.lab.authority().files(self.lab.scratch(), "bench.example")?;
        let mut command = Command::new(&self.bare_read);
        let [nanoseconds] = numbers(command.args([certificate, key]).arg(BARE_COUNT))?;
        Ok(nanoseconds)
    }

    fn writes_and_requests(&self) -> Result<f64> {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            without.push(self.round()?);
            with.push(self.with_agent("", Self::round)?);
        }
        println!("{:<22} {:>12} {:>12} {:>7}", "microseconds each", "without", "with agent", "ratio");
        row("request of 1 KiB", &without, &with, |round| round.request);
        Ok(row("TLS write of 1 KiB", &without, &with, |round| round.write))
    }

    fn with_agent<T>(&self, config: &str, round: fn(&Self) -> Result<T>) -> Result<T> {
        let agent = Agent::start_program(self.program, self.lab.scratch(), config, &[])?;
        let measured = round(self)?;
        agent.stop()?;
        Ok(measured)
    }

    /// Nanoseconds that the kernel counts for each run of the agent's program, its two looks at the clock included: what
    /// is left of a probe's cost is the kernel's and the machine's.
    fn counted_round(&self, config: &str) -> Result<f64> {
        let agent = Agent::start_program(self.program, self.lab.scratch(), config, &[])?;
        let counting = Counting::begin()?;
        let before = runs(agent.pid())?;
        self.bare_round()?;
        let after = runs(agent.pid())?;
        drop(counting);
        agent.stop()?;
        Ok((after.0 - before.0) / (after.1 - before.1))
    }

    fn bare_round(&self) -> Result<f64> {
        let mut command = self.lab.command(self.bare.to_str().context("a path of ours is UTF-8")?)?;
        command.args([&self.recipient.host, "443"]).arg(self.lab.authority().file()).arg(BARE_COUNT);
        let [nanoseconds] = numbers(&mut command)?;
        Ok(nanoseconds)
    }

    fn round(&self) -> Result<Round> {
        let script = shell::root().join("tests/programs/write_bench.py");
        let mut command = self.lab.command("/usr/bin/python3")?;
        command.arg(script).args([&self.recipient.host, "443"]).arg(self.lab.authority().file()).arg(COUNT);
        let [write, request] = numbers(&mut command)?;
        Ok(Round { write, request })
    }
}

/// The kernel counts the time of kernel programs while this is there.
struct Counting;

impl Counting {
    const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

    fn begin() -> Result<Self> {
        fs::write(Self::SWITCH, "1").context(Self::SWITCH)?;
        Ok(Self)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        // It was open for writing a moment ago.
        let _ = fs::write(Self::SWITCH, "0");
    }
}

/// Nanoseconds and runs so far of the program that a process holds and that ran most (`/proc/PID/fdinfo`).
fn runs(pid: u32) -> Result<(f64, f64)> {
    let number = |text: &str, key: &str| -> Option<f64> {
        text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
    };
    let entries = fs::read_dir(format!("/proc/{pid}/fdinfo")).context("the agent's descriptors")?;
    let texts = entries.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let all = texts.filter_map(|text| Some((number(&text, "run_time_ns:")?, number(&text, "run_cnt:")?)));
    all.max_by(|one, other| one.1.total_cmp(&other.1)).context("the agent holds no program")
}

fn row(name: &str, without: &[Round], with: &[Round], pick: fn(&Round) -> f64) -> f64 {
    let pairs: Vec<_> = without.iter().zip(with).skip(1).map(|(a, b)| (pick(a), pick(b))).collect();
    let ratio = median(pairs.iter().map(|(a, b)| b / a).collect());
    let (a, b) =
        (median(pairs.iter().map(|it| it.0).collect()), median(pairs.iter().map(|it| it.1).collect()));
    println!("{name:<22} {a:>12.2} {b:>12.2} {ratio:>7.2}");
    ratio
}
