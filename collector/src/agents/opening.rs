//! Opening sealed reports: decryption, decompression, reading, folding; work for the processor, not for the
//! threads that serve connections.
//!
//! *Invariants*: what cannot be opened is set aside as it came, with a reason that quotes nothing of it.
//! *Limits*: [`WORKERS`] deliveries at once, since each may unfold to megabytes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cprvagt_report::seal::PrivateKey;
use cprvagt_report::{AgentId, Delivery, Envelope, Report};
use tokio::sync::Semaphore;

use crate::citizen::CitizenKey;
use crate::ingest::NotTaken;
use crate::occurrence::Opened;
use crate::store::{Arrival, Content};

/// Deliveries opened at once.
const WORKERS: usize = 2;

/// Opens.
pub(super) struct Opener {
    keys: Arc<Keys>,
    workers: Arc<Semaphore>,
}

struct Keys {
    sealing: PrivateKey,
    citizen: CitizenKey,
}

impl Opener {
    pub(super) fn new(sealing: PrivateKey, citizen: CitizenKey) -> Self {
        Self { keys: Arc::new(Keys { sealing, citizen }), workers: Arc::new(Semaphore::new(WORKERS)) }
    }

    pub(super) fn sealing_key(&self) -> &PrivateKey {
        &self.keys.sealing
    }

    /// Each report of `delivery`, opened or set aside.
    pub(super) async fn open(&self, agent: AgentId, delivery: Delivery) -> Result<Vec<Arrival>, NotTaken> {
        let worker = self.workers.clone().acquire_owned().await.map_err(|_| NotTaken::Failed)?;
        let keys = self.keys.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let _worker = worker;
            delivery.reports.into_iter().map(|envelope| keys.arrival(agent, envelope)).collect()
        });
        opened.await.map_err(|_| NotTaken::Failed)
    }
}

impl Keys {
    fn arrival(&self, agent: AgentId, envelope: Envelope) -> Arrival {
        let Envelope { epoch, sequence, sealed } = envelope;
        // A report that trips this program up must not come back for ever.
        let content = match catch_unwind(AssertUnwindSafe(|| self.open(agent, &sealed))) {
            Ok(Ok(opened)) => Content::Report(Box::new(opened)),
            Ok(Err(reason)) => Content::SetAside { reason, sealed },
            Err(_) => {
                Content::SetAside { reason: "the collector failed while reading it".to_owned(), sealed }
            }
        };
        Arrival { agent, epoch, sequence, content }
    }

    fn open(&self, agent: AgentId, sealed: &[u8]) -> Result<Opened, String> {
        let report = Report::open(sealed, &self.sealing).map_err(|error| error.to_string())?;
        Ok(Opened::of(agent, report, &self.citizen))
    }
}
