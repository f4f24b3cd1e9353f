//! Content under an encoding: what comes out of a decoder becomes content of its own.
//!
//! *Limits*: see [`crate::outlet`] and [`crate::encoding`]. Beyond a limit, or where the content is damaged, what was made
//! so far stands, and the rest is shown as it came.

use crate::borders::Source;
use crate::content::Content;
use crate::encoding::{Coding, Decoder, Stop};
use crate::judged::Verdict;
use crate::outlet::Outlet;
use crate::parser::{Judge, Scene};
use crate::plain::Plain;
use crate::token::Mode;
use crate::window::Bound;

/// Bytes that a decoder makes at a time.
const STEP_BYTES: usize = 16 << 10;

/// See the module.
pub(crate) struct Layer {
    coding: Coding,
    decoder: Option<Decoder>,
    child: Content,
    stop: Option<Stop>,
}

impl Layer {
    /// `child` takes what is made.
    pub(crate) fn new(coding: Coding, child: Content) -> Self {
        Self { coding, decoder: coding.decoder(), child, stop: None }
    }

    /// Decodes the rest of the buffer; returns its end.
    pub(crate) fn run(
        &mut self,
        scene: &Scene<'_>,
        judge: &mut Judge<'_>,
        outlet: &mut Outlet<'_, '_>,
    ) -> usize {
        let read = self.decode(scene, outlet);
        self.follow(scene.mode, outlet);
        if !self.is_text() {
            judge(scene.from + read, Verdict::Read);
        }
        judge(scene.buf.len(), self.verdict().unwrap_or(Verdict::Unsaid));
        scene.buf.len()
    }

    /// Does what the content around it does.
    pub(crate) fn follow(&mut self, mode: Mode, outlet: &mut Outlet<'_, '_>) {
        self.child.follow(if self.stop.is_some() { Mode::End } else { mode }, outlet);
    }

    /// Returns how many bytes were decoded; those behind an end or an error were not.
    pub(crate) fn decode(&mut self, scene: &Scene<'_>, outlet: &mut Outlet<'_, '_>) -> usize {
        let bytes = &scene.buf[scene.from..];
        let Some(decoder) = self.decoder.as_mut().filter(|_| self.stop.is_none()) else { return 0 };
        let mut made = Plain::from(vec![0; STEP_BYTES.min(bytes.len() * 4 + 64)]);
        let mut at = 0;
        loop {
            let step = decoder.step(&bytes[at..], made.as_mut_slice());
            // What leads to an error was not read.
            let end = if step.stop == Some(Stop::Corrupt) && step.made == 0 { at } else { at + step.read };
            self.stop = step.stop;
            if step.made > 0 {
                // Where more is made of what was read before, that is where it is from.
                let start = if end > at { at } else { at.saturating_sub(1) };
                let source = (scene.source)(scene.from + start..scene.from + end);
                self.child.feed(&made.as_slice()[..step.made], Source::Of(source), outlet);
                if !outlet.meter.make(step.made) {
                    self.stop = Some(Stop::Limit);
                }
            }
            at = end;
            if self.stop.is_some() || (step.read == 0 && step.made == 0) {
                return at;
            }
        }
    }

    /// What is known of bytes that are not decoded any more; `None` where nothing went wrong.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        Some(match self.stop? {
            Stop::Window => Verdict::Beyond(Bound::Window),
            Stop::Limit => Verdict::Beyond(Bound::Limit),
            Stop::Corrupt => Verdict::Unsaid,
            Stop::End => return None,
        })
    }

    /// Whether no more is decoded.
    pub(crate) fn is_over(&self) -> bool {
        self.stop.is_some()
    }

    /// Whether what is decoded is text by itself.
    fn is_text(&self) -> bool {
        matches!(self.coding, Coding::Base64 | Coding::Quoted | Coding::Wide(_) | Coding::Unknown)
    }

    /// Bytes held now.
    pub(crate) fn held_bytes(&self) -> usize {
        self.child.held_bytes() + self.decoder.as_ref().map_or(0, Decoder::held_bytes)
    }
}
