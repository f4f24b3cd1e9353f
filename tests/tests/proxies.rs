//! Programs that ask a proxy to pass their bytes on: where they go in the end is told, and through whom.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cprvagt_tests::held::Held;
use cprvagt_tests::lab::{Recipient, Service};
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::Family;
use cprvagt_tests::{Lab, Seen, Trial, payload};
use serde_json::Value;

const PORT: u16 = 3128;
const SETTLE: Duration = Duration::from_secs(60);

/// A proxy in the lab, and a recipient that it passes on to in clear, and one over TLS.
struct Proxied {
    _proxy: Held,
    address: SocketAddr,
    plain: Arc<Recipient>,
    secret: Arc<Recipient>,
    lab: Lab,
}

impl Proxied {
    fn new(proxy: impl FnOnce(&Lab, IpAddr) -> Command) -> Self {
        let mut lab = Lab::new().unwrap();
        let plain = lab.recipient("klar.analyse.example", Service::Http, Family::V4).unwrap();
        let secret = lab.recipient("tls.analyse.example", Service::Https, Family::V4).unwrap();
        let address = SocketAddr::new(lab.spare_address(Family::V4).unwrap(), PORT);
        let mut command = proxy(&lab, address.ip());
        let proxy = lab.network().inside(|| Held::start(&mut command)).unwrap();
        let started = Instant::now();
        while lab.network().inside(|| TcpStream::connect(address)).is_err() {
            assert!(started.elapsed() < SETTLE, "the proxy does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { _proxy: proxy, address, plain, secret, lab }
    }

    /// Asks a recipient by name: one that only the proxy knows.
    fn ask(&self, through: &str, recipient: &Recipient, citizen: &str) {
        let mut curl = self.lab.command("curl").unwrap();
        curl.args(["--silent", "--show-error", "--fail", "--output", "/dev/null", "--cacert"]);
        curl.arg(self.lab.authority().file()).args(["--proxy", &format!("{through}://{}", self.address)]);
        let status = curl.arg(format!("{}/sag?cpr={citizen}", recipient.origin())).status().unwrap();
        assert!(status.success(), "{through} to {}: {status}", recipient.host);
    }

    /// What was told of a number that curl sent.
    fn of_curl<'a>(&self, seen: &'a Seen, citizen: &str) -> &'a Value {
        let leaks = seen.leaks_of(citizen);
        let by_curl: Vec<_> = leaks.iter().filter(|leak| leak["process"]["comm"] == "curl").collect();
        let [leak] = by_curl[..] else { panic!("{leaks:#?}") };
        let destination = &leak["destination"];
        assert_eq!(destination["via"], self.address.to_string(), "{leak:#}");
        assert_eq!(destination["proof"], "proven", "{leak:#}");
        assert_eq!(destination["ip"], Value::Null, "the proxy's is none of the destination: {leak:#}");
        leak
    }

    /// Sends each recipient a number through the proxy, in each of these ways; asserts what is told.
    fn check(&self, seed: u64, ways: [&str; 2], port_of_plain: Value) {
        let trial = Trial::start(&self.lab, "", &[]).unwrap();
        let [in_clear, over_tls] = payload::citizens(seed, 2).try_into().unwrap();
        self.ask(ways[0], &self.plain, &in_clear);
        self.ask(ways[1], &self.secret, &over_tls);
        assert!(self.plain.server.settle(SETTLE) && self.secret.server.settle(SETTLE));
        let seen = trial.stop().unwrap();
        let leak = self.of_curl(&seen, &in_clear);
        assert_eq!(leak["destination"]["host"], self.plain.host.as_str(), "{leak:#}");
        assert_eq!(leak["destination"]["port"], port_of_plain, "{leak:#}");
        assert_eq!(leak["transport"]["encrypted"], false, "{leak:#}");
        // The proxy is a program of this host as well, and passes on in clear what it got so.
        assert_eq!(seen.leaks_of(&in_clear).len(), 2, "{:#?}", seen.leaks);
        let leak = self.of_curl(&seen, &over_tls);
        assert_eq!(leak["destination"]["host"], self.secret.host.as_str(), "{leak:#}");
        assert_eq!(leak["destination"]["port"], 443, "{leak:#}");
        assert_eq!(leak["transport"]["encrypted"], true, "{leak:#}");
        assert_eq!(seen.leaks_of(&over_tls).len(), 1, "{:#?}", seen.leaks);
        assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
    }
}

#[test]
fn http_proxy() {
    if !can_run("http_proxy", &[Need::Root, Need::Agent, Need::Program("tinyproxy")]) {
        return;
    }
    let proxied = Proxied::new(|lab, address| {
        let file = lab.scratch().path().join("tinyproxy.conf");
        fs::write(
            &file,
            format!("Port {PORT}\nListen {address}\nTimeout 60\nMaxClients 10\nConnectPort 443\n"),
        )
        .unwrap();
        let mut command = lab.command("tinyproxy").unwrap();
        command.arg("-d").arg("-c").arg(file).stdout(Stdio::null());
        command
    });
    // A request with a whole URL says where each goes by itself, and its port is that of the URL.
    proxied.check(81, ["http", "http"], Value::Null);
}

#[test]
fn socks_proxy() {
    if !can_run("socks_proxy", &[Need::Root, Need::Agent, Need::Program("microsocks")]) {
        return;
    }
    let proxied = Proxied::new(|lab, address| {
        let mut command = lab.command("microsocks").unwrap();
        command.args(["-i", &address.to_string(), "-p", &PORT.to_string()]).stderr(Stdio::null());
        command
    });
    proxied.check(82, ["socks5h", "socks5h"], 80.into());
}
