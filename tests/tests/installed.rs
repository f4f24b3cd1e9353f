//! The agent as its package installs it: the user, the folders and the unit of `packaging/`, whole.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use cprvagt_tests::agent;
use cprvagt_tests::collector::{self, Collector};
use cprvagt_tests::lab::{Lab, Recipient, Service};
use cprvagt_tests::live::{Need, can_run, is_guest};
use cprvagt_tests::network::Family;
use cprvagt_tests::payload;
use cprvagt_tests::program::library;
use cprvagt_tests::scratch::{Scratch, unique_name};

const NEEDS: [Need<'static>; 5] =
    [Need::Root, Need::Systemd, Need::Agent, Need::Collector, Need::Program("curl")];
const LIMIT: Duration = Duration::from_secs(120);
const UNIT: &str = "cprvagt-agent.service";
/// What goes where, as the manifest of the agent has it for its package.
const FILES: [(&str, &str); 4] = [
    ("/etc/cprvagt/agent.toml", include_str!("../../config/agent.toml")),
    (
        "/usr/lib/systemd/system/cprvagt-agent.service",
        include_str!("../../packaging/agent/cprvagt-agent.service"),
    ),
    ("/usr/lib/sysusers.d/cprvagt-agent.conf", include_str!("../../packaging/agent/cprvagt-agent.sysusers")),
    ("/usr/lib/tmpfiles.d/cprvagt-agent.conf", include_str!("../../packaging/agent/cprvagt-agent.tmpfile")),
];
const ENROLMENT: &str = "/var/lib/cprvagt/enrolment/enrolment.json";

/// Installs as the package's scripts do. Only where the whole system is thrown away afterwards.
fn install() {
    for (file, text) in FILES {
        fs::create_dir_all(Path::new(file).parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    fs::copy(agent::binary().unwrap(), "/usr/bin/cprvagt").unwrap();
    ran("systemd-sysusers", &["cprvagt-agent.conf"]);
    ran("systemd-tmpfiles", &["--create", "cprvagt-agent.conf"]);
    ran("systemctl", &["daemon-reload"]);
}

fn ran(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{}", said(&output), journal());
    said(&output)
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

fn journal() -> String {
    said(&Command::new("journalctl").args(["--no-pager", "-u", UNIT]).output().unwrap())
}

fn property(name: &str) -> String {
    ran("systemctl", &["show", "--value", "-p", name, UNIT]).trim().to_owned()
}

/// Keys of a controller, and this host enrolled by root, as an operator does.
fn enrol(collector: &Collector, scratch: &Scratch) {
    let keys = scratch.path().join("keys").display().to_string();
    fs::create_dir(&keys).unwrap();
    ran("cprvagt", &["keys", "new", "--controller", "laboratorium", "--out", &keys]);
    let (token, bundle) = (collector.token().unwrap(), format!("{keys}/laboratorium.bundle"));
    ran("cprvagt", &["enrol", collector.agents_url(), "--token", &token, "--bundle", &bundle]);
}

fn await_citizens(collector: &Collector, count: u64) {
    let citizens = || {
        let objects = collector.incidents().unwrap();
        let totals = objects.iter().find(|object| object["schema"] == "cprvagt.totals/1").unwrap();
        totals["citizens"].as_u64().unwrap()
    };
    let started = Instant::now();
    while citizens() < count {
        assert!(started.elapsed() < LIMIT, "not {count} citizens with the collector\n{}", journal());
        thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(citizens(), count);
}

/// One number over TLS by curl, as it is or with a copy of libssl that nobody else sees.
fn leak(lab: &Lab, recipient: &Recipient, digits: &str, own_library: bool) {
    let folder = lab.scratch().path().join("own");
    fs::create_dir_all(&folder).unwrap();
    // The page first, and a rest: programs that just started are not what this is about.
    let script = r#"[ -z "$2" ] || { mount -t tmpfs none "$0" && cp "$2" "$0" && export LD_LIBRARY_PATH="$0"; }
                    exec curl --disable --config "$1""#;
    let authority = lab.authority().file().display().to_string();
    let common = format!("silent\nshow-error\noutput = \"/dev/null\"\ncacert = \"{authority}\"\n");
    let url = format!("url = \"{}/\"\n", recipient.origin());
    let text = payload::named(digits);
    let config = format!("rate = \"10/m\"\n{common}{url}next\n{common}{url}data-raw = \"{text}\"\n");
    let config = lab.scratch().write("curl", config).unwrap();
    let library = if own_library { library("libssl.so.3") } else { "".into() };
    let mut command = lab.command("sh").unwrap();
    let output = command.args(["-c", script]).args([&folder, &config]).arg(library).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn the_installed_unit_catches_leaks_of_the_host_and_of_other_mount_namespaces() {
    let name = "the_installed_unit_catches_leaks_of_the_host_and_of_other_mount_namespaces";
    if !is_guest() {
        println!("skipped: {name}: it installs into the system; cargo xtask vm runs it");
        return;
    }
    if !can_run(name, &NEEDS) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let recipient = lab.recipient("analyse.example", Service::Https, Family::V4).unwrap();
    let scratch = Scratch::new(&unique_name()).unwrap();
    let collector =
        Collector::start(&collector::binary().unwrap(), &scratch.path().join("collector"), "").unwrap();
    let citizens = payload::citizens(111, 3);
    install();

    // A host that is not enrolled has nothing to run, and that is no failure.
    ran("systemctl", &["start", UNIT]);
    assert_eq!([property("ActiveState"), property("Result")], ["inactive", "success"], "{}", journal());

    enrol(&collector, &scratch);
    let owner = |file: &str| fs::metadata(file).unwrap().uid();
    assert_eq!(owner(ENROLMENT), owner("/var/lib/cprvagt"), "what root enrols is the agent's");
    assert_ne!(owner(ENROLMENT), 0);
    ran("systemctl", &["start", UNIT]);
    let status = format!("/proc/{}/status", property("MainPID"));
    let uids = fs::read_to_string(status).unwrap();
    let uid = uids.lines().find_map(|line| line.strip_prefix("Uid:\t")).unwrap();
    assert_eq!(uid.split('\t').next().unwrap(), owner("/var/lib/cprvagt").to_string());
    leak(&lab, &recipient, &citizens[0], false);
    await_citizens(&collector, 1);
    leak(&lab, &recipient, &citizens[1], true);
    await_citizens(&collector, 2);

    let config = fs::read_to_string(FILES[0].0).unwrap();
    fs::write(FILES[0].0, config.replace("bytes_max = \"1 GiB\"", "bytes_max = \"2 GiB\"")).unwrap();
    ran("systemctl", &["reload", UNIT]);
    assert!(ran("cprvagt", &["status"]).contains("leaks"), "root asks the agent's socket");
    ran("systemctl", &["restart", UNIT]);
    leak(&lab, &recipient, &citizens[2], false);
    await_citizens(&collector, 3);
    ran("systemctl", &["stop", UNIT]);
    assert_eq!([property("ActiveState"), property("Result")], ["inactive", "success"], "{}", journal());
    let journal = journal();
    for digits in &citizens {
        assert!(!journal.contains(digits.as_str()), "no number is in the journal");
    }
}
