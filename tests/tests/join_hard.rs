//! The hard test of the join: hundreds of connections at once, all writing as much at the same moment, over objects and
//! ports that are used again all the time. No write may be told of another connection's.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use cprvagt_tests::hard::{self, Plan, Score};
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::{Lab, Trial};

const NEEDS: [Need<'static>; 3] = [Need::Root, Need::Agent, Need::Program("/usr/bin/python3")];
/// Room for all that leaves while the agent, the programs and the servers share two processors.
const LARGE_RING: &str = "[capture]\nring_bytes = \"64 MiB\"\n";

/// What must hold: nothing wrong, nothing dropped, nothing doubled, and 99 of 100 proven.
fn check(name: &str, score: Score, leaks: usize) {
    println!("{name}: {score}");
    let Score { sent, proven, wrong, dropped, doubled, strange, .. } = score;
    assert_eq!(sent, leaks, "the servers did not get all");
    assert_eq!([wrong, dropped, doubled, strange], [0; 4], "{score}");
    assert!(proven * 100 >= sent * 99, "{score}");
}

/// Runs as many processes of a plan at once, an agent watching.
fn run(name: &str, plan: &Plan, processes: usize, seed: u64) {
    if !can_run(name, &NEEDS) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let recipients = hard::recipients(&mut lab).unwrap();
    let trial = Trial::start(&lab, LARGE_RING, &[]).unwrap();
    plan.run(&lab, &recipients, &hard::numbers(seed, processes, plan.leaks())).unwrap();
    let seen = trial.stop().unwrap();
    check(name, Score::of(&seen, &recipients).unwrap(), processes * plan.leaks());
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
}

#[test]
fn equal_requests_at_one_moment_are_told_apart() {
    run("equal_requests_at_one_moment_are_told_apart", &Plan::of(200, 2, 5), 1, 810);
}

#[test]
#[ignore = "minutes long; docs/limits.md has its command"]
fn twenty_thousand_of_one_process() {
    run("twenty_thousand_of_one_process", &Plan::of(200, 20, 5), 1, 811);
}

#[test]
#[ignore = "minutes long; docs/limits.md has its command"]
fn twenty_thousand_of_fifty_processes() {
    run("twenty_thousand_of_fifty_processes", &Plan::of(4, 20, 5), 50, 812);
}
