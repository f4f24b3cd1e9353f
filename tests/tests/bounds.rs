//! A hundred thousand short connections: no table grows with them, in the kernel or in the agent, and nothing is lost.
//! Tables that forget by themselves forget the oldest, and what comes next is known as before.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use aya::maps::{HashMap, Map, MapData, MapInfo, loaded_maps};
use cprvagt_abi::{Flow, FlowKey, Owner};
use cprvagt_tests::lab::Service;
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::Family;
use cprvagt_tests::server::{Server, Speaks};
use cprvagt_tests::writes::{self, Connection, Write};
use cprvagt_tests::{Expected, Lab, Trial, payload};

/// Connections in all.
const CONNECTIONS: usize = 100_000;
/// Ports that they go to: one takes no more than the host has ports of its own.
const PORTS: u16 = 10;
/// How long the last of them may take to end.
const SETTLE: Duration = Duration::from_secs(60);
/// Programs that make real connections, one after the other, and how many each makes.
const PROGRAMS: usize = 20;
const CONNECTIONS_OF_EACH: usize = 100;
/// Peers of a datagram server: more than are remembered.
const PEERS: usize = 20_000;
/// Tables of the kernel programs, by what empties them: the end of a connection, that of a process or its threads, and
/// nothing but newer entries. Of the last kind a server's reads and heads, and what Go keeps, are not here: it would take
/// as many real handshakes as they have room for.
const BY_CONNECTION: [&str; 2] = ["FLOWS", "OWNERS"];
const BY_PROCESS: [&str; 2] = ["SEEN", "LAST_CALLS"];
const BY_NEWER: [&str; 2] = ["RANDOMS", "UDP_PEERS"];
/// Entries that other programs of this host may add meanwhile, and connections that are being taken down.
const OTHERS: usize = 200;
/// Connections before the first look: as many as the agent ever knows at a time, since those that have ended are kept for
/// two seconds.
const FIRST_CONNECTIONS: usize = CONNECTIONS / 10;
/// What the agent's memory may grow by: connections that stayed would take two hundred bytes each at the very least.
const GROWTH_KIB: u64 = 16 << 10;

/// A lab with some sinks, and what there was before the first connection that counts.
struct World {
    sinks: Vec<Server>,
    trial: Trial,
    lab: Lab,
    before: BTreeMap<String, usize>,
    kib_before: u64,
}

impl World {
    /// What is made once is made before the first look.
    fn new(mut lab: Lab, first: &[u8]) -> Self {
        let ip = lab.spare_address(Family::V4).unwrap();
        let sinks: Vec<Server> = (9000..9000 + PORTS)
            .map(|port| Server::tcp(lab.network(), SocketAddr::new(ip, port), Speaks::Sink, None).unwrap())
            .collect();
        let trial = Trial::start(&lab, "", &[]).unwrap();
        let mut world = Self { sinks, trial, lab, before: BTreeMap::new(), kib_before: 0 };
        world.connect_in_turn(FIRST_CONNECTIONS, |_| first.to_vec());
        (world.before, world.kib_before) = (entries(), anonymous_kib(world.trial.pid()));
        world
    }

    /// One connection after the other, with some bytes in each.
    fn connect_in_turn(&self, count: usize, bytes: impl Fn(usize) -> Vec<u8>) {
        for (at, sink) in self.sinks.iter().cycle().take(count).enumerate() {
            let mut stream = TcpStream::connect(sink.address()).unwrap();
            stream.write_all(&bytes(at)).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        }
        assert!(self.sinks.iter().all(|sink| sink.settle(SETTLE)));
    }

    /// These tables have as many entries as before, and the agent has as much memory.
    fn assert_nothing_left(&self, tables: &[&str]) {
        let most = |name: &str| self.before.get(name).copied().unwrap_or_default() + OTHERS;
        let after = entries_when(|now| tables.iter().all(|name| now[*name] <= most(name)));
        println!("entries before and after: {:?}, {after:?}", self.before);
        let kib_after = anonymous_kib(self.trial.pid());
        println!("memory before and after: {} and {kib_after} KiB", self.kib_before);
        let mut grown: Vec<&str> = tables.iter().filter(|name| after[**name] > most(name)).copied().collect();
        grown.extend((kib_after > self.kib_before + GROWTH_KIB).then_some("memory"));
        assert!(grown.is_empty(), "{grown:?} have grown");
    }

    fn sent(&self) -> u64 {
        self.sinks.iter().map(|sink| sink.received().wire_bytes()).sum()
    }
}

#[test]
fn a_hundred_thousand_short_connections_leave_nothing() {
    if !can_run("a_hundred_thousand_short_connections_leave_nothing", &[Need::Root, Need::Agent]) {
        return;
    }
    let line = payload::filler(40);
    let world = World::new(Lab::new().unwrap(), &line);
    world.connect_in_turn(CONNECTIONS, |_| line.clone());
    world.assert_nothing_left(&BY_CONNECTION);
    let sent = world.sent();
    world.trial.stop().unwrap().assert_all_inspected(Some(sent), sent);
}

/// Hellos without a handshake behind them: all that the tables of sessions see of one, and a hundred times as fast.
#[test]
fn a_hundred_thousand_hellos_leave_room_for_the_next() {
    let needs = [Need::Root, Need::Agent, Need::Program("/usr/bin/python3")];
    if !can_run("a_hundred_thousand_hellos_leave_room_for_the_next", &needs) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let host = "naeste.analyse.example";
    let recipient = lab.recipient(host, Service::Https, Family::V4).unwrap();
    let mut world = World::new(lab, &client_hello(CONNECTIONS));
    world.connect_in_turn(CONNECTIONS, client_hello);
    world.assert_nothing_left(&BY_CONNECTION);
    assert_full("RANDOMS");
    let citizen = &payload::citizens(97, 1)[0];
    let to = recipient.server.address();
    let write = Write::text(payload::named(citizen));
    writes::run(&world.lab, &[Connection::tls(to, host, vec![write])]).unwrap();
    assert!(recipient.server.settle(SETTLE));
    world.trial.wait_for(1, SETTLE);
    let (hellos, received) = (world.sent(), recipient.server.received());
    let seen = world.trial.stop().unwrap();
    assert_eq!(seen.mismatches(&[Expected::tls(citizen, to, host, "1.3")]), Vec::<String>::new());
    seen.assert_all_inspected(Some(hellos + received.wire_bytes()), received.plain_bytes());
}

/// The first message of a connection, with a random of its own (RFC 8446, 4.1.2).
fn client_hello(number: usize) -> Vec<u8> {
    let random = [number as u64 + 1, 2, 3, 4].map(u64::to_be_bytes).concat();
    let body = [&[3, 3][..], &random, &[0, 0, 2, 0x13, 1, 1, 0]].concat();
    let message = [&[1, 0, 0, body.len() as u8][..], &body].concat();
    [&[22, 3, 1, 0, message.len() as u8][..], &message].concat()
}

/// Real sessions, fewer of them: a handshake takes a hundred times as long as a connection.
#[test]
fn what_is_known_of_processes_ends_with_them() {
    let needs = [Need::Root, Need::Agent, Need::Program("/usr/bin/python3")];
    if !can_run("what_is_known_of_processes_ends_with_them", &needs) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let recipients = lab.recipient_of_each_version().unwrap();
    let mut world = World::new(lab, &payload::filler(40));
    let connections = |count: usize| -> Vec<Connection> {
        let each = recipients.iter().cycle().take(count).map(|(recipient, version)| {
            let writes = vec![Write::sized(400, "")];
            Connection::tls(recipient.server.address(), &recipient.host, writes).version(version)
        });
        each.collect()
    };
    writes::run(&world.lab, &connections(CONNECTIONS_OF_EACH)).unwrap();
    (world.before, world.kib_before) = (entries(), anonymous_kib(world.trial.pid()));
    for _ in 0..PROGRAMS {
        writes::run(&world.lab, &connections(CONNECTIONS_OF_EACH)).unwrap();
    }
    assert!(recipients.iter().all(|(recipient, _)| recipient.server.settle(SETTLE)));
    let few = |name: &&str| entries()[*name] < world.before[*name] + PROGRAMS;
    let left: Vec<_> = BY_PROCESS.iter().filter(|name| !few(name)).collect();
    assert!(left.is_empty(), "{left:?}: {:?}, {:?}", world.before, entries());
    world.assert_nothing_left(&BY_CONNECTION);
    let seen = world.trial.stop().unwrap();
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
}

/// Peers of a datagram server of this host, of which the oldest are forgotten.
#[test]
fn twenty_thousand_peers_leave_room_for_the_next() {
    if !can_run("twenty_thousand_peers_leave_room_for_the_next", &[Need::Root, Need::Agent]) {
        return;
    }
    let world = World::new(Lab::new().unwrap(), &payload::filler(40));
    let own = world.lab.network().host_address(Family::V4);
    let server = UdpSocket::bind((own, 0)).unwrap();
    server.set_read_timeout(Some(SETTLE)).unwrap();
    let address = server.local_addr().unwrap();
    world.lab.network().inside(|| {
        for _ in 0..PEERS {
            // An address of its own choice: the peer's port is another each time.
            UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"x", address).unwrap();
            server.recv_from(&mut [0; 8]).unwrap();
        }
    });
    // Flows and owners of datagrams have no end, and stay until newer ones need their room.
    world.assert_nothing_left(&[]);
    assert_full("UDP_PEERS");
    let line = payload::filler(40);
    let last = world.lab.network().inside(|| {
        let last = UdpSocket::bind("0.0.0.0:0").unwrap();
        last.send_to(b"x", address).unwrap();
        last
    });
    let (_, peer) = server.recv_from(&mut [0; 8]).unwrap();
    server.send_to(&line, peer).unwrap();
    assert_eq!(last.recv(&mut [0; 64]).unwrap(), line.len());
    // What a server answers is in no account.
    let sent = world.sent();
    world.trial.stop().unwrap().assert_all_inspected(Some(sent), sent);
}

/// How many entries the tables of the kernel programs have, once that is so, or after a while.
fn entries_when(is_so: impl Fn(&BTreeMap<String, usize>) -> bool) -> BTreeMap<String, usize> {
    let started = Instant::now();
    loop {
        let now = entries();
        if is_so(&now) || started.elapsed() > SETTLE {
            return now;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// The agent's tables.
fn tables() -> Vec<(String, MapInfo)> {
    let names = [&BY_CONNECTION[..], &BY_PROCESS, &BY_NEWER].concat();
    let maps = loaded_maps().flatten();
    let named = maps.filter_map(|it| Some((it.name_as_str()?.to_owned(), it)));
    named.filter(|(name, _)| names.contains(&name.as_str())).collect()
}

/// Entries of each, by name.
fn entries() -> BTreeMap<String, usize> {
    tables().into_iter().map(|(name, map)| (name.clone(), count(&name, &map))).collect()
}

/// A table that has been full for long: it has as many entries as there is room for, but for those that the kernel keeps
/// free for each processor.
fn assert_full(name: &str) {
    let (_, map) = tables().into_iter().find(|(table, _)| table == name).unwrap();
    let (count, limit) = (count(name, &map), map.max_entries() as usize);
    assert!(count <= limit && count > limit / 10 * 9, "{name} has {count} entries of {limit}");
}

fn count(name: &str, info: &MapInfo) -> usize {
    let map = Map::LruHashMap(MapData::from_id(info.id()).unwrap());
    match name {
        "FLOWS" => keys::<{ size_of::<FlowKey>() }, { size_of::<Flow>() }>(map),
        "OWNERS" => keys::<8, { size_of::<Owner>() }>(map),
        "RANDOMS" => keys::<32, 24>(map),
        "UDP_PEERS" => keys::<{ size_of::<FlowKey>() }, 4>(map),
        "SEEN" => keys::<4, 4>(map),
        _ => keys::<8, 24>(map),
    }
}

fn keys<const KEY: usize, const VALUE: usize>(map: Map) -> usize {
    HashMap::<_, [u8; KEY], [u8; VALUE]>::try_from(map).unwrap().keys().take(CONNECTIONS).flatten().count()
}

fn anonymous_kib(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}
