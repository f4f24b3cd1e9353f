//! `POST /v1/enrol`: a token becomes an agent.
//!
//! A token is good for one signing request. The same request with the same token again is answered again, so
//! that an answer lost on the way costs nothing.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::response::Response;
use cprvagt_report::{AgentId, EnrolAnswer, EnrolRequest, Host, Moment, Token};
use jiff::Timestamp;
use uuid::Uuid;

use super::refusal::Refused;
use super::{Desk, body};
use crate::authority::{Issued, Request};
use crate::listener::Peer;
use crate::store::{AgentRecord, TokenUse};

pub(super) async fn answer(
    State(desk): State<Arc<Desk>>,
    Extension(peer): Extension<Peer>,
    body: Body,
) -> Result<Response, Refused> {
    if !desk.may_enrol(&peer) {
        return Err(Refused::TOO_OFTEN);
    }
    let asked: EnrolRequest = body::json(body).await?;
    let request = Request::parse(&asked.request)?;
    let agent = desk.redeem(&asked.secret, &request, asked.host).await?;
    let issued = desk.issue(agent, &request).await?;
    metrics::counter!("agent_certificates_total", "why" => "enrol").increment(1);
    tracing::info!("agent {agent} enrolled from {}", peer.address.ip());
    Ok(body::told(&EnrolAnswer {
        agent,
        certificate: issued.pem,
        authority: desk.trusted_pem.clone(),
        sealing_key: desk.opener.sealing_key().public().clone(),
        expires_at: issued.expires_at,
    }))
}

impl Desk {
    fn may_enrol(&self, peer: &Peer) -> bool {
        let mut rate = self.enrolments.lock().unwrap_or_else(PoisonError::into_inner);
        rate.allows(peer.address.ip(), Instant::now())
    }

    /// The agent that the token makes of `host`, or made before for the same request.
    async fn redeem(&self, secret: &str, request: &Request, host: Host) -> Result<AgentId, Refused> {
        let hash = Token::hash_of_secret(secret).ok_or(Refused::TOKEN_UNKNOWN)?;
        let record = AgentRecord { agent: AgentId(Uuid::now_v7()), host, enrolled_at: Moment::now() };
        match self.store.use_token(&hash, &request.hash(), &record).await? {
            TokenUse::Enrolled(agent) => Ok(agent),
            TokenUse::Again(agent) if self.store.is_active(agent).await? => Ok(agent),
            TokenUse::Again(_) => Err(Refused::NOT_ACTIVE),
            TokenUse::UsedAlready => Err(Refused::TOKEN_USED),
            TokenUse::Expired => Err(Refused::TOKEN_EXPIRED),
            TokenUse::Unknown => Err(Refused::TOKEN_UNKNOWN),
        }
    }

    /// A certificate for `agent`, noted before it is handed out.
    pub(super) async fn issue(&self, agent: AgentId, request: &Request) -> Result<Issued, Refused> {
        let issued = self.authority.issue_agent(agent, request, self.certificate_days, Timestamp::now())?;
        let serial = data_encoding::HEXLOWER.encode(&issued.serial);
        match self.store.note_certificate(agent, &serial, issued.expires_at).await? {
            true => Ok(issued),
            false => Err(Refused::NOT_ACTIVE),
        }
    }
}
