//! What outlets are to be told: rows written with the change that they tell, and how far each outlet is.
//!
//! *Invariants*: ids rise in the order of commits and are never used twice. A cursor moves on only when its
//! outlet says so.

use std::time::Duration;

use cprvagt_report::Moment;
use jiff::Timestamp;
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

/// How far an outlet is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cursor {
    /// All up to here is told.
    pub last_id: i64,
    /// Failures in a row.
    pub attempts: u32,
    /// Not before this time.
    pub next_try_at: Option<Moment>,
    /// Why it failed last.
    pub last_error: Option<String>,
}

/// Where to tell again from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReplayFrom {
    /// This row is the first.
    Id(i64),
    /// The first row written at this time or later.
    Time(Moment),
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

    /// At most `limit` rows after `id`, in order.
    ///
    /// # Errors
    /// The database fails.
    pub async fn outbox_after(&self, id: i64, limit: u32) -> Result<Vec<OutboxRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, incident, change, made_at, event FROM outbox WHERE id > ? ORDER BY id LIMIT ?",
        );
        let rows = rows.bind(id).bind(limit).fetch_all(self.readers()).await?;
        rows.iter().map(OutboxRow::read).collect()
    }

    /// How far `outlet` is; at the start when it never told anything.
    ///
    /// # Errors
    /// The database fails.
    pub async fn cursor(&self, outlet: &str) -> Result<Cursor, StoreError> {
        let row = sqlx::query("SELECT * FROM outlet_cursors WHERE outlet = ?").bind(outlet);
        let row = row.fetch_optional(self.readers()).await?;
        row.map_or_else(|| Ok(Cursor::default()), |row| Cursor::read(&row))
    }

    /// `outlet` has told everything up to `id`, and works. It never goes back by this.
    ///
    /// # Errors
    /// The database fails.
    pub async fn advance(&self, outlet: &str, id: i64) -> Result<(), StoreError> {
        let query = sqlx::query(
            "INSERT INTO outlet_cursors (outlet, last_id, attempts) VALUES (?, ?, 0) ON CONFLICT (outlet) \
             DO UPDATE SET last_id = max(last_id, excluded.last_id), attempts = 0, next_try_at = NULL, \
             last_error = NULL",
        );
        query.bind(outlet).bind(id).execute(&mut self.writer().await.connection).await?;
        Ok(())
    }

    /// `outlet` failed and is to be tried again at `next_try_at`.
    ///
    /// # Errors
    /// The database fails.
    pub async fn failed(&self, outlet: &str, error: &str, next_try_at: Moment) -> Result<(), StoreError> {
        let query = sqlx::query(
            "INSERT INTO outlet_cursors (outlet, last_id, attempts, next_try_at, last_error) \
             VALUES (?, 0, 1, ?, ?) ON CONFLICT (outlet) DO UPDATE SET attempts = attempts + 1, \
             next_try_at = excluded.next_try_at, last_error = excluded.last_error",
        );
        let query = query.bind(outlet).bind(micros(next_try_at)).bind(error);
        query.execute(&mut self.writer().await.connection).await?;
        Ok(())
    }

    /// `outlet` tells again from `from`, at once; returns how many rows that are.
    ///
    /// # Errors
    /// The database fails.
    pub async fn rewind(&self, outlet: &str, from: ReplayFrom) -> Result<u64, StoreError> {
        let mut writer = self.writer().await;
        let mut transaction = writer.connection.begin_with("BEGIN IMMEDIATE").await?;
        let before = match from {
            ReplayFrom::Id(id) => id.saturating_sub(1).max(0),
            ReplayFrom::Time(time) => last_before(&mut transaction, time).await?,
        };
        let query = sqlx::query(
            "INSERT INTO outlet_cursors (outlet, last_id, attempts) VALUES (?, ?, 0) ON CONFLICT (outlet) \
             DO UPDATE SET last_id = excluded.last_id, attempts = 0, next_try_at = NULL, last_error = NULL",
        );
        query.bind(outlet).bind(before).execute(&mut *transaction).await?;
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox WHERE id > ?")
            .bind(before)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(rows.unsigned_abs())
    }
}

/// The row before the first one written at `time` or later.
async fn last_before(connection: &mut SqliteConnection, time: Moment) -> Result<i64, StoreError> {
    let query = "SELECT coalesce((SELECT min(id) - 1 FROM outbox WHERE made_at >= ?), \
                 (SELECT max(id) FROM outbox), 0)";
    Ok(sqlx::query_scalar(query).bind(micros(time)).fetch_one(connection).await?)
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

impl Cursor {
    fn read(row: &SqliteRow) -> Result<Self, StoreError> {
        let row = Columns(row);
        Ok(Self {
            last_id: row.get("last_id")?,
            attempts: row.get("attempts")?,
            next_try_at: row.moment_maybe("next_try_at")?,
            last_error: row.get("last_error")?,
        })
    }

    /// Whether the outlet may try at `now`.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.next_try_at.is_none_or(|next| next.0 <= now)
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
