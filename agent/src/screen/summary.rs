//! Leaks counted by recipient: how many citizens, when first and last, encrypted or not, how sure.
//!
//! *Units*: citizens are distinct pseudonyms.
//! *Limits*: [`RECIPIENTS_MAX`] recipients, the rest together in one row; [`CITIZENS_MAX`] citizens a row,
//! after which the count is a lower bound.

use std::collections::{HashMap, HashSet};

use cprvagt_report::{Destination, Leak, Moment, Proof, Pseudonym};

/// Most recipients that get a row.
pub const RECIPIENTS_MAX: usize = 4096;

/// Most citizens that are told apart in one row, and in total.
pub const CITIZENS_MAX: usize = 1_000_000;

/// Everything counted so far.
#[derive(Debug, Default)]
pub struct Summary {
    rows: HashMap<String, Row>,
    citizens: HashSet<Pseudonym>,
    leaks: u64,
}

/// What one recipient got.
#[derive(Debug)]
pub struct Row {
    citizens: HashSet<Pseudonym>,
    leaks: u64,
    first: Moment,
    last: Moment,
    encrypted: Option<Encrypted>,
    proof: Proof,
}

/// How the leaks of a row stood on the wire.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Encrypted {
    /// All encrypted.
    Yes,
    /// All readable.
    No,
    /// Some of each.
    Mixed,
}

impl Summary {
    /// Counts `leak`.
    pub fn add(&mut self, leak: &Leak) {
        self.leaks += 1;
        insert_bounded(&mut self.citizens, leak.pseudonym);
        let mut name = recipient(leak.destination.as_ref());
        if !self.rows.contains_key(&name) && self.rows.len() >= RECIPIENTS_MAX {
            name = "(other recipients)".to_owned();
        }
        self.rows.entry(name).or_insert_with(|| Row::starting_with(leak)).add(leak);
    }

    /// The rows, those with most citizens first.
    pub fn rows(&self) -> Vec<(&str, &Row)> {
        let mut rows: Vec<(&str, &Row)> = self.rows.iter().map(|(name, row)| (name.as_str(), row)).collect();
        rows.sort_by_key(|(name, row)| {
            (std::cmp::Reverse(row.citizens.len()), std::cmp::Reverse(row.leaks), *name)
        });
        rows
    }

    /// Number of recipients.
    pub fn recipients(&self) -> usize {
        self.rows.len()
    }

    /// Number of distinct citizens over all recipients.
    pub fn citizens(&self) -> usize {
        self.citizens.len()
    }

    /// Number of leaks.
    pub fn leaks(&self) -> u64 {
        self.leaks
    }
}

impl Row {
    fn starting_with(leak: &Leak) -> Self {
        Self {
            citizens: HashSet::new(),
            leaks: 0,
            first: leak.observed_at,
            last: leak.observed_at,
            encrypted: None,
            proof: Proof::Proven,
        }
    }

    fn add(&mut self, leak: &Leak) {
        insert_bounded(&mut self.citizens, leak.pseudonym);
        self.leaks += 1;
        self.first = self.first.min(leak.observed_at);
        self.last = self.last.max(leak.observed_at);
        if let Some(transport) = &leak.transport {
            let now = if transport.encrypted { Encrypted::Yes } else { Encrypted::No };
            self.encrypted = Some(if self.encrypted.unwrap_or(now) == now { now } else { Encrypted::Mixed });
        }
        let proof = leak.destination.as_ref().map_or(Proof::Unknown, |it| it.proof);
        self.proof = self.proof.max(proof);
    }

    /// Number of distinct citizens.
    pub fn citizens(&self) -> usize {
        self.citizens.len()
    }

    /// Number of leaks.
    pub fn leaks(&self) -> u64 {
        self.leaks
    }

    /// When the first leak was seen.
    pub fn first(&self) -> Moment {
        self.first
    }

    /// When the last leak was seen.
    pub fn last(&self) -> Moment {
        self.last
    }

    /// How they stood on the wire; `None` when no leak told.
    pub fn encrypted(&self) -> Option<Encrypted> {
        self.encrypted
    }

    /// The weakest proof among them.
    pub fn proof(&self) -> Proof {
        self.proof
    }
}

fn insert_bounded(citizens: &mut HashSet<Pseudonym>, citizen: Pseudonym) {
    if citizens.len() < CITIZENS_MAX {
        citizens.insert(citizen);
    }
}

/// The name that people know a recipient by: its host, else its address and port.
pub(super) fn recipient(destination: Option<&Destination>) -> String {
    let unknown = || "(unknown destination)".to_owned();
    let Some(it) = destination else { return unknown() };
    match (&it.host, it.ip, it.port) {
        (Some(host), ..) => host.to_string(),
        (None, Some(ip), Some(port)) => std::net::SocketAddr::new(ip, port).to_string(),
        (None, Some(ip), None) => ip.to_string(),
        (None, None, _) => unknown(),
    }
}
