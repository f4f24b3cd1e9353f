//! Node's `https`, `fetch` and HTTP/2, over TLS 1.2 and 1.3: what each sends is told once, at its destination, and the
//! account of its bytes is whole.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use cprvagt_tests::held::Held;
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::Family;
use cprvagt_tests::program::{Job, Program};
use cprvagt_tests::writes::Library;
use cprvagt_tests::{Expected, Lab, Trial, payload};

const SETTLE: Duration = Duration::from_secs(120);
const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/programs");
const NEEDS: [Need<'_>; 3] = [Need::Root, Need::Agent, Need::Program("node")];

/// The number is in a body: header fields are compressed.
#[test]
fn http2() {
    if !can_run("http2", &NEEDS) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let host = "h2.analyse.example";
    let [certificate, key] = lab.authority().files(lab.scratch(), host).unwrap();
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let citizens = payload::citizens(53, 2);
    let mut expected = Vec::new();
    for ((citizen, version), family) in citizens.iter().zip(["1.2", "1.3"]).zip([Family::V4, Family::V6]) {
        let address = lab.spare_address(family).unwrap();
        let mut server = Command::new("node");
        server
            .arg(format!("{PROGRAMS}/http2_server.mjs"))
            .arg(address.to_string())
            .args([&certificate, &key])
            .arg(version);
        let server = lab.network().inside(|| Held::start_listening(&mut server)).unwrap();
        let body = format!(r#"{{"cpr": "{citizen}"}}"#);
        let body = lab.scratch().write(&format!("body-{version}"), body).unwrap();
        let mut client = lab.command("node").unwrap();
        client.env("NODE_EXTRA_CA_CERTS", lab.authority().file());
        client.arg(format!("{PROGRAMS}/http2_client.mjs")).arg(address.to_string()).arg(host).arg(body);
        assert!(client.status().unwrap().success(), "{version}");
        server.end().unwrap();
        expected.push(Expected::tls(citizen, SocketAddr::new(address, 443), host, version));
    }
    let seen = trial.stop().unwrap();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
    assert_eq!(
        [&seen.ledger["lost"], &seen.ledger["blind"]],
        [&serde_json::json!([]); 2],
        "{:#}",
        seen.ledger
    );
}

fn check(name: &str, program: Program) {
    if !can_run(name, &NEEDS) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let recipients = lab.recipient_of_each_version().unwrap();
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let citizens = payload::citizens(54, recipients.len());
    for ((recipient, version), citizen) in recipients.iter().zip(&citizens) {
        let body = format!(r#"{{"cpr": "{citizen}"}}"#);
        let job = Job::post(format!("{}/journal", recipient.origin()), "application/json", body);
        program.run(&lab, &[job], 1).unwrap_or_else(|error| panic!("{version}: {error:#}"));
    }
    assert!(recipients.iter().all(|(recipient, _)| recipient.server.settle(SETTLE)));
    let seen = trial.stop().unwrap();
    seen.assert_each_told(&recipients, &citizens, Library::Openssl.tap());
}

#[test]
fn https() {
    check("https", Program::NodeHttps);
}

#[test]
fn fetch() {
    check("fetch", Program::NodeFetch);
}
