//! Connections of HTTP/2 that servers of this host read: the kernel copies all of their frames but data.
//!
//! Their heads are compressed by what came before, so each connection has a decoder of its own for as long as it lasts.
//!
//! *Limits*: [`CONNECTIONS_MAX`]; with more, the one that was silent for longest is forgotten. If it goes on, it is read
//! like one that began before the agent, whose first heads say less.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use cprvagt_abi::TlsWrite;

use super::QUIET_AFTER;
use crate::{
    fields::Origin,
    inspect::{Inspected, Inspector, Lens},
    join::writes::Write,
    process::ProcessFacts,
};

/// Connections that are remembered.
pub(super) const CONNECTIONS_MAX: usize = 1024;
/// How a connection begins (RFC 9113, 3.4), as far as the kernel looks.
const PREFACE: &[u8] = b"PRI * HT";

/// A session: the process and the address of its object.
type Name = (u32, u64);

/// The connections that are known.
#[derive(Default)]
pub struct Connections {
    pub(super) open: HashMap<Name, Connection>,
}

pub(super) struct Connection {
    inspector: Inspector,
    reader: Reader,
    at: Instant,
    /// Whether the decoder may still hold something.
    is_restless: bool,
}

/// Who read, by the last call.
#[derive(Clone)]
pub struct Reader {
    /// The call.
    pub call: TlsWrite,
    /// Its tap.
    pub tap: &'static str,
    /// Whose it is.
    pub process: Option<Arc<ProcessFacts>>,
}

impl Reader {
    /// Who read this.
    pub fn of(read: &Write, process: Option<Arc<ProcessFacts>>) -> Self {
        Self { call: read.call, tap: read.tap(), process }
    }

    /// What it reads is sent to a server.
    pub fn origin(&self) -> Origin<'_> {
        let (process, comm) = (self.process.as_deref(), self.call.comm);
        Origin { process, comm, is_server: true, ..Origin::default() }
    }
}

/// What came out of reads, and whose they are.
pub type Heard = (Reader, Inspected);

impl Connections {
    /// Whether the connection of a read is known.
    pub fn has(&self, read: &Write) -> bool {
        self.open.contains_key(&name_of(read))
    }

    /// Looks at a read; one of an unknown connection is its first, or the first since it was forgotten.
    pub fn take(&mut self, read: &Write, reader: Reader, now: Instant, lens: &Lens<'_>) -> Vec<Heard> {
        let name = name_of(read);
        let before = if begins(read) { self.open.remove(&name) } else { None };
        let mut heard: Vec<Heard> = before.map(|it| it.finish(lens)).into_iter().collect();
        if !self.open.contains_key(&name) {
            heard.extend(self.make_room(lens));
        }
        let (inspector, is_restless) = (Inspector::stream(), true);
        let connection = self.open.entry(name).or_insert(Connection {
            inspector,
            reader: reader.clone(),
            at: now,
            is_restless,
        });
        (connection.reader, connection.at, connection.is_restless) = (reader, now, true);
        heard.push(connection.look(lens, |inspector, lens, into| inspector.push_write(read, lens, into)));
        heard
    }

    /// Has the decoders of those that fell silent settle what they hold.
    pub fn settle(&mut self, now: Instant, lens: &Lens<'_>) -> Vec<Heard> {
        let is_due = |it: &Connection| it.is_restless && now.saturating_duration_since(it.at) >= QUIET_AFTER;
        let due = self.open.values_mut().filter(|it| is_due(it));
        let settle = |connection: &mut Connection| {
            connection.is_restless = false;
            connection.look(lens, Inspector::quiet)
        };
        due.map(settle).collect()
    }

    /// Ends those of a process.
    pub fn end_of_process(&mut self, tgid: u32, lens: &Lens<'_>) -> Vec<Heard> {
        self.open.extract_if(|name, _| name.0 == tgid).map(|(_, it)| it.finish(lens)).collect()
    }

    /// Ends all.
    pub fn end_all(&mut self, lens: &Lens<'_>) -> Vec<Heard> {
        self.open.drain().map(|(_, it)| it.finish(lens)).collect()
    }

    fn make_room(&mut self, lens: &Lens<'_>) -> Option<Heard> {
        if self.open.len() < CONNECTIONS_MAX {
            return None;
        }
        let oldest = self.open.iter().min_by_key(|(_, it)| it.at).map(|(name, _)| *name)?;
        self.open.remove(&oldest).map(|it| it.finish(lens))
    }
}

impl Connection {
    fn finish(mut self, lens: &Lens<'_>) -> Heard {
        self.look(lens, Inspector::finish)
    }

    fn look(
        &mut self,
        lens: &Lens<'_>,
        act: impl FnOnce(&mut Inspector, &Lens<'_>, &mut Inspected),
    ) -> Heard {
        let mut inspected = Inspected::default();
        act(&mut self.inspector, &lens.of(self.reader.origin()), &mut inspected);
        (self.reader.clone(), inspected)
    }
}

fn name_of(read: &Write) -> Name {
    (read.call.tgid, read.call.session)
}

/// Whether a read is the first of a connection.
pub fn begins(read: &Write) -> bool {
    read.slices(0).next().is_some_and(|bytes| bytes.starts_with(PREFACE))
}
