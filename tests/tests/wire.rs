//! Plaintext on the wire: every byte of every size is read, and the account is exact.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::io::{Read as _, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::Family;
use cprvagt_tests::server::{Server, Speaks};
use cprvagt_tests::{Expected, Lab, Trial, loss, payload};
use nix::sys::socket::{setsockopt, sockopt};

const SETTLE: Duration = Duration::from_secs(120);
/// Around a byte, a packet of 1,500, a ring chunk, a large GSO packet, and far beyond.
const TCP_SIZES: [usize; 14] =
    [1, 2, 17, 1447, 1448, 1449, 32_767, 32_768, 32_769, 65_159, 65_160, 65_161, 1 << 20, 4 << 20];
const UDP_SIZES: [usize; 11] = [1, 2, 17, 1447, 1448, 1449, 1473, 32_767, 32_768, 32_769, 60_000];
/// A space and a named number.
const NUMBER_BYTES: usize = 17;

/// One lab with a TCP and a UDP sink in each family.
struct Sinks {
    tcp: [Server; 2],
    udp: [Server; 2],
    lab: Lab,
}

impl Sinks {
    fn new() -> Self {
        let mut lab = Lab::new().unwrap();
        let addresses =
            [Family::V4, Family::V6].map(|family| SocketAddr::new(lab.spare_address(family).unwrap(), 9000));
        let tcp = addresses.map(|address| Server::tcp(lab.network(), address, Speaks::Sink, None).unwrap());
        let udp = addresses.map(|address| Server::udp(lab.network(), address, Speaks::Sink).unwrap());
        Self { tcp, udp, lab }
    }

    fn local(&self, server: &Server) -> IpAddr {
        let family = if server.address().is_ipv4() { Family::V4 } else { Family::V6 };
        self.lab.network().host_address(family)
    }

    /// Every byte that the sinks counted.
    fn counted(&self) -> u64 {
        self.tcp.iter().chain(&self.udp).map(|server| server.received().wire_bytes()).sum()
    }

    fn send_tcp(&self, server: &Server, bytes: &[u8]) {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(bytes).unwrap();
        // The server ends its direction when it has read all: a packet may still have to be sent again.
        stream.shutdown(Shutdown::Write).unwrap();
        stream.set_read_timeout(Some(SETTLE)).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        drop(stream);
        assert!(server.settle(SETTLE));
    }

    /// One datagram after the other, so that the receiver drops none.
    fn send_udp(&self, socket: &UdpSocket, server: &Server, bytes: &[u8]) {
        let before = server.received().wire_bytes();
        socket.send_to(bytes, server.address()).unwrap();
        let started = Instant::now();
        while server.received().wire_bytes() < before + bytes.len() as u64 {
            assert!(started.elapsed() < SETTLE, "a datagram of {} bytes did not arrive", bytes.len());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn socket_for(&self, server: &Server) -> UdpSocket {
        UdpSocket::bind(SocketAddr::new(self.local(server), 0)).unwrap()
    }
}

/// Text of this size; the citizen's number is its last bytes if it has room.
fn text(size: usize, citizens: &mut impl Iterator<Item = String>) -> (Vec<u8>, Option<String>) {
    if size < NUMBER_BYTES {
        return (payload::filler(size), None);
    }
    let citizen = citizens.next().unwrap();
    (payload::ending_with(size, &citizen), Some(citizen))
}

fn random(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    fastrand::Rng::with_seed(7).fill(&mut bytes);
    bytes
}

#[test]
fn text_of_every_size_is_inspected_to_its_last_byte() {
    if !can_run("text_of_every_size_is_inspected_to_its_last_byte", &[Need::Root, Need::Agent]) {
        return;
    }
    let sinks = Sinks::new();
    let trial = Trial::start(&sinks.lab, "", &[]).unwrap();
    let mut citizens = payload::citizens(21, 100).into_iter();
    let (mut planted, mut sent) = (Vec::new(), 0);
    for server in &sinks.tcp {
        for size in TCP_SIZES {
            let (bytes, citizen) = text(size, &mut citizens);
            sinks.send_tcp(server, &bytes);
            planted.extend(citizen.map(|citizen| (citizen, server.address())));
            sent += size as u64;
        }
    }
    for server in &sinks.udp {
        let connected = sinks.socket_for(server);
        for size in UDP_SIZES {
            let (bytes, citizen) = text(size, &mut citizens);
            sinks.send_udp(&connected, server, &bytes);
            planted.extend(citizen.map(|citizen| (citizen, server.address())));
            sent += size as u64;
        }
    }
    let seen = trial.stop().unwrap();
    let expected: Vec<_> = planted.iter().map(|(citizen, to)| Expected::plain(citizen, *to)).collect();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    assert_eq!(sinks.counted(), sent, "the lab lost something");
    let got =
        ["wire_bytes", "inspected_bytes", "protocol_bytes", "unexplained_bytes"].map(|it| seen.bytes(it));
    assert_eq!(got, [sent.cast_signed(), sent.cast_signed(), 0, 0], "{:#}", seen.ledger);
    assert_eq!([&seen.ledger["lost"], &seen.ledger["blind"]], [&serde_json::json!([]); 2]);
    assert_eq!(seen.bytes("leaks") as usize, planted.len());
}

/// Bytes that nobody can read are blind, and named as such; text beside them is still read.
#[test]
fn random_bytes_are_blind_and_counted() {
    if !can_run("random_bytes_are_blind_and_counted", &[Need::Root, Need::Agent]) {
        return;
    }
    let sinks = Sinks::new();
    let trial = Trial::start(&sinks.lab, "", &[]).unwrap();
    let mut opaque = 0;
    for (tcp, udp) in sinks.tcp.iter().zip(&sinks.udp) {
        let socket = sinks.socket_for(udp);
        for size in [2000, 40_000] {
            sinks.send_tcp(tcp, &random(size));
            sinks.send_udp(&socket, udp, &random(size));
            opaque += 2 * size as u64;
        }
        sinks.send_tcp(tcp, &random(1 << 20));
        opaque += 1 << 20;
    }
    let seen = trial.stop().unwrap();
    assert_eq!(seen.leaks.len(), 0, "random bytes made leaks");
    assert_eq!(sinks.counted(), opaque, "the lab lost something");
    let got =
        ["wire_bytes", "inspected_bytes", "protocol_bytes", "unexplained_bytes"].map(|it| seen.bytes(it));
    assert_eq!(got, [opaque.cast_signed(), 0, 0, 0], "{:#}", seen.ledger);
    assert_eq!(seen.unread("blind", "opaque"), opaque);
    assert_eq!(seen.ledger["lost"], serde_json::json!([]));
}

/// One call hands the kernel many datagrams (UDP_SEGMENT); a number stands in the first and in the last.
#[test]
fn segmented_datagrams_are_read_whole() {
    if !can_run("segmented_datagrams_are_read_whole", &[Need::Root, Need::Agent]) {
        return;
    }
    const SEGMENT: usize = 1400;
    let sinks = Sinks::new();
    let trial = Trial::start(&sinks.lab, "", &[]).unwrap();
    let citizens = payload::citizens(22, 4);
    let mut sent = 0;
    for (server, pair) in sinks.udp.iter().zip(citizens.chunks(2)) {
        let socket = sinks.socket_for(server);
        setsockopt(&socket, sockopt::UdpGsoSegment, &(SEGMENT as i32)).unwrap();
        let mut bytes = payload::ending_with(SEGMENT, &pair[0]);
        bytes.extend(payload::ending_with(29 * SEGMENT + 333, &pair[1]));
        sinks.send_udp(&socket, server, &bytes);
        sent += bytes.len() as i64;
    }
    let seen = trial.stop().unwrap();
    let to = |at: usize| sinks.udp[at / 2].address();
    let expected: Vec<_> = (0..4).map(|at| Expected::plain(&citizens[at], to(at))).collect();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    let got = ["wire_bytes", "inspected_bytes", "unexplained_bytes"].map(|it| seen.bytes(it));
    assert_eq!(got, [sent, sent, 0], "{:#}", seen.ledger);
}

/// One socket, sent on by several threads at once: every byte is counted once, on whatever processor.
#[test]
fn a_socket_that_threads_share_has_one_account() {
    if !can_run("a_socket_that_threads_share_has_one_account", &[Need::Root, Need::Agent]) {
        return;
    }
    const THREADS: usize = 4;
    const DATAGRAMS: usize = 20_000;
    const TEXT: &[u8] = b"Borgeren har skrevet et brev.\n";
    let sinks = Sinks::new();
    let trial = Trial::start(&sinks.lab, "[capture]\nring_bytes = \"64 MiB\"\n", &[]).unwrap();
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect(sinks.udp[0].address()).unwrap();
    let sent: usize = std::thread::scope(|scope| {
        let send = || (0..DATAGRAMS).filter(|_| socket.send(TEXT).is_ok()).count();
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(send)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let seen = trial.stop().unwrap();
    let got = ["wire_bytes", "unexplained_bytes"].map(|it| seen.bytes(it));
    assert_eq!(got, [(sent * TEXT.len()) as i64, 0], "{:#}", seen.ledger);
}

/// A forwarder such as a syslog daemon: bound to a low port, and older than the agent.
#[test]
fn an_old_udp_socket_with_a_port_of_its_own_is_read() {
    if !can_run("an_old_udp_socket_with_a_port_of_its_own_is_read", &[Need::Root, Need::Agent]) {
        return;
    }
    let sinks = Sinks::new();
    let socket = UdpSocket::bind("0.0.0.0:5140").unwrap();
    let trial = Trial::start(&sinks.lab, "", &[]).unwrap();
    let citizen = payload::citizens(23, 1).remove(0);
    let bytes = payload::ending_with(200, &citizen);
    sinks.send_udp(&socket, &sinks.udp[0], &bytes);
    let seen = trial.stop().unwrap();
    let expected = [Expected::plain(&citizen, sinks.udp[0].address())];
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    assert_eq!(seen.bytes("wire_bytes"), bytes.len() as i64, "{:#}", seen.ledger);
}

/// The lab's side drops one packet in fifteen: what is sent again is neither counted nor told again.
#[test]
fn retransmissions_are_counted_once() {
    if !can_run("retransmissions_are_counted_once", &[Need::Root, Need::Agent, Need::Program("nft")]) {
        return;
    }
    let sinks = Sinks::new();
    if let Err(reason) = loss::lose(&sinks.lab, 9000, 15) {
        println!("skipped: retransmissions_are_counted_once: nft cannot drop packets here: {reason}");
        return;
    }
    let trial = Trial::start(&sinks.lab, "", &[]).unwrap();
    let citizens = payload::citizens(23, 40);
    let mut sent = 0;
    for (at, citizen) in citizens.iter().enumerate() {
        let bytes = payload::ending_with(100_000 + at, citizen);
        sinks.send_tcp(&sinks.tcp[at % 2], &bytes);
        sent += bytes.len() as i64;
    }
    let seen = trial.stop().unwrap();
    let to = |at: usize| sinks.tcp[at % 2].address();
    let expected: Vec<_> =
        citizens.iter().enumerate().map(|(at, citizen)| Expected::plain(citizen, to(at))).collect();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    assert_eq!(sinks.counted(), sent.cast_unsigned(), "the lab lost something");
    let got = ["wire_bytes", "inspected_bytes", "unexplained_bytes"].map(|it| seen.bytes(it));
    assert_eq!(got, [sent, sent, 0], "{:#}", seen.ledger);
    assert!(seen.counter("packet_retransmitted_total") > 0, "nothing was sent again: {:?}", seen.counters);
}
