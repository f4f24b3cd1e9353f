//! What a person sees of `watch`: a live table on a terminal, a line a leak elsewhere, or JSON.
//!
//! *Invariants*: only leaks and ledgers come in, so nothing that is shown can hold a number. JSON lines are
//! flushed one by one.

mod ledger;
mod line;
mod live;
mod summary;
mod table;

use std::fmt;
use std::io::{self, IsTerminal, Write};

use cprvagt_report::{Leak, Ledger};

use summary::Summary;

use live::Live;

/// Where leaks are shown.
pub struct Screen {
    out: Box<dyn Write + Send>,
    face: Face,
    summary: Summary,
}

enum Face {
    Json,
    Lines,
    /// A terminal on which nothing was drawn yet: what is told before stands above the screen.
    Terminal,
    Live(Box<Live>),
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen").field("leaks", &self.summary.leaks()).finish_non_exhaustive()
    }
}

impl Screen {
    /// The screen on standard output: JSON if asked for, live on a terminal, else lines. Drawing starts with
    /// the first leak or tick; a terminal that does not answer then gets lines.
    pub fn open(json: bool) -> Self {
        let face = match json {
            true => Face::Json,
            false if io::stdout().is_terminal() => Face::Terminal,
            false => Face::Lines,
        };
        Self { out: Box::new(io::stdout()), face, summary: Summary::default() }
    }

    /// A screen that writes to `out` as if it were no terminal.
    #[cfg(test)]
    fn to(out: impl Write + Send + 'static, json: bool) -> Self {
        let face = if json { Face::Json } else { Face::Lines };
        Self { out: Box::new(out), face, summary: Summary::default() }
    }

    /// Shows a leak.
    ///
    /// # Errors
    /// The output is closed or broken.
    pub fn leak(&mut self, leak: &Leak) -> io::Result<()> {
        self.begin();
        self.summary.add(leak);
        match &mut self.face {
            Face::Json => leak.write_line(&mut self.out),
            Face::Lines | Face::Terminal => {
                writeln!(self.out, "{}", line::of(leak))?;
                self.out.flush()
            }
            Face::Live(live) => {
                live.push(leak);
                Ok(())
            }
        }
    }

    /// Draws what is new. Call it a few times a second; only a live screen does anything. A terminal that
    /// no longer does what a live screen needs gets lines from then on.
    ///
    /// # Errors
    /// The output is closed or broken.
    pub fn tick(&mut self) -> io::Result<()> {
        self.begin();
        if let Face::Live(live) = &mut self.face
            && let Err(error) = live.draw(&self.summary)
        {
            self.face = Face::Lines;
            tracing::warn!("the live screen ends: {error}");
            return self.out.flush();
        }
        Ok(())
    }

    fn begin(&mut self) {
        if matches!(self.face, Face::Terminal) {
            self.face = Live::open().map_or(Face::Lines, |live| Face::Live(Box::new(live)));
        }
    }

    /// Ends the show with the table and the ledger; in JSON with the ledger alone.
    ///
    /// # Errors
    /// The output is closed or broken.
    pub fn close(mut self, ledger: &Ledger) -> io::Result<()> {
        match self.face {
            Face::Json => return ledger.write_line(&mut self.out),
            Face::Lines | Face::Terminal => {}
            Face::Live(live) => live.close(&self.summary)?,
        }
        let end = table::lines(&self.summary, table::WIDTH, usize::MAX).into_iter();
        for line in end.chain([String::new()]).chain(ledger::lines(ledger)) {
            writeln!(self.out, "{line}")?;
        }
        self.out.flush()
    }
}

#[cfg(test)]
#[path = "screen_tests.rs"]
mod tests;
