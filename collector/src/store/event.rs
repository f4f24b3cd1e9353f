//! An incident at the moment it is told to outlets.

use serde::{Deserialize, Serialize};

use sqlx::SqliteConnection;

use super::detail::{self, Lists};
use super::{
    Counted, HostSeen, IncidentRow, Location, ProcessSeen, Recipient, StoreError, Sureness, Transport,
};

/// Most rows of each list of an event, the most occurrences first.
pub const EVENT_ROWS_MAX: u32 = 8;

/// Why it is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It is new.
    Created,
    /// Something about it changed.
    Updated,
}

impl Change {
    /// As in the database and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
        }
    }

    /// The change spelled `word`.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Created, Self::Updated].into_iter().find(|change| change.as_str() == word)
    }
}

/// An incident as it stood. Each list has at most [`EVENT_ROWS_MAX`] rows, the most occurrences first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentEvent {
    /// Why it is told.
    pub change: Change,
    /// The incident; its `version` numbers its events from 1.
    pub incident: IncidentRow,
    /// To whom.
    pub recipients: Vec<Counted<Recipient>>,
    /// Where in the messages.
    pub locations: Vec<Counted<Location>>,
    /// From which hosts.
    pub hosts: Vec<Counted<HostSeen>>,
    /// By which programs.
    pub processes: Vec<Counted<ProcessSeen>>,
    /// Over what.
    pub transports: Vec<Counted<Transport>>,
    /// How sure it is that these are numbers.
    pub sureness: Vec<Counted<Sureness>>,
    /// Something is known to be missing: the counts are a lower bound.
    pub is_lower_bound: bool,
}

/// The incident as it stands.
pub(super) async fn of(
    connection: &mut SqliteConnection,
    incident: i64,
    change: Change,
) -> Result<IncidentEvent, StoreError> {
    let lists = Lists::read(connection, incident, EVENT_ROWS_MAX).await?;
    let row = sqlx::query("SELECT * FROM incidents WHERE key = ?").bind(incident);
    let incident_row = IncidentRow::read(&row.fetch_one(&mut *connection).await?)?;
    let is_lower_bound = detail::is_lower_bound(connection, incident, &incident_row).await?;
    Ok(IncidentEvent {
        change,
        incident: incident_row,
        recipients: lists.recipients,
        locations: lists.locations,
        hosts: lists.hosts,
        processes: lists.processes,
        transports: lists.transports,
        sureness: lists.sureness,
        is_lower_bound,
    })
}
