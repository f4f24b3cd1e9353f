//! Servers on this host, asked over TLS 1.2 and 1.3 from another network: a number in the URL or the Referer of a
//! request is told once, with who asked; one in its body is not.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;

use cprvagt_tests::held::Held;
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::Family;
use cprvagt_tests::trial::Seen;
use cprvagt_tests::{Lab, Trial, payload};
use serde_json::Value;

const HOST: &str = "selv.analyse.example";
const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/programs");

/// A server, and how it is asked.
struct Server<'a> {
    program: &'a str,
    port: u16,
    tap: &'a str,
    /// Its command, with its certificate and key.
    command: fn(&Lab, IpAddr, u16, &[PathBuf; 2]) -> Command,
    /// Whether it says when it listens, and answers one connection only.
    is_for_one: bool,
}

/// Asks for a page with a number in its URL; then, on the same connection, for one with a number in the Referer and
/// another in the body.
fn ask(lab: &Lab, server: &Server<'_>, address: IpAddr, version: &str, citizens: &[String]) {
    let origin = format!("https://{HOST}:{}", server.port);
    let authority = lab.authority().file().display().to_string();
    let each = format!(
        "silent\nshow-error\nfail\noutput = \"/dev/null\"\ncacert = \"{authority}\"\nhttp1.1\ntlsv{version}\n\
         tls-max = \"{version}\"\nresolve = \"{HOST}:{}:{address}\"\nretry = 30\nretry-connrefused\nretry-delay = 1\n",
        server.port
    );
    let [url, referer, body] = citizens else { panic!("three citizens") };
    let mut config = format!("{each}url = \"{origin}/sag?cpr={url}\"\n");
    if !server.is_for_one {
        config += &format!(
            "next\n{each}url = \"{origin}/journal\"\nreferer = \"{origin}/sag?cpr={referer}\"\n\
             data-raw = \"cpr={body}\"\n"
        );
    }
    let config = lab.scratch().write(&format!("ask-{version}"), config).unwrap();
    let mut curl = lab.command("curl").unwrap();
    let curl =
        lab.network().inside(|| Held::start(curl.args(["--disable", "--config"]).arg(config))).unwrap();
    curl.end().unwrap();
}

fn check_leak(seen: &Seen, citizen: &str, part: &str, tap: &str) {
    let leaks = seen.leaks_of(citizen);
    let [leak] = leaks[..] else { panic!("{part}: {leaks:#?}") };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    assert_eq!(
        (text(&leak["rule"]), text(&leak["severity"])),
        ("cpr-in-url".into(), "high".into()),
        "{leak:#}"
    );
    assert_eq!(
        (text(&leak["direction"]), text(&leak["outcome"])),
        ("request".into(), "sent".into()),
        "{leak:#}"
    );
    assert_eq!((text(&leak["location"]["part"]), text(&leak["tap"])), (part.into(), tap.into()), "{leak:#}");
    assert_eq!(leak["destination"]["proof"], "proven", "{leak:#}");
    assert!(leak["destination"]["ip"].is_string() && leak["destination"]["host"].is_null(), "{leak:#}");
}

fn check(name: &str, server: &Server<'_>) {
    if !can_run(
        name,
        &[Need::Root, Need::Agent, Need::ProbeCookies, Need::Program(server.program), Need::Program("curl")],
    ) {
        return;
    }
    let lab = Lab::new().unwrap();
    let address = lab.network().host_address(Family::V4);
    let files = lab.authority().files(lab.scratch(), HOST).unwrap();
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let citizens = payload::citizens(server.port.into(), 6);
    let parts = if server.is_for_one { 1 } else { 2 };
    for (version, citizens) in ["1.2", "1.3"].iter().zip(citizens.chunks(3)) {
        let mut command = (server.command)(&lab, address, server.port, &files);
        let running = Held::start(&mut command).unwrap();
        ask(&lab, server, address, version, citizens);
        drop(running);
    }
    let seen = trial.stop().unwrap();
    for citizens in citizens.chunks(3) {
        for (citizen, part) in citizens.iter().zip(["url.query", "referer"]).take(parts) {
            check_leak(&seen, citizen, part, server.tap);
        }
    }
    assert_eq!(seen.leaks.len(), 2 * parts, "{:#?}", seen.leaks);
}

#[test]
fn nginx() {
    let command = |lab: &Lab, address: IpAddr, port: u16, [certificate, key]: &[PathBuf; 2]| {
        let folder = lab.scratch().path().display().to_string();
        let config = format!(
            "daemon off; master_process off; user root; pid {folder}/nginx.pid; error_log stderr;\nevents {{}}\n\
             http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n\
             fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n\
             server {{ listen {address}:{port} ssl; ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {}; ssl_certificate_key {}; return 200 ok; }} }}\n",
            certificate.display(),
            key.display(),
        );
        let config = lab.scratch().write("nginx.conf", config).unwrap();
        let mut nginx = Command::new("nginx");
        nginx.arg("-c").arg(config);
        nginx
    };
    check(
        "nginx",
        &Server { program: "nginx", port: 18_501, tap: "openssl.SSL_read", command, is_for_one: false },
    );
}

/// Python reads by another function.
#[test]
fn python() {
    let command = |_: &Lab, address: IpAddr, port: u16, files: &[PathBuf; 2]| {
        let mut python = Command::new("/usr/bin/python3");
        python
            .arg(format!("{PROGRAMS}/https_server.py"))
            .args([address.to_string(), port.to_string()])
            .args(files);
        python
    };
    let program = "/usr/bin/python3";
    check(
        "python",
        &Server { program, port: 18_502, tap: "openssl.SSL_read_ex", command, is_for_one: false },
    );
}

/// Node reads from memory, not from the socket.
#[test]
fn node() {
    let command = |_: &Lab, address: IpAddr, port: u16, files: &[PathBuf; 2]| {
        let mut node = Command::new("node");
        node.arg(format!("{PROGRAMS}/https_server.mjs"))
            .args([address.to_string(), port.to_string()])
            .args(files);
        node
    };
    check(
        "node",
        &Server { program: "node", port: 18_504, tap: "openssl.SSL_read", command, is_for_one: false },
    );
}

#[test]
fn gnutls() {
    let command = |lab: &Lab, address: IpAddr, port: u16, files: &[PathBuf; 2]| {
        let body = lab.scratch().write("answer", "ok").unwrap();
        let mut python = Command::new("/usr/bin/python3");
        python.arg(format!("{PROGRAMS}/gnutls_server.py")).args([address.to_string(), port.to_string()]);
        python.args(files).arg(body);
        python
    };
    let program = "/usr/bin/python3";
    check(
        "gnutls",
        &Server { program, port: 18_503, tap: "gnutls.gnutls_record_recv", command, is_for_one: true },
    );
}
