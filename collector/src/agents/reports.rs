//! `POST /v1/reports`: a delivery in, receipts out once its effects are committed.
//!
//! The agent's turn, room for the body and places in the queue are taken before any work is done for it, and
//! what is not to be had is answered at once: the agent's spool is the place to wait in.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use cprvagt_report::{AgentId, DELIVERY_BYTES_MAX, DELIVERY_TYPE, Delivery, Envelope, Receipt, Receipts};

use super::refusal::Refused;
use super::{Desk, body};
use crate::listener::Peer;

pub(super) async fn answer(
    State(desk): State<Arc<Desk>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let agent = desk.agent(&peer).await?;
    if headers.get(header::CONTENT_TYPE).is_none_or(|given| given != DELIVERY_TYPE) {
        return Err(Refused::NO_DELIVERY);
    }
    let _turn = desk.turns.take(agent).ok_or(Refused::ONE_AT_A_TIME)?;
    let room = desk.bodies.try_acquire().map_err(|_| Refused::BUSY)?;
    let delivery = decode(&body::whole(body, DELIVERY_BYTES_MAX).await?)?;
    let receipts = desk.receipts(agent, delivery, room).await?;
    Ok(([(header::CONTENT_TYPE, DELIVERY_TYPE)], receipts.encode()).into_response())
}

fn decode(bytes: &Bytes) -> Result<Delivery, Refused> {
    metrics::counter!("ingest_delivery_bytes_total").increment(bytes.len() as u64);
    let delivery = Delivery::decode(bytes)?;
    let is_numbered = |report: &Envelope| (1..=i64::MAX as u64).contains(&report.sequence);
    if delivery.reports.iter().all(is_numbered) { Ok(delivery) } else { Err(Refused::NUMBERS) }
}

impl Desk {
    async fn receipts(
        &self,
        agent: AgentId,
        delivery: Delivery,
        room: tokio::sync::SemaphorePermit<'_>,
    ) -> Result<Receipts, Refused> {
        if delivery.reports.is_empty() {
            return Ok(Receipts::default());
        }
        metrics::counter!("ingest_reports_received_total").increment(delivery.reports.len() as u64);
        let places = self.ingest.reserve(delivery.reports.len())?;
        let arrivals = self.opener.open(agent, delivery).await?;
        drop(room);
        let numbers: Vec<_> = arrivals.iter().map(|arrival| (arrival.epoch, arrival.sequence)).collect();
        let outcomes = places.put(arrivals).await?;
        let receipts = numbers.into_iter().zip(outcomes);
        let receipts = receipts.map(|((epoch, sequence), outcome)| Receipt { epoch, sequence, outcome });
        Ok(Receipts { receipts: receipts.collect() })
    }
}
