//! HTTP/2 that servers read: heads that need those before them, connections that follow each other in one session.

use cprvagt_abi::Function;
use cprvagt_report::Part;

use super::*;
use crate::pipeline::connections::CONNECTIONS_MAX;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn number(citizen: usize) -> String {
    let number = Citizens::new(7).nth(citizen).unwrap();
    std::str::from_utf8(number.digits()).unwrap().to_owned()
}

/// A head that asks for a path, which is remembered as what index 62 stands for (RFC 7541, 6.2.1).
fn asking(stream: u8, citizen: usize) -> Vec<u8> {
    let path = format!("/sag?cpr={}", number(citizen));
    head(stream, &[&[0x44, path.len() as u8], path.as_bytes()].concat())
}

/// The same as that before.
fn asking_again(stream: u8) -> Vec<u8> {
    head(stream, &[0x80 | 62])
}

/// GET by https, and fields.
fn head(stream: u8, fields: &[u8]) -> Vec<u8> {
    let block = [&[0x82, 0x87], fields].concat();
    [&[0, 0, block.len() as u8, 1, 4, 0, 0, 0, stream], &block[..]].concat()
}

struct Server {
    world: World,
    call: CallSample,
}

impl Server {
    fn new() -> Self {
        let function = Function::SslRead as u32;
        Self { world: World::new(""), call: CallSample { function, tgid: CLIENT, ..CallSample::default() } }
    }

    fn reads(&mut self, bytes: &[u8]) {
        self.call.write += 1;
        self.world.take_all(&self.call.records(bytes));
    }

    /// In which parts numbers stood so far.
    fn told(&self) -> Vec<Part> {
        let leaks = self.world.leaks.iter();
        leaks.map(|it| it.location.part).collect()
    }
}

#[test]
fn a_head_needs_those_before_it_wherever_reads_begin() {
    let bytes = [PREFACE, &asking(1, 0), &asking_again(3), &asking(5, 1)].concat();
    for cut in PREFACE.len()..=bytes.len() {
        let mut server = Server::new();
        server.reads(&bytes[..cut]);
        if cut < bytes.len() {
            server.reads(&bytes[cut..]);
        }
        assert_eq!(server.told(), [Part::UrlQuery, Part::UrlQuery, Part::UrlQuery], "cut at {cut}");
        let [first, again, other] = &server.world.leaks[..] else { panic!("three") };
        assert!(first.pseudonym == again.pseudonym && first.pseudonym != other.pseudonym);
        assert_eq!(server.world.balanced().0.len(), 3, "cut at {cut}");
    }
}

/// Without its first bytes: the ring had no room for them, or there were too many connections.
#[test]
fn a_connection_that_is_joined_late_says_what_it_can() {
    let mut server = Server::new();
    server.reads(&asking_again(1));
    server.reads(&asking(3, 0));
    server.reads(&asking_again(5));
    server.world.pass(QUIET_AFTER);
    assert_eq!(server.told(), [Part::UrlQuery, Part::UrlQuery]);
}

/// A library gives the object of a connection that is over to the next one, of either kind.
#[test]
fn connections_follow_each_other_in_one_session() {
    let mut server = Server::new();
    let by_http1 = format!("GET /sag?cpr={} HTTP/1.1\r\n\r\n", number(2));
    for (told, bytes) in [
        (1, [PREFACE, &asking(1, 0)].concat()),
        // Nothing is remembered of the one before.
        (1, [PREFACE, &asking_again(1)].concat()),
        (2, by_http1.clone().into_bytes()),
        (3, [PREFACE, &asking(1, 1)].concat()),
        (4, by_http1.into_bytes()),
    ] {
        server.reads(&bytes);
        assert_eq!(server.told().len(), told);
    }
}

#[test]
fn connections_are_bounded_and_end_with_their_process() {
    let mut server = Server::new();
    for session in 0..CONNECTIONS_MAX as u64 + 10 {
        server.call.session = session;
        server.world.now += Duration::from_millis(1);
        server.reads(&[PREFACE, &asking(1, 0)].concat());
    }
    let open = |server: &Server| server.world.pipeline.as_ref().unwrap().connections.open.len();
    assert_eq!((open(&server), server.told().len()), (CONNECTIONS_MAX, CONNECTIONS_MAX + 10));
    assert!(!server.world.pipeline.as_ref().unwrap().connections.open.contains_key(&(CLIENT, 9)));
    server.world.take(&sample::exit(CLIENT + 1));
    assert_eq!(open(&server), CONNECTIONS_MAX);
    server.world.take(&sample::exit(CLIENT));
    assert_eq!(open(&server), 0);
}
