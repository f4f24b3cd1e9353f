//! What nobody can read is in the ledger under its reason, with who sent it and where to.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::Family;
use cprvagt_tests::server::{Server, Speaks};
use cprvagt_tests::{Lab, Seen, Trial, authority, payload};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const HOST: &str = "blind.analyse.example";
const SETTLE: Duration = Duration::from_secs(120);

/// A connection with rustls, whose functions no tap knows: this very process is the blind spot.
fn connect_by_rustls(lab: &Lab, to: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(lab.authority().file()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = versions.with_root_certificates(roots).with_no_client_auth();
    let session = ClientConnection::new(Arc::new(config), HOST.try_into().unwrap()).unwrap();
    StreamOwned::new(session, TcpStream::connect(to).unwrap())
}

fn close(mut stream: StreamOwned<ClientConnection, TcpStream>) {
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
    let _the_peer_answers_nothing = stream.sock.read_to_end(&mut Vec::new());
}

/// A datagram that begins as QUIC's first does: long header, version 1, padded (RFC 9000, 17.2.2 and 14.1).
fn quic_initial() -> Vec<u8> {
    let mut datagram = vec![0xc3, 0, 0, 0, 1, 8];
    datagram.resize(1200, 0x5a);
    datagram
}

fn line<'a>(seen: &'a Seen, reason: &str) -> &'a serde_json::Value {
    let lines = seen.ledger["blind"].as_array().unwrap();
    lines
        .iter()
        .find(|line| line["reason"] == reason)
        .unwrap_or_else(|| panic!("{reason}: {:#}", seen.ledger))
}

#[test]
fn tls_without_a_tap_and_quic_are_blind_spots_with_a_name() {
    let name = "tls_without_a_tap_and_quic_are_blind_spots_with_a_name";
    if !can_run(name, &[Need::Root, Need::Agent]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let tls = lab.authority().server(HOST, &authority::BOTH_VERSIONS).unwrap();
    let to = SocketAddr::new(lab.spare_address(Family::V4).unwrap(), 443);
    let sink = Server::tcp(lab.network(), to, Speaks::Sink, Some(tls)).unwrap();
    let quic = Server::udp(lab.network(), to, Speaks::Sink).unwrap();
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let citizen = payload::citizens(71, 1).remove(0);
    let body = payload::ending_with(50_000, &citizen);
    let mut stream = connect_by_rustls(&lab, to);
    stream.write_all(&body).unwrap();
    close(stream);
    let client = UdpSocket::bind("0.0.0.0:0").unwrap();
    client.connect(to).unwrap();
    client.send(&quic_initial()).unwrap();
    assert!(sink.settle(SETTLE));
    std::thread::sleep(Duration::from_millis(300));
    let seen = trial.stop().unwrap();
    assert_eq!(seen.leaks_of(&citizen).len(), 0, "nobody can have read it");
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
    let wire = sink.received().wire_bytes() + quic.received().wire_bytes();
    assert_eq!(seen.bytes("wire_bytes"), wire.cast_signed(), "{:#}", seen.ledger);
    let blind = line(&seen, "no-tap");
    assert!(blind["bytes"].as_u64().unwrap() >= body.len() as u64, "{blind:#}");
    assert_eq!(blind["destination"]["host"], HOST);
    assert_eq!(blind["process"]["pid"], std::process::id());
    assert_eq!(line(&seen, "quic")["bytes"], quic_initial().len());
}

/// Nobody waits for the end of a connection that may last for days.
#[test]
fn a_blind_spot_is_told_while_its_connection_goes_on() {
    let name = "a_blind_spot_is_told_while_its_connection_goes_on";
    if !can_run(name, &[Need::Root, Need::Agent]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let tls = lab.authority().server(HOST, &authority::BOTH_VERSIONS).unwrap();
    let to = SocketAddr::new(lab.spare_address(Family::V4).unwrap(), 443);
    let sink = Server::tcp(lab.network(), to, Speaks::Sink, Some(tls)).unwrap();
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let mut stream = connect_by_rustls(&lab, to);
    stream.write_all(b"nobody can read this\n").unwrap();
    let sent = Instant::now();
    let own = std::env::current_exe().unwrap().display().to_string();
    let wanted = ["WARN", "blind spot", "no-tap", HOST, &own, "allow the destination"];
    let told = trial.says(&wanted, SETTLE);
    println!("told {} ms after the first bytes (meant to be within 5 s)", sent.elapsed().as_millis());
    assert!(told.is_some(), "not told");
    stream.write_all(b"and it goes on\n").unwrap();
    close(stream);
    assert!(sink.settle(SETTLE));
    let seen = trial.stop().unwrap();
    let said = String::from_utf8_lossy(&seen.stderr).into_owned();
    assert_eq!(said.matches(HOST).count(), 1, "told once: {said}");
}
