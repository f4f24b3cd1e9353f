//! An agent that sends too much, and one beside it.

use cprvagt_report::{Entry, Leak, Ledger};
use uuid::Uuid;

use super::*;
use crate::citizen::CitizenKey;
use crate::fingerprint::IncidentId;
use crate::occurrence::Opened;
use crate::occurrence::tests::{leak, moment, name, report};
use crate::store::{Arrival, Content, IncidentQuery, Store, Taken};

struct Bench {
    store: Store,
    key: CitizenKey,
    _dir: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, key) = (Store::open(dir.path()).await.unwrap(), CitizenKey::of(dir.path()).unwrap());
        Self { store, key, _dir: dir }
    }

    async fn take(&self, agent: u128, content: impl IntoIterator<Item = Content>) -> Taken {
        let (agent, epoch) = (AgentId(Uuid::from_u128(agent)), Uuid::now_v7());
        let arrival = |(content, sequence)| Arrival { agent, epoch, sequence, content };
        let arrivals: Vec<Arrival> = content.into_iter().zip(1..).map(arrival).collect();
        self.store.take(&arrivals).await.unwrap()
    }

    fn entries(&self, agent: u128, entries: Vec<Entry>) -> Content {
        Content::Report(Box::new(Opened::of(AgentId(Uuid::from_u128(agent)), report(entries), &self.key)))
    }

    fn leaks(&self, agent: u128, leaks: impl Iterator<Item = Leak>) -> Content {
        self.entries(agent, leaks.map(|leak| Entry::Leak(Box::new(leak))).collect())
    }

    /// The bytes set aside, in the order in which they came.
    async fn set_aside(&self, agent: u128) -> Vec<Vec<u8>> {
        let rows = sqlx::query_scalar("SELECT sealed FROM set_aside WHERE agent = ? ORDER BY rowid");
        rows.bind(Uuid::from_u128(agent).as_bytes().to_vec()).fetch_all(self.store.readers()).await.unwrap()
    }

    async fn run(&self, query: &'static str) {
        sqlx::query(query).execute(&mut self.store.writer().await.connection).await.unwrap();
    }

    /// Traces, of all incidents.
    async fn rows(&self) -> u64 {
        let count: i64 =
            sqlx::query_scalar("SELECT count(*) FROM traces").fetch_one(self.store.readers()).await.unwrap();
        count.unsigned_abs()
    }

    async fn dropped(&self) -> Vec<(String, i64)> {
        let rows = sqlx::query_as("SELECT what, count FROM dropped ORDER BY what");
        rows.fetch_all(self.store.readers()).await.unwrap()
    }

    async fn only_incident(&self) -> IncidentId {
        let rows = self.store.incidents(&IncidentQuery::default()).await.unwrap();
        assert_eq!(rows.len(), 1);
        rows[0].id
    }
}

fn aside(sealed: Vec<u8>) -> Content {
    Content::SetAside { reason: "sealed for another key".into(), sealed }
}

#[tokio::test]
async fn the_newest_reports_set_aside_stay() {
    let it = Bench::new().await;
    it.take(2, [aside(vec![0])]).await;
    let most = SET_ASIDE_MAX as usize;
    let number = |number: usize| number.to_be_bytes().to_vec();
    assert_eq!(it.take(1, (0..most).map(|n| aside(number(n)))).await.set_aside_dropped, 0);
    assert_eq!(it.take(1, (most..most + 3).map(|n| aside(number(n)))).await.set_aside_dropped, 3);
    assert_eq!(it.set_aside(1).await, (3..most + 3).map(number).collect::<Vec<_>>());
    assert_eq!(it.set_aside(2).await.len(), 1, "each agent has its own bound");
    assert_eq!(it.dropped().await, [("set-aside".to_owned(), 3)]);
}

#[tokio::test]
async fn reports_set_aside_have_so_many_bytes() {
    let it = Bench::new().await;
    let size = 1 << 20;
    let most = SET_ASIDE_BYTES_MAX as usize / size;
    for number in 0..most {
        assert_eq!(it.take(1, [aside(vec![number as u8; size])]).await.set_aside_dropped, 0);
    }
    assert_eq!(it.take(1, [aside(vec![255])]).await.set_aside_dropped, 1);
    let kept = it.set_aside(1).await;
    assert_eq!((kept.len(), kept[0][0], kept[most - 1].as_slice()), (most, 1, &[255][..]));
}

fn ledger(run: i64) -> Entry {
    Entry::Ledger(Box::new(Ledger { until: moment(run * 10 + 9), ..Ledger::opened(moment(run * 10)) }))
}

#[tokio::test]
async fn the_newest_ledgers_stay_and_counts_say_that_others_went() {
    let it = Bench::new().await;
    let late = Leak { observed_at: moment(30), ..leak(1, 1, "a.example") };
    it.take(1, [it.leaks(1, [late].into_iter())]).await;
    let most = i64::from(LEDGERS_MAX);
    let clean = async || it.store.incident(it.only_incident().await).await.unwrap().unwrap();
    let runs = (0..most).map(|run| it.entries(1, vec![ledger(run)])).collect::<Vec<_>>();
    assert_eq!(it.take(1, runs).await.ledgers_dropped, 0);
    assert_eq!(it.take(1, [it.entries(1, vec![ledger(most), ledger(most + 1)])]).await.ledgers_dropped, 2);
    assert!(!clean().await.is_lower_bound(), "those that went ended before the incident");
    assert_eq!(
        it.take(1, [it.entries(1, vec![ledger(most + 2), ledger(most + 3)])]).await.ledgers_dropped,
        2
    );
    assert!(clean().await.is_lower_bound(), "nobody knows what the ledger of that time said");
    assert_eq!(it.dropped().await, [("ledger".to_owned(), 4)]);
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM ledgers").fetch_one(it.store.readers()).await.unwrap();
    assert_eq!(count, most);
}

#[tokio::test]
async fn ledgers_have_so_many_bytes() {
    let it = Bench::new().await;
    it.take(1, [it.entries(1, vec![ledger(0)])]).await;
    // Ledgers as large cannot be made quickly.
    it.run(
        "INSERT INTO ledgers WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 70) \
         SELECT agent, since + i, until + i, host, printf('%.*c', 1048576, 'x') FROM ledgers, n",
    )
    .await;
    let dropped = it.take(1, [it.entries(1, vec![ledger(100)])]).await.ledgers_dropped;
    assert_eq!(dropped, 1 + 70 - 63, "the first is the oldest, and 63 MiB fit beside the last");
    let bytes: i64 = sqlx::query_scalar("SELECT sum(octet_length(ledger)) FROM ledgers")
        .fetch_one(it.store.readers())
        .await
        .unwrap();
    assert!(bytes <= i64::from(LEDGER_BYTES_MAX), "{bytes}");
}

#[tokio::test]
async fn too_many_traces_fold_and_counts_stay_exact() {
    let it = Bench::new().await;
    let by_program = |id: u128| {
        let mut leak = leak(id, id % 7, "a.example");
        let process = leak.process.as_mut().unwrap();
        process.exe = Some(name(&format!("/opt/{}", letters(id))));
        leak
    };
    it.take(1, [it.leaks(1, (0..2).map(by_program))]).await;
    for query in [
        "CREATE TEMP TABLE many AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 9996) \
         SELECT traces.* FROM traces, n WHERE key = 1",
        "UPDATE many SET key = NULL, id = randomblob(16), occurrences = 0, citizens_first = 0",
        "INSERT INTO traces SELECT * FROM many",
    ] {
        it.run(query).await;
    }
    assert_eq!(it.rows().await, TRACES_MAX - 2);
    let taken = it.take(1, [it.leaks(1, (2..54).map(by_program))]).await;
    assert_eq!((taken.traces_folded, taken.occurrences), (50, 52));
    // Those that have a row keep it, however full the incident is.
    let again = (0..4).map(|id| Leak { id: leak(90 + id, 1, "").id, ..by_program(id) });
    assert_eq!(it.take(1, [it.leaks(1, again)]).await.traces_folded, 0);
    let more = (60..70).map(by_program);
    assert_eq!(it.take(1, [it.leaks(1, more)]).await.traces_folded, 10);

    assert_eq!(it.rows().await, TRACES_MAX + 1);
    let detail = it.store.incident(it.only_incident().await).await.unwrap().unwrap();
    assert_eq!((detail.incident.occurrences, detail.incident.citizens), (68, 7));
    assert_eq!(detail.hosts.len(), 1);
    let host = &detail.hosts[0].counts;
    assert_eq!((host.occurrences, host.citizens), (68, 7));
    let nameless = detail.processes.iter().find(|it| it.what.exe.is_none()).unwrap();
    assert_eq!((nameless.counts.occurrences, nameless.counts.citizens), (60, 7));
}

/// `number` in letters, for digits in names are scrubbed.
fn letters(number: u128) -> String {
    number.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
}
