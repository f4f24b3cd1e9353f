//! Processes in control groups of their own: seen from the root, whatever is attached to their group, and named.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use aya::EbpfLoader;
use aya::programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType};
use cprvagt_tests::live::{Need, can_run, cgroup2};
use cprvagt_tests::network::Family;
use cprvagt_tests::scratch::{Scratch, unique_name};
use cprvagt_tests::server::{Server, Speaks};
use cprvagt_tests::{Expected, Lab, Trial, agent, payload};
use object::{Object as _, ObjectSection as _};

const NEEDS: [Need<'static>; 4] = [Need::Root, Need::Agent, Need::Cgroup2, Need::Program("/usr/bin/python3")];
const LIMIT: Duration = Duration::from_secs(60);
/// What container engines call a container.
const CONTAINER: &str = "4b7ce1d9a0f34b7ce1d9a0f34b7ce1d9a0f34b7ce1d9a0f34b7ce1d9a0f34b7c";
/// Sends its third argument and lives on until its standard input ends, so that there is time to ask who it is.
const CLIENT: &str = "import socket, sys
stream = socket.create_connection((sys.argv[1], int(sys.argv[2])))
stream.sendall(sys.argv[3].encode())
stream.shutdown(socket.SHUT_WR)
while stream.recv(65536): pass
sys.stdin.read()";

/// Nested groups, removed on drop, the innermost first.
struct Groups(Vec<PathBuf>);

impl Groups {
    fn new(names: &[&str]) -> Self {
        let mut path = cgroup2().unwrap();
        let mut groups = Self(Vec::new());
        for name in names {
            path.push(name);
            fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            groups.0.push(path.clone());
        }
        groups
    }

    fn innermost(&self) -> &Path {
        self.0.last().unwrap()
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        let started = Instant::now();
        for group in self.0.iter().rev() {
            // A process that has ended stays in its group for a moment.
            while fs::remove_dir(group).is_err() && started.elapsed() < LIMIT {
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// A client in a group; ended on drop.
struct Client(Child);

impl Client {
    /// Moves itself into the group, then becomes `wrapper` and the client; sockets belong to the group they were
    /// made in.
    fn start(group: &Path, wrapper: &[&str], to: SocketAddr, text: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", r#"echo $$ >"$0" && exec "$@""#]).arg(group.join("cgroup.procs")).args(wrapper);
        command.args(["/usr/bin/python3", "-c", CLIENT]);
        command.args([&to.ip().to_string(), &to.port().to_string(), text]);
        Self(command.stdin(Stdio::piped()).spawn().unwrap())
    }

    fn finish(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _reaped_already = self.0.wait();
    }
}

/// A lab with one sink, and an agent on the root.
struct World {
    trial: Trial,
    sink: Server,
    _lab: Lab,
}

impl World {
    fn new() -> Self {
        let mut lab = Lab::new().unwrap();
        let address = SocketAddr::new(lab.spare_address(Family::V4).unwrap(), 9000);
        let sink = Server::tcp(lab.network(), address, Speaks::Sink, None).unwrap();
        let trial = Trial::start(&lab, "", &[]).unwrap();
        Self { trial, sink, _lab: lab }
    }

    /// Sends a number from that group, and checks that it is told with these names and nothing is unexplained.
    fn check(mut self, group: &Path, wrapper: &[&str], seed: u64, names: [Option<&str>; 2]) {
        let citizen = payload::citizens(seed, 1).remove(0);
        let to = self.sink.address();
        let client = Client::start(group, wrapper, to, &payload::named(&citizen));
        assert_eq!(self.trial.wait_for(1, LIMIT), 1);
        client.finish();
        assert!(self.sink.settle(LIMIT));
        let seen = self.trial.stop().unwrap();
        assert_eq!(seen.mismatches(&[Expected::plain(&citizen, to)]), Vec::<String>::new());
        let process = &seen.leaks[0]["process"];
        assert_eq!([&process["unit"], &process["container"]].map(|it| it.as_str()), names, "{process:#}");
        let wire = self.sink.received().wire_bytes().cast_signed();
        let got = ["wire_bytes", "inspected_bytes", "unexplained_bytes"].map(|it| seen.bytes(it));
        assert_eq!(got, [wire, wire, 0], "{:#}", seen.ledger);
    }
}

/// The agent's own program for packets stands for somebody else's: it lets everything pass.
fn attach_another_program(group: &Path) -> aya::Ebpf {
    let bytes = fs::read(agent::binary().unwrap()).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let object = file.section_by_name(".cprvagt.bpf").unwrap().data().unwrap().to_vec();
    let mut ebpf = EbpfLoader::new().load(&object).unwrap();
    let program: &mut CgroupSkb = ebpf.program_mut("wire_egress").unwrap().try_into().unwrap();
    program.load().unwrap();
    let group = File::open(group).unwrap();
    program.attach(&group, CgroupSkbAttachType::Egress, CgroupAttachMode::Single).unwrap();
    ebpf
}

#[test]
fn a_service_in_a_nested_group_is_read_and_named() {
    if !can_run("a_service_in_a_nested_group_is_read_and_named", &NEEDS) {
        return;
    }
    let groups = Groups::new(&[&format!("{}.slice", unique_name()), "sag.service", "inner"]);
    World::new().check(groups.innermost(), &[], 97, [Some("sag.service"), None]);
}

#[test]
fn a_container_in_a_group_namespace_is_read_and_named() {
    let name = "a_container_in_a_group_namespace_is_read_and_named";
    if !can_run(name, &NEEDS) {
        return;
    }
    let scope = format!("docker-{CONTAINER}.scope");
    let groups = Groups::new(&[&unique_name(), &scope, "init"]);
    let names = [Some(scope.as_str()), Some(CONTAINER)];
    World::new().check(groups.innermost(), &["unshare", "--cgroup"], 98, names);
}

/// A program at a group does not replace that of the root, whichever was there first.
#[test]
fn a_program_at_the_group_itself_hides_nothing() {
    if !can_run("a_program_at_the_group_itself_hides_nothing", &NEEDS) {
        return;
    }
    let groups = Groups::new(&[&unique_name(), "inner"]);
    let before = attach_another_program(groups.innermost());
    World::new().check(groups.innermost(), &[], 99, [None, None]);
    drop(before);
    let world = World::new();
    let _after = attach_another_program(groups.innermost());
    world.check(groups.innermost(), &[], 100, [None, None]);
}

/// What an agent could see from there is a part, and it does not say that it watches the host.
#[test]
fn an_agent_that_sees_only_a_part_does_not_start() {
    if !can_run("an_agent_that_sees_only_a_part_does_not_start", &NEEDS) {
        return;
    }
    let scratch = Scratch::new(&unique_name()).unwrap();
    let groups = Groups::new(&[&unique_name()]);
    let config = scratch.write("agent.toml", "").unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", r#"echo $$ >"$0" && exec "$@""#]).arg(groups.innermost().join("cgroup.procs"));
    command.args(["unshare", "--cgroup", "timeout", "60"]).arg(agent::binary().unwrap());
    let output = command.args(["watch", "--config"]).arg(config).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("not the root"), "{said}");
}
