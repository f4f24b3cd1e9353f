//! From the spool to the collector: batches, receipts, back-off, the renewal of the certificate.
//!
//! *Invariants*: a report is forgotten only when a receipt names it and every report before it. Everything
//! else is tried for ever.
//! *Limits*: one batch under way; [`DELIVERY_REPORTS_MAX`] reports and [`DELIVERY_BYTES_MAX`] bytes in it.

use std::time::{Duration, SystemTime};

use cprvagt_report::{
    BadDelivery, DELIVERY_BYTES_MAX, DELIVERY_REPORTS_MAX, DELIVERY_TYPE, Delivery, Envelope, Moment,
    RENEW_PATH, REPORTS_PATH, ReceiptOutcome, Receipts, RenewAnswer, RenewRequest,
};
use cprvagt_spool::{Files, Position, SpoolError, Stored};
use hyper::StatusCode;
use jiff::Timestamp;
use tokio::time::Instant;

use super::Shared;
use super::backoff::{Backoff, retry_after};
use super::connection::{Answer, ConnectionError};
use super::link::Link;
use crate::enrol::{self, EnrolmentError, NewKey};

/// How often the enrolment's files are looked at, and the age of the certificate.
pub const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long a renewal that failed is left alone.
const RENEW_AGAIN: Duration = Duration::from_secs(15 * 60);
/// More bytes than a delivery adds to a report: its epoch, its number, its length.
const ENVELOPE_BYTES: usize = 64;
/// Bytes of the reports of a delivery.
const BATCH_BYTES_MAX: usize = DELIVERY_BYTES_MAX - DELIVERY_REPORTS_MAX * ENVELOPE_BYTES - ENVELOPE_BYTES;

/// Why reports were not delivered, or the certificate not renewed.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The enrolment.
    #[error(transparent)]
    Enrolment(#[from] EnrolmentError),
    /// No connection or no answer.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// No connection, and a certificate that has ended.
    #[error("the certificate ended at {ended}: enrol this host again with --replace ({cause})")]
    Expired {
        /// Its end.
        ended: Timestamp,
        /// What the connection says.
        cause: ConnectionError,
    },
    /// The collector says no.
    #[error("the collector refused ({status}): {text}")]
    Refused {
        /// The status of its answer.
        status: StatusCode,
        /// What it says, scrubbed.
        text: String,
        /// How long it asks to be left alone.
        wait: Option<Duration>,
    },
    /// The answer is none.
    #[error("the collector's answer cannot be read: {0}")]
    Answer(String),
    /// The receipts are for other reports.
    #[error("the collector's receipts leave out the first report that was sent")]
    NoReceipt,
    /// The spool.
    #[error("spool: {0}")]
    Spool(#[from] SpoolError),
    /// No key for a renewal.
    #[error("a private key could not be made: {0}")]
    Key(#[from] rcgen::Error),
}

impl DeliverError {
    /// Whether fewer reports at once may get through: the delivery is too large, or the link too slow for it.
    fn is_too_much(&self) -> bool {
        let too_much = [StatusCode::PAYLOAD_TOO_LARGE, StatusCode::REQUEST_TIMEOUT];
        match self {
            Self::Refused { status, .. } => too_much.contains(status),
            Self::Connection(error) => matches!(error, ConnectionError::Late { .. }),
            _ => false,
        }
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// Go on: more may wait.
    AtOnce,
    /// Nothing waits, or there is nowhere to send it.
    WhenSomethingArrives,
    /// It failed: not before this time has passed.
    After(Duration),
}

/// Delivers what waits in the spool.
pub struct Deliverer {
    link: Link,
    backoff: Backoff,
    reports_max: usize,
    renew_not_before: Option<Instant>,
    told: Option<String>,
}

impl Deliverer {
    /// Over this link.
    pub fn new(link: Link) -> Self {
        Self {
            link,
            backoff: Backoff::default(),
            reports_max: DELIVERY_REPORTS_MAX,
            renew_not_before: None,
            told: None,
        }
    }

    /// The way to the collector.
    pub const fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// Looks at the enrolment's files; true when they changed.
    pub fn look<F: Files>(&mut self, shared: &Shared<F>) -> bool {
        let changed = self.link.refresh().unwrap_or_else(|error| {
            self.failed(&error.into(), shared);
            false
        });
        shared.spool.borrow_mut().seal_to(self.link.sealing_key().cloned());
        let mut progress = shared.progress.borrow_mut();
        progress.collector = self.link.url().cloned();
        progress.certificate_expires_at = self.link.credentials().map(|it| Moment(it.not_after));
        changed
    }

    /// Renews the certificate if it is time, and delivers one batch.
    pub async fn turn<F: Files>(&mut self, shared: &Shared<F>) -> Next {
        self.look(shared);
        if self.link.url().is_none() {
            return Next::WhenSomethingArrives;
        }
        if let Err(error) = self.renew_if_due(shared).await {
            self.renew_not_before = Some(Instant::now() + RENEW_AGAIN);
            tracing::warn!("the certificate was not renewed: {}", super::scrubbed(&error));
        }
        match self.deliver(shared).await {
            Ok(0) => Next::WhenSomethingArrives,
            Ok(_) => {
                self.went_well(shared);
                Next::AtOnce
            }
            Err(error) => {
                self.failed(&error, shared);
                let asked = match error {
                    DeliverError::Refused { wait, .. } => wait,
                    _ => None,
                };
                Next::After(self.backoff.after_failure(asked, fastrand::f64()))
            }
        }
    }

    /// Delivers one batch; how many reports are acknowledged, 0 when none waits.
    async fn deliver<F: Files>(&mut self, shared: &Shared<F>) -> Result<usize, DeliverError> {
        let batch = shared.spool.borrow_mut().next(self.reports_max, BATCH_BYTES_MAX)?;
        let sent: Vec<Position> = batch.iter().map(|stored| stored.position).collect();
        if sent.is_empty() {
            return Ok(0);
        }
        let reports = batch.into_iter().map(envelope).collect();
        let answer = self.ask(REPORTS_PATH, DELIVERY_TYPE, Delivery { reports }.encode()).await;
        if answer.as_ref().is_err_and(DeliverError::is_too_much) {
            self.reports_max = (sent.len() / 2).max(1);
        }
        let receipts = Receipts::decode(&answer?.body);
        let receipts = receipts.map_err(|error: BadDelivery| DeliverError::Answer(error.to_string()))?;
        let named = named(&sent, &receipts);
        let last = named.last().ok_or(DeliverError::NoReceipt)?.0;
        let set_aside = set_aside(&named);
        shared.spool.borrow_mut().acknowledge(last)?;
        let mut progress = shared.progress.borrow_mut();
        progress.delivered += named.len() as u64;
        progress.set_aside += set_aside;
        progress.last_delivery_at = Some(Moment::now());
        if set_aside > 0 {
            tracing::warn!("the collector could not read {set_aside} reports and set them aside");
        }
        Ok(named.len())
    }

    /// Asks for the next certificate once two thirds of this one's time are over.
    async fn renew_if_due<F: Files>(&mut self, shared: &Shared<F>) -> Result<(), DeliverError> {
        let due = self.link.credentials().is_some_and(|it| it.renew_at() <= Timestamp::now());
        if !due || self.renew_not_before.is_some_and(|time| Instant::now() < time) {
            return Ok(());
        }
        let NewKey { key, request } = NewKey::generate()?;
        let body = serde_json::to_vec(&RenewRequest { request }).expect("memory takes plain data");
        let answer = self.ask(RENEW_PATH, "application/json", body).await?;
        let answer: RenewAnswer =
            serde_json::from_slice(&answer.body).map_err(|error| DeliverError::Answer(error.to_string()))?;
        enrol::renew(self.link.dir(), &key, &answer.certificate)?;
        tracing::info!("the certificate was renewed; it ends at {}", answer.expires_at);
        self.look(shared);
        Ok(())
    }

    /// Asks, and takes only a success for an answer.
    async fn ask(&mut self, path: &str, content_type: &str, body: Vec<u8>) -> Result<Answer, DeliverError> {
        let now = Timestamp::now();
        let answer = match self.link.post(path, content_type, body).await {
            Ok(answer) => answer.ok_or_else(|| DeliverError::Answer("there is no enrolment".to_owned()))?,
            Err(cause) => {
                return Err(match self.link.credentials().filter(|_| self.link.is_expired(now)) {
                    Some(credentials) => DeliverError::Expired { ended: credentials.not_after, cause },
                    None => cause.into(),
                });
            }
        };
        if answer.status.is_success() {
            return Ok(answer);
        }
        let may_ask =
            matches!(answer.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
        let asked = answer.retry_after.as_deref().filter(|_| may_ask);
        let wait = asked.and_then(|value| retry_after(value, SystemTime::now()));
        Err(DeliverError::Refused { status: answer.status, text: enrol::refusal(&answer), wait })
    }

    fn went_well<F: Files>(&mut self, shared: &Shared<F>) {
        self.backoff.reset();
        self.reports_max = (self.reports_max * 2).min(DELIVERY_REPORTS_MAX);
        shared.progress.borrow_mut().last_error = None;
        if self.told.take().is_some() {
            tracing::warn!("reports are delivered again");
        }
    }

    /// One failure is told once, however often it comes in a row.
    fn failed<F: Files>(&mut self, error: &DeliverError, shared: &Shared<F>) {
        let text = super::scrubbed(error);
        match self.told.as_ref() == Some(&text) {
            true => tracing::debug!("not delivered: {text}"),
            false => tracing::warn!("not delivered: {text}"),
        }
        shared.progress.borrow_mut().last_error = Some(text.clone());
        self.told = Some(text);
    }
}

fn envelope(stored: Stored) -> Envelope {
    let Position { epoch, sequence } = stored.position;
    Envelope { epoch, sequence, sealed: stored.payload }
}

/// The reports from the first on that have a receipt each, and what became of them.
fn named(sent: &[Position], receipts: &Receipts) -> Vec<(Position, ReceiptOutcome)> {
    let outcome = |position: &Position| {
        let is_its =
            |it: &&cprvagt_report::Receipt| (it.epoch, it.sequence) == (position.epoch, position.sequence);
        Some((*position, receipts.receipts.iter().find(is_its)?.outcome))
    };
    sent.iter().map_while(outcome).collect()
}

fn set_aside(named: &[(Position, ReceiptOutcome)]) -> u64 {
    named.iter().filter(|(_, outcome)| *outcome == ReceiptOutcome::SetAside).count() as u64
}

#[cfg(test)]
#[path = "deliver_tests.rs"]
mod tests;
