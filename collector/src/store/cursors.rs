//! How far each outlet is in the outbox, and which events were held back from it.
//!
//! *Invariants*: a cursor moves only from where its outlet has read it, so a replay that is asked for while
//! something is being sent is not undone. An event that is held back is written down in the transaction that
//! moves the cursor over it, and forgotten in the one that moves it over the event delivered.

use cprvagt_report::Moment;
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection as _, SqliteConnection};

use super::column::{Columns, integer, micros};
use super::{Store, StoreError};

/// How far an outlet is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cursor {
    /// All up to here is told, or held back.
    pub last_id: i64,
    /// How often a replay was asked for.
    pub rewinds: u64,
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

/// An outlet that has told, tried or held back something.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutletRow {
    /// Its name.
    pub outlet: String,
    /// How far it is.
    pub cursor: Cursor,
    /// Events behind its cursor.
    pub waiting: u64,
    /// Events held back from it.
    pub held_back: u64,
}

/// An event that was not let out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeldBack {
    /// The outlet.
    pub outlet: String,
    /// The event's number in the outbox.
    pub id: i64,
    /// Why, in words without content.
    pub reason: String,
    /// When, by this collector's clock.
    pub at: Moment,
}

impl Store {
    /// How far `outlet` is; at the start when it never told anything.
    ///
    /// # Errors
    /// The database fails.
    pub async fn cursor(&self, outlet: &str) -> Result<Cursor, StoreError> {
        let row = sqlx::query("SELECT * FROM outlet_cursors WHERE outlet = ?").bind(outlet);
        let row = row.fetch_optional(self.readers()).await?;
        row.map_or_else(|| Ok(Cursor::default()), |row| Cursor::read(&row))
    }

    /// `outlet` has told everything after `from` up to `to`, and works. False, and nothing is done, when its
    /// cursor is no longer `from`: a replay was asked for meanwhile.
    ///
    /// # Errors
    /// The database fails; nothing was done then.
    pub async fn advance(&self, outlet: &str, from: &Cursor, to: i64) -> Result<bool, StoreError> {
        let mut writer = self.writer().await;
        let mut transaction = writer.connection.begin_with("BEGIN IMMEDIATE").await?;
        let moved = step(&mut transaction, outlet, from, to).await?;
        if moved {
            let query = sqlx::query("DELETE FROM held_back WHERE outlet = ? AND id > ? AND id <= ?");
            query.bind(outlet).bind(from.last_id).bind(to).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(moved)
    }

    /// The event `id`, the next after `from`, is held back from `outlet`, whose cursor moves over it. False, and
    /// nothing is done, as with [`Store::advance`].
    ///
    /// # Errors
    /// The database fails; nothing was done then.
    pub async fn hold_back(
        &self,
        outlet: &str,
        from: &Cursor,
        id: i64,
        reason: &str,
        now: Moment,
    ) -> Result<bool, StoreError> {
        let mut writer = self.writer().await;
        let mut transaction = writer.connection.begin_with("BEGIN IMMEDIATE").await?;
        let moved = step(&mut transaction, outlet, from, id).await?;
        if moved {
            let query = sqlx::query(
                "INSERT INTO held_back (outlet, id, reason, at) VALUES (?, ?, ?, ?) ON CONFLICT \
                 DO UPDATE SET reason = excluded.reason, at = excluded.at",
            );
            let query = query.bind(outlet).bind(id).bind(reason).bind(micros(now));
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(moved)
    }

    /// `outlet` failed and is to be tried again at `next_try_at`.
    ///
    /// # Errors
    /// The database fails.
    pub async fn failed(&self, outlet: &str, error: &str, next_try_at: Moment) -> Result<(), StoreError> {
        let query = sqlx::query(
            "INSERT INTO outlet_cursors (outlet, attempts, next_try_at, last_error) \
             VALUES (?, 1, ?, ?) ON CONFLICT (outlet) DO UPDATE SET attempts = attempts + 1, \
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
            "INSERT INTO outlet_cursors (outlet, last_id, rewinds) VALUES (?, ?, 1) ON CONFLICT (outlet) \
             DO UPDATE SET last_id = excluded.last_id, rewinds = rewinds + 1, attempts = 0, \
             next_try_at = NULL, last_error = NULL",
        );
        query.bind(outlet).bind(before).execute(&mut *transaction).await?;
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox WHERE id > ?")
            .bind(before)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(rows.unsigned_abs())
    }

    /// All outlets that ever told, tried or held back something, by name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn outlets(&self) -> Result<Vec<OutletRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT c.*, (SELECT count(*) FROM outbox o WHERE o.id > c.last_id) AS waiting, \
             (SELECT count(*) FROM held_back h WHERE h.outlet = c.outlet) AS held_back \
             FROM outlet_cursors c ORDER BY outlet",
        );
        rows.fetch_all(self.readers()).await?.iter().map(OutletRow::read).collect()
    }

    /// At most `limit` events held back, the latest first, from `outlet` or from any.
    ///
    /// # Errors
    /// The database fails.
    pub async fn held_back(&self, outlet: Option<&str>, limit: u32) -> Result<Vec<HeldBack>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM held_back WHERE ?1 IS NULL OR outlet = ?1 ORDER BY at DESC, id DESC LIMIT ?2",
        );
        let rows = rows.bind(outlet).bind(limit).fetch_all(self.readers()).await?;
        rows.iter().map(HeldBack::read).collect()
    }

    /// How many events are held back from `outlet`, and the last of them.
    ///
    /// # Errors
    /// The database fails.
    pub async fn held_back_count(&self, outlet: &str) -> Result<(u64, Option<i64>), StoreError> {
        let row = sqlx::query("SELECT count(*) AS count, max(id) AS last FROM held_back WHERE outlet = ?");
        let row = row.bind(outlet).fetch_one(self.readers()).await?;
        Ok((Columns(&row).count("count")?, Columns(&row).get("last")?))
    }
}

/// Moves the cursor from `from` on to `to`, if it stands there.
async fn step(
    connection: &mut SqliteConnection,
    outlet: &str,
    from: &Cursor,
    to: i64,
) -> Result<bool, StoreError> {
    let there = sqlx::query("INSERT INTO outlet_cursors (outlet) VALUES (?) ON CONFLICT DO NOTHING");
    there.bind(outlet).execute(&mut *connection).await?;
    let query = sqlx::query(
        "UPDATE outlet_cursors SET last_id = ?1, attempts = 0, next_try_at = NULL, last_error = NULL \
         WHERE outlet = ?2 AND last_id = ?3 AND rewinds = ?4 AND last_id <= ?1",
    );
    let query = query.bind(to).bind(outlet).bind(from.last_id).bind(integer(from.rewinds));
    Ok(query.execute(connection).await?.rows_affected() > 0)
}

/// The row before the first one written at `time` or later.
async fn last_before(connection: &mut SqliteConnection, time: Moment) -> Result<i64, StoreError> {
    let query = "SELECT coalesce((SELECT min(id) - 1 FROM outbox WHERE made_at >= ?), \
                 (SELECT max(id) FROM outbox), 0)";
    Ok(sqlx::query_scalar(query).bind(micros(time)).fetch_one(connection).await?)
}

impl Cursor {
    fn read(row: &SqliteRow) -> Result<Self, StoreError> {
        let row = Columns(row);
        Ok(Self {
            last_id: row.get("last_id")?,
            rewinds: row.count("rewinds")?,
            attempts: row.get("attempts")?,
            next_try_at: row.moment_maybe("next_try_at")?,
            last_error: row.get("last_error")?,
        })
    }

    /// Whether neither the outlet nor a replay has moved it since `other` was read.
    pub fn stands_as(&self, other: &Self) -> bool {
        (self.last_id, self.rewinds) == (other.last_id, other.rewinds)
    }
}

impl OutletRow {
    fn read(row: &SqliteRow) -> Result<Self, StoreError> {
        let columns = Columns(row);
        Ok(Self {
            outlet: columns.get("outlet")?,
            cursor: Cursor::read(row)?,
            waiting: columns.count("waiting")?,
            held_back: columns.count("held_back")?,
        })
    }
}

impl HeldBack {
    fn read(row: &SqliteRow) -> Result<Self, StoreError> {
        let row = Columns(row);
        Ok(Self {
            outlet: row.get("outlet")?,
            id: row.get("id")?,
            reason: row.get("reason")?,
            at: row.moment("at")?,
        })
    }
}
