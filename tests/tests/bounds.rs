//! A hundred thousand short connections: no table grows with them, in the kernel or in the agent, and nothing is lost.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use aya::maps::{HashMap, Map, MapData, MapInfo, loaded_maps};
use cprvagt_abi::{Flow, FlowKey, Owner};
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::Family;
use cprvagt_tests::server::{Server, Speaks};
use cprvagt_tests::{Lab, Trial, payload};

/// Connections in all.
const CONNECTIONS: usize = 100_000;
/// Ports that they go to: one takes no more than the host has ports of its own.
const PORTS: u16 = 10;
/// How long the last of them may take to end.
const SETTLE: Duration = Duration::from_secs(60);
/// Tables of the kernel programs that have an entry for a connection or its socket.
const BY_CONNECTION: [&str; 2] = ["FLOWS", "OWNERS"];
/// Entries that other programs of this host may add meanwhile, and connections that are being taken down.
const OTHERS: usize = 200;
/// What the agent's memory may grow by: a connection that stayed would take some hundred bytes, all of them ten times
/// this.
const GROWTH_KIB: u64 = 8 << 10;

#[test]
fn a_hundred_thousand_short_connections_leave_nothing() {
    if !can_run("a_hundred_thousand_short_connections_leave_nothing", &[Need::Root, Need::Agent]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let ip = lab.spare_address(Family::V4).unwrap();
    let sinks: Vec<Server> = (9000..9000 + PORTS)
        .map(|port| Server::tcp(lab.network(), SocketAddr::new(ip, port), Speaks::Sink, None).unwrap())
        .collect();
    let trial = Trial::start(&lab, "", &[]).unwrap();
    // What is made once is made before the first look.
    connect_in_turn(&sinks, CONNECTIONS / 100);
    assert!(sinks.iter().all(|sink| sink.settle(SETTLE)));
    let (before, kib_before) = (entries(), anonymous_kib(trial.pid()));
    connect_in_turn(&sinks, CONNECTIONS);
    assert!(sinks.iter().all(|sink| sink.settle(SETTLE)));
    let after = entries_when(|now| BY_CONNECTION.iter().all(|name| now[*name] <= before[*name] + OTHERS));
    println!("entries before and after: {before:?}, {after:?}");
    let kib_after = anonymous_kib(trial.pid());
    println!("memory before and after: {kib_before} and {kib_after} KiB");
    for name in BY_CONNECTION {
        assert!(
            after[name] <= before[name] + OTHERS,
            "{name}: {} entries, {} before",
            after[name],
            before[name]
        );
    }
    assert!(kib_after <= kib_before + GROWTH_KIB, "{kib_before} KiB grew to {kib_after} KiB");
    let sent: u64 = sinks.iter().map(|sink| sink.received().wire_bytes()).sum();
    trial.stop().unwrap().assert_all_inspected(Some(sent), sent);
}

/// One connection after the other, with a line of text in each.
fn connect_in_turn(sinks: &[Server], count: usize) {
    let line = payload::filler(40);
    for sink in sinks.iter().cycle().take(count) {
        let mut stream = TcpStream::connect(sink.address()).unwrap();
        stream.write_all(&line).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    }
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

/// Entries of each of the agent's tables, by name.
fn entries() -> BTreeMap<String, usize> {
    let maps =
        loaded_maps().flatten().filter(|it| it.name_as_str().is_some_and(|it| BY_CONNECTION.contains(&it)));
    maps.map(|map| (map.name_as_str().unwrap().to_owned(), count(&map))).collect()
}

fn count(info: &MapInfo) -> usize {
    let map = Map::LruHashMap(MapData::from_id(info.id()).unwrap());
    match info.name_as_str() {
        Some("FLOWS") => keys::<{ size_of::<FlowKey>() }, { size_of::<Flow>() }>(map),
        _ => keys::<{ size_of::<u64>() }, { size_of::<Owner>() }>(map),
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
