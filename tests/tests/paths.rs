//! Every way in which a program can hand bytes to the network: each is read to its last byte, once.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cprvagt_tests::held::Held;
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::Family;
use cprvagt_tests::server::{Server, Speaks};
use cprvagt_tests::{Expected, Lab, Seen, Trial, payload};

const NEEDS: [Need<'static>; 3] = [Need::Root, Need::Agent, Need::Program("cc")];
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/send_paths.c");
const SETTLE: Duration = Duration::from_secs(60);
const PORT: u16 = 9000;
/// More than a socket takes at once.
const STREAM_BYTES: usize = 700_000;
/// Fifty of the segments that one call may have the network make of a datagram.
const DATAGRAM_BYTES: usize = 60_000;
/// A namespace that gives cookies for connections that are opened with bytes, on sockets that do not ask for it too.
const FAST_OPEN: &str = "1026";
/// How the program says that the kernel does not have a way.
const NOT_HERE: i32 = 77;

/// Ways of which the connection is there before the bytes.
const OF_STREAMS: [&str; 17] = [
    "write",
    "writev",
    "send",
    "sendmsg",
    "sendmmsg",
    "sendfile",
    "splice",
    "vmsplice",
    "more",
    "corked",
    "zerocopy",
    "uring",
    "uring-fixed",
    "uring-sqpoll",
    "uring-zerocopy",
    "inherited",
    "passed",
];
const OF_DATAGRAMS: [&str; 4] = ["udp-sendto", "udp-connected", "udp-sendmmsg", "udp-segmented"];

/// A lab with a sink of each kind in each family, and the program.
struct Paths {
    tcp: [Server; 2],
    udp: [Server; 2],
    program: PathBuf,
    lab: Lab,
}

/// A way, and whether the address is one of IPv6.
type Way = (&'static str, bool);

impl Paths {
    fn new() -> Self {
        let mut lab = Lab::new().unwrap();
        let program = lab.scratch().path().join("sti");
        let built = Command::new("cc").args(["-O2", "-o"]).arg(&program).arg(SOURCE).status().unwrap();
        assert!(built.success());
        let addresses =
            [Family::V4, Family::V6].map(|family| SocketAddr::new(lab.spare_address(family).unwrap(), PORT));
        lab.network().inside(|| fs::write("/proc/sys/net/ipv4/tcp_fastopen", FAST_OPEN)).unwrap();
        let tcp = addresses.map(|address| Server::tcp(lab.network(), address, Speaks::Sink, None).unwrap());
        let udp = addresses.map(|address| Server::udp(lab.network(), address, Speaks::Sink).unwrap());
        Self { tcp, udp, program, lab }
    }

    fn sink(&self, (way, is_v6): Way) -> &Server {
        let sinks = if way.starts_with("udp") { &self.udp } else { &self.tcp };
        &sinks[usize::from(is_v6)]
    }

    fn counted(&self) -> u64 {
        self.tcp.iter().chain(&self.udp).map(|server| server.received().wire_bytes()).sum()
    }

    fn command(&self, way: Way) -> Command {
        let to = self.sink(way).address();
        let mut command = Command::new(&self.program);
        command.arg(way.0).arg(to.ip().to_string()).arg(PORT.to_string());
        command
    }

    /// Sends what ends with the citizen's number; false where the kernel does not have that way.
    fn send(&self, way: Way, mut sender: Held, citizen: &str) -> bool {
        let bytes = if way.0.starts_with("udp") { DATAGRAM_BYTES } else { STREAM_BYTES };
        let before = self.sink(way).received().wire_bytes();
        let written = sender.0.stdin.take().unwrap().write_all(&payload::ending_with(bytes, citizen));
        written.unwrap_or_else(|error| panic!("{way:?}: {error}"));
        match ended(&mut sender.0) {
            NOT_HERE => {
                println!("skipped: {} (way {}): this kernel does not have it", file!(), way.0);
                return false;
            }
            code => assert_eq!(code, 0, "{way:?}"),
        }
        let started = Instant::now();
        // One way after the other, so that a sink drops no datagram.
        while self.sink(way).received().wire_bytes() < before + bytes as u64 {
            assert!(started.elapsed() < SETTLE, "{way:?}: not all has arrived");
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// Sends in each way, and asserts that each byte was read.
    fn check(&self, trial: Trial, ways: Vec<(Way, Held)>, seed: u64) -> Seen {
        let citizens = payload::citizens(seed, ways.len());
        let mut sent = Vec::new();
        for ((way, sender), citizen) in ways.into_iter().zip(&citizens) {
            if self.send(way, sender, citizen) {
                sent.push((way, citizen));
            }
        }
        assert!(self.tcp.iter().all(|server| server.settle(SETTLE)));
        let seen = trial.stop().unwrap();
        let expected: Vec<_> =
            sent.iter().map(|(way, citizen)| Expected::plain(citizen, self.sink(*way).address())).collect();
        assert_eq!(seen.mismatches(&expected), Vec::<String>::new(), "{sent:?}");
        seen.assert_all_inspected(Some(self.counted()), self.counted());
        seen
    }
}

fn ended(child: &mut Child) -> i32 {
    let status = cprvagt_tests::agent::wait_at_most(child, SETTLE).unwrap().expect("it ends");
    status.code().unwrap()
}

fn start(command: &mut Command) -> Held {
    Held::start(command.stdin(Stdio::piped())).unwrap()
}

/// Each way by itself in one family, by turns.
fn by_turns(ways: &[&'static str]) -> Vec<Way> {
    ways.iter().enumerate().map(|(place, way)| (*way, place % 2 == 1)).collect()
}

#[test]
fn every_way_to_send_is_read_to_its_last_byte() {
    if !can_run("every_way_to_send_is_read_to_its_last_byte", &NEEDS) {
        return;
    }
    let paths = Paths::new();
    let mut ways = by_turns(&[&OF_STREAMS[..], &OF_DATAGRAMS].concat());
    ways.extend([("mapped", false), ("extended", true), ("udp-extended", true), ("udp-sendto", true)]);
    let trial = Trial::start(&paths.lab, "", &[]).unwrap();
    let ways = ways.into_iter().map(|way| (way, start(&mut paths.command(way))));
    paths.check(trial, ways.collect(), 71);
}

/// The first packet of a connection has bytes: a server that gave a cookie before takes them.
#[test]
fn bytes_of_the_first_packet_are_read() {
    if !can_run("bytes_of_the_first_packet_are_read", &NEEDS) {
        return;
    }
    let paths = Paths::new();
    let trial = Trial::start(&paths.lab, "", &[]).unwrap();
    let ways = [false, true].map(|is_v6| ("fastopen", is_v6));
    let before = opened_with_bytes();
    paths.check(trial, ways.map(|way| (way, start(&mut paths.command(way)))).into(), 72);
    assert!(opened_with_bytes() > before, "no connection was opened with bytes");
}

/// How many connections this host has opened with bytes that the other end took at once.
fn opened_with_bytes() -> u64 {
    let text = fs::read_to_string("/proc/net/netstat").unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:")).map(|line| line.split(' '));
    let (mut names, mut values) = (lines.next().unwrap(), lines.next().unwrap());
    let place = names.position(|name| name == "TCPFastOpenActive").unwrap();
    values.nth(place).unwrap().parse().unwrap()
}

#[test]
fn connections_older_than_the_agent_are_read_from_then_on() {
    if !can_run("connections_older_than_the_agent_are_read_from_then_on", &NEEDS) {
        return;
    }
    let paths = Paths::new();
    let ways = by_turns(&OF_STREAMS);
    let senders: Vec<_> = ways.into_iter().map(|way| (way, start(&mut paths.command(way)))).collect();
    let started = Instant::now();
    while paths.tcp.iter().map(Server::open_connections).sum::<usize>() < senders.len() {
        assert!(started.elapsed() < SETTLE, "not all have connected");
        std::thread::sleep(Duration::from_millis(5));
    }
    let trial = Trial::start(&paths.lab, "", &[]).unwrap();
    paths.check(trial, senders, 73);
}

/// A container's network is one of its own; its processes are this host's.
#[test]
fn another_network_namespace_is_read() {
    if !can_run("another_network_namespace_is_read", &NEEDS) {
        return;
    }
    let paths = Paths::new();
    let trial = Trial::start(&paths.lab, "", &[]).unwrap();
    let ways = [("write", false), ("uring-sqpoll", true), ("sendfile", false), ("udp-sendto", false)];
    let senders = ways.map(|way| {
        let mut command = Command::new("unshare");
        let words = paths.command(way);
        command.args(["--net", "sh", "-c", "read joined && exec \"$@\"", "sh"]);
        command.arg(words.get_program()).args(words.get_args());
        let mut sender = start(&mut command);
        join(&paths.lab, sender.0.id(), paths.sink(way).address().ip());
        writeln!(sender.0.stdin.as_mut().unwrap()).unwrap();
        (way, sender)
    });
    paths.check(trial, senders.into(), 74);
}

/// Gives the network namespace of a process a link to the lab, and an address of its own there.
fn join(lab: &Lab, process: u32, to: IpAddr) {
    wait_for_own_network(process);
    // Told to the other end: a host does not answer for an IPv6 address that its other link has (RFC 4861, 7.2.3).
    const HARDWARE: &str = "02:00:00:00:00:01";
    let link = format!("cpr{process}");
    let (family, own, length) = match to {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            ("-4", format!("{a}.{b}.{c}.{}", 128 + process % 100), 32)
        }
        IpAddr::V6(address) => {
            let mut segments = address.segments();
            segments[7] = 0x1000 + (process % 1000) as u16;
            ("-6", std::net::Ipv6Addr::from(segments).to_string(), 128)
        }
    };
    lab.network().inside(|| {
        let peer = ["type", "veth", "peer", "name", "ud", "netns", &process.to_string()];
        ip(&[&["link", "add", &link, "address", HARDWARE][..], &peer].concat());
        ip(&["link", "set", &link, "up"]);
        ip(&[family, "route", "add", &format!("{own}/{length}"), "dev", &link]);
    });
    let inside = ["--net", "--target", &process.to_string(), "ip"].map(str::to_owned);
    let within = |words: &[&str]| run(Command::new("nsenter").args(&inside).args(words));
    let whole = format!("{own}/{length}");
    within(&["link", "set", "ud", "up"]);
    let mut address = vec![family, "address", "add", &whole, "dev", "ud"];
    if family == "-6" {
        address.push("nodad");
    }
    within(&address);
    within(&[family, "route", "add", &to.to_string(), "dev", "ud"]);
    within(&[family, "neighbor", "add", &to.to_string(), "lladdr", HARDWARE, "dev", "ud"]);
}

/// `unshare` has made the process's namespace when it is not ours any more.
fn wait_for_own_network(process: u32) {
    let of = |process: &str| fs::read_link(Path::new("/proc").join(process).join("ns/net")).unwrap();
    let started = Instant::now();
    while of(&process.to_string()) == of("self") {
        assert!(started.elapsed() < SETTLE, "it has no network of its own");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn ip(words: &[&str]) {
    run(Command::new("ip").args(words));
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}
