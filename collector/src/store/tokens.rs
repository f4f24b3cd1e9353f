//! One-time tokens: a hash of each, and what became of it.
//!
//! *Invariants*: a token makes one agent. The same request with the same token is answered again, since an
//! answer may be lost; another request is not.

use cprvagt_report::{AgentId, Moment};
use sqlx::Connection as _;
use sqlx::sqlite::SqliteRow;

use super::agents::{self, AgentRecord};
use super::column::{Columns, micros};
use super::{Store, StoreError};

/// What came of using a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TokenUse {
    /// There is no such token.
    Unknown,
    /// It was not used in time.
    Expired,
    /// Another request used it.
    UsedAlready,
    /// The same request used it, and made this agent; it gets its answer again.
    Again(AgentId),
    /// It made this agent.
    Enrolled(AgentId),
}

/// A token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenRow {
    /// What it was made for.
    pub note: Option<String>,
    /// When it was made.
    pub made_at: Moment,
    /// When it ends.
    pub expires_at: Moment,
    /// When it was used.
    pub used_at: Option<Moment>,
    /// The agent that it made.
    pub agent: Option<AgentId>,
}

impl Store {
    /// Keeps the token whose secret has this hash.
    ///
    /// # Errors
    /// There is such a token already, or the database fails.
    pub async fn add_token(
        &self,
        hash: &[u8; 32],
        made_at: Moment,
        expires_at: Moment,
        note: Option<&str>,
    ) -> Result<(), StoreError> {
        let query = sqlx::query(
            "INSERT INTO tokens (hash, note, made_at, expires_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        );
        let query = query.bind(hash.to_vec()).bind(note).bind(micros(made_at)).bind(micros(expires_at));
        let done = query.execute(&mut self.writer().await.connection).await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Refused("there is such a token already"));
        }
        Ok(())
    }

    /// Uses the token with this hash for the signing request with that hash, and adds the agent, at once or
    /// not at all. The time of the use is `record.enrolled_at`.
    ///
    /// # Errors
    /// The database fails; the token was not used then.
    pub async fn use_token(
        &self,
        hash: &[u8; 32],
        request_hash: &[u8; 32],
        record: &AgentRecord,
    ) -> Result<TokenUse, StoreError> {
        let mut writer = self.writer().await;
        let mut transaction = writer.connection.begin_with("BEGIN IMMEDIATE").await?;
        let token = sqlx::query("SELECT expires_at, agent, request_hash FROM tokens WHERE hash = ?");
        let token = token.bind(hash.to_vec()).fetch_optional(&mut *transaction).await?;
        let refusal = token.map(|row| refusal(&row, request_hash, record.enrolled_at)).transpose()?;
        if let Some(refusal) = refusal.unwrap_or(Some(TokenUse::Unknown)) {
            return Ok(refusal);
        }
        agents::add(&mut transaction, record).await?;
        let used = sqlx::query("UPDATE tokens SET used_at = ?, agent = ?, request_hash = ? WHERE hash = ?");
        let used = used.bind(micros(record.enrolled_at)).bind(agents::key(record.agent));
        used.bind(request_hash.to_vec()).bind(hash.to_vec()).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(TokenUse::Enrolled(record.agent))
    }

    /// All tokens, the newest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM tokens ORDER BY made_at DESC").fetch_all(self.readers()).await?;
        rows.iter().map(TokenRow::read).collect()
    }
}

/// Why the token makes no agent; `None` when it does.
fn refusal(row: &SqliteRow, request_hash: &[u8; 32], now: Moment) -> Result<Option<TokenUse>, StoreError> {
    let row = Columns(row);
    if row.get::<Option<&[u8]>>("agent")?.is_some() {
        let is_same = row.bytes::<32>("request_hash")? == *request_hash;
        let agent = row.agent("agent")?;
        return Ok(Some(if is_same { TokenUse::Again(agent) } else { TokenUse::UsedAlready }));
    }
    Ok((row.moment("expires_at")? <= now).then_some(TokenUse::Expired))
}

impl TokenRow {
    fn read(row: &SqliteRow) -> Result<Self, StoreError> {
        let row = Columns(row);
        let has_agent = row.get::<Option<&[u8]>>("agent")?.is_some();
        Ok(Self {
            note: row.get("note")?,
            made_at: row.moment("made_at")?,
            expires_at: row.moment("expires_at")?,
            used_at: row.moment_maybe("used_at")?,
            agent: has_agent.then(|| row.agent("agent")).transpose()?,
        })
    }
}
