//! What became of a guest: its kernel, each test with its outcome, what tests measured, what went wrong beside.
//!
//! *Invariants*: every planned test has exactly one outcome. A guest that died, hung or whose kernel complained
//! has at least one failure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::console;
use super::kernels::Package;
use super::port::{Ended, Told};
use super::selection::{LeftOut, TestName};

/// The exit code by which `run` tells that a test's time was up.
const TIME_WAS_UP: i32 = 124;
/// The binary that failures of the guest itself are counted under.
const GUEST: &str = "guest";
/// What a test says of a program that the root image lacks: a defect of the image, not of the kernel.
const NOT_INSTALLED: &str = "is not installed";

/// What became of one guest. Written as `results.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// What its kernel was chosen by.
    pub kernel: String,
    /// Which kernel it was.
    pub package: Package,
    /// Whether systemd was its first process.
    pub systemd: bool,
    /// How often it was booted: 2 when it died the first time before its payload started.
    pub boots: u32,
    /// How long all of it took.
    pub seconds: f64,
    /// Lines of the console by which the kernel complained.
    pub complaints: Vec<String>,
    /// Every planned test, in the order of the plan.
    pub tests: Vec<Test>,
    /// What was not planned.
    pub left_out: Vec<LeftOut>,
}

/// What became of one test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// The test.
    #[serde(flatten)]
    pub test: TestName,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub seconds: f64,
    /// Why it, or a part of it, could not run here.
    pub skips: Vec<Skip>,
    /// What it measured, by name.
    pub measured: BTreeMap<String, String>,
    /// Why it failed, in a line.
    pub message: Option<String>,
    /// What it printed.
    #[serde(skip)]
    pub output: String,
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It ran and passed.
    Passed,
    /// It failed, or did not run although it should have.
    Failed,
    /// It said that it cannot run here.
    Skipped,
}

/// Something that could not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    /// The part of the test; none for all of it.
    pub part: Option<String>,
    /// Why.
    pub reason: String,
}

/// How a guest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It powered off after its last test.
    Whole,
    /// It ended before its payload started, or did not start it in time.
    NeverReady,
    /// It ended in the middle of the tests.
    Died,
    /// It said nothing for longer than a test may take.
    Hung,
}

impl Results {
    /// Gives each planned test its outcome.
    pub fn judge(&mut self, plan: &[TestName], told: &Told, ending: Ending, console: &str) {
        self.tests = plan.iter().map(|test| outcome(test, told, ending, console)).collect();
        self.complaints = console::complaints(console);
        if ending != Ending::Whole && told.running.is_none() {
            let message = format!("{}; the console ends:\n{}", ending.says(), console::tail(console));
            self.tests.push(Test::failed(GUEST, "runs to its end", message));
        }
        if let Some(first) = self.complaints.first() {
            let message = format!("{} complaints, the first: {first}", self.complaints.len());
            self.tests.push(Test::failed(GUEST, "its kernel does not complain", message));
        }
        if let Some(other) = told.release.as_ref().filter(|release| **release != self.package.release) {
            let message = format!("{other} is running, not {}", self.package.release);
            self.tests.push(Test::failed(GUEST, "has the kernel that was asked for", message));
        }
    }

    /// Passed, failed and skipped tests.
    #[must_use]
    pub fn sums(&self) -> [usize; 3] {
        [Outcome::Passed, Outcome::Failed, Outcome::Skipped]
            .map(|outcome| self.tests.iter().filter(|test| test.outcome == outcome).count())
    }
}

impl Ending {
    fn says(self) -> &'static str {
        match self {
            Self::Whole => "the guest ended without a result for this test",
            Self::NeverReady => "the guest did not start its payload",
            Self::Died => "the guest died",
            Self::Hung => "the guest hung and was ended",
        }
    }
}

impl Test {
    fn failed(binary: &str, name: &str, message: String) -> Self {
        let test = TestName { binary: binary.to_owned(), name: name.to_owned() };
        Self { message: Some(message), ..Self::new(test, Outcome::Failed) }
    }

    fn new(test: TestName, outcome: Outcome) -> Self {
        let (skips, measured) = (Vec::new(), BTreeMap::new());
        Self { test, outcome, seconds: 0.0, skips, measured, message: None, output: String::new() }
    }
}

fn outcome(test: &TestName, told: &Told, ending: Ending, console: &str) -> Test {
    if let Some(ended) = told.ended.iter().find(|ended| ended.test == *test) {
        return of_ended(ended);
    }
    let message = if told.running.as_ref() == Some(test) {
        format!("{} in this test; the console ends:\n{}", ending.says(), console::tail(console))
    } else {
        format!("not run: {}", ending.says())
    };
    Test::failed(&test.binary, &test.name, message)
}

fn of_ended(ended: &Ended) -> Test {
    let skips = skips(&ended.output);
    let lacking = skips.iter().find(|skip| skip.reason.contains(NOT_INSTALLED));
    let message = match ended.status {
        0 => lacking.map(|skip| format!("the root image lacks a program: {}", skip.reason)),
        TIME_WAS_UP => Some("its time was up".to_owned()),
        status => Some(format!("exit code {status}")),
    };
    let outcome = match &message {
        Some(_) => Outcome::Failed,
        None if skips.iter().any(|skip| skip.part.is_none()) => Outcome::Skipped,
        None => Outcome::Passed,
    };
    Test {
        seconds: ended.milliseconds as f64 / 1000.0,
        skips,
        measured: measured(&ended.output),
        message,
        output: ended.output.clone(),
        ..Test::new(ended.test.clone(), outcome)
    }
}

/// `skipped: NAME: reason`, or `skipped: NAME (part): reason`; and what is marked as ignored.
fn skips(output: &str) -> Vec<Skip> {
    let said = output.lines().filter_map(|line| {
        let (name, reason) = line.strip_prefix("skipped: ")?.split_once(": ")?;
        let part = name.split_once(" (").map(|(_, part)| part.trim_end_matches(')').to_owned());
        Some(Skip { part, reason: reason.to_owned() })
    });
    let ignored = output.contains("; 1 ignored;").then(|| Skip { part: None, reason: "ignored".to_owned() });
    said.chain(ignored).collect()
}

/// `measured: KEY VALUE`.
fn measured(output: &str) -> BTreeMap<String, String> {
    let lines = output.lines().filter_map(|line| line.strip_prefix("measured: ")?.split_once(' '));
    lines.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(name: &str) -> TestName {
        TestName { binary: "wire".into(), name: name.into() }
    }

    fn ended(name: &str, status: i32, output: &str) -> Ended {
        Ended { test: test(name), status, milliseconds: 1500, output: output.into() }
    }

    fn judged(told: &Told, ending: Ending, console: &str) -> Results {
        let package = Package { release: "6.1.0".into(), ..Package::default() };
        let mut results = Results { package, ..Results::default() };
        results.judge(&["a", "b", "c"].map(test), told, ending, console);
        results
    }

    #[test]
    fn what_tests_print_decides() {
        for (status, output, expected) in [
            (0, "ok", Outcome::Passed),
            (101, "ok", Outcome::Failed),
            (124, "", Outcome::Failed),
            (0, "skipped: a: no BTF on this kernel", Outcome::Skipped),
            (0, "skipped: a (node): this node has no fetch", Outcome::Passed),
            (0, "skipped: a: node is not installed", Outcome::Failed),
            (0, "skipped: a (node): node is not installed", Outcome::Failed),
            (0, "test result: ok. 0 passed; 0 failed; 1 ignored; 0 measured", Outcome::Skipped),
        ] {
            assert_eq!(of_ended(&ended("a", status, output)).outcome, expected, "{status} {output}");
        }
    }

    #[test]
    fn skips_and_measurements_are_kept() {
        let output = "skipped: a (node fetch): too old\nmeasured: tls_write.instructions 4711\n";
        let test = of_ended(&ended("a", 0, output));
        assert_eq!(test.skips, [Skip { part: Some("node fetch".into()), reason: "too old".into() }]);
        assert_eq!(test.measured["tls_write.instructions"], "4711");
    }

    #[test]
    fn a_whole_run_has_what_its_tests_have() {
        let all = ["a", "b", "c"].map(|name| ended(name, 0, "")).to_vec();
        let told = Told { release: Some("6.1.0".into()), ended: all, running: None, done: true };
        assert_eq!(judged(&told, Ending::Whole, "").sums(), [3, 0, 0]);
        let complains = "[    5.1] WARNING: CPU: 0 PID: 1 at kernel/bpf/core.c:1\n";
        assert_eq!(judged(&told, Ending::Whole, complains).sums(), [3, 1, 0]);
        let other = Told { release: Some("6.2.0".into()), ..told };
        assert_eq!(judged(&other, Ending::Whole, "").sums(), [3, 1, 0]);
    }

    #[test]
    fn a_guest_that_dies_fails_its_test_and_all_that_did_not_run() {
        let told = Told { ended: vec![ended("a", 0, "")], running: Some(test("b")), ..Told::default() };
        let results = judged(&told, Ending::Died, "the last words");
        assert_eq!(results.sums(), [1, 2, 0]);
        assert!(results.tests[1].message.as_ref().unwrap().contains("the last words"));
        assert!(results.tests[2].message.as_ref().unwrap().starts_with("not run"));
        let between = Told { running: None, ..told };
        assert_eq!(judged(&between, Ending::Hung, "").sums(), [1, 3, 0]);
    }

    #[test]
    fn results_are_read_back_as_written() {
        let told = Told { ended: vec![ended("a", 0, "")], ..Told::default() };
        let mut results = judged(&told, Ending::NeverReady, "");
        results.tests[0].output.clear();
        let text = serde_json::to_string(&results).unwrap();
        assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), results);
    }
}
