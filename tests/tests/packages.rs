//! What the packages bring beside the programs: how much their units expose, and what their scripts do to data.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cprvagt_tests::agent;
use cprvagt_tests::live::{Need, can_run};

/// Each unit, and the most that it may expose, in tenths, as systemd counts.
const UNITS: [(&str, u32); 2] =
    [("agent/cprvagt-agent.service", 30), ("collector/cprvagt-collector.service", 20)];

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(name)
}

#[test]
fn units_expose_little() {
    if !can_run("units_expose_little", &[Need::Program("systemd-analyze")]) {
        return;
    }
    for (unit, tenths_max) in UNITS {
        let mut analyze = Command::new("systemd-analyze");
        analyze.args(["security", "--offline=yes", "--no-pager", &format!("--threshold={tenths_max}")]);
        let output = analyze.arg(packaging(unit)).output().unwrap();
        assert!(output.status.success(), "{unit}: more than {tenths_max} tenths\n{}", said(&output));
        // A word that systemd does not know is told, and counts for nothing.
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{unit}");
    }
}

#[test]
fn an_older_package_is_refused_loudly() {
    if !can_run("an_older_package_is_refused_loudly", &[Need::Program("dpkg")]) {
        return;
    }
    for package in ["agent", "collector"] {
        let run = |arguments: &[&str]| script(package, "preinst", arguments).output().unwrap();
        for (arguments, goes_on) in [
            (&["install"][..], true),
            (&["upgrade", "0.1.0-1", "0.2.0-1"], true),
            (&["upgrade", "0.2.0~git1-1", "0.2.0-1"], true),
            (&["upgrade", "0.2.0-1", "0.2.0-1"], true),
            (&["upgrade", "0.10.0-1", "0.9.0-1"], false),
            (&["upgrade", "0.2.0-1", "0.2.0~git1-1"], false),
            // Removed and not purged: its data is still there.
            (&["install", "0.2.0-1", "0.1.0-1"], false),
            (&["install", "0.1.0-1", "0.2.0-1"], true),
        ] {
            let output = run(arguments);
            assert_eq!(output.status.success(), goes_on, "{package} {arguments:?}: {}", said(&output));
            assert_eq!(said(&output).contains("refused"), !goes_on, "{package} {arguments:?}");
        }
    }
}

/// A maintainer script as dpkg calls it, without what cargo-deb puts into it.
fn script(package: &str, name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.arg(packaging(&format!("{package}/{name}"))).args(arguments);
    command
}

/// The script in a view of its own, in which /var is empty but for what `before` makes; then `after`.
fn in_own_var(package: &str, name: &str, argument: &str, before: &str, after: &str) -> String {
    let agent = agent::binary().unwrap();
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", agent.parent().unwrap().display());
    let shell = format!(
        "set -e; mount -t tmpfs none /var; {before}\nsh '{}' {argument}\n{after}",
        packaging(&format!("{package}/{name}")).display()
    );
    let output =
        Command::new("unshare").args(["--mount", "sh", "-c", &shell]).env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

const NEEDS: [Need<'static>; 3] = [Need::Root, Need::Agent, Need::Program("unshare")];

#[test]
fn a_purge_keeps_what_no_collector_has() {
    if !can_run("a_purge_keeps_what_no_collector_has", &NEEDS) {
        return;
    }
    let list = "find /var -type f | sort";
    for (package, kept, name) in [
        ("agent", "/var/lib/cprvagt/spool/0001.seg", "/var/backups/cprvagt-agent/spool."),
        ("collector", "/var/lib/cprvagt-collector/cprvagt.db", "/var/backups/cprvagt-collector/data."),
    ] {
        let before = format!("mkdir -p \"$(dirname {kept})\"; echo evidence >{kept}; chmod 600 {kept}");
        let told = in_own_var(package, "postrm", "purge", &before, list);
        assert!(told.contains(name) && told.contains("kept"), "{told}");
        let files: Vec<_> = told.lines().filter(|line| line.starts_with("/var")).collect();
        let file = Path::new(kept).file_name().unwrap().to_str().unwrap();
        assert!(
            matches!(files[..], [file_kept] if file_kept.starts_with(name) && file_kept.ends_with(file)),
            "{told}"
        );

        let removed = in_own_var(package, "postrm", "remove", &before, list);
        assert!(removed.contains(kept), "a removal without purge touches nothing: {removed}");
        let empty = format!("mkdir -p \"$(dirname {kept})\"");
        assert_eq!(in_own_var(package, "postrm", "purge", &empty, list), "");
    }
}

/// What the agent's commands say decides, so they are the real ones.
#[test]
fn a_removal_clears_an_empty_spool_and_no_other() {
    if !can_run("a_removal_clears_an_empty_spool_and_no_other", &NEEDS) {
        return;
    }
    let list = "find /var/lib/cprvagt/spool 2>/dev/null || true";
    let spool = "mkdir -p -m 700 /var/lib/cprvagt/spool";
    assert_eq!(in_own_var("agent", "prerm", "remove", spool, list), "");
    assert!(in_own_var("agent", "prerm", "upgrade", spool, list).contains("spool"));
    // A spool that the agent cannot read is not an empty one.
    let damaged = format!(
        "{spool}; echo damaged >/var/lib/cprvagt/spool/lock; chmod 000 /var/lib/cprvagt/spool; \
                           mount -t tmpfs -o ro none /var/lib/cprvagt/spool"
    );
    let told = in_own_var("agent", "prerm", "remove", &damaged, list);
    assert!(told.contains("stay in /var/lib/cprvagt/spool"), "{told}");
}
