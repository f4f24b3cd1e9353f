//! One incident in full: who sent what to whom and how, and what is missing from the count.

use std::net::IpAddr;

use cprvagt_report::{AgentId, Class, Confidence, Direction, Ledger, Moment, Outcome, Part, Proof, Protocol};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::column::{Columns, micros};
use super::incidents::LIST_ROWS_MAX;
use super::{GapRow, IncidentRow, Store, StoreError};
use crate::fingerprint::IncidentId;

/// One incident in full. Each list has the most occurrences first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentDetail {
    /// The incident.
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
    /// How sure it all is.
    pub sureness: Vec<Counted<Sureness>>,
    /// Occurrences an hour, in order of time; hours without any are left out.
    pub hours: Vec<HourCount>,
    /// Gaps of these hosts that overlap the incident's time. Any of them makes the counts a lower bound.
    pub gaps: Vec<GapRow>,
    /// The ledgers of these hosts that overlap the incident's time, the newest of each host first.
    pub ledgers: Vec<LedgerRow>,
    /// Ledgers of these hosts that may have been of the incident's time are no longer kept.
    pub ledgers_dropped: bool,
}

impl IncidentDetail {
    /// Whether something is known to be missing, so that the counts are a lower bound.
    pub fn is_lower_bound(&self) -> bool {
        self.ledgers_dropped || !self.gaps.is_empty() || self.ledgers.iter().any(LedgerRow::has_loss)
    }
}

/// Something that occurrences have in common, and how many they are.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Counted<T> {
    /// What they have in common.
    pub what: T,
    /// How many.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Counts of one group of occurrences.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Leaks.
    pub occurrences: u64,
    /// Distinct citizens, exactly.
    pub citizens: u64,
    /// Earliest, by the hosts' clocks.
    pub first_seen: Moment,
    /// Latest, by the hosts' clocks.
    pub last_seen: Moment,
}

/// The far end.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Recipient {
    /// The name that the messages used.
    pub host: Option<String>,
    /// Address.
    pub ip: Option<IpAddr>,
    /// Port.
    pub port: Option<u16>,
    /// The known organisation.
    pub recipient: Option<String>,
    /// A proxy or relay on the way.
    pub via: Option<String>,
    /// How well this is established.
    pub proof: Proof,
}

/// Where in the messages.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Location {
    /// Protocol of the message.
    pub protocol: String,
    /// The part.
    pub part: Part,
    /// The field.
    pub field: Option<String>,
    /// The path.
    pub path: Option<String>,
    /// Decodings undone, the outermost first, parted by commas.
    pub decodings: Option<String>,
    /// Kinds of other personal data in the same messages, parted by commas.
    pub also_present: Option<String>,
    /// Other rules broken, parted by commas.
    pub also_breaks: Option<String>,
}

/// A host that sent it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct HostSeen {
    /// Its agent.
    pub agent: AgentId,
    /// Its name.
    pub name: String,
    /// Its id: 32 hex digits.
    pub id: String,
}

/// A program that sent it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct ProcessSeen {
    /// Command name.
    pub comm: Option<String>,
    /// Executable.
    pub exe: Option<String>,
    /// systemd unit.
    pub unit: Option<String>,
    /// Container id.
    pub container: Option<String>,
    /// Package.
    pub package: Option<String>,
    /// Version of the package.
    pub package_version: Option<String>,
}

/// What carried it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Transport {
    /// TCP or UDP.
    pub protocol: Option<Protocol>,
    /// Encrypted on the wire or not; absent when not known.
    pub encrypted: Option<bool>,
    /// TLS version.
    pub tls_version: Option<String>,
    /// Which way it went.
    pub direction: Option<Direction>,
    /// Whether it left the host.
    pub outcome: Option<Outcome>,
    /// The tap.
    pub tap: Option<String>,
}

/// How sure it is that these are numbers.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Sureness {
    /// What kind of number.
    pub class: Class,
    /// How sure.
    pub confidence: Confidence,
}

/// Occurrences of one hour.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct HourCount {
    /// Start of the hour.
    pub hour: Moment,
    /// Leaks.
    pub occurrences: u64,
}

/// The account of one run of an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LedgerRow {
    /// The agent.
    pub agent: AgentId,
    /// Its host's name.
    pub host: String,
    /// The account as told last.
    pub ledger: Ledger,
}

impl Store {
    /// One incident in full.
    ///
    /// # Errors
    /// The database fails.
    pub async fn incident(&self, id: IncidentId) -> Result<Option<IncidentDetail>, StoreError> {
        let mut transaction = self.readers().begin().await?;
        let row = sqlx::query("SELECT * FROM incidents WHERE id = ?").bind(id.0.to_vec());
        let Some(row) = row.fetch_optional(&mut *transaction).await? else { return Ok(None) };
        let key: i64 = Columns(&row).get("key")?;
        let incident = IncidentRow::read(&row)?;
        let lists = Lists::read(&mut transaction, key, LIST_ROWS_MAX).await?;
        Ok(Some(IncidentDetail {
            recipients: lists.recipients,
            locations: lists.locations,
            hosts: lists.hosts,
            processes: lists.processes,
            transports: lists.transports,
            sureness: lists.sureness,
            hours: hours(&mut transaction, key).await?,
            gaps: gaps(&mut transaction, key, &incident).await?,
            ledgers: ledgers(&mut transaction, key, &incident).await?,
            ledgers_dropped: ledgers_dropped(&mut transaction, key, &incident).await?,
            incident,
        }))
    }
}

/// What the traces of an incident have in common, one list for each question.
pub(super) struct Lists {
    pub(super) recipients: Vec<Counted<Recipient>>,
    pub(super) locations: Vec<Counted<Location>>,
    pub(super) hosts: Vec<Counted<HostSeen>>,
    pub(super) processes: Vec<Counted<ProcessSeen>>,
    pub(super) transports: Vec<Counted<Transport>>,
    pub(super) sureness: Vec<Counted<Sureness>>,
}

impl Lists {
    /// The lists of an incident, each with at most `limit` rows.
    pub(super) async fn read(
        connection: &mut SqliteConnection,
        incident: i64,
        limit: u32,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            recipients: grouped(connection, incident, limit, &RECIPIENT, Recipient::read).await?,
            locations: grouped(connection, incident, limit, &LOCATION, Location::read).await?,
            hosts: grouped(connection, incident, limit, &HOST, HostSeen::read).await?,
            processes: grouped(connection, incident, limit, &PROCESS, ProcessSeen::read).await?,
            transports: grouped(connection, incident, limit, &TRANSPORT, Transport::read).await?,
            sureness: grouped(connection, incident, limit, &SURENESS, Sureness::read).await?,
        })
    }
}

const RECIPIENT: [&str; 6] = ["destination", "ip", "port", "recipient", "via", "proof"];
const LOCATION: [&str; 7] = ["protocol", "part", "field", "path", "decodings", "also_present", "also_breaks"];
const HOST: [&str; 3] = ["agent", "host", "host_id"];
const PROCESS: [&str; 6] = ["comm", "exe", "unit", "container", "package", "package_version"];
const TRANSPORT: [&str; 6] = ["transport", "encrypted", "tls_version", "direction", "outcome", "tap"];
const SURENESS: [&str; 2] = ["class", "confidence"];

/// The traces of an incident by some of their columns.
///
/// A citizen may be in several traces of a group and counts once: where it was met first, if that trace is in
/// the group, else among those who were met in the group later.
async fn grouped<T>(
    connection: &mut SqliteConnection,
    incident: i64,
    limit: u32,
    columns: &'static [&'static str],
    read: fn(&Columns<'_>) -> Result<T, StoreError>,
) -> Result<Vec<Counted<T>>, StoreError> {
    let list = columns.join(", ");
    let same = |table: &str| {
        let same: Vec<String> =
            columns.iter().map(|column| format!("{table}.{column} IS g.{column}")).collect();
        same.join(" AND ")
    };
    let (same_u, same_v) = (same("u"), same("v"));
    let query = format!(
        "WITH g AS (SELECT {list}, sum(occurrences) AS occurrences, sum(citizens_first) AS citizens_first, \
         min(first_seen) AS first_seen, max(last_seen) AS last_seen FROM traces WHERE incident = ?1 \
         GROUP BY {list} ORDER BY occurrences DESC, first_seen LIMIT ?2) \
         SELECT *, citizens_first + (SELECT count(DISTINCT s.citizen) FROM traces u \
         JOIN sightings s ON s.trace = u.key \
         JOIN citizens c ON c.incident = ?1 AND c.citizen = s.citizen \
         WHERE u.incident = ?1 AND {same_u} AND NOT EXISTS (SELECT 1 FROM traces v WHERE v.key = c.trace \
         AND {same_v})) AS citizens FROM g ORDER BY occurrences DESC, first_seen"
    );
    let rows = sqlx::query(AssertSqlSafe(query)).bind(incident).bind(limit).fetch_all(connection).await?;
    let counted = |row| {
        let row = Columns(row);
        Ok(Counted { what: read(&row)?, counts: Counts::read(&row)? })
    };
    rows.iter().map(counted).collect()
}

/// Gaps of the incident's hosts that overlap its time.
async fn gaps(
    connection: &mut SqliteConnection,
    key: i64,
    incident: &IncidentRow,
) -> Result<Vec<GapRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM gaps WHERE agent IN (SELECT unhex(replace(agent, '-', '')) FROM traces WHERE incident = ?) \
         AND from_at <= ? AND to_at >= ? ORDER BY to_at DESC LIMIT ?",
    );
    let rows = rows.bind(key).bind(micros(incident.last_seen)).bind(micros(incident.first_seen));
    let rows = rows.bind(LIST_ROWS_MAX).fetch_all(connection).await?;
    rows.iter().map(GapRow::read).collect()
}

/// Ledgers of the incident's hosts that overlap its time.
async fn ledgers(
    connection: &mut SqliteConnection,
    key: i64,
    incident: &IncidentRow,
) -> Result<Vec<LedgerRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM ledgers WHERE agent IN (SELECT unhex(replace(agent, '-', '')) FROM traces WHERE incident = ?) \
         AND since <= ? AND until >= ? ORDER BY host, agent, since DESC LIMIT ?",
    );
    let rows = rows.bind(key).bind(micros(incident.last_seen)).bind(micros(incident.first_seen));
    let rows = rows.bind(LIST_ROWS_MAX).fetch_all(connection).await?;
    rows.iter().map(LedgerRow::read).collect()
}

/// Whether a ledger that went may have been of the incident's hosts and time.
async fn ledgers_dropped(
    connection: &mut SqliteConnection,
    key: i64,
    incident: &IncidentRow,
) -> Result<bool, StoreError> {
    let query = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM dropped WHERE what = 'ledger' AND until >= ? AND agent IN \
         (SELECT unhex(replace(agent, '-', '')) FROM traces WHERE incident = ?))",
    );
    Ok(query.bind(micros(incident.first_seen)).bind(key).fetch_one(connection).await?)
}

/// Whether something is known to be missing from the incident's counts.
pub(super) async fn is_lower_bound(
    connection: &mut SqliteConnection,
    key: i64,
    incident: &IncidentRow,
) -> Result<bool, StoreError> {
    if !gaps(connection, key, incident).await?.is_empty()
        || ledgers_dropped(connection, key, incident).await?
    {
        return Ok(true);
    }
    Ok(ledgers(connection, key, incident).await?.iter().any(LedgerRow::has_loss))
}

async fn hours(connection: &mut SqliteConnection, key: i64) -> Result<Vec<HourCount>, StoreError> {
    let rows = sqlx::query(
        "SELECT hour * 3600000000 AS hour, occurrences FROM hours WHERE incident = ? ORDER BY hour",
    );
    rows.bind(key).fetch_all(connection).await?.iter().map(|row| HourCount::read(&Columns(row))).collect()
}

impl Counts {
    fn read(row: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            occurrences: row.count("occurrences")?,
            citizens: row.count("citizens")?,
            first_seen: row.moment("first_seen")?,
            last_seen: row.moment("last_seen")?,
        })
    }
}

impl Recipient {
    fn read(row: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            host: row.get("destination")?,
            ip: row.word_maybe("ip", |text| text.parse().ok())?,
            port: row.get("port")?,
            recipient: row.get("recipient")?,
            via: row.get("via")?,
            proof: row.word("proof", Proof::from_word)?,
        })
    }
}

impl Location {
    fn read(row: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            protocol: row.get("protocol")?,
            part: row.word("part", Part::from_word)?,
            field: row.get("field")?,
            path: row.get("path")?,
            decodings: row.get("decodings")?,
            also_present: row.get("also_present")?,
            also_breaks: row.get("also_breaks")?,
        })
    }
}

impl HostSeen {
    fn read(row: &Columns<'_>) -> Result<Self, StoreError> {
        let agent = row.word("agent", |text| text.parse().ok().map(AgentId))?;
        Ok(Self { agent, name: row.get("host")?, id: row.get("host_id")? })
    }
}

impl ProcessSeen {
    fn read(row: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            comm: row.get("comm")?,
            exe: row.get("exe")?,
            unit: row.get("unit")?,
            container: row.get("container")?,
            package: row.get("package")?,
            package_version: row.get("package_version")?,
        })
    }
}

impl Transport {
    fn read(row: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            protocol: row.word_maybe("transport", Protocol::from_word)?,
            encrypted: row.get("encrypted")?,
            tls_version: row.get("tls_version")?,
            direction: row.word_maybe("direction", Direction::from_word)?,
            outcome: row.word_maybe("outcome", Outcome::from_word)?,
            tap: row.get("tap")?,
        })
    }
}

impl Sureness {
    fn read(row: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            class: row.word("class", Class::from_word)?,
            confidence: row.word("confidence", Confidence::from_word)?,
        })
    }
}

impl HourCount {
    fn read(row: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self { hour: row.moment("hour")?, occurrences: row.count("occurrences")? })
    }
}

impl LedgerRow {
    fn read(row: &SqliteRow) -> Result<Self, StoreError> {
        let row = Columns(row);
        let ledger = serde_json::from_str(row.get("ledger")?);
        Ok(Self {
            agent: row.agent("agent")?,
            host: row.get("host")?,
            ledger: ledger.map_err(|_| StoreError::Impossible("ledger"))?,
        })
    }

    fn has_loss(&self) -> bool {
        !self.ledger.lost.is_empty() || !self.ledger.gaps.is_empty()
    }
}
