//! What policy leaves out: allowed destinations, in the kernel too, and processes out of scope.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use cprvagt_tests::authority::BOTH_VERSIONS;
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::Family;
use cprvagt_tests::server::{Server, Speaks};
use cprvagt_tests::writes::{self, Connection, Write};
use cprvagt_tests::{Expected, Lab, Seen, Trial, payload};

const SETTLE: Duration = Duration::from_secs(120);
const HOST: &str = "api.skat.example";

/// What a message breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Nothing,
    NotAllowed,
    NotAllowedInClear,
    Cleartext,
}

impl Verdict {
    /// `rule` and `also_breaks`.
    fn rules(self) -> Option<(&'static str, &'static [&'static str])> {
        match self {
            Self::Nothing => None,
            Self::NotAllowed => Some(("not-allowed", &[])),
            Self::NotAllowedInClear => Some(("not-allowed", &["cleartext"])),
            Self::Cleartext => Some(("cleartext", &[])),
        }
    }
}

struct Case {
    server: Server,
    tls: bool,
    verdict: Verdict,
    citizen: String,
}

impl Case {
    /// The rules told are the ones that this destination breaks.
    fn assert_rules(&self, seen: &Seen) {
        let rules = seen.leaks_of(&self.citizen).first().map(|leak| {
            let also = leak["also_breaks"].as_array().into_iter().flatten().filter_map(|it| it.as_str());
            (leak["rule"].as_str().unwrap().to_owned(), also.map(str::to_owned).collect::<Vec<_>>())
        });
        let wanted = self.verdict.rules().map(|(rule, also)| {
            (rule.to_owned(), also.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>())
        });
        assert_eq!(rules, wanted, "{}", self.server.address());
    }

    fn expected(&self) -> Expected<'_> {
        let to = self.server.address();
        let times = usize::from(self.verdict != Verdict::Nothing);
        let told = if self.tls {
            Expected::tls(&self.citizen, to, HOST, "1.3")
        } else {
            Expected::plain(&self.citizen, to)
        };
        Expected { times, ..told }
    }
}

/// Prefixes with one port, a single port of a single address, and entries that waive the clear-text rule.
#[test]
fn allowed_destinations_are_not_told_and_not_copied() {
    if !can_run("allowed_destinations_are_not_told_and_not_copied", &[Need::Root, Need::Agent]) {
        return;
    }
    let lab = Lab::new().unwrap();
    let network = lab.network();
    let ip = |family, index| network.recipient_address(family, index);
    let (v4, v6) = (|index| ip(Family::V4, index), |index| ip(Family::V6, index));
    // Recipients 6 to 9 of IPv4 are .16 to .19; recipient 6 of IPv6 is ::10.
    let config = format!(
        "[[allow]]\nto = \"{}/31\"\nports = [443]\nbecause = \"a\"\n\
         [[allow]]\nto = \"{}\"\nports = [80, \"9000-9010\"]\nbecause = \"b\"\nwaives = [\"not-allowed\", \"cleartext\"]\n\
         [[allow]]\nto = \"{}/124\"\nports = [443]\nbecause = \"c\"\n",
        v4(6),
        v4(9),
        v6(6)
    );
    let plan: [(IpAddr, u16, bool, Verdict); 13] = [
        (v4(6), 443, true, Verdict::Nothing),
        (v4(7), 443, true, Verdict::Nothing),
        (v4(8), 443, true, Verdict::NotAllowed),
        (v4(6), 8443, true, Verdict::NotAllowed),
        (v4(6), 444, false, Verdict::NotAllowedInClear),
        (v4(9), 80, false, Verdict::Nothing),
        (v4(9), 9010, false, Verdict::Nothing),
        (v4(9), 9011, false, Verdict::NotAllowedInClear),
        (v6(6), 443, true, Verdict::Nothing),
        (v6(20), 443, true, Verdict::Nothing),
        (v6(22), 443, true, Verdict::NotAllowed),
        (v6(5), 443, true, Verdict::NotAllowed),
        (v6(7), 443, false, Verdict::Cleartext),
    ];
    let tls = lab.authority().server(HOST, &BOTH_VERSIONS).unwrap();
    let citizens = payload::citizens(61, plan.len());
    let cases = plan.into_iter().zip(citizens).map(|((ip, port, encrypted, verdict), citizen)| {
        let config = encrypted.then(|| tls.clone());
        let server = Server::tcp(network, SocketAddr::new(ip, port), Speaks::Sink, config).unwrap();
        Case { server, tls: encrypted, verdict, citizen }
    });
    let cases: Vec<Case> = cases.collect();
    let trial = Trial::start(&lab, &config, &[]).unwrap();
    let connections: Vec<Connection> = cases
        .iter()
        .map(|case| {
            let writes = vec![Write::text(format!("{} er sendt\n", payload::named(&case.citizen)))];
            let to = case.server.address();
            if case.tls { Connection::tls(to, HOST, writes) } else { Connection::plain(to, writes) }
        })
        .collect();
    writes::run(&lab, &connections).unwrap();
    assert!(cases.iter().all(|case| case.server.settle(SETTLE)));
    let seen = trial.stop().unwrap();
    let expected: Vec<_> = cases.iter().map(Case::expected).collect();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    cases.iter().for_each(|case| case.assert_rules(&seen));
    let allowed = cases.iter().filter(|case| case.tls && case.verdict == Verdict::Nothing).count();
    assert_eq!(seen.counter("tls_write_allowed_total"), allowed as u64, "{:?}", seen.counters);
    let captured = cases.iter().filter(|case| case.tls && case.verdict != Verdict::Nothing).count();
    assert_eq!(seen.counter("tls_write_captured_total"), captured as u64, "{:?}", seen.counters);
    let not_allowed =
        cases.iter().filter(|case| matches!(case.verdict, Verdict::NotAllowed | Verdict::NotAllowedInClear));
    let wire: u64 = not_allowed.map(|case| case.server.received().wire_bytes()).sum();
    let got = ["wire_bytes", "unexplained_bytes"].map(|it| seen.bytes(it));
    assert_eq!(got, [wire.cast_signed(), 0], "{:#}", seen.ledger);
}

/// Four servers share an address, as those of a content network do: what a connection asks for decides.
#[test]
fn names_decide_at_a_shared_address() {
    if !can_run("names_decide_at_a_shared_address", &[Need::Root, Need::Agent]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let ip = lab.spare_address(Family::V4).unwrap();
    let config = "[[allow]]\nto = \"API.skat.example\"\nbecause = \"a\"\n\
                  [[allow]]\nto = \"*.borger.example\"\nports = [444]\nbecause = \"b\"\n\
                  [[allow]]\nto = \"late.example\"\nbecause = \"c\"\nexpires = 2020-01-01\n";
    let plan = [
        (443, "api.skat.example", None),
        (444, "www.borger.example", None),
        (445, "www.borger.example", Some(("high", None))),
        (446, "borger.example", Some(("high", None))),
        (447, "late.example", Some(("high", None))),
        (448, "x.google-analytics.com", Some(("critical", Some("Google LLC")))),
    ];
    let citizens = payload::citizens(63, plan.len());
    let servers = plan.map(|(port, name, _)| {
        let tls = lab.authority().server(name, &BOTH_VERSIONS).unwrap();
        Server::tcp(lab.network(), SocketAddr::new(ip, port), Speaks::Sink, Some(tls)).unwrap()
    });
    let trial = Trial::start(&lab, config, &[]).unwrap();
    let line = |at: usize| vec![Write::text(format!("{} er sendt\n", payload::named(&citizens[at])))];
    let connections = plan
        .iter()
        .enumerate()
        .map(|(at, (_, name, _))| Connection::tls(servers[at].address(), name, line(at)));
    writes::run(&lab, &connections.collect::<Vec<_>>()).unwrap();
    assert!(servers.iter().all(|server| server.settle(SETTLE)));
    let seen = trial.stop().unwrap();
    let expected = plan.iter().enumerate().map(|(at, (_, name, told))| Expected {
        times: usize::from(told.is_some()),
        ..Expected::tls(&citizens[at], servers[at].address(), name, "1.3")
    });
    assert_eq!(seen.mismatches(&expected.collect::<Vec<_>>()), Vec::<String>::new());
    for (at, (_, name, told)) in plan.iter().enumerate() {
        let leak = seen.leaks_of(&citizens[at]).first().map(|leak| {
            (
                leak["severity"].as_str().unwrap().to_owned(),
                leak["destination"]["recipient"].as_str().map(str::to_owned),
            )
        });
        let told = told.map(|(severity, recipient)| (severity.to_owned(), recipient.map(str::to_owned)));
        assert_eq!(leak, told, "{name}");
    }
}

/// Two agents watch at once: one reads nothing but the Python client, the other everything but it.
#[test]
fn processes_out_of_scope_are_neither_told_nor_counted() {
    if !can_run("processes_out_of_scope_are_neither_told_nor_counted", &[Need::Root, Need::Agent]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let plain_to = SocketAddr::new(lab.spare_address(Family::V4).unwrap(), 9000);
    let tls_to = SocketAddr::new(lab.spare_address(Family::V6).unwrap(), 443);
    let config = lab.authority().server(HOST, &BOTH_VERSIONS).unwrap();
    let tcp = Server::tcp(lab.network(), plain_to, Speaks::Sink, None).unwrap();
    let udp = Server::udp(lab.network(), plain_to, Speaks::Sink).unwrap();
    let tls = Server::tcp(lab.network(), tls_to, Speaks::Sink, Some(config)).unwrap();
    let only = Trial::start(&lab, "[[inspect]]\nonly = { exe = \"/usr/bin/python3*\" }\n", &[]).unwrap();
    let except = Trial::start(&lab, "[[inspect]]\nexcept = { exe = \"/usr/bin/python3*\" }\n", &[]).unwrap();
    let citizens = payload::citizens(62, 4);
    let line = |at: usize| format!("{} er sendt\n", payload::named(&citizens[at]));
    let connections = [
        Connection::plain(plain_to, vec![Write::text(line(0))]),
        Connection::tls(tls_to, HOST, vec![Write::text(line(1))]),
    ];
    writes::run(&lab, &connections).unwrap();
    let host = lab.network().host_address(Family::V4);
    let socket = UdpSocket::bind(SocketAddr::new(host, 0)).unwrap();
    socket.send_to(line(2).as_bytes(), plain_to).unwrap();
    TcpStream::connect(plain_to).unwrap().write_all(line(3).as_bytes()).unwrap();
    assert!(tcp.settle(SETTLE) && tls.settle(SETTLE));
    let (only, except) = (only.stop().unwrap(), except.stop().unwrap());
    let of_python =
        [Expected::plain(&citizens[0], plain_to), Expected::tls(&citizens[1], tls_to, HOST, "1.3")];
    let of_rust = [Expected::plain(&citizens[2], plain_to), Expected::plain(&citizens[3], plain_to)];
    assert_eq!(only.mismatches(&of_python), Vec::<String>::new(), "only");
    assert_eq!(except.mismatches(&of_rust), Vec::<String>::new(), "except");
    let python = line(0).len() as u64 + tls.received().wire_bytes();
    let rust = tcp.received().wire_bytes() - line(0).len() as u64 + udp.received().wire_bytes();
    for (seen, wire) in [(&only, python), (&except, rust)] {
        let got = ["wire_bytes", "unexplained_bytes"].map(|it| seen.bytes(it));
        assert_eq!(got, [wire.cast_signed(), 0], "{:#}", seen.ledger);
    }
}
