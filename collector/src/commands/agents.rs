//! `cprvagt-collector agents`: who is enrolled, when each was last heard, and who may report no more.

use std::io::Write;

use cprvagt_report::{AgentId, Moment};

use super::table::Table;
use super::{Failure, open};
use crate::cli::{self, Exit};
use crate::config::Config;
use crate::store::{AgentRow, Store};

/// Lists agents, by host name, or revokes one.
///
/// # Errors
/// There is no such agent, or the data cannot be used.
pub(super) async fn run(config: &Config, options: &cli::Agents, out: &mut impl Write) -> Result<(), Failure> {
    let (_, store) = open(config).await?;
    match &options.what {
        None => listed(&store.agents().await?, out),
        Some(cli::AgentsCommand::Revoke(revoked)) => revoke(&store, revoked.agent, out).await,
    }
}

fn listed(agents: &[AgentRow], out: &mut impl Write) -> Result<(), Failure> {
    if agents.is_empty() {
        writeln!(out, "no agents; make a token for one: cprvagt-collector token")?;
        return Ok(());
    }
    let headings =
        ["host", "agent", "enrolled", "last heard", "certificate until", "gaps", "dropped", "revoked"];
    let mut table = Table::new(headings);
    agents.iter().for_each(|agent| table.row(cells(agent)));
    table.write(out)?;
    Ok(())
}

fn cells(agent: &AgentRow) -> [String; 8] {
    let time = |time: Option<Moment>| time.map_or_else(|| "-".to_owned(), |time| format!("{:.0}", time.0));
    [
        agent.host.clone(),
        agent.agent.to_string(),
        time(Some(agent.enrolled_at)),
        time(agent.last_seen_at),
        time(agent.expires_at),
        agent.gaps.to_string(),
        agent.dropped.to_string(),
        time(agent.revoked_at),
    ]
}

async fn revoke(store: &Store, agent: AgentId, out: &mut impl Write) -> Result<(), Failure> {
    let is_new = store.revoke(agent, Moment::now()).await?;
    let Some(row) = store.agents().await?.into_iter().find(|row| row.agent == agent) else {
        let text = format!("there is no agent {agent}; list them: cprvagt-collector agents");
        return Err(Failure::new(Exit::Config, text));
    };
    match is_new {
        true => writeln!(out, "agent {agent} of host {} is refused from its next request on", row.host)?,
        false => writeln!(out, "agent {agent} of host {} was revoked before", row.host)?,
    }
    Ok(())
}
