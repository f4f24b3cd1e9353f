//! What crosses from agent to collector, lies on their disks, or is said by them gives no number; nor does a
//! full copy of the collector, with all keys that are in it.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "sealed/attacker.rs"]
mod attacker;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use cprvagt_report::seal::{BadSeal, PrivateKey, Purpose};
use cprvagt_tests::agent::{self, Agent, Ended};
use cprvagt_tests::collector::{self, Collector, Enrolled};
use cprvagt_tests::database::{self, PYTHON};
use cprvagt_tests::demo::{self, Plan};
use cprvagt_tests::lab::Lab;
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::oracle::CitizenKey;
use cprvagt_tests::plaintext;
use cprvagt_tests::pseudonym::Key;
use cprvagt_tests::scratch::{Scratch, unique_name};
use cprvagt_tests::tap_proxy::TapProxy;
use data_encoding::HEXLOWER;
use serde_json::Value;

use attacker::{Attacker, Dates};

const NEEDS: [Need<'static>; 4] = [Need::Root, Need::Agent, Need::Collector, Need::Program(PYTHON)];
/// Waves of the demo that are sent.
const WAVES: usize = 2;
/// One in so many other dates is tried too; all of them take an hour where tests are not optimised.
const DATES_SHARE: usize = 400;
/// Set: every number there can be is tried.
const ALL: &str = "CPRVAGT_ENUMERATE_ALL";

/// A run like the demo's that has ended; everything is still there.
struct Run {
    collector: Collector,
    enrolled: Enrolled,
    lab: Lab,
    plan: Plan,
    proxy: TapProxy,
    ended: Ended,
    /// What of the plan was planted.
    planted: usize,
    scratch: Scratch,
}

impl Run {
    fn new(seed: u64) -> Self {
        let (lab, allowed) = demo::build_lab().unwrap();
        let scratch = Scratch::new(&unique_name()).unwrap();
        let (program, folder) = (collector::binary().unwrap(), scratch.path().join("collector"));
        let mut collector = Collector::start(&program, &folder, "").unwrap();
        let (scheme, place) = collector.agents_url().split_once("://").unwrap();
        let port = place.rsplit_once(':').unwrap().1;
        let proxy = TapProxy::to(format!("127.0.0.1:{port}").parse().unwrap()).unwrap();
        let url = format!("{scheme}://127.0.0.1:{}", proxy.address().port());
        let (program, folder) = (agent::binary().unwrap(), scratch.path().join("agent"));
        let (token, more) = (collector.token().unwrap(), agent::allow(&allowed));
        let enrolled = Enrolled::new(&program, &folder, &url, &token, &more).unwrap();
        let plan = Plan::new(seed, &demo::programs_here());
        let agent = Agent::spawn(enrolled.daemon(&program)).unwrap();
        for wave in &plan.waves[..WAVES] {
            demo::run_wave(&lab, wave, &mut std::thread::sleep).unwrap();
        }
        let ended = agent.stop().unwrap();
        assert!(ended.status.success());
        enrolled.flush(&program).unwrap();
        collector.stop().unwrap();
        let planted = plan.waves[..WAVES].iter().map(|wave| wave.planted).sum();
        Self { collector, enrolled, lab, plan, proxy, ended, planted, scratch }
    }

    /// Citizens whose numbers were sent where they may not be.
    fn leaked(&self) -> BTreeSet<&str> {
        let planted = self.plan.planted[..self.planted].iter();
        planted.map(|planted| self.plan.citizens[planted.citizen].as_str()).collect()
    }

    /// A copy of the collector's data folder, and nothing else.
    fn copy_collector(&self) -> PathBuf {
        let copy = self.scratch.path().join("copy");
        fs::create_dir(&copy).unwrap();
        for (path, content) in plaintext::files_below(&[&self.collector.data()]).unwrap() {
            fs::write(copy.join(Path::new(&path).file_name().unwrap()), content).unwrap();
        }
        copy
    }
}

#[test]
fn no_planted_number_is_readable_anywhere() {
    if !can_run("no_planted_number_is_readable_anywhere", &NEEDS) {
        return;
    }
    let run = Run::new(21);
    let captures = run.proxy.captures();
    let bytes =
        |side: fn(&cprvagt_tests::tap_proxy::Capture) -> usize| captures.iter().map(side).sum::<usize>();
    let (up, down) = (bytes(|it| it.up.len()), bytes(|it| it.down.len()));
    assert!(up > 10_000 && down > 1000, "{up} and {down} bytes went through the proxy");
    // A TLS record of the type handshake opens each direction of each connection (RFC 8446, section 5.1).
    let is_tls = |bytes: &[u8]| bytes.is_empty() || bytes.starts_with(&[22, 3]);
    assert!(captures.iter().all(|it| is_tls(&it.up) && is_tls(&it.down)));

    let mut places = plaintext::files_below(&[run.scratch.path()]).unwrap();
    for part in ["agent/spool", "agent/enrolment", "collector/data/collector.db", "agent.toml"] {
        assert!(places.iter().any(|(path, _)| path.contains(part)), "{part} is searched too");
    }
    for capture in captures {
        places.push(("to the collector".to_owned(), capture.up));
        places.push(("from the collector".to_owned(), capture.down));
    }
    places.push(("the agent's output".to_owned(), run.ended.stdout.clone()));
    places.push(("the agent's messages".to_owned(), run.ended.stderr.clone()));
    places.push(("the collector's messages".to_owned(), run.collector.log().into_bytes()));
    let objects = run.collector.incidents().unwrap();
    places.push(("the incidents".to_owned(), Value::from(objects).to_string().into_bytes()));
    assert_eq!(search(&run, &places), []);

    let jobs = plaintext::files_below(&[run.lab.scratch().path()]).unwrap();
    let found: BTreeSet<usize> = search(&run, &jobs).iter().map(|finding| finding.number).collect();
    let leaked = run.leaked();
    let is_leaked = |number: &usize| leaked.contains(run.plan.citizens[*number].as_str());
    assert_eq!(
        found.iter().filter(|number| is_leaked(number)).count(),
        leaked.len(),
        "the search finds them"
    );
}

fn search(run: &Run, places: &[(String, Vec<u8>)]) -> Vec<plaintext::Finding> {
    let places = places.iter().map(|(name, text)| (name.as_str(), text.as_slice()));
    plaintext::search(places, &run.plan.citizens)
}

#[test]
fn a_full_copy_of_the_collector_gives_no_number() {
    if !can_run("a_full_copy_of_the_collector_gives_no_number", &NEEDS) {
        return;
    }
    let run = Run::new(22);
    let (copy, leaked) = (run.copy_collector(), run.leaked());
    let ids = database::texts(&copy, "SELECT DISTINCT citizen FROM occurrences").unwrap();
    assert_eq!(ids.len(), leaked.len(), "all citizens are in the copy");
    let ids: Vec<[u8; 16]> =
        ids.iter().map(|id| HEXLOWER.decode(id.as_bytes()).unwrap().try_into().unwrap()).collect();
    let dates = match std::env::var_os(ALL) {
        Some(_) => Dates::all(),
        None => Dates::some(&leaked, DATES_SHARE),
    };
    let started = Instant::now();
    let attacker = Attacker::new(&copy, &ids);
    assert_eq!(attacker.keys(), 3, "the citizens', the sealing and the authority's");
    let matched = attacker.enumerate(&dates);
    println!("{} numbers tried in {:?}", dates.numbers(), started.elapsed());
    assert!(matched.is_empty(), "{} citizens are matched with what is in the copy", matched.len());

    // The same with the one key that no collector has: it finds all.
    let tenant = fs::read_to_string(run.enrolled.tenant_key()).unwrap();
    let attacker = attacker.with_key(&HEXLOWER.decode(tenant.trim().as_bytes()).unwrap());
    let matched = attacker.enumerate(&Dates::of(&leaked));
    let matched: BTreeSet<&str> = matched.iter().map(String::as_str).collect();
    assert_eq!(matched, leaked);
}

#[test]
fn sealed_numbers_open_for_the_controller_alone() {
    if !can_run("sealed_numbers_open_for_the_controller_alone", &NEEDS) {
        return;
    }
    let run = Run::new(23);
    let data = run.collector.data();
    let query = "SELECT DISTINCT c.citizen, s.number FROM citizens c JOIN sealed s ON s.id = c.sealed";
    let rows = database::rows(&data, query).unwrap();
    let sealed: Vec<(String, Vec<u8>)> = rows
        .iter()
        .map(|row| {
            let number = HEXLOWER.decode(row[1].as_str().unwrap().as_bytes()).unwrap();
            (row[0].as_str().unwrap().to_owned(), number)
        })
        .collect();
    let text = fs::read_to_string(data.join("sealing.key")).unwrap();
    let collectors = PrivateKey::from_hex(text.trim()).unwrap();
    for (_, number) in &sealed {
        for purpose in [Purpose::Number, Purpose::Report] {
            assert_eq!(collectors.open(purpose, &[], number), Err(BadSeal));
        }
    }
    let identity: Value = serde_json::from_slice(&fs::read(&run.enrolled.identity).unwrap()).unwrap();
    let controllers = PrivateKey::from_hex(identity["private_key"].as_str().unwrap()).unwrap();
    let (citizen_key, tenant) =
        (CitizenKey::read(&data).unwrap(), Key::read(&run.enrolled.tenant_key()).unwrap());
    let mut opened = BTreeMap::new();
    for (citizen, number) in &sealed {
        let digits = controllers.open(Purpose::Number, &[], number).unwrap();
        let digits = String::from_utf8(digits.to_vec()).unwrap();
        assert_eq!(citizen_key.citizen(&tenant.pseudonym(&digits)).unwrap(), *citizen);
        opened.insert(digits, citizen);
    }
    let opened: BTreeSet<&str> = opened.keys().map(String::as_str).collect();
    assert_eq!(opened, run.leaked());
    let without = database::number(&data, "SELECT count(*) FROM citizens WHERE sealed IS NULL").unwrap();
    assert_eq!(without, 0, "each citizen can be told");
}
