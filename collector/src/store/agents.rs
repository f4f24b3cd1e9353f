//! Agents: who may report, and when each was last heard of.

use cprvagt_report::{AgentId, Host, Moment};
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection as _, SqliteConnection};

use super::bulk::{self, Statement};
use super::column::{Columns, micros};
use super::{Store, StoreError};
use crate::occurrence::Rescrub;

/// A new agent.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentRecord {
    /// Its id.
    pub agent: AgentId,
    /// Its host, as it says; scrubbed once more here.
    pub host: Host,
    /// When it enrols.
    pub enrolled_at: Moment,
}

/// An agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AgentRow {
    /// Its id.
    pub agent: AgentId,
    /// Its host's name.
    pub host: String,
    /// Its host's id: 32 hex digits.
    pub host_id: String,
    /// When it enrolled.
    pub enrolled_at: Moment,
    /// Serial number of its newest certificate, as text.
    pub serial: Option<String>,
    /// When that certificate ends.
    pub expires_at: Option<Moment>,
    /// When it was last heard of.
    pub last_seen_at: Option<Moment>,
    /// Since when it may report no more.
    pub revoked_at: Option<Moment>,
    /// Gap records of it.
    pub gaps: u64,
    /// Reports set aside and ledgers of it that went because there were too many.
    pub dropped: u64,
}

impl Store {
    /// All agents, by host name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn agents(&self) -> Result<Vec<AgentRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT a.*, (SELECT count(*) FROM gaps g WHERE g.agent = a.id) AS gaps, \
             (SELECT coalesce(sum(count), 0) FROM dropped d WHERE d.agent = a.id) AS dropped FROM agents a \
             ORDER BY host, id",
        );
        let rows = rows.fetch_all(self.readers()).await?;
        rows.iter().map(AgentRow::read).collect()
    }

    /// Whether `agent` has enrolled and may report.
    ///
    /// # Errors
    /// The database fails.
    pub async fn is_active(&self, agent: AgentId) -> Result<bool, StoreError> {
        let query = "SELECT EXISTS (SELECT 1 FROM agents WHERE id = ? AND revoked_at IS NULL)";
        Ok(sqlx::query_scalar(query).bind(key(agent)).fetch_one(self.readers()).await?)
    }

    /// `agent` was given a certificate; false when there is no such agent, or it was revoked.
    ///
    /// # Errors
    /// The database fails.
    pub async fn note_certificate(
        &self,
        agent: AgentId,
        serial: &str,
        expires_at: Moment,
    ) -> Result<bool, StoreError> {
        let query =
            sqlx::query("UPDATE agents SET serial = ?, expires_at = ? WHERE id = ? AND revoked_at IS NULL");
        let query = query.bind(serial).bind(micros(expires_at)).bind(key(agent));
        Ok(query.execute(&mut self.writer().await.connection).await?.rows_affected() > 0)
    }

    /// `agent` may report no more; false when there is no such agent, or it was revoked before.
    ///
    /// # Errors
    /// The database fails.
    pub async fn revoke(&self, agent: AgentId, now: Moment) -> Result<bool, StoreError> {
        let query = sqlx::query("UPDATE agents SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL");
        let query = query.bind(micros(now)).bind(key(agent));
        Ok(query.execute(&mut self.writer().await.connection).await?.rows_affected() > 0)
    }

    /// These agents were heard of at these times; in bulk, since each call is one transaction.
    ///
    /// # Errors
    /// The database fails.
    pub async fn seen(&self, agents: &[(AgentId, Moment)]) -> Result<(), StoreError> {
        let mut writer = self.writer().await;
        let mut transaction = writer.connection.begin_with("BEGIN IMMEDIATE").await?;
        let statement = Statement {
            head: "WITH heard (agent, at) AS (VALUES ",
            width: 2,
            tail: ") UPDATE agents SET last_seen_at = max(coalesce(last_seen_at, heard.at), heard.at) \
                   FROM heard WHERE agents.id = heard.agent",
        };
        bulk::run(&mut transaction, &statement, agents, |query, (agent, at)| {
            query.bind(key(*agent)).bind(micros(*at))
        })
        .await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Writes a new agent.
pub(super) async fn add(connection: &mut SqliteConnection, record: &AgentRecord) -> Result<(), StoreError> {
    let host = Rescrub::default().host(record.host.clone());
    let query = sqlx::query("INSERT INTO agents (id, host, host_id, enrolled_at) VALUES (?, ?, ?, ?)");
    let query = query.bind(key(record.agent)).bind(host.name.as_str()).bind(host.id.to_string());
    query.bind(micros(record.enrolled_at)).execute(connection).await?;
    Ok(())
}

/// An agent's id as the columns hold it.
pub(super) fn key(agent: AgentId) -> Vec<u8> {
    agent.0.as_bytes().to_vec()
}

impl AgentRow {
    fn read(row: &SqliteRow) -> Result<Self, StoreError> {
        let row = Columns(row);
        Ok(Self {
            agent: row.agent("id")?,
            host: row.get("host")?,
            host_id: row.get("host_id")?,
            enrolled_at: row.moment("enrolled_at")?,
            serial: row.get("serial")?,
            expires_at: row.moment_maybe("expires_at")?,
            last_seen_at: row.moment_maybe("last_seen_at")?,
            revoked_at: row.moment_maybe("revoked_at")?,
            gaps: row.count("gaps")?,
            dropped: row.count("dropped")?,
        })
    }
}
