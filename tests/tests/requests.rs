//! Servers on this host, asked over TLS 1.2 and 1.3 from another network: a number in the URL or the Referer of a
//! request is told once, with who asked; one in its body is not. Over HTTP/1, and over HTTP/2 where a server has it.
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
    /// Whether it is asked by HTTP/2.
    http2: bool,
}

/// What most are.
const OPENSSL: Server<'_> = Server {
    program: "",
    port: 0,
    tap: "openssl.SSL_read",
    command: |_, _, _, _| unreachable!("each server has its own"),
    is_for_one: false,
    http2: false,
};

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

/// Asks over HTTP/2, on one connection: for a page with a number in its URL, one with a number in the Referer, one with
/// numbers in a long body, and once more one with a number in its URL.
fn ask_by_frames(lab: &Lab, address: IpAddr, port: u16, version: &str, citizens: &[String]) {
    let origin = format!("https://{HOST}:{port}");
    let authority = lab.authority().file().display().to_string();
    let each = format!(
        "silent\nshow-error\nfail\noutput = \"/dev/null\"\ncacert = \"{authority}\"\nhttp2\ntlsv{version}\n\
         tls-max = \"{version}\"\nresolve = \"{HOST}:{port}:{address}\"\nretry = 30\nretry-connrefused\nretry-delay = 1\n\
         write-out = \"%{{http_version}} %{{num_connects}}\\n\"\n"
    );
    let [url, referer, body, last] = citizens else { panic!("four citizens") };
    let body = lab
        .scratch()
        .write(&format!("body-{version}"), format!("cpr={body}&{}&cpr={body}", "a".repeat(50_000)))
        .unwrap();
    let config = format!(
        "{each}url = \"{origin}/sag?cpr={url}\"\nnext\n\
         {each}url = \"{origin}/journal\"\nreferer = \"{origin}/sag?cpr={referer}\"\nnext\n\
         {each}url = \"{origin}/journal\"\ndata-binary = \"@{}\"\nnext\n\
         {each}url = \"{origin}/sag?cpr={last}\"\n",
        body.display()
    );
    let config = lab.scratch().write(&format!("ask-{version}"), config).unwrap();
    let mut curl = lab.command("curl").unwrap();
    curl.args(["--disable", "--config"]).arg(config);
    let said = lab.network().inside(|| curl.output()).unwrap();
    // Where it had to wait for the server, it says so as an error.
    assert_eq!(String::from_utf8_lossy(&said.stdout), "2 1\n2 0\n2 0\n2 0\n", "{said:?}");
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
    let needs =
        [Need::Root, Need::Agent, Need::ProbeCookies, Need::Program(server.program), Need::Program("curl")];
    if !can_run(name, &needs) {
        return;
    }
    let parts: &[&str] = match (server.is_for_one, server.http2) {
        (true, _) => &["url.query"],
        (false, false) => &["url.query", "referer"],
        (false, true) => &["url.query", "referer", "url.query"],
    };
    let lab = Lab::new().unwrap();
    let address = lab.network().host_address(Family::V4);
    let files = lab.authority().files(lab.scratch(), HOST).unwrap();
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let citizens = payload::citizens(server.port.into(), 8);
    for (version, citizens) in ["1.2", "1.3"].iter().zip(citizens.chunks(4)) {
        let mut command = (server.command)(&lab, address, server.port, &files);
        let running = Held::start(&mut command).unwrap();
        if server.http2 {
            ask_by_frames(&lab, address, server.port, version, citizens);
        } else {
            ask(&lab, server, address, version, &citizens[..3]);
        }
        drop(running);
    }
    let seen = trial.stop().unwrap();
    for citizens in citizens.chunks(4) {
        // The third of four by HTTP/2 stands in the body, as the last does by HTTP/1.
        let told = citizens.iter().enumerate().filter(|(at, _)| *at != 2).map(|(_, citizen)| citizen);
        told.zip(parts).for_each(|(citizen, part)| check_leak(&seen, citizen, part, server.tap));
    }
    assert_eq!(seen.leaks.len(), 2 * parts.len(), "{:#?}", seen.leaks);
}

fn nginx_of(lab: &Lab, listen: &str, [certificate, key]: &[PathBuf; 2]) -> Command {
    let folder = lab.scratch().path().display().to_string();
    let config = format!(
        "daemon off; master_process off; user root; pid {folder}/nginx.pid; error_log stderr;\nevents {{}}\n\
         http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n\
         fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n\
         server {{ listen {listen}; ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {}; ssl_certificate_key {};\n\
         return 200 ok; }} }}\n",
        certificate.display(),
        key.display(),
    );
    let config = lab.scratch().write("nginx.conf", config).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.arg("-c").arg(config);
    nginx
}

fn node_of(address: IpAddr, port: u16, files: &[PathBuf; 2]) -> Command {
    let mut node = Command::new("node");
    node.arg(format!("{PROGRAMS}/https_server.mjs"))
        .args([address.to_string(), port.to_string()])
        .args(files);
    node
}

#[test]
fn nginx() {
    let command = |lab: &Lab, address: IpAddr, port: u16, files: &[PathBuf; 2]| {
        nginx_of(lab, &format!("{address}:{port} ssl"), files)
    };
    check("nginx", &Server { program: "nginx", port: 18_501, command, ..OPENSSL });
}

#[test]
fn nginx_by_http2() {
    let command = |lab: &Lab, address: IpAddr, port: u16, files: &[PathBuf; 2]| {
        nginx_of(lab, &format!("{address}:{port} ssl http2"), files)
    };
    check("nginx_by_http2", &Server { program: "nginx", port: 18_505, command, http2: true, ..OPENSSL });
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
    check("python", &Server { program, port: 18_502, tap: "openssl.SSL_read_ex", command, ..OPENSSL });
}

/// Node reads from memory, not from the socket.
#[test]
fn node() {
    let command = |_: &Lab, address: IpAddr, port: u16, files: &[PathBuf; 2]| node_of(address, port, files);
    check("node", &Server { program: "node", port: 18_504, command, ..OPENSSL });
}

#[test]
fn node_by_http2() {
    let command = |_: &Lab, address: IpAddr, port: u16, files: &[PathBuf; 2]| node_of(address, port, files);
    check("node_by_http2", &Server { program: "node", port: 18_506, command, http2: true, ..OPENSSL });
}

/// What comes of requests with a number in the URL and another in the body, in records of a few bytes each, behind so
/// many other frames in one.
fn sliced(name: &str, port: u16, requests: usize, pings: u32) -> Option<(Seen, Vec<String>)> {
    if !can_run(name, &[Need::Root, Need::Agent, Need::ProbeCookies, Need::Program("nginx")]) {
        return None;
    }
    let lab = Lab::new().unwrap();
    let address = lab.network().host_address(Family::V4);
    let files = lab.authority().files(lab.scratch(), HOST).unwrap();
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let running = Held::start(&mut nginx_of(&lab, &format!("{address}:{port} ssl http2"), &files)).unwrap();
    let citizens = payload::citizens(port.into(), 2 * requests);
    let (in_urls, in_bodies) = citizens.split_at(requests);
    let lines = |name: &str, prefix: &str, citizens: &[String]| {
        let lines: String = citizens.iter().map(|it| format!("{prefix}cpr={it}\n")).collect();
        lab.scratch().write(name, lines).unwrap()
    };
    let mut client = Command::new("/usr/bin/python3");
    client.arg(format!("{PROGRAMS}/http2_slices.py")).args([&address.to_string(), &port.to_string(), HOST]);
    client.arg(lab.authority().file());
    client.arg(lines("paths", "/sag?", in_urls)).arg(lines("bodies", "GET%20/%20", in_bodies));
    let said = lab.network().inside(|| client.arg(pings.to_string()).output()).unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), format!("{requests}\n"), "{said:?}");
    drop(running);
    Some((trial.stop().unwrap(), in_urls.to_vec()))
}

/// Frames of which a read brings a part: a byte of a header, two, and so on, and then whatever of a body.
#[test]
fn frames_that_are_read_in_parts() {
    let Some((seen, citizens)) = sliced("frames_that_are_read_in_parts", 18_507, 48, 500) else { return };
    citizens.iter().for_each(|citizen| check_leak(&seen, citizen, "url.query", OPENSSL.tap));
    assert_eq!(seen.leaks.len(), citizens.len(), "{:#?}", seen.counters);
    assert_eq!(seen.counter("tls_read_frames_missed_total"), 0);
}

#[test]
fn more_frames_of_one_read_than_are_followed_are_counted() {
    let name = "more_frames_of_one_read_than_are_followed_are_counted";
    let Some((seen, _)) = sliced(name, 18_508, 2, 600) else { return };
    assert_eq!(seen.leaks.len(), 0, "{:#?}", seen.leaks);
    assert_eq!(seen.counter("tls_read_frames_missed_total"), 1);
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
        &Server {
            program,
            port: 18_503,
            tap: "gnutls.gnutls_record_recv",
            command,
            is_for_one: true,
            ..OPENSSL
        },
    );
}
