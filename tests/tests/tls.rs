//! Plaintext at OpenSSL's writing functions, joined to the records on the wire: every byte, every cipher.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cprvagt_tests::held::Held;
use cprvagt_tests::lab::Service;
use cprvagt_tests::live::{Need, can_run, here_or_in_guest};
use cprvagt_tests::network::Family;
use cprvagt_tests::s_server::SServer;
use cprvagt_tests::server::{Server, Speaks};
use cprvagt_tests::writes::{self, Connection, Write};
use cprvagt_tests::{Expected, Job, Lab, Program, Trial, payload};

const SETTLE: Duration = Duration::from_secs(120);
/// Around a byte, a TLS record, the sizes of ring records, and far beyond.
const SIZES: [usize; 11] = [1, 17, 1449, 4095, 16_383, 16_384, 16_385, 32_769, 65_537, 1 << 20, 4 << 20];
/// A space and a named number.
const NUMBER_BYTES: usize = 17;
/// Those of them that a guest tries with each cipher.
const SIZES_IN_GUEST: [usize; 4] = [17, 1449, 16_385, 1 << 20];
/// Room for all that a test sends at once: these tests are not about a full ring.
const LARGE_RING: &str = "[capture]\nring_bytes = \"64 MiB\"\n";

/// Text of this size whose last bytes are the number, if it has room.
fn tail(size: usize, citizen: &str) -> String {
    if size < NUMBER_BYTES { String::new() } else { format!(" {}", payload::named(citizen)) }
}

#[test]
fn writes_of_every_size_and_cipher_are_inspected_to_their_last_byte() {
    let name = "writes_of_every_size_and_cipher_are_inspected_to_their_last_byte";
    if !can_run(name, &[Need::Root, Need::Agent, Need::Program("/usr/bin/python3")]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let host = "maal.analyse.example";
    let config = lab.authority().server(host, &cprvagt_tests::authority::BOTH_VERSIONS).unwrap();
    let addresses =
        [Family::V4, Family::V6].map(|family| SocketAddr::new(lab.spare_address(family).unwrap(), 443));
    let sinks = addresses
        .map(|address| Server::tcp(lab.network(), address, Speaks::Sink, Some(config.clone())).unwrap());
    let trial = Trial::start(&lab, LARGE_RING, &[]).unwrap();
    let mut citizens = payload::citizens(41, 100).into_iter();
    let kinds = [
        ("1.3", None),
        ("1.2", Some("ECDHE-ECDSA-AES128-GCM-SHA256")),
        ("1.2", Some("ECDHE-ECDSA-AES256-GCM-SHA384")),
        ("1.2", Some("ECDHE-ECDSA-CHACHA20-POLY1305")),
    ];
    let (mut planted, mut written) = (Vec::new(), 0);
    for (index, (version, ciphers)) in kinds.into_iter().enumerate() {
        let mut connections = Vec::new();
        for &size in here_or_in_guest::<[usize]>(&SIZES, &SIZES_IN_GUEST) {
            let citizen = citizens.next().unwrap();
            let write = Write::sized(size, &tail(size, &citizen));
            let mut connection = Connection::tls(addresses[index % 2], host, vec![write]).version(version);
            if let Some(ciphers) = ciphers {
                connection = connection.ciphers(ciphers);
            }
            connections.push(connection);
            if size >= NUMBER_BYTES {
                planted.push((citizen, addresses[index % 2], version));
            }
        }
        writes::run(&lab, &connections).unwrap();
        written += connections.iter().map(Connection::bytes).sum::<usize>() as u64;
    }
    assert!(sinks.iter().all(|sink| sink.settle(SETTLE)));
    let seen = trial.stop().unwrap();
    let expected: Vec<_> =
        planted.iter().map(|(citizen, to, version)| Expected::tls(citizen, *to, host, version)).collect();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    let plain: u64 = sinks.iter().map(|sink| sink.received().plain_bytes()).sum();
    assert_eq!(plain, written, "the lab lost something");
    seen.assert_all_inspected(Some(sinks.iter().map(|sink| sink.received().wire_bytes()).sum()), written);
}

#[test]
fn curl_and_s_client_are_inspected_to_their_last_byte() {
    let name = "curl_and_s_client_are_inspected_to_their_last_byte";
    if !can_run(name, &[Need::Root, Need::Agent, Need::Program("curl"), Need::Program("openssl")]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let new = [("ny.analyse.example", Family::V4, &rustls::version::TLS13, "1.3")];
    let old = [("gl.analyse.example", Family::V6, &rustls::version::TLS12, "1.2")];
    let recipients = new.into_iter().chain(old).map(|(host, family, offered, version)| {
        (lab.recipient_with(host, Service::Https, family, &[offered]).unwrap(), version)
    });
    let recipients: Vec<_> = recipients.collect();
    let trial = Trial::start(&lab, LARGE_RING, &[]).unwrap();
    let mut citizens = payload::citizens(42, 100).into_iter();
    let mut planted = Vec::new();
    for (recipient, version) in &recipients {
        for program in [Program::Curl, Program::OpensslSClient] {
            for &size in here_or_in_guest::<[usize]>(&[1, 17, 16_385, 1 << 20, 4 << 20], &[17, 65_537]) {
                let citizen = citizens.next().unwrap();
                let tail = tail(size, &citizen);
                let mut body = String::from_utf8(payload::filler(size - tail.len())).unwrap();
                body.push_str(&tail);
                let job = Job::post(format!("{}/brev", recipient.origin()), "text/plain", body);
                program.run(&lab, &[job], 1).unwrap();
                if size >= NUMBER_BYTES {
                    planted.push((citizen, recipient.server.address(), &recipient.host, version));
                }
            }
        }
    }
    assert!(recipients.iter().all(|(recipient, _)| recipient.server.settle(SETTLE)));
    let seen = trial.stop().unwrap();
    let expected: Vec<_> = planted
        .iter()
        .map(|(citizen, to, host, version)| Expected::tls(citizen, *to, host, version))
        .collect();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    seen.assert_all_inspected_of(&recipients);
}

/// Block ciphers hide the exact length of a record's plaintext: the writes say what it was.
#[test]
fn block_ciphers_of_tls_1_2_are_inspected_to_their_last_byte() {
    let name = "block_ciphers_of_tls_1_2_are_inspected_to_their_last_byte";
    if !can_run(name, &[Need::Root, Need::Agent, Need::Program("openssl")]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let host = "blok.analyse.example";
    let ip = lab.spare_address(Family::V4).unwrap();
    let kinds: [(&str, &[&str]); 4] = [
        ("ECDHE-ECDSA-AES128-SHA256", &[]),
        ("ECDHE-ECDSA-AES256-SHA384", &[]),
        ("ECDHE-ECDSA-AES128-SHA", &[]),
        ("ECDHE-ECDSA-AES128-SHA256", &["-no_etm"]),
    ];
    let servers: Vec<(SocketAddr, SServer)> = kinds
        .iter()
        .zip(4433..)
        .map(|((cipher, more), port)| {
            let address = SocketAddr::new(ip, port);
            let arguments = [&["-tls1_2", "-cipher", cipher], *more].concat();
            (address, SServer::start(&lab, host, address, &arguments).unwrap())
        })
        .collect();
    let trial = Trial::start(&lab, LARGE_RING, &[]).unwrap();
    let mut citizens = payload::citizens(43, 100).into_iter();
    let (mut planted, mut connections) = (Vec::new(), Vec::new());
    for ((address, _), (cipher, _)) in servers.iter().zip(kinds) {
        let mut writes = Vec::new();
        for size in [1, 20, 21, 36, 37, 16_384, 16_385, 70_000, 1 << 20] {
            let citizen = citizens.next().unwrap();
            let last = size == 1 << 20;
            let end = if last { "" } else { "\n" };
            writes.push(match size {
                1 => Write::text("B"),
                _ => Write::sized(size, &(tail(size, &citizen) + end)),
            });
            if size > 1 {
                planted.push((citizen, *address));
            }
        }
        connections.push(Connection::tls(*address, host, writes).version("1.2").ciphers(cipher));
    }
    writes::run(&lab, &connections).unwrap();
    let seen = trial.stop().unwrap();
    let expected: Vec<_> =
        planted.iter().map(|(citizen, to)| Expected::tls(citizen, *to, host, "1.2")).collect();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    let written: usize = connections.iter().map(Connection::bytes).sum();
    let got: u64 = servers.iter().map(|(_, server)| server.plain_bytes()).sum();
    assert_eq!(got, written as u64, "the lab lost something");
    seen.assert_all_inspected(None, written as u64);
}

/// `openssl s_client` with these arguments, until a file has that text.
fn s_client_until(lab: &Lab, arguments: &[&str], file: &Path, text: &str) {
    let output = lab.scratch().write("s_client.out", "").unwrap();
    let mut command = lab.command("openssl").unwrap();
    command.arg("s_client").args(arguments).stdin(Stdio::piped());
    let mut client = Held::start(command.stdout(File::create(&output).unwrap())).unwrap();
    let started = Instant::now();
    while !fs::read_to_string(file).is_ok_and(|content| content.contains(text)) {
        assert!(started.elapsed() < SETTLE, "s_client said: {}", fs::read_to_string(&output).unwrap());
        std::thread::sleep(Duration::from_millis(20));
    }
    client.0.stdin.take().unwrap().write_all(b"Q\n").unwrap();
    client.end().unwrap();
}

/// What a client sends with its first flight, in a session that it resumes.
#[test]
fn early_data_is_inspected() {
    let name = "early_data_is_inspected";
    if !can_run(name, &[Need::Root, Need::Agent, Need::Program("openssl")]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let host = "tidlig.analyse.example";
    let address = SocketAddr::new(lab.spare_address(Family::V4).unwrap(), 443);
    let _server = SServer::start(&lab, host, address, &["-tls1_3", "-early_data"]).unwrap();
    let [citizen] = payload::citizens(44, 1).try_into().unwrap();
    let early = lab.scratch().write("early", format!("{} er sendt\n", payload::named(&citizen))).unwrap();
    let [session, output] = ["session", "s_client.out"].map(|name| lab.scratch().path().join(name));
    let [early, session_file] = [&early, &session].map(|path| path.to_str().unwrap());
    let (connect, authority) = (address.to_string(), lab.authority().file().display().to_string());
    let common = ["-connect", &connect, "-servername", host, "-CAfile", &authority, "-verify_return_error"];
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let first = [&common[..], &["-sess_out", session_file]].concat();
    s_client_until(&lab, &first, &session, "END SSL SESSION PARAMETERS");
    let second = [&common[..], &["-sess_in", session_file, "-early_data", early]].concat();
    s_client_until(&lab, &second, &output, "Early data was accepted");
    let seen = trial.stop().unwrap();
    assert_eq!(seen.mismatches(&[Expected::tls(&citizen, address, host, "1.3")]), Vec::<String>::new());
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
    assert_eq!(
        [&seen.ledger["lost"], &seen.ledger["blind"]],
        [&serde_json::json!([]); 2],
        "{:#}",
        seen.ledger
    );
}
