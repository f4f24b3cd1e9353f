//! What a machine or a person gets wrong: one clear message, the documented exit code, and no crash.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cprvagt_tests::authority::BOTH_VERSIONS;
use cprvagt_tests::live::{Need, can_run, here_or_in_guest};
use cprvagt_tests::network::Family;
use cprvagt_tests::pseudonym::Key;
use cprvagt_tests::scratch::{Scratch, unique_name};
use cprvagt_tests::server::{Server, Speaks};
use cprvagt_tests::trial::lab_only;
use cprvagt_tests::writes::{self, Client, Connection, Write};
use cprvagt_tests::{Expected, Lab, Trial, agent, payload};

const SETTLE: Duration = Duration::from_secs(120);
const HOST: &str = "maal.analyse.example";

/// Runs a command to its end; its exit code and what it said on standard error.
fn run(command: &mut Command) -> (Option<i32>, String) {
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("panicked"), "{said}");
    (output.status.code(), said)
}

fn cprvagt(arguments: &[&str]) -> Command {
    let mut command = Command::new(agent::binary().unwrap());
    command.args(arguments);
    command
}

/// The words that a message must have, so that the reader knows what, where and what to do.
fn assert_says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

#[test]
fn a_wrong_configuration_is_told_with_its_place() {
    if !can_run("a_wrong_configuration_is_told_with_its_place", &[Need::Agent]) {
        return;
    }
    let own = Scratch::new(&unique_name()).unwrap();
    let exposed = own.write("exposed.key", format!("{}\n", "ab".repeat(32))).unwrap();
    fs::set_permissions(&exposed, Permissions::from_mode(0o644)).unwrap();
    let short = own.write("short.key", "abcd\n").unwrap();
    let key_file =
        |path: &std::path::Path| format!("[pseudonym]\nkey_file = {:?}\n", path.display().to_string());
    let cases: [(String, &[&str]); 8] = [
        ("[capture]\n\nring_bytes = \n".into(), &["bad.toml:3:"]),
        ("[capture]\nring_byte = \"16 MiB\"\n".into(), &["bad.toml:2:1", "ring_byte", "ring_bytes"]),
        ("[capture]\nring_bytes = \"3 MiB\"\n".into(), &["bad.toml:2:", "power of two"]),
        ("[[alow]]\nto = \"192.0.2.1\"\n".into(), &["bad.toml:1:", "alow", "allow"]),
        ("[[allow]]\nto = \"192.0.2.300\"\nbecause = \"x\"\n".into(), &["bad.toml:2:", "192.0.2.300"]),
        ("[[allow]]\nto = \"192.0.2.1\"\n".into(), &["bad.toml:1:", "because"]),
        (key_file(&exposed), &["exposed.key", "0644", "chmod 600"]),
        (key_file(&short), &["short.key", "64 hex digits"]),
    ];
    for (text, words) in cases {
        let file = own.write("bad.toml", &text).unwrap().display().to_string();
        for command in ["check", "watch"] {
            let (code, said) = run(&mut cprvagt(&[command, "--config", &file]));
            assert_eq!(code, Some(2), "{command} with {text:?}: {said}");
            assert_says(&said, words);
        }
    }
    let missing = own.path().join("missing.toml").display().to_string();
    let (code, said) = run(&mut cprvagt(&["watch", "--config", &missing]));
    assert_eq!(code, Some(2), "{said}");
    assert_says(&said, &["missing.toml"]);
}

#[test]
fn commands_of_later_versions_say_so() {
    if !can_run("commands_of_later_versions_say_so", &[Need::Agent]) {
        return;
    }
    for arguments in [["learn"], ["self-test"]] {
        let (code, said) = run(&mut cprvagt(&arguments));
        assert_eq!(code, Some(64), "{arguments:?}: {said}");
        assert_says(&said, &["not in this version"]);
    }
    assert_eq!(run(&mut cprvagt(&["wacth"])).0, Some(2));
}

#[test]
fn what_enrolment_needs_is_told_before_anything_is_done() {
    if !can_run("what_enrolment_needs_is_told_before_anything_is_done", &[Need::Agent]) {
        return;
    }
    let own = Scratch::new(&unique_name()).unwrap();
    let path = |name: &str| own.path().join(name).display().to_string();
    let text =
        format!("[spool]\ndir = {:?}\n[collector]\nenrolment = {:?}\n", path("spool"), path("enrolment"));
    let config = own.write("agent.toml", text).unwrap().display().to_string();
    let enrol = |url: &str, token: &str| {
        let bundle = path("missing.bundle");
        run(&mut cprvagt(&["enrol", url, "--token", token, "--bundle", &bundle, "--config", &config]))
    };
    let token = format!("cprvagt1.{}.{}", "A".repeat(43), "ab".repeat(32));
    let cases: [(&str, &str, &[&str]); 3] = [
        ("http://127.0.0.1:1", &token, &["https"]),
        ("https://127.0.0.1:1", "nonsense", &["token", "cprvagt-collector token"]),
        ("https://127.0.0.1:1", &token, &["missing.bundle"]),
    ];
    for (url, token, words) in cases {
        let (code, said) = enrol(url, token);
        assert_eq!(code, Some(2), "{said}");
        assert_says(&said, words);
    }
    assert!(!own.path().join("enrolment").exists());
    let (code, said) = run(&mut cprvagt(&["spool", "list", "--config", &config]));
    assert_eq!(code, Some(2), "{said}");
    assert_says(&said, &["spool"]);
}

#[test]
fn without_root_the_privilege_is_named() {
    if !can_run("without_root_the_privilege_is_named", &[Need::Root, Need::Agent, Need::Program("setpriv")]) {
        return;
    }
    let own = Scratch::new(&unique_name()).unwrap();
    fs::set_permissions(own.path(), Permissions::from_mode(0o755)).unwrap();
    let copy = own.path().join("cprvagt");
    fs::copy(agent::binary().unwrap(), &copy).unwrap();
    let nobody =
        ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"];
    let no_capability = ["--inh-caps=-all", "--bounding-set=-all"];
    for way in [&nobody[..], &no_capability] {
        let mut command = Command::new("setpriv");
        command.args(way).arg(&copy).args(["watch", "--for", "1"]);
        let (code, said) = run(&mut command);
        assert_eq!(code, Some(4), "{way:?}: {said}");
        assert_says(&said, &["root", "BPF"]);
    }
}

/// Runs the agent in a mount namespace of its own, after a shell command there.
fn with_mounts(prepare: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c"]);
    command.arg(format!("{prepare} && exec \"$0\" \"$@\"")).arg(agent::binary().unwrap()).args(arguments);
    command
}

/// Without cgroup v2, and with version 1 alone, as on hosts that were set up so.
#[test]
fn without_cgroup_v2_it_is_named() {
    if !can_run("without_cgroup_v2_it_is_named", &[Need::Root, Need::Agent, Need::Program("unshare")]) {
        return;
    }
    let no_v2 =
        "for at in $(findmnt --noheadings --raw --output TARGET --types cgroup2); do umount -l \"$at\"; done";
    let nothing = "umount -l -R /sys/fs/cgroup";
    for prepare in [no_v2, nothing] {
        let (code, said) = run(&mut with_mounts(prepare, &["watch", "--for", "1"]));
        assert_eq!(code, Some(4), "{said}");
        assert_says(&said, &["cgroup", "v2", "mount"]);
        let doctor = with_mounts(prepare, &["doctor"]).output().unwrap();
        let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert_ne!(doctor.status.code(), Some(0), "{told}");
        assert_says(&told, &["cgroup"]);
    }
}

/// The programs need no types of the kernel: without BTF they load all the same, or it is named.
#[test]
fn without_btf_it_works_or_is_named() {
    if !can_run("without_btf_it_works_or_is_named", &[Need::Root, Need::Agent, Need::Program("unshare")]) {
        return;
    }
    let hide = "mount -t tmpfs none /sys/kernel/btf";
    if !Command::new("unshare").args(["--mount", "sh", "-c", hide]).status().unwrap().success() {
        println!("skipped: without_btf_it_works_or_is_named: /sys/kernel/btf cannot be hidden here");
        return;
    }
    let (code, said) = run(&mut with_mounts(hide, &["watch", "--json", "--for", "1"]));
    match code {
        Some(0) => assert_says(&said, &["ready"]),
        _ => {
            assert_eq!(code, Some(4), "{said}");
            assert_says(&said, &["BTF"]);
        }
    }
}

#[test]
fn doctor_and_check_answer() {
    if !can_run("doctor_and_check_answer", &[Need::Root, Need::Agent]) {
        return;
    }
    let doctor = cprvagt(&["doctor", "--json"]).output().unwrap();
    assert!(matches!(doctor.status.code(), Some(0 | 1)), "{doctor:?}");
    let told: serde_json::Value = serde_json::from_slice(&doctor.stdout).unwrap();
    assert!(told.is_object());
    let own = Scratch::new(&unique_name()).unwrap();
    let config = own.write("agent.toml", agent::config(Key::new(&own).unwrap().file(), &[])).unwrap();
    let check = cprvagt(&["check", "--config"]).arg(config).output().unwrap();
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    assert_says(&String::from_utf8_lossy(&check.stdout), &["agent.toml", "ok"]);
}

/// Processes that are killed in the middle of a write, over TLS and in clear: the agent goes on, and its
/// account still balances.
#[test]
fn a_process_killed_while_it_writes_does_no_harm() {
    if !can_run("a_process_killed_while_it_writes_does_no_harm", &[Need::Root, Need::Agent]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let ip = lab.spare_address(Family::V4).unwrap();
    let (tls_to, plain_to) = (SocketAddr::new(ip, 443), SocketAddr::new(ip, 80));
    let config = lab.authority().server(HOST, &BOTH_VERSIONS).unwrap();
    let tls = Server::tcp(lab.network(), tls_to, Speaks::Sink, Some(config)).unwrap();
    let plain = Server::tcp(lab.network(), plain_to, Speaks::Sink, None).unwrap();
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let citizens = payload::citizens(95, 2);
    let large = || vec![Write::sized(4 << 20, ""); *here_or_in_guest(&64, &16)];
    for round in 0..6 {
        let (server, connection) = match round % 3 {
            0 => (&tls, Connection::tls(tls_to, HOST, large()).version("1.3")),
            1 => (&tls, Connection::tls(tls_to, HOST, large()).version("1.2")),
            _ => (&plain, Connection::plain(plain_to, large())),
        };
        let before = server.received().plain_bytes();
        let client = Client::start(&lab, &[connection], |_| ()).unwrap();
        let started = Instant::now();
        while server.received().plain_bytes() < before + (round + 1) * 300_000 {
            assert!(started.elapsed() < SETTLE, "nothing arrives");
            thread::sleep(Duration::from_millis(1));
        }
        drop(client); // SIGKILL
        assert!(server.settle(SETTLE));
        assert!(server.received().plain_bytes() < before + (256 << 20), "it had written everything");
    }
    let line = |at: usize| vec![Write::text(format!("{} er sendt\n", payload::named(&citizens[at])))];
    let connections =
        [Connection::tls(tls_to, HOST, line(0)).version("1.3"), Connection::plain(plain_to, line(1))];
    writes::run(&lab, &connections).unwrap();
    assert!(tls.settle(SETTLE) && plain.settle(SETTLE));
    let seen = trial.stop().unwrap();
    let expected =
        [Expected::tls(&citizens[0], tls_to, HOST, "1.3"), Expected::plain(&citizens[1], plain_to)];
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    let told = format!("{:#}\n{:?}", seen.ledger, seen.counters);
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{told}");
    let arrived = tls.received().wire_bytes() + plain.received().wire_bytes();
    assert!(seen.bytes("wire_bytes") >= arrived.cast_signed(), "{arrived} arrived: {told}");
}

/// The reader of its output goes away (`cprvagt watch --json | head -1`): it ends at the next leak.
#[test]
fn a_closed_output_ends_it() {
    if !can_run("a_closed_output_ends_it", &[Need::Root, Need::Agent]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let address = SocketAddr::new(lab.spare_address(Family::V4).unwrap(), 9000);
    let sink = Server::tcp(lab.network(), address, Speaks::Sink, None).unwrap();
    let key = Key::new(lab.scratch()).unwrap();
    let config = lab.scratch().write("agent.toml", lab_only(key.file(), lab.network())).unwrap();
    let mut command = cprvagt(&["watch", "--json", "--config"]);
    command.arg(config).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while line.trim() != "ready" {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it ended before it was ready");
    }
    drop(child.stdout.take());
    for citizen in payload::citizens(96, 3) {
        let text = format!("{} er sendt\n", payload::named(&citizen));
        writes::run(&lab, &[Connection::plain(address, vec![Write::text(text)])]).unwrap();
    }
    assert!(sink.settle(SETTLE));
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > SETTLE {
            child.kill().unwrap();
        }
        thread::sleep(Duration::from_millis(20));
    };
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    assert!(matches!(status.code(), Some(0 | 70)), "{status}: {said}");
    assert!(!said.contains("panicked"), "{said}");
}
