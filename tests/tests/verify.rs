//! A leak against what tcpdump has captured beside the agent.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use cprvagt_tests::authority::BOTH_VERSIONS;
use cprvagt_tests::lab::Service;
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::loss;
use cprvagt_tests::network::Family;
use cprvagt_tests::server::{Server, Speaks};
use cprvagt_tests::writes::{self, Connection, Write};
use cprvagt_tests::{Job, Lab, Program, Seen, Trial, agent, payload};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

const NEEDS: [Need<'static>; 4] =
    [Need::Root, Need::Agent, Need::Program("/usr/bin/python3"), Need::Program("tcpdump")];
const LIMIT: Duration = Duration::from_secs(120);

/// A tcpdump that captures; killed on drop.
struct Tcpdump {
    child: Child,
    file: PathBuf,
}

impl Tcpdump {
    /// Captures TCP at an interface, and waits until it does.
    fn start(lab: &Lab, interface: &str, arguments: &[&str]) -> Self {
        let name =
            format!("{}-{}", interface.replace(|c: char| !c.is_alphanumeric(), ""), arguments.join(""));
        let [file, said] = ["pcap", "stderr"].map(|kind| lab.scratch().path().join(format!("{name}.{kind}")));
        let mut command = Command::new("tcpdump");
        command.args(["-i", interface, "-n", "-Z", "root", "-B", "65536", "--immediate-mode", "-U", "-w"]);
        command.arg(&file).args(arguments).arg("tcp").stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(fs::File::create(&said).unwrap()).spawn().unwrap();
        let capture = Self { child, file };
        let started = Instant::now();
        while !fs::read_to_string(&said).unwrap().contains("listening on") {
            assert!(started.elapsed() < LIMIT, "tcpdump: {}", fs::read_to_string(&said).unwrap());
            std::thread::sleep(Duration::from_millis(10));
        }
        capture
    }

    /// Ends it in order; returns the capture.
    fn end(mut self) -> PathBuf {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGINT).unwrap();
        assert!(self.child.wait().unwrap().success());
        self.file.clone()
    }
}

impl Drop for Tcpdump {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped_already = self.child.wait();
    }
}

fn verify(recording: &Path, pcap: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(agent::binary().unwrap());
    command.arg("verify").arg(recording).arg("--pcap").arg(pcap).args(arguments).output().unwrap()
}

/// Exit code and the object that is told of a leak.
fn answer(recording: &Path, pcap: &Path, leak: &Value) -> (i32, Value) {
    let output = verify(recording, pcap, &["--json", "--id", leak["id"].as_str().unwrap()]);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap())
}

/// Asserts that the capture bears each leak out, and names the right server.
fn assert_all_borne_out(seen: &Seen, recording: &Path, pcap: &Path) {
    for leak in &seen.leaks {
        let (exit, told) = answer(recording, pcap, leak);
        assert_eq!((exit, &told["answer"]), (0, &"yes".into()), "{leak:#} {told:#}");
        let to: SocketAddr = told["to"].as_str().unwrap().parse().unwrap();
        let destination = &leak["destination"];
        assert_eq!([&json!(to.ip()), &json!(to.port())], [&destination["ip"], &destination["port"]]);
        assert_eq!(told["acknowledged"], true);
    }
}

fn recorded(lab: &Lab, seen: &Seen) -> PathBuf {
    lab.scratch().write("leaks.jsonl", &seen.stdout).unwrap()
}

/// Two addresses, each version of TLS, short and long writes, all at the same time.
fn connections(lab: &mut Lab, citizens: &[String]) -> (Vec<Server>, Vec<Connection>) {
    let host = "maal.analyse.example";
    let config = lab.authority().server(host, &BOTH_VERSIONS).unwrap();
    let servers = [Family::V4, Family::V6].map(|family| {
        let address = SocketAddr::new(lab.spare_address(family).unwrap(), 443);
        Server::tcp(lab.network(), address, Speaks::Sink, Some(config.clone())).unwrap()
    });
    let made = citizens.chunks(3).enumerate().map(|(index, citizens)| {
        let sizes = [100, 40_000, 700];
        let write = |(citizen, size): (&String, usize)| {
            Write::sized(size, &format!(" {}\n", payload::named(citizen)))
        };
        let writes = citizens.iter().zip(sizes).map(write).collect();
        let version = if index % 4 < 2 { "1.3" } else { "1.2" };
        Connection::tls(servers[index % 2].address(), host, writes).version(version)
    });
    let made = made.collect();
    (servers.into(), made)
}

#[test]
fn what_tcpdump_captured_bears_each_leak_out() {
    if !can_run("what_tcpdump_captured_bears_each_leak_out", &NEEDS) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let citizens = payload::citizens(820, 36);
    let (servers, connections) = connections(&mut lab, &citizens);
    let clear = lab.recipient("klar.analyse.example", Service::Http, Family::V4).unwrap();
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let link = lab.network().host_link().to_owned();
    // As it passes this host's end of the wire, over any interface (cooked), and cut behind the record's header.
    let captures = [
        Tcpdump::start(&lab, &link, &[]),
        Tcpdump::start(&lab, "any", &[]),
        Tcpdump::start(&lab, "any", &["-y", "LINUX_SLL"]),
        Tcpdump::start(&lab, &link, &["-s", "160"]),
    ];
    writes::run(&lab, &connections).unwrap();
    let [open] = payload::citizens(821, 1).try_into().unwrap();
    Program::PythonSsl.run(&lab, &[Job::get(format!("{}/?cpr={open}", clear.origin()))], 1).unwrap();
    assert!(servers.iter().all(|server| server.settle(LIMIT)));
    let [link, any, cooked, cut] = captures.map(Tcpdump::end);
    let mut seen = trial.stop().unwrap();
    let recording = recorded(&lab, &seen);
    assert_eq!(seen.leaks.len(), citizens.len() + 1);
    let in_clear = seen.leaks.iter().position(|leak| leak["transport"]["encrypted"] == false).unwrap();
    let in_clear = seen.leaks.remove(in_clear);
    for capture in [&link, &any, &cooked] {
        assert_all_borne_out(&seen, &recording, capture);
    }
    let (exit, told) = answer(&recording, &link, &in_clear);
    assert_eq!((exit, &told["answer"]), (3, &"unknown".into()), "{told}");
    // In what was cut, records that begin a segment show their headers; others do not, and nothing is denied.
    let exits: Vec<i32> = seen.leaks.iter().map(|leak| answer(&recording, &cut, leak).0).collect();
    assert!(exits.contains(&0) && exits.iter().all(|exit| [0, 3].contains(exit)), "{exits:?}");
    assert_changed_leaks_are_denied(&lab, &seen.leaks[0], &link);
    let several = verify(&recording, &link, &[]);
    assert_eq!(several.status.code(), Some(2));
    assert!(String::from_utf8(several.stderr).unwrap().contains("--id"));
}

/// One byte beside the record, another length, another address, another hello.
fn assert_changed_leaks_are_denied(lab: &Lab, leak: &Value, pcap: &Path) {
    type Change = fn(&mut Value);
    let changes: [(Change, i32); 4] = [
        (
            |leak| {
                leak["evidence"]["records"][0]["at"] =
                    (leak["evidence"]["records"][0]["at"].as_u64().unwrap() + 1).into()
            },
            1,
        ),
        (|leak| leak["evidence"]["records"][0]["length"] = 99.into(), 1),
        (|leak| leak["destination"]["ip"] = "192.0.2.77".into(), 1),
        (|leak| leak["evidence"]["hello_random"] = "00".repeat(32).into(), 3),
    ];
    for (index, (change, expected)) in changes.into_iter().enumerate() {
        let mut leak = leak.clone();
        change(&mut leak);
        let file = lab.scratch().write("changed.json", leak.to_string()).unwrap();
        assert_eq!(answer(&file, pcap, &leak).0, expected, "change {index}");
    }
}

/// What gets lost on its way is sent again: the capture has it twice and in another order.
#[test]
fn a_capture_of_a_bad_network_bears_each_leak_out() {
    let name = "a_capture_of_a_bad_network_bears_each_leak_out";
    if !can_run(name, &[&NEEDS[..], &[Need::Program("nft")]].concat()) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let citizens = payload::citizens(822, 36);
    let (servers, connections) = connections(&mut lab, &citizens);
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let capture = Tcpdump::start(&lab, lab.network().host_link(), &[]);
    if let Err(reason) = loss::lose(&lab, 443, 20) {
        println!("skipped: {name}: nft cannot drop packets here: {reason}");
        return;
    }
    writes::run(&lab, &connections).unwrap();
    assert!(servers.iter().all(|server| server.settle(LIMIT)));
    let capture = capture.end();
    let seen = trial.stop().unwrap();
    assert_eq!(seen.leaks.len(), citizens.len());
    assert_all_borne_out(&seen, &recorded(&lab, &seen), &capture);
}
