//! Ground truth against what was reported.
//!
//! A leak matches a planted number by (pseudonym, `destination.host`, `location.part`).  Anything else
//! reported at the default confidence is a false alarm.  Rows name citizens by pseudonym only.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::demo::TARGETS;
use crate::demo::collected::Collected;
use crate::demo::plan::{Plan, Planted};
use crate::lab::Service;
use crate::pseudonym::Key;

/// The `cprvagt.demo/1` object.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Always `cprvagt.demo/1`.
    pub schema: &'static str,
    /// Numbers that had to be found.
    pub planted: usize,
    /// How many of them were.
    pub found: usize,
    /// How many were not.
    pub missed: usize,
    /// Leaks reported that nobody planted.
    pub false_alarms: usize,
    /// Leaks reported again.
    pub duplicates: usize,
    /// What each recipient got.
    pub recipients: Vec<RecipientRow>,
    /// Different people whose numbers were planted.
    pub citizens_planted: usize,
    /// How many of them were found somewhere.
    pub citizens_found: usize,
    /// From the ledger; absent when it does not say, which is not ok.
    pub unexplained_bytes: Option<u64>,
    /// Planted numbers readable in what the agent wrote.
    pub readable_numbers: usize,
    /// Leaks whose `transport.encrypted` is not what was done.
    pub wrong_transport: usize,
    /// What the collector made of it.
    pub collector: Collected,
    /// The whole answer.
    pub ok: bool,
    /// What was missed, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missed_list: Vec<Alarm>,
    /// What was reported wrongly.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub false_alarm_list: Vec<Alarm>,
}

/// One recipient's part.
#[derive(Clone, Debug, Serialize)]
pub struct RecipientRow {
    /// Its name.
    pub host: &'static str,
    /// Different people whose numbers it was sent.
    pub citizens_planted: usize,
    /// How many of them were reported.
    pub citizens_found: usize,
    /// Whether it speaks TLS.
    pub encrypted: bool,
    /// Leaks by `destination.proof`.
    pub proof: BTreeMap<String, usize>,
    /// `observed_at` of its first leak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<String>,
    /// `observed_at` of its last leak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<String>,
}

/// Something missed or reported wrongly, without the number.
#[derive(Clone, Debug, Serialize)]
pub struct Alarm {
    /// The recipient.
    pub host: String,
    /// Where in the message.
    pub part: String,
    /// Who sent it: the program, or what the agent calls the process.
    pub program: String,
    /// Who it is about.
    pub pseudonym: String,
    /// More that the agent said of it: field, path, confidence.
    pub detail: String,
}

/// (pseudonym, host, part)
type Triple = (String, String, String);

impl Verdict {
    /// Compares. `readable` counts planted numbers found readable in what the agent wrote.
    #[must_use]
    pub fn new(
        plan: &Plan,
        key: &Key,
        leaks: &[Value],
        ledger: &Value,
        readable: usize,
        collector: Collected,
    ) -> Self {
        let truth: BTreeMap<Triple, &Planted> =
            plan.planted.iter().map(|planted| (expected(planted, plan, key), planted)).collect();
        let mut times: BTreeMap<&Triple, usize> = truth.keys().map(|triple| (triple, 0)).collect();
        let (mut false_alarm_list, mut wrong_transport) = (Vec::new(), 0);
        for leak in leaks {
            let triple = reported(leak);
            let Some(count) = times.get_mut(&triple) else {
                false_alarm_list.push(false_alarm(leak));
                continue;
            };
            *count += 1;
            wrong_transport += usize::from(leak["transport"]["encrypted"] != truth[&triple].encrypted);
        }
        let missed_list: Vec<Alarm> = times
            .iter()
            .filter(|(_, count)| **count == 0)
            .map(|(triple, _)| missed(triple, truth[*triple]))
            .collect();
        let found: BTreeSet<&Triple> =
            times.iter().filter(|(_, count)| **count > 0).map(|(triple, _)| *triple).collect();
        let duplicates = times.values().map(|count| count.saturating_sub(1)).sum();
        let unexplained_bytes = ledger["unexplained_bytes"].as_u64();
        let nothing_else = false_alarm_list.is_empty() && duplicates == 0 && wrong_transport == 0;
        Self {
            schema: "cprvagt.demo/1",
            planted: truth.len(),
            found: found.len(),
            missed: missed_list.len(),
            false_alarms: false_alarm_list.len(),
            duplicates,
            recipients: rows(&truth, &found, leaks),
            citizens_planted: people(truth.keys()),
            citizens_found: people(found.iter().copied()),
            unexplained_bytes,
            readable_numbers: readable,
            wrong_transport,
            ok: missed_list.is_empty()
                && nothing_else
                && unexplained_bytes == Some(0)
                && readable == 0
                && collector.ok,
            collector,
            missed_list,
            false_alarm_list,
        }
    }
}

fn expected(planted: &Planted, plan: &Plan, key: &Key) -> Triple {
    (key.pseudonym(&plan.citizens[planted.citizen]), planted.host.to_owned(), planted.part.to_string())
}

fn reported(leak: &Value) -> Triple {
    (text(&leak["pseudonym"]), text(&leak["destination"]["host"]), text(&leak["location"]["part"]))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("?").to_owned()
}

fn missed(triple: &Triple, planted: &Planted) -> Alarm {
    let (pseudonym, host, part) = triple.clone();
    Alarm { host, part, program: planted.program.name().to_owned(), pseudonym, detail: String::new() }
}

fn false_alarm(leak: &Value) -> Alarm {
    let (pseudonym, host, part) = reported(leak);
    let location = &leak["location"];
    let said = [&location["path"], &location["field"], &leak["masked"], &leak["confidence"], &leak["rule"]];
    let detail = said.into_iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
    let host = if host == "?" { text(&leak["destination"]["ip"]) } else { host };
    Alarm { host, part, program: text(&leak["process"]["comm"]), pseudonym, detail }
}

fn rows(truth: &BTreeMap<Triple, &Planted>, found: &BTreeSet<&Triple>, leaks: &[Value]) -> Vec<RecipientRow> {
    let targets = TARGETS.iter();
    let row = |target: &crate::demo::Target| {
        let own: Vec<&Value> =
            leaks.iter().filter(|leak| leak["destination"]["host"] == target.host).collect();
        let mut proof = BTreeMap::new();
        own.iter().for_each(|leak| *proof.entry(text(&leak["destination"]["proof"])).or_default() += 1);
        let mut seen: Vec<String> = own.iter().map(|leak| text(&leak["observed_at"])).collect();
        seen.sort();
        RecipientRow {
            host: target.host,
            citizens_planted: people(truth.keys().filter(|triple| triple.1 == target.host)),
            citizens_found: people(found.iter().copied().filter(|triple| triple.1 == target.host)),
            encrypted: target.service == Service::Https,
            proof,
            first_seen: seen.first().cloned(),
            last_seen: seen.pop(),
        }
    };
    targets.map(row).collect()
}

fn people<'triple>(triples: impl Iterator<Item = &'triple Triple>) -> usize {
    triples.map(|(pseudonym, _, _)| pseudonym).collect::<BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::program::Program;
    use crate::scratch::{Scratch, unique_name};

    fn leak(plan: &Plan, key: &Key, at: usize) -> Value {
        let planted = &plan.planted[at];
        json!({
            "schema": "cprvagt.leak/1", "pseudonym": key.pseudonym(&plan.citizens[planted.citizen]),
            "destination": {"host": planted.host, "proof": "proven"},
            "location": {"part": planted.part.to_string()}, "transport": {"encrypted": planted.encrypted},
            "observed_at": format!("2026-11-22T08:00:{:02}Z", at % 60),
        })
    }

    fn check(change: impl Fn(&mut Vec<Value>), ledger: &Value, expected: [usize; 4], ok: bool) {
        let scratch = Scratch::new(&unique_name()).unwrap();
        let key = Key::new(&scratch).unwrap();
        let plan = Plan::new(3, &Program::ALL);
        let mut leaks: Vec<Value> = (0..plan.planted.len()).map(|at| leak(&plan, &key, at)).collect();
        change(&mut leaks);
        let verdict =
            Verdict::new(&plan, &key, &leaks, ledger, 0, Collected { ok: true, ..Collected::default() });
        let got = [verdict.missed, verdict.false_alarms, verdict.duplicates, verdict.wrong_transport];
        assert_eq!((got, verdict.ok), (expected, ok));
    }

    #[test]
    fn only_the_exact_truth_is_ok() {
        let balanced = json!({"unexplained_bytes": 0});
        check(|_| (), &balanced, [0, 0, 0, 0], true);
        check(|leaks| drop(leaks.pop()), &balanced, [1, 0, 0, 0], false);
        check(|leaks| leaks.push(leaks[0].clone()), &balanced, [0, 0, 1, 0], false);
        check(|leaks| leaks[0]["destination"]["host"] = "x.example".into(), &balanced, [1, 1, 0, 0], false);
        check(|leaks| leaks[0]["location"]["part"] = "raw".into(), &balanced, [1, 1, 0, 0], false);
        check(|leaks| leaks.push(json!({"pseudonym": "f"})), &balanced, [0, 1, 0, 0], false);
        check(|_| (), &json!({"unexplained_bytes": 1}), [0, 0, 0, 0], false);
        check(|_| (), &json!({}), [0, 0, 0, 0], false);
        let flip = |leaks: &mut Vec<Value>| {
            let was = leaks[0]["transport"]["encrypted"] == true;
            leaks[0]["transport"]["encrypted"] = (!was).into();
        };
        check(flip, &balanced, [0, 0, 0, 1], false);
    }
}
