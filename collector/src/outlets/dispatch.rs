//! One task an outlet: reads on from the cursor, sends, moves the cursor, and waits when there is nothing to do.
//!
//! *Invariants*: the cursor moves only behind an event that the receiver has or that is held back and written down
//! as such. It is read from the store at each step, and moved only from where it was read, so that a replay asked
//! for by another process takes effect at any time.
//! *Limits*: [`FILE_EVENTS_MAX`] events are written to a file at once; a webhook gets one at a time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cprvagt_report::Moment;
use jiff::{SignedDuration, Timestamp};
use metrics::{counter, gauge};
use tokio::sync::watch;

use crate::store::{Cursor, OutboxRow, Store, StoreError};

use super::file::LineFile;
use super::finding::{event_json, event_uid};
use super::guard::{self, Blocked};
use super::retry::{RETRY_AFTER_MAX, delay};
use super::status::Board;
use super::webhook::Webhook;
use super::{Failure, Waker};

/// Most events that go to the disk with one fsync.
const FILE_EVENTS_MAX: u32 = 256;
/// How often an idle outlet looks for itself: another process may have rewound its cursor.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often incidents are looked through for changes to tell, at least.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Why a row of the outbox that is not an event is held back.
const UNREADABLE: &str = "the event's row cannot be read";

/// Where events go.
pub(super) enum Sink {
    /// A file; shared with the thread that waits for the disk.
    File(Arc<Mutex<LineFile>>),
    /// A webhook.
    Webhook(Box<Webhook>),
}

impl Sink {
    pub(super) fn file(file: LineFile) -> Self {
        Self::File(Arc::new(Mutex::new(file)))
    }

    const fn events_max(&self) -> u32 {
        match self {
            Self::File(_) => FILE_EVENTS_MAX,
            Self::Webhook(_) => 1,
        }
    }

    /// Sends all of `events`.
    async fn send(&self, events: &[Event]) -> Result<(), Failure> {
        match self {
            Self::File(file) => append(Arc::clone(file), events).await,
            Self::Webhook(webhook) => {
                for event in events {
                    webhook.post(&event.uid, event.body.clone()).await?;
                }
                Ok(())
            }
        }
    }
}

async fn append(file: Arc<Mutex<LineFile>>, events: &[Event]) -> Result<(), Failure> {
    let lines: Vec<u8> =
        events.iter().flat_map(|event| [&event.body[..], b"\n"]).flatten().copied().collect();
    let write = move || file.lock().unwrap_or_else(PoisonError::into_inner).append(&lines);
    let written = tokio::task::spawn_blocking(write).await.map_err(|_| Failure::of("stopped"))?;
    written.map_err(|cause| Failure { code: cause.raw_os_error(), ..Failure::of("unwritable") })
}

/// An event on its way out.
struct Event {
    id: i64,
    uid: String,
    body: Bytes,
}

/// What a step came to.
enum Step {
    /// Something moved: there may be more.
    Moved,
    /// Nothing to send.
    Idle,
    /// The last attempt failed; the next is due then.
    Wait(Duration),
}

/// One outlet's task.
pub(super) struct Worker {
    name: String,
    sink: Sink,
    store: Store,
    wake: watch::Receiver<()>,
    board: Arc<Board>,
    /// Events after this cursor up to this id are delivered, and the store could not take that down yet.
    delivered: Option<(Cursor, i64)>,
}

impl Worker {
    pub(super) fn new(
        name: String,
        sink: Sink,
        store: Store,
        wake: watch::Receiver<()>,
        board: Arc<Board>,
    ) -> Self {
        board.add(&name);
        Self { name, sink, store, wake, board, delivered: None }
    }

    pub(super) async fn run(mut self) {
        loop {
            self.wake.mark_unchanged();
            match self.step().await {
                Ok(Step::Moved) => {}
                Ok(Step::Idle) => self.idle().await,
                Ok(Step::Wait(rest)) => tokio::time::sleep(rest.min(LOOK_EVERY)).await,
                Err(error) => {
                    tracing::error!(outlet = self.name, %error, "the outbox cannot be used");
                    self.board.write(&self.name, |status| status.last_error = Some(error.to_string()));
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        }
    }

    /// Until somebody wakes us, or for a while. The sender lives as long as this task.
    async fn idle(&mut self) {
        let _ = tokio::time::timeout(LOOK_EVERY, self.wake.changed()).await;
    }

    async fn step(&mut self) -> Result<Step, StoreError> {
        let cursor = self.store.cursor(&self.name).await?;
        self.show(&cursor);
        if let Some((after, last)) = self.delivered.take_if(|(after, _)| after.stands_as(&cursor)) {
            return self.advance(&after, last).await;
        }
        if let Some(rest) = rest(cursor.next_try_at.map(|next| next.0), Timestamp::now()) {
            self.show_held_back().await?;
            return Ok(Step::Wait(rest));
        }
        let rows = match self.store.outbox_after(cursor.last_id, self.sink.events_max()).await {
            Err(StoreError::Unreadable(id)) => return self.pass_over(&cursor, id, UNREADABLE).await,
            rows => rows?,
        };
        let (events, held_back) = self.prepare(&rows);
        match (events.last(), held_back) {
            (Some(last), _) => self.send(&cursor, &events, last.id).await,
            (None, Some((id, blocked))) => self.pass_over(&cursor, id, &blocked.to_string()).await,
            (None, None) => {
                self.show_held_back().await?;
                Ok(Step::Idle)
            }
        }
    }

    /// The events up to the first that must not leave, and that one's id.
    fn prepare(&self, rows: &[OutboxRow]) -> (Vec<Event>, Option<(i64, Blocked)>) {
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            let body = Bytes::from(event_json(row));
            match guard::check(&body, Timestamp::now().as_second()) {
                Ok(()) => events.push(Event { id: row.id, uid: event_uid(&row.event), body }),
                Err(blocked) => return (events, Some((row.id, blocked))),
            }
        }
        (events, None)
    }

    async fn send(&mut self, cursor: &Cursor, events: &[Event], last: i64) -> Result<Step, StoreError> {
        match self.sink.send(events).await {
            Ok(()) => {
                counter!("outlet_events_total", "outlet" => self.name.clone()).increment(events.len() as u64);
                self.advance(cursor, last).await
            }
            Err(failure) => self.failed(cursor, &failure).await,
        }
    }

    async fn failed(&self, cursor: &Cursor, failure: &Failure) -> Result<Step, StoreError> {
        let attempts = cursor.attempts.saturating_add(1);
        let wait = failure.retry_after.unwrap_or_else(|| delay(attempts, dice()));
        let next = Timestamp::now().saturating_add(wait).expect("a duration has one sign");
        tracing::warn!(
            outlet = self.name,
            attempts,
            wait_ms = wait.as_millis() as u64,
            "not delivered: {failure}"
        );
        counter!("outlet_failures_total", "outlet" => self.name.clone(), "reason" => failure.reason)
            .increment(1);
        self.store.failed(&self.name, &failure.to_string(), Moment(next)).await?;
        Ok(Step::Moved)
    }

    /// Leaves out an event that must not or cannot leave. It stays in the outbox, for a person to look into.
    async fn pass_over(&self, cursor: &Cursor, id: i64, reason: &str) -> Result<Step, StoreError> {
        if self.store.hold_back(&self.name, cursor, id, reason, Moment::now()).await? {
            tracing::error!(outlet = self.name, event = id, "held back: {reason}");
            counter!("outlet_blocked_total", "outlet" => self.name.clone()).increment(1);
        }
        Ok(Step::Moved)
    }

    /// Moves the cursor, unless a replay was asked for meanwhile: then it stays where that put it. While the store
    /// cannot take it down, what was delivered is remembered here, or it would go out again every few seconds.
    async fn advance(&mut self, cursor: &Cursor, id: i64) -> Result<Step, StoreError> {
        self.delivered = Some((cursor.clone(), id));
        self.store.advance(&self.name, cursor, id).await?;
        self.delivered = None;
        Ok(Step::Moved)
    }

    /// Counted whenever there is nothing else to do, since a replay may have delivered some.
    async fn show_held_back(&self) -> Result<(), StoreError> {
        let (count, last) = self.store.held_back_count(&self.name).await?;
        gauge!("outlet_held_back", "outlet" => self.name.clone()).set(count as f64);
        self.board.write(&self.name, |status| {
            status.held_back = count;
            status.held_back_last = last;
        });
        Ok(())
    }

    fn show(&self, cursor: &Cursor) {
        gauge!("outlet_failed_attempts", "outlet" => self.name.clone()).set(cursor.attempts);
        self.board.write(&self.name, |status| {
            status.last_id = cursor.last_id;
            status.failed_attempts = cursor.attempts;
            status.next_try_at = cursor.next_try_at.map(|next| next.0);
            status.last_error.clone_from(&cursor.last_error);
        });
    }
}

/// How long until `next`; `None` when it is due. A clock that was set back must not put an outlet off for years.
fn rest(next: Option<Timestamp>, now: Timestamp) -> Option<Duration> {
    let rest = next?.duration_since(now);
    (rest > SignedDuration::ZERO).then(|| rest.unsigned_abs()).filter(|rest| *rest <= RETRY_AFTER_MAX)
}

/// Any number. Without random numbers there is no jitter, which is no reason to stop.
fn dice() -> u64 {
    getrandom::u64().unwrap_or_default()
}

/// Writes an update into the outbox for each incident that has changed and has been quiet, every few seconds.
pub(super) async fn tell_changes(store: Store, quiet: Duration, waker: Waker) {
    let mut turns = tokio::time::interval(TELL_EVERY.min(quiet.max(Duration::from_millis(100))));
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        match store.mark_changes(Moment::now(), quiet).await {
            Ok(0) => {}
            Ok(_) => waker.wake(),
            Err(error) => tracing::error!(%error, "changes of incidents cannot be told"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_to_wait() {
        let now = Timestamp::from_second(1_795_343_400).unwrap();
        let at = |offset| Some(now + SignedDuration::from_secs(offset));
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let cases = [
            (None, None),
            (at(0), None),
            (at(-5), None),
            (at(5), seconds(5)),
            (at(3600), seconds(3600)),
            (at(3601), None),
        ];
        for (next, expected) in cases {
            assert_eq!(rest(next, now), expected, "{next:?}");
        }
    }
}
