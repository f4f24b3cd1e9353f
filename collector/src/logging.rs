//! What the collector tells about itself, on standard error.
//!
//! *Invariants*: a log line has counts, identities of agents, addresses, and errors of the system in it;
//! never anything out of a report, nor a token, key, password or session.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

/// Starts logging. `RUST_LOG` decides what is told, else `verbose`: 0 warnings, 1 how things go, 2 details,
/// 3 and more everything. Colours only on a terminal, and never against `NO_COLOR`.
pub fn init(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && !no_color)
        .with_target(false)
        .compact()
        .try_init();
    if let Err(error) = started {
        tracing::debug!("logging was started before: {error}");
    }
}
