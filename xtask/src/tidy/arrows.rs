//! The dependency arrows of ARCHITECTURE.md, read from the manifests.

use anyhow::{Context, Result};
use toml::Table;

use super::finding::{Finding, Rule};

const ARROW: Rule = Rule {
    name: "arrow",
    why: "ARCHITECTURE.md draws all arrows: ebpf -> abi <- agent -> {stream, cpr, pcap, report, spool, settings}, \
          stream -> cpr, collector -> {report, cpr, settings}; bench, tests, fuzz and xtask are free",
    fix: "pass the data through the crate that may know both, or change the architecture first",
};
const LIBRARY: Rule = Rule {
    name: "library-edge",
    why: "aya belongs to `ebpf` and `agent`; serde to `report`, `agent`, `collector`, bench, tests and xtask",
    fix: "move the code to where the library may be used",
};

/// Own crates that each own crate may use. Those not listed are free.
const ARROWS: [(&str, &[&str]); 10] = [
    (
        "cprvagt",
        &[
            "cprvagt-abi",
            "cprvagt-cpr",
            "cprvagt-pcap",
            "cprvagt-report",
            "cprvagt-settings",
            "cprvagt-spool",
            "cprvagt-stream",
        ],
    ),
    ("cprvagt-abi", &[]),
    ("cprvagt-collector", &["cprvagt-cpr", "cprvagt-report", "cprvagt-settings"]),
    ("cprvagt-cpr", &[]),
    ("cprvagt-ebpf", &["cprvagt-abi"]),
    ("cprvagt-pcap", &[]),
    ("cprvagt-report", &[]),
    ("cprvagt-settings", &[]),
    ("cprvagt-spool", &[]),
    ("cprvagt-stream", &["cprvagt-cpr"]),
];

/// Libraries (all whose names begin so) and the crates that may use them outside tests.
const LIBRARIES: [(&str, &[&str]); 2] = [
    ("aya", &["cprvagt", "cprvagt-ebpf"]),
    ("serde", &["cprvagt", "cprvagt-bench", "cprvagt-collector", "cprvagt-report", "cprvagt-tests", "xtask"]),
];

/// Checks one manifest.
///
/// # Errors
/// When it is no TOML.
pub fn check(path: &str, text: &str) -> Result<Vec<Finding>> {
    let manifest: Table = text.parse().with_context(|| path.to_owned())?;
    let Some(package) = manifest.get("package").and_then(|package| package.get("name")?.as_str()) else {
        return Ok(Vec::new());
    };
    let mut findings = Vec::new();
    for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
        let Some(dependencies) = manifest.get(kind).and_then(toml::Value::as_table) else { continue };
        let only_tests = kind == "dev-dependencies";
        for name in dependencies.keys() {
            let rule = broken(package, name, only_tests);
            let line = text
                .lines()
                .position(|line| line.split(['=', '.']).next().is_some_and(|key| key.trim() == name));
            findings.extend(rule.map(|rule| {
                Finding::new(
                    path,
                    line.unwrap_or_default() + 1,
                    rule,
                    format!("`{package}` depends on `{name}`"),
                )
            }));
        }
    }
    Ok(findings)
}

fn broken(package: &str, dependency: &str, only_tests: bool) -> Option<Rule> {
    let own = dependency == "cprvagt" || dependency.starts_with("cprvagt-");
    let allowed = ARROWS.iter().find(|(name, _)| *name == package).map(|(_, allowed)| *allowed);
    // A crate may test itself with its own features, or from outside with the lab.
    let tests_itself = only_tests && (dependency == package || dependency == "cprvagt-tests");
    if own && !tests_itself && allowed.is_some_and(|allowed| !allowed.contains(&dependency)) {
        return Some(ARROW);
    }
    let users = LIBRARIES.iter().find(|(library, _)| is_of(library, dependency)).map(|(_, users)| *users);
    (!only_tests && users.is_some_and(|users| !users.contains(&package))).then_some(LIBRARY)
}

/// `aya-log` is of `aya`; `serde_json` is of `serde`.
fn is_of(library: &str, dependency: &str) -> bool {
    dependency.strip_prefix(library).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_rules(package: &str, kind: &str, dependency: &str, expected: &[&str]) {
        let text =
            format!("[package]\nname = \"{package}\"\n\n[{kind}]\n{dependency} = {{ workspace = true }}\n");
        let findings = check("a/Cargo.toml", &text).unwrap();
        let rules: Vec<_> = findings.iter().map(Finding::rule).collect();
        assert_eq!(rules, expected, "{package} {kind} {dependency}");
        assert!(findings.iter().all(|finding| finding.to_string().starts_with("a/Cargo.toml:5:")));
    }

    #[test]
    fn arrows_other_than_drawn_are_found() {
        check_rules("cprvagt-ebpf", "dependencies", "cprvagt-abi", &[]);
        check_rules("cprvagt-ebpf", "dependencies", "cprvagt-cpr", &["arrow"]);
        check_rules("cprvagt-cpr", "dependencies", "cprvagt-report", &["arrow"]);
        check_rules("cprvagt-stream", "dependencies", "cprvagt-cpr", &[]);
        check_rules("cprvagt-report", "dev-dependencies", "cprvagt-cpr", &["arrow"]);
        check_rules("cprvagt-cpr", "dev-dependencies", "cprvagt-cpr", &[]);
        check_rules("cprvagt", "dev-dependencies", "cprvagt-tests", &[]);
        check_rules("cprvagt", "dependencies", "cprvagt-tests", &["arrow"]);
        check_rules("xtask", "dependencies", "cprvagt-tests", &[]);
    }

    #[test]
    fn libraries_stay_at_their_edges() {
        check_rules("cprvagt", "dependencies", "aya", &[]);
        check_rules("cprvagt-tests", "dependencies", "aya-log", &["library-edge"]);
        check_rules("cprvagt-stream", "dependencies", "serde", &["library-edge"]);
        check_rules("cprvagt-stream", "dev-dependencies", "serde_json", &[]);
        check_rules("cprvagt-report", "dependencies", "serde", &[]);
    }
}
