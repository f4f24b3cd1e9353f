//! The demo's messages through decoder and matcher alone: no kernel, no network, no root.
//!
//! When this passes and the demo fails, the fault lies in capture, join, judge or ledger.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use cprvagt_cpr::{Class, Confidence, Hit, Place, Scene, scan};
use cprvagt_stream::{Decoder, Part, Window};
use cprvagt_tests::demo::{Plan, TARGETS};
use cprvagt_tests::{Job, Program};

/// (ten digits, part)
type Found = (String, &'static str);

fn wire_form(job: &Job) -> Vec<u8> {
    let (_, rest) = job.url.split_once("://").unwrap();
    let (host, target) = rest.split_once('/').unwrap();
    let mut text = format!("{} /{target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: node\r\n", job.method);
    for (name, value) in &job.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let body = job.body.as_deref().unwrap_or_default();
    if job.body.is_some() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    format!("{text}\r\n{body}").into_bytes()
}

/// What one message gives at medium and above: a number found in a specific part is not told again for
/// the raw bytes behind it.
fn findings(message: &[u8], now_unix: i64) -> BTreeSet<Found> {
    let mut seen: BTreeMap<Found, (bool, bool)> = BTreeMap::new();
    let mut look = |window: Window<'_>| {
        let place = match window.part {
            Part::UrlPath => Place::UrlPath,
            Part::UrlQuery => Place::UrlQuery,
            _ => Place::Other,
        };
        let scene = Scene { key: window.field, place, now_unix };
        scan(window.bytes, &scene, &mut |hit: Hit| {
            if window.owned.contains(&hit.start) {
                let reported = hit.score.confidence() >= Confidence::Medium && hit.class != Class::Test;
                let digits = String::from_utf8(hit.number.digits().to_vec()).unwrap();
                let entry = seen.entry((digits, window.part.as_str())).or_default();
                *entry = (entry.0 | reported, window.part.is_specific());
            }
        });
    };
    let mut decoder = Decoder::stream();
    decoder.push(message, &mut look);
    decoder.finish(&mut look);
    let specific: BTreeSet<String> =
        seen.iter().filter(|(_, (_, specific))| *specific).map(|(found, _)| found.0.clone()).collect();
    let told = seen.into_iter().filter(|(found, (reported, is_specific))| {
        *reported && (*is_specific || !specific.contains(&found.0))
    });
    told.map(|(found, _)| found).collect()
}

#[test]
fn messages_give_the_planted_and_nothing_else() {
    let now_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
    for seed in [1968, 1, 2, 3] {
        let plan = Plan::new(seed, &Program::ALL);
        let mut found: BTreeMap<(String, &str, &str), usize> = BTreeMap::new();
        for (program, jobs) in plan.waves.iter().flat_map(|wave| &wave.batches) {
            for job in jobs {
                let host = TARGETS.iter().find(|target| job.url.contains(target.host)).unwrap();
                for (digits, part) in findings(&wire_form(job), now_unix) {
                    if !host.allowed {
                        let known = plan.citizens.contains(&digits);
                        assert!(known, "false alarm: {} in {part} by {program:?}, seed {seed}", job.url);
                        *found.entry((digits, host.host, part)).or_default() += 1;
                    }
                }
            }
        }
        for planted in &plan.planted {
            let part = planted.part.to_string();
            let key = found.keys().find(|(digits, host, own)| {
                *digits == plan.citizens[planted.citizen] && *host == planted.host && *own == part
            });
            assert!(
                key.is_some(),
                "missed: {} at {} by {:?}, seed {seed}",
                part,
                planted.host,
                planted.program
            );
        }
        assert_eq!(found.len(), plan.planted.len(), "something else was found, seed {seed}");
        assert!(found.values().all(|times| *times == 1), "something was found twice, seed {seed}");
    }
}
