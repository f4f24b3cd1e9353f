//! What was spooled arrives once, whatever dies, is away, or is full.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "durable/client.rs"]
mod client;
#[path = "durable/spooled.rs"]
mod spooled;
#[path = "durable/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, SystemTime};

use cprvagt_tests::database::{self, PYTHON};
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::oracle::{self, CitizenKey};
use cprvagt_tests::payload;
use cprvagt_tests::small_disk::SmallDisk;
use serde_json::Value;

use client::{Client, DAY, leak_at, report};
use spooled::Spooled;
use world::{Leaks, Life, World};

const NEEDS: [Need<'static>; 4] = [Need::Root, Need::Agent, Need::Collector, Need::Program(PYTHON)];
/// Half of them at the agent, half at the collector.
const KILLS: usize = 50;
const CITIZENS: usize = 300;
/// Capture, inspect and send.
const PROCESSES: usize = 3;
/// How long one process may live before the next kill, in milliseconds.
const LIFE_MS_MAX: u64 = 900;
/// Leaks that a test of waiting has to see, to show anything.
const LEAKS_MIN: u64 = 50;
/// How long the collector is away in the test of that.
const AWAY: Duration = Duration::from_secs(20);

/// One life of the agent, and how it ended.
struct Past {
    spawned_at: SystemTime,
    ready_at: SystemTime,
    /// When it was killed, if it was.
    unclean_end: Option<SystemTime>,
}

/// What is known of all lives of the agent.
#[derive(Default)]
struct History {
    told: Leaks,
    spooled: Leaks,
    /// How often something waited in the spool when the agent died.
    waited: usize,
    lives: Vec<Past>,
}

impl History {
    fn kill(&mut self, world: &World, life: Life, victim: usize) {
        let (spawned_at, ready_at) = (life.spawned_at, life.ready_at);
        let killed_at = life.kill(victim, &mut self.told);
        let copy = world.scratch.path().join("copy");
        let spooled = Spooled::read(&world.enrolled.spool, &copy, &world.sealing_key());
        self.waited += usize::from(spooled.waiting > 0);
        self.spooled.extend(spooled.committed);
        assert!(!spooled.is_closed, "whichever process is killed, the end must not pass for one in order");
        self.lives.push(Past { spawned_at, ready_at, unclean_end: Some(killed_at) });
    }

    fn finish(&mut self, world: &World, life: Life) {
        let (spawned_at, ready_at) = (life.spawned_at, life.ready_at);
        world.finish(life, &mut self.told);
        self.lives.push(Past { spawned_at, ready_at, unclean_end: None });
    }
}

#[test]
fn fifty_kills_lose_nothing() {
    if !can_run("fifty_kills_lose_nothing", &NEEDS) {
        return;
    }
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut world = World::new();
    let citizens = payload::citizens(seed, CITIZENS);
    let load = world.leak(seed, &citizens);
    let mut history = History::default();
    let mut life = world.start();
    let mut agent_is_victim: Vec<bool> = (0..KILLS).map(|number| number < KILLS / 2).collect();
    random.shuffle(&mut agent_is_victim);
    for agent in agent_is_victim {
        thread::sleep(Duration::from_millis(random.u64(0..LIFE_MS_MAX)));
        if agent {
            history.kill(&world, life, random.usize(0..PROCESSES));
            life = world.start();
        }
        // Half of its ends last until after the next kill, so that agents die with full spools too.
        if world.collector.pid().is_none() && (!agent || random.bool()) {
            world.collector.listen().unwrap();
            thread::sleep(Duration::from_millis(random.u64(0..LIFE_MS_MAX)));
        }
        if !agent {
            world.collector.kill().unwrap();
        }
        life.listen(&mut history.told);
    }
    if world.collector.pid().is_none() {
        world.collector.listen().unwrap();
    }
    let sent = load.stop();
    history.finish(&world, life);
    println!(
        "{sent} messages, {} leaks told, {} seen in the spool of a dead agent, {} times with some waiting",
        history.told.len(),
        history.spooled.len(),
        history.waited
    );
    assert!(history.spooled.len() > KILLS && history.waited > 0, "too little was under way to show anything");
    all_spooled_are_there_once(&world, &history, &citizens);
    each_unclean_start_is_told(&world, &history.lives);
}

fn all_spooled_are_there_once(world: &World, history: &History, citizens: &[String]) {
    let data = world.collector.data();
    assert_eq!(oracle::contradictions(&data).unwrap(), Vec::<String>::new());
    let (key, tenant) = (CitizenKey::read(&data).unwrap(), world.tenant_key());
    let stored = oracle::occurrences(&data).unwrap();
    let missing: Vec<&String> = history.spooled.keys().filter(|id| !stored.contains_key(*id)).collect();
    assert!(missing.is_empty(), "{} of {} are missing: {missing:?}", missing.len(), history.spooled.len());
    let planted: BTreeSet<String> =
        citizens.iter().map(|digits| key.citizen(&tenant.pseudonym(digits)).unwrap()).collect();
    // Leaks that the agent told nobody of before it died are known by their planted citizens alone.
    let mapped = |id: &String, stored: &String| match history.spooled.get(id).or(history.told.get(id)) {
        Some(pseudonym) => key.citizen(pseudonym).unwrap(),
        None => stored.clone(),
    };
    let expected: BTreeMap<String, String> =
        stored.iter().map(|(id, citizen)| (id.clone(), mapped(id, citizen))).collect();
    assert_eq!(stored, expected);
    assert!(stored.values().all(|citizen| planted.contains(citizen)), "a citizen whom nobody planted");
    let totals = totals(world);
    assert_eq!(totals["citizens"], oracle::distinct(&expected).len());
    assert_eq!(totals["occurrences"], expected.len());
}

/// The start after an unclean end tells a gap, or, when it died itself before it could, the one after it.
fn each_unclean_start_is_told(world: &World, lives: &[Past]) {
    let query = "SELECT from_at, to_at FROM gaps WHERE reason = 'unclean-start'";
    let gaps = database::rows(&world.collector.data(), query).unwrap();
    let gaps: Vec<(u128, u128)> = gaps.iter().map(|row| (micros_of(&row[0]), micros_of(&row[1]))).collect();
    let told_in = |life: &Past| {
        let (from, to) = (micros(life.spawned_at), micros(life.ready_at));
        gaps.iter().filter(|gap| (from..=to).contains(&gap.1)).count()
    };
    let mut told = 0;
    for pair in lives.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        let gaps_here = told_in(after);
        match before.unclean_end {
            None => assert_eq!(gaps_here, 0, "a gap after an end in order"),
            Some(_) if gaps_here == 0 => {
                assert!(after.unclean_end.is_some(), "an unclean start was not told")
            }
            Some(end) => {
                assert_eq!(gaps_here, 1, "one unclean start is told once");
                assert!(gaps.iter().any(|gap| gap.0 <= micros(end) && micros(end) <= gap.1));
                told += 1;
            }
        }
    }
    let unclean = lives.iter().filter(|life| life.unclean_end.is_some()).count();
    println!("{unclean} unclean ends, {told} told by the next start");
    assert_eq!(told, gaps.len());
    assert!(told > 0);
}

/// Nobody is killed here, so that everything told must arrive.
#[test]
fn a_collector_that_was_away_gets_all_once() {
    if !can_run("a_collector_that_was_away_gets_all_once", &NEEDS) {
        return;
    }
    let mut world = World::new();
    let citizens = payload::citizens(seed(), CITIZENS);
    let (life, load, mut told) = (world.start(), world.leak(1, &citizens), Leaks::new());
    world.await_status("something is delivered", |status| status["send"]["delivered"].as_u64() > Some(0));
    world.collector.stop().unwrap();
    thread::sleep(AWAY);
    let status = world.await_status("it says why", |status| status["send"]["last_error"].is_string());
    assert!(status["send"]["spool"]["leaks"].as_u64() > Some(LEAKS_MIN), "{status:#}");
    world.collector.listen().unwrap();
    world.await_status("all is delivered", |status| status["send"]["last_error"].is_null());
    drop(load);
    life.listen(&mut told);
    world.finish(life, &mut told);
    all_told_are_there_once(&world, &told, 0);
    assert_eq!(database::number(&world.collector.data(), "SELECT count(*) FROM gaps").unwrap(), 0);
}

#[test]
fn an_agent_whose_disk_is_full_stops_taking_and_goes_on_by_itself() {
    if !can_run("an_agent_whose_disk_is_full_stops_taking_and_goes_on_by_itself", &NEEDS) {
        return;
    }
    let world = World::new();
    let disk = SmallDisk::over(&world.enrolled.spool, 1024).unwrap();
    let citizens = payload::citizens(seed(), CITIZENS);
    let (life, load, mut told) = (world.start(), world.leak(2, &citizens), Leaks::new());
    world.await_status("something is delivered", |status| status["send"]["delivered"].as_u64() > Some(0));
    let before = SystemTime::now();
    world.await_status("intake has stopped", |status| {
        disk.fill().unwrap();
        status["send"]["spool_blocked_since"].is_string()
    });
    thread::sleep(Duration::from_secs(3));
    let status =
        world.await_status("it is still so", |status| status["send"]["spool_blocked_since"].is_string());
    assert!(status["send"]["last_error"].is_null(), "the collector is well: {status:#}");
    disk.free().unwrap();
    world.await_status("intake goes on", |status| status["send"]["spool_blocked_since"].is_null());
    drop(load);
    life.listen(&mut told);
    world.finish(life, &mut told);
    let data = world.collector.data();
    let query = "SELECT from_at, to_at, leaks_lost FROM gaps WHERE reason = 'disk-full'";
    let gaps = database::rows(&data, query).unwrap();
    assert!(gaps.iter().any(|gap| micros_of(&gap[0]) >= micros(before)), "{gaps:?}");
    assert!(gaps.iter().any(|gap| micros_of(&gap[1]) - micros_of(&gap[0]) >= 3_000_000), "{gaps:?}");
    let lost = database::number(&data, "SELECT coalesce(sum(leaks_lost), 0) FROM gaps").unwrap();
    all_told_are_there_once(&world, &told, usize::try_from(lost).unwrap());
    drop(disk);
}

#[test]
fn a_collector_whose_disk_is_full_says_so_and_the_agent_keeps_all() {
    if !can_run("a_collector_whose_disk_is_full_says_so_and_the_agent_keeps_all", &NEEDS) {
        return;
    }
    let mut world = World::new();
    world.collector.stop().unwrap();
    let disk = SmallDisk::over(&world.collector.data(), 16 << 10).unwrap();
    world.collector.listen().unwrap();
    let citizens = payload::citizens(seed(), CITIZENS);
    let (life, load, mut told) = (world.start(), world.leak(3, &citizens), Leaks::new());
    world.await_status("something is delivered", |status| status["send"]["delivered"].as_u64() > Some(0));
    let refused = world.await_status("the collector refuses", |status| {
        disk.fill().unwrap();
        status["send"]["last_error"].as_str().is_some_and(|error| error.contains("503"))
    });
    let delivered = refused["send"]["delivered"].as_u64();
    thread::sleep(Duration::from_secs(5));
    let status = world.await_status("it is still so", |status| status["send"]["last_error"].is_string());
    assert_eq!(status["send"]["delivered"].as_u64(), delivered);
    assert!(status["send"]["spool"]["leaks"].as_u64() > Some(LEAKS_MIN), "{status:#}");
    disk.free().unwrap();
    world.await_status("all is delivered", |status| status["send"]["last_error"].is_null());
    drop(load);
    life.listen(&mut told);
    world.finish(life, &mut told);
    all_told_are_there_once(&world, &told, 0);
    world.collector.stop().unwrap();
    drop(disk);
}

/// The database holds the leaks that the agent told, each once, and no other; `lost` are not there.
fn all_told_are_there_once(world: &World, told: &Leaks, lost: usize) {
    let data = world.collector.data();
    assert_eq!(oracle::contradictions(&data).unwrap(), Vec::<String>::new());
    let key = CitizenKey::read(&data).unwrap();
    let stored = oracle::occurrences(&data).unwrap();
    assert!(told.len() as u64 > LEAKS_MIN, "only {} leaks", told.len());
    assert_eq!(told.len(), stored.len() + lost, "told, and there or counted as lost");
    for (id, citizen) in &stored {
        let pseudonym = told.get(id).unwrap_or_else(|| panic!("nobody told {id}"));
        assert_eq!(key.citizen(pseudonym).unwrap(), *citizen);
    }
    let totals = totals(world);
    assert_eq!(totals["citizens"], oracle::distinct(&stored).len());
}

/// What hosts say of time is kept as they say it; certificates are judged by the collector's own clock.
#[test]
fn a_clock_a_year_off_drops_nothing() {
    let needs = [&NEEDS[..], &[Need::Program("curl")]].concat();
    if !can_run("a_clock_a_year_off_drops_nothing", &needs) {
        return;
    }
    let world = World::new();
    let client = Client::new(&world);
    let now = client::now();
    let [behind, ahead] = [now - 365 * DAY, now + 365 * DAY];
    let leaks = [behind, now, ahead].map(|second| leak_at(second, "www.analyse.example"));
    for (sequence, leak) in (1..).zip(&leaks) {
        assert_eq!(client.deliver(&[(sequence, &report(std::slice::from_ref(leak)))]), ["Stored"]);
    }
    let incidents = world.collector.incidents().unwrap();
    let incident = incidents.iter().find(|it| it["schema"] == "cprvagt.incident/1").unwrap();
    let day = |second: i64| client::rfc3339(second)[..10].to_owned();
    let shown = |field: &str| incident[field].as_str().unwrap()[..10].to_owned();
    assert_eq!((shown("first_seen"), shown("last_seen")), (day(behind), day(ahead)));
    assert_eq!(shown("created_at"), day(now));
    assert_eq!((&incident["occurrences"], &incident["citizens"]), (&3.into(), &3.into()));
    assert_eq!(oracle::occurrences(&world.collector.data()).unwrap().len(), leaks.len());
}

#[test]
fn a_delivery_that_comes_again_after_midnight_counts_once() {
    let needs = [&NEEDS[..], &[Need::Program("curl")]].concat();
    if !can_run("a_delivery_that_comes_again_after_midnight_counts_once", &needs) {
        return;
    }
    let mut world = World::new();
    let client = Client::new(&world);
    let midnight = client::now() / DAY * DAY;
    let around: Vec<Value> =
        [-2, -1, 0, 1].map(|second| leak_at(midnight + second, "www.analyse.example")).to_vec();
    let later = vec![leak_at(midnight + 2, "www.analyse.example")];
    let (first, second) = (report(&around), report(&later));
    assert_eq!(client.deliver(&[(1, &first)]), ["Stored"]);
    assert_eq!(client.deliver(&[(1, &first)]), ["Duplicate"]);
    // As if all that had been yesterday.
    world.collector.stop().unwrap();
    let update = format!("UPDATE receipts SET received_at = {}", (midnight - 1) * 1_000_000);
    database::rows(&world.collector.data(), &update).unwrap();
    world.collector.listen().unwrap();
    assert_eq!(client.deliver(&[(1, &first), (2, &second)]), ["Duplicate", "Stored"]);
    assert_eq!(client.deliver(&[(2, &second), (1, &first), (1, &first)]), ["Duplicate"; 3]);
    let (incidents, totals) = (world.collector.incidents().unwrap(), totals(&world));
    assert_eq!((&totals["occurrences"], &totals["citizens"]), (&5.into(), &5.into()));
    let shown: i64 = incidents.iter().filter(|it| it["schema"] == "cprvagt.incident/1").count() as i64;
    assert_eq!(shown, 1);
    let hours = database::number(&world.collector.data(), "SELECT sum(occurrences) FROM hours").unwrap();
    assert_eq!(hours, 5);
    let wrong = oracle::contradictions(&world.collector.data()).unwrap();
    let wrong: Vec<_> = wrong.iter().filter(|it| !it.contains("sealed number")).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

fn totals(world: &World) -> Value {
    let objects = world.collector.incidents().unwrap();
    objects.into_iter().find(|object| object["schema"] == "cprvagt.totals/1").expect("the sums come last")
}

/// From `CPRVAGT_SEED`, or new; printed, so that a failure can be run again.
fn seed() -> u64 {
    let given = std::env::var("CPRVAGT_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("CPRVAGT_SEED={seed}");
    seed
}

fn micros(time: SystemTime) -> u128 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros()
}

fn micros_of(value: &Value) -> u128 {
    value.as_u64().unwrap().into()
}
