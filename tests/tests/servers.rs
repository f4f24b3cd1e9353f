//! Programs that are servers themselves and pass on what they are given, unmodified, over TLS 1.2 and 1.3: what each
//! sends is told once, at its destination, and the account of its bytes is whole.
//!
//! *Not here*: programs that people start for one request (`clients`).
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use cprvagt_tests::held::Held;
use cprvagt_tests::lab::Recipient;
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::mailer::Mailer;
use cprvagt_tests::network::Family;
use cprvagt_tests::writes::Library;
use cprvagt_tests::{Expected, Lab, Trial, payload};

const SETTLE: Duration = Duration::from_secs(120);

/// Recipients, each with the version of TLS that it speaks.
type Recipients = [(Arc<Recipient>, &'static str)];

/// A program as a reverse proxy: a request for `/N/...` is passed on to recipient `N` over TLS.
struct Proxy<'a> {
    program: &'a str,
    /// Where it listens on loopback.
    port: u16,
    /// What goes before the file with its configuration.
    arguments: &'a [&'a str],
    /// Its configuration, with a folder for its files, and the lab's authority.
    config: fn(port: u16, folder: &str, authority: &str, recipients: &Recipients) -> String,
}

/// What the proxy passes on is told, not what it is asked.
fn check_proxy(name: &str, proxy: &Proxy<'_>) {
    if !can_run(name, &[Need::Root, Need::Agent, Need::Program(proxy.program), Need::Program("curl")]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let recipients = lab.recipient_of_each_version().unwrap();
    let authority = lab.authority().file().display().to_string();
    let folder = lab.scratch().path().display().to_string();
    let config = (proxy.config)(proxy.port, &folder, &authority, &recipients);
    let config = lab.scratch().write("proxy.conf", config).unwrap();
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let mut command = lab.command_with_children(proxy.program).unwrap();
    let running = Held::start(command.args(proxy.arguments).arg(config)).unwrap();
    // Others for each: an agent must not take what another test's proxy sends for this one's.
    let citizens = payload::citizens(proxy.port.into(), recipients.len());
    for (at, citizen) in citizens.iter().enumerate() {
        let url = format!("url = \"http://127.0.0.1:{}/{at}/sag?cpr={citizen}\"\n", proxy.port);
        let url = lab.scratch().write(&format!("url-{at}"), url).unwrap();
        let mut curl = lab.command("curl").unwrap();
        curl.args(["--silent", "--fail", "--output", "/dev/null", "--retry", "30", "--retry-connrefused"]);
        assert!(curl.args(["--retry-delay", "1", "--config"]).arg(url).status().unwrap().success(), "{at}");
    }
    // It keeps its connections open for later requests.
    drop(running);
    assert!(recipients.iter().all(|(recipient, _)| recipient.server.settle(SETTLE)));
    let seen = trial.stop().unwrap();
    assert!(seen.leaks.iter().all(|leak| leak["process"]["comm"] == proxy.program), "{:?}", seen.leaks);
    seen.assert_each_told(&recipients, &citizens, Library::Openssl.tap());
}

#[test]
fn nginx() {
    let config = |port, folder: &str, authority: &str, recipients: &Recipients| {
        let places = recipients.iter().enumerate().map(|(at, (recipient, _))| {
            format!(
                "location /{at}/ {{ proxy_pass https://{host}/; proxy_ssl_server_name on; proxy_ssl_verify on; \
                 proxy_ssl_name {host}; proxy_ssl_trusted_certificate {authority}; \
                 proxy_ssl_protocols TLSv1.2 TLSv1.3; }}\n",
                host = recipient.host,
            )
        });
        format!(
            "daemon off; user root; pid {folder}/nginx.pid; error_log stderr;\n\
             events {{}}\n\
             http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n\
             fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n\
             server {{ listen 127.0.0.1:{port};\n{}}} }}\n",
            places.collect::<String>()
        )
    };
    check_proxy("nginx", &Proxy { program: "nginx", port: 18_443, arguments: &["-c"], config });
}

#[test]
fn apache() {
    let config = |port, folder: &str, authority: &str, recipients: &Recipients| {
        let modules = ["mpm_event", "authz_core", "ssl", "proxy", "proxy_http"]
            .map(|module| format!("LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n"));
        let places = recipients
            .iter()
            .enumerate()
            .map(|(at, (recipient, _))| format!("ProxyPass /{at}/ https://{}/\n", recipient.host));
        format!(
            "{}User www-data\nGroup www-data\nServerName localhost\nListen 127.0.0.1:{port}\n\
             ServerRoot {folder}\nDefaultRuntimeDir {folder}\nPidFile {folder}/apache.pid\n\
             ErrorLog /dev/stderr\nSSLProxyEngine on\nSSLProxyVerify require\n\
             SSLProxyCACertificateFile {authority}\n{}",
            modules.concat(),
            places.collect::<String>()
        )
    };
    check_proxy(
        "apache",
        &Proxy { program: "apache2", port: 18_444, arguments: &["-DFOREGROUND", "-f"], config },
    );
}

/// It greets in clear, and asks for TLS on the same connection.
#[test]
fn postfix() {
    let programs = ["/usr/bin/python3", "postfix"].map(Need::Program);
    if !can_run("postfix", &[&[Need::Root, Need::Agent][..], &programs].concat()) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let host = "post.analyse.example";
    let [certificate, key] = lab.authority().files(lab.scratch(), host).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/smtp_server.py");
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let citizens = payload::citizens(51, 2);
    let mut expected = Vec::new();
    for ((citizen, version), family) in citizens.iter().zip(["1.2", "1.3"]).zip([Family::V4, Family::V6]) {
        let address = lab.spare_address(family).unwrap();
        let mut server = Command::new("/usr/bin/python3");
        server.arg(script).arg(address.to_string()).args([&certificate, &key]).arg(version);
        let server = lab.network().inside(|| Held::start_listening(&mut server)).unwrap();
        let mail = format!("Subject: Sagen\n\nVi har behandlet sagen.\n{}\n", payload::named(citizen));
        let mail = lab.scratch().write(&format!("mail-{version}"), mail).unwrap();
        let mailer = Mailer::new(&lab, address, host).unwrap();
        let _running = mailer.send(&lab, &mail).unwrap();
        server.end().unwrap();
        expected.push(Expected::tls(citizen, SocketAddr::new(address, 25), host, version));
    }
    let seen = trial.stop().unwrap();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    assert!(seen.leaks.iter().all(|leak| leak["process"]["comm"] == "smtp"), "{:?}", seen.leaks);
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
    assert_eq!(
        [&seen.ledger["lost"], &seen.ledger["blind"]],
        [&serde_json::json!([]); 2],
        "{:#}",
        seen.ledger
    );
}
