//! Relays on this host: what one sends on leads back to the program that handed it over, where the configuration names
//! the relay.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cprvagt_tests::held::Held;
use cprvagt_tests::lab::{Recipient, Service};
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::mailer::Mailer;
use cprvagt_tests::network::Family;
use cprvagt_tests::redirect::{MARK, Redirect};
use cprvagt_tests::{Lab, Trial, payload};
use serde_json::Value;

const SETTLE: Duration = Duration::from_secs(60);

/// The configuration of a relay.
fn relay(port: u16, exe: &str) -> String {
    format!("[[relay]]\nports = [{port}]\nmatch = {{ exe = {exe:?} }}\n")
}

/// Posts a number with a program that is no relay.
fn post(lab: &Lab, url: &str, citizen: &str) {
    let body = lab.scratch().write("posted", payload::named(citizen)).unwrap();
    let mut curl = lab.command("curl").unwrap();
    curl.args(["--silent", "--show-error", "--fail", "--output", "/dev/null", "--cacert"]);
    curl.arg(lab.authority().file()).arg("--data-binary").arg(format!("@{}", body.display()));
    assert!(curl.arg(url).status().unwrap().success(), "{url}");
}

/// The same with another program.
fn post_with_wget(lab: &Lab, url: &str, citizen: &str) {
    let mut wget = lab.command("wget").unwrap();
    wget.args(["--quiet", "--output-document=/dev/null"]);
    wget.arg(format!("--post-data={}", payload::named(citizen))).arg(url);
    assert!(wget.status().unwrap().success(), "{url}");
}

fn await_port(port: u16) {
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(started.elapsed() < SETTLE, "nothing listens on {port}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The command that handed it over, after asserting how that is known. One that ended at once has no executable.
fn handed_by(leak: &Value) -> &str {
    let relayed = &leak["relayed"];
    assert_eq!(relayed["handover"], "same-citizen", "{leak:#}");
    assert_eq!(relayed["proof"], "likely", "{leak:#}");
    relayed["from"]["comm"].as_str().unwrap()
}

/// nginx takes requests in clear on loopback, and passes them on over TLS.
fn nginx(lab: &Lab, port: u16, to: &Recipient) -> Held {
    let folder = lab.scratch().path().display().to_string();
    let config = format!(
        "daemon off; user root; pid {folder}/nginx.pid; error_log stderr;\nevents {{}}\n\
         http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n\
         fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n\
         server {{ listen 127.0.0.1:{port};\n\
         location / {{ proxy_pass {origin}/; proxy_ssl_server_name on; proxy_ssl_name {host}; }} }} }}\n",
        origin = to.origin(),
        host = to.host,
    );
    let config = lab.scratch().write("nginx.conf", config).unwrap();
    let mut command = lab.command_with_children("nginx").unwrap();
    let held = Held::start(command.arg("-c").arg(config)).unwrap();
    await_port(port);
    held
}

#[test]
fn nginx_says_whose_requests_it_passes_on() {
    let needs = ["nginx", "curl", "wget"].map(Need::Program);
    let test = "nginx_says_whose_requests_it_passes_on";
    if !can_run(test, &[&[Need::Root, Need::Agent][..], &needs].concat()) {
        return;
    }
    let port = 18_511;
    for (service, seed, named) in
        [(Service::Https, 91, true), (Service::Http, 92, true), (Service::Http, 93, false)]
    {
        let mut lab = Lab::new().unwrap();
        let recipient = lab.recipient("maal.analyse.example", service, Family::V4).unwrap();
        let config = if named { relay(port, "/usr/sbin/nginx") } else { String::new() };
        let trial = Trial::start(&lab, &config, &[]).unwrap();
        let running = nginx(&lab, port, &recipient);
        let [by_one, by_two] = payload::citizens(seed, 2).try_into().unwrap();
        let url = format!("http://127.0.0.1:{port}/sag");
        post(&lab, &url, &by_one);
        post(&lab, &url, &by_two);
        post_with_wget(&lab, &url, &by_two);
        drop(running);
        assert!(recipient.server.settle(SETTLE));
        let seen = trial.stop().unwrap();
        let [leak] = seen.leaks_of(&by_one)[..] else { panic!("{:#?}", seen.leaks) };
        assert_eq!(leak["process"]["comm"], "nginx", "{leak:#}");
        assert_eq!(leak["destination"]["proof"], "proven", "{leak:#}");
        let leaks = seen.leaks_of(&by_two);
        assert_eq!(leaks.len(), 2, "{leaks:#?}");
        let received = recipient.server.received();
        seen.assert_all_inspected(Some(received.wire_bytes()), received.plain_bytes());
        if !named {
            let not_read = serde_json::json!({"handover": "not-read", "proof": "unknown"});
            assert!(seen.leaks.iter().all(|leak| leak["relayed"] == not_read), "{:#?}", seen.leaks);
            continue;
        }
        assert_eq!(handed_by(leak), "curl", "{leak:#}");
        // The second was handed over by two programs by then.
        assert_eq!(handed_by(leaks[0]), "curl", "{leaks:#?}");
        assert_eq!(leaks[1]["relayed"], serde_json::json!({"handover": "unclear", "proof": "unknown"}));
    }
}

/// Connections that the kernel redirects: in clear the relay sends them on, over TLS the session is the program's own,
/// and so is the leak.
#[test]
fn a_relay_that_connections_are_redirected_to() {
    let needs = ["nft", "curl", "/usr/bin/python3"].map(Need::Program);
    let test = "a_relay_that_connections_are_redirected_to";
    if !can_run(test, &[&[Need::Root, Need::Agent][..], &needs].concat()) {
        return;
    }
    let port = 18_512;
    let mut lab = Lab::new().unwrap();
    let plain = lab.recipient("klar.analyse.example", Service::Http, Family::V4).unwrap();
    let secret = lab.recipient("tls.analyse.example", Service::Https, Family::V4).unwrap();
    let trial = Trial::start(&lab, &relay(port, "/usr/bin/python3*"), &[]).unwrap();
    let mut command = Command::new("/usr/bin/python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/programs/tcp_relay.py"));
    let _relay = Held::start_listening(command.args([port.to_string(), MARK.to_string()])).unwrap();
    let citizens = payload::citizens(94, 2);
    for (recipient, citizen) in [&plain, &secret].into_iter().zip(&citizens) {
        let _redirect = Redirect::to_loopback(&lab, recipient.ip(), port).unwrap();
        post(&lab, &format!("{}/sag", recipient.origin()), citizen);
        assert!(recipient.server.settle(SETTLE));
    }
    let seen = trial.stop().unwrap();
    let told = |recipient: &Arc<Recipient>, citizen: &str| {
        let [leak] = seen.leaks_of(citizen)[..] else { panic!("{:#?}", seen.leaks) };
        let destination = &leak["destination"];
        assert_eq!(destination["ip"], recipient.ip().to_string(), "{leak:#}");
        assert_eq!(destination["proof"], "proven", "{leak:#}");
        leak.clone()
    };
    let leak = told(&plain, &citizens[0]);
    assert!(leak["process"]["exe"].as_str().unwrap().starts_with("/usr/bin/python3"), "{leak:#}");
    assert_eq!(handed_by(&leak), "curl", "{leak:#}");
    let leak = told(&secret, &citizens[1]);
    assert_eq!(leak["process"]["comm"], "curl", "{leak:#}");
    assert!(leak["relayed"].is_null(), "{leak:#}");
    seen.assert_all_inspected_of(&[(plain, ""), (secret, "")]);
}

/// A mail goes through several programs of one server; another one than took it sends it on, over TLS.
#[test]
fn postfix_says_who_handed_it_a_mail() {
    let needs = ["/usr/bin/python3", "postfix", "curl"].map(Need::Program);
    let test = "postfix_says_who_handed_it_a_mail";
    if !can_run(test, &[&[Need::Root, Need::Agent][..], &needs].concat()) {
        return;
    }
    let port = 18_525;
    let mut lab = Lab::new().unwrap();
    let host = "post.analyse.example";
    let [certificate, key] = lab.authority().files(lab.scratch(), host).unwrap();
    let address = lab.spare_address(Family::V4).unwrap();
    let mut server = Command::new("/usr/bin/python3");
    server.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/programs/smtp_server.py"));
    server.arg(address.to_string()).args([&certificate, &key]).arg("1.3");
    let server = lab.network().inside(|| Held::start_listening(&mut server)).unwrap();
    let trial = Trial::start(&lab, &relay(port, "/usr/lib/postfix/sbin/smtp"), &[]).unwrap();
    let mailer = Mailer::new(&lab, address, host).unwrap();
    mailer.listen(port).unwrap();
    let _running = mailer.start(&lab).unwrap();
    await_port(port);
    let citizen = &payload::citizens(95, 1)[0];
    let mail = format!("Subject: Sagen\r\n\r\nVi har behandlet sagen.\r\n{}\r\n", payload::named(citizen));
    let mail = lab.scratch().write("mail", mail).unwrap();
    let mut curl = lab.command("curl").unwrap();
    curl.args(["--silent", "--show-error", "--mail-from", "sag@kilde.example"]);
    curl.args(["--mail-rcpt", "sag@analyse.example", "--upload-file"]).arg(mail);
    assert!(curl.arg(format!("smtp://127.0.0.1:{port}")).status().unwrap().success());
    server.end().unwrap();
    let seen = trial.stop().unwrap();
    let [leak] = &seen.leaks[..] else { panic!("{:#?}", seen.leaks) };
    assert_eq!(leak["process"]["comm"], "smtp", "{leak:#}");
    assert_eq!(leak["destination"]["ip"], address.to_string(), "{leak:#}");
    assert_eq!(handed_by(leak), "curl", "{leak:#}");
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
}
