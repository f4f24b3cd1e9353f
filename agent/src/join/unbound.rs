//! Writes whose flow is not known yet, or never will be.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use super::writes::Write;

/// Sessions that wait at most; with more, the oldest are given up.
pub const SESSIONS_MAX: usize = 4096;
/// Writes of one session that wait at most; with more, the session is given up.
pub const WRITES_MAX: usize = 256;
/// Bytes of all writes that wait; with more, the oldest sessions are given up.
pub const WAITING_BYTES_MAX: u64 = 64 << 20;
/// How long a session waits for its hello. Bounds memory, decides nothing else: what comes later is told
/// as `unknown`.
pub const WAIT_MAX: Duration = Duration::from_secs(10);

/// No random: the handshake had not begun when the program wrote, or it is not known where it is kept.
const NO_RANDOM: [u8; 32] = [0; 32];

/// A session as a write shows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name {
    tgid: u32,
    session: u64,
    random: [u8; 32],
    /// Without a random: it may still be drawn. Go writes none of a program's bytes before its hello; there it was
    /// not seen, and no later hello is this session's.
    may_draw: bool,
}

impl Name {
    /// The session of a write.
    pub const fn of(write: &Write) -> Self {
        let may_draw = !write.leaves_whole();
        Self { tgid: write.call.tgid, session: write.call.session, random: write.call.random, may_draw }
    }

    fn is_undrawn_of(&self, tgid: u32) -> bool {
        self.tgid == tgid && self.random == NO_RANDOM && self.may_draw
    }
}

struct Session {
    name: Name,
    since: Instant,
    writes: Vec<Write>,
}

/// The sessions that wait. Writes are handed out session by session, each session's in order.
#[derive(Default)]
pub struct Unbound {
    /// In the order they began to wait.
    sessions: BTreeMap<u64, Session>,
    by_name: HashMap<Name, u64>,
    begun: u64,
    held_bytes: u64,
}

impl Unbound {
    /// Lets a write wait; returns writes that must be given up to make room.
    pub fn wait(&mut self, write: Write, now: Instant) -> Vec<Write> {
        let name = Name::of(&write);
        self.held_bytes += write.held_bytes();
        let place = self.by_name.get(&name).copied().unwrap_or_else(|| self.begin(name, now));
        let mut given_up = Vec::new();
        if let Some(session) = self.sessions.get_mut(&place) {
            session.writes.push(write);
            if session.writes.len() > WRITES_MAX {
                given_up.append(&mut self.remove(place));
            }
        }
        while self.sessions.len() > SESSIONS_MAX || self.held_bytes > WAITING_BYTES_MAX {
            let Some((oldest, _)) = self.sessions.first_key_value() else { break };
            given_up.append(&mut self.remove(*oldest));
        }
        given_up
    }

    fn begin(&mut self, name: Name, now: Instant) -> u64 {
        self.begun += 1;
        self.by_name.insert(name, self.begun);
        self.sessions.insert(self.begun, Session { name, since: now, writes: Vec::new() });
        self.begun
    }

    /// The writes of the sessions with this random, whose hello has just passed.
    pub fn take_by_random(&mut self, random: &[u8; 32]) -> Vec<Write> {
        self.take(|session| *random != NO_RANDOM && session.name.random == *random)
    }

    /// The writes of the one session of this process that had no random: the hello that follows is its own
    /// if no other session of the process waits.
    pub fn take_undrawn(&mut self, tgid: u32) -> Vec<Write> {
        let undrawn = |session: &Session| session.name.is_undrawn_of(tgid);
        if tgid == 0 || self.sessions.values().filter(|session| undrawn(session)).count() != 1 {
            return Vec::new();
        }
        self.take(undrawn)
    }

    /// The writes of a session that showed itself later, with its random and flow.
    pub fn take_by_session(&mut self, tgid: u32, session: u64) -> Vec<Write> {
        let name = Name { tgid, session, random: NO_RANDOM, may_draw: true };
        self.by_name.get(&name).copied().map(|place| self.remove(place)).unwrap_or_default()
    }

    /// The writes that nobody will claim: of a process that ended.
    pub fn take_of_process(&mut self, tgid: u32) -> Vec<Write> {
        self.take(|session| session.name.tgid == tgid)
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
        let wanted = |(place, session): (&u64, &Session)| wanted(session).then_some(*place);
        let places: Vec<u64> = self.sessions.iter().filter_map(wanted).collect();
        places.into_iter().flat_map(|place| self.remove(place)).collect()
    }

    fn remove(&mut self, place: u64) -> Vec<Write> {
        let Some(session) = self.sessions.remove(&place) else { return Vec::new() };
        self.by_name.remove(&session.name);
        self.held_bytes -= session.writes.iter().map(Write::held_bytes).sum::<u64>();
        session.writes
    }
}

#[cfg(test)]
#[path = "unbound_tests.rs"]
mod tests;
