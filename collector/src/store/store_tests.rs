//! The store against resends, races, crashes, full disks and a naive count.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;

use cprvagt_report::{AgentId, Entry, Gap, GapRecord, Leak, Ledger, ReceiptOutcome, Severity, Unread};
use proptest::prelude::*;
use sqlx::AssertSqlSafe;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::citizen::CitizenKey;
use crate::fingerprint::IncidentId;
use crate::occurrence::Opened;
use crate::occurrence::tests::{hostile, leak, moment, number, report};

/// A store in a folder of its own.
struct Bench {
    dir: TempDir,
    store: Store,
    key: CitizenKey,
    agent: AgentId,
    epoch: Uuid,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        let key = CitizenKey::of(dir.path()).unwrap();
        Self { dir, store, key, agent: AgentId(Uuid::from_u128(1)), epoch: Uuid::from_u128(2) }
    }

    fn arrival(&self, sequence: u64, leaks: Vec<Leak>) -> Arrival {
        self.entries(sequence, leaks.into_iter().map(|leak| Entry::Leak(Box::new(leak))).collect())
    }

    fn entries(&self, sequence: u64, entries: Vec<Entry>) -> Arrival {
        let opened = Opened::of(self.agent, report(entries), &self.key);
        let content = Content::Report(Box::new(opened));
        Arrival { agent: self.agent, epoch: self.epoch, sequence, content }
    }

    async fn only_incident(&self) -> IncidentRow {
        let mut rows = self.store.incidents(&IncidentQuery::default()).await.unwrap();
        assert_eq!(rows.len(), 1);
        rows.remove(0)
    }

    async fn count(&self, table: &str) -> i64 {
        let query = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        sqlx::query_scalar(query).fetch_one(self.store.readers()).await.unwrap()
    }

    async fn run(&self, query: &'static str) {
        sqlx::query(query).execute(&mut self.store.writer().await.connection).await.unwrap();
    }

    /// Every byte that the store has on the disk.
    fn bytes(&self) -> Vec<u8> {
        let files = fs::read_dir(self.dir.path()).unwrap();
        files.flat_map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
    }
}

const STORED: ReceiptOutcome = ReceiptOutcome::Stored;
const DUPLICATE: ReceiptOutcome = ReceiptOutcome::Duplicate;

#[tokio::test]
async fn a_report_counts_once_however_often_it_comes() {
    let mut it = Bench::new().await;
    let arrival =
        it.arrival(1, vec![leak(1, 1, "a.example"), leak(2, 1, "a.example"), leak(3, 2, "a.example")]);
    let taken = it.store.take(&[arrival.clone(), arrival.clone()]).await.unwrap();
    assert_eq!(taken.outcomes, [STORED, DUPLICATE]);
    assert_eq!((taken.occurrences, taken.incidents_created), (3, 1));
    it.run("UPDATE receipts SET received_at = received_at - 86400000000").await;
    assert_eq!(it.store.take(std::slice::from_ref(&arrival)).await.unwrap().outcomes, [DUPLICATE]);
    it.store = Store::open(it.dir.path()).await.unwrap();
    assert_eq!(it.store.take(&[arrival]).await.unwrap().outcomes, [DUPLICATE]);
    let incident = it.only_incident().await;
    assert_eq!(
        (incident.occurrences, incident.citizens, incident.encrypted, incident.cleartext),
        (3, 2, 3, 0)
    );
    assert_eq!(it.count("outbox").await, 1);
}

#[tokio::test]
async fn a_leak_counts_once_under_two_epochs() {
    let mut it = Bench::new().await;
    let first = it.arrival(1, vec![leak(1, 1, "a.example"), leak(2, 2, "a.example")]);
    it.store.take(&[first]).await.unwrap();
    it.epoch = Uuid::from_u128(3);
    let again =
        it.arrival(1, vec![leak(2, 2, "a.example"), leak(3, 3, "a.example"), leak(3, 3, "a.example")]);
    let taken = it.store.take(&[again]).await.unwrap();
    assert_eq!((taken.outcomes, taken.occurrences, taken.occurrences_again), (vec![STORED], 1, 2));
    let incident = it.only_incident().await;
    assert_eq!((incident.occurrences, incident.citizens), (3, 3));
    assert_eq!(it.count("occurrences").await, 3);
}

#[tokio::test]
async fn the_same_number_of_another_agent_is_another_report() {
    let mut it = Bench::new().await;
    let first = it.arrival(1, vec![leak(1, 1, "a.example")]);
    it.agent = AgentId(Uuid::from_u128(9));
    let other = it.arrival(1, vec![leak(2, 1, "a.example")]);
    assert_eq!(it.store.take(&[first, other]).await.unwrap().outcomes, [STORED, STORED]);
    let incident = it.only_incident().await;
    assert_eq!((incident.occurrences, incident.citizens), (2, 1));
    let detail = it.store.incident(incident.id).await.unwrap().unwrap();
    assert_eq!(detail.hosts.len(), 2);
}

#[tokio::test]
async fn times_widen_whatever_the_clocks_say() {
    const YEAR: i64 = 365 * 86400;
    let it = Bench::new().await;
    for (sequence, seconds) in [(1, [0, 5]), (2, [YEAR, 1]), (3, [2, -YEAR]), (4, [5, 6])] {
        let at = |second| Leak {
            observed_at: moment(second),
            ..leak(second.cast_unsigned().into(), 1, "a.example")
        };
        it.store.take(&[it.arrival(sequence, seconds.map(at).to_vec())]).await.unwrap();
    }
    let incident = it.only_incident().await;
    assert_eq!((incident.first_seen, incident.last_seen), (moment(-YEAR), moment(YEAR)));
    let detail = it.store.incident(incident.id).await.unwrap().unwrap();
    let counts = detail.recipients[0].counts;
    assert_eq!((counts.first_seen, counts.last_seen), (moment(-YEAR), moment(YEAR)));
    assert_eq!((counts.occurrences, counts.citizens, detail.hours.len()), (7, 1, 3));
    let span: (i64, i64) = sqlx::query_as("SELECT first_seen, last_seen FROM citizens")
        .fetch_one(it.store.readers())
        .await
        .unwrap();
    assert_eq!(span, (column::micros(moment(-YEAR)), column::micros(moment(YEAR))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_stores_that_race_make_one_incident() {
    let it = Bench::new().await;
    let other = Store::open(it.dir.path()).await.unwrap();
    let rounds = 20_u64;
    for round in 0..rounds {
        let host = format!("a{round}.example");
        let id = u128::from(round) * 2;
        let mine = it.arrival(round * 2 + 1, vec![leak(id + 1, 1, &host)]);
        let theirs = it.arrival(round * 2 + 2, vec![leak(id + 2, 2, &host)]);
        let (left, right) = (it.store.clone(), other.clone());
        let left = tokio::spawn(async move { left.take(&[mine]).await });
        let right = tokio::spawn(async move { right.take(&[theirs]).await });
        let created =
            left.await.unwrap().unwrap().incidents_created + right.await.unwrap().unwrap().incidents_created;
        assert_eq!(created, 1);
    }
    let rows = it.store.incidents(&IncidentQuery::default()).await.unwrap();
    assert_eq!(rows.len() as u64, rounds);
    assert!(rows.iter().all(|row| (row.occurrences, row.citizens) == (2, 2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_take_that_is_dropped_midway_did_all_or_nothing() {
    let it = Bench::new().await;
    let (mut rounds, mut dropped, mut patience) = (0, 0, Duration::ZERO);
    while dropped < 20 && rounds < 400 {
        rounds += 1;
        let id = u128::from(rounds);
        let arrival = it.arrival(rounds, vec![leak(id, id, "a.example"), leak(id + 10_000, id, "b.example")]);
        let (store, given) = (it.store.clone(), arrival.clone());
        let taking = tokio::spawn(async move { store.take(&[given]).await });
        std::thread::sleep(patience);
        taking.abort();
        let ended = taking.await.is_ok_and(|taken| taken.is_ok());
        patience = if ended { Duration::ZERO } else { patience + Duration::from_micros(30) };
        dropped += u64::from(!ended);
        it.store.take(&[arrival]).await.unwrap();
        assert_eq!(it.count("receipts").await, rounds as i64);
        assert_eq!(it.count("occurrences").await, 2 * rounds as i64);
        let rows = it.store.incidents(&IncidentQuery::default()).await.unwrap();
        assert!(rows.iter().all(|row| (row.occurrences, row.citizens) == (rounds, rounds)), "{rows:?}");
    }
    assert!(dropped >= 20, "only {dropped} of {rounds} were dropped in time");
}

#[tokio::test]
async fn a_full_disk_is_said_and_leaves_nothing_half_done() {
    let it = Bench::new().await;
    it.store.take(&[it.arrival(1, vec![leak(1, 1, "a.example")])]).await.unwrap();
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(it.store.readers()).await.unwrap();
    let limit = AssertSqlSafe(format!("PRAGMA max_page_count = {}", pages + 2));
    sqlx::query(limit).execute(&mut it.store.writer().await.connection).await.unwrap();
    let many =
        |base: u128| (0..2000).map(|n| leak(base + n, n, &format!("a{n}.example"))).collect::<Vec<_>>();
    let large = it.arrival(2, many(1000));
    let error = it.store.take(std::slice::from_ref(&large)).await.unwrap_err();
    assert!(matches!(error, StoreError::Full), "{error:?}");
    assert_eq!((it.count("receipts").await, it.count("occurrences").await), (1, 1));
    assert_eq!(it.only_incident().await.occurrences, 1);
    it.run("PRAGMA max_page_count = 100000").await;
    let taken = it.store.take(&[large]).await.unwrap();
    assert_eq!((taken.outcomes, taken.occurrences), (vec![STORED], 2000));
}

#[tokio::test]
async fn a_newer_database_is_refused() {
    let it = Bench::new().await;
    it.run("PRAGMA user_version = 99").await;
    let error = Store::open(it.dir.path()).await.err().unwrap();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
    it.run("PRAGMA user_version = -1").await;
    assert!(Store::open(it.dir.path()).await.is_err());
}

#[tokio::test]
async fn files_are_the_owners_alone_and_the_schema_is_whole() {
    let it = Bench::new().await;
    it.store.take(&[it.arrival(1, vec![leak(1, 1, "a.example")])]).await.unwrap();
    for file in fs::read_dir(it.dir.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o600, "{:?}", file.path());
    }
    for (pragma, expected) in [("journal_mode", "wal"), ("integrity_check", "ok")] {
        let query = AssertSqlSafe(format!("PRAGMA {pragma}"));
        let value: String = sqlx::query_scalar(query).fetch_one(it.store.readers()).await.unwrap();
        assert_eq!(value, expected);
    }
    for (pragma, expected) in [("synchronous", 2_i64), ("foreign_keys", 1), ("user_version", 1)] {
        let query = AssertSqlSafe(format!("PRAGMA {pragma}"));
        let connection = &mut it.store.writer().await.connection;
        let value: i64 = sqlx::query_scalar(query).fetch_one(connection).await.unwrap();
        assert_eq!(value, expected, "{pragma}");
    }
}

fn has(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test]
async fn the_agents_pseudonym_is_nowhere_in_the_files() {
    let it = Bench::new().await;
    let pseudonym = 0x0123_4567_89ab_cdef_1357_9bdf_0246_8ace_u128;
    it.store.take(&[it.arrival(1, vec![leak(1, pseudonym, "a.example")])]).await.unwrap();
    let bytes = it.bytes();
    assert!(has(&bytes, b"persons[].cpr"));
    assert!(!has(&bytes, &pseudonym.to_be_bytes()));
    assert!(!has(&bytes, format!("{pseudonym:032x}").as_bytes()));
}

#[tokio::test]
async fn a_hostile_report_leaves_no_number_in_the_files() {
    let it = Bench::new().await;
    let arrival = it.entries(1, vec![]);
    let opened = Opened::of(it.agent, hostile(), &it.key);
    let content = Content::Report(Box::new(opened));
    let taken = it.store.take(&[Arrival { content, ..arrival }]).await.unwrap();
    assert!(taken.rescrubbed > 0 && taken.gaps == 1);
    let record = AgentRecord { agent: it.agent, host: hostile().host, enrolled_at: moment(0) };
    it.store.add_token(&[1; 32], moment(0), moment(9), None).await.unwrap();
    it.store.use_token(&[1; 32], &[2; 32], &record).await.unwrap();
    let bytes = it.bytes();
    for form in [number(), number().replace('-', "")] {
        assert!(!has(&bytes, form.as_bytes()));
    }
    let detail = it.store.incident(it.only_incident().await.id).await.unwrap().unwrap();
    assert_eq!(detail.locations[0].what.decodings.as_deref(), Some("{},{}"));
    assert_eq!((detail.gaps.len(), detail.ledgers.len()), (1, 1));
}

#[tokio::test]
async fn what_cannot_be_read_is_kept_as_it_came() {
    let it = Bench::new().await;
    let content = Content::SetAside { reason: "sealed for another key".into(), sealed: vec![1, 2, 3] };
    let arrival = Arrival { content, ..it.arrival(1, vec![]) };
    let taken = it.store.take(&[arrival.clone(), arrival]).await.unwrap();
    assert_eq!(taken.outcomes, [ReceiptOutcome::SetAside, DUPLICATE]);
    assert_eq!(it.count("set_aside").await, 1);
}

fn gap(from: i64, to: i64) -> Entry {
    let gap = Gap { from: moment(from), to: moment(to), reason: "ring-full".into(), bytes_min: 7 };
    Entry::Gap(GapRecord { gap, leaks_lost: 2 })
}

#[tokio::test]
async fn gaps_and_ledgers_count_where_they_overlap() {
    let it = Bench::new().await;
    let leaks = [100, 200].map(|at| Leak { observed_at: moment(at), ..leak(at as u128, 1, "a.example") });
    it.store.take(&[it.arrival(1, leaks.to_vec())]).await.unwrap();
    let detail = async || it.store.incident(it.only_incident().await.id).await.unwrap().unwrap();
    it.store.take(&[it.entries(2, vec![gap(0, 99), gap(201, 300)])]).await.unwrap();
    assert!(!detail().await.is_lower_bound());
    let mut ledger = Ledger { until: moment(150), ..Ledger::opened(moment(0)) };
    it.store.take(&[it.entries(3, vec![Entry::Ledger(Box::new(ledger.clone()))])]).await.unwrap();
    assert!(!detail().await.is_lower_bound());
    let older = Ledger { until: moment(140), flows: 99, ..ledger.clone() };
    it.store.take(&[it.entries(4, vec![Entry::Ledger(Box::new(older))])]).await.unwrap();
    assert_eq!(detail().await.ledgers[0].ledger, ledger);
    ledger.lost.push(Unread { reason: "ring-full".into(), bytes: 1, process: None, destination: None });
    it.store.take(&[it.entries(5, vec![Entry::Ledger(Box::new(ledger))])]).await.unwrap();
    assert!(detail().await.is_lower_bound());
    it.store.take(&[it.entries(6, vec![gap(150, 160)])]).await.unwrap();
    let gaps = detail().await.gaps;
    assert_eq!((gaps.len(), gaps[0].sequence, gaps[0].leaks_lost), (1, 6, 2));
    assert_eq!(it.store.gaps(2).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_sealed_number_is_kept_once_even_when_it_comes_late() {
    let it = Bench::new().await;
    let controller = cprvagt_report::seal::PrivateKey::generate();
    let sealed = || Some(cprvagt_report::SealedNumber::seal(controller.public(), b"0000000000"));
    let plans = [(1, 1, false), (2, 1, true), (3, 1, true), (4, 2, true), (5, 2, false)];
    for (id, citizen, is_sealed) in plans {
        let sealed = sealed().filter(|_| is_sealed);
        let leak = Leak { sealed, ..leak(id.into(), citizen, "a.example") };
        it.store.take(&[it.arrival(id, vec![leak])]).await.unwrap();
    }
    let kept = "sealed s JOIN citizens c ON c.sealed = s.id";
    assert_eq!((it.count("sealed").await, it.count(kept).await, it.count("citizens").await), (2, 2, 2));
    let number: Vec<u8> =
        sqlx::query_scalar("SELECT number FROM sealed").fetch_one(it.store.readers()).await.unwrap();
    let opened = controller.open(cprvagt_report::seal::Purpose::Number, &[], &number).unwrap();
    assert_eq!(opened.as_slice(), b"0000000000");
}

#[tokio::test]
async fn lists_filter_and_page() {
    let it = Bench::new().await;
    let leaks =
        (0..5).map(|n| Leak { observed_at: moment(n), ..leak(n as u128, 1, &format!("a{n}.example")) });
    it.store.take(&[it.arrival(1, leaks.collect())]).await.unwrap();
    let sites = async |query: IncidentQuery| {
        let rows = it.store.incidents(&query).await.unwrap();
        rows.into_iter().map(|row| row.site).collect::<Vec<_>>()
    };
    let page = IncidentQuery { limit: 2, offset: 1, ..IncidentQuery::default() };
    assert_eq!(sites(page).await, ["a3.example", "a2.example"]);
    let site = IncidentQuery { site: Some("a1.example".into()), ..IncidentQuery::default() };
    assert_eq!(sites(site).await, ["a1.example"]);
    let other = IncidentQuery { controller: Some("Myndighed Y".into()), ..IncidentQuery::default() };
    assert!(sites(other).await.is_empty());
    assert!(it.store.incident(IncidentId([0; 16])).await.unwrap().is_none());
}

#[tokio::test]
async fn severity_is_the_gravest_and_vendor_the_latest() {
    let it = Bench::new().await;
    for (sequence, severity) in [(1, Severity::Medium), (2, Severity::Critical), (3, Severity::Low)] {
        let leak = Leak { severity, ..leak(sequence.into(), 1, "a.example") };
        it.store.take(&[it.arrival(sequence, vec![leak])]).await.unwrap();
    }
    assert_eq!(it.only_incident().await.severity, Severity::Critical);
}

/// One leak of a plan: which of few citizens, sites, programs, and under which id.
type Planned = (u8, u8, u8, u8);

fn planned() -> impl Strategy<Value = Vec<Vec<Vec<Planned>>>> {
    let leak = (0..6_u8, 0..3_u8, 0..3_u8, 0..40_u8);
    let reports = prop::collection::vec(prop::collection::vec(leak, 0..8), 1..4);
    prop::collection::vec(reports, 1..6)
}

fn of_plan((citizen, site, program, id): Planned) -> Leak {
    let mut leak = leak(id.into(), citizen.into(), &format!("www.a{site}.example"));
    let exe = crate::occurrence::tests::name(&format!("/bin/{program}"));
    leak.process.as_mut().unwrap().exe = Some(exe);
    leak
}

/// What it should come to, counted the slow way. Counts are (leaks, citizens).
struct Naive {
    sites: BTreeMap<String, (u64, u64)>,
    /// By site and program.
    programs: BTreeMap<(String, String), (u64, u64)>,
    /// Over all sites.
    citizens: u64,
}

fn naive(plan: &[Vec<Vec<Planned>>]) -> Naive {
    let mut firsts = BTreeMap::new();
    for leak in plan.iter().flatten().flatten() {
        firsts.entry(leak.3).or_insert(*leak);
    }
    let mut sites: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut programs: BTreeMap<(String, String), Vec<u8>> = BTreeMap::new();
    for (citizen, site, program, _) in firsts.values() {
        let site = format!("a{site}.example");
        sites.entry(site.clone()).or_default().push(*citizen);
        programs.entry((site, format!("/bin/{program}"))).or_default().push(*citizen);
    }
    let counts = |list: Vec<u8>| (list.len() as u64, list.iter().collect::<BTreeSet<_>>().len() as u64);
    let all: BTreeSet<u8> = sites.values().flatten().copied().collect();
    Naive {
        sites: sites.into_iter().map(|(site, list)| (site, counts(list))).collect(),
        programs: programs.into_iter().map(|(key, list)| (key, counts(list))).collect(),
        citizens: all.len() as u64,
    }
}

async fn agrees(plan: Vec<Vec<Vec<Planned>>>) {
    let it = Bench::new().await;
    let mut sequence = 0;
    for take in &plan {
        let arrivals: Vec<Arrival> = take
            .iter()
            .map(|report| {
                sequence += 1;
                it.arrival(sequence, report.iter().copied().map(of_plan).collect())
            })
            .collect();
        it.store.take(&arrivals).await.unwrap();
        it.store.take(&arrivals).await.unwrap();
    }
    let naive = naive(&plan);
    let totals = it.store.totals().await.unwrap();
    let by_site = totals.sites.iter().map(|it| (it.site.clone(), (it.occurrences, it.citizens))).collect();
    assert_eq!((naive.sites, naive.citizens), (by_site, totals.citizens));
    let mut seen = BTreeMap::new();
    for row in it.store.incidents(&IncidentQuery::default()).await.unwrap() {
        let detail = it.store.incident(row.id).await.unwrap().unwrap();
        assert_eq!((row.occurrences, row.citizens), counts(&detail.locations[0]));
        for process in &detail.processes {
            seen.insert((row.site.clone(), process.what.exe.clone().unwrap()), counts(process));
        }
    }
    assert_eq!(seen, naive.programs);
}

fn counts<T>(it: &Counted<T>) -> (u64, u64) {
    (it.counts.occurrences, it.counts.citizens)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn counts_agree_with_a_naive_count(plan in planned()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(agrees(plan));
    }
}
