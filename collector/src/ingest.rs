//! From opened reports to committed ones: a bounded queue, and one writer that groups what waits.
//!
//! SQLite has one writer at a time, and each commit waits for the disk. So reports of many agents that wait
//! at the same time are committed together; a busy disk makes the groups larger by itself.
//!
//! *Invariants*: an outcome is given only after the commit. A reserved place is held until then, so the queue
//! never holds more than its limit. What the store refuses for one delivery does not hold up the others.
//! *Limits*: [`IngestLimits`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cprvagt_report::ReceiptOutcome;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::store::{Arrival, Store, StoreError, Taken};

/// What may wait, and what is committed at once.
#[derive(Clone, Copy, Debug)]
pub struct IngestLimits {
    /// Reports that are opened, waiting or being committed.
    pub queue_reports: usize,
    /// Reports of one commit; the last delivery of a group may exceed it.
    pub group_reports: usize,
}

impl Default for IngestLimits {
    fn default() -> Self {
        Self { queue_reports: 256, group_reports: 64 }
    }
}

/// Why a delivery was not taken. The agent keeps it and comes again.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotTaken {
    /// As many reports wait as may.
    #[error("the queue is full")]
    QueueFull,
    /// No room on the collector's disk.
    #[error("the collector's disk is full")]
    DiskFull,
    /// Another writer holds the database.
    #[error("the database is busy")]
    Busy,
    /// The store failed, or the collector is stopping.
    #[error("the collector cannot store reports now")]
    Failed,
}

/// The queue's entrance.
#[derive(Clone)]
pub struct Ingest {
    queue: mpsc::UnboundedSender<Waiting>,
    places: Arc<Semaphore>,
    commit: Commit,
}

/// How committing fares.
#[derive(Clone, Default)]
struct Commit(Arc<Mutex<Fares>>);

#[derive(Clone, Copy, Default)]
struct Fares {
    /// When the commit under way began.
    since: Option<Instant>,
    /// Why the last one failed.
    trouble: Option<NotTaken>,
}

/// Places in the queue for one delivery.
pub struct Reserved {
    queue: mpsc::UnboundedSender<Waiting>,
    places: Counted,
}

/// Places that the metrics know of, given back when dropped.
struct Counted {
    count: u32,
    _permit: OwnedSemaphorePermit,
}

struct Waiting {
    arrivals: Vec<Arrival>,
    answer: oneshot::Sender<Result<Vec<ReceiptOutcome>, NotTaken>>,
    _places: Counted,
}

/// The one who writes.
struct Writer {
    store: Store,
    group_reports: usize,
    commit: Commit,
    committed: Box<dyn Fn() + Send + Sync>,
}

impl Ingest {
    /// Starts the writer, which ends when the last `Ingest` and reservation is gone and all is written.
    /// `committed` is called after each commit.
    pub fn start(
        store: Store,
        limits: IngestLimits,
        committed: impl Fn() + Send + Sync + 'static,
    ) -> (Self, JoinHandle<()>) {
        let (queue, waiting) = mpsc::unbounded_channel();
        let places = Arc::new(Semaphore::new(limits.queue_reports));
        let commit = Commit::default();
        let (group_reports, committed) = (limits.group_reports, Box::new(committed));
        let writer = Writer { store, group_reports, commit: commit.clone(), committed };
        (Self { queue, places, commit }, tokio::spawn(writer.run(waiting)))
    }

    /// Places for `reports` reports.
    ///
    /// # Errors
    /// There are not so many.
    pub fn reserve(&self, reports: usize) -> Result<Reserved, NotTaken> {
        let count = u32::try_from(reports).map_err(|_| NotTaken::QueueFull)?;
        let permit = self.places.clone().try_acquire_many_owned(count).map_err(|_| NotTaken::QueueFull)?;
        metrics::gauge!("ingest_queue_reports").increment(f64::from(count));
        Ok(Reserved { queue: self.queue.clone(), places: Counted { count, _permit: permit } })
    }

    /// For how long the commit under way has been so; 0 when there is none.
    pub fn stuck_for(&self) -> Duration {
        self.commit.fares().since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Why the last commit failed; `None` when it did not.
    pub fn trouble(&self) -> Option<NotTaken> {
        self.commit.fares().trouble
    }
}

impl Reserved {
    /// Outcomes of `arrivals`, in order, once they are committed.
    ///
    /// # Errors
    /// They are not, and nothing of them is.
    pub async fn put(self, arrivals: Vec<Arrival>) -> Result<Vec<ReceiptOutcome>, NotTaken> {
        let (answer, outcome) = oneshot::channel();
        let waiting = Waiting { arrivals, answer, _places: self.places };
        self.queue.send(waiting).map_err(|_| NotTaken::Failed)?;
        outcome.await.map_err(|_| NotTaken::Failed)?
    }
}

impl Writer {
    async fn run(self, mut queue: mpsc::UnboundedReceiver<Waiting>) {
        while let Some(first) = queue.recv().await {
            let mut reports = first.arrivals.len();
            let mut group = vec![first];
            while reports < self.group_reports
                && let Ok(next) = queue.try_recv()
            {
                reports += next.arrivals.len();
                group.push(next);
            }
            self.commit.fares().since = Some(Instant::now());
            self.write(group).await;
            self.commit.fares().since = None;
        }
    }

    async fn write(&self, group: Vec<Waiting>) {
        let arrivals: Vec<&Arrival> = group.iter().flat_map(|waiting| &waiting.arrivals).collect();
        match self.take(&arrivals).await {
            Ok(taken) => answer(group, taken.outcomes),
            // Which delivery the store cannot take is found by giving it each alone.
            Err(NotTaken::Failed) if group.len() > 1 => {
                for waiting in group {
                    Box::pin(self.write(vec![waiting])).await;
                }
            }
            Err(error) => group.into_iter().for_each(|waiting| waiting.answer(Err(error))),
        }
    }

    async fn take(&self, arrivals: &[&Arrival]) -> Result<Taken, NotTaken> {
        let begun = Instant::now();
        let taken = self.store.take(arrivals).await;
        metrics::histogram!("ingest_commit_seconds").record(begun.elapsed().as_secs_f64());
        match taken {
            Ok(taken) => {
                count(&taken);
                self.commit.fares().trouble = None;
                (self.committed)();
                Ok(taken)
            }
            Err(error) => {
                let error = not_taken(&error);
                self.commit.fares().trouble = Some(error);
                Err(error)
            }
        }
    }
}

fn answer(group: Vec<Waiting>, outcomes: Vec<ReceiptOutcome>) {
    let mut outcomes = outcomes.into_iter();
    for waiting in group {
        let own = outcomes.by_ref().take(waiting.arrivals.len()).collect();
        waiting.answer(Ok(own));
    }
}

fn count(taken: &Taken) {
    for outcome in &taken.outcomes {
        let outcome = match outcome {
            ReceiptOutcome::Stored => "stored",
            ReceiptOutcome::Duplicate => "duplicate",
            ReceiptOutcome::SetAside => "set-aside",
        };
        metrics::counter!("ingest_reports_total", "outcome" => outcome).increment(1);
    }
    metrics::counter!("ingest_occurrences_total").increment(taken.occurrences);
    metrics::counter!("ingest_occurrences_again_total").increment(taken.occurrences_again);
    metrics::counter!("ingest_incidents_total").increment(taken.incidents_created);
    metrics::counter!("ingest_gaps_total").increment(taken.gaps);
    metrics::counter!("ingest_rescrubbed_total").increment(taken.rescrubbed);
    metrics::counter!("ingest_dropped_total", "what" => "set-aside").increment(taken.set_aside_dropped);
    metrics::counter!("ingest_dropped_total", "what" => "ledger").increment(taken.ledgers_dropped);
    metrics::counter!("ingest_traces_folded_total").increment(taken.traces_folded);
}

fn not_taken(error: &StoreError) -> NotTaken {
    tracing::warn!("reports are not stored: {error}");
    match error {
        StoreError::Full => NotTaken::DiskFull,
        StoreError::Busy => NotTaken::Busy,
        _ => NotTaken::Failed,
    }
}

impl Waiting {
    /// The agent may have gone meanwhile; it then comes again and learns that all are duplicates.
    fn answer(self, outcomes: Result<Vec<ReceiptOutcome>, NotTaken>) {
        let _ = self.answer.send(outcomes);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!("ingest_queue_reports").decrement(f64::from(self.count));
    }
}

impl Commit {
    fn fares(&self) -> MutexGuard<'_, Fares> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
