//! `cprvagt.report/1`: what leaves a host at once, and its sealed form.
//!
//! *Invariants*: the sealed form is the only one that reaches a disk or the network.
//! *Limits*: [`REPORT_ENTRIES_MAX`] entries, with [`LEDGER_LINES_MAX`] lines and gaps in each account;
//! [`SEALED_BYTES_MAX`] bytes sealed and [`PLAIN_BYTES_MAX`] bytes opened, so that no small report can unfold into a
//! large one.
//! *Units*: bytes.

use std::io::Read as _;

use serde::{Deserialize, Serialize};

use crate::seal::{BadSeal, PrivateKey, PublicKey, Purpose};
use crate::{Gap, Host, Leak, Ledger, Moment};

/// Most entries of one report.
pub const REPORT_ENTRIES_MAX: usize = 200;
/// Largest sealed report.
pub const SEALED_BYTES_MAX: usize = 1 << 20;
/// Largest report once opened: 200 leaks whose names all have their full length take half of it.
pub const PLAIN_BYTES_MAX: usize = 1 << 20;
/// Most lines of lost bytes, lines of blind bytes, and gaps of one account; an agent tells fewer.
pub const LEDGER_LINES_MAX: usize = 1024;
/// Version of the sealed form, its first byte.
const SEALED_VERSION: u8 = 1;
/// The fastest level: reports are small and made beside the host's own work.
const ZSTD_LEVEL: i32 = 1;

/// The constant `schema` field: reading any other value fails.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub enum ReportSchema {
    /// Version 1.
    #[default]
    #[serde(rename = "cprvagt.report/1")]
    V1,
}

/// What one host has to tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Always `cprvagt.report/1`.
    pub schema: ReportSchema,
    /// The host.
    pub host: Host,
    /// When the report was made.
    pub made_at: Moment,
    /// What it tells, in order.
    pub entries: Vec<Entry>,
}

/// One thing told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// A leak.
    Leak(Box<Leak>),
    /// A time in which leaks may have been missed or were lost.
    Gap(GapRecord),
    /// The account since the agent's start; each replaces the one before of the same start.
    Ledger(Box<Ledger>),
}

impl Entry {
    fn is_too_long(&self) -> bool {
        let Self::Ledger(ledger) = self else { return false };
        [ledger.lost.len(), ledger.blind.len(), ledger.gaps.len()]
            .iter()
            .any(|count| *count > LEDGER_LINES_MAX)
    }
}

/// A gap, with what is known to be missing. Its number is that of the report it stands in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GapRecord {
    /// When, why, and how many bytes at least.
    #[serde(flatten)]
    pub gap: Gap,
    /// Leaks that were found and could not be kept.
    pub leaks_lost: u64,
}

/// Why a sealed report cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BadReport {
    /// Longer than [`SEALED_BYTES_MAX`], or [`PLAIN_BYTES_MAX`] once opened, or an account of too many lines.
    #[error("the report is larger than allowed")]
    TooLarge,
    /// Made by a version that this one does not know.
    #[error("the report has version {0}; this version reads {SEALED_VERSION}")]
    Version(u8),
    /// Empty, or sealed to another key.
    #[error(transparent)]
    Seal(#[from] BadSeal),
    /// What came out is not compressed, or not a report. Nothing of the content is told.
    #[error("the report's content is malformed")]
    Malformed,
    /// More than [`REPORT_ENTRIES_MAX`] entries.
    #[error("the report has {0} entries; the most is {REPORT_ENTRIES_MAX}")]
    TooManyEntries(usize),
}

impl Report {
    /// The report, compressed and sealed to the collector.
    ///
    /// # Panics
    /// Never: a report is plain data, and compressing into memory does not fail.
    pub fn seal(&self, collector: &PublicKey) -> Vec<u8> {
        let json = serde_json::to_vec(self).expect("a report is plain data");
        let packed = zstd::encode_all(json.as_slice(), ZSTD_LEVEL).expect("memory takes it");
        let mut sealed = vec![SEALED_VERSION];
        sealed.extend(collector.seal(Purpose::Report, &[SEALED_VERSION], &packed));
        sealed
    }

    /// The report in `sealed`.
    ///
    /// # Errors
    /// Too large, sealed to another key, not intact, or not a report.
    pub fn open(sealed: &[u8], key: &PrivateKey) -> Result<Self, BadReport> {
        if sealed.len() > SEALED_BYTES_MAX {
            return Err(BadReport::TooLarge);
        }
        let (version, body) = sealed.split_first().ok_or(BadSeal)?;
        if *version != SEALED_VERSION {
            return Err(BadReport::Version(*version));
        }
        Self::unpack(&key.open(Purpose::Report, &[SEALED_VERSION], body)?)
    }

    /// The report in `packed`: compressed JSON, as it is inside the seal.
    ///
    /// # Errors
    /// Too large, or not a report.
    pub fn unpack(packed: &[u8]) -> Result<Self, BadReport> {
        let mut json = Vec::new();
        let decoder = zstd::Decoder::with_buffer(packed).map_err(|_| BadReport::Malformed)?;
        let read = decoder.take(PLAIN_BYTES_MAX as u64 + 1).read_to_end(&mut json);
        if read.map_err(|_| BadReport::Malformed)? > PLAIN_BYTES_MAX {
            return Err(BadReport::TooLarge);
        }
        let report: Self = serde_json::from_slice(&json).map_err(|_| BadReport::Malformed)?;
        if report.entries.len() > REPORT_ENTRIES_MAX {
            return Err(BadReport::TooManyEntries(report.entries.len()));
        }
        if report.entries.iter().any(Entry::is_too_long) {
            return Err(BadReport::TooLarge);
        }
        Ok(report)
    }

    /// How many leaks it tells.
    pub fn leaks(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry, Entry::Leak(_))).count()
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
