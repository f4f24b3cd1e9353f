//! No readable number leaves the agent: not in its output, its log, its files, nor in a dump of its memory.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use cprvagt_tests::agent::{self, Agent};
use cprvagt_tests::demo::{self, Plan};
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::plaintext;
use cprvagt_tests::pseudonym::Key;
use cprvagt_tests::scratch::{Scratch, unique_name};

/// Where a program of this kind might write.
const FOLDERS: [&str; 4] = ["/etc/cprvagt", "/run/cprvagt", "/var/lib/cprvagt", "/var/log/cprvagt"];

/// The numbers are readable in what the programs were given, so that the search is known to work.
#[test]
fn planted_numbers_are_readable_nowhere() {
    if !can_run("planted_numbers_are_readable_nowhere", &[Need::Root, Need::Agent]) {
        return;
    }
    let (lab, allowed) = demo::build_lab().unwrap();
    let plan = Plan::new(71, &demo::programs_here());
    // The agent's own folder: the lab's has the programs' jobs in it.
    let own = Scratch::new(&unique_name()).unwrap();
    let key = Key::new(&own).unwrap();
    let config = agent::config(key.file(), &allowed) + "[report]\nmin_confidence = \"any\"\n";
    let config = own.write("agent.toml", config).unwrap();
    for verbosity in ["-v", "-vvv"] {
        let mut command = Command::new(agent::binary().unwrap());
        command.args(["watch", "--json", verbosity, "--config"]).arg(&config);
        command.current_dir(own.path()).env("HOME", own.path()).env("TMPDIR", own.path());
        command.env("XDG_STATE_HOME", own.path());
        let agent = Agent::spawn(command).unwrap();
        demo::run_wave(&lab, &plan.waves[0], &mut thread::sleep).unwrap();
        let ended = agent.stop().unwrap();
        assert!(ended.status.success());
        assert!(ended.objects.len() > plan.waves[0].planted, "the agent told nothing");
        let mut places =
            vec![("standard output".to_owned(), ended.stdout), ("standard error".to_owned(), ended.stderr)];
        let folders: Vec<&Path> = FOLDERS.iter().map(Path::new).filter(|folder| folder.exists()).collect();
        places.extend(plaintext::files_below(&[&folders[..], &[own.path()]].concat()).unwrap());
        let found = plaintext::search(
            places.iter().map(|(name, text)| (name.as_str(), text.as_slice())),
            &plan.citizens,
        );
        assert_eq!(found, [], "{verbosity}");
    }
    let jobs = plaintext::files_below(&[lab.scratch().path()]).unwrap();
    let jobs = jobs.iter().map(|(name, text)| (name.as_str(), text.as_slice()));
    assert!(!plaintext::search(jobs, &plan.citizens).is_empty(), "the search finds nothing at all");
}

/// The largest core file is 0 bytes, and no equal of the agent's may read its memory: a process with the
/// same user and the same capabilities may, unless the process is not dumpable.
#[test]
fn memory_can_not_be_dumped() {
    if !can_run("memory_can_not_be_dumped", &[Need::Root, Need::Agent, Need::Program("setpriv")]) {
        return;
    }
    const EQUAL: [&str; 3] = ["--inh-caps=-sys_ptrace", "--bounding-set=-sys_ptrace", "--"];
    let own = Scratch::new(&unique_name()).unwrap();
    let config = own.write("agent.toml", agent::config(Key::new(&own).unwrap().file(), &[])).unwrap();
    let mut command = Command::new("setpriv");
    command.args(EQUAL).arg(agent::binary().unwrap()).args(["watch", "--json", "--config"]).arg(config);
    let agent = Agent::spawn(command).unwrap();
    let limits = fs::read_to_string(format!("/proc/{}/limits", agent.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    let mut other = Command::new("setpriv").args(EQUAL).args(["sleep", "60"]).spawn().unwrap();
    thread::sleep(Duration::from_millis(200));
    let readable = |pid: u32| {
        let mut reader = Command::new("setpriv");
        reader.args(EQUAL).args(["sh", "-c", &format!(": < /proc/{pid}/mem")]).stderr(Stdio::null());
        reader.status().unwrap().success()
    };
    let readable = (readable(other.id()), readable(agent.pid()));
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(readable, (true, false), "(another process, the agent)");
    assert!(agent.stop().unwrap().status.success());
}
