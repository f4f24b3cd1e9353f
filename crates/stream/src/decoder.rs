//! One direction of one stream, from ordered bytes to windows.
//!
//! A stream is at the start of something (an *opening*), in the body of an HTTP/1 message, in a *session* of another
//! protocol, or raw. An opening that turns out to be none of them becomes raw. Raw stays raw until a pause or a gap: a push behind one of these
//! that begins like a message is an opening again.
//!
//! Nothing is lost on the way: a head is shown value by value and then as it stands, a body by its values and
//! then as it stands, and everything else as it stands.
//!
//! *Limits*: a head of more than 64 KiB or 128 fields is not HTTP. Whether a response has a body can depend on
//! a request that is not seen: a body that begins like a response is taken for the next response.
//!
use std::mem;

use crate::body::{Body, Next};
use crate::content::Content;
use crate::detect::{self, Kind, Known, Verdict};
use crate::dns::{self, Dns};
use crate::http::fields;
use crate::http::head::{Framing, Head};
use crate::http::opening::{Found, HEAD_BYTES_MAX, Opening};
use crate::http2::Http2;
use crate::ldap::Ldap;
use crate::mail::smtp::Smtp;
use crate::postgres::Postgres;
use crate::redis::Redis;
use crate::session::{Session, Wire};
use crate::syslog::{self, Syslog};
use crate::websocket::WebSocket;
use crate::window::{Part, Place, Sink, Window};

/// Decodes one direction of one stream, or datagrams.
pub struct Decoder {
    /// Stream offset of the next byte.
    at: u64,
    /// Number of the next message to begin.
    message: u64,
    state: State,
}

enum State {
    Datagrams,
    Opening { opening: Opening, otherwise: Otherwise },
    Body(Box<Body>),
    Session(Box<dyn Session>),
    Raw { content: Box<Content>, place: Place, after_pause: bool },
}

/// What an opening becomes that is not HTTP.
enum Otherwise {
    Raw,
    /// The body of the message before, if it has one after all.
    Body(Box<Body>),
    /// What the message before asked for.
    Session(Box<dyn Session>),
}

impl State {
    fn opening(otherwise: Otherwise) -> Self {
        Self::Opening { opening: Opening::default(), otherwise }
    }

    fn raw(message: u64) -> Self {
        let (content, place) = (Box::new(Content::raw()), Place::raw(message));
        Self::Raw { content, place, after_pause: false }
    }
}

impl Decoder {
    /// For a byte stream: a plain TCP flow, or what one TLS session writes.
    pub fn stream() -> Self {
        Self { at: 0, message: 0, state: State::opening(Otherwise::Raw) }
    }

    /// For datagrams: each push is one, and a message.
    pub const fn datagram() -> Self {
        Self { at: 0, message: 0, state: State::Datagrams }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8], out: &mut Sink<'_>) {
        self.reopen(bytes, out);
        self.take_all(bytes, out);
    }

    /// Bytes are missing here: ends what is open, unless the message says where it goes on, and finds its way
    /// again at the next push.
    pub fn gap(&mut self, bytes: u64, out: &mut Sink<'_>) {
        self.prefer_body();
        let next = match &mut self.state {
            State::Body(body) => body.skip(bytes, out),
            State::Session(session) => session.skip(bytes, out),
            State::Datagrams | State::Opening { .. } | State::Raw { .. } => Next::Over,
        };
        if next == Next::Over {
            self.finish(out);
        }
        self.at += bytes;
    }

    /// No bytes came for a while: shows everything that is still held back, as if it ended here, and keeps
    /// what could go on. May be called any time; only the first call after a push does anything.
    pub fn quiet(&mut self, out: &mut Sink<'_>) {
        match &mut self.state {
            State::Opening { opening, otherwise } if opening.buf.len() > opening.shown => {
                opening.shown = opening.buf.len();
                match otherwise {
                    Otherwise::Body(body) if !opening.first_line_seen => {
                        show_head(opening, self.at, &body.place, 0, out);
                    }
                    _ => {
                        let place = show_values(opening, self.at, self.message, out);
                        show_head(opening, self.at, &place, 0, out);
                    }
                }
            }
            State::Datagrams | State::Opening { .. } => {}
            State::Body(body) => body.settle(self.at, out),
            State::Session(session) => session.settle(out),
            State::Raw { content, place, after_pause } => {
                content.settle(place, out);
                *after_pause = true;
            }
        }
    }

    /// The stream ended. A push after this begins a new message.
    pub fn finish(&mut self, out: &mut Sink<'_>) {
        if matches!(&self.state, State::Opening { opening, .. } if opening.kind().is_none() && !opening.buf.is_empty())
        {
            self.not_http(out);
        }
        match self.swap(State::opening(Otherwise::Raw)) {
            State::Datagrams => self.state = State::Datagrams,
            State::Opening { opening, .. } if opening.buf.is_empty() => {}
            State::Opening { opening, .. } => {
                let place = show_values(&opening, self.at, self.message, out);
                show_head(&opening, self.at, &place, opening.buf.len(), out);
                self.message += 1;
            }
            State::Body(mut body) => body.end_here(self.at, out),
            State::Session(session) => self.end_session(session, out),
            State::Raw { mut content, place, .. } => {
                content.end_here(&place, out);
                self.message += content.messages();
            }
        }
    }

    /// Captured bytes held now, for whoever bounds the memory of many streams.
    pub fn held_bytes(&self) -> usize {
        match &self.state {
            State::Datagrams => 0,
            State::Opening { opening, .. } => opening.buf.len(),
            State::Body(body) => body.held_bytes(),
            State::Session(session) => session.held_bytes(),
            State::Raw { content, .. } => content.held_bytes(),
        }
    }

    /// Where a body was announced and nothing came yet, what is missing is body.
    fn prefer_body(&mut self) {
        if let State::Opening { opening, otherwise } = &mut self.state
            && opening.buf.is_empty()
            && let Otherwise::Body(body) = mem::replace(otherwise, Otherwise::Raw)
        {
            self.state = State::Body(body);
        }
    }

    /// After a pause, raw content may turn into messages.
    fn reopen(&mut self, bytes: &[u8], out: &mut Sink<'_>) {
        let State::Raw { after_pause, .. } = &mut self.state else { return };
        if bytes.is_empty() {
            return;
        }
        let paused = mem::take(after_pause);
        // A number that goes on must not be taken for the length of what follows, nor UTF-16 for a frame.
        let may_begin = match detect::verdict(bytes) {
            Verdict::Other => false,
            Verdict::Wait => !matches!(bytes[0], 0 | b'0'..=b'9'),
            Verdict::Http(_) | Verdict::Known(_) => true,
        };
        if paused && may_begin {
            self.finish(out);
        }
    }

    fn take_all(&mut self, bytes: &[u8], out: &mut Sink<'_>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = self.take(rest, out);
            rest = &rest[count..];
        }
    }

    /// Takes some of `bytes` (not empty); returns how many. If none, the state moved on.
    fn take(&mut self, bytes: &[u8], out: &mut Sink<'_>) -> usize {
        match &mut self.state {
            State::Datagrams => self.take_datagram(bytes, out),
            State::Opening { .. } => self.take_opening(bytes, out),
            State::Body(_) => self.take_body(bytes, out),
            State::Session(_) => self.take_session(bytes, out),
            State::Raw { content, place, .. } => {
                content.push(bytes, self.at, place, out);
                self.at += bytes.len() as u64;
                bytes.len()
            }
        }
    }

    fn take_datagram(&mut self, bytes: &[u8], out: &mut Sink<'_>) -> usize {
        match () {
            () if dns::is_query(bytes) => {
                self.take_known(bytes, &dns::place(self.message), dns::show_names, out)
            }
            () if syslog::is_message(bytes) => {
                self.take_known(bytes, &syslog::place(self.message), syslog::show_message, out);
            }
            () => {
                let (mut content, place) = (Content::lazy(Part::Raw), Place::raw(self.message));
                content.push(bytes, self.at, &place, out);
                content.end_here(&place, out);
                self.message += content.messages();
            }
        }
        self.at += bytes.len() as u64;
        bytes.len()
    }

    /// A datagram of a known protocol: its values, and as it stands.
    fn take_known(
        &mut self,
        bytes: &[u8],
        place: &Place,
        show: fn(&[u8], u64, &Place, &mut Sink<'_>),
        out: &mut Sink<'_>,
    ) {
        show(bytes, self.at, place, out);
        let mut wire = Wire::default();
        wire.push(bytes, self.at, place, out);
        wire.end(place, out);
        self.message += 1;
    }

    fn take_body(&mut self, bytes: &[u8], out: &mut Sink<'_>) -> usize {
        let State::Body(body) = &mut self.state else { return bytes.len() };
        let (count, next) = body.take(bytes, self.at, out);
        self.at += count as u64;
        if next == Next::Over {
            body.end_here(self.at, out);
            self.state = State::opening(Otherwise::Raw);
        }
        count
    }

    fn take_session(&mut self, bytes: &[u8], out: &mut Sink<'_>) -> usize {
        let State::Session(session) = &mut self.state else { return bytes.len() };
        let (count, next) = session.take(bytes, self.at, out);
        self.at += count as u64;
        if next == Next::Over
            && let State::Session(session) = self.swap(State::raw(self.message))
        {
            self.end_session(session, out);
            self.state = State::raw(self.message);
        }
        count
    }

    fn end_session(&mut self, mut session: Box<dyn Session>, out: &mut Sink<'_>) {
        session.end_here(out);
        self.message = session.next_message();
    }

    fn take_opening(&mut self, bytes: &[u8], out: &mut Sink<'_>) -> usize {
        let State::Opening { opening, otherwise } = &mut self.state else { return bytes.len() };
        let (count, found) = opening.take(bytes);
        self.at += count as u64;
        match found {
            Found::Wait => {}
            Found::Head(kind) => self.take_head(kind, out),
            // The body of the message before may be anything.
            Found::Known(known) if matches!(otherwise, Otherwise::Raw) => self.begin_session(known, out),
            Found::Known(_) | Found::Other => self.not_http(out),
        }
        count
    }

    /// A head is complete: shows it, and goes on to what it announces.
    fn take_head(&mut self, kind: Kind, out: &mut Sink<'_>) {
        let State::Opening { opening, .. } = &self.state else { return };
        let bytes = opening.buf.as_slice();
        let Some(head) = Head::parse(kind, bytes) else { return self.not_http(out) };
        let place = fields::place(&head, self.message);
        fields::show(&head, bytes, self.at - bytes.len() as u64, &place, out);
        show_head(opening, self.at, &place, bytes.len(), out);
        self.message += 1;
        let framing = head.framing();
        // The answer to HEAD announces a body and has none; a client told not to continue sends none.
        let may_lack = kind == Kind::Response || framing == Framing::Unsaid || head.expects_continue();
        let body = Box::new(Body::new(place, framing, &head.said()));
        self.state = match framing {
            Framing::None if head.upgrades_to_websocket() => {
                let place = Place { message: self.message, ..fields::place(&head, 0) };
                State::opening(Otherwise::Session(Box::new(WebSocket::new(place))))
            }
            Framing::None => State::opening(Otherwise::Raw),
            _ if may_lack => State::opening(Otherwise::Body(body)),
            _ => State::Body(body),
        };
    }

    /// The opening is no head: its bytes are raw, or the body of the message before. They hold no head that
    /// announces a body, so that this does not come back to itself more than once.
    fn not_http(&mut self, out: &mut Sink<'_>) {
        let State::Opening { opening, otherwise } = self.swap(State::opening(Otherwise::Raw)) else { return };
        if opening.buf.len() >= HEAD_BYTES_MAX {
            show_values(&opening, self.at, self.message, out);
        }
        self.state = match otherwise {
            Otherwise::Body(body) if !opening.first_line_seen => State::Body(body),
            Otherwise::Session(session) if !opening.first_line_seen => State::Session(session),
            _ => State::raw(self.message),
        };
        self.take_again(&opening, out);
    }

    /// The opening begins another protocol, or goes on in it.
    fn begin_session(&mut self, known: Known, out: &mut Sink<'_>) {
        let State::Opening { opening, .. } = self.swap(State::Session(session(known, self.message))) else {
            return;
        };
        self.take_again(&opening, out);
    }

    fn take_again(&mut self, opening: &Opening, out: &mut Sink<'_>) {
        self.at -= opening.buf.len() as u64;
        self.take_all(opening.buf.as_slice(), out);
    }

    fn swap(&mut self, state: State) -> State {
        mem::replace(&mut self.state, state)
    }
}

/// `message` is the number of its first message.
fn session(known: Known, message: u64) -> Box<dyn Session> {
    match known {
        Known::Http2 => Box::new(Http2::new(message)),
        Known::Smtp => Box::new(Smtp::new(message)),
        Known::Dns => Box::new(Dns::new(message)),
        Known::Syslog => Box::new(Syslog::new(message)),
        Known::Postgres => Box::new(Postgres::new(message)),
        Known::Ldap => Box::new(Ldap::new(message)),
        Known::Redis => Box::new(Redis::new(message)),
    }
}

/// Shows the values of an unfinished head, as far as it is one; `at` is where it ends now.
fn show_values(opening: &Opening, at: u64, message: u64, out: &mut Sink<'_>) -> Place {
    let mut place = Place::raw(message);
    let bytes = opening.buf.as_slice();
    if let Some(kind) = opening.kind() {
        Head::with_beginning(kind, bytes, |head, closed| {
            place = fields::place(head, message);
            fields::show(head, closed, at - bytes.len() as u64, &place, out);
        });
    }
    place
}

/// Shows a head as it stands; `at` is where it ends.
fn show_head(opening: &Opening, at: u64, place: &Place, counted: usize, out: &mut Sink<'_>) {
    let bytes = opening.buf.as_slice();
    let source = at - bytes.len() as u64..at;
    out(Window { source, counted: counted as u64, ..place.window(Part::Raw, bytes) });
}
