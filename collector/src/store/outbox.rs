//! What outlets are to be told: rows written with the change that they tell.
//!
//! *Invariants*: ids rise in the order of commits and are never used twice.

use std::time::Duration;

use cprvagt_report::Moment;
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection as _, SqliteConnection};

use super::column::{Columns, micros};
use super::event::{self, Change, IncidentEvent};
use super::{Store, StoreError};
use crate::fingerprint::IncidentId;

/// Most incidents whose changes one call tells.
const CHANGES_MAX: u32 = 500;

/// One thing to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxRow {
    /// Its number; rises, with holes.
    pub id: i64,
    /// The incident.
    pub incident: IncidentId,
    /// Why.
    pub change: Change,
    /// When it was written, by this collector's clock.
    pub made_at: Moment,
    /// The incident as it stood then.
    pub event: IncidentEvent,
}

impl Store {
    /// Writes `updated` rows for incidents that changed since they were told, at most one an incident in
    /// `quiet_for`; returns how many. A clock that was set back does not hold them up.
    ///
    /// # Errors
    /// The database fails; nothing was written then.
    pub async fn mark_changes(&self, now: Moment, quiet_for: Duration) -> Result<u64, StoreError> {
        let mut writer = self.writer().await;
        let mut transaction = writer.connection.begin_with("BEGIN IMMEDIATE").await?;
        let now_micros = micros(now);
        let quiet = i64::try_from(quiet_for.as_micros()).unwrap_or(i64::MAX);
        let keys: Vec<i64> = sqlx::query_scalar(
            "SELECT key FROM incidents WHERE untold = 1 AND (told_at <= ? OR told_at > ?) \
             ORDER BY told_at LIMIT ?",
        )
        .bind(now_micros.saturating_sub(quiet))
        .bind(now_micros)
        .bind(CHANGES_MAX)
        .fetch_all(&mut *transaction)
        .await?;
        for key in &keys {
            tell(&mut transaction, *key, Change::Updated, now).await?;
        }
        transaction.commit().await?;
        Ok(keys.len() as u64)
    }

    /// At most `limit` rows after `id`, in order, and none behind one that cannot be read.
    ///
    /// # Errors
    /// The first of them cannot be read ([`StoreError::Unreadable`]), or the database fails.
    pub async fn outbox_after(&self, id: i64, limit: u32) -> Result<Vec<OutboxRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, incident, change, made_at, event FROM outbox WHERE id > ? ORDER BY id LIMIT ?",
        );
        let rows = rows.bind(id).bind(limit).fetch_all(self.readers()).await?;
        let mut read = Vec::with_capacity(rows.len());
        for row in &rows {
            match OutboxRow::read(row) {
                Ok(row) => read.push(row),
                Err(_) if read.is_empty() => return Err(StoreError::Unreadable(Columns(row).get("id")?)),
                Err(_) => break,
            }
        }
        Ok(read)
    }
}

/// Writes the row that tells of an incident, and that it is told.
pub(super) async fn tell(
    connection: &mut SqliteConnection,
    incident: i64,
    change: Change,
    now: Moment,
) -> Result<(), StoreError> {
    let told =
        sqlx::query("UPDATE incidents SET told_at = ?, untold = 0, version = version + 1 WHERE key = ?");
    told.bind(micros(now)).bind(incident).execute(&mut *connection).await?;
    let event = event::of(connection, incident, change).await?;
    let text = serde_json::to_string(&event).expect("an event is plain data");
    let query = sqlx::query("INSERT INTO outbox (incident, change, made_at, event) VALUES (?, ?, ?, ?)");
    let query = query.bind(event.incident.id.0.to_vec()).bind(change.as_str()).bind(micros(now)).bind(text);
    query.execute(connection).await?;
    Ok(())
}

impl OutboxRow {
    fn read(row: &SqliteRow) -> Result<Self, StoreError> {
        let row = Columns(row);
        let event = serde_json::from_str(row.get("event")?);
        Ok(Self {
            id: row.get("id")?,
            incident: IncidentId(row.bytes("incident")?),
            change: row.word("change", Change::from_word)?,
            made_at: row.moment("made_at")?,
            event: event.map_err(|_| StoreError::Impossible("event"))?,
        })
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
