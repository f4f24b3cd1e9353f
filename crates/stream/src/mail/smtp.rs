//! What an SMTP client says (RFC 5321): sender and recipients, and the mails themselves, as lines (DATA) or as pieces of
//! known length (BDAT, RFC 3030). The dialogue ends where it turns into TLS.
//!
//! What the server answers is not seen: where a mail was refused, what follows is taken for a command if it is one.
//!
//! *Limits*: [`LINE_BYTES_MAX`] of a command are read; a longer line of a mail comes in pieces.

use crate::body::Next;
use crate::detect::{Known, Verdict};
use crate::mail::message::Mail;
use crate::session::{self, Gather, Session, Wire};
use crate::token::Mode;
use crate::window::{Part, Place, Protocol, Sink};

/// Most bytes of a line that are read at a time.
pub(crate) const LINE_BYTES_MAX: usize = 8 * 1024;

/// What a dialogue begins with, or goes on with.
const STARTS: &[&[u8]] = &[b"EHLO ", b"HELO ", b"LHLO ", b"MAIL FROM:<", b"RCPT TO:<"];

/// What a client says instead of a mail when that was refused.
const REFUSED: &[&[u8]] = &[b"RSET\r\n", b"QUIT\r\n", b"MAIL FROM:", b"RCPT TO:"];

/// First byte of a TLS record with a hello.
const HANDSHAKE: u8 = 0x16;

/// Whether a stream begins with a command that carries something.
pub(crate) fn verdict(bytes: &[u8]) -> Verdict {
    let begins = |start: &&&[u8]| begins_with(bytes, start);
    let may_begin = |start: &&&[u8]| begins_with(start, bytes);
    match () {
        () if STARTS.iter().any(|start| begins(&start)) => Verdict::Known(Known::Smtp),
        () if STARTS.iter().any(|start| may_begin(&start)) => Verdict::Wait,
        () => Verdict::Other,
    }
}

fn begins_with(bytes: &[u8], start: &[u8]) -> bool {
    bytes.get(..start.len()).is_some_and(|it| it.eq_ignore_ascii_case(start))
}

/// See the module.
pub(crate) struct Smtp {
    reading: Reading,
    line: Gather,
    /// Where the line begins.
    start: u64,
    /// The mail that is being sent.
    mail: Option<Mail>,
    wire: Wire,
    place: Place,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Command,
    /// What comes may be TLS.
    AfterStartTls,
    /// Lines of a mail; whether the first one has come, and whether a line begins.
    Data {
        began: bool,
        at_line: bool,
    },
    /// A piece of a mail, and whether it is the last.
    Piece {
        left: u64,
        is_last: bool,
    },
}

impl Smtp {
    /// `message` is the number of the first message.
    pub(crate) fn new(message: u64) -> Self {
        Self {
            reading: Reading::Command,
            line: Gather::default(),
            start: 0,
            mail: None,
            wire: Wire::default(),
            place: Place { protocol: Protocol::Smtp, ..Place::raw(message) },
        }
    }

    fn take_command(&mut self, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> (usize, Next) {
        if self.reading == Reading::AfterStartTls && self.line.held_bytes() == 0 && bytes[0] == HANDSHAKE {
            return (0, Next::Over);
        }
        if self.line.held_bytes() == 0 {
            self.start = at;
        }
        let (count, is_whole) = self.line.line(LINE_BYTES_MAX, bytes);
        self.wire.push(&bytes[..count], at, &self.place, out);
        if is_whole {
            let line = self.line.take();
            if line.as_slice().iter().any(|byte| *byte < b' ' && !byte.is_ascii_whitespace()) {
                return (count, Next::Over);
            }
            self.command(line.as_slice(), out);
        }
        (count, Next::More)
    }

    fn command(&mut self, line: &[u8], out: &mut Sink<'_>) {
        self.reading = Reading::Command;
        let is = |word: &str| begins_with(line, word.as_bytes());
        match () {
            () if is("MAIL FROM:") => self.envelope("MAIL FROM", line, out),
            () if is("RCPT TO:") => self.envelope("RCPT TO", line, out),
            () if is("DATA") && line.trim_ascii().len() == 4 => {
                self.reading = Reading::Data { began: false, at_line: true };
            }
            () if is("BDAT ") => self.piece(&line[5..]),
            () if is("STARTTLS") => self.reading = Reading::AfterStartTls,
            () => {}
        }
    }

    fn envelope(&self, name: &str, line: &[u8], out: &mut Sink<'_>) {
        let address = line[name.len() + 1..].trim_ascii();
        let start = self.start + line.len() as u64 - line[name.len() + 1..].trim_ascii_start().len() as u64;
        let source = start..start + address.len() as u64;
        session::show((Part::MailEnvelope, Some(name)), address, &source, &self.place, out);
    }

    fn piece(&mut self, rest: &[u8]) {
        let mut words = rest.trim_ascii().split(|byte| *byte == b' ');
        let length = words.next().and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
        let is_last = words.next().is_some_and(|word| word.eq_ignore_ascii_case(b"LAST"));
        if let Some(left) = length {
            self.reading = Reading::Piece { left, is_last };
            self.mail.get_or_insert_default();
        }
    }

    /// Takes up to a line of a mail.
    fn take_data(&mut self, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> usize {
        if self.line.held_bytes() == 0 {
            self.start = at;
        }
        let room = LINE_BYTES_MAX - self.line.held_bytes();
        let (count, is_whole) = self.line.line(LINE_BYTES_MAX, &bytes[..bytes.len().min(room)]);
        self.wire.push(&bytes[..count], at, &self.place, out);
        if is_whole || self.line.held_bytes() >= LINE_BYTES_MAX {
            self.data_line(is_whole, out);
        }
        count
    }

    /// A line of a mail, or a piece of a long one.
    fn data_line(&mut self, is_whole: bool, out: &mut Sink<'_>) {
        let Reading::Data { began, at_line } = self.reading else { return };
        let line = self.line.take();
        let line = line.as_slice();
        if !began && REFUSED.iter().any(|start| begins_with(line, start)) {
            return self.command(line, out);
        }
        self.reading = Reading::Data { began: true, at_line: is_whole };
        if at_line && matches!(line, b".\r\n" | b".\n") {
            return self.end_mail(out);
        }
        let is_stuffed = at_line && line.first() == Some(&b'.');
        let start = self.start + u64::from(is_stuffed);
        let content = &line[usize::from(is_stuffed)..];
        self.mail.get_or_insert_default().take(content, start, &self.place, out);
    }

    fn take_piece(&mut self, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> usize {
        let Reading::Piece { left, is_last } = &mut self.reading else { return 0 };
        let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
        *left -= count as u64;
        let (is_over, is_last) = (*left == 0, *is_last);
        self.wire.push(&bytes[..count], at, &self.place, out);
        self.mail.get_or_insert_default().take(&bytes[..count], at, &self.place, out);
        if is_over {
            self.end_piece(is_last, out);
        }
        count
    }

    fn end_piece(&mut self, is_last: bool, out: &mut Sink<'_>) {
        self.reading = Reading::Command;
        if is_last {
            self.end_mail(out);
        }
    }

    /// What follows is about another mail.
    fn end_mail(&mut self, out: &mut Sink<'_>) {
        self.reading = Reading::Command;
        if let Some(mut mail) = self.mail.take() {
            mail.follow(Mode::End, &self.place, out);
        }
        self.wire.end(&self.place, out);
        self.place.message += 1;
    }
}

impl Session for Smtp {
    fn take(&mut self, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> (usize, Next) {
        match self.reading {
            Reading::Command | Reading::AfterStartTls => self.take_command(bytes, at, out),
            Reading::Data { .. } => (self.take_data(bytes, at, out), Next::More),
            Reading::Piece { left: 0, is_last } => {
                self.end_piece(is_last, out);
                self.take_command(bytes, at, out)
            }
            Reading::Piece { .. } => (self.take_piece(bytes, at, out), Next::More),
        }
    }

    fn settle(&mut self, out: &mut Sink<'_>) {
        if let Some(mail) = &mut self.mail {
            mail.follow(Mode::Settle, &self.place, out);
        }
        self.wire.settle(&self.place, out);
    }

    fn end_here(&mut self, out: &mut Sink<'_>) {
        if let Reading::Data { .. } = self.reading
            && self.line.held_bytes() > 0
        {
            self.data_line(false, out);
        }
        if let Some(mut mail) = self.mail.take() {
            mail.follow(Mode::End, &self.place, out);
        }
        self.wire.end(&self.place, out);
    }

    fn held_bytes(&self) -> usize {
        self.line.held_bytes() + self.wire.held_bytes() + self.mail.as_ref().map_or(0, Mail::held_bytes)
    }

    fn next_message(&self) -> u64 {
        self.place.message + 1
    }
}
