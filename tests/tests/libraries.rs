//! Plaintext at the writing functions of GnuTLS and NSS, joined to the records on the wire: every byte, once.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use cprvagt_tests::authority::BOTH_VERSIONS;
use cprvagt_tests::held::asked_once;
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::Family;
use cprvagt_tests::server::{Server, Speaks};
use cprvagt_tests::writes::{self, By, Client, Connection, Library, Write};
use cprvagt_tests::{Expected, Lab, Trial, payload};

const NEEDS: [Need<'static>; 3] = [Need::Root, Need::Agent, Need::Program("/usr/bin/python3")];
const SETTLE: Duration = Duration::from_secs(120);
const HOST: &str = "maal.analyse.example";
const VERSIONS: [&str; 2] = ["1.3", "1.2"];
/// Around a piece of what is corked, around a TLS record, around the sizes of ring records, and far beyond.
const SIZES: [usize; 10] = [40, 99, 101, 1449, 16_383, 16_384, 16_385, 32_769, 65_537, 1 << 20];
/// Room for all that a test sends at once: these tests are not about a full ring.
const LARGE_RING: &str = "[capture]\nring_bytes = \"64 MiB\"\n";

const NSS: &str = "/usr/lib/x86_64-linux-gnu/libssl3.so";

/// Writes of each size by one function, in each version: all of it is inspected, each number is told once.
fn check(name: &str, library: Library, by: By, versions: &'static [&'static str]) {
    if !can_run(name, &NEEDS) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let config = lab.authority().server(HOST, &BOTH_VERSIONS).unwrap();
    let addresses =
        [Family::V4, Family::V6].map(|family| SocketAddr::new(lab.spare_address(family).unwrap(), 443));
    let sinks = addresses
        .map(|address| Server::tcp(lab.network(), address, Speaks::Sink, Some(config.clone())).unwrap());
    let trial = Trial::start(&lab, LARGE_RING, &[]).unwrap();
    let citizens = payload::citizens(47, SIZES.len() * versions.len());
    let (mut expected, mut connections) = (Vec::new(), Vec::new());
    for ((citizens, version), address) in citizens.chunks(SIZES.len()).zip(versions).zip(addresses) {
        let write = |(size, citizen): (usize, &String)| {
            Write::sized(size, &format!(" {}\n", payload::named(citizen))).by(by)
        };
        let writes = SIZES.into_iter().zip(citizens).map(write).collect();
        connections.push(Connection::tls(address, HOST, writes).version(version).library(library));
        expected.extend(
            citizens.iter().map(|citizen| Expected::tls(citizen, address, HOST, version).at(library.tap())),
        );
    }
    writes::run(&lab, &connections).unwrap();
    assert!(sinks.iter().all(|sink| sink.settle(SETTLE)));
    let seen = trial.stop().unwrap();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    let sum = |count: fn(&cprvagt_tests::server::Received) -> u64| -> u64 {
        sinks.iter().map(|sink| count(&sink.received())).sum()
    };
    let written: usize = connections.iter().map(Connection::bytes).sum();
    assert_eq!(sum(|it| it.plain_bytes()), written as u64, "the lab lost something");
    seen.assert_all_inspected(Some(sum(|it| it.wire_bytes())), written as u64);
    let corked = seen.counter("tls_write_corked_total");
    assert_eq!(corked > 0, matches!(by, By::SendCorked), "{:?}", seen.counters);
}

/// A program hands over all that is left of a buffer, and the library takes a record of it.
#[test]
fn sends_of_every_size_are_inspected_to_their_last_byte() {
    check("sends_of_every_size_are_inspected_to_their_last_byte", Library::Gnutls, By::Send, &VERSIONS);
}

/// What programs hand to `PR_Write` comes to the function that sends over TLS.
#[test]
fn what_nss_sends_is_inspected_to_its_last_byte() {
    let name = "what_nss_sends_is_inspected_to_its_last_byte";
    if can_run(name, &[Need::Program(NSS)]) {
        check(name, Library::Nss, By::Send, &VERSIONS);
    }
}

/// The system's NSS, of which the agent does not recognise the function that sends: the one before it in its table sets
/// its last argument to zero by another instruction.
fn unrecognised_nss(lab: &Lab) -> PathBuf {
    const FUNCTIONS_ARE_ALIGNED: usize = 16;
    let mut library = fs::read(NSS).unwrap();
    for function in library.chunks_exact_mut(FUNCTIONS_ARE_ALIGNED) {
        // xor %ecx,%ecx; jmp
        if function.starts_with(&[0x31, 0xc9, 0xe9]) {
            // sub %ecx,%ecx; jmp
            function[0] = 0x29;
        }
    }
    lab.scratch().write("libssl3.so", library).unwrap()
}

/// What is handed to NSPR for such an NSS is read there, once, and nothing else that is: not what a program writes to its
/// files, nor what another program hands over for an NSS whose function is known.
#[test]
fn what_an_unknown_nss_sends_is_read_where_it_is_handed_to_nspr() {
    let name = "what_an_unknown_nss_sends_is_read_where_it_is_handed_to_nspr";
    if !can_run(name, &[&NEEDS[..], &[Need::Program(NSS)]].concat()) {
        return;
    }
    /// A buffer of `PR_Writev` is read up to 32 KiB.
    const SIZES: [usize; 7] = [40, 99, 1449, 16_384, 16_385, 65_537, 16 * 32_768];
    const TAPS: [(By, &str); 3] =
        [(By::Send, "nss.PR_Write"), (By::SendFlagged, "nss.PR_Send"), (By::SendGathered, "nss.PR_Writev")];
    let mut lab = Lab::new().unwrap();
    let config = lab.authority().server(HOST, &BOTH_VERSIONS).unwrap();
    let address = SocketAddr::new(lab.spare_address(Family::V4).unwrap(), 443);
    let sink = Server::tcp(lab.network(), address, Speaks::Sink, Some(config)).unwrap();
    let unknown = unrecognised_nss(&lab);
    let trial = Trial::start(&lab, LARGE_RING, &[]).unwrap();
    let citizens = payload::citizens(50, 2 * VERSIONS.len() * TAPS.len() * SIZES.len());
    let (mut expected, mut written, mut left) = (Vec::new(), 0, citizens.chunks(SIZES.len()));
    for library in [Some(unknown), None] {
        let mut connections = Vec::new();
        for version in VERSIONS {
            for ((by, tap), citizens) in TAPS.into_iter().zip(&mut left) {
                let write = |(size, citizen): (usize, &String)| {
                    Write::sized(size, &format!(" {}\n", payload::named(citizen))).by(by)
                };
                let writes = SIZES.into_iter().zip(citizens).map(write).collect();
                connections
                    .push(Connection::tls(address, HOST, writes).version(version).library(Library::Nss));
                let tap = if library.is_some() { tap } else { Library::Nss.tap() };
                expected.extend(
                    citizens.iter().map(|citizen| Expected::tls(citizen, address, HOST, version).at(tap)),
                );
            }
        }
        written += connections.iter().map(Connection::bytes).sum::<usize>();
        let client = Client::start(&lab, &connections, |command| {
            command.envs(library.as_ref().map(|library| ("NSS_LIBRARY", library)));
        });
        client.unwrap().wait(SETTLE).unwrap();
    }
    assert!(sink.settle(SETTLE));
    let seen = trial.stop().unwrap();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    assert_eq!(sink.received().plain_bytes(), written as u64, "the lab lost something");
    seen.assert_all_inspected(Some(sink.received().wire_bytes()), written as u64);
    // What was written to files too, and all that the known NSS was given.
    let calls = (VERSIONS.len() * SIZES.len()) as u64;
    assert!(seen.counter("tls_write_not_tls_total") >= calls * (2 + 3), "{:?}", seen.counters);
}

/// Before TLS 1.3 only block ciphers can hide a length, and GnuTLS refuses the call with others.
#[test]
fn sends_with_a_range_are_inspected_to_their_last_byte() {
    check("sends_with_a_range_are_inspected_to_their_last_byte", Library::Gnutls, By::SendRange, &["1.3"]);
}

/// The library keeps what it is given, and hands it to its own function when it is uncorked.
#[test]
fn what_a_corked_session_keeps_is_inspected_once() {
    check("what_a_corked_session_keeps_is_inspected_once", Library::Gnutls, By::SendCorked, &VERSIONS);
}

/// What a server answers is no leak, though the client's random, which the session keeps, has passed here.
#[test]
fn what_a_server_answers_is_not_told() {
    let name = "what_a_server_answers_is_not_told";
    if !can_run(name, &[&NEEDS[..], &[Need::Program("curl")]].concat()) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let address = lab.spare_address(Family::V4).unwrap();
    let [certificate, key] = lab.authority().files(lab.scratch(), HOST).unwrap();
    let [citizen] = payload::citizens(49, 1).try_into().unwrap();
    let text = lab.scratch().write("answer", format!("{}\n", payload::named(&citizen))).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/gnutls_server.py");
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let mut server = Command::new("/usr/bin/python3");
    server.arg(script).arg(address.to_string()).arg("443").arg(certificate).arg(key).arg(text);
    let answer = asked_once(&lab, &mut server, HOST, address).unwrap();
    assert!(answer.contains(&payload::named(&citizen)));
    let seen = trial.stop().unwrap();
    assert_eq!(seen.mismatches(&[]), Vec::<String>::new());
    assert_eq!(seen.counter("tls_write_server_total"), 1, "{:?}", seen.counters);
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
}

/// Debian's wget, as people run it.
#[test]
fn wget_is_inspected_to_its_last_byte() {
    let name = "wget_is_inspected_to_its_last_byte";
    if !can_run(name, &[Need::Root, Need::Agent, Need::Program("wget")]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let recipients = lab.recipient_of_each_version().unwrap();
    let trial = Trial::start(&lab, LARGE_RING, &[]).unwrap();
    let citizens = payload::citizens(48, 2 * recipients.len());
    for ((recipient, version), citizens) in recipients.iter().zip(citizens.chunks(2)) {
        let write = |name, text: String| lab.scratch().write(&format!("{name}-{version}"), text).unwrap();
        let url = write("url", format!("{}/sag?cpr={}\n", recipient.origin(), citizens[0]));
        let form = write("form", format!("navn=Borger&cpr={}", citizens[1]));
        let mut wget = lab.command("wget").unwrap();
        wget.args(["--quiet", "--output-document=/dev/null", "--ca-certificate"]).arg(lab.authority().file());
        wget.arg("--input-file").arg(url).arg("--post-file").arg(form);
        assert!(wget.status().unwrap().success());
    }
    assert!(recipients.iter().all(|(recipient, _)| recipient.server.settle(SETTLE)));
    let seen = trial.stop().unwrap();
    let pairs = recipients.iter().flat_map(|recipient| [recipient; 2]).zip(&citizens);
    let expected: Vec<_> = pairs
        .map(|((recipient, version), citizen)| {
            Expected::tls(citizen, recipient.server.address(), &recipient.host, version)
                .at(Library::Gnutls.tap())
        })
        .collect();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    seen.assert_all_inspected_of(&recipients);
}
