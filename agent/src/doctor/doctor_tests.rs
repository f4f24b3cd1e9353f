//! The doctor on recorded machines.

use std::fs;

use super::*;

const MOUNTINFO: &str = "\
30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw
";

/// A machine with everything, and `changes` to its files; an empty content removes a file.
fn machine(changes: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
    let dir = tempfile::tempdir().unwrap();
    let whole = [
        ("proc/self/status", "CapEff:\t000001ffffffffff\n"),
        ("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n"),
        ("proc/self/mountinfo", MOUNTINFO),
        ("sys/bus/event_source/devices/uprobe/type", "9\n"),
        ("proc/sys/kernel/perf_event_paranoid", "3\n"),
        ("sys/kernel/security/lockdown", "[none] integrity confidentiality\n"),
        ("sys/kernel/btf/vmlinux", "x"),
        ("proc/7/maps", "7f00a-7f00b r-xp 00000000 fe:01 77     /usr/lib/libssl.so.3\n"),
    ];
    for (path, content) in whole.iter().chain(changes) {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if content.is_empty() { fs::remove_file(path).unwrap() } else { fs::write(path, content).unwrap() }
    }
    let machine = Machine::at(dir.path());
    (dir, machine)
}

const LANDLOCK: Landlock = Landlock::FilesAndPorts;

fn loads() -> Result<ProbeReach, String> {
    Ok(ProbeReach::Full)
}

fn state(findings: &[Finding], capability: &str) -> State {
    findings.iter().find(|it| it.capability == capability).unwrap().state
}

fn check(changes: &[(&str, &str)], capability: &str, expected: State, expected_exit: Exit) {
    let (_dir, machine) = machine(changes);
    let findings = examine(&machine, loads, LANDLOCK);
    assert_eq!(state(&findings, capability), expected, "{changes:?}");
    assert_eq!(exit(&findings), expected_exit, "{changes:?}");
    for it in findings.iter().filter(|it| it.state != State::Works) {
        assert!(!it.lost.is_empty() && !it.remedy.is_empty(), "{it:?}");
    }
}

#[test]
fn each_lack_is_told_and_counts() {
    use State::{Missing, Reduced, Works};
    let v1 = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
    check(&[], "wire tap", Works, Exit::Success);
    check(&[("proc/self/status", "CapEff:\t0\n")], "privileges", Missing, Exit::Config);
    check(&[("proc/self/status", "")], "privileges", Missing, Exit::Config);
    check(&[("proc/self/status", "CapEff:\t000000c000081004\n")], "privileges", Missing, Exit::Config);
    check(&[("proc/self/status", "CapEff:\t0000000000201000\n")], "privileges", Reduced, Exit::Partial);
    check(&[("proc/sys/kernel/osrelease", "5.4.0\n")], "kernel", Missing, Exit::Config);
    check(&[("proc/self/mountinfo", v1)], "wire tap", Missing, Exit::Config);
    check(&[("proc/self/mountinfo", "")], "wire tap", Missing, Exit::Config);
    check(&[("sys/bus/event_source/devices/uprobe/type", "")], "TLS tap", Missing, Exit::Partial);
    check(&[("proc/sys/kernel/perf_event_paranoid", "")], "library watch", Reduced, Exit::Partial);
    let locked = "none integrity [confidentiality]\n";
    check(&[("sys/kernel/security/lockdown", locked)], "memory reading", Missing, Exit::Partial);
    check(&[("sys/kernel/security/lockdown", "")], "memory reading", Works, Exit::Success);
    check(&[("sys/kernel/btf/vmlinux", "")], "type information", Reduced, Exit::Partial);
    check(&[("proc/7/maps", "")], "OpenSSL", Works, Exit::Success);
}

#[test]
fn a_kernel_that_confines_less_is_told() {
    let (_dir, machine) = machine(&[]);
    for (landlock, expected) in [
        (Landlock::None, State::Reduced),
        (Landlock::Files, State::Reduced),
        (Landlock::FilesAndPorts, State::Works),
    ] {
        let findings = examine(&machine, loads, landlock);
        assert_eq!(state(&findings, "confinement"), expected, "{landlock:?}");
        assert_ne!(exit(&findings), Exit::Config, "{landlock:?}");
    }
}

#[test]
fn what_an_older_kernel_cannot_do_is_told() {
    for (reach, told) in [
        (ProbeReach::Resident, "only memory that is resident (before 6.10)"),
        (ProbeReach::ResidentFewSites, "no attach cookie (before 5.15)"),
    ] {
        let (_dir, machine) = machine(&[]);
        let findings = examine(&machine, || Ok::<_, String>(reach), LANDLOCK);
        let finding = findings.iter().find(|it| it.capability == "program loading").unwrap();
        assert_eq!(finding.state, State::Reduced);
        assert!(finding.what.contains(told) && !finding.lost.is_empty(), "{finding:?}");
        assert_eq!(exit(&findings), Exit::Partial);
    }
}

#[test]
fn what_performance_events_take_is_told() {
    for (value, told) in [
        ("-1\n", "paranoid is -1: hearing it takes no capability, opening a probe takes CAP_SYS_ADMIN"),
        ("2\n", "paranoid is 2: hearing it takes CAP_PERFMON, opening a probe takes CAP_SYS_ADMIN"),
        ("3\n", "paranoid is 3: hearing it takes CAP_SYS_ADMIN, opening a probe takes CAP_SYS_ADMIN"),
    ] {
        let (_dir, machine) = machine(&[("proc/sys/kernel/perf_event_paranoid", value)]);
        let findings = examine(&machine, loads, LANDLOCK);
        let finding = findings.iter().find(|it| it.capability == "library watch").unwrap();
        assert!(finding.what.contains(told), "{finding:?}");
    }
}

#[test]
fn what_wakes_the_agent_is_told() {
    let kprobes = ("sys/bus/event_source/devices/kprobe/type", "8\n");
    let (known, every) = ("files that it knows already wake nobody", "every mapped file wakes the agent");
    let without_types = [kprobes, ("sys/kernel/btf/vmlinux", "")];
    for (changes, told) in [(&[kprobes][..], known), (&[], every), (&without_types, every)] {
        let (_dir, machine) = machine(changes);
        let findings = examine(&machine, loads, LANDLOCK);
        let finding = findings.iter().find(|it| it.capability == "library watch").unwrap();
        assert!(finding.what.contains(told), "{finding:?}");
    }
}

#[test]
fn what_the_kernel_said_is_told() {
    let (_dir, machine) = machine(&[]);
    let findings = examine(&machine, || Err("Operation not permitted (os error 1)".to_owned()), LANDLOCK);
    assert_eq!(exit(&findings), Exit::Config);
    let told = "the kernel refuses the agent's programs: Operation not permitted (os error 1)";
    assert!(findings.iter().any(|it| it.what == told), "{findings:?}");
}

#[test]
fn the_table_holds_at_80_columns() {
    let (_dir, machine) = machine(&[("proc/self/status", "CapEff:\t0\n"), ("sys/kernel/btf/vmlinux", "")]);
    let table = to_table(&examine(&machine, loads, LANDLOCK));
    assert!(table.lines().all(|line| line.chars().count() <= WIDTH), "{table}");
    let head = "\
privileges        missing this process lacks CAP_SYS_ADMIN, CAP_BPF,
                          CAP_PERFMON, CAP_NET_ADMIN, CAP_SYS_PTRACE,
                          CAP_DAC_READ_SEARCH
                          lost: everything: kernel programs cannot be loaded, or
                          probes not be opened, which takes CAP_SYS_ADMIN on
                          every kernel
                          do:   run as root, or give the unit these
                          AmbientCapabilities
    test: privileges::each_process_has_its_capabilities_and_no_more
kernel            ok      Linux 6.1.0-18-amd64
    test: kernel::every_program_passes_the_verifier
wire tap          ok      cgroup v2 at /sys/fs/cgroup
";
    assert!(table.starts_with(head), "{table}");
    assert!(table.contains("OpenSSL           ok      /usr/lib/libssl.so.3 (in 1 process)\n"), "{table}");
    assert!(table.contains("GnuTLS            ok      none on this host yet"), "{table}");
    assert!(table.ends_with("can observe nothing until what is missing above is there.\n"), "{table}");
}

#[test]
fn the_json_has_every_finding() {
    let (_dir, machine) = machine(&[]);
    let json = to_json(&examine(&machine, loads, LANDLOCK), &Coverage::NotRunning);
    assert_eq!(json["schema"], "cprvagt.doctor/1");
    assert_eq!(json["observes"], "everything");
    let findings = json["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 13);
    assert!(findings.iter().all(|it| !it["tests"].as_array().unwrap().is_empty()), "{findings:?}");
    assert_eq!(json["findings"][2]["what"], "cgroup v2 at /sys/fs/cgroup");
}
