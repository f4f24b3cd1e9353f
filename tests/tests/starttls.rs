//! Programs that begin in clear, ask whether the server speaks TLS, and go on in TLS on the same connection: what they
//! then send is told once, as encrypted, at its destination. Postfix is among the `servers`.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};

use cprvagt_tests::held::Held;
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::Family;
use cprvagt_tests::writes::Library;
use cprvagt_tests::{Expected, Lab, Trial, payload};

const HOST: &str = "db.analyse.example";

/// A program that sends what it reads on its standard input to such a server.
struct Client {
    program: &'static str,
    /// The server, below `tests/programs`, and where it listens.
    server: &'static str,
    port: u16,
    /// Sets the program's arguments up: version of TLS, the server's address, the lab's authority.
    prepare: fn(&mut Command, &str, IpAddr, &str),
    /// What it is to read.
    input: fn(&str) -> String,
    tap: &'static str,
    /// Whether its hello names the host: it asks for one, and not for an address.
    says_host: bool,
}

fn check(name: &str, client: &Client) {
    let needs = [Need::Root, Need::Agent, Need::Program("/usr/bin/python3"), Need::Program(client.program)];
    if !can_run(name, &needs) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let [certificate, key] = lab.authority().files(lab.scratch(), HOST).unwrap();
    let script = format!("{}/programs/{}", env!("CARGO_MANIFEST_DIR"), client.server);
    let authority = lab.authority().file().display().to_string();
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let citizens = payload::citizens(client.port.into(), 2);
    let mut expected = Vec::new();
    for (citizen, version) in citizens.iter().zip(["1.2", "1.3"]) {
        let address = lab.spare_address(Family::V4).unwrap();
        let mut server = Command::new("/usr/bin/python3");
        server.arg(&script).arg(address.to_string()).args([&certificate, &key]);
        let server = lab.network().inside(|| Held::start_listening(&mut server)).unwrap();
        let input = (client.input)(&payload::named(citizen));
        let input = lab.scratch().write(&format!("input-{version}"), input).unwrap();
        let mut command = lab.command(client.program).unwrap();
        (client.prepare)(&mut command, version, address, &authority);
        let input = File::open(input).unwrap();
        let output = command.stdin(Stdio::from(input)).output().unwrap();
        assert!(output.status.success(), "{version}: {}", String::from_utf8_lossy(&output.stderr));
        server.end().unwrap();
        let address = SocketAddr::new(address, client.port);
        let host = client.says_host.then_some(HOST);
        expected.push(Expected { host, ..Expected::tls(citizen, address, HOST, version).at(client.tap) });
    }
    let seen = trial.stop().unwrap();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
    assert_eq!(seen.ledger["lost"], serde_json::json!([]), "{:#}", seen.ledger);
}

#[test]
fn psql() {
    let prepare = |psql: &mut Command, version: &str, address: IpAddr, authority: &str| {
        psql.arg("--no-psqlrc").arg(format!(
            "host={HOST} hostaddr={address} user=sag dbname=sag gssencmode=disable sslmode=verify-full \
             sslrootcert={authority} ssl_min_protocol_version=TLSv{version} ssl_max_protocol_version=TLSv{version}"
        ));
    };
    let input = |text: &str| format!("INSERT INTO sag (notat) VALUES ('{text}');\n");
    let (server, tap) = ("postgres_server.py", Library::Openssl.tap());
    check("psql", &Client { program: "psql", server, port: 5432, prepare, input, tap, says_host: true });
}

#[test]
fn ldapsearch() {
    let prepare = |search: &mut Command, version: &str, address: IpAddr, _: &str| {
        let ciphers = format!("NORMAL:-VERS-ALL:+VERS-TLS{version}");
        search.env("LDAPTLS_REQCERT", "never").env("LDAPTLS_CIPHER_SUITE", ciphers);
        search.args(["-x", "-ZZ", "-H"]).arg(format!("ldap://{address}"));
        search.args(["-b", "dc=example", "-f", "/dev/stdin", "(description=%s)"]);
    };
    let input = |text: &str| format!("{text}\n");
    let (server, tap) = ("ldap_server.py", Library::Gnutls.tap());
    let client = Client { program: "ldapsearch", server, port: 389, prepare, input, tap, says_host: false };
    check("ldapsearch", &client);
}

#[test]
fn mariadb() {
    let prepare = |client: &mut Command, version: &str, address: IpAddr, authority: &str| {
        client
            .arg("--no-defaults")
            .arg(format!("--host={address}"))
            .arg(format!("--tls-version=TLSv{version}"));
        client.args(["--user=sag", "--batch", "--ssl"]).arg(format!("--ssl-ca={authority}"));
    };
    let input = |text: &str| format!("INSERT INTO sag (notat) VALUES ('{text}');\n");
    let (server, tap) = ("mysql_server.py", Library::Openssl.tap());
    check(
        "mariadb",
        &Client { program: "mariadb", server, port: 3306, prepare, input, tap, says_host: false },
    );
}
