//! `docs/kernels.md`: what the last whole run found on each kernel, and the bounds that later runs are held to.
//!
//! *Invariants*: the page is written from results only, and only when nothing failed. Its table of verifier costs is
//! read back: a program that costs twice as much on a kernel fails the run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::results::{Outcome, Results};
use crate::shell;

/// Where the page is, from the workspace's folder.
pub const PAGE: &str = "docs/kernels.md";
/// What the kernel programs and all that loads and attaches them is made of.
const CAPTURE_CODE: [&str; 4] = ["agent/build.rs", "agent/src/capture", "crates/abi", "ebpf"];
/// What keys of costs begin with, in what tests measure.
const VERIFIER: &str = "verifier.";
/// What keys of lost capabilities begin with.
const DOCTOR: &str = "doctor.";
/// What keys begin with of what a kernel has.
const HAS: &str = "has.";
/// How much dearer a program may become before a run fails.
const DEARER_MAX: u64 = 2;
/// The line that tells which code the page was made from.
const MADE_FROM: &str = "Capture code: ";
/// What the line begins with that a page has when not all tests made it.
const NOT_ALL: &str = "Not all tests: ";

/// Costs in instructions, by kernel prefix and program.
type Costs = BTreeMap<String, BTreeMap<String, u64>>;

/// What stands on the page.
pub struct Page {
    text: String,
}

impl Page {
    /// The page as it is; an empty one when there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read() -> Result<Self> {
        let file = shell::root().join(PAGE);
        let text = if file.exists() {
            fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?
        } else {
            String::new()
        };
        Ok(Self { text })
    }

    /// Whether it was made from this capture code, by all tests.
    #[must_use]
    pub fn is_of(&self, code: &str) -> bool {
        let begins = |with| self.text.lines().find_map(|line| line.strip_prefix(with));
        begins(MADE_FROM) == Some(code) && begins(NOT_ALL).is_none()
    }

    /// What costs more than twice what the page has, in words.
    #[must_use]
    pub fn dearer(&self, all: &[(String, Results)]) -> Vec<String> {
        let bounds = read_costs(&self.text);
        let mut dearer = Vec::new();
        for (kernel, programs) in costs(all) {
            for (program, cost) in programs {
                let before = bounds.get(&kernel).and_then(|programs| programs.get(&program)).copied();
                if let Some(before) = before.filter(|before| cost > before * DEARER_MAX) {
                    dearer.push(format!(
                        "{program} costs the verifier of {kernel} {cost} instructions, more than twice the {before} of {PAGE}"
                    ));
                }
            }
        }
        dearer
    }
}

/// Writes the page anew.
///
/// # Errors
/// When it cannot be written.
pub fn write(all: &[(String, Results)], filters: &[String], made_from: &str) -> Result<()> {
    let file = shell::root().join(PAGE);
    let text = page(all, filters, made_from)?;
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))
}

/// A hash of the capture code as it is now.
///
/// # Errors
/// When it cannot be read.
pub fn capture_code() -> Result<String> {
    hash_of(shell::root())
}

/// Of the capture code's files: their names and contents, in the order of their names.
fn hash_of(root: &Path) -> Result<String> {
    let mut files = BTreeSet::new();
    for part in CAPTURE_CODE {
        collect(&root.join(part), &mut files)?;
    }
    let mut hash = Sha256::new();
    for file in files {
        let name = file.strip_prefix(root).expect("it was found below the root");
        hash.update(name.as_os_str().as_encoded_bytes());
        hash.update(fs::read(&file).with_context(|| format!("reading {}", file.display()))?);
    }
    Ok(HEXLOWER.encode(&hash.finalize()))
}

fn collect(path: &Path, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        files.insert(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path).with_context(|| format!("reading {}", path.display()))? {
        collect(&entry?.path(), files)?;
    }
    Ok(())
}

fn costs(all: &[(String, Results)]) -> Costs {
    let mut costs = Costs::new();
    for (label, results) in all {
        for (program, value) in measured(results, VERIFIER) {
            if let Ok(cost) = value.parse() {
                costs.entry(label.clone()).or_default().insert(program.to_owned(), cost);
            }
        }
    }
    costs
}

/// What a guest's tests measured under keys that begin so, the beginning cut off.
fn measured<'a>(results: &'a Results, beginning: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let all = results.tests.iter().flat_map(|test| &test.measured);
    all.filter_map(move |(key, value)| Some((key.strip_prefix(beginning)?, value.as_str())))
}

/// The table that [`verifier`] writes.
fn read_costs(text: &str) -> Costs {
    let rows: Vec<Vec<&str>> = text.lines().filter_map(cells).collect();
    let Some(head) = rows.iter().position(|row| row[0] == "program") else { return Costs::new() };
    let mut costs = Costs::new();
    for row in rows[head + 1..].iter().take_while(|row| row[0].starts_with('`') || row[0].starts_with('-')) {
        for (kernel, cost) in rows[head].iter().zip(row).skip(1) {
            if let Ok(cost) = cost.replace(',', "").parse() {
                costs.entry((*kernel).to_owned()).or_default().insert(row[0].replace('`', ""), cost);
            }
        }
    }
    costs
}

fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

fn page(all: &[(String, Results)], filters: &[String], made_from: &str) -> Result<String> {
    let mut text = String::from(HEAD);
    writeln!(text, "{MADE_FROM}{made_from}\n")?;
    if !filters.is_empty() {
        writeln!(text, "{NOT_ALL}only those with `{}` in their names.\n", filters.join("` or `"))?;
    }
    guests(&mut text, all)?;
    has(&mut text, all)?;
    lost(&mut text, all)?;
    verifier(&mut text, &costs(all))?;
    not_run(&mut text, all)?;
    Ok(text)
}

const HEAD: &str = "# Kernels

Generated by `cargo xtask vm --page` from a run in which nothing failed; not written by hand.
The guests are Debian's cloud kernels in QEMU's software emulation; the tests are those that `cargo xtask test` runs on the machine at hand.

";

fn guests(text: &mut String, all: &[(String, Results)]) -> std::fmt::Result {
    writeln!(text, "| kernel | package | passed | skipped | seconds |\n|---|---|---|---|---|")?;
    for (label, results) in all {
        let [passed, _, skipped] = results.sums();
        let (package, seconds) = (&results.package, results.seconds);
        writeln!(
            text,
            "| {label} | {} {} | {passed} | {skipped} | {seconds:.0} |",
            package.name, package.version
        )?;
    }
    writeln!(text)
}

/// Of kernels whose tests have told it.
fn has(text: &mut String, all: &[(String, Results)]) -> std::fmt::Result {
    let told = |results| measured(results, HAS).collect::<BTreeMap<_, _>>();
    let kernels: Vec<_> = all.iter().map(|(label, results)| (label, told(results))).collect();
    let kernels: Vec<_> = kernels.into_iter().filter(|(_, told)| !told.is_empty()).collect();
    let names: BTreeSet<_> = kernels.iter().flat_map(|(_, told)| told.keys()).collect();
    let labels: Vec<_> = kernels.iter().map(|(label, _)| label.as_str()).collect();
    writeln!(text, "## What is there\n\nTried in each guest.\n")?;
    writeln!(text, "| what | {} |\n|{}", labels.join(" | "), "---|".repeat(labels.len() + 1))?;
    for name in names {
        let values: Vec<_> = kernels.iter().map(|(_, told)| *told.get(name).unwrap_or(&"-")).collect();
        writeln!(text, "| {} | {} |", name.replace('-', " "), values.join(" | "))?;
    }
    writeln!(text)
}

fn lost(text: &mut String, all: &[(String, Results)]) -> std::fmt::Result {
    writeln!(
        text,
        "## What is lost\n\nWhat `cprvagt doctor` says there. A kernel that is not named loses nothing.\n"
    )?;
    for (label, results) in all {
        for (capability, lost) in measured(results, DOCTOR) {
            writeln!(text, "- {label}: {}: {lost}", capability.replace('-', " "))?;
        }
    }
    writeln!(text)
}

fn verifier(text: &mut String, costs: &Costs) -> std::fmt::Result {
    writeln!(
        text,
        "## Verifier\n\nInstructions that the verifier processed, of 1,000,000 at most. A run fails when one of them \
         doubles. A program without a number is refused there, and another takes its place.\n"
    )?;
    let kernels: Vec<&String> = costs.keys().collect();
    let programs: BTreeSet<&String> = costs.values().flat_map(BTreeMap::keys).collect();
    let row = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let head = std::iter::once("program".to_owned()).chain(kernels.iter().map(|it| (*it).clone()));
    writeln!(text, "{}\n|{}", row(head.collect()), "---|".repeat(kernels.len() + 1))?;
    for program in programs {
        let cost =
            |kernel: &&String| costs[*kernel].get(program).map_or("-".to_owned(), |cost| grouped(*cost));
        let cells = std::iter::once(format!("`{program}`")).chain(kernels.iter().map(cost));
        writeln!(text, "{}", row(cells.collect()))?;
    }
    writeln!(text)
}

/// With commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let place = |(at, digit): (usize, char)| {
        let comma = at > 0 && (digits.len() - at).is_multiple_of(3);
        comma.then_some(',').into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(place).collect()
}

fn not_run(text: &mut String, all: &[(String, Results)]) -> std::fmt::Result {
    writeln!(text, "## What does not run there\n")?;
    let mut reasons: BTreeMap<(String, &str), Vec<&str>> = BTreeMap::new();
    for (label, results) in all {
        for test in results.tests.iter().filter(|test| test.outcome != Outcome::Failed) {
            for skip in &test.skips {
                let part = skip.part.as_ref().map(|part| format!(" ({part})")).unwrap_or_default();
                reasons
                    .entry((format!("{}{part}", test.test), skip.reason.as_str()))
                    .or_default()
                    .push(label);
            }
        }
        for left_out in &results.left_out {
            reasons.entry((left_out.name.clone(), left_out.reason.as_str())).or_default().push(label);
        }
    }
    for ((name, reason), labels) in reasons {
        writeln!(text, "- `{name}`: {reason} ({})", labels.join(", "))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(measured: &[(&str, &str)]) -> Results {
        let measured: BTreeMap<_, _> = measured.iter().copied().collect();
        let test = serde_json::json!({
            "binary": "kernel", "name": "a", "outcome": "passed", "seconds": 1.0, "message": null,
            "skips": [{ "part": null, "reason": "no kTLS" }], "measured": measured,
        });
        Results { tests: vec![serde_json::from_value(test).unwrap()], ..Results::default() }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let all = [
            (
                "5.10".to_owned(),
                results(&[("verifier.wire_egress", "123456"), ("verifier.tls_write", "refused")]),
            ),
            (
                "6.1".to_owned(),
                results(&[
                    ("verifier.tls_write", "7"),
                    ("doctor.program-loading", "reduced: a | b"),
                    ("has.unified-cgroup-v2", "yes"),
                ]),
            ),
        ];
        let text = page(&all, &[], "abc").unwrap();
        assert!(text.contains("| `wire_egress` | 123,456 | - |"), "{text}");
        assert!(text.contains("| `tls_write` | - | 7 |"), "{text}");
        assert!(text.contains("- 6.1: program loading: reduced: a | b\n"), "{text}");
        assert!(text.contains("| what | 6.1 |\n|---|---|\n| unified cgroup v2 | yes |\n"), "{text}");
        assert!(text.contains("- `kernel::a`: no kTLS (5.10, 6.1)\n"), "{text}");
        assert_eq!(read_costs(&text), costs(&all));
    }

    #[test]
    fn a_page_is_of_the_code_that_all_tests_ran_on() {
        let check = |filters: &[String], code, expected| {
            let page = Page { text: page(&[], filters, "abc").unwrap() };
            assert_eq!(page.is_of(code), expected, "{filters:?} {code}");
        };
        check(&[], "abc", true);
        check(&[], "abd", false);
        check(&["wire".to_owned()], "abc", false);
        assert!(!Page { text: String::new() }.is_of("abc"));
    }

    #[test]
    fn twice_as_dear_is_too_dear() {
        let before =
            page(&[("6.1".to_owned(), results(&[("verifier.tls_write", "1000")]))], &[], "").unwrap();
        let page = Page { text: before };
        for (kernel, cost, dearer) in [("6.1", "2000", 0), ("6.1", "2001", 1), ("5.10", "9999", 0)] {
            let all = [(kernel.to_owned(), results(&[("verifier.tls_write", cost)]))];
            assert_eq!(page.dearer(&all).len(), dearer, "{kernel} {cost}");
        }
    }

    #[test]
    fn thousands_have_commas() {
        for (number, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (123_456_789, "123,456,789")] {
            assert_eq!(grouped(number), expected);
        }
    }

    #[test]
    fn each_change_of_the_code_changes_its_hash() {
        let folder = tempfile_folder();
        for part in CAPTURE_CODE {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        let file = folder.join("ebpf/a.rs");
        fs::write(&file, "1").unwrap();
        let first = hash_of(&folder).unwrap();
        assert_eq!(hash_of(&folder).unwrap(), first);
        fs::write(&file, "2").unwrap();
        assert_ne!(hash_of(&folder).unwrap(), first);
        fs::remove_dir_all(&folder).unwrap();
    }

    fn tempfile_folder() -> PathBuf {
        std::env::temp_dir().join(format!("cprvagt-page-{}", std::process::id()))
    }
}
