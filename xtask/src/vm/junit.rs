//! Results in the form that build servers read.

use std::time::Duration;

use anyhow::{Context, Result};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::results::{Outcome, Results, Test};

/// One suite for the guest, one case for each test.
///
/// # Errors
/// When it cannot be written as XML.
pub fn report(label: &str, results: &Results) -> Result<String> {
    let mut suite = TestSuite::new(format!("kernel {label}"));
    suite.set_time(Duration::from_secs_f64(results.seconds));
    let package = &results.package;
    for (name, value) in [
        ("package", package.name.clone()),
        ("version", package.version.clone()),
        ("release", package.release.clone()),
        ("boots", results.boots.to_string()),
    ] {
        suite.add_property(Property::new(name, value));
    }
    suite.add_test_cases(results.tests.iter().map(case));
    let mut report = Report::new("cprvagt");
    report.add_test_suite(suite);
    report.to_string().context("writing junit.xml")
}

fn case(test: &Test) -> TestCase {
    let mut case = TestCase::new(test.test.name.as_str(), status(test));
    case.set_classname(test.test.binary.as_str()).set_time(Duration::from_secs_f64(test.seconds));
    if !test.output.is_empty() {
        case.set_system_out(test.output.as_str());
    }
    case
}

fn status(test: &Test) -> TestCaseStatus {
    let mut status = match test.outcome {
        Outcome::Passed => return TestCaseStatus::success(),
        Outcome::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Outcome::Skipped => TestCaseStatus::skipped(),
    };
    let whole = test.skips.iter().find(|skip| skip.part.is_none()).map(|skip| skip.reason.as_str());
    status.set_message(test.message.as_deref().or(whole).unwrap_or_default());
    status
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::vm::results::Skip;
    use crate::vm::selection::TestName;

    fn test(name: &str, outcome: Outcome, message: Option<&str>, output: &str) -> Test {
        Test {
            test: TestName { binary: "wire".into(), name: name.into() },
            outcome,
            seconds: 1.5,
            skips: vec![Skip { part: None, reason: "no BTF".into() }],
            measured: BTreeMap::new(),
            message: message.map(str::to_owned),
            output: output.into(),
        }
    }

    #[test]
    fn each_outcome_has_its_form() {
        let tests = vec![
            test("a", Outcome::Passed, None, ""),
            test("b", Outcome::Failed, Some("exit code <101>"), "\u{1b}[1mpanicked\u{1b}[0m & \u{0}"),
            test("c", Outcome::Skipped, None, ""),
        ];
        let text = report("6.1", &Results { tests, ..Results::default() }).unwrap();
        for part in [
            r#"tests="3" skipped="1" errors="0" failures="1""#,
            r#"<testcase name="a" classname="wire" time="1.500"/>"#,
            r#"<failure message="exit code &lt;101&gt;"/>"#,
            r#"<skipped message="no BTF"/>"#,
            "<system-out>panicked &amp; </system-out>",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
