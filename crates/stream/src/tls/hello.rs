//! ClientHello and ServerHello, from the first bytes of the handshake record.
//!
//! *Limits*: the bytes may end early; what lies behind the end is absent. A hello that its sender cut into
//! several records is read as far as the first record goes.

use super::{TLS_1_2, TLS_1_3};

/// What a client said first (RFC 8446, section 4.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientHello<'a> {
    /// The client random.
    pub random: [u8; 32],
    /// The host name asked for (RFC 6066, section 3), if it is printable ASCII.
    pub sni: Option<&'a str>,
    /// Whether early data follows (RFC 8446, section 4.2.10).
    pub has_early_data: bool,
    /// Whether another hello is encrypted in it, with the name that is meant, or what looks like one (RFC 9849; browsers
    /// send it always).
    pub has_inner: bool,
}

/// What a server answered (RFC 8446, section 4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerHello {
    /// The server random.
    pub random: [u8; 32],
    /// The version agreed on, e.g. [`TLS_1_2`] or [`TLS_1_3`].
    pub version: u16,
    /// The cipher suite agreed on, a number of the IANA TLS registry.
    pub cipher_suite: u16,
    /// Whether this asks the client to begin again (RFC 8446, section 4.1.4).
    pub is_hello_retry: bool,
}

/// The random that makes a ServerHello a HelloRetryRequest (RFC 8446, section 4.1.3).
const HELLO_RETRY: [u8; 32] = [
    0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91, 0xC2,
    0xA2, 0x11, 0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
];

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;

const SERVER_NAME: u16 = 0;
const EARLY_DATA: u16 = 42;
const SUPPORTED_VERSIONS: u16 = 43;
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

/// Reads a ClientHello from the first bytes of its record; `None` if they are not one or end in the random.
pub fn client_hello(bytes: &[u8]) -> Option<ClientHello<'_>> {
    let (_, random, mut rest) = hello(bytes, CLIENT_HELLO)?;
    let mut found = ClientHello { random, sni: None, has_early_data: false, has_inner: false };
    for (kind, content) in rest.client_extensions().unwrap_or_default() {
        match kind {
            SERVER_NAME => found.sni = host_name(content),
            EARLY_DATA => found.has_early_data = true,
            ENCRYPTED_CLIENT_HELLO => found.has_inner = true,
            _ => {}
        }
    }
    Some(found)
}

/// Reads a ServerHello from the first bytes of its record; `None` if they are not one or end before the
/// cipher suite.
pub fn server_hello(bytes: &[u8]) -> Option<ServerHello> {
    let (legacy_version, random, mut rest) = hello(bytes, SERVER_HELLO)?;
    rest.counted_u8()?;
    let cipher_suite = rest.u16()?;
    let selected = rest.server_extensions().and_then(|mut extensions| {
        extensions.find(|(kind, _)| *kind == SUPPORTED_VERSIONS).and_then(|(_, content)| Bytes(content).u16())
    });
    // The 0x13 suites exist in TLS 1.3 only, so they tell the version where the extension is cut off.
    let implied = if cipher_suite >> 8 == 0x13 { TLS_1_3 } else { legacy_version.min(TLS_1_2) };
    let version = selected.unwrap_or(implied);
    Some(ServerHello { random, version, cipher_suite, is_hello_retry: random == HELLO_RETRY })
}

/// Record and handshake header, version and random; the rest of the hello, as far as it is there.
fn hello(bytes: &[u8], kind: u8) -> Option<(u16, [u8; 32], Bytes<'_>)> {
    let mut record = Bytes(bytes);
    (record.u8()? == HANDSHAKE && record.u8()? == 3).then_some(())?;
    record.u8()?;
    let record_len = record.u16()?;
    let mut handshake = Bytes(record.up_to(usize::from(record_len)));
    (handshake.u8()? == kind).then_some(())?;
    let len = usize::from(handshake.u8()?) << 16 | usize::from(handshake.u16()?);
    let mut hello = Bytes(handshake.up_to(len));
    let version = hello.u16()?;
    let random = hello.take(32)?.try_into().ok()?;
    Some((version, random, hello))
}

/// The first host name of a server_name extension.
fn host_name(content: &[u8]) -> Option<&str> {
    let mut list = Bytes(content);
    list.u16()?;
    (list.u8()? == 0).then_some(())?;
    let len = list.u16()?;
    let name = list.take(usize::from(len))?;
    std::str::from_utf8(name)
        .ok()
        .filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// A reader that stops at the end of what is there.
#[derive(Default)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// The next `count` bytes, or those that are there.
    fn up_to(&self, count: usize) -> &'a [u8] {
        &self.0[..count.min(self.0.len())]
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|taken| u16::from_be_bytes([taken[0], taken[1]]))
    }

    fn counted_u8(&mut self) -> Option<&'a [u8]> {
        let count = self.u8()?;
        self.take(usize::from(count))
    }

    fn counted_u16(&mut self) -> Option<&'a [u8]> {
        let count = self.u16()?;
        self.take(usize::from(count))
    }

    /// Behind the client random: session id, cipher suites, compression methods, extensions.
    fn client_extensions(&mut self) -> Option<Extensions<'a>> {
        self.counted_u8()?;
        self.counted_u16()?;
        self.counted_u8()?;
        self.extensions()
    }

    /// Behind the cipher suite of a server: compression method, extensions.
    fn server_extensions(&mut self) -> Option<Extensions<'a>> {
        self.u8()?;
        self.extensions()
    }

    fn extensions(&mut self) -> Option<Extensions<'a>> {
        let len = self.u16()?;
        Some(Extensions(Bytes(self.up_to(usize::from(len)))))
    }
}

/// Extensions that are there in full.
#[derive(Default)]
struct Extensions<'a>(Bytes<'a>);

impl<'a> Iterator for Extensions<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.0.u16()?, self.0.counted_u16()?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
    }

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [kind.to_be_bytes().to_vec(), counted(content)].concat()
    }

    fn record(kind: u8, hello: &[u8]) -> Vec<u8> {
        let handshake = [&[kind, 0][..], &counted(hello)].concat();
        [&[22, 3, 1][..], &counted(&handshake)].concat()
    }

    fn client(extensions: &[u8]) -> Vec<u8> {
        let fixed = [&[3, 3][..], &[0xAB; 32], &[2, 9, 9], &[0, 2, 0x13, 1], &[1, 0]].concat();
        record(1, &[fixed, counted(extensions)].concat())
    }

    fn server(random: [u8; 32], cipher: u16, extensions: &[u8]) -> Vec<u8> {
        let fixed = [&[3, 3][..], &random, &[0], &cipher.to_be_bytes(), &[0]].concat();
        record(2, &[fixed, counted(extensions)].concat())
    }

    fn sni(name: &[u8]) -> Vec<u8> {
        extension(0, &counted(&[&[0][..], &counted(name)].concat()))
    }

    #[test]
    fn reads_a_client_hello() {
        let extensions = [extension(10, &[1, 2, 3]), sni(b"stats.example"), extension(42, &[])].concat();
        let (random, sni_of) = ([0xAB; 32], Some("stats.example"));
        let expected = ClientHello { random, sni: sni_of, has_early_data: true, has_inner: false };
        assert_eq!(client_hello(&client(&extensions)), Some(expected));
        let with_inner = [extensions, extension(0xfe0d, &[0; 9])].concat();
        assert_eq!(client_hello(&client(&with_inner)), Some(ClientHello { has_inner: true, ..expected }));
        assert_eq!(client_hello(&client(&[])).map(|hello| hello.sni), Some(None));
        assert_eq!(client_hello(&client(&sni(b"a\xff"))).map(|hello| hello.sni), Some(None));
        assert_eq!(client_hello(&server([1; 32], 0x1301, &[])), None);
        assert_eq!(client_hello(b"GET / HTTP/1.1\r\n\r\n"), None);
    }

    #[test]
    fn a_truncated_client_hello_gives_what_is_there() {
        let bytes = client(&[sni(b"stats.example"), extension(42, &[])].concat());
        for len in 0..bytes.len() {
            let found = client_hello(&bytes[..len]);
            assert_eq!(found.is_some(), len >= 43, "{len}");
            let named = found.is_some_and(|hello| hello.sni.is_some());
            assert_eq!(named, len >= bytes.len() - 4, "{len}");
        }
    }

    #[test]
    fn reads_a_server_hello() {
        let tls13 = server([7; 32], 0x1302, &extension(43, &[3, 4]));
        let found = server_hello(&tls13).expect("a ServerHello");
        assert_eq!((found.version, found.cipher_suite, found.is_hello_retry), (TLS_1_3, 0x1302, false));
        let tls12 = server([7; 32], 0xC02F, &extension(0xFF01, &[0]));
        let found = server_hello(&tls12).expect("a ServerHello");
        assert_eq!((found.version, found.cipher_suite), (TLS_1_2, 0xC02F));
        let retry = server(HELLO_RETRY, 0x1301, &extension(43, &[3, 4]));
        assert!(server_hello(&retry).expect("a ServerHello").is_hello_retry);
        assert_eq!(server_hello(&tls13[..47]).map(|found| found.version), Some(TLS_1_3), "cut off");
        assert_eq!(server_hello(&tls13[..45]), None);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 1u8..=2) {
            let _ = (client_hello(&bytes), server_hello(&bytes));
            let framed = record(kind, &bytes);
            let _ = (client_hello(&framed), server_hello(&framed));
        }
    }
}
