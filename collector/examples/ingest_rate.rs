//! How many occurrences a second a collector takes in from agents, durably, over TLS:
//! `ingest_rate [AGENTS] [REPORTS_A_DELIVERY] [DELIVERIES] [REPORTS_A_COMMIT]`.
//!
//! Reports of 200 leaks to ten sites, three of four leaks of a citizen who is new. They are sealed before the
//! clock starts; opening, folding, committing and answering are timed. One JSON line on standard output.
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

use std::time::Instant;

use cprvagt_collector::ingest::IngestLimits;
use cprvagt_collector::serve::Bounds;
use cprvagt_report::{Envelope, REPORT_ENTRIES_MAX};
use tokio::task::JoinSet;
use uuid::Uuid;

use rig::{Agent, Rig, deliver};

/// Sites that the leaks go to.
const SITES: usize = 10;

#[tokio::main]
async fn main() {
    let mut arguments =
        std::env::args().skip(1).map(|text| text.parse::<usize>().expect("a number is needed"));
    let mut next = |default| arguments.next().unwrap_or(default);
    let (agents, reports, deliveries) = (next(8), next(4), next(20));
    let ingest = IngestLimits {
        group_reports: next(IngestLimits::default().group_reports),
        ..IngestLimits::default()
    };
    let rig = Rig::start_with(Bounds { ingest, ..Bounds::default() }, |_, _| {}).await;
    let mut ready = vec![];
    for number in 0..agents {
        let agent = rig.enrol().await;
        let client = rig.dial_as(&agent).connect().await.expect("an enrolled agent is let in");
        ready.push((client, sealed(&agent, number, reports, deliveries)));
    }
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for (mut client, sealed) in ready {
        tasks.spawn(async move {
            for delivery in sealed {
                while deliver(&mut client, delivery.clone()).await.status != 200 {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            }
        });
    }
    tasks.join_all().await;
    let seconds = begun.elapsed().as_secs_f64();
    let rows = rig.store.totals().await.expect("the store is open").occurrences;
    assert_eq!(rows as usize, agents * reports * deliveries * REPORT_ENTRIES_MAX);
    println!(
        "{{\"rows\":{rows},\"agents\":{agents},\"reports_a_delivery\":{reports},\"reports_a_commit\":{},\
         \"seconds\":{seconds:.3},\"rows_per_second\":{:.0}}}",
        ingest.group_reports,
        rows as f64 / seconds
    );
    rig.collector.stop().await;
}

fn sealed(agent: &Agent, number: usize, reports: usize, deliveries: usize) -> Vec<Vec<Envelope>> {
    let epoch = Uuid::now_v7();
    let mut leaks = (number as u128) << 64;
    let mut sequence = 0;
    let mut envelope = || {
        let entries = (0..REPORT_ENTRIES_MAX).map(|_| {
            leaks += 1;
            let site = format!("site{}.example", leaks as usize % SITES);
            sample::leak(leaks - u128::from(leaks.is_multiple_of(4)), &site)
        });
        let report = sample::report(entries.collect());
        sequence += 1;
        agent.envelope(epoch, sequence, &report)
    };
    (0..deliveries).map(|_| (0..reports).map(|_| envelope()).collect()).collect()
}
