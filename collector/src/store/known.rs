//! Keys of incidents and traces that were seen lately, so that most reports need not look them up.
//!
//! *Invariants*: only committed rows are known, and such rows are never deleted nor given another key.
//! *Limits*: [`KNOWN_MAX`] of each; a full table is emptied.

use std::collections::HashMap;

/// Most keys of one kind.
const KNOWN_MAX: usize = 1 << 16;

/// What the writer knows.
#[derive(Default)]
pub(super) struct Known {
    /// Key of an incident by its id.
    pub(super) incidents: Keys,
    /// Key of a trace by its id.
    pub(super) traces: Keys,
}

/// Keys by id.
#[derive(Default)]
pub(super) struct Keys(HashMap<[u8; 16], i64>);

impl Keys {
    /// The key, when known.
    pub(super) fn get(&self, id: &[u8; 16]) -> Option<i64> {
        self.0.get(id).copied()
    }

    /// Remembers committed rows.
    pub(super) fn remember(&mut self, rows: impl IntoIterator<Item = ([u8; 16], i64)>) {
        for (id, key) in rows {
            if self.0.len() >= KNOWN_MAX {
                self.0.clear();
            }
            self.0.insert(id, key);
        }
    }
}
