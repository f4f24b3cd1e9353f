//! What outlets are told, when, and again.

use cprvagt_report::{AgentId, Entry, Moment};
use uuid::Uuid;

use super::*;
use crate::citizen::CitizenKey;
use crate::occurrence::Opened;
use crate::occurrence::tests::{leak, report};
use crate::store::{Arrival, Content, Cursor, ReplayFrom};

const QUIET: Duration = Duration::from_secs(60);

struct Bench {
    store: Store,
    key: CitizenKey,
    start: Moment,
    _dir: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        Self { store, key: CitizenKey::of(dir.path()).unwrap(), start: Moment::now(), _dir: dir }
    }

    async fn leak(&self, id: u64, host: &str) {
        let agent = AgentId(Uuid::nil());
        let leak = Box::new(leak(id.into(), id.into(), host));
        let opened = Opened::of(agent, report(vec![Entry::Leak(leak)]), &self.key);
        let content = Content::Report(Box::new(opened));
        self.store.take(&[Arrival { agent, epoch: Uuid::nil(), sequence: id, content }]).await.unwrap();
    }

    /// So many seconds after the start.
    fn after(&self, seconds: i64) -> Moment {
        Moment(self.start.0 + jiff::SignedDuration::from_secs(seconds))
    }

    async fn mark(&self, seconds: i64) -> u64 {
        self.store.mark_changes(self.after(seconds), QUIET).await.unwrap()
    }

    async fn told(&self) -> Vec<(Change, u64, u64)> {
        let rows = self.store.outbox_after(0, 100).await.unwrap();
        rows.iter()
            .map(|row| (row.change, row.event.incident.version, row.event.incident.occurrences))
            .collect()
    }
}

#[tokio::test]
async fn changes_are_told_once_in_the_quiet_time() {
    let it = Bench::new().await;
    it.leak(1, "a.example").await;
    assert_eq!(it.mark(1000).await, 0, "nothing changed since it was created");
    it.leak(2, "a.example").await;
    it.leak(3, "a.example").await;
    assert_eq!(it.mark(30).await, 0, "too early");
    assert_eq!(it.mark(100).await, 1);
    assert_eq!(it.mark(1000).await, 0, "told already");
    it.leak(4, "a.example").await;
    assert_eq!(it.mark(150).await, 0, "too early again");
    assert_eq!(it.mark(170).await, 1);
    let expected = [(Change::Created, 1, 1), (Change::Updated, 2, 3), (Change::Updated, 3, 4)];
    assert_eq!(it.told().await, expected);
}

#[tokio::test]
async fn a_clock_that_was_set_back_holds_nothing_up() {
    let it = Bench::new().await;
    it.leak(1, "a.example").await;
    it.leak(2, "a.example").await;
    assert_eq!(it.mark(365 * 86400).await, 1);
    it.leak(3, "a.example").await;
    assert_eq!(it.mark(0).await, 1);
}

#[tokio::test]
async fn an_event_tells_who_whom_and_how() {
    let it = Bench::new().await;
    it.leak(1, "www.a.example").await;
    let rows = it.store.outbox_after(0, 10).await.unwrap();
    let event = &rows[0].event;
    assert_eq!(
        (rows[0].change, event.change, rows[0].incident),
        (Change::Created, Change::Created, event.incident.id)
    );
    assert_eq!(event.recipients[0].what.host.as_deref(), Some("www.a.example"));
    assert_eq!(event.recipients[0].what.ip, Some([192, 0, 2, 1].into()));
    assert_eq!((event.hosts[0].what.name.as_str(), event.hosts[0].counts.citizens), ("web1", 1));
    assert_eq!(event.processes[0].what.exe.as_deref(), Some("/usr/sbin/nginx"));
    assert_eq!(event.transports[0].what.tls_version.as_deref(), Some("1.3"));
    assert_eq!(event.locations[0].what.field.as_deref(), Some("persons[].cpr"));
    assert!(!event.is_lower_bound);
}

#[tokio::test]
async fn cursors_move_fail_and_go_back() {
    let it = Bench::new().await;
    for id in 1..=3 {
        it.leak(id, &format!("a{id}.example")).await;
    }
    let cursor = async || it.store.cursor("file").await.unwrap();
    assert_eq!(cursor().await, Cursor::default());
    it.store.failed("file", "no such folder", it.after(5)).await.unwrap();
    it.store.failed("file", "no such folder", it.after(9)).await.unwrap();
    let failed = cursor().await;
    assert_eq!(
        (failed.last_id, failed.attempts, failed.last_error.as_deref()),
        (0, 2, Some("no such folder"))
    );
    // Times are stored to the microsecond.
    let micros = |moment: Moment| moment.0.as_microsecond();
    assert_eq!(failed.next_try_at.map(micros), Some(micros(it.after(9))));
    assert!(it.store.advance("file", &failed, 3).await.unwrap());
    assert!(!it.store.advance("file", &cursor().await, 2).await.unwrap(), "it never goes back");
    assert_eq!(cursor().await, Cursor { last_id: 3, ..Cursor::default() });
    assert!(it.store.outbox_after(3, 10).await.unwrap().is_empty());
    assert_eq!(it.store.rewind("file", ReplayFrom::Id(2)).await.unwrap(), 2);
    assert_eq!(it.store.outbox_after(cursor().await.last_id, 10).await.unwrap()[0].id, 2);
    assert_eq!(it.store.rewind("file", ReplayFrom::Time(it.start)).await.unwrap(), 3);
    assert_eq!(it.store.rewind("file", ReplayFrom::Time(it.after(1000))).await.unwrap(), 0);
    assert_eq!(it.store.cursor("other").await.unwrap(), Cursor::default());
}

#[tokio::test]
async fn a_cursor_moves_only_from_where_it_was_read() {
    let it = Bench::new().await;
    for id in 1..=3 {
        it.leak(id, &format!("a{id}.example")).await;
    }
    let cursor = async || it.store.cursor("file").await.unwrap();
    let start = cursor().await;
    assert!(it.store.advance("file", &start, 2).await.unwrap());
    assert!(!it.store.advance("file", &start, 3).await.unwrap(), "somebody else moved it");
    let sending = cursor().await;
    it.store.rewind("file", ReplayFrom::Id(1)).await.unwrap();
    assert!(!it.store.advance("file", &sending, 3).await.unwrap());
    assert!(!it.store.hold_back("file", &sending, 3, "why", it.start).await.unwrap());
    assert_eq!((cursor().await.last_id, it.store.held_back(None, 9).await.unwrap()), (0, vec![]));
    let sending = cursor().await;
    it.store.rewind("file", ReplayFrom::Id(1)).await.unwrap();
    assert!(!it.store.advance("file", &sending, 3).await.unwrap(), "set back to where it stood");
    assert!(!it.store.advance("new", &cursor().await, 3).await.unwrap(), "another outlet's cursor");
    assert!(it.store.advance("file", &cursor().await, 3).await.unwrap());
}

#[tokio::test]
async fn what_is_held_back_is_known_until_it_is_delivered() {
    let it = Bench::new().await;
    for id in 1..=3 {
        it.leak(id, &format!("a{id}.example")).await;
    }
    let cursor = async || it.store.cursor("file").await.unwrap();
    assert!(it.store.hold_back("file", &cursor().await, 1, "a number", it.start).await.unwrap());
    assert!(it.store.hold_back("file", &cursor().await, 2, "not read", it.after(1)).await.unwrap());
    let held = it.store.held_back(Some("file"), 9).await.unwrap();
    let shown: Vec<_> = held.iter().map(|it| (it.id, it.reason.as_str())).collect();
    assert_eq!(shown, [(2, "not read"), (1, "a number")]);
    assert_eq!(held[1].at.0.as_microsecond(), it.start.0.as_microsecond());
    assert!(it.store.held_back(Some("other"), 9).await.unwrap().is_empty());
    assert_eq!(it.store.held_back_count("file").await.unwrap(), (2, Some(2)));
    let outlets = it.store.outlets().await.unwrap();
    assert_eq!((outlets[0].outlet.as_str(), outlets[0].waiting, outlets[0].held_back), ("file", 1, 2));

    it.store.rewind("file", ReplayFrom::Id(1)).await.unwrap();
    assert_eq!(it.store.held_back_count("file").await.unwrap(), (2, Some(2)));
    assert!(it.store.advance("file", &cursor().await, 1).await.unwrap());
    assert_eq!(it.store.held_back_count("file").await.unwrap(), (1, Some(2)));
    assert!(it.store.hold_back("file", &cursor().await, 2, "still", it.after(2)).await.unwrap());
    assert_eq!(it.store.held_back(None, 9).await.unwrap()[0].reason, "still");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_named() {
    let it = Bench::new().await;
    for id in 1..=3 {
        it.leak(id, &format!("a{id}.example")).await;
    }
    let spoil = sqlx::query("UPDATE outbox SET event = '{}' WHERE id = 2");
    spoil.execute(&mut it.store.writer().await.connection).await.unwrap();
    let before = it.store.outbox_after(0, 10).await.unwrap();
    assert_eq!(before.iter().map(|row| row.id).collect::<Vec<_>>(), [1]);
    assert!(matches!(it.store.outbox_after(1, 10).await, Err(StoreError::Unreadable(2))));
    assert_eq!(it.store.outbox_after(2, 10).await.unwrap()[0].id, 3);
}
