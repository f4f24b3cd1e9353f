//! What a person reads at the end: a table of kernels, what failed, and the sum in the last line.

use std::fmt::Write as _;

use anyhow::Result;

use super::results::{Outcome, Results};
use super::round::Prepared;
use crate::test::tell_failure;

/// The whole of it; the last line is `N passed, N failed, N skipped`, with what failed beside the tests.
#[must_use]
pub fn table(all: &[(String, Results)], failed_beside: usize) -> String {
    let mut text = String::new();
    for (label, results) in all {
        details(&mut text, label, results).expect("a string takes all");
    }
    lines(&mut text, all, failed_beside).expect("a string takes all");
    text
}

/// Which kernels, and which tests on each.
///
/// # Errors
/// When a guest's disk cannot be made.
pub fn plans(prepared: &Prepared) -> Result<String> {
    let mut text = String::new();
    for guest in &prepared.guests {
        let (payload, package) = (prepared.payload(guest)?, &guest.kernel.package);
        writeln!(text, "{}: {} {} ({})", guest.label(), package.name, package.version, package.suite)?;
        for test in &payload.plan {
            writeln!(text, "  {test}")?;
        }
        for left_out in &payload.left_out {
            writeln!(text, "  without {}: {}", left_out.name, left_out.reason)?;
        }
    }
    Ok(text)
}

/// What failed and what was skipped, with reasons.
fn details(text: &mut String, label: &str, results: &Results) -> std::fmt::Result {
    if results.boots > 1 {
        writeln!(text, "{label}: DIED BEFORE ITS PAYLOAD STARTED and was booted once more")?;
    }
    for complaint in &results.complaints {
        writeln!(text, "{label}: the kernel complains: {complaint}")?;
    }
    for test in &results.tests {
        for skip in &test.skips {
            let part = skip.part.as_ref().map(|part| format!(" ({part})")).unwrap_or_default();
            writeln!(text, "{label}: skipped: {}{part}: {}", test.test, skip.reason)?;
        }
        if test.outcome == Outcome::Failed {
            let what = format!("{}: {}", test.test, test.message.as_deref().unwrap_or_default());
            tell_failure(text, label, &what, &test.output.lines().collect::<Vec<_>>())?;
        }
    }
    Ok(())
}

fn lines(text: &mut String, all: &[(String, Results)], failed_beside: usize) -> std::fmt::Result {
    let row = |text: &mut String, cells: [&str; 6]| {
        let [label, package, passed, failed, skipped, seconds] = cells;
        writeln!(text, "{label:15} {package:60} {passed:>7} {failed:>7} {skipped:>7} {seconds:>7}")
    };
    row(text, ["kernel", "package", "passed", "failed", "skipped", "seconds"])?;
    let mut sum = [0, failed_beside, 0];
    for (label, results) in all {
        let sums = results.sums();
        sum = std::array::from_fn(|index| sum[index] + sums[index]);
        let package = format!("{} {}", results.package.name, results.package.version);
        let [passed, failed, skipped] = sums.map(|number| number.to_string());
        row(text, [label, &package, &passed, &failed, &skipped, &format!("{:.0}", results.seconds)])?;
    }
    writeln!(text, "{} passed, {} failed, {} skipped", sum[0], sum[1], sum[2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_sum() {
        let test = |outcome: &str, message: &str| {
            let test = serde_json::json!({
                "binary": "wire", "name": "a", "outcome": outcome, "seconds": 1.0, "skips": [],
                "measured": {}, "message": message,
            });
            serde_json::from_value(test).unwrap()
        };
        let results = |tests| Results { boots: 2, tests, ..Results::default() };
        let all = [
            ("5.10".into(), results(vec![test("passed", ""), test("failed", "exit code 101")])),
            ("6.1".into(), results(vec![test("skipped", ""), test("passed", "")])),
        ];
        let text = table(&all, 2);
        assert_eq!(text.lines().last(), Some("2 passed, 3 failed, 1 skipped"));
        assert!(text.contains("5.10: FAILED: wire::a: exit code 101"), "{text}");
        assert!(text.contains("6.1: DIED BEFORE"), "{text}");
    }
}
