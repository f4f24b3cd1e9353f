//! The hard test of the join: hundreds of connections at once, all writing as much at the same moment, over objects and
//! ports that are used again all the time. No write may be told of another connection's.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::HashSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use cprvagt_tests::hard::{self, Client, Plan, Score};
use cprvagt_tests::lab::Recipient;
use cprvagt_tests::live::{Need, can_run, here_or_in_guest};
use cprvagt_tests::{Lab, Trial, go, loss};

const NEEDS: [Need<'static>; 3] = [Need::Root, Need::Agent, Need::Program("/usr/bin/python3")];
/// Room for all that leaves while the agent, the programs and the servers share two processors.
const LARGE_RING: &str = "[capture]\nring_bytes = \"64 MiB\"\n";
/// How long a program may take for what a test waits for.
const LIMIT: Duration = Duration::from_secs(240);

/// Connections of the test that always runs; a guest takes a minute for a hundred handshakes.
fn connections() -> usize {
    *here_or_in_guest(&200, &12)
}

/// What must hold: nothing wrong, nothing dropped, nothing doubled, and 99 of 100 proven.
fn check(name: &str, score: Score) {
    println!("{name}: {score}");
    let Score { sent, proven, wrong, dropped, doubled, strange, .. } = score;
    assert_eq!([wrong, dropped, doubled, strange], [0; 4], "{score}");
    assert!(proven * 100 >= sent * 99, "{score}");
}

/// Runs as many processes of a plan at once, an agent watching; one packet in `lost` does not arrive.
fn run(name: &str, plan: &Plan, processes: usize, client: &Client, lost: Option<u32>) {
    let mut lab = Lab::new().unwrap();
    let recipients = hard::recipients(&mut lab).unwrap();
    if let Some(Err(reason)) = lost.map(|one_in| loss::lose(&lab, 443, one_in)) {
        println!("skipped: {name}: nft cannot drop packets here: {reason}");
        return;
    }
    let trial = Trial::start(&lab, LARGE_RING, &[]).unwrap();
    let numbers = hard::numbers(810, processes, plan.leaks());
    plan.start(&lab, &recipients, client, &numbers).unwrap().wait().unwrap();
    let seen = trial.stop().unwrap();
    let score = Score::of(&seen, &recipients).unwrap();
    check(name, score);
    assert!(
        lost.is_none() || seen.counter("packet_retransmitted_total") > 0,
        "nothing was lost: {:?}",
        seen.counters
    );
    assert_eq!(score.sent, processes * plan.leaks(), "the servers did not get all");
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
}

#[test]
fn equal_requests_at_one_moment_are_told_apart() {
    let name = "equal_requests_at_one_moment_are_told_apart";
    if can_run(name, &NEEDS) {
        run(name, &Plan::of(connections(), 2, 5), 1, &Client::Python, None);
    }
}

#[test]
fn a_network_that_loses_packets_changes_nothing() {
    let name = "a_network_that_loses_packets_changes_nothing";
    if can_run(name, &[&NEEDS[..], &[Need::Program("nft")]].concat()) {
        run(name, &Plan::of(connections(), 1, 5), 1, &Client::Python, Some(100));
    }
}

#[test]
fn other_libraries_are_told_apart_as_well() {
    let name = "other_libraries_are_told_apart_as_well";
    if !can_run(name, &NEEDS) {
        return;
    }
    for kind in ["gnutls", "nss"] {
        run(&format!("{name} ({kind})"), &Plan::all(kind, connections() / 2, 2, 5), 1, &Client::Python, None);
    }
    if let Some(program) = go::programs().into_iter().next() {
        // A program that the agent sees for the first time writes before it is probed.
        let _running = go::idle(&program).unwrap();
        let client = Client::Go(program);
        run(&format!("{name} (go)"), &Plan::all("go", connections(), 2, 5), 1, &client, None);
    } else {
        println!("skipped: {name} (go): no Go program is built (cargo xtask test builds them)");
    }
}

/// Requests that the servers have got, all together.
fn arrived(recipients: &[(Arc<Recipient>, &'static str)]) -> usize {
    recipients.iter().map(|(recipient, _)| recipient.server.received().requests.len()).sum()
}

/// Waits until so many requests have arrived.
fn wait_for(recipients: &[(Arc<Recipient>, &'static str)], count: usize) {
    let started = Instant::now();
    while arrived(recipients) < count {
        assert!(started.elapsed() < LIMIT, "{} of {count} requests arrived", arrived(recipients));
        thread::sleep(Duration::from_millis(5));
    }
}

/// Connections that are older than the agent may be told without a destination, and never with a wrong one; those made
/// afterwards are as any other.
#[test]
fn an_agent_that_comes_in_the_middle_is_never_wrong() {
    let name = "an_agent_that_comes_in_the_middle_is_never_wrong";
    if !can_run(name, &NEEDS) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let recipients = hard::recipients(&mut lab).unwrap();
    // Rounds long enough for the agent to come in the middle of one.
    let plan = Plan::of(connections(), *here_or_in_guest(&6, &4), 25);
    let numbers = hard::numbers(813, 1, plan.leaks());
    let running = plan.start(&lab, &recipients, &Client::Python, &numbers).unwrap();
    let of_moment = plan.kinds.len();
    wait_for(&recipients, 3 * of_moment);
    let trial = Trial::start(&lab, LARGE_RING, &[]).unwrap();
    // What is being written now may or may not be seen. The round after this one is seen from its first byte on.
    let round = arrived(&recipients) / (of_moment * plan.requests);
    running.wait().unwrap();
    let seen = trial.stop().unwrap();
    let newer = &numbers[0][(round + 1) * of_moment * plan.requests..];
    assert!(!newer.is_empty(), "the agent came too late");
    let newer: HashSet<&str> = newer.iter().map(String::as_str).collect();
    let score = Score::of_those(&seen, &recipients, |digits| newer.contains(digits)).unwrap();
    println!("{name}: round {round}, {} newer: {score}", newer.len());
    let Score { proven, wrong, dropped, doubled, strange, .. } = score;
    assert_eq!([wrong, dropped, doubled, strange], [0; 4], "{score}");
    assert!(proven * 100 >= newer.len() * 99, "{score}");
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
}

#[test]
#[ignore = "as long as all others; docs/limits.md has its command and its figures"]
fn twenty_thousand_leaks() {
    let name = "twenty_thousand_leaks";
    if !can_run(name, &[&NEEDS[..], &[Need::Program("nft")]].concat()) {
        return;
    }
    let (one, many) = (Plan::of(200, 20, 5), Plan::of(4, 20, 5));
    run("one process", &one, 1, &Client::Python, None);
    run("fifty processes", &many, 50, &Client::Python, None);
    run("one process, 1 % loss", &one, 1, &Client::Python, Some(100));
    run("fifty processes, 1 % loss", &many, 50, &Client::Python, Some(100));
    for kind in ["gnutls", "nss"] {
        run(kind, &Plan::all(kind, 200, 20, 5), 1, &Client::Python, None);
        run(
            &format!("{kind}, fifty processes, 1 % loss"),
            &Plan::all(kind, 4, 20, 5),
            50,
            &Client::Python,
            Some(100),
        );
    }
    for program in go::programs() {
        let _running = go::idle(&program).unwrap();
        let client = Client::Go(program.clone());
        run(&program.display().to_string(), &Plan::all("go", 200, 20, 5), 1, &client, None);
    }
}
