//! When each agent was last heard: in memory, and written down now and then for all at once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cprvagt_report::{AgentId, Moment};

use crate::stop::Stop;
use crate::store::Store;

/// How often it is written down.
const EVERY: Duration = Duration::from_secs(15);

/// Agents heard since it was last written down. Only enrolled ones, so their number bounds it.
#[derive(Default)]
pub(super) struct Seen(Mutex<HashMap<AgentId, Moment>>);

impl Seen {
    pub(super) fn note(&self, agent: AgentId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(agent, Moment::now());
    }

    /// Writes down until `stop`, and once more then.
    pub(super) async fn keep(&self, store: &Store, mut stop: Stop) {
        loop {
            let stopped = tokio::select! {
                () = stop.asked() => true,
                () = tokio::time::sleep(EVERY) => false,
            };
            self.write(store).await;
            if stopped {
                return;
            }
        }
    }

    async fn write(&self, store: &Store) {
        let seen: Vec<_> = self.0.lock().unwrap_or_else(PoisonError::into_inner).drain().collect();
        if seen.is_empty() {
            return;
        }
        if let Err(error) = store.seen(&seen).await {
            tracing::warn!("when agents were last heard is not written down: {error}");
        }
    }
}
