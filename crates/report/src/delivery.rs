//! What agent and collector say to each other over HTTP: paths, deliveries, receipts, enrolment.
//!
//! A delivery carries sealed reports as they lie in the spool; its receipts say for each what became of it.
//! A receipt is given only after the collector has committed the effects.
//!
//! *Invariants*: a report's identity is (agent, epoch, sequence); the agent is who the client certificate
//! says. Decoding never takes more memory than a small multiple of what came in.

use core::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::report::SEALED_BYTES_MAX;
use crate::seal::PublicKey;
use crate::{Host, Moment};

/// POST a [`Delivery`], get [`Receipts`]; needs a client certificate.
pub const REPORTS_PATH: &str = "/v1/reports";
/// POST an [`EnrolRequest`] as JSON, get an [`EnrolAnswer`]; needs a token.
pub const ENROL_PATH: &str = "/v1/enrol";
/// POST a [`RenewRequest`] as JSON, get a [`RenewAnswer`]; needs a client certificate.
pub const RENEW_PATH: &str = "/v1/renew";
/// Content type of deliveries and receipts.
pub const DELIVERY_TYPE: &str = "application/vnd.cprvagt.delivery";
/// Most reports of one delivery.
pub const DELIVERY_REPORTS_MAX: usize = 64;
/// Largest delivery, in bytes.
pub const DELIVERY_BYTES_MAX: usize = 4 << 20;
/// Version of the encoding of deliveries and receipts, their first byte.
const VERSION: u8 = 1;

/// Which agent; the collector gives the id at enrolment, and the certificate carries it as `urn:uuid:`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AgentId(pub Uuid);

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Sealed reports, the oldest first.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// At most [`DELIVERY_REPORTS_MAX`].
    pub reports: Vec<Envelope>,
}

/// One sealed report and its number.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// The spool's epoch.
    pub epoch: Uuid,
    /// Its number in that epoch, from 1.
    pub sequence: u64,
    /// [`crate::Report::seal`].
    pub sealed: Vec<u8>,
}

/// What became of each report of a delivery, in its order.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Receipts {
    /// One for each report.
    pub receipts: Vec<Receipt>,
}

/// What became of one report.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The spool's epoch.
    pub epoch: Uuid,
    /// Its number in that epoch.
    pub sequence: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// The agent may forget the report in every case.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// Its effects are committed.
    Stored,
    /// They were committed before.
    Duplicate,
    /// It cannot be read; kept aside as it came, for a person to look at.
    SetAside,
}

/// Why bytes are no delivery or receipts.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadDelivery {
    /// More than [`DELIVERY_BYTES_MAX`] bytes, [`DELIVERY_REPORTS_MAX`] reports, or a report too large.
    #[error("larger than allowed")]
    TooLarge,
    /// Made by a version that this one does not know.
    #[error("version {0}; this version reads {VERSION}")]
    Version(u8),
    /// Not such an encoding.
    #[error("malformed")]
    Malformed,
}

impl Delivery {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// From bytes.
    ///
    /// # Errors
    /// Too large, of another version, or malformed.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadDelivery> {
        let delivery: Self = decode(bytes)?;
        let too_large = |report: &Envelope| report.sealed.len() > SEALED_BYTES_MAX;
        if delivery.reports.len() > DELIVERY_REPORTS_MAX || delivery.reports.iter().any(too_large) {
            return Err(BadDelivery::TooLarge);
        }
        Ok(delivery)
    }
}

impl Receipts {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// From bytes.
    ///
    /// # Errors
    /// Too large, of another version, or malformed.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadDelivery> {
        decode(bytes)
    }
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(value, vec![VERSION]).expect("memory takes it")
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, BadDelivery> {
    if bytes.len() > DELIVERY_BYTES_MAX {
        return Err(BadDelivery::TooLarge);
    }
    match bytes.split_first() {
        None => Err(BadDelivery::Malformed),
        Some((&VERSION, body)) => match postcard::take_from_bytes(body) {
            Ok((value, [])) => Ok(value),
            _ => Err(BadDelivery::Malformed),
        },
        Some((version, _)) => Err(BadDelivery::Version(*version)),
    }
}

/// A host asks to become an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// The token's secret part, base64url.
    pub secret: String,
    /// The certificate signing request, PEM.
    pub request: String,
    /// The host.
    pub host: Host,
}

/// What an enrolled agent gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnrolAnswer {
    /// Its identity.
    pub agent: AgentId,
    /// Its certificate, PEM.
    pub certificate: String,
    /// The authority's certificate, PEM.
    pub authority: String,
    /// What reports are sealed to.
    pub sealing_key: PublicKey,
    /// When the certificate ends.
    pub expires_at: Moment,
}

/// An agent asks for its next certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RenewRequest {
    /// The certificate signing request, PEM; the key may be new.
    pub request: String,
}

/// The next certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RenewAnswer {
    /// The certificate, PEM.
    pub certificate: String,
    /// When it ends.
    pub expires_at: Moment,
}

/// Why the collector refuses, as JSON beside the status code.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// What is wrong and what to do, for the person who reads the agent's log.
    pub error: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(reports: usize, bytes: usize) -> Delivery {
        let envelope = |sequence| Envelope { epoch: Uuid::nil(), sequence, sealed: vec![7; bytes] };
        Delivery { reports: (1..=reports as u64).map(envelope).collect() }
    }

    #[test]
    fn deliveries_and_receipts_come_back_as_they_were() {
        for (reports, bytes) in [(0, 0), (1, 0), (DELIVERY_REPORTS_MAX, 100), (1, SEALED_BYTES_MAX)] {
            let delivery = delivery(reports, bytes);
            assert_eq!(Delivery::decode(&delivery.encode()), Ok(delivery));
        }
        let receipt = Receipt { epoch: Uuid::max(), sequence: u64::MAX, outcome: Outcome::SetAside };
        let receipts = Receipts { receipts: vec![receipt] };
        assert_eq!(Receipts::decode(&receipts.encode()), Ok(receipts));
    }

    #[test]
    fn what_is_too_large_or_malformed_is_refused() {
        let too_large =
            [delivery(DELIVERY_REPORTS_MAX + 1, 0), delivery(1, SEALED_BYTES_MAX + 1), delivery(5, 1 << 20)];
        for delivery in too_large {
            assert_eq!(Delivery::decode(&delivery.encode()), Err(BadDelivery::TooLarge));
        }
        let good = delivery(2, 5).encode();
        for cut in 0..good.len() {
            assert!(Delivery::decode(&good[..cut]).is_err(), "{cut}");
        }
        assert_eq!(Delivery::decode(&[good.clone(), vec![0]].concat()), Err(BadDelivery::Malformed));
        assert_eq!(Delivery::decode(&[2, 0]), Err(BadDelivery::Version(2)));
        // A length that promises far more than there is.
        assert_eq!(Delivery::decode(&[1, 0xff, 0xff, 0xff, 0xff, 0x0f]), Err(BadDelivery::Malformed));
    }
}
