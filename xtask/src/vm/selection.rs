//! Which tests a guest runs, and why it does not run the others.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a test is left to the machine at hand.
const AMONG_ITSELF: &str = "the agent's processes among themselves; the kernel has no part in it";
const OTHERS_RUN: &str =
    "a program that guests do not have; others, with the same library or to the same end, run there";
const BEFORE_A_KERNEL: &str = "ends, or is told, before the kernel has a part in it";

/// Test binaries, and single tests, that no guest runs.
const LEFT_OUT: [(&str, &str); 31] = [
    ("badinput::a_closed_output_ends_it", AMONG_ITSELF),
    ("badinput::a_wrong_configuration_is_told_with_its_place", BEFORE_A_KERNEL),
    ("badinput::commands_of_later_versions_say_so", BEFORE_A_KERNEL),
    ("badinput::what_enrolment_needs_is_told_before_anything_is_done", BEFORE_A_KERNEL),
    ("browser", "looks at the collector's pages in Chromium; the kernel has no part in it"),
    ("clients", "programs with the libraries that other tests use; the kernel has no part in it"),
    ("daemon::its_own_reports_are_not_watched", AMONG_ITSELF),
    ("daemon::none_goes_on_without_the_others", AMONG_ITSELF),
    ("daemon::reload_is_whole_or_not_at_all", AMONG_ITSELF),
    ("daemon::status_tells_and_a_second_daemon_is_refused", AMONG_ITSELF),
    ("daemon::the_service_manager_is_told", AMONG_ITSELF),
    ("demo::planted_numbers_arrive_where_they_were_planted", "is the lab alone; the demo itself runs"),
    (
        "discovery::a_program_that_lives_for_milliseconds_is_caught_or_counted",
        "a race with a program, which an emulated machine does not show",
    ),
    ("durable", "spool and collector under faults; the kernel has no part in it"),
    ("firefox", "a program with the library that other tests use; the kernel has no part in it"),
    ("lab::a_hundred_connections_at_once_arrive_apart", "is the lab alone, for minutes"),
    (
        "lab::programs_reach_the_recipients_by_name",
        "is the lab alone; the agent's tests run these programs too",
    ),
    ("linked", "programs with the library that other tests use; the kernel has no part in it"),
    ("node", "programs with the libraries that other tests use; the kernel has no part in it"),
    ("packages", "what packages bring beside the programs; the kernel has no part in it"),
    (
        "privacy::planted_numbers_are_readable_nowhere",
        "searches what the agent writes; the kernel has no part in it",
    ),
    ("relays::nginx_says_whose_requests_it_passes_on", OTHERS_RUN),
    ("relays::postfix_says_who_handed_it_a_mail", OTHERS_RUN),
    ("rehearsal", "decoder and matcher alone; the kernel has no part in it"),
    ("requests::frames_that_are_read_in_parts", OTHERS_RUN),
    ("requests::more_frames_of_one_read_than_are_followed_are_counted", OTHERS_RUN),
    ("requests::nginx", OTHERS_RUN),
    ("requests::nginx_by_http2", OTHERS_RUN),
    ("sealed", "what agent and collector store and say; the kernel has no part in it"),
    ("servers", "programs with the libraries that other tests use; the kernel has no part in it"),
    ("starttls", "programs with the libraries that other tests use; the kernel has no part in it"),
];
/// Test binaries that need systemd as the first process.
const NEED_SYSTEMD: [&str; 2] = ["installed", "systemd"];
const WITHOUT_SYSTEMD: &str = "needs systemd as the first process (--systemd)";
const ALSO_WITHOUT: &str = "runs on the same kernel without systemd";

/// Name of a test, in its binary.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TestName {
    /// The test binary: the name of its file in `tests/tests`.
    pub binary: String,
    /// The test.
    pub name: String,
}

impl fmt::Display for TestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.binary, self.name)
    }
}

/// Tests that a guest does not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The test binary, or one test as `binary::test`.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// What a guest is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// No systemd; all tests that do not need it.
    Plain,
    /// systemd is the first process; all tests.
    Systemd,
    /// systemd is the first process; the tests that need it, others having run on that kernel without.
    SystemdAlone,
}

impl Scope {
    /// Whether systemd is the first process.
    #[must_use]
    pub fn has_systemd(self) -> bool {
        self != Self::Plain
    }

    /// What keeps a guest from running that test, if anything.
    #[must_use]
    pub fn against(self, test: &TestName) -> Option<LeftOut> {
        let left_out =
            |name: &str, reason: &str| LeftOut { name: name.to_owned(), reason: reason.to_owned() };
        let is_it = |name: &str| name == test.binary || name == test.to_string();
        if let Some((name, reason)) = LEFT_OUT.iter().find(|(name, _)| is_it(name)) {
            return Some(left_out(name, reason));
        }
        match (self, NEED_SYSTEMD.contains(&test.binary.as_str())) {
            (Self::Plain, true) => Some(left_out(&test.binary, WITHOUT_SYSTEMD)),
            (Self::SystemdAlone, false) => Some(left_out(&test.binary, ALSO_WITHOUT)),
            _ => None,
        }
    }
}

/// Whether a test has one of the filters in its name, or there is none.
#[must_use]
pub fn is_wanted(test: &TestName, filters: &[String]) -> bool {
    let name = test.to_string();
    filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell;

    fn test(binary: &str, name: &str) -> TestName {
        TestName { binary: binary.into(), name: name.into() }
    }

    #[test]
    fn what_is_left_out_exists() {
        for (name, _) in LEFT_OUT {
            let (binary, test) = name.split_once("::").unwrap_or((name, ""));
            let file = shell::root().join(format!("tests/tests/{binary}.rs"));
            let text = std::fs::read_to_string(file).unwrap();
            assert!(text.contains(&format!("fn {test}")), "{name} is gone");
        }
    }

    #[test]
    fn systemd_is_needed_by_few() {
        for (scope, binary, name, runs) in [
            (Scope::Plain, "wire", "a", true),
            (Scope::Plain, "systemd", "a", false),
            (Scope::Plain, "durable", "a", false),
            (Scope::Plain, "lab", "a", true),
            (Scope::Plain, "lab", "programs_reach_the_recipients_by_name", false),
            (Scope::Systemd, "wire", "a", true),
            (Scope::Systemd, "systemd", "a", true),
            (Scope::SystemdAlone, "wire", "a", false),
            (Scope::SystemdAlone, "systemd", "a", true),
        ] {
            assert_eq!(scope.against(&test(binary, name)).is_none(), runs, "{scope:?} {binary}::{name}");
        }
    }

    #[test]
    fn filters_are_parts_of_whole_names() {
        let test = test("wire", "every_size");
        for (filters, wanted) in
            [(&[][..], true), (&["wire::every"], true), (&["tls", "size"], true), (&["tls"], false)]
        {
            let filters: Vec<String> = filters.iter().map(|it: &&str| (*it).to_owned()).collect();
            assert_eq!(is_wanted(&test, &filters), wanted, "{filters:?}");
        }
    }
}
