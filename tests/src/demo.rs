//! The demo: known citizens' numbers leak among look-alikes, and the agent must find each once.
//!
//! One run is: lab, collector, enrolled agent, waves of programs, stop, verdict.  `cargo xtask demo` shows it on a screen;
//! a live test runs the same and asserts the outcome.
//!
//! *Invariants*: the plan is the ground truth, and the recipients' servers confirm that it was sent.
//! Everything but the timing follows from the seed.

mod collected;
mod lookalike;
mod message;
mod plan;
mod verdict;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::agent::{self, Agent, Ended};
use crate::collector::{Collector, Enrolled};
use crate::lab::{Lab, Service};
use crate::live::is_guest;
use crate::network::Family;
use crate::plaintext::{self, Finding};
use crate::program::{Program, Running};
use crate::pseudonym::Key;

pub use collected::{Collected, SiteRow};
pub use message::Part;
pub use plan::{LOOK_ALIKES_MIN, Plan, Planted, Wave};
pub use verdict::{Alarm, RecipientRow, Verdict};

/// A recipient of the demo.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name that programs use.
    pub host: &'static str,
    /// What it speaks.
    pub service: Service,
    /// The family of its one address.
    pub family: Family,
    /// Whether the agent's configuration allows it to receive numbers.
    pub allowed: bool,
}

/// The recipients: analytics, marketing, CDN (over IPv6), a log collector in clear, and one allowed.
pub const TARGETS: [Target; 5] = [
    Target { host: "www.analyse.example", service: Service::Https, family: Family::V4, allowed: false },
    Target { host: "maal.marketing.example", service: Service::Https, family: Family::V4, allowed: false },
    Target { host: "cdn.bibliotek.example", service: Service::Https, family: Family::V6, allowed: false },
    Target { host: "log.drift.example", service: Service::Http, family: Family::V4, allowed: false },
    Target { host: "api.skat.example", service: Service::Https, family: Family::V4, allowed: true },
];

/// How long one wave of programs may take before the run is given up; minutes in an emulated machine.
const WAVE_LIMIT: Duration = Duration::from_secs(270);
/// No new leak for so long: nothing more is under way.
const QUIET: Duration = Duration::from_millis(700);

/// What a run may be asked for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The agent's program; see [`agent::binary`].
    pub agent: PathBuf,
    /// The collector's program; see [`crate::collector::binary`].
    pub collector: PathBuf,
    /// An empty folder for what agent and collector keep.
    pub data: PathBuf,
    /// Stop leaking after this long, or go on with look-alikes until then; nothing: until the plan is done.
    pub duration: Option<Duration>,
    /// Chooses citizens, look-alikes and their order.
    pub seed: u64,
}

/// What happens, as it happens.
#[derive(Debug)]
pub enum Event<'run> {
    /// The lab stands and the agent's probes are in place.
    Ready {
        /// The agent's process id.
        agent: u32,
        /// The plan that is about to run.
        plan: &'run Plan,
        /// The collector that it reports to.
        collector: &'run Collector,
    },
    /// The agent reported a leak: a `cprvagt.leak/1` object.
    Leak(&'run Value),
    /// So many of the plan's messages have been sent and answered.
    Sent(usize),
}

/// What a run ended with.
#[derive(Debug)]
pub struct Outcome {
    /// Ground truth against what was reported.
    pub verdict: Verdict,
    /// The agent's own account, `cprvagt.ledger/1`.
    pub ledger: Value,
    /// Planted numbers that could be read in anything the agent wrote.
    pub readable: Vec<Finding>,
    /// Leaks of this machine's own traffic, which the demo did not send.
    pub others: usize,
    /// The incidents as the collector tells them, `cprvagt.incident/1`.
    pub incidents: Vec<Value>,
    /// The collector, still running.
    pub collector: Collector,
}

/// The account that may see the collector's pages.
pub const ACCOUNT: &str = "demo";

/// Runs the demo and tells `tell` what happens.
///
/// # Errors
/// When the lab, the agent or a program fails. A leak missed is no error: it is in the verdict.
pub fn run(settings: &Settings, tell: &mut dyn FnMut(Event<'_>)) -> Result<Outcome> {
    let (lab, allowed) = build_lab()?;
    let collector = Collector::start(&settings.collector, &settings.data.join("collector"), "")?;
    let (url, token, folder) = (collector.agents_url(), collector.token()?, settings.data.join("agent"));
    let enrolled = Enrolled::new(&settings.agent, &folder, url, &token, &agent::allow(&allowed))?;
    let key = Key::read(&enrolled.tenant_key())?;
    let look_alikes = if is_guest() { plan::LOOK_ALIKES_IN_GUEST } else { plan::LOOK_ALIKES_MIN };
    let mut plan = Plan::with_look_alikes(look_alikes, settings.seed, &programs_here());
    let agent = Agent::spawn(enrolled.daemon(&settings.agent))?;
    tell(Event::Ready { agent: agent.pid(), plan: &plan, collector: &collector });
    let mut leaks = Vec::new();
    let sent = send(&lab, &agent, &mut plan, settings, &mut leaks, tell)?;
    let ended = agent.stop()?;
    enrolled.flush(&settings.agent)?;
    plan.planted.truncate(sent.planted);
    confirm(&lab, sent.messages)?;
    let run = Run { lab, plan, key, collector, data: settings.data.clone() };
    run.conclude(leaks, ended, tell)
}

/// The lab with all [`TARGETS`], and the address and port of those that are allowed.
///
/// # Errors
/// As [`Lab::new`].
pub fn build_lab() -> Result<(Lab, Vec<(IpAddr, u16)>)> {
    let mut lab = Lab::new().context("building the lab network")?;
    let mut allowed = Vec::new();
    for target in TARGETS {
        let recipient = lab.recipient(target.host, target.service, target.family)?;
        if target.allowed {
            allowed.push((recipient.ip(), recipient.server.address().port()));
        }
    }
    Ok((lab, allowed))
}

/// The programs that this machine has.
#[must_use]
pub fn programs_here() -> Vec<Program> {
    Program::ALL.into_iter().filter(|program| program.missing().is_none()).collect()
}

/// Runs the programs of one wave side by side; `meanwhile` is called about every 10 ms and may wait so long.
///
/// # Errors
/// When a program fails or does not finish.
pub fn run_wave(lab: &Lab, wave: &Wave, meanwhile: &mut dyn FnMut(Duration)) -> Result<()> {
    let started = Instant::now();
    let mut running: Vec<Running> = Vec::new();
    for (program, jobs) in &wave.batches {
        running.push(program.start(lab, jobs, plan::CONNECTIONS)?);
    }
    while !running.is_empty() {
        meanwhile(Duration::from_millis(10));
        let mut still = Vec::new();
        for mut program in running {
            if !program.finished()? {
                still.push(program);
            }
        }
        running = still;
        ensure!(started.elapsed() < WAVE_LIMIT, "the programs did not finish within {WAVE_LIMIT:?}");
    }
    Ok(())
}

/// How far the plan was carried out.
struct Sent {
    planted: usize,
    messages: usize,
}

/// Sends wave after wave, passing leaks on as they come.
fn send(
    lab: &Lab,
    agent: &Agent,
    plan: &mut Plan,
    settings: &Settings,
    leaks: &mut Vec<Value>,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Sent> {
    let started = Instant::now();
    let over = |limit: Option<Duration>| limit.is_some_and(|limit| started.elapsed() >= limit);
    let mut sent = Sent { planted: 0, messages: 0 };
    let mut take = |wait| {
        let object = agent.next(wait);
        if let Some(leak) = object.as_ref().filter(|object| object["schema"] == "cprvagt.leak/1") {
            tell(Event::Leak(leak));
            leaks.push(leak.clone());
        }
        object.is_some()
    };
    let mut number = 0;
    while number == 0 || !over(settings.duration) {
        let wave = match plan.waves.get(number) {
            Some(wave) => wave.clone(),
            None if settings.duration.is_some() => plan.look_alikes_only(number),
            None => break,
        };
        run_wave(lab, &wave, &mut |wait| {
            take(wait);
        })?;
        sent.planted += wave.planted;
        sent.messages += wave.messages();
        number += 1;
    }
    while take(QUIET) {}
    tell(Event::Sent(sent.messages));
    Ok(sent)
}

/// The recipients must have got exactly what was planned: otherwise the lab, not the agent, is at fault.
fn confirm(lab: &Lab, messages: usize) -> Result<()> {
    let mut received = 0;
    for recipient in lab.recipients() {
        let truth = recipient.server.received();
        ensure!(truth.errors.is_empty(), "{} had trouble: {}", recipient.host, truth.errors.join("; "));
        ensure!(
            truth.requests.iter().all(|request| request.host == recipient.host),
            "{} got a request for another host",
            recipient.host
        );
        received += truth.requests.len();
    }
    ensure!(received == messages, "{messages} messages were sent, but {received} arrived");
    Ok(())
}

/// What a verdict is made of.
struct Run {
    lab: Lab,
    plan: Plan,
    key: Key,
    collector: Collector,
    data: PathBuf,
}

impl Run {
    fn conclude(
        self,
        mut leaks: Vec<Value>,
        ended: Ended,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<Outcome> {
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        ensure!(ended.status.success(), "the agent failed ({}); it said:\n{said}", ended.status);
        let mut ledger = None;
        for object in &ended.objects {
            match object["schema"].as_str() {
                Some("cprvagt.leak/1") => {
                    tell(Event::Leak(object));
                    leaks.push(object.clone());
                }
                Some("cprvagt.ledger/1") => ledger = Some(object.clone()),
                _ => {}
            }
        }
        let ledger = ledger.with_context(|| format!("the agent printed no ledger; it said:\n{said}"))?;
        let objects = self.collector.incidents()?;
        let collected = Collected::new(&self.plan, &objects);
        let readable = self.readable(&ended)?;
        let (ours, others): (Vec<Value>, Vec<Value>) =
            leaks.into_iter().partition(|leak| is_of_lab(&self.lab, leak));
        let verdict = Verdict::new(&self.plan, &self.key, &ours, &ledger, readable.len(), collected);
        let incidents = objects.into_iter().filter(|it| it["schema"] == "cprvagt.incident/1").collect();
        Ok(Outcome { verdict, ledger, readable, others: others.len(), incidents, collector: self.collector })
    }

    /// Planted numbers in whatever agent and collector said or keep: every file, the database, the logs.
    fn readable(&self, ended: &Ended) -> Result<Vec<Finding>> {
        let mut places = plaintext::files_below(&[&self.data])?;
        places.push(("the agent's output".to_owned(), ended.stdout.clone()));
        places.push(("the agent's messages".to_owned(), ended.stderr.clone()));
        places.push(("the collector's messages".to_owned(), self.collector.log().into_bytes()));
        let places = places.iter().map(|(name, text)| (name.as_str(), text.as_slice()));
        Ok(plaintext::search(places, &self.plan.citizens))
    }
}

/// Whether a leak went to the lab, or nobody knows where to. The agent watches the whole machine, whose own
/// traffic is neither planted nor a false alarm.
fn is_of_lab(lab: &Lab, leak: &Value) -> bool {
    let ip = leak["destination"]["ip"].as_str();
    ip.is_none_or(|ip| lab.recipients().iter().any(|recipient| recipient.ip().to_string() == ip))
}
