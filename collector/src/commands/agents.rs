//! `cprvagt-collector agents`: who is enrolled, and when each was last heard.

use std::io::Write;

use cprvagt_report::Moment;

use super::table::Table;
use super::{Failure, open};
use crate::config::Config;
use crate::store::AgentRow;

/// Lists agents, by host name.
///
/// # Errors
/// The data cannot be used.
pub(super) async fn run(config: &Config, out: &mut impl Write) -> Result<(), Failure> {
    let (_, store) = open(config).await?;
    let agents = store.agents().await?;
    if agents.is_empty() {
        writeln!(out, "no agents; make a token for one: cprvagt-collector token")?;
        return Ok(());
    }
    let mut table = Table::new(["host", "agent", "enrolled", "last heard", "certificate until", "gaps", ""]);
    agents.iter().for_each(|agent| table.row(cells(agent)));
    table.write(out)?;
    Ok(())
}

fn cells(agent: &AgentRow) -> [String; 7] {
    let time = |time: Option<Moment>| time.map_or_else(|| "-".to_owned(), |time| format!("{:.0}", time.0));
    [
        agent.host.clone(),
        agent.agent.to_string(),
        time(Some(agent.enrolled_at)),
        time(agent.last_seen_at),
        time(agent.expires_at),
        agent.gaps.to_string(),
        agent.revoked_at.map_or("", |_| "revoked").to_owned(),
    ]
}
