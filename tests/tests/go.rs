//! Plaintext of Go's own TLS, joined to the records on the wire: every byte, once; with symbols and without.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cprvagt_tests::authority::BOTH_VERSIONS;
use cprvagt_tests::held::{Held, asked_once};
use cprvagt_tests::lab::{Recipient, Service};
use cprvagt_tests::live::{Need, can_run, here_or_in_guest, is_guest};
use cprvagt_tests::network::Family;
use cprvagt_tests::s_server::SServer;
use cprvagt_tests::server::{Server, Speaks};
use cprvagt_tests::writes::{Connection, Write};
use cprvagt_tests::{Expected, Job, Lab, Trial, go, payload};

const SETTLE: Duration = Duration::from_secs(120);
const HOST: &str = "maal.analyse.example";
const TAP: &str = "go.crypto/tls";
/// Around Go's first short records, around a TLS record, around the sizes of ring records, and beyond.
const SIZES: [usize; 9] = [40, 1185, 1186, 1187, 1449, 16_384, 16_385, 65_537, 1 << 20];
/// Programs that a guest runs: with symbols and without, of the oldest Go and of the newest.
const IN_GUEST: [&str; 2] = ["debian", "newest-stripped-pie"];
/// Room for all that a test sends at once: these tests are not about a full ring.
const LARGE_RING: &str = "[capture]\nring_bytes = \"64 MiB\"\n";

/// The programs, if the test can run at all.
fn programs(test: &str) -> Vec<PathBuf> {
    if !can_run(test, &[Need::Root, Need::Agent]) {
        return Vec::new();
    }
    let mut programs = go::programs();
    programs.retain(|it| !is_guest() || IN_GUEST.iter().any(|name| it.ends_with(name)));
    if programs.is_empty() {
        println!("skipped: {test}: no Go program is built (cargo xtask test builds them)");
    } else if !programs.iter().any(|it| it.display().to_string().contains("newest")) {
        println!("skipped: {test} (newest Go): it could not be had");
    }
    programs
}

/// Programs that were running when the agent came.
fn idle(programs: &[PathBuf]) -> Vec<Held> {
    programs.iter().map(|program| go::idle(program).unwrap()).collect()
}

#[test]
fn writes_of_every_size_are_inspected_to_their_last_byte() {
    let programs = programs("writes_of_every_size_are_inspected_to_their_last_byte");
    if programs.is_empty() {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let config = lab.authority().server(HOST, &BOTH_VERSIONS).unwrap();
    let sinks = [(Family::V4, "1.3"), (Family::V6, "1.2")].map(|(family, version)| {
        let address = SocketAddr::new(lab.spare_address(family).unwrap(), 443);
        (Server::tcp(lab.network(), address, Speaks::Sink, Some(config.clone())).unwrap(), version)
    });
    let _running = idle(&programs);
    let trial = Trial::start(&lab, LARGE_RING, &[]).unwrap();
    let citizens = payload::citizens(61, programs.len() * sinks.len() * SIZES.len());
    let (mut expected, mut written, mut rest) = (Vec::new(), 0, &citizens[..]);
    for program in &programs {
        let mut connections = Vec::new();
        for (sink, version) in &sinks {
            let (own, others) = rest.split_at(SIZES.len());
            rest = others;
            let write = |(size, citizen): (usize, &String)| {
                Write::sized(size, &format!(" {}\n", payload::named(citizen)))
            };
            let writes = SIZES.into_iter().zip(own).map(write).collect();
            connections.push(Connection::tls(sink.address(), HOST, writes).version(version));
            let tell = |citizen| Expected::tls(citizen, sink.address(), HOST, version).at(TAP);
            expected.extend(own.iter().map(|citizen| tell(citizen)));
        }
        written += connections.iter().map(Connection::bytes).sum::<usize>();
        go::run(&lab, program, "writes", &connections, &[]).unwrap();
    }
    assert!(sinks.iter().all(|(sink, _)| sink.settle(SETTLE)));
    let seen = trial.stop().unwrap();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    let received: Vec<_> = sinks.iter().map(|(sink, _)| sink.received()).collect();
    assert_eq!(
        received.iter().map(|it| it.plain_bytes()).sum::<u64>(),
        written as u64,
        "the lab lost something"
    );
    seen.assert_all_inspected(Some(received.iter().map(|it| it.wire_bytes()).sum()), written as u64);
}

/// Block ciphers hide how much of a write is in each record, and Go's first records are short.
#[test]
fn block_ciphers_of_tls_1_2_are_inspected_to_their_last_byte() {
    let name = "block_ciphers_of_tls_1_2_are_inspected_to_their_last_byte";
    let programs = programs(name);
    if programs.is_empty() || !can_run(name, &[Need::Program("openssl")]) {
        return;
    }
    const SIZES: [usize; 8] = [40, 1163, 1164, 1170, 2326, 3000, 65_537, 300_000];
    let mut lab = Lab::new().unwrap();
    let ip = lab.spare_address(Family::V4).unwrap();
    let ciphers = [
        ("ECDHE-ECDSA-AES128-SHA", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"),
        ("ECDHE-ECDSA-AES128-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"),
    ];
    let start = |(cipher, port): (&(&str, &'static str), u16)| {
        let address = SocketAddr::new(ip, port);
        let arguments = ["-tls1_2", "-cipher", cipher.0];
        (address, cipher.1, SServer::start(&lab, HOST, address, &arguments).unwrap())
    };
    let servers: Vec<_> = ciphers.iter().zip(4433..).map(start).collect();
    let _running = idle(&programs);
    let trial = Trial::start(&lab, LARGE_RING, &[]).unwrap();
    let citizens = payload::citizens(66, programs.len() * ciphers.len() * SIZES.len());
    let (mut expected, mut written, mut rest) = (Vec::new(), 0, &citizens[..]);
    for program in &programs {
        let mut connections = Vec::new();
        for (address, cipher, _) in &servers {
            let (own, others) = rest.split_at(SIZES.len());
            rest = others;
            let write = |(size, citizen): (usize, &String)| {
                Write::sized(size, &format!(" {}\n", payload::named(citizen)))
            };
            let writes = SIZES.into_iter().zip(own).map(write).collect();
            connections.push(Connection::tls(*address, HOST, writes).version("1.2").ciphers(cipher));
            expected.extend(own.iter().map(|it| Expected::tls(it, *address, HOST, "1.2").at(TAP)));
        }
        written += connections.iter().map(Connection::bytes).sum::<usize>();
        go::run(&lab, program, "writes", &connections, &[]).unwrap();
    }
    let seen = trial.stop().unwrap();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    let got: u64 = servers.iter().map(|(.., server)| server.plain_bytes()).sum();
    assert_eq!(got, written as u64, "the lab lost something");
    seen.assert_all_inspected(None, written as u64);
}

/// Requests of one length on many connections of one process, each to a place of its own, some of them the same
/// again and again.
#[test]
fn connections_of_one_process_are_told_apart() {
    const RECIPIENTS: usize = 10;
    const TIMES: usize = 3;
    let programs = programs("connections_of_one_process_are_told_apart");
    if programs.is_empty() {
        return;
    }
    let connections = *here_or_in_guest(&100, &10);
    let mut lab = Lab::new().unwrap();
    let recipients: Vec<Arc<Recipient>> = (0..RECIPIENTS)
        .map(|index| {
            let family = if index % 4 == 3 { Family::V6 } else { Family::V4 };
            lab.recipient(&format!("r{index}.analyse.example"), Service::Https, family).unwrap()
        })
        .collect();
    let _running = idle(&programs);
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let citizens = payload::citizens(62, programs.len() * connections);
    for (program, citizens) in programs.iter().zip(citizens.chunks(connections)) {
        let job = |(at, citizen): (usize, &String)| {
            Job::get(format!("{}/sag?cpr={citizen}", recipients[at % RECIPIENTS].origin()))
        };
        let jobs: Vec<Job> = citizens.iter().enumerate().map(job).collect();
        // A worker takes each job that many connections behind its last: always its own citizen's.
        go::run(&lab, program, "requests", &vec![jobs; TIMES].concat(), &[&connections.to_string()]).unwrap();
    }
    let seen = trial.stop().unwrap();
    let expected = citizens.iter().enumerate().map(|(at, citizen)| {
        let recipient = &recipients[at % connections % RECIPIENTS];
        let once = Expected::tls(citizen, recipient.server.address(), &recipient.host, "1.3").at(TAP);
        Expected { times: TIMES, ..once }
    });
    assert_eq!(seen.mismatches(&expected.collect::<Vec<_>>()), Vec::<String>::new());
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
    let wire: u64 = recipients.iter().map(|recipient| recipient.server.received().wire_bytes()).sum();
    assert_eq!(seen.bytes("wire_bytes"), wire.cast_signed());
}

/// What a server answers is no leak.
#[test]
fn what_a_server_answers_is_not_told() {
    let name = "what_a_server_answers_is_not_told";
    let programs = programs(name);
    if programs.is_empty() || !can_run(name, &[Need::Program("curl")]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let [citizen] = payload::citizens(63, 1).try_into().unwrap();
    let text = lab.scratch().write("answer", format!("{}\n", payload::named(&citizen))).unwrap();
    let _running = idle(&programs);
    let trial = Trial::start(&lab, "", &[]).unwrap();
    for program in &programs {
        let address = lab.spare_address(Family::V4).unwrap();
        let mut server = go::server(&lab, program, address, HOST, &text).unwrap();
        let answer = asked_once(&lab, &mut server, HOST, address).unwrap();
        assert!(answer.contains(&payload::named(&citizen)));
    }
    let seen = trial.stop().unwrap();
    assert_eq!(seen.mismatches(&[]), Vec::<String>::new());
    assert!(seen.counter("tls_write_server_total") >= programs.len() as u64, "{:?}", seen.counters);
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
}
