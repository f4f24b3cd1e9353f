//! Changes that an open does not make until its notices are safe.
//!
//! What an open found broken it tells its owner, who makes gap records of it. Were the tail cut or the time of the
//! last heartbeat overwritten before these are durable, a crash in between would make the loss untold. So
//! the files stay as they are until the first commit; until then each further open tells the same again.

use crate::files::Files;
use crate::survey::{aside_name, name};

/// Most segments that are kept aside for a person to look at.
const ASIDE_MAX: usize = 4;

/// What is to be done.
#[derive(Default)]
pub struct Settling {
    /// Segments to cut, and to which length.
    pub cuts: Vec<(u64, u64)>,
    /// Segments to set aside.
    pub unreadable: Vec<u64>,
    /// Segments set aside before, the oldest first.
    pub aside: Vec<u64>,
}

impl Settling {
    /// Does it. What fails is found and told again at the next open.
    pub fn run<F: Files>(mut self, files: &F) {
        for (number, bytes) in self.cuts {
            let _ = files.truncate(&name(number), bytes);
        }
        for number in self.unreadable {
            let _ = files.rename(&name(number), &aside_name(number));
            self.aside.push(number);
        }
        let surplus = self.aside.len().saturating_sub(ASIDE_MAX);
        for &number in &self.aside[..surplus] {
            let _ = files.remove(&aside_name(number));
        }
    }
}
