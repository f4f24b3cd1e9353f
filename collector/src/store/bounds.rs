//! What one agent can fill, and what goes when it has too much.
//!
//! *Invariants*: what goes is counted in the same transaction, and so shows; the newest stays.
//! *Limits*: of reports set aside [`SET_ASIDE_MAX`] and [`SET_ASIDE_BYTES_MAX`] of each agent; of ledgers
//! [`LEDGERS_MAX`] and [`LEDGER_BYTES_MAX`] of each agent; [`TRACES_MAX`] of each incident. Receipts,
//! gaps, occurrences and incidents have no bound: each stands for something that must not be forgotten.

use cprvagt_report::AgentId;
use sqlx::SqliteConnection;

use super::column::{Columns, integer};
use super::{StoreError, agents};

/// Most reports set aside that are kept of one agent.
pub const SET_ASIDE_MAX: u32 = 1000;
/// Most bytes of them.
pub const SET_ASIDE_BYTES_MAX: u32 = 64 << 20;
/// Most ledgers that are kept of one agent: one for each of its runs.
pub const LEDGERS_MAX: u32 = 100;
/// Most bytes of them.
pub const LEDGER_BYTES_MAX: u32 = 64 << 20;
/// Most traces of one incident that are told apart. What comes beyond is told by agent, encryption, direction
/// and kind of number alone.
pub const TRACES_MAX: u64 = 10_000;

/// What there is too much of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// As the table `dropped` has it.
    what: &'static str,
    /// Deletes what is beyond the bounds ?2 and ?3 of agent ?1, and returns the times of what went.
    delete: &'static str,
    rows_max: u32,
    bytes_max: u32,
}

/// Reports set aside.
pub(super) const SET_ASIDE: Kept = Kept {
    what: "set-aside",
    delete: "DELETE FROM set_aside WHERE rowid IN (SELECT rowid FROM (SELECT rowid, row_number() OVER newest \
             AS rows, sum(octet_length(sealed)) OVER newest AS bytes FROM set_aside WHERE agent = ?1 \
             WINDOW newest AS (ORDER BY rowid DESC)) WHERE rows > ?2 OR bytes > ?3) RETURNING received_at AS at",
    rows_max: SET_ASIDE_MAX,
    bytes_max: SET_ASIDE_BYTES_MAX,
};

/// Ledgers, by the end of the time that they account for.
pub(super) const LEDGERS: Kept = Kept {
    what: "ledger",
    delete: "DELETE FROM ledgers WHERE agent = ?1 AND since IN (SELECT since FROM (SELECT since, row_number() \
             OVER newest AS rows, sum(octet_length(ledger)) OVER newest AS bytes FROM ledgers WHERE agent = ?1 \
             WINDOW newest AS (ORDER BY until DESC, since DESC)) WHERE rows > ?2 OR bytes > ?3) \
             RETURNING until AS at",
    rows_max: LEDGERS_MAX,
    bytes_max: LEDGER_BYTES_MAX,
};

/// Takes away what `agent` has beyond the bounds; returns how many rows that were.
pub(super) async fn trim(
    connection: &mut SqliteConnection,
    kept: Kept,
    agent: AgentId,
) -> Result<u64, StoreError> {
    let gone = sqlx::query(kept.delete).bind(agents::key(agent)).bind(kept.rows_max).bind(kept.bytes_max);
    let gone = gone.fetch_all(&mut *connection).await?;
    let times = gone.iter().map(|row| Columns(row).get::<i64>("at"));
    let Some(last) = times.collect::<Result<Vec<_>, _>>()?.into_iter().max() else { return Ok(0) };
    let count = gone.len() as u64;
    let query = sqlx::query(
        "INSERT INTO dropped (agent, what, count, until) VALUES (?, ?, ?, ?) ON CONFLICT \
         DO UPDATE SET count = count + excluded.count, until = max(until, excluded.until)",
    );
    let query = query.bind(agents::key(agent)).bind(kept.what).bind(integer(count)).bind(last);
    query.execute(connection).await?;
    Ok(count)
}

#[cfg(test)]
#[path = "bounds_tests.rs"]
mod tests;
