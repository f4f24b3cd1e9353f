//! Incidents as a list.

use cprvagt_report::{Moment, Part, Rule, Severity};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;

use super::column::{Columns, integer};
use super::{Store, StoreError};
use crate::fingerprint::IncidentId;

/// Most rows of one list.
pub const LIST_ROWS_MAX: u32 = 1000;

/// Which incidents to list; absent means any.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct IncidentQuery {
    /// The recipient site.
    pub site: Option<String>,
    /// The data controller.
    pub controller: Option<String>,
    /// The rule.
    pub rule: Option<Rule>,
    /// At most this many; 0 and more than [`LIST_ROWS_MAX`] mean that many.
    pub limit: u32,
    /// Leave out this many first.
    pub offset: u64,
}

/// One incident.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct IncidentRow {
    /// Its fingerprint.
    pub id: IncidentId,
    /// The data controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// The system that leaked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Who made or runs the system, as told last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// The recipient site: registrable domain, else name, else address, else `unknown`; `(server)`
    /// where this host answers and the message names no host.
    pub site: String,
    /// The gravest rule broken.
    pub rule: Rule,
    /// The part of the message.
    pub part: Part,
    /// The field, in shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The path, in shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The gravest of its occurrences.
    pub severity: Severity,
    /// Earliest occurrence, by the hosts' clocks.
    pub first_seen: Moment,
    /// Latest occurrence, by the hosts' clocks.
    pub last_seen: Moment,
    /// Leaks.
    pub occurrences: u64,
    /// Distinct citizens, exactly.
    pub citizens: u64,
    /// Occurrences that were encrypted on the wire.
    pub encrypted: u64,
    /// Occurrences that were readable on the wire.
    pub cleartext: u64,
    /// When the first report of it came in, by this collector's clock.
    pub created_at: Moment,
    /// When the last one came in.
    pub changed_at: Moment,
    /// How often outlets were told of it.
    pub version: u64,
}

impl IncidentRow {
    /// The row; all columns must be there.
    pub(super) fn read(row: &SqliteRow) -> Result<Self, StoreError> {
        let row = Columns(row);
        Ok(Self {
            id: IncidentId(row.bytes("id")?),
            controller: row.get("controller")?,
            system: row.get("system")?,
            vendor: row.get("vendor")?,
            site: row.get("site")?,
            rule: row.word("rule", Rule::from_word)?,
            part: row.word("part", Part::from_word)?,
            field: row.get("field")?,
            path: row.get("path")?,
            severity: row.ranked("severity", Severity::ALL)?,
            first_seen: row.moment("first_seen")?,
            last_seen: row.moment("last_seen")?,
            occurrences: row.count("occurrences")?,
            citizens: row.count("citizens")?,
            encrypted: row.count("encrypted")?,
            cleartext: row.count("cleartext")?,
            created_at: row.moment("created_at")?,
            changed_at: row.moment("changed_at")?,
            version: row.count("version")?,
        })
    }
}

impl Store {
    /// Incidents, the latest seen first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn incidents(&self, query: &IncidentQuery) -> Result<Vec<IncidentRow>, StoreError> {
        let limit = if query.limit == 0 { LIST_ROWS_MAX } else { query.limit.min(LIST_ROWS_MAX) };
        let rows = sqlx::query(
            "SELECT * FROM incidents WHERE (?1 IS NULL OR site = ?1) AND (?2 IS NULL OR controller = ?2) \
             AND (?3 IS NULL OR rule = ?3) ORDER BY last_seen DESC, key DESC LIMIT ?4 OFFSET ?5",
        );
        let rows = rows.bind(&query.site).bind(&query.controller).bind(query.rule.map(Rule::as_str));
        let rows = rows.bind(limit).bind(integer(query.offset)).fetch_all(self.readers()).await?;
        rows.iter().map(IncidentRow::read).collect()
    }
}
