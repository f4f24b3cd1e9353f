//! The ways in which a program may use OpenSSL: each write is told with the connection that carried it, and as sent.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cprvagt_tests::held::Held;
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::Family;
use cprvagt_tests::s_server::SServer;
use cprvagt_tests::{Expected, Lab, Seen, Trial, payload};

const NEEDS: [Need<'static>; 5] = [
    Need::Root,
    Need::Agent,
    Need::Program("cc"),
    Need::Program("openssl"),
    Need::Program("/usr/include/openssl/ssl.h"),
];
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/ways_client.c");
const HOST: &str = "vej.analyse.example";
/// Writes of each connection, or before and behind what happens in its middle.
const WRITES: usize = 6;

fn program(lab: &Lab) -> PathBuf {
    let program = lab.scratch().path().join("ways_client");
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-o"]).arg(&program).arg(SOURCE).args(["-lssl", "-lcrypto"]);
    assert!(compiler.status().unwrap().success());
    program
}

fn run(lab: &Lab, program: &Path, way: &str, address: SocketAddr, version: &str, lines: &str) {
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    let mut command = Command::new(program);
    command.args([way, &ip, &port, HOST]).arg(lab.authority().file()).arg(version);
    let mut client = Held::start(command.stdin(Stdio::piped())).unwrap();
    client.0.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    client.end().unwrap();
}

/// Runs `way` against a server that is started so: each write is told, and every byte is inspected.
fn check(test: &str, way: &str, version: &str, arguments: &[&str]) {
    if let Some((seen, written)) = told(test, way, version, arguments) {
        seen.assert_all_inspected(None, written);
    }
}

/// The same, but for the bytes; returns what was seen, and how many were written.
fn told(test: &str, way: &str, version: &str, arguments: &[&str]) -> Option<(Seen, u64)> {
    if !can_run(test, &NEEDS) {
        return None;
    }
    let mut lab = Lab::new().unwrap();
    let address = SocketAddr::new(lab.spare_address(Family::V4).unwrap(), 443);
    let server = SServer::start(&lab, HOST, address, arguments).unwrap();
    let program = program(&lab);
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let citizens = payload::citizens(830, WRITES);
    let line = |citizen: &String| format!("Sagen om {} er sendt\n", payload::named(citizen));
    let lines: String = citizens.iter().map(line).collect();
    run(&lab, &program, way, address, version, &lines);
    server.has(&lines).unwrap();
    let seen = trial.stop().unwrap();
    let expected: Vec<_> =
        citizens.iter().map(|citizen| Expected::tls(citizen, address, HOST, version)).collect();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    Some((seen, lines.len() as u64))
}

#[test]
fn a_pair_of_bios_is_followed() {
    check("a_pair_of_bios_is_followed", "pair", "1.3", &["-tls1_3"]);
    check("a_pair_of_bios_is_followed", "pair", "1.2", &["-tls1_2"]);
}

/// Three bytes a packet: no record header is whole in one.
#[test]
fn headers_that_straddle_packets_are_read() {
    check("headers_that_straddle_packets_are_read", "straddle", "1.3", &["-tls1_3"]);
}

#[test]
fn an_object_that_is_cleared_begins_anew() {
    check("an_object_that_is_cleared_begins_anew", "clear", "1.3", &["-tls1_3"]);
    check("an_object_that_is_cleared_begins_anew", "clear", "1.2", &["-tls1_2"]);
}

#[test]
fn a_session_that_is_resumed_is_another_connection() {
    check("a_session_that_is_resumed_is_another_connection", "resume", "1.3", &["-tls1_3"]);
    check("a_session_that_is_resumed_is_another_connection", "resume", "1.2", &["-tls1_2"]);
}

#[test]
fn a_key_update_is_no_data() {
    check("a_key_update_is_no_data", "key_update", "1.3", &["-tls1_3"]);
}

/// The client says hello twice, with one random.
#[test]
fn a_hello_that_is_asked_for_again_is_the_same_connection() {
    let name = "a_hello_that_is_asked_for_again_is_the_same_connection";
    check(name, "retry", "1.3", &["-tls1_3", "-groups", "P-384"]);
}

/// The session draws another random in the middle, and tells it encrypted.
#[test]
fn a_connection_that_is_renegotiated_stays_known() {
    let name = "a_connection_that_is_renegotiated_stays_known";
    check(name, "renegotiate", "1.2", &["-tls1_2", "-client_renegotiation"]);
}

/// The alert that ends the connection is padded too, and looks like a record that nobody saw being written.
#[test]
fn padded_records_are_those_of_their_writes() {
    let Some((seen, written)) =
        told("padded_records_are_those_of_their_writes", "padding", "1.3", &["-tls1_3"])
    else {
        return;
    };
    assert_eq!(seen.bytes("inspected_bytes"), written.cast_signed(), "{:#}", seen.ledger);
    assert_eq!([seen.unread("blind", "no-tap"), seen.unread("lost", "ring-full")], [512 + 16 + 5, 0]);
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
}
