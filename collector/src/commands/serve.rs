//! `cprvagt-collector serve`: the collector as a service, and what it says to systemd.

use std::io::{self, Write as _};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;
use super::check::certificate_modes;
use crate::cli::Exit;
use crate::config::Config;
use crate::serve::{Bounds, Collector};

/// Descriptors kept for files and outlets.
const DESCRIPTORS_KEPT: u64 = 128;
/// Descriptors asked for at most.
const DESCRIPTORS_MAX: u64 = 1 << 16;
/// How often the parts are looked at without a watchdog.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// It cannot start, or a part of it ended that must not.
pub(super) fn run(config: &Config) -> Result<(), Failure> {
    certificate_modes(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(Exit::Failure, error))?.block_on(serve(config))
}

async fn serve(config: &Config) -> Result<(), Failure> {
    let mut signals = Signals::take().map_err(|error| Failure::new(Exit::Failure, error))?;
    let collector = Collector::start(config, bounds()).await?;
    tell(&format!("listening {}\nready", collector.addresses()));
    notify(&[NotifyState::Ready, NotifyState::Status(&collector.addresses())]);
    let alive = watch(&collector, &mut signals).await;
    notify(&[NotifyState::Stopping]);
    if !alive {
        // Stopping in order would wait for the very part that does not answer.
        return Err(Failure::new(Exit::Failure, "reports no longer reach the database; see the log"));
    }
    collector.stop().await;
    Ok(())
}

/// As many connections as the system gives descriptors for, since a database that gets none fails.
fn bounds() -> Bounds {
    let mut bounds = Bounds::default();
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return bounds };
    let wanted = hard.min(DESCRIPTORS_MAX).max(soft);
    let given = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).map_or(soft, |()| wanted);
    // Both listeners may be full.
    let each = usize::try_from(given.saturating_sub(DESCRIPTORS_KEPT) / 2).unwrap_or(usize::MAX);
    bounds.listener.connections = bounds.listener.connections.min(each.max(1));
    bounds
}

/// True when a signal asked to stop, false when the collector is no longer alive.
async fn watch(collector: &Collector, signals: &mut Signals) -> bool {
    let watchdog = sd_notify::watchdog_enabled();
    let mut look = tokio::time::interval(watchdog.map_or(LOOK_EVERY, |limit| limit / 3));
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return true,
            _ = signals.interrupt.recv() => return true,
            _ = signals.hang_up.recv() => collector.reload(),
            _ = look.tick() => {
                if !collector.is_alive() {
                    return false;
                }
                if watchdog.is_some() {
                    notify(&[NotifyState::Watchdog]);
                }
            }
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From here on signals wait to be read, also those that come during the start.
    fn take() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }
}

/// Tells systemd; without one nobody listens.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!("systemd is not told: {error}");
    }
}

fn tell(text: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "{text}");
}
