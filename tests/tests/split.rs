//! A number cut in two, at every place, on every way out: found once, never twice.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::Family;
use cprvagt_tests::server::{Server, Speaks};
use cprvagt_tests::writes::{self, Connection, Write};
use cprvagt_tests::{Expected, Lab, Trial, payload};

const SETTLE: Duration = Duration::from_secs(120);
/// Longer than the agent waits before it settles what a silent stream has said so far.
const PAUSE: Duration = Duration::from_millis(700);
/// Bytes of `DDMMYY-NNNN`.
const WRITTEN: usize = 11;
/// What a ring record holds at most.
const CHUNK: usize = 32 << 10;

/// How a number is put into a stream, and how the stream is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// A raw stream.
    Raw,
    /// The JSON body of a request with its length.
    Sized,
    /// The same as two chunks of `Transfer-Encoding: chunked`.
    Chunked,
    /// In the target of a request.
    Target,
}

const WAYS: [Way; 4] = [Way::Raw, Way::Sized, Way::Chunked, Way::Target];

fn written(digits: &str) -> String {
    format!("{}-{}", &digits[..6], &digits[6..])
}

/// The stream's two parts, cut `at` bytes into the number.
fn parts(way: Way, digits: &str, at: usize) -> [String; 2] {
    let number = written(digits);
    let (left, right) = number.split_at(at);
    let head = |more: &str| format!("POST /sag HTTP/1.1\r\nHost: x.example\r\n{more}\r\n");
    let json = [format!("{{\"navn\":\"Nancy\",\"cpr\":\"{left}"), format!("{right}\",\"by\":\"Aarhus\"}}")];
    match way {
        Way::Raw => [format!("Borgerens cpr: {left}"), format!("{right} og mere tekst\n")],
        Way::Sized => {
            let length = json[0].len() + json[1].len();
            let fields = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
            [head(&fields) + &json[0], json[1].clone()]
        }
        Way::Chunked => {
            let fields = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
            let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
            [head(fields) + &chunk(&json[0]), chunk(&json[1]) + "0\r\n\r\n"]
        }
        Way::Target => {
            [format!("GET /sag?cpr={left}"), format!("{right}&side=to HTTP/1.1\r\nHost: x.example\r\n\r\n")]
        }
    }
}

/// One connection for each cut, each with a citizen of its own.
struct Cut {
    citizen: String,
    parts: [String; 2],
}

fn cuts(citizens: &mut impl Iterator<Item = String>) -> Vec<Cut> {
    let all = WAYS.into_iter().flat_map(|way| (0..=WRITTEN).map(move |at| (way, at)));
    let cut = |(way, at)| {
        let citizen = citizens.next().unwrap();
        let parts = parts(way, &citizen, at);
        Cut { citizen, parts }
    };
    all.map(cut).collect()
}

#[test]
fn a_number_over_two_sends_is_found_once() {
    if !can_run("a_number_over_two_sends_is_found_once", &[Need::Root, Need::Agent]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let address = SocketAddr::new(lab.spare_address(Family::V4).unwrap(), 9000);
    let sink = Server::tcp(lab.network(), address, Speaks::Sink, None).unwrap();
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let mut citizens = payload::citizens(31, 1000).into_iter();
    let mut found = Vec::new();
    for pause in [Duration::from_millis(20), PAUSE] {
        let cuts = cuts(&mut citizens);
        let mut streams: Vec<TcpStream> = cuts.iter().map(|cut| begin(address, &cut.parts[0])).collect();
        thread::sleep(pause);
        for (stream, cut) in streams.iter_mut().zip(&cuts) {
            stream.write_all(cut.parts[1].as_bytes()).unwrap();
        }
        thread::sleep(pause);
        drop(streams);
        assert!(sink.settle(SETTLE));
        found.extend(cuts.into_iter().map(|cut| cut.citizen));
    }
    let seen = trial.stop().unwrap();
    let expected: Vec<_> = found.iter().map(|citizen| Expected::plain(citizen, address)).collect();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new(), "ways {WAYS:?} of {} cuts", WRITTEN + 1);
    let wire = sink.received().wire_bytes().cast_signed();
    let got = ["wire_bytes", "inspected_bytes", "unexplained_bytes"].map(|it| seen.bytes(it));
    assert_eq!(got, [wire, wire, 0], "{:#}", seen.ledger);
}

/// The border of two ring records falls into the number, in a packet and in a datagram.
#[test]
fn a_number_over_two_ring_records_is_found_once() {
    if !can_run("a_number_over_two_ring_records_is_found_once", &[Need::Root, Need::Agent]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let address = SocketAddr::new(lab.spare_address(Family::V4).unwrap(), 9000);
    let tcp = Server::tcp(lab.network(), address, Speaks::Sink, None).unwrap();
    let udp = Server::udp(lab.network(), address, Speaks::Sink).unwrap();
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let citizens = payload::citizens(32, 2 * (WRITTEN + 1));
    let host = lab.network().host_address(Family::V4);
    let socket = std::net::UdpSocket::bind(SocketAddr::new(host, 0)).unwrap();
    for (index, citizen) in citizens.iter().enumerate() {
        let mut bytes = payload::filler(CHUNK - index / 2 - 5);
        bytes.extend(payload::named(citizen).as_bytes());
        bytes.extend(b" og mere tekst\n");
        if index % 2 == 0 {
            begin(address, std::str::from_utf8(&bytes).unwrap());
        } else {
            socket.send_to(&bytes, address).unwrap();
            thread::sleep(Duration::from_millis(10));
        }
    }
    assert!(tcp.settle(SETTLE));
    let seen = trial.stop().unwrap();
    let expected: Vec<_> = citizens.iter().map(|citizen| Expected::plain(citizen, address)).collect();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    let wire = (tcp.received().wire_bytes() + udp.received().wire_bytes()).cast_signed();
    assert_eq!(["wire_bytes", "unexplained_bytes"].map(|it| seen.bytes(it)), [wire, 0], "{:#}", seen.ledger);
}

#[test]
fn a_number_over_two_tls_writes_is_found_once() {
    if !can_run("a_number_over_two_tls_writes_is_found_once", &[Need::Root, Need::Agent]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let host = "delt.analyse.example";
    let address = SocketAddr::new(lab.spare_address(Family::V4).unwrap(), 443);
    let config = lab.authority().server(host, &cprvagt_tests::authority::BOTH_VERSIONS).unwrap();
    let sink = Server::tcp(lab.network(), address, Speaks::Sink, Some(config)).unwrap();
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let mut citizens = payload::citizens(33, 1000).into_iter();
    let (mut connections, mut found) = (Vec::new(), Vec::new());
    for (pause, version) in [(0.0, "1.3"), (PAUSE.as_secs_f64(), "1.2")] {
        for cut in cuts(&mut citizens) {
            let writes = vec![Write::text(&cut.parts[0]), Write::text(&cut.parts[1]).after(pause)];
            let writes = writes.into_iter().filter(|write| write.bytes() > 0).collect();
            connections.push(Connection::tls(address, host, writes).version(version));
            found.push((cut.citizen, version));
        }
    }
    writes::run(&lab, &connections).unwrap();
    assert!(sink.settle(SETTLE));
    let seen = trial.stop().unwrap();
    let expected: Vec<_> =
        found.iter().map(|(citizen, version)| Expected::tls(citizen, address, host, version)).collect();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new(), "ways {WAYS:?} of {} cuts", WRITTEN + 1);
    let written: usize = connections.iter().map(Connection::bytes).sum();
    assert_eq!(sink.received().plain_bytes(), written as u64, "the lab lost something");
    let got = ["wire_bytes", "inspected_bytes", "unexplained_bytes"].map(|it| seen.bytes(it));
    let wire = sink.received().wire_bytes().cast_signed();
    assert_eq!(got, [wire, written.cast_signed() as i64, 0], "{:#}", seen.ledger);
}

/// Opens a connection and sends a first part in a packet of its own.
fn begin(address: SocketAddr, first: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(first.as_bytes()).unwrap();
    stream
}
