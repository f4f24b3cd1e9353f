//! What a program asks a proxy for, in the first bytes of a connection: then the bytes go to somebody else than the
//! connection's far end.
//!
//! HTTP's way is a request with a whole URL, or CONNECT (RFC 9110, 9.3.6; RFC 9112, 3.2); its bytes are content like
//! any. SOCKS has messages of its own (RFC 1928 and 1929; SOCKS 4A), which are held back until they are whole: no decoder knows
//! them.
//!
//! *Limits*: [`ASKED_BYTES_MAX`] first bytes of a connection.
//! *Not here*: what the proxy answers. One that refuses gets nothing more.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zeroize::Zeroizing;

/// First bytes of a connection that are looked at: a SOCKS request with a name and a password of 255 bytes each takes
/// less than 800.
const ASKED_BYTES_MAX: usize = 1024;

/// Bytes of SOCKS messages (RFC 1928, 3 to 5; RFC 1929).
const SOCKS5: u8 = 5;
const SOCKS4: u8 = 4;
const CONNECT: u8 = 1;
const PASSWORD: u8 = 1;
const ADDRESS_V4: u8 = 1;
const NAME: u8 = 3;
const ADDRESS_V6: u8 = 4;

/// Where the program wants its bytes to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// To a host and port, from now on.
    Host(String, u16),
    /// To an address and port, from now on.
    Address(IpAddr, u16),
    /// To whom each request says.
    EachItsOwn,
}

/// Reads the first bytes of a connection.
#[derive(Default)]
pub struct ProxyReader {
    /// What has come, while it is not decided.
    begun: Zeroizing<Vec<u8>>,
    is_decided: bool,
    wanted: Option<Wanted>,
}

/// What becomes of bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Passed {
    /// They are content.
    Content,
    /// They wait for more.
    Held,
    /// With those that waited they are content.
    Released(Zeroizing<Vec<u8>>),
    /// What waited, and as many of them as that, was for the proxy.
    Asked(Zeroizing<Vec<u8>>, usize),
}

/// What first bytes are.
enum Look {
    /// Too few to tell; whether they are content whatever comes.
    Wait { is_content: bool },
    /// Content that asks for something, or for nothing.
    Content(Option<Wanted>),
    /// So many bytes of SOCKS.
    Socks(Wanted, usize),
}

impl ProxyReader {
    /// For what asks no proxy.
    pub fn none() -> Self {
        Self { is_decided: true, ..Self::default() }
    }

    /// What the program asked for, if it asked a proxy.
    pub fn wanted(&self) -> Option<&Wanted> {
        self.wanted.as_ref()
    }

    /// Takes the next bytes.
    pub fn take(&mut self, bytes: &[u8]) -> Passed {
        if self.is_decided {
            return Passed::Content;
        }
        let (before, room) = (self.begun.len(), ASKED_BYTES_MAX.saturating_sub(self.begun.len()));
        // As much as will be needed: a buffer that grows leaves its content behind.
        self.begun.reserve_exact(ASKED_BYTES_MAX - before);
        self.begun.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let was_held = before > 0 && is_held(&self.begun);
        match look(&self.begun) {
            Look::Wait { is_content: true } if bytes.len() < room => Passed::Content,
            Look::Wait { is_content: false } if bytes.len() < room => Passed::Held,
            Look::Socks(wanted, length) => {
                self.decide(Some(wanted));
                let mut asked = std::mem::take(&mut self.begun);
                asked.truncate(length);
                Passed::Asked(asked, length - before)
            }
            Look::Content(wanted) => {
                self.decide(wanted);
                self.released(was_held, before)
            }
            Look::Wait { .. } => {
                self.decide(None);
                self.released(was_held, before)
            }
        }
    }

    /// Nothing follows that could make them a request: what waited is content.
    pub fn give_up(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        let held = std::mem::take(&mut self.begun);
        let waits = !std::mem::replace(&mut self.is_decided, true) && is_held(&held);
        waits.then_some(held)
    }

    fn decide(&mut self, wanted: Option<Wanted>) {
        (self.is_decided, self.wanted) = (true, wanted);
    }

    /// What waited before the last bytes, if it did.
    fn released(&mut self, was_held: bool, before: usize) -> Passed {
        let mut held = std::mem::take(&mut self.begun);
        if !was_held {
            return Passed::Content;
        }
        held.truncate(before);
        Passed::Released(held)
    }
}

/// Whether bytes that do not suffice to tell are held back.
fn is_held(begun: &[u8]) -> bool {
    matches!(begun.first(), Some(&(SOCKS4 | SOCKS5)))
}

fn look(bytes: &[u8]) -> Look {
    match bytes.first() {
        None => Look::Wait { is_content: true },
        Some(&SOCKS5) => socks5(bytes),
        Some(&SOCKS4) => socks4(bytes),
        Some(_) => http(bytes),
    }
}

/// A cursor over bytes that may end: `None` is then.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn byte(&mut self) -> Option<u8> {
        Some(self.bytes(1)?[0])
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn port(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Up to a zero, which is taken too.
    fn until_zero(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let taken = self.bytes(end)?;
        self.byte()?;
        Some(taken)
    }
}

/// A greeting with methods, perhaps a name and password, and a request.
fn socks5(bytes: &[u8]) -> Look {
    const WAIT: Look = Look::Wait { is_content: false };
    let mut cursor = Cursor(bytes);
    let Some(_) = cursor.byte() else { return WAIT };
    let Some(count) = cursor.byte() else { return WAIT };
    if count == 0 {
        return Look::Content(None);
    }
    let Some(_methods) = cursor.bytes(usize::from(count)) else { return WAIT };
    let mut version = cursor.byte();
    if version == Some(PASSWORD) {
        for _ in ["name", "password"] {
            let Some(length) = cursor.byte() else { return WAIT };
            let Some(_secret) = cursor.bytes(usize::from(length)) else { return WAIT };
        }
        version = cursor.byte();
    }
    let command = (version, cursor.byte(), cursor.byte());
    match command {
        (Some(SOCKS5) | None, Some(CONNECT) | None, Some(0) | None) => {}
        _ => return Look::Content(None),
    }
    let wanted = match cursor.byte() {
        None => return WAIT,
        Some(ADDRESS_V4) => cursor.array().map(|it: [u8; 4]| Ok(IpAddr::from(it))),
        Some(ADDRESS_V6) => cursor.array().map(|it: [u8; 16]| Ok(IpAddr::from(it))),
        Some(NAME) => cursor.byte().and_then(|length| cursor.bytes(usize::from(length))).map(Err),
        Some(_) => return Look::Content(None),
    };
    let (Some(wanted), Some(port)) = (wanted, cursor.port()) else { return WAIT };
    let length = bytes.len() - cursor.0.len();
    match wanted {
        Ok(address) => Look::Socks(Wanted::Address(address.to_canonical(), port), length),
        Err(name) => named(name, port).map_or(Look::Content(None), |wanted| Look::Socks(wanted, length)),
    }
}

/// A request with an address and a user's name; an address of 0.0.0.x says that a name follows.
fn socks4(bytes: &[u8]) -> Look {
    const WAIT: Look = Look::Wait { is_content: false };
    let mut cursor = Cursor(bytes);
    let Some(_) = cursor.byte() else { return WAIT };
    match cursor.byte() {
        None => return WAIT,
        Some(CONNECT) => {}
        Some(_) => return Look::Content(None),
    }
    let (Some(port), Some(address)) = (cursor.port(), cursor.array::<4>()) else { return WAIT };
    let Some(_user) = cursor.until_zero() else { return WAIT };
    let is_no_address = address[..3] == [0; 3] && address[3] != 0;
    if !is_no_address {
        return Look::Socks(
            Wanted::Address(Ipv4Addr::from(address).into(), port),
            bytes.len() - cursor.0.len(),
        );
    }
    let Some(name) = cursor.until_zero() else { return WAIT };
    let length = bytes.len() - cursor.0.len();
    named(name, port).map_or(Look::Content(None), |wanted| Look::Socks(wanted, length))
}

/// A request line: its target tells.
fn http(bytes: &[u8]) -> Look {
    const METHOD_BYTES_MAX: usize = 16;
    const URL: &[u8] = b"http://";
    let Some(end) = bytes.iter().take(METHOD_BYTES_MAX).position(|byte| !byte.is_ascii_uppercase()) else {
        return if bytes.len() < METHOD_BYTES_MAX {
            Look::Wait { is_content: true }
        } else {
            Look::Content(None)
        };
    };
    let (method, rest) = bytes.split_at(end);
    let Some(target) = rest.strip_prefix(b" ").filter(|_| end > 0) else { return Look::Content(None) };
    if method != b"CONNECT" {
        let start = &target[..target.len().min(URL.len())];
        return match start.eq_ignore_ascii_case(&URL[..start.len()]) {
            true if start.len() < URL.len() => Look::Wait { is_content: true },
            is_whole => Look::Content(is_whole.then_some(Wanted::EachItsOwn)),
        };
    }
    let Some(end) = target.iter().position(|byte| byte.is_ascii_whitespace()) else {
        return Look::Wait { is_content: true };
    };
    Look::Content(authority(&target[..end]))
}

/// `host:port`.
fn authority(text: &[u8]) -> Option<Wanted> {
    let (host, port) = std::str::from_utf8(text).ok()?.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
    named(host.as_bytes(), port.parse().ok()?)
}

/// A name, or an address that is written as one.
fn named(name: &[u8], port: u16) -> Option<Wanted> {
    let name = std::str::from_utf8(name).ok()?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() || !byte.is_ascii());
    is_name.then(|| {
        let address = name.parse::<IpAddr>().or_else(|_| name.parse::<Ipv6Addr>().map(IpAddr::from));
        address.map_or_else(|_| Wanted::Host(name.to_owned(), port), |it| Wanted::Address(it, port))
    })
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
