//! DNS messages (RFC 1035): the names that are asked for, in datagrams and, with their length before them, in streams.
//!
//! Each label of a name is a value of its own: a dot beside a number would speak against it.
//!
//! *Limits*: [`QUESTIONS_MAX`] questions of a message.

use crate::body::Next;
use crate::detect::{Known, Verdict};
use crate::session::{self, Gather, Session, Wire};
use crate::token::offset_in;
use crate::window::{Part, Place, Protocol, Sink};

const HEADER_BYTES: usize = 12;

/// Most questions that are read; servers answer messages with one.
const QUESTIONS_MAX: u16 = 4;

/// Longest name and label (RFC 1035, section 2.3.4).
const NAME_BYTES_MAX: usize = 255;
const LABEL_BYTES_MAX: u8 = 63;

/// Longest query that is recognised: one with options, such as padding and cookies.
const QUERY_BYTES_MAX: usize = 512;

/// Flags of a query: opcode 0, no answer, and of the rest only those that a client sets.
const QUERY_FLAGS_NOT: u16 = 0b1111_1110_1100_1111;

/// Types of query that are recognised (RFC 1035, 3596, 2782, 3403, 9460, 4034, 6891, 8482).
const TYPES: &[u16] = &[1, 2, 5, 6, 12, 13, 15, 16, 28, 33, 35, 43, 48, 52, 64, 65, 99, 255, 257];

/// Whether a datagram is a query.
pub(crate) fn is_query(message: &[u8]) -> bool {
    message.len() <= QUERY_BYTES_MAX && labels(message).is_some()
}

/// Whether a stream begins with the length of a query, and the query.
pub(crate) fn verdict(bytes: &[u8]) -> Verdict {
    let Some((length, message)) = bytes.split_first_chunk::<2>() else { return may_wait(bytes) };
    let length = usize::from(u16::from_be_bytes(*length));
    if !(HEADER_BYTES + 5..=QUERY_BYTES_MAX).contains(&length) || !may_be_header(message) {
        return Verdict::Other;
    }
    match message.get(..length) {
        None => Verdict::Wait,
        Some(message) if is_query(message) => Verdict::Known(Known::Dns),
        Some(_) => Verdict::Other,
    }
}

fn may_wait(bytes: &[u8]) -> Verdict {
    if bytes.iter().all(|byte| *byte <= 2) { Verdict::Wait } else { Verdict::Other }
}

/// Whether the start of a message may be that of a query.
fn may_be_header(message: &[u8]) -> bool {
    let is_zero = |at: usize, but: u8| message.get(at).is_none_or(|byte| byte & !but == 0);
    is_zero(2, 1) && is_zero(3, 0x30) && is_zero(4, 0) && is_zero(5, 7) && is_zero(6, 0) && is_zero(7, 0)
}

/// The labels of the names that a query asks for; `None` if it is none.
fn labels(message: &[u8]) -> Option<Vec<&[u8]>> {
    let word = |at: usize| Some(u16::from_be_bytes(*message.get(at..)?.first_chunk()?));
    let (flags, questions, answers, authorities) = (word(2)?, word(4)?, word(6)?, word(8)?);
    let is_header = flags & QUERY_FLAGS_NOT == 0 && answers == 0 && authorities == 0 && word(10)? <= 2;
    if !is_header || !(1..=QUESTIONS_MAX).contains(&questions) {
        return None;
    }
    let mut at = HEADER_BYTES;
    let mut labels = Vec::new();
    for _ in 0..questions {
        let end = name(message, at, &mut labels)?;
        let is_asked = TYPES.contains(&word(end)?) && matches!(word(end + 2)?, 1 | 3 | 255);
        at = end + 4;
        if !is_asked {
            return None;
        }
    }
    // What is behind the questions is announced, or nothing.
    (word(10)? > 0 || at == message.len()).then_some(labels)
}

/// Adds the labels of the name at an offset; returns where it ends.
fn name<'a>(message: &'a [u8], from: usize, labels: &mut Vec<&'a [u8]>) -> Option<usize> {
    let mut at = from;
    loop {
        let length = *message.get(at)?;
        at += 1;
        if length == 0 {
            return Some(at);
        }
        labels.push(message.get(at..at + usize::from(length)).filter(|_| length <= LABEL_BYTES_MAX)?);
        at += usize::from(length);
        if at - from > NAME_BYTES_MAX {
            return None;
        }
    }
}

/// Hands out the names of a query that stands at `at`.
pub(crate) fn show_names(message: &[u8], at: u64, place: &Place, out: &mut Sink<'_>) {
    for label in labels(message).unwrap_or_default() {
        let start = at + offset_in(message, label) as u64;
        session::show((Part::DnsName, None), label, &(start..start + label.len() as u64), place, out);
    }
}

/// Queries in a stream.
pub(crate) struct Dns {
    message: Gather,
    wire: Wire,
    place: Place,
}

impl Dns {
    /// `message` is the number of the first message.
    pub(crate) fn new(message: u64) -> Self {
        let place = place(message);
        Self { message: Gather::default(), wire: Wire::default(), place }
    }
}

/// What is common to the windows of a query.
pub(crate) fn place(message: u64) -> Place {
    Place { protocol: Protocol::Dns, ..Place::raw(message) }
}

impl Session for Dns {
    fn take(&mut self, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> (usize, Next) {
        let length = self.message.as_slice().first_chunk::<2>();
        let wanted = length.map_or(2, |length| 2 + usize::from(u16::from_be_bytes(*length)));
        let (count, is_whole) = self.message.fill(wanted, bytes);
        self.wire.push(&bytes[..count], at, &self.place, out);
        if is_whole && wanted > 2 {
            let message = self.message.take();
            let start = at + count as u64 - message.len() as u64 + 2;
            show_names(&message.as_slice()[2..], start, &self.place, out);
            self.wire.end(&self.place, out);
            self.place.message += 1;
        } else if is_whole && self.message.as_slice() == [0, 0] {
            return (count, Next::Over);
        }
        (count, Next::More)
    }

    fn settle(&mut self, out: &mut Sink<'_>) {
        self.wire.settle(&self.place, out);
    }

    fn end_here(&mut self, out: &mut Sink<'_>) {
        self.wire.end(&self.place, out);
    }

    fn held_bytes(&self) -> usize {
        self.message.held_bytes() + self.wire.held_bytes()
    }

    fn next_message(&self) -> u64 {
        self.place.message + 1
    }
}
