//! `/agenter`: the hosts that are watched, and when they were not.

use askama::Template;
use axum::extract::{Extension, State};
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};

use super::danish::{self, Time};
use super::frame::{Frame, Here, page};
use super::loss::GapLine;
use super::refusal::Refused;
use super::session::Signed;
use super::{Mark, Web};
use crate::store::AgentRow;

/// Gaps shown.
const GAPS_MAX: u32 = 200;
/// An agent not heard of for so long is shown as silent.
const SILENT: SignedDuration = SignedDuration::from_mins(15);

#[derive(Template)]
#[template(path = "agents.html")]
struct AgentsPage {
    frame: Frame,
    count: String,
    agents: Vec<AgentLine>,
    gaps: Vec<GapLine>,
}

struct AgentLine {
    host: String,
    id: String,
    state: Mark,
    seen: Option<Time>,
    enrolled: Time,
    expires: Option<Time>,
    gaps: String,
}

/// `GET /agenter`.
pub async fn show(State(web): State<Web>, Extension(signed): Extension<Signed>) -> Result<Response, Refused> {
    let now = Timestamp::now();
    let agents: Vec<AgentLine> = web.store.agents().await?.into_iter().map(|row| line(row, now)).collect();
    let gaps = web.store.gaps(GAPS_MAX).await?.into_iter().map(GapLine::of).collect();
    let count = danish::counted(agents.len() as u64, "agent", "agenter");
    let frame = Frame::new(Some(signed.name), Here::Agents);
    Ok(page(&AgentsPage { frame, count, agents, gaps }))
}

fn line(row: AgentRow, now: Timestamp) -> AgentLine {
    AgentLine {
        state: state(&row, now),
        gaps: danish::number(row.gaps),
        host: row.host,
        id: row.agent.0.to_string(),
        seen: row.last_seen_at.map(|at| Time::of(at.0)),
        enrolled: Time::of(row.enrolled_at.0),
        expires: row.expires_at.map(|at| Time::of(at.0)),
    }
}

fn state(row: &AgentRow, now: Timestamp) -> Mark {
    let expired = row.expires_at.is_some_and(|at| at.0 <= now);
    match row.last_seen_at {
        _ if row.revoked_at.is_some() => Mark::new("quiet", "Spærret"),
        _ if expired => Mark::new("critical", "Certifikat udløbet"),
        None => Mark::new("medium", "Aldrig set"),
        Some(at) if now.duration_since(at.0) > SILENT => Mark::new("high", "Tavs"),
        Some(_) => Mark::new("sealed", "Aktiv"),
    }
}
