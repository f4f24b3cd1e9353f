//! `cprvagt.ledger/1`: what happened to every byte that left for a destination not allowed.
//!
//! *Invariants*: each sum is counted at its own place. Only `unexplained_bytes` is a difference: what the
//! others fail to account for, negative where they account for too much, and 0 when the books are right.
//! *Units*: bytes of distinct TCP sequence space, or of UDP payload.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Label, Moment, Process, Scrubbed};

/// The name and version of the ledger object.
pub const LEDGER_SCHEMA: &str = "cprvagt.ledger/1";

/// The constant `schema` field: reading any other value fails.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub enum LedgerSchema {
    /// Version 1.
    #[default]
    #[serde(rename = "cprvagt.ledger/1")]
    V1,
}

/// The account of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Always [`LEDGER_SCHEMA`].
    pub schema: LedgerSchema,
    /// Bytes sent to destinations not allowed, in scope of inspection.
    pub wire_bytes: u64,
    /// Wire bytes whose content reached the matcher.
    pub inspected_bytes: u64,
    /// TLS handshakes, record headers, tags and padding.
    pub protocol_bytes: u64,
    /// What could have been read and was not, by reason.
    pub lost: Vec<Unread>,
    /// What could not be read at all, by reason.
    pub blind: Vec<Unread>,
    /// How much was read of what each program sent to each destination, those with most unread bytes first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coverage: Vec<Covered>,
    /// What the sums above fail to account for.
    pub unexplained_bytes: i64,
    /// Flows seen.
    pub flows: u64,
    /// Leaks told.
    pub leaks: u64,
    /// Times in which something was not seen.
    pub gaps: Vec<Gap>,
    /// Start of the account.
    pub since: Moment,
    /// End of the account.
    pub until: Moment,
}

/// Bytes that were not read, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unread {
    /// `ring-full`, `no-tap`, `opaque` and so on.
    pub reason: Label,
    /// How many.
    pub bytes: u64,
    /// Who sent them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// Where they went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Endpoint>,
}

/// How much was read of what a program sent to a destination.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Covered {
    /// What it sent.
    pub wire_bytes: u64,
    /// Of it, what reached the matcher, and TLS's own bytes.
    pub covered_bytes: u64,
    /// Who sent it; absent where several did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// Where to; absent where it went to several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Endpoint>,
}

impl Covered {
    /// What was lost or blind.
    pub const fn unread_bytes(&self) -> u64 {
        self.wire_bytes.saturating_sub(self.covered_bytes)
    }

    /// Of what was sent; never 100 while a byte is missing.
    pub fn percent(&self) -> u64 {
        let covered = u128::from(self.covered_bytes.min(self.wire_bytes));
        u64::try_from(covered * 100 / u128::from(self.wire_bytes.max(1))).unwrap_or(0)
    }
}

/// The far end of a flow.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Address.
    pub ip: IpAddr,
    /// Port.
    pub port: u16,
    /// The name that the flow itself used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Scrubbed>,
}

/// A time in which something was not seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// Start.
    pub from: Moment,
    /// End.
    pub to: Moment,
    /// Why.
    pub reason: Label,
    /// At least this many bytes.
    pub bytes_min: u64,
}

impl Ledger {
    /// An empty account that starts and ends at `since`.
    pub fn opened(since: Moment) -> Self {
        Self {
            schema: LedgerSchema::V1,
            wire_bytes: 0,
            inspected_bytes: 0,
            protocol_bytes: 0,
            lost: vec![],
            blind: vec![],
            coverage: vec![],
            unexplained_bytes: 0,
            flows: 0,
            leaks: 0,
            gaps: vec![],
            since,
            until: since,
        }
    }

    /// Sum over `lost`.
    pub fn lost_bytes(&self) -> u64 {
        self.lost.iter().map(|unread| unread.bytes).sum()
    }

    /// Sum over `blind`.
    pub fn blind_bytes(&self) -> u64 {
        self.blind.iter().map(|unread| unread.bytes).sum()
    }

    /// Keeps at most `lines_max` lines of lost and of blind bytes, the largest, and of coverage, the worst; of the rest
    /// one line for each reason remains, without process and destination, and one of coverage.
    pub fn fold_lines(&mut self, lines_max: usize) {
        self.sort_coverage();
        let rest = self.coverage.split_off(self.coverage.len().min(lines_max));
        self.coverage.extend(rest.into_iter().reduce(|sum, line| Covered {
            wire_bytes: sum.wire_bytes + line.wire_bytes,
            covered_bytes: sum.covered_bytes + line.covered_bytes,
            process: None,
            destination: None,
        }));
        for lines in [&mut self.lost, &mut self.blind] {
            lines.sort_by_key(|line| core::cmp::Reverse(line.bytes));
            let mut rest: Vec<Unread> = Vec::new();
            for line in lines.split_off(lines.len().min(lines_max)) {
                match rest.iter_mut().find(|it| it.reason == line.reason) {
                    Some(same) => same.bytes += line.bytes,
                    None => rest.push(Unread { process: None, destination: None, ..line }),
                }
            }
            lines.append(&mut rest);
        }
    }

    /// The worst first: most unread bytes, and of equal ones most bytes.
    pub fn sort_coverage(&mut self) {
        self.coverage.sort_by_key(|line| core::cmp::Reverse((line.unread_bytes(), line.wire_bytes)));
    }

    /// Sets `unexplained_bytes` from the other sums. Call it last.
    pub fn balance(&mut self) {
        let counted = [self.inspected_bytes, self.protocol_bytes, self.lost_bytes(), self.blind_bytes()];
        let counted: i128 = counted.into_iter().map(i128::from).sum();
        let left = i128::from(self.wire_bytes) - counted;
        self.unexplained_bytes = left.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn ledger() -> Ledger {
        let since = Moment(Timestamp::new(1_700_000_000, 0).unwrap());
        Ledger {
            wire_bytes: 1000,
            inspected_bytes: 600,
            protocol_bytes: 100,
            lost: vec![Unread { reason: "ring-full".into(), bytes: 200, process: None, destination: None }],
            blind: vec![Unread {
                reason: "no-tap".into(),
                bytes: 90,
                process: Some(Process { pid: Some(9), ..Process::default() }),
                destination: Some(Endpoint { ip: "192.0.2.1".parse().unwrap(), port: 443, host: None }),
            }],
            coverage: vec![Covered {
                wire_bytes: 1000,
                covered_bytes: 700,
                process: None,
                destination: None,
            }],
            flows: 3,
            leaks: 2,
            gaps: vec![Gap { from: since, to: since, reason: "restart".into(), bytes_min: 0 }],
            ..Ledger::opened(since)
        }
    }

    #[test]
    fn the_difference_is_told() {
        let mut ledger = ledger();
        ledger.balance();
        assert_eq!(ledger.unexplained_bytes, 10);
        ledger.inspected_bytes = 700;
        ledger.balance();
        assert_eq!(ledger.unexplained_bytes, -90);
    }

    #[test]
    fn folding_keeps_the_largest_lines_and_every_byte() {
        let mut ledger = ledger();
        let line =
            |reason: &'static str, bytes| Unread { bytes, reason: reason.into(), ..ledger.blind[0].clone() };
        ledger.blind = vec![line("quic", 1), line("opaque", 5), line("quic", 2), line("no-tap", 9)];
        ledger.fold_lines(2);
        let lines: Vec<_> = ledger.blind.iter().map(|it| (it.reason.as_str(), it.bytes)).collect();
        assert_eq!(lines, [("no-tap", 9), ("opaque", 5), ("quic", 3)]);
        assert!(ledger.blind[2].process.is_none() && ledger.blind[1].process.is_some());
    }

    #[test]
    fn folding_keeps_the_worst_coverage_and_every_byte() {
        let mut ledger = ledger();
        let line = |wire_bytes, covered_bytes| Covered {
            wire_bytes,
            covered_bytes,
            process: Some(Process::default()),
            destination: None,
        };
        ledger.coverage = vec![line(10, 10), line(9, 2), line(500, 500), line(8, 0), line(7, 6)];
        ledger.fold_lines(3);
        let lines: Vec<_> = ledger.coverage.iter().map(|it| (it.wire_bytes, it.covered_bytes)).collect();
        assert_eq!(lines, [(8, 0), (9, 2), (7, 6), (510, 510)]);
        assert!(ledger.coverage[3].process.is_none() && ledger.coverage[2].process.is_some());
    }

    #[test]
    fn golden_json() {
        let golden: String = r#"{"schema":"cprvagt.ledger/1","wire_bytes":1000,"inspected_bytes":600,
            "protocol_bytes":100,"lost":[{"reason":"ring-full","bytes":200}],
            "blind":[{"reason":"no-tap","bytes":90,"process":{"pid":9},
            "destination":{"ip":"192.0.2.1","port":443}}],
            "coverage":[{"wire_bytes":1000,"covered_bytes":700}],"unexplained_bytes":0,"flows":3,"leaks":2,
            "gaps":[{"from":"2023-11-14T22:13:20.000000000Z","to":"2023-11-14T22:13:20.000000000Z",
            "reason":"restart","bytes_min":0}],"since":"2023-11-14T22:13:20.000000000Z",
            "until":"2023-11-14T22:13:20.000000000Z"}"#
            .lines()
            .map(str::trim)
            .collect();
        assert_eq!(serde_json::to_string(&ledger()).unwrap(), golden);
        assert_eq!(serde_json::from_str::<Ledger>(&golden).unwrap(), ledger());
        assert!(golden.contains(LEDGER_SCHEMA));
    }
}
