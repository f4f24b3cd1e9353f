//! Gaps: times in which a host may have leaked unseen.

use cprvagt_report::{AgentId, GapRecord, Ledger, Moment};
use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::column::{Columns, integer, micros};
use super::{Arrival, Store, StoreError, agents};
use crate::occurrence::Opened;

/// One gap record.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct GapRow {
    /// The agent.
    pub agent: AgentId,
    /// Its host's name.
    pub host: String,
    /// The spool's epoch.
    pub epoch: Uuid,
    /// The gap's number: that of its report.
    pub sequence: u64,
    /// Start, by the host's clock.
    pub from: Moment,
    /// End, by the host's clock.
    pub to: Moment,
    /// Why.
    pub reason: String,
    /// At least this many bytes were not seen.
    pub bytes_min: u64,
    /// Leaks that were found and could not be kept.
    pub leaks_lost: u64,
}

impl GapRow {
    /// The row; all columns must be there.
    pub(super) fn read(row: &SqliteRow) -> Result<Self, StoreError> {
        let row = Columns(row);
        Ok(Self {
            agent: row.agent("agent")?,
            host: row.get("host")?,
            epoch: Uuid::from_bytes(row.bytes("epoch")?),
            sequence: row.count("sequence")?,
            from: row.moment("from_at")?,
            to: row.moment("to_at")?,
            reason: row.get("reason")?,
            bytes_min: row.count("bytes_min")?,
            leaks_lost: row.count("leaks_lost")?,
        })
    }
}

impl Store {
    /// At most `limit` gaps, the latest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn gaps(&self, limit: u32) -> Result<Vec<GapRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM gaps ORDER BY to_at DESC LIMIT ?");
        let rows = rows.bind(limit).fetch_all(self.readers()).await?;
        rows.iter().map(GapRow::read).collect()
    }
}

/// Writes a gap of a new report.
pub(super) async fn add(
    connection: &mut SqliteConnection,
    arrival: &Arrival,
    opened: &Opened,
    entry: usize,
    record: &GapRecord,
) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO gaps (agent, epoch, sequence, entry, host, from_at, to_at, reason, bytes_min, leaks_lost) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    let gap = &record.gap;
    let query = query.bind(agents::key(arrival.agent)).bind(arrival.epoch.as_bytes().to_vec());
    let query = query.bind(integer(arrival.sequence)).bind(integer(entry as u64)).bind(opened.host.as_str());
    let query = query.bind(micros(gap.from)).bind(micros(gap.to)).bind(gap.reason.as_str());
    query.bind(integer(gap.bytes_min)).bind(integer(record.leaks_lost)).execute(connection).await?;
    Ok(())
}

/// Keeps a ledger, unless a later one of the same run is there.
pub(super) async fn add_ledger(
    connection: &mut SqliteConnection,
    agent: AgentId,
    host: &str,
    ledger: &Ledger,
) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO ledgers (agent, since, until, host, ledger) VALUES (?, ?, ?, ?, ?) ON CONFLICT \
         DO UPDATE SET until = excluded.until, host = excluded.host, ledger = excluded.ledger \
         WHERE until <= excluded.until",
    );
    let text = serde_json::to_string(ledger).expect("a ledger is plain data");
    let query = query.bind(agents::key(agent)).bind(micros(ledger.since)).bind(micros(ledger.until));
    query.bind(host).bind(text).execute(connection).await?;
    Ok(())
}
