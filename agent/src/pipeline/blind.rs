//! Blind spots, told in the log when they appear: who sends where what nobody can read, and what could be done.
//!
//! *Limits*: each program, destination and reason once, [`TOLD_MAX`] in all; the ledger has every byte.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use cprvagt_report::{Endpoint, Process};

use super::{Pipeline, leaks::holder, proving::now_unix};
use crate::{
    ledger::{Account, Holder, Reason, program_and_destination},
    scrub::Scrubber,
};

/// How often flows are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Lines that are told at most.
const TOLD_MAX: usize = 1024;

/// What was told.
pub struct BlindSpots {
    told: HashSet<(Reason, String)>,
    due: Instant,
    news: bool,
}

impl BlindSpots {
    /// Nothing yet.
    pub fn new(now: Instant) -> Self {
        Self { told: HashSet::new(), due: now + LOOK_EVERY, news: false }
    }

    /// Whether it is time to look at the flows.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let is_due = now >= self.due;
        if is_due {
            self.due = now + LOOK_EVERY;
        }
        is_due
    }

    /// Whether something was told since this was asked last.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// Tells what of an account could not be read, unless that was told.
    pub fn tell(&mut self, account: &Account, holder: &Holder) {
        for (reason, bytes) in account.blind() {
            if self.told.len() >= TOLD_MAX {
                return;
            }
            if self.told.insert((reason, program_and_destination(holder))) {
                self.news = true;
                tell_one(reason, bytes, holder);
            }
        }
        if self.told.len() >= TOLD_MAX {
            tracing::warn!(limit = TOLD_MAX, "further blind spots are in the ledger alone");
        }
    }
}

fn tell_one(reason: Reason, bytes: u64, holder: &Holder) {
    let program = holder.process.as_ref().and_then(program).unwrap_or_else(|| "not known".to_owned());
    let destination = holder.destination.as_ref().map(destination).unwrap_or_default();
    let remedy = remedy(reason, &program);
    let reason = reason.as_str();
    tracing::warn!(
        reason,
        program,
        destination,
        bytes,
        remedy,
        "blind spot: nobody could read what was sent"
    );
}

fn program(process: &Process) -> Option<String> {
    process.exe.as_ref().or(process.comm.as_ref()).map(ToString::to_string)
}

fn destination(end: &Endpoint) -> String {
    match &end.host {
        Some(host) => format!("{host}:{} ({})", end.port, end.ip),
        None => std::net::SocketAddr::new(end.ip, end.port).to_string(),
    }
}

/// What could be done, in a few words.
fn remedy(reason: Reason, program: &str) -> &'static str {
    match reason {
        Reason::NoTap if program.rsplit('/').next() == Some("java") => {
            "Java has TLS of its own: use a provider with OpenSSL, or allow the destination"
        }
        Reason::NoTap => {
            "its TLS functions are not known: install its debug symbols, use a shared TLS library, or allow the \
             destination"
        }
        Reason::Quic => "turn QUIC off in the program, or block UDP there: it goes on over TCP",
        Reason::Window => "have the program compress with a window of 1 MiB at most",
        _ => "the program encrypts or packs by itself: allow the destination if that is meant to be",
    }
}

impl Pipeline {
    /// Looks for blind spots among the flows that go on.
    pub(super) fn tell_blind_spots(&mut self) {
        let flows = self.flows.values_mut();
        let new: Vec<u64> =
            flows.filter_map(|flow| flow.becomes_blind().then_some(flow.who.kernel.id)).collect();
        for flow in new.iter().filter_map(|id| self.flows.get(id)) {
            let holder = holder(flow, &Scrubber::at(now_unix()));
            self.blind_spots.tell(&flow.account_so_far(), &holder);
        }
    }

    /// Whether a blind spot was told since this was asked last.
    pub fn has_new_blind_spots(&mut self) -> bool {
        self.blind_spots.take_news()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(reason: Reason, bytes: u64) -> Account {
        let mut account = Account::default();
        account.miss(reason, bytes);
        account
    }

    fn holder(port: u16) -> Holder {
        let destination = Endpoint { ip: [198, 18, 0, 10].into(), port, host: None };
        Holder { process: None, destination: Some(destination) }
    }

    #[test]
    fn each_is_told_once() {
        let mut spots = BlindSpots::new(Instant::now());
        let mut told = |account: &Account, port| {
            spots.tell(account, &holder(port));
            spots.take_news()
        };
        assert!(told(&account(Reason::NoTap, 1), 443));
        assert!(!told(&account(Reason::NoTap, 900), 443), "more bytes are no other spot");
        assert!(told(&account(Reason::NoTap, 1), 444));
        assert!(told(&account(Reason::Quic, 1), 443));
        assert!(!told(&account(Reason::RingFull, 1), 445), "lost is not blind");
        assert!(!told(&Account::default(), 446));
    }

    #[test]
    fn what_is_told_is_bounded() {
        let mut spots = BlindSpots::new(Instant::now());
        for port in 0..=u16::MAX {
            spots.tell(&account(Reason::NoTap, 1), &holder(port));
        }
        assert_eq!(spots.told.len(), TOLD_MAX);
    }

    #[test]
    fn java_is_known_by_its_name() {
        for (program, expected) in [
            ("/usr/lib/jvm/java-17-openjdk-amd64/bin/java", true),
            ("java", true),
            ("/opt/myjava", false),
            ("/opt/java/bin/tool", false),
        ] {
            assert_eq!(remedy(Reason::NoTap, program).starts_with("Java"), expected, "{program}");
        }
    }

    #[test]
    fn flows_are_looked_at_now_and_then() {
        let now = Instant::now();
        let mut spots = BlindSpots::new(now);
        assert!(!spots.is_due(now));
        assert!(spots.is_due(now + LOOK_EVERY));
        assert!(!spots.is_due(now + LOOK_EVERY));
    }
}
