//! Programs that bring their TLS with them. With OpenSSL or a relative of it linked in they are read by their symbols, or
//! by those that a package of debug symbols brings; without any, and with Java's own, they are blind spots with a name.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cprvagt_tests::binary::made_for_tests;
use cprvagt_tests::held::Held;
use cprvagt_tests::lab::{Recipient, Service};
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::network::Family;
use cprvagt_tests::{Expected, Lab, Seen, Trial, payload};

const NEEDS: [Need<'static>; 6] = [
    Need::Root,
    Need::Agent,
    Need::Program("cc"),
    Need::Program("objcopy"),
    Need::Program("strip"),
    Need::Program("/usr/include/openssl/ssl.h"),
];
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/openssl_client.c");
const DEBUG_FOLDER: &str = "/usr/lib/debug";
const SETTLE: Duration = Duration::from_secs(120);

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The program, with its symbols. Each has a build id of its own.
fn program(lab: &Lab, name: &str) -> PathBuf {
    let program = lab.scratch().path().join(name);
    let mut compiler = Command::new("cc");
    let build_id = format!("-Wl,--build-id=0x{}", uuid());
    compiler.args(["-O2", &build_id, "-o"]).arg(&program).arg(SOURCE);
    succeed(compiler.args(["-l:libssl.a", "-l:libcrypto.a"]));
    program
}

/// 16 bytes that nothing else has, as hex.
fn uuid() -> String {
    fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap().trim().replace('-', "")
}

/// The debug file of a program, where a package would put it; gone on drop.
struct DebugFile(PathBuf);

impl DebugFile {
    fn install(program: &Path) -> Self {
        Self::install_in(Path::new(DEBUG_FOLDER), program)
    }

    fn install_in(debug_folder: &Path, program: &Path) -> Self {
        let notes = succeed(Command::new("readelf").arg("--notes").arg(program));
        let build_id = notes.lines().find_map(|line| line.trim().strip_prefix("Build ID: ")).unwrap();
        let (folder, name) = build_id.split_at(2);
        let folder = debug_folder.join(".build-id").join(folder);
        fs::create_dir_all(&folder).unwrap();
        let file = Self(folder.join(format!("{name}.debug")));
        succeed(Command::new("objcopy").arg("--only-keep-debug").args([program, &file.0]));
        file
    }
}

impl Drop for DebugFile {
    fn drop(&mut self) {
        let _gone_already = fs::remove_file(&self.0);
        // Other packages' files may be there, and keep theirs.
        let _not_empty = self.0.parent().map(fs::remove_dir);
    }
}

fn check(name: &str, seed: u64, prepare: fn(&Path) -> Option<DebugFile>, judge: fn(&Seen, &[Expected<'_>])) {
    if !can_run(name, &NEEDS) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let program = program(&lab, "klient");
    let _debug_file = prepare(&program);
    let recipients = lab.recipient_of_each_version().unwrap();
    check_program(&lab, &program, seed, &recipients, judge);
}

type RecipientOf<'a> = (Arc<Recipient>, &'a str);

/// A program, running since before the agent came, sends a request in each version.
fn check_program(
    lab: &Lab,
    program: &Path,
    seed: u64,
    recipients: &[RecipientOf<'_>],
    judge: fn(&Seen, &[Expected<'_>]),
) {
    let citizens = payload::citizens(seed, recipients.len());
    let clients = recipients.iter().map(|(recipient, version)| {
        let mut command = lab.command(program.to_str().unwrap()).unwrap();
        command.args([&recipient.host, "443"]).arg(lab.authority().file()).arg(version);
        Held::start(command.stdin(Stdio::piped())).unwrap()
    });
    let clients: Vec<Held> = clients.collect();
    let trial = Trial::start(lab, "", &[]).unwrap();
    for ((mut client, (recipient, _)), citizen) in clients.into_iter().zip(recipients).zip(&citizens) {
        let host = &recipient.host;
        let request = format!("GET /sag?cpr={citizen} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        client.0.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
        client.end().unwrap();
    }
    assert!(recipients.iter().all(|(recipient, _)| recipient.server.settle(SETTLE)));
    let seen = trial.stop().unwrap();
    let expected = recipients.iter().zip(&citizens).map(|((recipient, version), citizen)| {
        Expected::tls(citizen, recipient.server.address(), &recipient.host, version)
    });
    judge(&seen, &expected.collect::<Vec<_>>());
    if seen.leaks.iter().any(|leak| leak["destination"]["proof"] == "proven") {
        seen.assert_all_inspected_of(recipients);
    }
}

/// A program that `cargo xtask test` makes, with a relative of OpenSSL linked in.
fn relative(name: &str) -> PathBuf {
    made_for_tests("CPRVAGT_RELATIVES", "relatives/programs").join(name)
}

fn strip(program: &Path) {
    succeed(Command::new("strip").arg("--strip-all").arg(program));
}

fn is_told(seen: &Seen, expected: &[Expected<'_>]) {
    assert_eq!(seen.mismatches(expected), Vec::<String>::new());
}

#[test]
fn with_its_symbols_it_is_read() {
    check("with_its_symbols_it_is_read", 51, |_| None, is_told);
}

#[test]
fn with_a_debug_file_it_is_read() {
    let prepare = |program: &Path| {
        let file = DebugFile::install(program);
        strip(program);
        Some(file)
    };
    check("with_a_debug_file_it_is_read", 52, prepare, is_told);
}

/// One that only the program's own mount namespace has, as in a container.
#[test]
fn with_a_debug_file_of_its_container_it_is_read() {
    let name = "with_a_debug_file_of_its_container_it_is_read";
    if !can_run(name, &[&NEEDS[..], &[Need::Program("unshare")]].concat()) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let program = program(&lab, "klient");
    let folder = lab.scratch().path().join("debug");
    let _debug_file = DebugFile::install_in(&folder, &program);
    strip(&program);
    fs::create_dir_all(DEBUG_FOLDER).unwrap();
    let [program, folder] = [&program, &folder].map(|path| path.display());
    let contained = format!("mount --bind {folder} {DEBUG_FOLDER} && exec {program} \"$@\"");
    let script = format!("#!/bin/sh\nexec unshare --mount sh -c '{contained}' -- \"$@\"\n");
    let script = lab.scratch().write("contained", script).unwrap();
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let recipients = lab.recipient_of_each_version().unwrap();
    check_program(&lab, &script, 57, &recipients, is_told);
}

/// One that has the name of another program's: its places would be wrong.
#[test]
fn without_symbols_it_is_a_blind_spot_with_a_name() {
    let prepare = |program: &Path| {
        strip(program);
        // A debug file that says it is of another program is none.
        let file = DebugFile::install(program);
        fs::write(&file.0, fs::read(std::env::current_exe().unwrap()).unwrap()).unwrap();
        Some(file)
    };
    check("without_symbols_it_is_a_blind_spot_with_a_name", 53, prepare, |seen, expected| {
        assert_eq!(seen.leaks.len(), 0, "nobody can have read it");
        let told = format!("{:#}", seen.ledger);
        let lines = seen.ledger["blind"].as_array().unwrap();
        for want in expected {
            let line = lines.iter().find(|line| line["destination"]["host"] == want.host.unwrap());
            let line = line.unwrap_or_else(|| panic!("{told}"));
            assert_eq!(line["reason"], "no-tap", "{told}");
            assert!(line["bytes"].as_u64().unwrap() > 70, "{told}");
            assert!(line["process"]["exe"].as_str().is_some_and(|exe| exe.ends_with("/klient")), "{told}");
        }
        assert_eq!(seen.bytes("unexplained_bytes"), 0, "{told}");
    });
}

#[test]
fn aws_lc_is_read() {
    let program = relative("aws_lc");
    if !can_run("aws_lc_is_read", &[Need::Root, Need::Agent, Need::Program(program.to_str().unwrap())]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let recipients = lab.recipient_of_each_version().unwrap();
    check_program(&lab, &program, 55, &recipients, is_told);
}

/// That of 2015, which has TLS 1.2 at most and no accessor that tells where a session keeps its random: which connection
/// it was is not known, and what the request says is told.
#[test]
fn libressl_is_read() {
    let program = relative("libressl");
    if !can_run("libressl_is_read", &[Need::Root, Need::Agent, Need::Program(program.to_str().unwrap())]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let [_, old] = lab.recipient_of_each_version().unwrap();
    check_program(&lab, &program, 56, &[old], |seen, expected| {
        let [leak] = &seen.leaks[..] else { panic!("{:#?}", seen.leaks) };
        assert_eq!(leak["tap"], "openssl.SSL_write", "{leak:#}");
        assert_eq!(leak["destination"]["proof"], "unknown", "{leak:#}");
        assert_eq!(leak["destination"]["host"], expected[0].host.unwrap(), "{leak:#}");
    });
}

#[test]
fn java_is_a_blind_spot_with_a_name() {
    let name = "java_is_a_blind_spot_with_a_name";
    if !can_run(name, &[Need::Root, Need::Agent, Need::Program("javac")]) {
        return;
    }
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/Request.java");
    let mut lab = Lab::new().unwrap();
    let recipient = lab.recipient("java.analyse.example", Service::Https, Family::V4).unwrap();
    succeed(Command::new("javac").arg("-d").args([lab.scratch().path(), Path::new(source)]));
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let [citizen] = payload::citizens(54, 1).try_into().unwrap();
    let mut java = lab.command("java").unwrap();
    java.arg("-cp").arg(lab.scratch().path()).arg("Request").arg(lab.authority().file());
    let mut java = Held::start(java.stdin(Stdio::piped())).unwrap();
    let mut lines = java.0.stdin.take().unwrap();
    writeln!(lines, "{}/sag?cpr={citizen}", recipient.origin()).unwrap();
    let wanted = ["blind spot", "no-tap", "/java", &recipient.host, "Java has TLS of its own"];
    assert!(trial.says(&wanted, SETTLE).is_some(), "not told while it runs");
    writeln!(lines).unwrap();
    java.end().unwrap();
    let seen = trial.stop().unwrap();
    assert_eq!(seen.leaks.len(), 0, "nobody can have read it");
    let line = &seen.ledger["blind"][0];
    assert!(line["process"]["exe"].as_str().is_some_and(|exe| exe.ends_with("/java")), "{:#}", seen.ledger);
    assert_eq!(line["destination"]["host"], recipient.host.as_str());
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
}
