//! What was not seen, as the pages show it: ledgers and gaps.

use cprvagt_report::{Ledger, Process, Unread};

use super::danish::{self, Time};
use crate::store::{GapRow, LedgerRow};

/// Most kinds of unread traffic shown of one ledger, the largest first.
const UNREAD_MAX: usize = 50;

/// One run's account.
pub struct LedgerLine {
    /// Whose.
    pub host: String,
    /// Start of the run.
    pub since: Time,
    /// End of the account.
    pub until: Time,
    /// All that left.
    pub wire: String,
    /// What was read.
    pub inspected: String,
    /// The same in percent.
    pub inspected_share: String,
    /// What holds no content.
    pub protocol: String,
    /// What could have been read.
    pub lost: String,
    /// What could not be read.
    pub blind: String,
    /// What the others fail to account for.
    pub unexplained: String,
    /// The lost and the blind, the largest first.
    pub unread: Vec<UnreadLine>,
}

/// Traffic of one kind that was not read.
pub struct UnreadLine {
    /// Why.
    pub reason: String,
    /// Who sent it.
    pub program: Option<String>,
    /// Where it went.
    pub destination: Option<String>,
    /// How much.
    pub amount: String,
}

/// One gap.
pub struct GapLine {
    /// Whose.
    pub host: String,
    /// Why.
    pub reason: String,
    /// Start.
    pub from: Time,
    /// End.
    pub to: Time,
    /// At least so much was not seen.
    pub bytes: String,
    /// Finds that could not be kept.
    pub leaks_lost: String,
}

impl LedgerLine {
    /// The account as shown.
    pub fn of(row: LedgerRow) -> Self {
        let ledger = row.ledger;
        Self {
            since: Time::of(ledger.since.0),
            until: Time::of(ledger.until.0),
            wire: danish::size(ledger.wire_bytes),
            inspected: danish::size(ledger.inspected_bytes),
            inspected_share: danish::percent(ledger.inspected_bytes, ledger.wire_bytes),
            protocol: danish::size(ledger.protocol_bytes),
            lost: danish::size(ledger.lost_bytes()),
            blind: danish::size(ledger.blind_bytes()),
            unexplained: signed_size(ledger.unexplained_bytes),
            unread: unread(ledger),
            host: row.host,
        }
    }
}

impl GapLine {
    /// The gap as shown.
    pub fn of(gap: GapRow) -> Self {
        Self {
            reason: danish::reason(&gap.reason).to_owned(),
            from: Time::of(gap.from.0),
            to: Time::of(gap.to.0),
            bytes: danish::size(gap.bytes_min),
            leaks_lost: danish::number(gap.leaks_lost),
            host: gap.host,
        }
    }
}

fn signed_size(bytes: i64) -> String {
    let sign = if bytes < 0 { "−" } else { "" };
    format!("{sign}{}", danish::size(bytes.unsigned_abs()))
}

fn unread(ledger: Ledger) -> Vec<UnreadLine> {
    let mut all: Vec<Unread> = ledger.lost.into_iter().chain(ledger.blind).collect();
    all.sort_by_key(|unread| core::cmp::Reverse(unread.bytes));
    all.truncate(UNREAD_MAX);
    all.into_iter().map(unread_line).collect()
}

fn unread_line(unread: Unread) -> UnreadLine {
    UnreadLine {
        reason: danish::reason(unread.reason.as_str()).to_owned(),
        program: unread.process.and_then(program),
        destination: unread.destination.map(|to| match to.host {
            Some(host) => format!("{host}, port {}", to.port),
            None => format!("{}, port {}", to.ip, to.port),
        }),
        amount: danish::size(unread.bytes),
    }
}

fn program(process: Process) -> Option<String> {
    process.exe.or(process.comm).map(|name| name.as_str().to_owned())
}
