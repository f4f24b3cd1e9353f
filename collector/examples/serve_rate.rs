//! How many occurrences a second a running collector takes in, durably: `serve_rate ADDRESS REPORTS`, with one
//! enrolment token a line on standard input.
//!
//! Each token becomes an agent with a connection of its own, mutual TLS and HTTP/2, and with REPORTS reports of 200
//! leaks to ten sites, three of four leaks of a citizen who is new. They are sealed before the clock starts.
//! What is stored is counted by receipts. One JSON line on standard output.
//!
//! *Units*: rows are occurrences; times are seconds.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a panic is the report")]
#![allow(dead_code, reason = "shared with the tests, which need more of it")]

#[path = "../tests/serving/client.rs"]
mod client;
#[path = "../tests/serving/rig.rs"]
mod rig;
#[path = "../tests/serving/sample.rs"]
mod sample;

use std::io::BufRead as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cprvagt_report::{ENROL_PATH, EnrolRequest, Envelope, REPORT_ENTRIES_MAX, ReceiptOutcome, Token};
use tokio::task::JoinSet;
use uuid::Uuid;

use client::{Client, Dial};
use rig::{Agent, Applicant, deliver, receipts};

/// Sites that the leaks go to.
const SITES: usize = 10;
/// Reports of one delivery.
const DELIVERY_REPORTS: usize = 8;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, reports] = &arguments[..] else { panic!("usage: serve_rate ADDRESS REPORTS < TOKENS") };
    let (address, reports) = (
        address.parse().expect("ADDRESS is an IP address and a port"),
        reports.parse().expect("REPORTS is a number"),
    );
    let mut ready = vec![];
    for (number, token) in std::io::stdin().lock().lines().enumerate() {
        let agent = enrol(address, &token.expect("tokens can be read")).await;
        let shown = Some(agent.shown.clone());
        let authority = Some(agent.authority.clone());
        let client = Dial { shown, authority, ..Dial::to(address) }
            .connect()
            .await
            .expect("an enrolled agent is let in");
        ready.push((client, sealed(&agent, number, reports)));
    }
    let agents = ready.len();
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for (client, sealed) in ready {
        tasks.spawn(deliver_all(client, sealed));
    }
    let stored: usize = tasks.join_all().await.into_iter().sum();
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(stored, agents * reports);
    let rows = stored * REPORT_ENTRIES_MAX;
    println!(
        "{{\"rows\":{rows},\"agents\":{agents},\"reports_a_delivery\":{DELIVERY_REPORTS},\
         \"seconds\":{seconds:.3},\"rows_per_second\":{:.0}}}",
        rows as f64 / seconds
    );
}

async fn enrol(address: SocketAddr, token: &str) -> Agent {
    let applicant = Applicant::new();
    let secret = token.parse::<Token>().expect("each line is a token").secret();
    let asked = EnrolRequest { secret, request: applicant.request.clone(), host: sample::host() };
    let mut client = Dial::to(address).connect().await.expect("a collector listens there");
    let body = serde_json::to_vec(&asked).expect("a request is plain data");
    let answer = client.post(ENROL_PATH, "application/json", body).await.expect("the collector answers");
    Agent::of(&answer, &applicant)
}

/// Delivers in order, again when told to come later; how many reports are stored.
async fn deliver_all(mut client: Client, sealed: Vec<Envelope>) -> usize {
    let mut stored = 0;
    for reports in sealed.chunks(DELIVERY_REPORTS) {
        let answer = loop {
            let answer = deliver(&mut client, reports.to_vec()).await;
            if answer.status == 200 {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let outcomes = receipts(&answer).receipts.into_iter().map(|receipt| receipt.outcome);
        stored += outcomes.filter(|outcome| *outcome == ReceiptOutcome::Stored).count();
    }
    stored
}

fn sealed(agent: &Agent, number: usize, reports: usize) -> Vec<Envelope> {
    let epoch = Uuid::now_v7();
    let mut leaks = (number as u128) << 64;
    let mut leak = || {
        leaks += 1;
        let site = format!("site{}.example", leaks as usize % SITES);
        sample::leak(leaks - u128::from(leaks.is_multiple_of(4)), &site)
    };
    let report = |sequence| {
        let leaks = (0..REPORT_ENTRIES_MAX).map(|_| leak()).collect();
        agent.envelope(epoch, sequence, &sample::report(leaks))
    };
    (1..=reports as u64).map(report).collect()
}
