//! `cprvagt run`: the daemon, in four processes that each can do one thing.
//!
//! | process | has | has not |
//! |---|---|---|
//! | capture | the taps, reading of other processes | network, a parser of traffic, loading of programs once it runs |
//! | broker | opening of probe events | files, sockets, anything else |
//! | inspect | the ring, the pseudonym key | files, sockets, capabilities, a user |
//! | send | the spool, the network | capabilities, plaintext |
//!
//! Capture starts the other three. Records stay in the ring, which inspect reads itself; sealed reports go from
//! inspect to send; everything else are small messages with capture.

mod config_file;
mod confine;
mod daemon;
mod facts;
mod inspecting;
mod outbox;
mod parts;
mod plan;
mod protocol;
mod status;

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

pub use confine::{Landlock, landlock};
use nix::sys::signal::{SigSet, Signal};
pub use status::{RUNTIME_DIR, StatusError, ask, coverage, lines};

use crate::capture::{CaptureError, open_probes};
use crate::channel::receive_descriptors;
use crate::cli::{self, Exit, Exits};
use crate::enrol::Enrolment;
use crate::judge::Overfull;
use crate::send::{self, protocol::Settings};
use crate::{privacy, watch};

/// Why the daemon, or one of its processes, ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration, the enrolment or the keys.
    #[error(transparent)]
    Plan(#[from] plan::PlanError),
    /// The taps are not in place.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The policy does not fit the kernel's tables.
    #[error(transparent)]
    Policy(#[from] Overfull),
    /// The status socket.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// A process could not be confined.
    #[error(transparent)]
    Confine(#[from] confine::ConfineError),
    /// The process could not be shut against dumps.
    #[error("core dumps could not be forbidden: {0}; plaintext might reach the disk, so nothing was started")]
    Dumps(nix::Error),
    /// Another process of the agent ended.
    #[error(
        "the {0} process is gone; what it had not handed on is lost, and told as a gap at the next start"
    )]
    Gone(&'static str),
    /// Another process of the agent does not answer.
    #[error("the {0} process does not answer")]
    Silent(&'static str),
    /// Another process of the agent says why it cannot go on.
    #[error("{0}: {1}")]
    Failed(&'static str, String),
    /// What cannot be.
    #[error("{0} could not be used; this is a defect of cprvagt")]
    Internal(&'static str),
    /// The send process.
    #[error(transparent)]
    Send(#[from] send::SendError),
    /// The system refused something that it should not.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Exits for RunError {
    fn exit(&self) -> Exit {
        match self {
            Self::Plan(_) | Self::Policy(_) => Exit::Config,
            Self::Capture(_) | Self::Confine(_) | Self::Dumps(_) => Exit::Unable,
            Self::Status(StatusError::Busy(_)) => Exit::Busy,
            _ => Exit::Failure,
        }
    }
}

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// What kept it from starting, or from going on.
pub fn run(config: Option<&Path>, options: &cli::Run, verbose: u8) -> Result<(), RunError> {
    privacy::forbid_dumps().map_err(RunError::Dumps)?;
    watch::raise_limits();
    let plan = plan::Plan::make(config, options)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { daemon::Daemon::start(plan, verbose).await?.run().await })
}

/// Runs one of the daemon's other processes; its control socket is standard input.
///
/// # Errors
/// What kept it from going on.
pub fn part(part: cli::Part) -> Result<(), RunError> {
    privacy::forbid_dumps().map_err(RunError::Dumps)?;
    // Signals are for capture, which ends the others in order; a service manager may send them to all four.
    SigSet::from_iter([Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM])
        .thread_block()
        .map_err(io::Error::from)?;
    let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    match part {
        cli::Part::Broker => open_probes(&control, || Ok(confine::broker()?)),
        cli::Part::Inspect => inspecting::run(control),
        cli::Part::Send => {
            let [reports] = receive_descriptors(&control)?;
            Ok(send::run(control, reports.into(), confine_send)?)
        }
    }
}

fn confine_send(settings: &Settings) -> Result<(), String> {
    let enrolment = Enrolment::read(&settings.enrolment).map_err(|error| error.to_string())?;
    let url = settings.url.as_ref().or(enrolment.as_ref().map(|enrolment| &enrolment.url));
    let written = vec![settings.spool_dir.clone(), settings.enrolment.clone()];
    confine::send(&confine::Reach { written, port: url.map(|url| url.port()) })
        .map_err(|error| error.to_string())
}
