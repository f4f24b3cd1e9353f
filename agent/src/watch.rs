//! `cprvagt watch`: the whole line in the foreground, from the taps to the screen.
//!
//! The kernel does not wake us for each record: see [`crate::nap`].

use std::{
    io::{self, Write as _},
    time::{Duration, Instant},
};

use cprvagt_report::Moment;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

use crate::{
    capture::{Capture, CaptureError, CaptureOptions, Opener, Ring},
    cli::{self, Exit, Exits},
    config::Config,
    host::this_host,
    judge::{KernelEntry, Overfull, Policy, turn},
    nap::{Nap, TICK_EVERY},
    pipeline::{Keys, Pipeline, Request},
    privacy,
    process::Processes,
    procfs::Procfs,
    pseudonym::{Key, KeyError},
    record::Record,
    screen::Screen,
    scrub::Scrubber,
};

/// How often counters and addresses are read.
const SURVEY_EVERY: Duration = Duration::from_secs(1);
/// Records taken before anything else gets a turn.
const RECORDS_PER_TURN: usize = 8192;

/// Why `watch` ended.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The taps are not in place.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The policy does not fit the kernel's tables.
    #[error(transparent)]
    Policy(#[from] Overfull),
    /// The pseudonym key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The process could not be shut against dumps.
    #[error("core dumps could not be forbidden: {0}; plaintext might reach the disk, so nothing was started")]
    Dumps(nix::Error),
    /// The system refused something that it should not.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Exits for WatchError {
    fn exit(&self) -> Exit {
        match self {
            Self::Capture(_) | Self::Dumps(_) => Exit::Unable,
            Self::Policy(error) => error.exit(),
            Self::Key(error) => error.exit(),
            Self::Io(_) => Exit::Failure,
        }
    }
}

/// Watches until told to stop or until the time is over, then shows the ledger.
///
/// # Errors
/// What kept it from starting, or from going on.
pub fn run(config: &Config, options: &cli::Watch) -> Result<(), WatchError> {
    privacy::forbid_dumps().map_err(WatchError::Dumps)?;
    raise_limits();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stop = Stop::listen()?;
        Watch::start(config, options)?.run(options.duration, stop).await
    })
}

/// Each probed file takes a few descriptors, more than the usual soft limit on a host with many containers; and
/// kernels before 5.11 count maps as locked memory.
pub fn raise_limits() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::info!(%error, "the limit of open files stays as it is");
    }
    if let Err(error) = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY) {
        tracing::debug!(%error, "the limit of locked memory stays as it is; it matters before Linux 5.11");
    }
}

/// The signals that end a run; heard from the beginning, so that one during the start ends it as well.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn listen() -> io::Result<Self> {
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate })
    }
}

struct Watch {
    config: Config,
    prefixes: Vec<KernelEntry>,
    capture: Capture,
    ring: Ring,
    pipeline: Pipeline,
    screen: Screen,
    bad_records: u64,
    nap: Nap,
    tick_due: Instant,
    survey_due: Instant,
}

impl Watch {
    fn start(config: &Config, options: &cli::Watch) -> Result<Self, WatchError> {
        let policy = Policy::new(config, Moment::now().0.as_second())?;
        let key = Key::of(config)?;
        let prefixes = policy.allow_prefixes();
        let capture_options = CaptureOptions {
            ring_bytes: config.capture.ring_bytes,
            entry_sites: config.capture.probe_site.is_entry(),
            allow: prefixes.clone(),
            relays: policy.relay_ports(),
            own: Vec::new(),
        };
        let mut capture = Capture::start(&capture_options, Opener::here())?;
        let ring = capture.ring()?;
        let host = this_host(&Scrubber::at(Moment::now().0.as_second()));
        let now = Instant::now();
        let processes = Processes::of_running(Box::new(Procfs::default()), now);
        Ok(Self {
            config: config.clone(),
            prefixes,
            capture,
            ring,
            pipeline: Pipeline::new(policy, Keys { key, sealer: None }, host, processes),
            screen: Screen::open(options.json),
            bad_records: 0,
            nap: Nap::new(now),
            tick_due: now,
            survey_due: now,
        })
    }

    async fn run(mut self, period: Option<Duration>, stop: Stop) -> Result<(), WatchError> {
        let Stop { mut interrupt, mut terminate } = stop;
        let mut wakes = self.capture.wakes(Some(&self.ring))?;
        let over = async {
            match period {
                Some(period) => sleep(period).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(over);
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(io::stderr(), "ready");
        loop {
            let now = Instant::now();
            tokio::select! {
                woken = wakes.next() => woken?,
                () = sleep(self.nap.length(now)) => {}
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                () = &mut over => break,
            }
            wakes.after(self.capture.attach_new_libraries())?;
            self.turn()?;
        }
        self.close()
    }

    fn turn(&mut self) -> Result<(), WatchError> {
        self.drain()?;
        let now = Instant::now();
        if now >= self.tick_due {
            self.tick_due = now + TICK_EVERY;
            let screen = &mut self.screen;
            let mut broken = Ok(());
            self.pipeline.tick(now, &mut |request| show(screen, request, &mut Vec::new(), &mut broken));
            broken?;
            self.screen.tick()?;
        }
        if now >= self.survey_due {
            self.survey_due = now + SURVEY_EVERY;
            self.survey(now)?;
        }
        Ok(())
    }

    /// Takes the waiting records; true while there may be more.
    fn drain(&mut self) -> Result<bool, WatchError> {
        let Self { capture, ring, pipeline, screen, bad_records, nap, .. } = self;
        let now = Instant::now();
        let mut twice = Vec::new();
        let mut broken = Ok(());
        let count = ring.drain(RECORDS_PER_TURN, |bytes| match Record::parse(bytes) {
            Ok(record) => {
                pipeline.take(record, now, &mut |request| show(screen, request, &mut twice, &mut broken))
            }
            Err(bad) => bad.note(bad_records),
        });
        for (first, second) in twice {
            capture.remove_second_attachment(first, second);
        }
        broken?;
        if count > 0 {
            nap.woken(now);
        }
        Ok(count == RECORDS_PER_TURN)
    }

    /// Lets go of entries that have expired.
    fn expire(&mut self) -> Result<(), WatchError> {
        let now_unix = Moment::now().0.as_second();
        if self.pipeline.policy_is_outdated(now_unix) {
            let policy = Policy::new(&self.config, now_unix)?;
            let prefixes = policy.allow_prefixes();
            let (gone, changed) = turn(&self.prefixes, &prefixes);
            self.capture.set_allow(&gone, &changed)?;
            self.prefixes = prefixes;
            self.pipeline.set_policy(policy);
        }
        Ok(())
    }

    fn survey(&mut self, now: Instant) -> Result<(), WatchError> {
        self.expire()?;
        self.pipeline.note_losses(&self.capture.counters()?);
        self.capture.refresh_addresses()?;
        self.capture.leave_unused_files();
        self.capture.flush_logs();
        if self.pipeline.is_crowded() {
            let kernel = self.capture.flows()?;
            let screen = &mut self.screen;
            let mut broken = Ok(());
            self.pipeline.forget_all_but(&kernel, now, &mut |request| {
                show(screen, request, &mut Vec::new(), &mut broken);
            });
            broken?;
        }
        Ok(())
    }

    /// Taps off first, so that the ring and the flow table tell of the same bytes.
    fn close(mut self) -> Result<(), WatchError> {
        self.capture.detach()?;
        while self.drain()? {}
        let counters = self.capture.counters()?;
        self.pipeline.note_losses(&counters);
        log_counters(&counters, self.bad_records);
        let kernel = self.capture.flows()?;
        let Self { pipeline, mut screen, .. } = self;
        let mut broken = Ok(());
        let ledger = pipeline.close(&kernel, Instant::now(), &mut |request| {
            show(&mut screen, request, &mut Vec::new(), &mut broken);
        });
        broken?;
        Ok(screen.close(&ledger)?)
    }
}

fn show(screen: &mut Screen, request: Request, twice: &mut Vec<(u32, u32)>, broken: &mut io::Result<()>) {
    match request {
        Request::Tell(leak) => {
            if broken.is_ok() {
                *broken = screen.leak(&leak);
            }
        }
        Request::RemoveSecondSite { first, second } => twice.push((first, second)),
    }
}

fn log_counters(counters: &[u64], bad_records: u64) {
    for (index, value) in (0..).zip(counters).filter(|(_, value)| **value > 0) {
        tracing::debug!(counter = cprvagt_abi::Counter::name(index), value);
    }
    if bad_records > 0 {
        tracing::warn!(bad_records, "records of the kernel programs were left out");
    }
}
