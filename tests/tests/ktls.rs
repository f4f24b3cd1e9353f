//! Records that the kernel makes of what a program sends (kTLS): read at the library that asks for it, else blind.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use cprvagt_tests::authority::BOTH_VERSIONS;
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::Family;
use cprvagt_tests::server::{Server, Speaks};
use cprvagt_tests::writes::{Client, Connection, Write};
use cprvagt_tests::{Expected, Lab, Trial, payload};

const NEEDS: [Need<'static>; 4] = [Need::Root, Need::Agent, Need::Ktls, Need::Program("/usr/bin/python3")];
const HOST: &str = "kerne.analyse.example";
const LIMIT: Duration = Duration::from_secs(60);
const VERSIONS: [&str; 2] = ["1.2", "1.3"];
/// Makes every program whose OpenSSL can do so leave its records to the kernel.
const OPENSSL_CONF: &str =
    "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = tls\n[tls]\nOptions = KTLS\n";

/// A server that keeps what it decrypts.
struct World {
    sink: Server,
    lab: Lab,
}

impl World {
    fn new() -> Self {
        let mut lab = Lab::new().unwrap();
        let address = SocketAddr::new(lab.spare_address(Family::V4).unwrap(), 443);
        let config = lab.authority().server(HOST, &BOTH_VERSIONS).unwrap();
        let sink = Server::tcp(lab.network(), address, Speaks::KeepingSink, Some(config)).unwrap();
        Self { sink, lab }
    }

    /// Python's `ssl` with this machine's OpenSSL, told to leave records to the kernel.
    fn send_by_openssl(&self, connections: &[Connection]) {
        let configuration = self.lab.scratch().write("openssl.cnf", OPENSSL_CONF).unwrap();
        let client = Client::start(&self.lab, connections, |command| {
            command.env("OPENSSL_CONF", configuration);
        });
        client.unwrap().wait(LIMIT).unwrap();
        assert!(self.sink.settle(LIMIT));
    }

    /// A program that sends a file: `ktls_client.py`, which does without the library for it, or `sendfile_client.py`.
    fn send_file(&self, program: &str, version: &str, text: &[u8]) {
        let lines = self.lab.scratch().write(&format!("lines-{version}"), text).unwrap();
        let script = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/programs")).join(program);
        let configuration = self.lab.scratch().write("openssl.cnf", OPENSSL_CONF).unwrap();
        let to = self.sink.address();
        let mut command = self.lab.command("/usr/bin/python3").unwrap();
        command.env("SSL_CERT_FILE", self.lab.authority().file()).env("OPENSSL_CONF", configuration);
        command.arg(script);
        command.args([HOST, &to.ip().to_string(), &to.port().to_string(), version]).arg(lines);
        let output = command.output().unwrap();
        assert!(output.status.success(), "TLS {version}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn arrived(&self, text: &str) -> bool {
        let received = self.sink.received();
        let contains = |all: &[u8]| all.windows(text.len()).any(|part| part == text.as_bytes());
        received.content_by_peer.values().any(|content| contains(content))
    }
}

/// How many connections of this network namespace ever had the kernel encrypt for them.
fn ktls_connections() -> u64 {
    let table = fs::read_to_string("/proc/net/tls_stat").unwrap();
    let line = table.lines().find_map(|line| line.strip_prefix("TlsTxSw")).unwrap();
    line.trim().parse().unwrap()
}

/// What a program hands to OpenSSL is read there, whoever encrypts it after.
#[test]
fn openssl_that_leaves_its_records_to_the_kernel_is_read() {
    let name = "openssl_that_leaves_its_records_to_the_kernel_is_read";
    if !can_run(name, &NEEDS) {
        return;
    }
    let world = World::new();
    let to = world.sink.address();
    let before = ktls_connections();
    world.send_by_openssl(&[Connection::tls(to, HOST, vec![Write::text("Her er intet nummer.")])]);
    if ktls_connections() == before {
        println!("skipped: {name}: this OpenSSL does not leave its records to the kernel");
        return;
    }
    let wire_before = world.sink.received().wire_bytes();
    let citizens = payload::citizens(95, 6);
    let connections = citizens.chunks(3).zip(VERSIONS).map(|(citizens, version)| {
        let sizes = citizens.iter().zip([20, 16_385, 100_000]);
        let line = |citizen: &str| format!(" {}\n", payload::named(citizen));
        let writes = sizes.map(|(citizen, size)| Write::sized(size, &line(citizen)));
        Connection::tls(to, HOST, writes.collect()).version(version)
    });
    let connections: Vec<_> = connections.collect();
    let before = ktls_connections();
    let trial = Trial::start(&world.lab, "", &[]).unwrap();
    world.send_by_openssl(&connections);
    let seen = trial.stop().unwrap();
    assert_eq!(ktls_connections(), before + 2, "OpenSSL did not leave its records to the kernel");
    let expected: Vec<_> = citizens
        .iter()
        .enumerate()
        .map(|(at, citizen)| Expected::tls(citizen, to, HOST, VERSIONS[at / 3]))
        .collect();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    let told = format!("{:#}", seen.ledger);
    assert_eq!([&seen.ledger["lost"], &seen.ledger["blind"]], [&serde_json::json!([]); 2], "{told}");
    let wire = (world.sink.received().wire_bytes() - wire_before).cast_signed();
    assert_eq!(["wire_bytes", "unexplained_bytes"].map(|it| seen.bytes(it)), [wire, 0], "{told}");
}

/// What a program has OpenSSL send from a file is read from that file.
#[test]
fn what_openssl_sends_from_a_file_is_read() {
    let name = "what_openssl_sends_from_a_file_is_read";
    if !can_run(name, &NEEDS) {
        return;
    }
    let world = World::new();
    let to = world.sink.address();
    let before = ktls_connections();
    let trial = Trial::start(&world.lab, "", &[]).unwrap();
    let citizens = payload::citizens(97, 4);
    let mut sent = 0;
    for (citizens, version) in citizens.chunks(2).zip(VERSIONS) {
        let mut text = format!("{} er den første\n", payload::named(&citizens[0])).into_bytes();
        text.extend(payload::ending_with(100_000, &citizens[1]));
        sent += text.len() as u64;
        world.send_file("sendfile_client.py", version, &text);
    }
    assert!(world.sink.settle(LIMIT));
    let seen = trial.stop().unwrap();
    assert_eq!(ktls_connections(), before + 2, "OpenSSL did not leave its records to the kernel");
    let expected: Vec<_> = citizens
        .iter()
        .enumerate()
        .map(|(at, citizen)| Expected::tls(citizen, to, HOST, VERSIONS[at / 2]).at("openssl.SSL_sendfile"))
        .collect();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    seen.assert_all_inspected(Some(world.sink.received().wire_bytes()), sent);
}

/// No function of a library is called for what is sent: nobody can read it, and the account says so.
#[test]
fn what_a_program_has_the_kernel_encrypt_is_a_blind_spot() {
    let name = "what_a_program_has_the_kernel_encrypt_is_a_blind_spot";
    if !can_run(name, &NEEDS) {
        return;
    }
    let world = World::new();
    let before = ktls_connections();
    let trial = Trial::start(&world.lab, "", &[]).unwrap();
    let citizens = payload::citizens(96, 2);
    let mut sent = 0;
    for (citizen, version) in citizens.iter().zip(VERSIONS) {
        let text = payload::ending_with(50_000, citizen);
        sent += text.len() as u64;
        world.send_file("ktls_client.py", version, &text);
    }
    assert!(world.sink.settle(LIMIT));
    let seen = trial.stop().unwrap();
    assert!(ktls_connections() >= before + 2, "the kernel encrypted nothing");
    assert!(citizens.iter().all(|it| world.arrived(&payload::named(it))), "the server cannot decrypt it");
    assert_eq!(seen.leaks.len(), 0, "nobody can have read it");
    let told = format!("{:#}", seen.ledger);
    let wire = world.sink.received().wire_bytes().cast_signed();
    assert_eq!(["wire_bytes", "unexplained_bytes"].map(|it| seen.bytes(it)), [wire, 0], "{told}");
    assert_eq!(seen.ledger["lost"], serde_json::json!([]), "{told}");
    let blind = seen.unread("blind", "no-tap");
    assert!((sent..wire.cast_unsigned()).contains(&blind), "{blind} of {sent}: {told}");
    let line = &seen.ledger["blind"][0];
    assert_eq!(line["destination"]["host"], HOST, "{told}");
    assert_eq!(line["process"]["comm"], "python3", "{told}");
}
