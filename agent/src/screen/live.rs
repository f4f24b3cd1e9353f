//! The live screen: leaks scroll by above a table that stays.
//!
//! The terminal is left in its normal mode: Ctrl-C is a signal, and what scrolled by stays in the history.
//!
//! *Limits*: [`LINES_MAX`] lines are kept between two draws; a storm shows its last ones and how many it
//! skipped.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Stdout, Write};
use std::time::{Duration, Instant};

use cprvagt_report::Leak;
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Widget};
use ratatui::{Terminal, TerminalOptions, Viewport};

use super::summary::Summary;
use super::{line, table};
use crate::logging::{self, Hold};

/// Height of the table, in rows: title, heads, recipients, what is left out.
const HEIGHT: u16 = 13;

/// Rows of the table that are not recipients.
const FRAME_ROWS: u16 = 3;

/// How often it is drawn at most.
const DRAW_EVERY: Duration = Duration::from_millis(250);

/// Most lines kept between two draws.
const LINES_MAX: usize = 20;

/// A terminal with the table at its lower end.
pub(super) struct Live {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    log: Hold,
    scroll: Scroll,
    drawn: Option<Instant>,
}

/// What scrolls by next.
#[derive(Default)]
struct Scroll {
    lines: VecDeque<Line<'static>>,
    skipped: u64,
    colours: bool,
}

impl Live {
    /// # Errors
    /// The terminal does not tell where its cursor is.
    pub(super) fn open() -> io::Result<Self> {
        let options = TerminalOptions { viewport: Viewport::Inline(HEIGHT) };
        let terminal = Terminal::with_options(CrosstermBackend::new(io::stdout()), options)?;
        let colours = logging::colours(io::stdout().is_terminal());
        Ok(Self {
            terminal,
            log: Hold::start(),
            scroll: Scroll { colours, ..Scroll::default() },
            drawn: None,
        })
    }

    pub(super) fn push(&mut self, leak: &Leak) {
        self.scroll.push(leak);
    }

    /// Draws what is new, unless that was done a moment ago.
    pub(super) fn draw(&mut self, summary: &Summary) -> io::Result<()> {
        if self.drawn.is_some_and(|drawn| drawn.elapsed() < DRAW_EVERY) {
            return Ok(());
        }
        self.drawn = Some(Instant::now());
        let log = self.log.take().into_iter().map(Line::from);
        let lines: Vec<Line<'static>> = log.chain(self.scroll.take()).collect();
        draw(&mut self.terminal, &lines, summary, self.scroll.colours)
    }

    /// Shows what is left and takes the table away, so that the final one can be written in its place.
    pub(super) fn close(mut self, summary: &Summary) -> io::Result<()> {
        self.drawn = None;
        self.draw(summary)?;
        let table = self.terminal.get_frame().area();
        self.terminal.clear()?;
        self.terminal.set_cursor_position(table.as_position())?;
        self.terminal.show_cursor()?;
        io::stdout().flush()
    }
}

impl Scroll {
    fn push(&mut self, leak: &Leak) {
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
            self.skipped += 1;
        }
        let style = if self.colours { Style::new().fg(line::colour(leak.severity)) } else { Style::new() };
        self.lines.push_back(Line::styled(line::of(leak), style));
    }

    fn take(&mut self) -> Vec<Line<'static>> {
        let skipped = std::mem::take(&mut self.skipped);
        let told = (skipped > 0).then(|| Line::from(format!("({skipped} leaks not shown one by one)")));
        told.into_iter().chain(self.lines.drain(..)).collect()
    }
}

fn draw<B: Backend>(
    terminal: &mut Terminal<B>,
    lines: &[Line<'static>],
    summary: &Summary,
    colours: bool,
) -> Result<(), B::Error> {
    // All at once: each insertion asks the terminal where its cursor is, and waits for the answer.
    if let Ok(height @ 1..) = u16::try_from(lines.len()) {
        terminal
            .insert_before(height, |buffer| Paragraph::new(lines.to_vec()).render(buffer.area, buffer))?;
    }
    terminal.draw(|frame| table_widget(summary, colours, frame.area(), frame.buffer_mut()))?;
    Ok(())
}

fn table_widget(summary: &Summary, colours: bool, area: Rect, buffer: &mut Buffer) {
    let rows_max = usize::from(area.height.saturating_sub(FRAME_ROWS));
    let lines = table::lines(summary, area.width.into(), rows_max).into_iter().enumerate();
    let heads = |(row, text): (usize, String)| match row {
        0 | 1 if colours => Line::from(text).bold(),
        _ => Line::from(text),
    };
    Paragraph::new(lines.map(heads).collect::<Vec<_>>()).render(area, buffer);
}

#[cfg(test)]
mod tests {
    use ratatui::backend::TestBackend;

    use super::super::tests::leak;
    use super::*;

    #[test]
    fn leaks_scroll_by_above_the_table() {
        let options = TerminalOptions { viewport: Viewport::Inline(5) };
        let mut terminal = Terminal::with_options(TestBackend::new(80, 8), options).unwrap();
        let (mut scroll, mut summary) = (Scroll::default(), Summary::default());
        for leak in [leak("stats.example", 1), leak("cdn.example", 2)] {
            scroll.push(&leak);
            summary.add(&leak);
        }
        draw(&mut terminal, &scroll.take(), &summary, false).unwrap();
        terminal.backend().assert_buffer_lines([
            "22:13:20 high     not-allowed curl[7] -> stats.example url.query:cpr /b/{} encry",
            "22:13:20 high     not-allowed curl[7] -> cdn.example url.query:cpr /b/{} encrypt",
            "2 leaks to 2 recipients, 2 citizens in total. Times are UTC.                    ",
            "RECIPIENT                   CITIZENS   LEAKS    FIRST     LAST ENCRYPTED PROOF  ",
            "cdn.example                        1       1 22:13:20 22:13:20 yes       proven ",
            "stats.example                      1       1 22:13:20 22:13:20 yes       proven ",
            "                                                                                ",
            "                                                                                ",
        ]);
    }

    #[test]
    fn a_storm_is_bounded_and_told() {
        let mut scroll = Scroll::default();
        for _ in 0..LINES_MAX + 5 {
            scroll.push(&leak("stats.example", 1));
        }
        let lines = scroll.take();
        assert_eq!(lines.len(), LINES_MAX + 1);
        assert_eq!(lines[0].to_string(), "(5 leaks not shown one by one)");
        assert!(scroll.take().is_empty());
    }
}
