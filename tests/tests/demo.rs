//! The demo: its messages arrive as planned, and the agent finds exactly the planted numbers.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::thread;
use std::time::Duration;

use cprvagt_tests::agent;
use cprvagt_tests::collector;
use cprvagt_tests::demo::{self, Plan, Settings};
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::scratch::{Scratch, unique_name};

/// What is planted as ground truth is what the recipients get, part by part, without any agent.
#[test]
fn planted_numbers_arrive_where_they_were_planted() {
    if !can_run("planted_numbers_arrive_where_they_were_planted", &[Need::Root, Need::Program("ip")]) {
        return;
    }
    let (lab, _) = demo::build_lab().unwrap();
    let plan = Plan::new(11, &demo::programs_here());
    let wave = &plan.waves[0];
    demo::run_wave(&lab, wave, &mut thread::sleep).unwrap();
    let arrived: usize =
        lab.recipients().iter().map(|recipient| recipient.server.received().requests.len()).sum();
    assert_eq!(arrived, wave.messages());
    for planted in &plan.planted[..wave.planted] {
        let digits = &plan.citizens[planted.citizen];
        let hyphen = format!("{}-{}", &digits[..6], &digits[6..]);
        let carries = |text: &str| text.contains(digits.as_str()) || text.contains(&hyphen);
        let recipient = lab.recipients().iter().find(|recipient| recipient.host == planted.host).unwrap();
        let truth = recipient.server.received();
        let found = truth.requests.iter().filter(|request| {
            let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
            let body = String::from_utf8_lossy(&request.body);
            let media = request.header("content-type").unwrap_or_default();
            match planted.part.to_string().as_str() {
                "url.path" => carries(path),
                "url.query" => carries(query),
                "header" => request.header("cpr-nummer").is_some_and(carries),
                "cookie" => request.header("cookie").is_some_and(carries),
                "referer" => request.header("referer").is_some_and(carries),
                "form" => media.contains("form") && carries(&body),
                "json" => media.contains("json") && carries(&body),
                _ => media.contains("plain") && carries(&body),
            }
        });
        assert_eq!(found.count(), 1, "{planted:?}");
    }
}

#[test]
fn every_planted_number_is_found_once_and_nothing_else() {
    if !can_run(
        "every_planted_number_is_found_once_and_nothing_else",
        &[Need::Root, Need::Agent, Need::Collector],
    ) {
        return;
    }
    let (agent, collector) = (agent::binary().unwrap(), collector::binary().unwrap());
    let scratch = Scratch::new(&unique_name()).unwrap();
    let (data, duration) = (scratch.path().to_owned(), Some(Duration::from_secs(5)));
    let settings = Settings { agent, collector, data, duration, seed: 5 };
    let outcome = demo::run(&settings, &mut |_| ()).unwrap();
    assert!(outcome.readable.is_empty(), "readable: {:?}", outcome.readable);
    assert!(outcome.verdict.ok, "{:#?}\n{:#}", outcome.verdict, outcome.ledger);
}
