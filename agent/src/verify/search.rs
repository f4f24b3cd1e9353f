//! Finding a leak's connection in a capture by its hello, and its records by their places.
//!
//! # What makes an answer
//! The random is drawn for one connection, so a ClientHello with it is that connection's, or one that a relay passed on.
//! The leak says how many bytes behind that hello its records begin. A header with the right type and length there, and
//! all of the record on the wire behind it: yes. Other bytes there, or an end of the connection before them: no. So it is
//! if the hello went to another address than the leak says. Where the capture lacks the bytes it cannot tell.
//!
//! *Limits*: [`CONNECTIONS_MAX`] connections with the hello.

use std::{collections::BTreeMap, net::SocketAddr};

use cprvagt_pcap::{Packet, Segment, Unread};
use cprvagt_report::{Evidence, Leak};
use memchr::memmem::Finder;

use super::{
    answer::{Answer, Denial, Doubt, Found},
    spot::{Spot, State},
};

/// Connections that show the hello: the client's, and those of relays.
pub const CONNECTIONS_MAX: usize = 64;
/// Offset of a ClientHello's random behind the record's header: type, length and version come first (RFC 8446, 4.1.2).
const RANDOM_AT: usize = 11;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;

/// What a leak claims that a capture can show.
#[derive(Clone, Debug)]
pub struct Claim {
    evidence: Evidence,
    /// Where it went, unless a proxy stands between.
    to: Option<SocketAddr>,
}

impl Claim {
    /// What `leak` claims.
    ///
    /// # Errors
    /// It claims nothing that a capture can show.
    pub fn of(leak: &Leak) -> Result<Self, Doubt> {
        if leak.transport.as_ref().is_some_and(|it| !it.encrypted) {
            return Err(Doubt::InClear);
        }
        let evidence = leak.evidence.clone().ok_or(Doubt::NoHello)?;
        if evidence.records.is_empty() {
            return Err(Doubt::NoRecords);
        }
        let destination = leak.destination.as_ref().filter(|it| it.via.is_none());
        let to = destination.and_then(|it| Some(SocketAddr::new(it.ip?, it.port?)));
        Ok(Self { evidence, to })
    }
}

/// The first time through the capture.
pub struct Search {
    claim: Claim,
    finder: Finder<'static>,
    connections: BTreeMap<Ends, Connection>,
    counts: Counts,
}

/// The second time.
pub struct Records(Search);

/// Client and server.
type Ends = (SocketAddr, SocketAddr);

/// Packets that could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// What was kept of them ends before their content.
    pub cut: u64,
    /// They are fragments.
    pub fragments: u64,
}

/// A connection with the hello.
struct Connection {
    hello_packet: u64,
    hello_seq: u32,
    /// Where the next bytes are expected: positions have more bits than sequence numbers.
    near: u64,
    spots: Vec<Spot>,
    /// Where the client's direction ends.
    end: Option<u64>,
    acknowledged: u64,
    /// A new connection between the same ends has begun.
    is_over: bool,
}

impl Search {
    /// Nothing was seen.
    pub fn new(claim: Claim) -> Self {
        let finder = Finder::new(claim.evidence.hello_random.as_bytes()).into_owned();
        Self { claim, finder, connections: BTreeMap::new(), counts: Counts::default() }
    }

    /// Notes a connection whose hello has the random.
    pub fn look_for_hello(&mut self, packet: &Packet<'_>) {
        let segment = match packet.segment() {
            Ok(segment) => segment,
            Err(Unread::Cut) => return self.counts.cut += 1,
            Err(Unread::Fragment) => return self.counts.fragments += 1,
            Err(Unread::Other) => return,
        };
        let Some(at) = self.hello_at(segment.payload) else { return };
        let ends = (segment.from, segment.to);
        if self.connections.len() >= CONNECTIONS_MAX || self.connections.contains_key(&ends) {
            return;
        }
        let hello_seq = segment.seq.wrapping_add(at as u32);
        let spots = self.claim.evidence.records.iter().copied().map(Spot::new).collect();
        let connection = Connection {
            hello_packet: packet.number,
            hello_seq,
            near: 0,
            spots,
            end: None,
            acknowledged: 0,
            is_over: false,
        };
        self.connections.insert(ends, connection);
    }

    /// Where in these bytes the record of the hello begins.
    fn hello_at(&self, payload: &[u8]) -> Option<usize> {
        self.finder.find_iter(payload).find_map(|random| {
            let at = random.checked_sub(RANDOM_AT)?;
            let is_hello =
                payload[at] == HANDSHAKE && payload[at + 1] == 3 && payload[at + 5] == CLIENT_HELLO;
            is_hello.then_some(at)
        })
    }

    /// The capture has been gone through once.
    pub fn hellos_known(self) -> Records {
        Records(self)
    }
}

impl Records {
    /// Notes what a packet shows of the records.
    pub fn look_for_records(&mut self, packet: &Packet<'_>) {
        let Ok(segment) = packet.segment() else { return };
        if let Some(connection) = self.0.connections.get_mut(&(segment.from, segment.to)) {
            connection.take(&segment, packet.number);
        } else if let Some(ack) = segment.ack
            && let Some(connection) = self.0.connections.get_mut(&(segment.to, segment.from))
        {
            connection.acknowledge(ack, packet.number);
        }
    }

    /// What the whole capture says.
    pub fn answer(self, is_whole: bool) -> Answer {
        let Search { claim, connections, counts, .. } = self.0;
        let is_claimed = |ends: &Ends| claim.to.is_none_or(|to| ends.1 == to);
        let answers = |claimed: bool| {
            let those = connections.iter().filter(move |(ends, _)| is_claimed(ends) == claimed);
            those.map(|(ends, connection)| connection.answer(ends, counts, is_whole))
        };
        // A relay's connection may have the same ends as the client's behind translation: one that fits is enough.
        let best = answers(true).min_by_key(Answer::rank);
        let elsewhere = || answers(false).next().map(|it| it.elsewhere());
        best.or_else(elsewhere).unwrap_or(Answer::Unknown(Doubt::HelloMissing { counts, is_whole }))
    }
}

impl Connection {
    fn take(&mut self, segment: &Segment<'_>, number: u64) {
        if segment.syn {
            // Ends are used again: what was before the hello is another connection's, and so is what comes later.
            match number < self.hello_packet {
                true => *self = self.anew(),
                false => self.is_over |= segment.seq.wrapping_add(1) != self.hello_seq,
            }
            return;
        }
        if self.is_over {
            return;
        }
        let Some(at) = self.position(segment.seq) else { return };
        let wire_len = u64::from(segment.wire_len);
        self.spots.iter_mut().for_each(|spot| spot.take(at, segment.payload, wire_len));
        if segment.fin {
            self.end = Some(at + wire_len);
        }
        // A segment without bytes may stand anywhere: an answer to a reset, a sign of life.
        if wire_len > 0 {
            self.near = self.near.max(at + wire_len);
        }
    }

    fn anew(&self) -> Self {
        let spots = self.spots.iter().map(Spot::emptied).collect();
        Self { near: 0, spots, end: None, acknowledged: 0, is_over: false, ..*self }
    }

    /// Where a sequence number lies, behind the hello.
    fn position(&self, seq: u32) -> Option<u64> {
        let expected = self.hello_seq.wrapping_add(self.near as u32);
        let distance = seq.wrapping_sub(expected).cast_signed();
        self.near.checked_add_signed(distance.into())
    }

    fn acknowledge(&mut self, ack: u32, number: u64) {
        if self.is_over || number < self.hello_packet {
            return;
        }
        if let Some(at) = self.position(ack) {
            self.acknowledged = self.acknowledged.max(at);
        }
    }

    fn answer(&self, (from, to): &Ends, counts: Counts, is_whole: bool) -> Answer {
        let ends = self.spots.iter().map(|spot| spot.range().end).max().unwrap_or(0);
        let found = Found {
            from: *from,
            to: *to,
            hello_packet: self.hello_packet,
            acknowledged: self.acknowledged >= ends,
        };
        let states: Vec<State> = self.spots.iter().map(Spot::state).collect();
        if states.contains(&State::Differs) {
            return Answer::No(found, Denial::OtherBytes);
        }
        if states.iter().all(|state| *state == State::There) {
            return Answer::Yes(found);
        }
        match self.end {
            Some(end) if end < ends => Answer::No(found, Denial::Ended { bytes: end }),
            _ => Answer::Unknown(Doubt::RecordsMissing { found, counts, is_whole }),
        }
    }
}
