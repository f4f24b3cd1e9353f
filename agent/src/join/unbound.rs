//! Writes whose flow is not known yet, or never will be.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::writes::Write;

/// Sessions that wait at most; with more, the oldest are given up.
pub const SESSIONS_MAX: usize = 4096;
/// Writes of one session that wait at most.
pub const WRITES_MAX: usize = 256;
/// How long a session waits for its hello. Bounds memory, decides nothing else: what comes later is told
/// as `unknown`.
pub const WAIT_MAX: Duration = Duration::from_secs(10);

/// No random: the handshake had not begun when the program wrote.
const NO_RANDOM: [u8; 32] = [0; 32];

struct Session {
    tgid: u32,
    session: u64,
    random: [u8; 32],
    since: Instant,
    writes: Vec<Write>,
}

/// The sessions that wait.
#[derive(Default)]
pub struct Unbound {
    sessions: VecDeque<Session>,
}

impl Unbound {
    /// Lets a write wait; returns writes that must be given up to make room.
    pub fn wait(&mut self, write: Write, now: Instant) -> Vec<Write> {
        let call = &write.call;
        let same = |session: &&mut Session| {
            session.tgid == call.tgid && session.session == call.session && session.random == call.random
        };
        if let Some(session) = self.sessions.iter_mut().find(same) {
            if session.writes.len() >= WRITES_MAX {
                return vec![write];
            }
            session.writes.push(write);
            return Vec::new();
        }
        let given_up = if self.sessions.len() >= SESSIONS_MAX { self.sessions.pop_front() } else { None };
        let (tgid, session, random) = (call.tgid, call.session, call.random);
        self.sessions.push_back(Session { tgid, session, random, since: now, writes: vec![write] });
        given_up.map(|session| session.writes).unwrap_or_default()
    }

    /// The writes of the session with this random, whose hello has just passed.
    pub fn take_by_random(&mut self, random: &[u8; 32]) -> Vec<Write> {
        self.take(|session| session.random == *random)
    }

    /// The writes of the one session of this process that had no random: the hello that follows is its own
    /// if no other session of the process waits.
    pub fn take_undrawn(&mut self, tgid: u32) -> Vec<Write> {
        let undrawn = |session: &Session| session.tgid == tgid && session.random == NO_RANDOM;
        if tgid == 0 || self.sessions.iter().filter(|session| undrawn(session)).count() != 1 {
            return Vec::new();
        }
        self.take(undrawn)
    }

    /// The writes of a session that showed itself later, with its random and flow.
    pub fn take_by_session(&mut self, tgid: u32, session: u64) -> Vec<Write> {
        self.take(|waiting| waiting.tgid == tgid && waiting.session == session && waiting.random == NO_RANDOM)
    }

    /// The writes that nobody will claim: of a process that ended.
    pub fn take_of_process(&mut self, tgid: u32) -> Vec<Write> {
        self.take(|session| session.tgid == tgid)
    }

    /// The writes that have waited long enough.
    pub fn take_overdue(&mut self, now: Instant) -> Vec<Write> {
        self.take(|session| now.saturating_duration_since(session.since) >= WAIT_MAX)
    }

    /// All that is left: the run is over.
    pub fn take_all(&mut self) -> Vec<Write> {
        self.take(|_| true)
    }

    fn take(&mut self, wanted: impl Fn(&Session) -> bool) -> Vec<Write> {
        let mut taken = Vec::new();
        self.sessions.retain_mut(|session| {
            let take = wanted(session);
            if take {
                taken.append(&mut session.writes);
            }
            !take
        });
        taken
    }
}
