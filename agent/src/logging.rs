//! What the agent tells about itself: to standard error, or held back while a live screen is shown.
//!
//! *Invariants*: no log line ever has captured content in it; callers log counts, names that are scrubbed,
//! and errors of the system.
//! *Limits*: [`HELD_LINES_MAX`] lines are held back, then the oldest go.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Most lines that are held back.
pub const HELD_LINES_MAX: usize = 200;

/// Lines held back for a live screen; `None` while they go to standard error.
static HELD: Mutex<Option<VecDeque<String>>> = Mutex::new(None);

/// Starts logging. `RUST_LOG` decides what is told, else `verbose`: 0 warnings, 1 how things go, 2 details,
/// 3 and more everything. No colours: a line may end up on a live screen.
pub fn init(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        // The loader tells each relocation of each kernel program: a thousand lines at every start.
        2 => "debug,aya_obj=info",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Sink)
        .with_target(false)
        .compact()
        .try_init();
    if let Err(error) = started {
        tracing::debug!("logging was started before: {error}");
    }
}

/// Whether to use colours on an output that is a terminal or not: never against `NO_COLOR`.
pub fn colours(is_terminal: bool) -> bool {
    is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Holds lines back until dropped; what is left then goes to standard error.
#[derive(Debug)]
pub struct Hold(());

impl Hold {
    /// Starts holding lines back.
    pub fn start() -> Self {
        held().get_or_insert_default();
        Self(())
    }

    /// The lines held back since the last call, the oldest first.
    pub fn take(&self) -> Vec<String> {
        held().as_mut().map(|lines| lines.drain(..).collect()).unwrap_or_default()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let left = held().take().unwrap_or_default();
        let mut out = io::stderr().lock();
        for line in left {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(out, "{line}");
        }
    }
}

fn held() -> MutexGuard<'static, Option<VecDeque<String>>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Copy)]
struct Sink;

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match held().as_mut() {
            Some(lines) => keep(lines, bytes),
            // Nobody is left to tell when standard error is closed.
            None => drop(io::stderr().lock().write_all(bytes)),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = io::stderr().flush();
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        *self
    }
}

fn keep(lines: &mut VecDeque<String>, bytes: &[u8]) {
    for line in String::from_utf8_lossy(bytes).lines() {
        if lines.len() == HELD_LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_lines_go_first() {
        let mut lines = VecDeque::new();
        for number in 0..HELD_LINES_MAX + 2 {
            keep(&mut lines, format!("line {number}\n").as_bytes());
        }
        assert_eq!(lines.len(), HELD_LINES_MAX);
        assert_eq!(lines[0], "line 2");
    }

    #[test]
    fn held_lines_are_given_once() {
        let hold = Hold::start();
        Sink.write_all(b"one\ntwo\n").unwrap();
        assert_eq!(hold.take(), ["one", "two"]);
        assert!(hold.take().is_empty());
    }
}
