//! The inspect process: reads the ring, finds, judges, and hands sealed reports on.
//!
//! It parses what attackers can shape, so it has nothing to offer them: no file, no socket but those that it
//! was given, no capability, no user.
//!
//! *Invariants*: it shuts itself in before the first record is read. When one of the others is gone it ends.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use cprvagt_abi::{Counter, Flow};
use cprvagt_report::{Ledger, Level, Moment};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use zerocopy::FromBytes as _;
use zeroize::Zeroizing;

use super::RunError;
use super::confine;
use super::facts::RemoteProcfs;
use super::outbox::Outbox;
use super::protocol::{FromInspect, InspectSettings, InspectStatus, ToInspect};
use crate::capture::Ring;
use crate::channel::{receive, receive_descriptors, send};
use crate::config::Config;
use crate::judge::Policy;
use crate::nap::{Nap, TICK_EVERY};
use crate::pipeline::{Keys, Pipeline, Request};
use crate::process::Processes;
use crate::pseudonym::{Key, Sealer};
use crate::record::Record;
use crate::screen::Screen;

/// How often capture is told that all is well.
const ALIVE_EVERY: Duration = Duration::from_secs(1);
/// How often the account is reported.
const LEDGER_EVERY: Duration = Duration::from_secs(60);
/// Records taken before what was found is handed on: under load a turn must not take longer than a leak may wait.
const RECORDS_PER_TURN: usize = 256;
/// How long the send process may take to take the last reports over.
const FINISH_LIMIT: Duration = Duration::from_secs(10);

/// Runs the process until it is told to finish, or the others are gone.
///
/// # Errors
/// It could not start, or could not go on.
pub fn run(control: UnixStream) -> Result<(), RunError> {
    let [reports, facts] = receive_descriptors(&control)?.map(UnixStream::from);
    let Some(ToInspect::Start(settings)) = receive(&control)? else { return Ok(()) };
    let [ring] = receive_descriptors(&control)?;
    let ring = Ring::open(ring)?;
    let inspecting = Inspecting::new(*settings, control, reports, facts, ring)?;
    confine::inspect()?;
    inspecting.tell(&FromInspect::Ready)?;
    inspecting.go_on()
}

struct Inspecting {
    control: UnixStream,
    ring: Ring,
    pipeline: Option<Pipeline>,
    outbox: Outbox,
    screen: Option<Screen>,
    min: Option<Level>,
    status: InspectStatus,
    nap: Nap,
    tick_due: Instant,
    alive_due: Instant,
    ledger_due: Instant,
}

impl Inspecting {
    fn new(
        settings: InspectSettings,
        control: UnixStream,
        reports: UnixStream,
        facts: UnixStream,
        ring: Ring,
    ) -> Result<Self, RunError> {
        let policy = policy(&settings.config, settings.min)?;
        let key = Key::from_bytes(&Zeroizing::new(settings.pseudonym_key));
        let keys = Keys { key, sealer: Some(Sealer::new(settings.controller)) };
        let now = Instant::now();
        let processes = Processes::of_running(Box::new(RemoteProcfs(facts)), now);
        Ok(Self {
            control,
            ring,
            pipeline: Some(Pipeline::new(policy, keys, settings.host.clone(), processes)),
            outbox: Outbox::new(reports, settings.collector, settings.host)?,
            screen: settings.json.then(|| Screen::open(true)),
            min: settings.min,
            status: InspectStatus::default(),
            nap: Nap::new(now),
            tick_due: now,
            alive_due: now,
            // At once: the first report says that the host is watched from now on, and a start that is not clean shows.
            ledger_due: now,
        })
    }

    fn tell(&self, message: &FromInspect) -> io::Result<()> {
        send(&self.control, message)
    }

    fn go_on(mut self) -> Result<(), RunError> {
        loop {
            if self.wait()? {
                match receive(&self.control)? {
                    None => return Err(RunError::Gone("capture")),
                    Some(ToInspect::Finish { counters, flows }) => return self.finish(&counters, &flows),
                    Some(message) => self.obey(message)?,
                }
            }
            self.turn()?;
        }
    }

    /// Waits for records, for room on the way out, or for a message, whose coming it tells.
    fn wait(&mut self) -> io::Result<bool> {
        let mut waited = vec![
            PollFd::new(self.control.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.ring.as_fd(), PollFlags::POLLIN),
        ];
        waited.extend(self.outbox.waits_for().map(|out| PollFd::new(out, PollFlags::POLLOUT)));
        let is_ready = |it: &PollFd<'_>| it.revents().is_some_and(|events| !events.is_empty());
        let length = PollTimeout::try_from(self.nap.length(Instant::now())).unwrap_or(PollTimeout::ZERO);
        match poll(&mut waited, length) {
            Ok(_) => {
                if is_ready(&waited[1]) {
                    self.nap.woken(Instant::now());
                }
                Ok(is_ready(&waited[0]))
            }
            Err(nix::Error::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn turn(&mut self) -> Result<(), RunError> {
        self.drain()?;
        let now = Instant::now();
        if now >= self.tick_due {
            self.tick_due = now + TICK_EVERY;
            self.with_pipeline(|pipeline, ask| pipeline.tick(now, ask))?;
            if self.pipeline.as_mut().is_some_and(Pipeline::has_new_blind_spots) {
                self.ledger_due = now;
            }
        }
        if now >= self.alive_due {
            self.alive_due = now + ALIVE_EVERY;
            self.tell_status()?;
        }
        if now >= self.ledger_due {
            self.ledger_due = now + LEDGER_EVERY;
            // The account is made up with the flow table that comes back.
            self.tell(&FromInspect::NeedFlows)?;
        }
        self.outbox.turn(now).map_err(handing_on)
    }

    /// Takes the waiting records; true while there may be more.
    fn drain(&mut self) -> Result<bool, RunError> {
        let now = Instant::now();
        let Self { ring, pipeline: Some(pipeline), outbox, screen, control, status, nap, .. } = self else {
            return Ok(false);
        };
        let mut way_out = WayOut { outbox, screen, control, leaks: &mut status.leaks, now, broken: None };
        let bad = &mut status.bad_records;
        let count = ring.drain(RECORDS_PER_TURN, |bytes| match Record::parse(bytes) {
            Ok(record) => pipeline.take(record, now, &mut |request| way_out.take(request)),
            Err(problem) => problem.note(bad),
        });
        if count > 0 {
            nap.woken(now);
        }
        way_out.broken.map_or(Ok(count == RECORDS_PER_TURN), Err)
    }

    fn with_pipeline(
        &mut self,
        act: impl FnOnce(&mut Pipeline, &mut dyn FnMut(Request)),
    ) -> Result<(), RunError> {
        let now = Instant::now();
        let Self { pipeline: Some(pipeline), outbox, screen, control, status, .. } = self else {
            return Ok(());
        };
        let mut way_out = WayOut { outbox, screen, control, leaks: &mut status.leaks, now, broken: None };
        act(pipeline, &mut |request| way_out.take(request));
        way_out.broken.map_or(Ok(()), Err)
    }

    fn obey(&mut self, message: ToInspect) -> Result<(), RunError> {
        match message {
            ToInspect::Counters(counters) => self.note_losses(&counters),
            ToInspect::Flows(bytes) => self.balance(&flow_table(&bytes))?,
            ToInspect::Policy(text) => {
                let policy = policy(&text, self.min)?;
                if let Some(pipeline) = &mut self.pipeline {
                    pipeline.set_policy(policy);
                }
            }
            ToInspect::Start(_) | ToInspect::Finish { .. } => {}
        }
        Ok(())
    }

    fn note_losses(&mut self, counters: &[u64]) {
        if let (Some(pipeline), Ok(counters)) = (&mut self.pipeline, counters.try_into()) {
            let counters: &[u64; Counter::COUNT as usize] = counters;
            pipeline.note_losses(counters);
        }
    }

    fn tell_status(&mut self) -> Result<(), RunError> {
        let Some(pipeline) = &self.pipeline else { return Ok(()) };
        if pipeline.is_crowded() {
            self.ledger_due = Instant::now();
        }
        self.status.open_flows = pipeline.open_flows() as u64;
        self.status.queued_leaks = self.outbox.queued_leaks() as u64;
        self.status.lost_leaks = self.outbox.lost_leaks();
        Ok(self.tell(&FromInspect::Alive(self.status.clone()))?)
    }

    /// Forgets what the kernel has forgotten, if there is too much, and reports the account.
    fn balance(&mut self, kernel: &HashMap<u64, Flow>) -> Result<(), RunError> {
        let now = Instant::now();
        self.with_pipeline(|pipeline, ask| {
            if pipeline.is_crowded() {
                pipeline.forget_all_but(kernel, now, ask);
            }
        })?;
        let Some(pipeline) = &self.pipeline else { return Ok(()) };
        let ledger = pipeline.ledger(kernel);
        self.tell(&FromInspect::Ledger(json(&ledger)))?;
        self.outbox.ledger(ledger, now);
        Ok(())
    }

    /// The taps are off: the ring and the flow table tell of the same bytes.
    fn finish(mut self, counters: &[u64], flows: &[u8]) -> Result<(), RunError> {
        while self.drain()? {
            self.outbox.turn(Instant::now()).map_err(handing_on)?;
        }
        self.note_losses(counters);
        let (kernel, now) = (flow_table(flows), Instant::now());
        let Some(pipeline) = self.pipeline.take() else { return Ok(()) };
        let Self { outbox, screen, control, status, .. } = &mut self;
        let mut way_out = WayOut { outbox, screen, control, leaks: &mut status.leaks, now, broken: None };
        let ledger = pipeline.close(&kernel, now, &mut |request| way_out.take(request));
        way_out.broken.map_or(Ok(()), Err)?;
        self.outbox.ledger(ledger.clone(), now);
        self.outbox.finish(FINISH_LIMIT).map_err(handing_on)?;
        if let Some(screen) = self.screen {
            screen.close(&ledger)?;
        }
        Ok(send(&self.control, &FromInspect::Done(json(&ledger)))?)
    }
}

/// Where what the pipeline tells goes.
struct WayOut<'a> {
    outbox: &'a mut Outbox,
    screen: &'a mut Option<Screen>,
    control: &'a UnixStream,
    leaks: &'a mut u64,
    now: Instant,
    broken: Option<RunError>,
}

impl WayOut<'_> {
    fn take(&mut self, request: Request) {
        let done = match request {
            Request::Tell(leak) => {
                *self.leaks += 1;
                let shown = self.screen.as_mut().map_or(Ok(()), |screen| screen.leak(&leak));
                self.outbox.leak(*leak, self.now);
                shown
            }
            Request::RemoveSecondSite { first, second } => {
                send(self.control, &FromInspect::RemoveSecondSite { first, second })
            }
        };
        if let Err(error) = done {
            self.broken.get_or_insert(error.into());
        }
    }
}

fn policy(config: &str, min: Option<Level>) -> Result<Policy, RunError> {
    let mut config =
        Config::parse(config).map_err(|_| RunError::Internal("a configuration that was valid"))?;
    config.report.min_confidence = min.unwrap_or(config.report.min_confidence);
    Ok(Policy::new(&config, Moment::now().0.as_second())?)
}

/// Flows, one after the other, by id; what is cut off at the end is left out.
fn flow_table(bytes: &[u8]) -> HashMap<u64, Flow> {
    let flows = bytes.chunks_exact(size_of::<Flow>()).filter_map(|bytes| Flow::read_from_bytes(bytes).ok());
    flows.map(|flow| (flow.id, flow)).collect()
}

/// The send process is gone, or something else is wrong.
fn handing_on(error: io::Error) -> RunError {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => RunError::Gone("send"),
        _ => RunError::Io(error),
    }
}

fn json(ledger: &Ledger) -> String {
    serde_json::to_string(ledger).expect("a ledger is plain data")
}
