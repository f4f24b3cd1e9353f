//! Writes that are hard to read whole: from memory that is not resident, and longer than what is copied of one.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::Family;
use cprvagt_tests::server::{Server, Speaks};
use cprvagt_tests::trial::Seen;
use cprvagt_tests::writes::{self, Connection, Write};
use cprvagt_tests::{Expected, Lab, Trial, authority, payload};

#[test]
fn a_write_from_an_untouched_mapping_is_read_whole() {
    let name = "a_write_from_an_untouched_mapping_is_read_whole";
    if !can_run(name, &[Need::Root, Need::Agent, Need::Program("/usr/bin/python3")]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let host = "kort.analyse.example";
    let config = lab.authority().server(host, &authority::BOTH_VERSIONS).unwrap();
    let to = SocketAddr::new(lab.spare_address(Family::V4).unwrap(), 443);
    let sink = Server::tcp(lab.network(), to, Speaks::Sink, Some(config)).unwrap();
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let citizens = payload::citizens(61, 2);
    let write = |size, citizen| Write::sized(size, &format!(" {}", payload::named(citizen))).mapped();
    let calls = [write(5_000, &citizens[0]), write(1 << 20, &citizens[1])];
    let connections = calls.map(|call| Connection::tls(to, host, vec![call]).version("1.3"));
    writes::run(&lab, &connections).unwrap();
    assert!(sink.settle(Duration::from_secs(120)));
    let seen = trial.stop().unwrap();
    let written: usize = connections.iter().map(Connection::bytes).sum();
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
    if reads_only_what_is_resident(&seen) {
        let lost = seen.unread("lost", "not-resident");
        assert!(lost > 0, "{:#}", seen.ledger);
        assert_eq!(seen.bytes("inspected_bytes") + lost.cast_signed(), written as i64, "{:#}", seen.ledger);
        return;
    }
    let expected = [&citizens[0], &citizens[1]].map(|citizen| Expected::tls(citizen, to, host, "1.3"));
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    assert_eq!(seen.bytes("inspected_bytes"), written as i64, "{:#}", seen.ledger);
}

/// While one write waits for its page, another one runs on the same processor: what the kernel programs remember of
/// the first must not become what they remember of the second.
#[test]
fn a_write_that_waits_is_not_mixed_with_one_that_comes_between() {
    let name = "a_write_that_waits_is_not_mixed_with_one_that_comes_between";
    if !can_run(name, &[Need::Root, Need::Agent, Need::Program("/usr/bin/python3")]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let hosts = ["sen.analyse.example", "imens.maaling.example"];
    let sinks = hosts.map(|host| {
        let config = lab.authority().server(host, &authority::BOTH_VERSIONS).unwrap();
        let to = SocketAddr::new(lab.spare_address(Family::V4).unwrap(), 443);
        Server::tcp(lab.network(), to, Speaks::Sink, Some(config)).unwrap()
    });
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let citizens = payload::citizens(62, 2);
    let script = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/programs/waiting_client.py"));
    let mut command = lab.command("/usr/bin/python3").unwrap();
    command.env("SSL_CERT_FILE", lab.authority().file()).arg(script);
    for ((host, sink), citizen) in hosts.iter().zip(&sinks).zip(&citizens) {
        let to = sink.address();
        command.args([*host, &to.ip().to_string(), &to.port().to_string(), &payload::named(citizen)]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(sinks.iter().all(|sink| sink.settle(Duration::from_secs(60))));
    let seen = trial.stop().unwrap();
    // Where no probe may sleep, the first write is lost, and told as such; it holds up nobody.
    let told = if reads_only_what_is_resident(&seen) { 1..2 } else { 0..2 };
    let lost: usize = (0..told.start).map(|at| payload::named(&citizens[at]).len()).sum();
    assert_eq!(seen.unread("lost", "not-resident"), lost as u64, "{:#}", seen.ledger);
    let expected: Vec<_> =
        told.map(|at| Expected::tls(&citizens[at], sinks[at].address(), hosts[at], "1.3")).collect();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
}

#[test]
fn what_is_beyond_the_limit_of_one_write_is_told_as_such() {
    let name = "what_is_beyond_the_limit_of_one_write_is_told_as_such";
    if !can_run(name, &[Need::Root, Need::Agent, Need::Program("/usr/bin/python3")]) {
        return;
    }
    const COPIED: usize = 16 << 20;
    const WRITTEN: usize = 20 << 20;
    let mut lab = Lab::new().unwrap();
    let host = "lang.analyse.example";
    let config = lab.authority().server(host, &authority::BOTH_VERSIONS).unwrap();
    let to = SocketAddr::new(lab.spare_address(Family::V6).unwrap(), 443);
    let sink = Server::tcp(lab.network(), to, Speaks::Sink, Some(config)).unwrap();
    let trial = Trial::start(&lab, "[capture]\nring_bytes = \"64 MiB\"\n", &[]).unwrap();
    writes::run(&lab, &[Connection::tls(to, host, vec![Write::sized(WRITTEN, "")])]).unwrap();
    assert!(sink.settle(Duration::from_secs(120)));
    let seen = trial.stop().unwrap();
    assert_eq!(seen.unread("lost", "limit"), (WRITTEN - COPIED) as u64, "{:#}", seen.ledger);
    assert_eq!(seen.bytes("inspected_bytes"), COPIED as i64, "{:#}", seen.ledger);
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
}

/// What the agent says when the kernel has no probe that may sleep.
fn reads_only_what_is_resident(seen: &Seen) -> bool {
    String::from_utf8_lossy(&seen.stderr).contains("this kernel limits what TLS probes can do")
}
