//! How much memory the daemon takes for itself (anonymous, so without the ring, which the kernel holds): at rest, and with
//! many connections, most of them idle.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::io::Write as _;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::thread;
use std::time::{Duration, Instant};

use cprvagt_tests::collector::{self, Collector, Enrolled};
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::Family;
use cprvagt_tests::scratch::{Scratch, unique_name};
use cprvagt_tests::server::{Server, Speaks};
use cprvagt_tests::{Agent, Lab, agent, payload, trial};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::socket::{Backlog, listen};
use serde_json::Value;

const WAIT: Duration = Duration::from_secs(120);
const IDLE_FLOWS: usize = 9_000;
const ACTIVE_FLOWS: usize = 1_000;
/// Open files of this process, with both ends of some connections.
const FILES_MAX: u64 = 16_384;
/// Ports that idle connections go to; each holds as many as the kernel keeps for a program that does not take them.
const PORTS: u16 = 9;
/// How long the active ones go on, and how many requests each sends meanwhile.
const ACTIVE_FOR: Duration = Duration::from_secs(20);
const ROUNDS: u32 = 40;
/// What the processes may have together, at rest and then.
const IDLE_KIB_MAX: u64 = 64 << 10;
const BUSY_KIB_MAX: u64 = 200 << 10;

/// A daemon at a collector of its own, and a lab that it watches alone.
struct World {
    agent: Agent,
    enrolled: Enrolled,
    _collector: Collector,
    _scratch: Scratch,
}

impl World {
    fn new(lab: &Lab) -> Self {
        let scratch = Scratch::new(&unique_name()).unwrap();
        let program = collector::binary().unwrap();
        let collector = Collector::start(&program, &scratch.path().join("collector"), "").unwrap();
        let (url, token) = (collector.agents_url(), collector.token().unwrap());
        let program = agent::binary().unwrap();
        let config = trial::outside_allowed(lab.network());
        let folder = scratch.path().join("agent");
        let enrolled = Enrolled::new(&program, &folder, url, &token, &config).unwrap();
        let agent = Agent::spawn(enrolled.daemon(&program)).unwrap();
        Self { agent, enrolled, _collector: collector, _scratch: scratch }
    }

    fn await_status(&self, is_so: impl Fn(&Value) -> bool) -> Value {
        self.enrolled.await_status(&agent::binary().unwrap(), WAIT, is_so).unwrap()
    }

    /// Anonymous memory of each process.
    fn kib(&self) -> Vec<(String, u64)> {
        let status = self.await_status(|status| !status["processes"].is_null());
        let processes = status["processes"].as_object().unwrap().iter();
        processes.map(|(name, pid)| (name.clone(), anonymous_kib(pid.as_u64().unwrap()))).collect()
    }
}

#[test]
fn at_rest_and_with_ten_thousand_flows() {
    if !can_run("at_rest_and_with_ten_thousand_flows", &[Need::Root, Need::Agent, Need::Collector]) {
        return;
    }
    setrlimit(Resource::RLIMIT_NOFILE, FILES_MAX, FILES_MAX).unwrap();
    let mut lab = Lab::new().unwrap();
    let ip = lab.spare_address(Family::V4).unwrap();
    let active = Server::tcp(lab.network(), SocketAddr::new(ip, 9000), Speaks::Sink, None).unwrap();
    let world = World::new(&lab);
    // It has looked at every process and file when it has told its first account.
    world.await_status(|status| !status["ledger"].is_null());
    thread::sleep(Duration::from_secs(5));
    let at_rest = world.kib();
    println!("at rest, KiB: {at_rest:?}");
    let waiting: Vec<TcpListener> = (9001..=9000 + PORTS).map(|port| waiting(&lab, ip, port)).collect();
    let idle: Vec<TcpStream> =
        waiting.iter().cycle().take(IDLE_FLOWS).map(|it| asks(it.local_addr().unwrap())).collect();
    let streams: Vec<TcpStream> = (0..ACTIVE_FLOWS).map(|_| asks(active.address())).collect();
    world.await_status(|status| {
        status["inspect"]["open_flows"].as_u64() >= Some((IDLE_FLOWS + ACTIVE_FLOWS) as u64)
    });
    let busy = keep_busy(&world, &streams);
    println!("with {IDLE_FLOWS} idle and {ACTIVE_FLOWS} active flows, KiB: {busy:?}");
    for stream in idle.iter().chain(&streams) {
        stream.shutdown(Shutdown::Both).unwrap();
    }
    drop((idle, streams));
    assert!(active.settle(WAIT));
    world.agent.stop().unwrap();
    assert!(sum(&at_rest) <= IDLE_KIB_MAX, "at rest: {at_rest:?}");
    assert!(sum(&busy) <= BUSY_KIB_MAX, "with many flows: {busy:?}");
}

/// A port whose connections nobody takes: the kernel keeps them, with what they have sent.
fn waiting(lab: &Lab, ip: std::net::IpAddr, port: u16) -> TcpListener {
    let listener = lab.network().inside(|| TcpListener::bind((ip, port))).unwrap();
    let room = Backlog::new::<i32>((IDLE_FLOWS / usize::from(PORTS) + 1).try_into().unwrap()).unwrap();
    listen(&listener.as_fd(), room).unwrap();
    listener
}

/// A connection with one request on it.
fn asks(to: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.write_all(&request()).unwrap();
    stream
}

/// What programs send most: JSON in a request.
fn request() -> Vec<u8> {
    let text = String::from_utf8(payload::filler(900)).unwrap();
    let body = serde_json::json!({"sag": 17, "notat": text, "bilag": [text]}).to_string();
    let head = "POST /sager HTTP/1.1\r\nHost: maal.example\r\nContent-Type: application/json\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Sends on all of them in turn; returns the most memory that was seen meanwhile.
fn keep_busy(world: &World, streams: &[TcpStream]) -> Vec<(String, u64)> {
    let request = request();
    let mut most = world.kib();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for mut stream in streams {
            stream.write_all(&request).unwrap();
        }
        let now = world.kib();
        if sum(&now) > sum(&most) {
            most = now;
        }
        thread::sleep((ACTIVE_FOR / ROUNDS).saturating_sub(began.elapsed()));
    }
    most
}

fn sum(kib: &[(String, u64)]) -> u64 {
    kib.iter().map(|(_, kib)| kib).sum()
}

fn anonymous_kib(pid: u64) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}
