//! Which connection a TLS write went out on: never another, under a hundred at once.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cprvagt_tests::authority::BOTH_VERSIONS;
use cprvagt_tests::lab::{Recipient, Service};
use cprvagt_tests::live::{Need, can_run, here_or_in_guest};
use cprvagt_tests::network::Family;
use cprvagt_tests::server::{Server, Speaks};
use cprvagt_tests::writes::{self, Connection, Write};
use cprvagt_tests::{Expected, Job, Lab, Program, Trial, payload};

const SETTLE: Duration = Duration::from_secs(240);
const CONNECTIONS: usize = 100;
/// The same in a guest, where a hundred handshakes take a minute.
const CONNECTIONS_IN_GUEST: usize = 10;
/// Requests on each connection.
const REQUESTS: usize = 2;
const RECIPIENTS: usize = 10;

/// The same length for every citizen.
fn target(digits: &str) -> String {
    format!("/sag?cpr={}-{}", &digits[..6], &digits[6..])
}

fn family(index: usize) -> Family {
    if index % 4 == 3 { Family::V6 } else { Family::V4 }
}

#[test]
fn a_hundred_connections_of_one_process_are_told_apart() {
    if !can_run("a_hundred_connections_of_one_process_are_told_apart", &[Need::Root, Need::Agent]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let recipients: Vec<Arc<Recipient>> = (0..RECIPIENTS)
        .map(|index| {
            lab.recipient(&format!("r{index}.analyse.example"), Service::Https, family(index)).unwrap()
        })
        .collect();
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let mut planted: Vec<(String, usize)> = Vec::new();
    for (index, program) in
        [Program::PythonAsyncio, Program::NodeHttps, Program::NodeFetch].into_iter().enumerate()
    {
        if let Some(reason) = program.missing() {
            println!("skipped: a_hundred_connections ({}): {reason}", program.name());
            continue;
        }
        let connections = *here_or_in_guest(&CONNECTIONS, &CONNECTIONS_IN_GUEST);
        let citizens = payload::citizens(50 + index as u64, REQUESTS * connections);
        let origin = |at: usize| recipients[at % RECIPIENTS].origin();
        let jobs: Vec<Job> = citizens
            .iter()
            .enumerate()
            .map(|(at, citizen)| Job::get(format!("{}{}", origin(at), target(citizen))))
            .collect();
        program.run(&lab, &jobs, connections).unwrap();
        planted.extend(citizens.into_iter().enumerate().map(|(at, citizen)| (citizen, at % RECIPIENTS)));
    }
    let seen = trial.stop().unwrap();
    let expected: Vec<_> = planted
        .iter()
        .map(|(citizen, at)| {
            Expected::tls(citizen, recipients[*at].server.address(), &recipients[*at].host, "1.3")
        })
        .collect();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
    let wire: u64 = recipients.iter().map(|recipient| recipient.server.received().wire_bytes()).sum();
    assert_eq!(seen.bytes("wire_bytes"), wire.cast_signed());
}

/// A hundred threads that block, each on its own connection, all writing at the same moment.
#[test]
fn a_hundred_threads_of_one_process_are_told_apart() {
    if !can_run("a_hundred_threads_of_one_process_are_told_apart", &[Need::Root, Need::Agent]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let sinks: Vec<(String, Server)> = (0..RECIPIENTS)
        .map(|index| {
            let host = format!("t{index}.analyse.example");
            let address = SocketAddr::new(lab.spare_address(family(index)).unwrap(), 443);
            let config = lab.authority().server(&host, &BOTH_VERSIONS).unwrap();
            (host, Server::tcp(lab.network(), address, Speaks::Sink, Some(config)).unwrap())
        })
        .collect();
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let citizens = payload::citizens(55, REQUESTS * here_or_in_guest(&CONNECTIONS, &CONNECTIONS_IN_GUEST));
    let version = |at: usize| if at.is_multiple_of(3) { "1.2" } else { "1.3" };
    let connections: Vec<Connection> = citizens
        .chunks(REQUESTS)
        .enumerate()
        .map(|(at, citizens)| {
            let (host, sink) = &sinks[at % RECIPIENTS];
            let request = |citizen: &String| {
                Write::text(format!("GET {} HTTP/1.1\r\nHost: {host}\r\n\r\n", target(citizen)))
            };
            let writes = citizens.iter().map(request).collect();
            Connection::tls(sink.address(), host, writes).version(version(at))
        })
        .collect();
    writes::run(&lab, &connections).unwrap();
    assert!(sinks.iter().all(|(_, sink)| sink.settle(SETTLE)));
    let seen = trial.stop().unwrap();
    let expected: Vec<_> = citizens
        .iter()
        .enumerate()
        .map(|(at, citizen)| {
            let (host, sink) = &sinks[at / REQUESTS % RECIPIENTS];
            Expected::tls(citizen, sink.address(), host, version(at / REQUESTS))
        })
        .collect();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
    let wire: u64 = sinks.iter().map(|(_, sink)| sink.received().wire_bytes()).sum();
    let plain: usize = connections.iter().map(Connection::bytes).sum();
    let got = ["wire_bytes", "inspected_bytes"].map(|it| seen.bytes(it));
    assert_eq!(got, [wire, plain as u64].map(u64::cast_signed));
}

/// A connection that is kept and asked the same again and again: each request is a message of its own, and
/// none is taken for a retry of the one before.
#[test]
fn the_same_request_again_is_told_again() {
    if !can_run("the_same_request_again_is_told_again", &[Need::Root, Need::Agent]) {
        return;
    }
    let times = *here_or_in_guest(&5, &2);
    let mut lab = Lab::new().unwrap();
    let recipient = lab.recipient("igen.analyse.example", Service::Https, Family::V4).unwrap();
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let programs = [Program::Curl, Program::PythonSsl, Program::PythonAsyncio, Program::NodeHttps];
    let programs: Vec<Program> = programs.into_iter().filter(|program| program.missing().is_none()).collect();
    let citizens = payload::citizens(56, 3 * programs.len());
    for (program, citizens) in programs.iter().zip(citizens.chunks(3)) {
        let get = |citizen: &str| Job::get(format!("{}{}", recipient.origin(), target(citizen)));
        let body = format!("{{\"cpr\":\"{}\"}}", citizens[2]);
        let post = Job::post(format!("{}/gem", recipient.origin()), "application/json", body);
        let mut jobs = vec![get(&citizens[0]); times];
        for _ in 0..times {
            jobs.extend([get(&citizens[1]), post.clone()]);
        }
        program.run(&lab, &jobs, 1).unwrap();
    }
    let seen = trial.stop().unwrap();
    let connections = recipient.server.received().wire_bytes_by_peer.len();
    assert_eq!(connections, programs.len(), "the programs did not keep their connections");
    let to = recipient.server.address();
    let expected: Vec<_> = citizens
        .iter()
        .map(|citizen| Expected { times, ..Expected::tls(citizen, to, &recipient.host, "1.3") })
        .collect();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
}
