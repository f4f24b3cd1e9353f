//! What must be in the collector's database, worked out independently of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use serde_json::Value;

use crate::database;
use crate::pseudonym::keyed_hash;

/// What is hashed before the agent's pseudonym.
const CONTEXT: &[u8] = b"cprvagt/citizen/1\0";

/// The collector's own key.
#[derive(Debug)]
pub struct CitizenKey(Vec<u8>);

impl CitizenKey {
    /// The key in the data folder `data`.
    ///
    /// # Errors
    /// When there is none.
    pub fn read(data: &Path) -> Result<Self> {
        Ok(Self(fs::read(data.join("citizen.key")).context("citizen.key")?))
    }

    /// The citizen behind an agent's pseudonym, both in lowercase hexadecimal.
    ///
    /// # Errors
    /// When `pseudonym` is something else.
    pub fn citizen(&self, pseudonym: &str) -> Result<String> {
        Ok(keyed_hash(&self.0, CONTEXT, &HEXLOWER.decode(pseudonym.as_bytes())?))
    }
}

/// Every leak in the database and its citizen.
///
/// # Errors
/// When the database cannot be read.
pub fn occurrences(data: &Path) -> Result<BTreeMap<String, String>> {
    let rows = database::rows(data, "SELECT leak, citizen FROM occurrences")?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    rows.iter().map(|row| Some((text(&row[0])?, text(&row[1])?))).collect::<Option<_>>().context("two blobs")
}

/// Distinct citizens of some leaks.
#[must_use]
pub fn distinct(leaks: &BTreeMap<String, String>) -> BTreeSet<&str> {
    leaks.values().map(String::as_str).collect()
}

/// What in the database contradicts itself, in words: sums against the leaks that they sum, sets against their
/// members, numbers of reports against their row.
///
/// # Errors
/// When the database cannot be read.
pub fn contradictions(data: &Path) -> Result<Vec<String>> {
    let rules = [
        ("a leak twice", "SELECT leak FROM occurrences GROUP BY leak HAVING count(*) > 1"),
        (
            "a report taken twice",
            "SELECT epoch, sequence FROM receipts GROUP BY agent, epoch, sequence HAVING count(*) > 1",
        ),
        (
            "a report left out",
            "SELECT epoch, min(sequence), max(sequence), count(*) FROM receipts GROUP BY agent, epoch \
             HAVING min(sequence) <> 1 OR max(sequence) <> count(*)",
        ),
        ("a report set aside", "SELECT epoch, sequence, reason FROM set_aside"),
        (
            "an incident's sums",
            "SELECT i.key, i.occurrences, i.citizens, count(o.leak), count(DISTINCT o.citizen) FROM incidents i \
             LEFT JOIN occurrences o ON o.incident = i.key GROUP BY i.key \
             HAVING i.occurrences <> count(o.leak) OR i.citizens <> count(DISTINCT o.citizen)",
        ),
        (
            "a citizen without a leak",
            "SELECT incident, citizen FROM citizens EXCEPT SELECT incident, citizen FROM occurrences",
        ),
        (
            "a leak without its citizen",
            "SELECT incident, citizen FROM occurrences EXCEPT SELECT incident, citizen FROM citizens",
        ),
        (
            "a leak without its incident or trace",
            "SELECT leak FROM occurrences o WHERE NOT EXISTS (SELECT 1 FROM traces t WHERE t.key = o.trace \
             AND t.incident = o.incident)",
        ),
        (
            "a trace's sum",
            "SELECT t.key, t.occurrences, count(o.leak) FROM traces t LEFT JOIN occurrences o ON o.trace = t.key \
             GROUP BY t.key HAVING t.occurrences <> count(o.leak)",
        ),
        (
            "a citizen without a sealed number",
            "SELECT incident, citizen FROM citizens WHERE sealed IS NULL OR sealed NOT IN (SELECT id FROM sealed)",
        ),
    ];
    let mut wrong = Vec::new();
    for (what, query) in rules {
        wrong.extend(database::rows(data, query)?.iter().map(|row| format!("{what}: {row:?}")));
    }
    Ok(wrong)
}
