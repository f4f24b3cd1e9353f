//! More than the ring holds: what is lost is counted and told, and what comes afterwards is found.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::net::SocketAddr;
use std::time::Duration;

use cprvagt_tests::authority::BOTH_VERSIONS;
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::Family;
use cprvagt_tests::server::{Server, Speaks};
use cprvagt_tests::writes::{self, Connection, Write};
use cprvagt_tests::{Expected, Lab, Seen, Trial, payload};

const SETTLE: Duration = Duration::from_secs(120);
const HOST: &str = "maal.analyse.example";
const SMALL_RING: &str = "[capture]\nring_bytes = \"64 KiB\"\n";
/// Ten times the ring, from each connection.
const FLOOD: usize = 640 << 10;

/// A flood, a pause in which the agent catches up, and a line with a number.
fn flood_then(citizen: &str) -> Vec<Write> {
    let line = format!("\n{} er sendt\n", payload::named(citizen));
    vec![Write::sized(FLOOD, ""), Write::text(line).after(1.5)]
}

fn check(seen: &Seen, expected: &[Expected<'_>], wire: u64) {
    // What is lost before a number leaves its connection in doubt: `likely` is honest there.
    let told: Vec<usize> = expected.iter().map(|want| seen.leaks_of(want.digits).len()).collect();
    assert_eq!(told, vec![1; expected.len()], "times each number was told");
    for want in expected {
        let leak = seen.leaks_of(want.digits)[0];
        assert_eq!(leak["destination"]["ip"], want.to.ip().to_string());
        assert_eq!(leak["outcome"], "sent");
    }
    let told = format!("{:#}\n{:?}", seen.ledger, seen.counters);
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{told}");
    assert_eq!(seen.bytes("wire_bytes"), wire.cast_signed(), "{told}");
    assert!(seen.unread("lost", "ring-full") > 0, "nothing was lost: {told}");
    let gaps = seen.ledger["gaps"].as_array().unwrap();
    let gap = gaps.first().expect("a gap is told");
    assert_eq!(gap["reason"], "ring-full");
    assert!(gap["bytes_min"].as_u64().unwrap() > 0 && gap["from"].as_str() < gap["to"].as_str(), "{told}");
}

#[test]
fn plain_bytes_that_find_no_room_are_counted() {
    if !can_run("plain_bytes_that_find_no_room_are_counted", &[Need::Root, Need::Agent]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let address = SocketAddr::new(lab.spare_address(Family::V4).unwrap(), 9000);
    let sink = Server::tcp(lab.network(), address, Speaks::Sink, None).unwrap();
    let trial = Trial::start(&lab, SMALL_RING, &[]).unwrap();
    let citizens = payload::citizens(91, 4);
    let connections: Vec<_> =
        citizens.iter().map(|citizen| Connection::plain(address, flood_then(citizen))).collect();
    writes::run(&lab, &connections).unwrap();
    assert!(sink.settle(SETTLE));
    let seen = trial.stop().unwrap();
    let expected: Vec<_> = citizens.iter().map(|citizen| Expected::plain(citizen, address)).collect();
    check(&seen, &expected, sink.received().wire_bytes());
    assert_eq!(seen.unread("lost", "ring-full"), seen.counter("wire_lost_bytes_total"));
}

#[test]
fn tls_writes_that_find_no_room_are_counted() {
    if !can_run("tls_writes_that_find_no_room_are_counted", &[Need::Root, Need::Agent]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let address = SocketAddr::new(lab.spare_address(Family::V6).unwrap(), 443);
    let config = lab.authority().server(HOST, &BOTH_VERSIONS).unwrap();
    let sink = Server::tcp(lab.network(), address, Speaks::Sink, Some(config)).unwrap();
    let trial = Trial::start(&lab, SMALL_RING, &[]).unwrap();
    let citizens = payload::citizens(92, 4);
    let connections: Vec<_> =
        citizens.iter().map(|citizen| Connection::tls(address, HOST, flood_then(citizen))).collect();
    writes::run(&lab, &connections).unwrap();
    assert!(sink.settle(SETTLE));
    let seen = trial.stop().unwrap();
    let expected: Vec<_> =
        citizens.iter().map(|citizen| Expected::tls(citizen, address, HOST, "1.3")).collect();
    check(&seen, &expected, sink.received().wire_bytes());
}
