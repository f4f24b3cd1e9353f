//! What was handed to a TLS library and never left is not told as sent.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::Duration;

use cprvagt_tests::authority::BOTH_VERSIONS;
use cprvagt_tests::held::Held;
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::Family;
use cprvagt_tests::server::{Server, Speaks};
use cprvagt_tests::{Lab, Seen, Trial, loss, payload};

const NEEDS: [Need<'static>; 3] = [Need::Root, Need::Agent, Need::Program("/usr/bin/python3")];
const HOST: &str = "maal.analyse.example";
const SETTLE: Duration = Duration::from_secs(120);

struct Case {
    lab: Lab,
    server: Server,
    citizens: Vec<String>,
}

impl Case {
    fn new(seed: u64) -> Self {
        let mut lab = Lab::new().unwrap();
        let address = SocketAddr::new(lab.spare_address(Family::V4).unwrap(), 443);
        let config = lab.authority().server(HOST, &BOTH_VERSIONS).unwrap();
        let server = Server::tcp(lab.network(), address, Speaks::KeepingSink, Some(config)).unwrap();
        Self { lab, server, citizens: payload::citizens(seed, 2) }
    }

    fn start(&self, way: &str) -> Held {
        let mut command = self.lab.command("/usr/bin/python3").unwrap();
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/programs/unsent_client.py"));
        command.args([way, &self.server.address().ip().to_string(), HOST]);
        command.args(self.citizens.iter().map(|citizen| payload::named(citizen) + "\n"));
        command.env("SSL_CERT_FILE", self.lab.authority().file());
        Held::start(command.stdin(Stdio::piped()).stdout(Stdio::piped())).unwrap()
    }

    /// The first is told as sent, the second as it must be; both with where they went, if it is told.
    fn judge(&self, seen: &Seen) {
        let outcomes = self.citizens.iter().map(|citizen| {
            let [leak] = seen.leaks_of(citizen)[..] else { panic!("told once: {:#?}", seen.leaks) };
            let ip = leak["destination"]["ip"].as_str();
            assert!(ip.is_none_or(|ip| ip == self.server.address().ip().to_string()), "{leak:#}");
            leak["outcome"].as_str().unwrap().to_owned()
        });
        let [first, second] = outcomes.collect::<Vec<_>>().try_into().unwrap();
        assert_eq!(first, "sent");
        assert!(["not-sent", "unknown"].contains(&&*second), "{second}");
        assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
    }

    /// What the server has got is the first alone, or nothing.
    fn assert_received(&self, first: bool) {
        assert!(self.server.settle(SETTLE));
        let got: Vec<u8> = self.server.received().content_by_peer.values().flatten().copied().collect();
        let expected = if first { payload::named(&self.citizens[0]) + "\n" } else { String::new() };
        assert_eq!(String::from_utf8(got).unwrap(), expected);
    }
}

fn wait(child: &mut Child) -> Option<i32> {
    child.wait().unwrap().code()
}

#[test]
fn what_stays_in_memory_is_not_told_as_sent() {
    let name = "what_stays_in_memory_is_not_told_as_sent";
    if !can_run(name, &NEEDS) {
        return;
    }
    for (seed, way, code) in [(840, "unflushed", Some(0)), (841, "killed", None)] {
        let case = Case::new(seed);
        let trial = Trial::start(&case.lab, "", &[]).unwrap();
        assert_eq!(wait(&mut case.start(way).0), code);
        case.assert_received(true);
        case.judge(&trial.stop().unwrap());
    }
}

/// The far end refuses what comes on a connection that was open: the first write leaves, and is answered by a reset.
#[test]
fn what_comes_behind_a_reset_is_not_told_as_sent() {
    let name = "what_comes_behind_a_reset_is_not_told_as_sent";
    if !can_run(name, &[&NEEDS[..], &[Need::Program("nft")]].concat()) {
        return;
    }
    let case = Case::new(842);
    let trial = Trial::start(&case.lab, "", &[]).unwrap();
    let mut client = case.start("reset");
    let mut said = String::new();
    BufReader::new(client.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "connected\n");
    if let Err(reason) = loss::reset(&case.lab, 443) {
        println!("skipped: {name}: nft cannot reset connections here: {reason}");
        return;
    }
    client.0.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    assert_eq!(wait(&mut client.0), Some(0));
    let seen = trial.stop().unwrap();
    case.judge(&seen);
}
