//! What a leak calls its destination: each name with who says so, and whether they contradict each other.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::net::{IpAddr, SocketAddr};

use cprvagt_tests::lab::Service;
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::Family;
use cprvagt_tests::redirect::Redirect;
use cprvagt_tests::trial::Seen;
use cprvagt_tests::{Lab, Trial, payload};
use serde_json::json;

/// curl, asked for a page of `origin` at this address.
fn ask(lab: &Lab, origin: &str, address: SocketAddr, path: &str, more: &[&str]) {
    let mut curl = lab.command("curl").unwrap();
    curl.args(["--disable", "--silent", "--show-error", "--fail", "--output", "/dev/null", "--cacert"]);
    curl.arg(lab.authority().file()).args(more);
    let host = origin.split("//").nth(1).unwrap().split(':').next().unwrap();
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    curl.arg("--resolve").arg(format!("{host}:{}:{ip}", address.port()));
    let output = curl.arg(format!("{origin}{path}")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[track_caller]
fn check(seen: &Seen, citizen: &str, names: &[(&str, &str)], contradictory: bool) {
    let leaks = seen.leaks_of(citizen);
    let [leak] = leaks[..] else { panic!("{leaks:#?}") };
    let names: Vec<_> = names.iter().map(|(name, source)| json!({"name": name, "source": source})).collect();
    let destination = &leak["destination"];
    assert_eq!(destination["names"], json!(names), "{destination:#}");
    assert_eq!(destination["contradictory"].as_bool().unwrap_or(false), contradictory, "{destination:#}");
    assert_eq!(destination["proof"], "proven", "{destination:#}");
}

#[test]
fn names_of_the_connection_and_of_the_message() {
    let name = "names_of_the_connection_and_of_the_message";
    if !can_run(name, &[Need::Root, Need::Agent, Need::Program("curl")]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let (tls, plain) = ("tls.analyse.example", "plain.analyse.example");
    let encrypted = lab.recipient(tls, Service::Https, Family::V4).unwrap();
    let clear = lab.recipient(plain, Service::Http, Family::V6).unwrap();
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let citizens = payload::citizens(91, 3);
    let path = |citizen: usize| format!("/sag?cpr={}", citizens[citizen]);
    let to = encrypted.server.address();
    ask(&lab, "https://tls.analyse.example", to, &path(0), &[]);
    ask(&lab, "https://tls.analyse.example", to, &path(1), &["--header", "Host: andet.example"]);
    ask(&lab, "http://plain.analyse.example", clear.server.address(), &path(2), &[]);
    let seen = trial.stop().unwrap();
    check(&seen, &citizens[0], &[(tls, "sni"), (tls, "host")], false);
    check(&seen, &citizens[1], &[(tls, "sni"), ("andet.example", "host")], true);
    check(&seen, &citizens[2], &[(plain, "host")], false);
}

/// A service address that the host translates, as Kubernetes does: the leak has where the bytes went, and what the
/// program had asked for.
#[test]
fn what_was_asked_for_before_addresses_were_translated() {
    let name = "what_was_asked_for_before_addresses_were_translated";
    if !can_run(name, &[Need::Root, Need::Agent, Need::Program("curl"), Need::Program("nft")]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let host = "bag.analyse.example";
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let citizens = payload::citizens(92, 4);
    let mut expected = Vec::new();
    for (service, family, citizens) in
        [(Service::Http, Family::V4, &citizens[..2]), (Service::Https, Family::V6, &citizens[2..])]
    {
        let scheme = if matches!(service, Service::Https) { "https" } else { "http" };
        let recipient = lab.recipient(host, service, family).unwrap();
        let to = recipient.server.address();
        let asked = SocketAddr::new(lab.spare_address(family).unwrap(), 8099);
        let redirect = match Redirect::to(&lab, asked, to) {
            Ok(redirect) => redirect,
            Err(reason) => return println!("skipped: {name}: nft cannot translate here: {reason}"),
        };
        ask(&lab, &format!("{scheme}://{host}:8099"), asked, &format!("/?cpr={}", citizens[0]), &[]);
        drop(redirect);
        ask(&lab, &format!("{scheme}://{host}:{}", to.port()), to, &format!("/?cpr={}", citizens[1]), &[]);
        expected.push((citizens, to, asked, scheme));
    }
    let seen = trial.stop().unwrap();
    for (citizens, to, asked, scheme) in expected {
        let (with_port, asked) = (format!("{host}:8099"), asked.to_string());
        let sni = (host, "sni");
        let both = [sni, (&with_port, "host"), (&asked, "socket")];
        let untranslated = [sni, (host, "host")];
        let skip = usize::from(scheme == "http");
        check(&seen, &citizens[0], &both[skip..], false);
        check(&seen, &citizens[1], &untranslated[skip..], false);
        for citizen in citizens {
            let leak = seen.leaks_of(citizen)[0];
            let ip = leak["destination"]["ip"].as_str().unwrap().parse::<IpAddr>().unwrap();
            assert_eq!((ip, leak["destination"]["port"].as_u64().unwrap()), (to.ip(), to.port().into()));
        }
    }
}
