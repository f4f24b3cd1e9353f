//! `POST /v1/renew`: the next certificate for an agent that shows a valid one.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::response::Response;
use cprvagt_report::{RenewAnswer, RenewRequest};

use super::refusal::Refused;
use super::{Desk, body};
use crate::authority::Request;
use crate::listener::Peer;

pub(super) async fn answer(
    State(desk): State<Arc<Desk>>,
    Extension(peer): Extension<Peer>,
    body: Body,
) -> Result<Response, Refused> {
    let agent = desk.agent(&peer).await?;
    let asked: RenewRequest = body::json(body).await?;
    let issued = desk.issue(agent, &Request::parse(&asked.request)?).await?;
    metrics::counter!("agent_certificates_total", "why" => "renew").increment(1);
    tracing::info!("agent {agent} has a new certificate until {}", issued.expires_at);
    Ok(body::told(&RenewAnswer { certificate: issued.pem, expires_at: issued.expires_at }))
}
