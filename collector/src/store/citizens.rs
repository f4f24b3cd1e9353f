//! The exact sets of citizens, of incidents and of their traces.
//!
//! Each citizen of an incident belongs to the trace in which it was met first; only further traces take rows of
//! their own. So a new citizen, the dearest case, costs one row in one table that has no order to it.

use std::collections::{HashMap, HashSet};

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::StoreError;
use super::bulk::{self, Query, Statement};
use super::column::Columns;
use super::fold::{CitizenSum, Fold, Sighting};

/// By how many citizens the sets grew.
#[derive(Default)]
pub(super) struct Grown {
    /// By key of the incident.
    pub(super) incidents: HashMap<i64, i64>,
    /// By key of the trace: those met there first.
    pub(super) traces: HashMap<i64, i64>,
}

/// A citizen and the row that its sealed number would get.
type Numbered<'a> = (&'a CitizenSum<'a>, Option<i64>);

/// Leaves known citizens alone.
const ADD: &str = " ON CONFLICT DO NOTHING RETURNING incident, trace, sealed";
/// Touches a known citizen only where there is something new.
const WIDEN: &str = " ON CONFLICT DO UPDATE SET first_seen = min(first_seen, excluded.first_seen), \
    last_seen = max(last_seen, excluded.last_seen), sealed = coalesce(sealed, excluded.sealed) \
    WHERE first_seen > excluded.first_seen OR last_seen < excluded.last_seen \
    OR (sealed IS NULL AND excluded.sealed IS NOT NULL) RETURNING incident, trace, sealed";

/// Adds to all sets.
pub(super) async fn add(
    connection: &mut SqliteConnection,
    fold: &Fold<'_>,
    incidents: &[i64],
    traces: &[i64],
) -> Result<Grown, StoreError> {
    let citizens = numbered(connection, fold).await?;
    let statement = Statement {
        head: "INSERT INTO citizens (incident, citizen, trace, first_seen, last_seen, sealed) VALUES ",
        width: 6,
        tail: ADD,
    };
    let bind = |query: Query, (it, sealed): &Numbered<'_>| {
        let query = query.bind(incidents[it.incident]).bind(it.citizen.0.to_vec()).bind(traces[it.trace]);
        query.bind(it.span.first).bind(it.span.last).bind(*sealed)
    };
    let mut rows = bulk::run(connection, &statement, &citizens, bind).await?;
    let grown = Grown::of(&rows)?;
    if rows.len() < citizens.len() {
        rows.extend(bulk::run(connection, &Statement { tail: WIDEN, ..statement }, &citizens, bind).await?);
    }
    add_sealed(connection, &citizens, &rows).await?;
    add_sightings(connection, fold, incidents, traces).await?;
    Ok(grown)
}

/// Gives each sealed number a row that no other has.
async fn numbered<'a>(
    connection: &mut SqliteConnection,
    fold: &'a Fold<'a>,
) -> Result<Vec<Numbered<'a>>, StoreError> {
    let query = sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM sealed");
    let mut last: i64 = query.fetch_one(connection).await?;
    let mut number = |it: &CitizenSum<'_>| {
        it.sealed.map(|_| {
            last += 1;
            last
        })
    };
    Ok(fold.citizens.iter().map(|it| (it, number(it))).collect())
}

/// Writes the sealed numbers whose rows citizens now name.
async fn add_sealed(
    connection: &mut SqliteConnection,
    citizens: &[Numbered<'_>],
    rows: &[SqliteRow],
) -> Result<(), StoreError> {
    let named = rows.iter().map(|row| Columns(row).get::<Option<i64>>("sealed"));
    let named: HashSet<Option<i64>> = named.collect::<Result<_, _>>()?;
    let number = |(it, id): &Numbered<'_>| Some(((*id)?, it.sealed?.to_vec())).filter(|_| named.contains(id));
    let new: Vec<(i64, Vec<u8>)> = citizens.iter().filter_map(number).collect();
    let statement = Statement { head: "INSERT INTO sealed (id, number) VALUES ", width: 2, tail: "" };
    bulk::run(connection, &statement, &new, |query, (id, sealed)| query.bind(*id).bind(sealed.clone()))
        .await?;
    Ok(())
}

/// Adds citizens to traces other than their first.
async fn add_sightings(
    connection: &mut SqliteConnection,
    fold: &Fold<'_>,
    incidents: &[i64],
    traces: &[i64],
) -> Result<(), StoreError> {
    let statement = Statement {
        head: "WITH seen (incident, trace, citizen) AS (VALUES ",
        width: 3,
        tail: ") INSERT INTO sightings (trace, citizen) SELECT trace, citizen FROM seen WHERE NOT EXISTS \
               (SELECT 1 FROM citizens c WHERE c.incident = seen.incident AND c.citizen = seen.citizen \
               AND c.trace = seen.trace) ON CONFLICT DO NOTHING",
    };
    bulk::run(connection, &statement, &fold.sightings, |query, it: &Sighting| {
        query.bind(incidents[it.incident]).bind(traces[it.trace]).bind(it.citizen.0.to_vec())
    })
    .await?;
    Ok(())
}

impl Grown {
    /// The growth by these new rows.
    fn of(rows: &[SqliteRow]) -> Result<Self, StoreError> {
        let mut grown = Self::default();
        for row in rows {
            let row = Columns(row);
            *grown.incidents.entry(row.get("incident")?).or_default() += 1;
            *grown.traces.entry(row.get("trace")?).or_default() += 1;
        }
        Ok(grown)
    }
}
