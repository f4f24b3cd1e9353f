//! A network that loses, overtakes and doubles packets: what happens on the way changes neither leaks nor account.
//!
//! Both ends of the lab's link have the same queue, so what comes in is disturbed as what goes out. Packets are
//! small: one that holds 64 KiB would be lost too rarely to show anything.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use cprvagt_tests::lab::{Recipient, Service};
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::Family;
use cprvagt_tests::server::{Server, Speaks};
use cprvagt_tests::{Expected, Job, Lab, Program, Seen, Trial, payload};

/// Each packet that is lost twice costs a second or more.
const SETTLE: Duration = Duration::from_secs(60);
const TCP_SIZES: [usize; 4] = [17, 1449, 32_769, 200_000];
const UDP_SIZES: [usize; 2] = [17, 1400];
const DATAGRAMS: usize = 20;
const BODY_SIZES: [usize; 3] = [17, 16_385, 150_000];
const VERSIONS: [(&str, Family, &rustls::SupportedProtocolVersion); 2] =
    [("1.2", Family::V4, &rustls::version::TLS12), ("1.3", Family::V6, &rustls::version::TLS13)];

/// A lab behind a bad network, and all that was sent into it.
struct World {
    tcp: Server,
    udp: Server,
    tls: Vec<(&'static str, Arc<Recipient>)>,
    lab: Lab,
    citizens: std::vec::IntoIter<String>,
    sent: Vec<Sent>,
    datagram_bytes: u64,
}

/// A number and how it left.
struct Sent {
    citizen: String,
    to: SocketAddr,
    tls: Option<(String, &'static str)>,
}

impl Sent {
    fn expected(&self) -> Expected<'_> {
        match &self.tls {
            Some((host, version)) => Expected::tls(&self.citizen, self.to, host, version),
            None => Expected::plain(&self.citizen, self.to),
        }
    }
}

impl World {
    fn new(seed: u64, netem: &[&str]) -> Self {
        let mut lab = Lab::new().unwrap();
        let tls = VERSIONS.map(|(version, family, offered)| {
            let host = format!("tls{}.netem.example", version.replace('.', ""));
            (version, lab.recipient_with(&host, Service::Https, family, &[offered]).unwrap())
        });
        let mut address = |family, port| SocketAddr::new(lab.spare_address(family).unwrap(), port);
        let (tcp, udp) = (address(Family::V4, 9000), address(Family::V6, 9000));
        let tcp = Server::tcp(lab.network(), tcp, Speaks::Sink, None).unwrap();
        let udp = Server::udp(lab.network(), udp, Speaks::Sink).unwrap();
        disturb(&lab, netem);
        let citizens = payload::citizens(seed, 200).into_iter();
        Self { tcp, udp, tls: tls.into(), lab, citizens, sent: Vec::new(), datagram_bytes: 0 }
    }

    /// The next citizen's number at the end of that many bytes, noted as sent.
    fn text(&mut self, size: usize, to: SocketAddr, tls: Option<(String, &'static str)>) -> Vec<u8> {
        let citizen = self.citizens.next().unwrap();
        let text = payload::ending_with(size, &citizen);
        self.sent.push(Sent { citizen, to, tls });
        text
    }

    fn send_all(&mut self) {
        self.send_datagrams();
        self.send_plain();
        for at in 0..self.tls.len() {
            for program in [Program::Curl, Program::PythonSsl] {
                self.send_tls(program, at);
            }
        }
    }

    fn send_plain(&mut self) {
        let to = self.tcp.address();
        for size in TCP_SIZES {
            let bytes = self.text(size, to, None);
            let mut stream = TcpStream::connect(to).unwrap();
            stream.write_all(&bytes).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            stream.set_read_timeout(Some(SETTLE)).unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap();
        }
    }

    /// Nobody sends a datagram again: what is lost is lost after it left.
    fn send_datagrams(&mut self) {
        let to = self.udp.address();
        let socket = UdpSocket::bind("[::]:0").unwrap();
        for at in 0..DATAGRAMS {
            let bytes = self.text(UDP_SIZES[at % UDP_SIZES.len()], to, None);
            socket.send_to(&bytes, to).unwrap();
            self.datagram_bytes += bytes.len() as u64;
        }
    }

    /// Several messages on one connection.
    fn send_tls(&mut self, program: Program, at: usize) {
        let (version, recipient) = (self.tls[at].0, Arc::clone(&self.tls[at].1));
        let url = format!("{}/brev", recipient.origin());
        let how = Some((recipient.host.clone(), version));
        let jobs = BODY_SIZES.map(|size| {
            let body = self.text(size, recipient.server.address(), how.clone());
            Job::post(&url, "text/plain", String::from_utf8(body).unwrap())
        });
        program.run(&self.lab, &jobs, 1).unwrap();
    }

    fn expected(&self) -> Vec<Expected<'_>> {
        self.sent.iter().map(Sent::expected).collect()
    }

    /// What the servers' applications were handed by TCP: each byte once, whatever the network did.
    fn stream_bytes(&self) -> u64 {
        let tls = self.tls.iter().map(|(_, recipient)| recipient.server.received().wire_bytes());
        self.tcp.received().wire_bytes() + tls.sum::<u64>()
    }

    /// Segments that came to the servers before those that belong in front of them (TCPOFOQueue).
    fn overtaken_segments(&self) -> u64 {
        let table =
            self.lab.network().inside(|| fs::read_to_string("/proc/thread-self/net/netstat").unwrap());
        let mut lines = table.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
        let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
        let mut pairs = names.split(' ').zip(values.split(' '));
        pairs.find(|(name, _)| *name == "TCPOFOQueue").unwrap().1.parse().unwrap()
    }

    fn settle(&self) {
        let tls = self.tls.iter().map(|(_, recipient)| &recipient.server);
        assert!(tls.chain([&self.tcp]).all(|server| server.settle(SETTLE)));
    }
}

/// Puts the queue on both ends of the lab's link; it goes with the link.
fn disturb(lab: &Lab, netem: &[&str]) {
    let lab_link = lab.network().inside(|| fs::read_to_string("/proc/thread-self/net/dev").unwrap());
    let lab_link = lab_link.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim());
    let lab_link = lab_link.into_iter().find(|name| *name != "lo").unwrap().to_owned();
    let queue = |link: &str| {
        run("ip", &["link", "set", "dev", link, "gso_max_segs", "1"]);
        run("tc", &[&["qdisc", "add", "dev", link, "root", "netem"], netem].concat());
    };
    lab.network().inside(|| queue(&lab_link));
    queue(lab.network().host_link());
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
}

/// Sends all kinds of messages through such a network; nothing when this machine has none.
fn through(name: &str, seed: u64, netem: &[&str]) -> Option<(World, Seen)> {
    let programs = [Need::Program("curl"), Need::Program("/usr/bin/python3")];
    if !can_run(name, &[&[Need::Root, Need::Agent, Need::Netem], &programs[..]].concat()) {
        return None;
    }
    let mut world = World::new(seed, netem);
    let trial = Trial::start(&world.lab, "", &[]).unwrap();
    world.send_all();
    world.settle();
    let seen = trial.stop().unwrap();
    assert_eq!(seen.mismatches(&world.expected()), Vec::<String>::new());
    let told = format!("{:#}", seen.ledger);
    assert_eq!([&seen.ledger["lost"], &seen.ledger["blind"]], [&serde_json::json!([]); 2], "{told}");
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{told}");
    let wire = world.stream_bytes() + world.datagram_bytes;
    assert_eq!(seen.bytes("wire_bytes"), wire.cast_signed(), "{told}");
    assert_eq!(seen.bytes("inspected_bytes") + seen.bytes("protocol_bytes"), wire.cast_signed(), "{told}");
    Some((world, seen))
}

#[test]
fn what_is_lost_on_the_way_is_counted_once() {
    let Some((_, seen)) = through("what_is_lost_on_the_way_is_counted_once", 91, &["loss", "3%"]) else {
        return;
    };
    assert!(seen.counter("packet_retransmitted_total") > 0, "nothing was sent again: {:?}", seen.counters);
}

#[test]
fn what_overtakes_on_the_way_is_told_once() {
    let netem = ["delay", "5ms", "reorder", "25%", "50%"];
    let Some((world, _)) = through("what_overtakes_on_the_way_is_told_once", 92, &netem) else { return };
    assert!(world.overtaken_segments() > 0, "nothing came before its turn");
}

#[test]
fn what_is_doubled_on_the_way_is_counted_once() {
    let name = "what_is_doubled_on_the_way_is_counted_once";
    let Some((world, _)) = through(name, 93, &["duplicate", "50%"]) else { return };
    let received = world.udp.received().wire_bytes();
    assert!(received > world.datagram_bytes, "no datagram came twice: {received}");
}

/// All of it at once, as on a mobile network.
#[test]
fn a_network_that_does_everything_changes_nothing() {
    let netem = ["delay", "5ms", "reorder", "25%", "50%", "loss", "2%", "duplicate", "5%"];
    through("a_network_that_does_everything_changes_nothing", 94, &netem);
}
