//! The sections of `agent.toml`, each read into its type.

use cprvagt_report::{Class, Level};

use cprvagt_settings::{Document, Problem, Table, Value, nearest, size};

use super::{
    BadUrl, Capture, Collector, Config, ContainerPattern, DAY, Inspect, Matcher, Pattern, ProbeSites,
    Pseudonym, Report, Rules, Spool, System, allow, recipient, relay, rules,
};
use crate::judge::flatten;

/// Bounds of a ring, in bytes: what the kernel takes, and what a host can spare.
const RING_BYTES: std::ops::RangeInclusive<u64> = (64 << 10)..=(1 << 30);

/// Bounds of the spool: room for several segments, and what a host can spare.
const SPOOL_BYTES: std::ops::RangeInclusive<u64> = (64 << 20)..=(1 << 40);
/// Bounds of the time that a report waits, in days.
const SPOOL_DAYS: std::ops::RangeInclusive<u32> = 1..=3650;

const SECTIONS: &[&str] = &[
    "capture",
    "inspect",
    "allow",
    "recipient",
    "system",
    "relay",
    "rules",
    "report",
    "pseudonym",
    "spool",
    "collector",
];

/// Conditions on a process.
const MATCHER_KEYS: [&str; 5] = ["exe", "unit", "user", "container", "cgroup"];

/// The configuration that `text` spells, or everything that is wrong with it.
pub(super) fn read(text: &str) -> Result<Config, Vec<Problem>> {
    Document::read(text, |document, root| {
        let config = sections(root);
        if let Err(overfull) = flatten(config.allow.iter()) {
            document.problem_at(overfull.at, overfull.to_string());
        }
        config
    })
}

fn sections(root: &Table<'_, '_>) -> Config {
    root.expect_keys(SECTIONS);
    let built_in = Config::default();
    Config {
        capture: root.table("capture", "[capture]").map_or(built_in.capture, |it| capture(&it)),
        inspect: root.tables("inspect", "[[inspect]]").iter().filter_map(inspect).collect(),
        allow: root.tables("allow", "[[allow]]").iter().filter_map(allow::read).collect(),
        recipient: recipient::read_all(root),
        system: root.tables("system", "[[system]]").iter().filter_map(system).collect(),
        relay: relay::read_all(root),
        rules: root.table("rules", "[rules]").map_or(built_in.rules, |it| rules::read(&it)),
        report: root.table("report", "[report]").map_or(built_in.report, |it| report(&it)),
        pseudonym: root.table("pseudonym", "[pseudonym]").map_or(built_in.pseudonym, |it| pseudonym(&it)),
        spool: root.table("spool", "[spool]").map_or(built_in.spool, |it| spool(&it)),
        collector: root.table("collector", "[collector]").map_or(built_in.collector, |it| collector(&it)),
    }
}

fn capture(table: &Table<'_, '_>) -> Capture {
    table.expect_keys(&["ring_bytes", "probe_site"]);
    let built_in = Config::default().capture;
    let ring_bytes = table.value("ring_bytes").and_then(|value| ring_bytes(table, value));
    let probe_site = table.value("probe_site").and_then(|value| {
        let valid = ProbeSites::ALL.map(ProbeSites::as_str);
        let word = word(table, "probe_site", value, &valid)?;
        ProbeSites::ALL.into_iter().find(|it| it.as_str() == word)
    });
    Capture {
        ring_bytes: ring_bytes.unwrap_or(built_in.ring_bytes),
        probe_site: probe_site.unwrap_or(built_in.probe_site),
    }
}

fn ring_bytes(table: &Table<'_, '_>, value: Value<'_, '_>) -> Option<u32> {
    let fitting = bytes("ring_bytes", value).and_then(|bytes| match u32::try_from(bytes) {
        Ok(fits) if bytes.is_power_of_two() && RING_BYTES.contains(&bytes) => Ok(fits),
        _ => Err(format!(
            "ring_bytes is {}; it must be a power of two from 64 KiB to 1 GiB (whole pages)",
            size::show(bytes)
        )),
    });
    fitting.map_err(|what| table.problem_with(value, what)).ok()
}

/// A size, as a number of bytes or as people write it.
fn bytes(key: &str, value: Value<'_, '_>) -> Result<u64, String> {
    match value.get_ref() {
        it if it.is_integer() => integer(value).ok_or_else(|| format!("{key} is out of range")),
        it => match it.as_str() {
            Some(text) => size::parse(text),
            None => Err(format!("{key} must be a size such as \"16 MiB\"")),
        },
    }
}

/// A whole number not below 0, in decimal or any other base that TOML has.
pub(super) fn integer(value: Value<'_, '_>) -> Option<u64> {
    let integer = value.get_ref().as_integer()?;
    u64::from_str_radix(integer.as_str().trim_start_matches('+'), integer.radix()).ok()
}

fn inspect(table: &Table<'_, '_>) -> Option<Inspect> {
    table.expect_keys(&["only", "except"]);
    if table.value("only").is_none() && table.value("except").is_none() {
        table.problem("needs \"only\" or \"except\"");
        return None;
    }
    let only = inspect_matcher(table, "only", "[[inspect]] only");
    let except = inspect_matcher(table, "except", "[[inspect]] except");
    Some(Inspect { only, except })
}

fn inspect_matcher(table: &Table<'_, '_>, key: &str, name: &'static str) -> Option<Matcher> {
    process_matcher(&table.table(key, name)?)
}

fn system(table: &Table<'_, '_>) -> Option<System> {
    table.expect_keys(&["name", "vendor", "controller", "processor", "rules", "match"]);
    let name = table.text_required("name");
    let owned = |key| table.text(key).map(str::to_owned);
    let (vendor, controller, processor) = (owned("vendor"), owned("controller"), owned("processor"));
    let rules = table.table("rules", "[[system]] rules").map_or_else(Rules::default, |it| rules::read(&it));
    table.value_required("match")?;
    let matches = process_matcher(&table.table("match", "[[system]] match")?)?;
    Some(System { name: name?.to_owned(), vendor, controller, processor, rules, matches })
}

/// Conditions on a process, at least one.
pub(super) fn process_matcher(table: &Table<'_, '_>) -> Option<Matcher> {
    table.expect_keys(&MATCHER_KEYS);
    if MATCHER_KEYS.iter().all(|key| table.value(key).is_none()) {
        table.problem(format_args!("is empty; give one of {}", MATCHER_KEYS.join(", ")));
        return None;
    }
    let user = table.text("user").map(str::to_owned);
    let (exe, unit, cgroup) = (pattern(table, "exe"), pattern(table, "unit"), pattern(table, "cgroup"));
    Some(Matcher { exe, unit, user, container: container(table), cgroup })
}

fn container(table: &Table<'_, '_>) -> Option<ContainerPattern> {
    let value = table.value("container")?;
    let pattern = ContainerPattern::new(table.text_of("container", value)?);
    pattern.map_err(|what| table.problem_with(value, what)).ok()
}

fn pattern(table: &Table<'_, '_>, key: &str) -> Option<Pattern> {
    let value = table.value(key)?;
    let pattern = Pattern::new(table.text_of(key, value)?);
    pattern.map_err(|what| table.problem_with(value, what)).ok()
}

fn report(table: &Table<'_, '_>) -> Report {
    table.expect_keys(&["min_confidence", "classes"]);
    let mut report = Config::default().report;
    if let Some(value) = table.value("min_confidence") {
        let valid: Vec<&str> = Level::ALL.iter().map(|level| level.as_str()).collect();
        let level = word(table, "min_confidence", value, &valid).and_then(Level::from_word);
        report.min_confidence = level.unwrap_or(report.min_confidence);
    }
    if table.value("classes").is_some() {
        let valid: Vec<&str> = Class::ALL.iter().map(|class| class.as_str()).collect();
        expect_some(table, "classes", "nothing would be told");
        report.classes = words(table, "classes", &valid, Class::from_word);
    }
    report
}

/// Tells a list that is there and empty, and what that would mean.
pub(super) fn expect_some(table: &Table<'_, '_>, key: &str, meaning: &str) {
    let value = table.value(key).filter(|value| value.get_ref().as_array().is_some_and(|it| it.is_empty()));
    if let Some(value) = value {
        table.problem_with(value, format!("{key} is empty: {meaning}"));
    }
}

/// The words of the list `key`, each one of `valid`.
pub(super) fn words<T>(
    table: &Table<'_, '_>,
    key: &str,
    valid: &[&str],
    read: impl Fn(&str) -> Option<T>,
) -> Vec<T> {
    let words = table.list(key).filter_map(|value| word(table, key, value, valid));
    words.filter_map(read).collect()
}

pub(super) fn word<'a>(
    table: &Table<'_, '_>,
    key: &str,
    value: Value<'a, '_>,
    valid: &[&str],
) -> Option<&'a str> {
    let Some(word) = value.get_ref().as_str() else {
        table.wrong_type(key, value, "a string");
        return None;
    };
    if valid.contains(&word) {
        return Some(word);
    }
    let hint = match nearest(word, valid) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("valid: {}", valid.join(", ")),
    };
    table.problem_with(value, format!("{word:?} is not a value of {key}; {hint}"));
    None
}

fn pseudonym(table: &Table<'_, '_>) -> Pseudonym {
    table.expect_keys(&["key_file"]);
    Pseudonym { key_file: table.text("key_file").map(Into::into) }
}

fn spool(table: &Table<'_, '_>) -> Spool {
    table.expect_keys(&["dir", "bytes_max", "days_max"]);
    let built_in = Spool::default();
    let bytes_max = table.value("bytes_max").and_then(|value| {
        let fitting = bytes("bytes_max", value).and_then(|bytes| match SPOOL_BYTES.contains(&bytes) {
            true => Ok(bytes),
            false => Err(format!("bytes_max is {}; it must be from 64 MiB to 1024 GiB", size::show(bytes))),
        });
        fitting.map_err(|what| table.problem_with(value, what)).ok()
    });
    let days_max = table.value("days_max").and_then(|value| {
        let days = integer(value).and_then(|days| u32::try_from(days).ok());
        let days = days.filter(|days| SPOOL_DAYS.contains(days));
        if days.is_none() {
            table.problem_with(value, "days_max is a number from 1 to 3650");
        }
        days
    });
    Spool {
        dir: table.text("dir").map_or(built_in.dir, Into::into),
        bytes_max: bytes_max.unwrap_or(built_in.bytes_max),
        age_max: days_max.map_or(built_in.age_max, |days| days * DAY),
    }
}

fn collector(table: &Table<'_, '_>) -> Collector {
    table.expect_keys(&["url", "enrolment"]);
    let url = table.value("url").and_then(|value| {
        let url = table.text_of("url", value)?.parse();
        url.map_err(|bad: BadUrl| table.problem_with(value, bad.to_string())).ok()
    });
    let enrolment = table.text("enrolment").map_or(Collector::default().enrolment, Into::into);
    Collector { url, enrolment }
}
