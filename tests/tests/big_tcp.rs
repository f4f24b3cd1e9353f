//! TCP packets of more than 64 KiB (BIG TCP), which IPv6 has with a header of its own and IPv4 without a length: each is
//! read to its last byte.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::Family;
use cprvagt_tests::server::{Server, Speaks};
use cprvagt_tests::{Expected, Lab, Trial, payload};

const SETTLE: Duration = Duration::from_secs(120);
/// The most that the kernel lets a device take (`GSO_MAX_SIZE`).
const PACKET_BYTES_MAX: u32 = 8 * 65_535;
/// Enough for the connection's window to open that far.
const STREAM_BYTES: usize = 8 << 20;
const FAMILIES: [(Family, &str); 2] = [(Family::V4, "ipv4"), (Family::V6, "ipv6")];

#[test]
fn packets_of_more_than_64_kib_are_read_whole() {
    let programs = ["/usr/bin/python3", "nft"].map(Need::Program);
    let needs = [&[Need::Root, Need::Agent, Need::BigTcp][..], &programs].concat();
    if !can_run("packets_of_more_than_64_kib_are_read_whole", &needs) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let sinks = FAMILIES.map(|(family, _)| {
        let address = SocketAddr::new(lab.spare_address(family).unwrap(), 9000);
        Server::tcp(lab.network(), address, Speaks::Sink, None).unwrap()
    });
    let mut widen = Command::new("/usr/bin/python3");
    widen.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/programs/gso_max.py"));
    widen.args([lab.network().host_link(), &PACKET_BYTES_MAX.to_string()]);
    assert!(widen.status().unwrap().success(), "the device does not take such packets");
    count_arriving(&lab);
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let citizens = payload::citizens(96, sinks.len());
    for (sink, citizen) in sinks.iter().zip(&citizens) {
        send(sink, &payload::ending_with(STREAM_BYTES, citizen));
    }
    let seen = trial.stop().unwrap();
    let big = FAMILIES.map(|(_, name)| arrived(&lab, name));
    println!("packets of more than 64 KiB, IPv4 and IPv6: {big:?}");
    assert!(big.iter().all(|count| *count > 0), "the kernel made none, of IPv4 or IPv6: {big:?}");
    let expected =
        sinks.iter().zip(&citizens).map(|(sink, citizen)| Expected::plain(citizen, sink.address()));
    assert_eq!(seen.mismatches(&expected.collect::<Vec<_>>()), Vec::<String>::new());
    let sent = (STREAM_BYTES * sinks.len()) as u64;
    seen.assert_all_inspected(Some(sent), sent);
}

fn send(sink: &Server, bytes: &[u8]) {
    let mut stream = TcpStream::connect(sink.address()).unwrap();
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    stream.set_read_timeout(Some(SETTLE)).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    drop(stream);
    assert!(sink.settle(SETTLE));
}

/// Counts such packets of each family where they arrive, before anything takes them apart.
fn count_arriving(lab: &Lab) {
    let counters = FAMILIES.map(|(_, name)| format!("counter {name} {{ }}\n")).concat();
    let rules = FAMILIES.map(|(_, name)| {
        format!("meta nfproto {name} meta l4proto tcp meta length > 65600 counter name {name}\n")
    });
    let table = format!(
        "table inet big {{\n{counters}chain arriving {{\ntype filter hook input priority 0;\n{}}}\n}}\n",
        rules.concat()
    );
    let file = lab.scratch().write("big.nft", table).unwrap();
    let output = lab.network().inside(|| Command::new("nft").arg("-f").arg(file).output()).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn arrived(lab: &Lab, name: &str) -> u64 {
    let mut list = Command::new("nft");
    list.args(["list", "counter", "inet", "big", name]);
    let output = lab.network().inside(|| list.output()).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let count = text.split_once("packets ").and_then(|(_, rest)| rest.split(' ').next());
    count.unwrap().parse().unwrap()
}
