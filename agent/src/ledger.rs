//! The ledger: what became of every byte that left for a destination not allowed.
//!
//! # How the books are kept
//! The kernel programs count each flow's wire bytes, and those that found no room in the ring or are of a
//! kind that is never copied. User space counts what it did with the rest: inspected, protocol, blind.
//! Each number is counted where the thing happens; what is left over in the end is `unexplained`, and 0
//! when the books are right. Per flow while it lives, folded into the book when it ends.
//!
//! *Units*: bytes of distinct TCP sequence space, or of UDP payload.
//! *Limits*: [`LINES_MAX`] lines of lost or blind bytes, and as many of coverage; further ones go to a line without
//! process and destination. [`GAPS_MAX`] gaps.

use std::collections::BTreeMap;

use cprvagt_report::{Covered, Endpoint, Gap, Label, Ledger, Moment, Process, Unread};

/// Lines of lost or blind bytes, and of coverage.
const LINES_MAX: usize = 4096;
/// Gaps that are kept.
const GAPS_MAX: usize = 1024;

/// Why bytes were lost or blind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Lost: no room in the ring.
    RingFull,
    /// Lost: the memory was not resident when the probe read it.
    NotResident,
    /// Lost: beyond what is copied of one write, or what is decoded of one message.
    Limit,
    /// Blind: TLS that no tap saw being written.
    NoTap,
    /// Blind: binary that no decoder recognises.
    Opaque,
    /// Blind: QUIC.
    Quic,
    /// Blind: compressed with a larger window than is kept.
    Window,
}

impl Reason {
    /// Its name in a ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RingFull => "ring-full",
            Self::NotResident => "not-resident",
            Self::Limit => "limit",
            Self::NoTap => "no-tap",
            Self::Opaque => "opaque",
            Self::Quic => "quic",
            Self::Window => "window",
        }
    }

    const fn is_lost(self) -> bool {
        matches!(self, Self::RingFull | Self::NotResident | Self::Limit)
    }
}

/// The account of one flow.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Account {
    /// Bytes whose content reached the matcher.
    pub inspected_bytes: u64,
    /// Bytes of TLS itself.
    pub protocol_bytes: u64,
    unread: BTreeMap<Reason, u64>,
}

impl Account {
    /// Counts bytes that were not read.
    pub fn miss(&mut self, reason: Reason, bytes: u64) {
        if bytes > 0 {
            *self.unread.entry(reason).or_default() += bytes;
        }
    }

    /// What nobody could read, and how much.
    pub fn blind(&self) -> impl Iterator<Item = (Reason, u64)> {
        self.unread.iter().filter(|(reason, _)| !reason.is_lost()).map(|(reason, bytes)| (*reason, *bytes))
    }

    /// All bytes accounted for.
    pub fn sum(&self) -> u64 {
        self.inspected_bytes + self.protocol_bytes + self.unread.values().sum::<u64>()
    }

    /// The last record's header was seen and the connection ended within the record: takes back the bytes
    /// that never left, tag and padding first.
    pub fn take_back(&mut self, bytes: u64) {
        let mut left = bytes;
        let mut take = |from: &mut u64| {
            let taken = left.min(*from);
            *from -= taken;
            left -= taken;
        };
        if let Some(unseen) = self.unread.get_mut(&Reason::NoTap) {
            take(unseen);
        }
        take(&mut self.protocol_bytes);
        take(&mut self.inspected_bytes);
    }
}

/// Whose account it is.
#[derive(Debug, Clone)]
pub struct Holder {
    /// Who sent.
    pub process: Option<Process>,
    /// Where to.
    pub destination: Option<Endpoint>,
}

/// All accounts of a run.
#[derive(Clone)]
pub struct Book {
    ledger: Ledger,
    lines: BTreeMap<(Reason, String), Unread>,
    coverage: BTreeMap<String, Covered>,
    gap_open: bool,
}

/// Who holds the lines that find no room.
static ANYBODY: Holder = Holder { process: None, destination: None };

impl Book {
    /// An empty book.
    pub fn open() -> Self {
        Self {
            ledger: Ledger::opened(Moment::now()),
            lines: BTreeMap::new(),
            coverage: BTreeMap::new(),
            gap_open: false,
        }
    }

    /// Enters the account of one flow, with what the wire carried.
    pub fn enter(&mut self, wire_bytes: u64, account: &Account, holder: &Holder) {
        self.ledger.flows += 1;
        self.ledger.wire_bytes += wire_bytes;
        self.ledger.inspected_bytes += account.inspected_bytes;
        self.ledger.protocol_bytes += account.protocol_bytes;
        let name = program_and_destination(holder);
        for (reason, bytes) in &account.unread {
            self.enter_unread(*reason, *bytes, name.clone(), holder);
        }
        self.cover(wire_bytes, account.inspected_bytes + account.protocol_bytes, name, holder);
    }

    fn cover(&mut self, wire_bytes: u64, covered_bytes: u64, name: String, holder: &Holder) {
        let full = self.coverage.len() >= LINES_MAX && !self.coverage.contains_key(&name);
        let (name, holder) = if full { (String::new(), &ANYBODY) } else { (name, holder) };
        let line = self.coverage.entry(name).or_insert_with(|| Covered {
            wire_bytes: 0,
            covered_bytes: 0,
            process: holder.process.clone(),
            destination: holder.destination.clone(),
        });
        line.wire_bytes += wire_bytes;
        line.covered_bytes += covered_bytes;
    }

    fn enter_unread(&mut self, reason: Reason, bytes: u64, name: String, holder: &Holder) {
        let full = self.lines.len() >= LINES_MAX && !self.lines.contains_key(&(reason, name.clone()));
        let (name, holder) = if full { (String::new(), &ANYBODY) } else { (name, holder) };
        let line = self.lines.entry((reason, name)).or_insert_with(|| Unread {
            reason: Label::new(reason.as_str()),
            bytes: 0,
            process: holder.process.clone(),
            destination: holder.destination.clone(),
        });
        line.bytes += bytes;
    }

    /// Counts a leak that was told.
    pub fn leak(&mut self) {
        self.ledger.leaks += 1;
    }

    /// The kernel lost bytes or records since the last look; a run of losses is one gap.
    pub fn lost_between(&mut self, from: Moment, to: Moment, bytes: u64, records: u64) {
        if bytes == 0 && records == 0 {
            self.gap_open = false;
            return;
        }
        let reason = Label::new(Reason::RingFull.as_str());
        let goes_on = self.gap_open || self.ledger.gaps.len() >= GAPS_MAX;
        match self.ledger.gaps.last_mut() {
            Some(gap) if goes_on => {
                gap.to = to;
                gap.bytes_min += bytes;
            }
            _ => self.ledger.gaps.push(Gap { from, to, reason, bytes_min: bytes }),
        }
        self.gap_open = true;
    }

    /// Closes the book: the worst lines first, and the balance.
    pub fn close(mut self) -> Ledger {
        let mut lines: Vec<_> = self.lines.into_iter().collect();
        lines.sort_by_key(|(_, line)| std::cmp::Reverse(line.bytes));
        for ((reason, _), line) in lines {
            let list = if reason.is_lost() { &mut self.ledger.lost } else { &mut self.ledger.blind };
            list.push(line);
        }
        self.ledger.coverage = self.coverage.into_values().collect();
        self.ledger.sort_coverage();
        self.ledger.until = Moment::now();
        self.ledger.balance();
        self.ledger
    }
}

/// What a line of the book is sorted under: one program, not one process.
pub fn program_and_destination(holder: &Holder) -> String {
    format!("{:?}", (comm_and_exe(holder), &holder.destination))
}

fn comm_and_exe(holder: &Holder) -> Option<(Option<&str>, Option<&str>)> {
    let process = holder.process.as_ref()?;
    Some((process.comm.as_ref().map(|it| it.as_str()), process.exe.as_ref().map(|it| it.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: Holder = Holder { process: None, destination: None };

    #[test]
    fn the_book_balances_when_every_byte_is_entered() {
        let mut account = Account { inspected_bytes: 70, protocol_bytes: 20, ..Account::default() };
        account.miss(Reason::NoTap, 7);
        account.miss(Reason::RingFull, 3);
        let mut book = Book::open();
        book.enter(account.sum(), &account, &NOBODY);
        let ledger = book.close();
        assert_eq!((ledger.wire_bytes, ledger.unexplained_bytes), (100, 0));
        assert_eq!((ledger.lost_bytes(), ledger.blind_bytes()), (3, 7));
    }

    #[test]
    fn coverage_is_told_by_program_and_destination_the_worst_first() {
        let to = |port| Holder {
            process: None,
            destination: Some(Endpoint { ip: [192, 0, 2, 1].into(), port, host: None }),
        };
        let mut book = Book::open();
        for (port, inspected_bytes, unread) in [(80, 500, 0), (443, 10, 90), (80, 50, 5), (22, 0, 90)] {
            let mut account = Account { inspected_bytes, ..Account::default() };
            account.miss(Reason::Opaque, unread);
            book.enter(account.sum(), &account, &to(port));
        }
        let port = |it: &Covered| it.destination.as_ref().unwrap().port;
        let coverage = book.close().coverage;
        let lines: Vec<_> = coverage.iter().map(|it| (port(it), it.wire_bytes, it.covered_bytes)).collect();
        assert_eq!(lines, [(443, 100, 10), (22, 90, 0), (80, 555, 550)]);
    }

    #[test]
    fn a_byte_too_few_or_too_many_shows() {
        for (wire, unexplained) in [(11, 1), (9, -1)] {
            let mut book = Book::open();
            book.enter(wire, &Account { inspected_bytes: 10, ..Account::default() }, &NOBODY);
            assert_eq!(book.close().unexplained_bytes, unexplained);
        }
    }

    #[test]
    fn lines_of_one_program_are_one_line_and_the_worst_comes_first() {
        let mut book = Book::open();
        let mut small = Account::default();
        small.miss(Reason::Opaque, 5);
        let mut large = Account::default();
        large.miss(Reason::Quic, 50);
        book.enter(5, &small, &NOBODY);
        book.enter(50, &large, &NOBODY);
        book.enter(5, &small, &NOBODY);
        let ledger = book.close();
        let blind: Vec<_> = ledger.blind.iter().map(|line| (line.reason.as_str(), line.bytes)).collect();
        assert_eq!(blind, [("quic", 50), ("opaque", 10)]);
    }

    #[test]
    fn a_record_cut_by_the_end_is_taken_back_from_its_tag_first() {
        let mut account = Account { inspected_bytes: 100, protocol_bytes: 22, ..Account::default() };
        account.take_back(30);
        assert_eq!((account.inspected_bytes, account.protocol_bytes), (92, 0));
    }

    #[test]
    fn losses_that_follow_each_other_are_one_gap() {
        let mut book = Book::open();
        let now = Moment::now();
        book.lost_between(now, now, 10, 1);
        book.lost_between(now, now, 5, 1);
        book.lost_between(now, now, 0, 0);
        book.lost_between(now, now, 1, 1);
        let gaps: Vec<_> = book.close().gaps.iter().map(|gap| gap.bytes_min).collect();
        assert_eq!(gaps, [15, 1]);
    }
}
