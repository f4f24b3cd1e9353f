//! The lab itself: what programs send is what servers record, and nothing is left afterwards.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use cprvagt_tests::lab::Service;
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::{Family, Network};
use cprvagt_tests::scratch;
use cprvagt_tests::server::{Server, Speaks};
use cprvagt_tests::{Job, Lab, Program};

const SETTLE: Duration = Duration::from_secs(60);

fn exists(link: &str) -> bool {
    Path::new("/sys/class/net").join(link).exists()
}

/// Every program, to a TLS recipient over IPv4 and IPv6 and to a plain one: each request arrives whole.
#[test]
fn programs_reach_the_recipients_by_name() {
    if !can_run("programs_reach_the_recipients_by_name", &[Need::Root, Need::Program("ip")]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let recipients = [
        lab.recipient("www.analyse.example", Service::Https, Family::V4).unwrap(),
        lab.recipient("cdn.bibliotek.example", Service::Https, Family::V6).unwrap(),
        lab.recipient("log.drift.example", Service::Http, Family::V4).unwrap(),
    ];
    for program in Program::ALL {
        if let Some(reason) = program.missing() {
            println!("skipped: programs_reach_the_recipients_by_name ({}): {reason}", program.name());
            continue;
        }
        for recipient in &recipients {
            if recipient.service == Service::Http && !program.sends_plain() {
                continue;
            }
            let jobs = [
                Job::get(format!("{}/a/b?q=1", recipient.origin())).header("X-Mark", "yes, \"quoted\""),
                Job::get(format!("{}/c", recipient.origin()))
                    .header("Cookie", "a=b; c=d")
                    .header("Referer", "https://x.example/?y=z"),
                Job::post(
                    format!("{}/d", recipient.origin()),
                    "application/json",
                    "{\"k\":\"line\\none \\\\\"}",
                ),
            ];
            let batches: Vec<&[Job]> =
                if program == Program::OpensslSClient { jobs.chunks(1).collect() } else { vec![&jobs] };
            for batch in batches {
                program.run(&lab, batch, 2).unwrap();
            }
            assert!(recipient.server.settle(SETTLE));
            let mut received = recipient.server.received();
            assert_eq!(received.errors, Vec::<String>::new(), "{}", program.name());
            let mut requests = std::mem::take(&mut received.requests);
            requests.sort_by(|a, b| a.target.cmp(&b.target));
            let targets: Vec<&str> = requests.iter().map(|request| request.target.as_str()).collect();
            assert_eq!(targets, ["/a/b?q=1", "/c", "/d"], "{}", program.name());
            assert!(requests.iter().all(|request| request.host == recipient.host));
            assert_eq!(requests[0].header("X-Mark"), Some("yes, \"quoted\""));
            assert_eq!(requests[1].header("Cookie"), Some("a=b; c=d"));
            assert_eq!(requests[1].header("Referer"), Some("https://x.example/?y=z"), "{}", program.name());
            assert_eq!(requests[2].body, jobs[2].body.as_ref().unwrap().as_bytes());
            assert_eq!(requests[2].header("Content-Type"), Some("application/json"));
        }
    }
}

#[test]
fn a_hundred_connections_at_once_arrive_apart() {
    if !can_run("a_hundred_connections_at_once_arrive_apart", &[Need::Root, Need::Program("node")]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let hosts: Vec<String> = (0..8).map(|index| format!("r{index}.lab.example")).collect();
    for host in &hosts {
        lab.recipient(host, Service::Https, Family::V4).unwrap();
    }
    let jobs: Vec<Job> =
        (0..200).map(|index| Job::get(format!("https://{}/{index:04}", hosts[index % 8]))).collect();
    for program in [Program::PythonAsyncio, Program::NodeHttps, Program::NodeFetch] {
        if program.missing().is_some() {
            continue;
        }
        program.run(&lab, &jobs, 100).unwrap();
        for (index, recipient) in lab.recipients().iter().enumerate() {
            let mut received = recipient.server.received();
            let mut got: Vec<String> = received.requests.drain(..).map(|request| request.target).collect();
            got.sort();
            let expected: Vec<String> = (index..200).step_by(8).map(|job| format!("/{job:04}")).collect();
            assert_eq!(got, expected, "{}", program.name());
            let connections = std::mem::take(&mut received.wire_bytes_by_peer).len();
            assert!(connections >= 12, "{}: only {connections} connections", program.name());
        }
    }
}

#[test]
fn sinks_count_and_keep_what_they_get() {
    if !can_run("sinks_count_and_keep_what_they_get", &[Need::Root, Need::Program("ip")]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    for family in [Family::V4, Family::V6] {
        let address = SocketAddr::new(lab.spare_address(family).unwrap(), 9000);
        let tcp = Server::tcp(lab.network(), address, Speaks::KeepingSink, None).unwrap();
        let udp = Server::udp(lab.network(), address, Speaks::KeepingSink).unwrap();
        let content: Vec<u8> =
            (0..4u32 << 20).map(|index| index.to_le_bytes()[(index % 3) as usize]).collect();
        let mut stream = TcpStream::connect(address).unwrap();
        let own = stream.local_addr().unwrap();
        assert_eq!(own.ip(), lab.network().host_address(family));
        stream.write_all(&content).unwrap();
        drop(stream);
        let socket = UdpSocket::bind(SocketAddr::new(lab.network().host_address(family), 0)).unwrap();
        for size in [1, 1472, 9000] {
            socket.send_to(&content[..size], address).unwrap();
        }
        std::thread::sleep(Duration::from_millis(50));
        assert!(tcp.settle(SETTLE));
        assert_eq!(tcp.received().wire_bytes_by_peer[&own], 4 << 20);
        assert_eq!(tcp.received().content_by_peer[&own], content);
        assert_eq!(udp.received().wire_bytes(), 1 + 1472 + 9000);
    }
}

#[test]
fn nothing_is_left_when_a_lab_ends_or_panics() {
    if !can_run("nothing_is_left_when_a_lab_ends_or_panics", &[Need::Root, Need::Program("ip")]) {
        return;
    }
    let mut names = Vec::new();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut lab = Lab::new().unwrap();
        lab.recipient("a.example", Service::Https, Family::V4).unwrap();
        names.push((lab.network().host_link().to_owned(), lab.scratch().path().to_owned()));
        assert!(exists(lab.network().host_link()) && lab.scratch().path().exists());
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    let (link, folder) = &names[0];
    assert!(!exists(link) && !folder.exists());
}

/// A link named after a process that is dead: the largest pid that Linux hands out is 2^22.
#[test]
fn what_a_killed_run_left_is_removed_at_the_next_start() {
    if !can_run("what_a_killed_run_left_is_removed_at_the_next_start", &[Need::Root, Need::Program("ip")]) {
        return;
    }
    let ip = |arguments: &str| {
        let status = std::process::Command::new("ip").args(arguments.split(' ')).status().unwrap();
        assert!(status.success(), "ip {arguments}");
    };
    ip("link add cpr4999999n0h type veth peer name cpr4999999n0l");
    assert!(exists("cpr4999999n0h"));
    let network = Network::new(&scratch::unique_name()).unwrap();
    assert!(!exists("cpr4999999n0h") && !exists("cpr4999999n0l"));
    let link = network.host_link().to_owned();
    assert!(exists(&link), "a living lab keeps its own");
    drop(network);
    assert!(!exists(&link));
}

/// Labs of one process and of several choose their addresses at the same moment.
#[test]
fn labs_that_start_at_once_have_addresses_of_their_own() {
    if !can_run("labs_that_start_at_once_have_addresses_of_their_own", &[Need::Root, Need::Program("ip")]) {
        return;
    }
    let build = || Network::new(&scratch::unique_name()).unwrap();
    let networks: Vec<Network> = std::thread::scope(|scope| {
        let builders: Vec<_> = (0..6).map(|_| scope.spawn(build)).collect();
        builders.into_iter().map(|builder| builder.join().unwrap()).collect()
    });
    let addresses: BTreeSet<_> = networks.iter().map(|network| network.host_address(Family::V4)).collect();
    assert_eq!(addresses.len(), networks.len());
}
