//! What new occurrences do to the tables, in as few statements as can be.
//!
//! *Invariants*: the caller holds the write transaction, so what is looked up here stays true until it ends.
//! Counts of citizens grow by as many rows as the set of citizens does.

use std::collections::{HashMap, HashSet};

use cprvagt_report::Moment;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::bulk::{self, Query, Statement};
use super::column::{Columns, integer, micros};
use super::fold::{Fold, Incident, Span};
use super::known::Keys;
use super::{StoreError, citizens};
use crate::occurrence::Occurrence;

/// Which of these leaks were counted before.
pub(super) async fn leaks_before<'a>(
    connection: &mut SqliteConnection,
    occurrences: impl Iterator<Item = &'a Occurrence>,
) -> Result<HashSet<Uuid>, StoreError> {
    let statement =
        Statement { head: "SELECT leak FROM occurrences WHERE leak IN (VALUES ", width: 1, tail: ")" };
    let leaks: Vec<Uuid> = occurrences.map(|occurrence| occurrence.leak.0).collect();
    let rows = bulk::run(connection, &statement, &leaks, |query, leak| query.bind(leak.as_bytes().to_vec()));
    rows.await?.iter().map(|row| Ok(Uuid::from_bytes(Columns(row).bytes("leak")?))).collect()
}

/// Keys of the rows behind a list of a [`Fold`].
pub(super) struct Resolved {
    /// For each of the list, in order.
    pub(super) keys: Vec<i64>,
    /// Those whose rows were made now.
    pub(super) created: Vec<i64>,
    /// Those that were not known before.
    pub(super) learnt: Vec<([u8; 16], i64)>,
}

/// Looks up what is not known, and makes what is not there.
pub(super) async fn resolve<T>(
    connection: &mut SqliteConnection,
    list: &[T],
    known: &Keys,
    id: impl Fn(&T) -> [u8; 16],
    select: &Statement,
    insert: &Statement,
    bind: impl Fn(Query, &&T) -> Query,
) -> Result<Resolved, StoreError> {
    let unknown: Vec<&T> = list.iter().filter(|it| known.get(&id(it)).is_none()).collect();
    let found = bulk::run(connection, select, &unknown, |query, it| query.bind(id(it).to_vec())).await?;
    let mut learnt = keys(&found)?;
    let missing: Vec<&T> = unknown.into_iter().filter(|it| !learnt.contains_key(&id(it))).collect();
    let made = keys(&bulk::run(connection, insert, &missing, bind).await?)?;
    let created = made.values().copied().collect();
    learnt.extend(made);
    let key = |it: &T| known.get(&id(it)).or_else(|| learnt.get(&id(it)).copied());
    let keys = list.iter().map(|it| key(it).ok_or(StoreError::Impossible("id"))).collect::<Result<_, _>>()?;
    Ok(Resolved { keys, created, learnt: learnt.into_iter().collect() })
}

fn keys(rows: &[sqlx::sqlite::SqliteRow]) -> Result<HashMap<[u8; 16], i64>, StoreError> {
    let pair = |row| {
        let row = Columns(row);
        Ok((row.bytes("id")?, row.get("key")?))
    };
    rows.iter().map(pair).collect()
}

/// The incidents' keys; new ones start with all counts 0.
pub(super) async fn incident_keys(
    connection: &mut SqliteConnection,
    fold: &Fold<'_>,
    known: &Keys,
    now: Moment,
) -> Result<Resolved, StoreError> {
    let select =
        Statement { head: "SELECT id, key FROM incidents WHERE id IN (VALUES ", width: 1, tail: ")" };
    let insert = Statement {
        head: "INSERT INTO incidents (id, controller, system, vendor, site, rule, part, field, path, severity, \
               first_seen, last_seen, created_at, changed_at, told_at) VALUES ",
        width: 15,
        tail: " RETURNING id, key",
    };
    let id = |it: &Incident<'_>| it.example.incident.0;
    resolve(connection, &fold.incidents, known, id, &select, &insert, |query, it| {
        let subject = &it.example.subject;
        query
            .bind(it.example.incident.0.to_vec())
            .bind(subject.controller.clone())
            .bind(subject.system.clone())
            .bind(it.example.vendor.clone())
            .bind(subject.site.clone())
            .bind(subject.rule.as_str())
            .bind(subject.part.as_str())
            .bind(subject.field.clone())
            .bind(subject.path.clone())
            .bind(it.severity)
            .bind(it.span.first)
            .bind(it.span.last)
            .bind(micros(now))
            .bind(micros(now))
            .bind(micros(now))
    })
    .await
}

/// Writes everything else: sets first, then the sums that rest on them.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    fold: &Fold<'_>,
    incidents: &[i64],
    traces: &[i64],
    now: Moment,
) -> Result<(), StoreError> {
    let grown = citizens::add(connection, fold, incidents, traces).await?;
    add_occurrences(connection, fold, incidents, traces).await?;
    add_hours(connection, fold, incidents).await?;
    sum_traces(connection, fold, traces, &grown.traces).await?;
    sum_incidents(connection, fold, incidents, &grown.incidents, now).await
}

async fn add_occurrences(
    connection: &mut SqliteConnection,
    fold: &Fold<'_>,
    incidents: &[i64],
    traces: &[i64],
) -> Result<(), StoreError> {
    let insert = Statement {
        head: "INSERT INTO occurrences (leak, incident, trace, citizen, observed_at, pid) VALUES ",
        width: 6,
        tail: "",
    };
    bulk::run(connection, &insert, &fold.rows, |query, row| {
        let it = row.occurrence;
        let query = query.bind(it.leak.0.as_bytes().to_vec()).bind(incidents[row.incident]);
        query.bind(traces[row.trace]).bind(it.citizen.0.to_vec()).bind(micros(it.observed_at)).bind(it.pid)
    })
    .await?;
    Ok(())
}

async fn add_hours(
    connection: &mut SqliteConnection,
    fold: &Fold<'_>,
    incidents: &[i64],
) -> Result<(), StoreError> {
    let insert = Statement {
        head: "INSERT INTO hours (incident, hour, occurrences) VALUES ",
        width: 3,
        tail: " ON CONFLICT DO UPDATE SET occurrences = occurrences + excluded.occurrences",
    };
    bulk::run(connection, &insert, &fold.hours, |query, ((incident, hour), count)| {
        query.bind(incidents[*incident]).bind(*hour).bind(integer(*count))
    })
    .await?;
    Ok(())
}

async fn sum_traces(
    connection: &mut SqliteConnection,
    fold: &Fold<'_>,
    traces: &[i64],
    new_citizens: &HashMap<i64, i64>,
) -> Result<(), StoreError> {
    let update = Statement {
        head: "WITH gain (key, first, last, occurrences, citizens) AS (VALUES ",
        width: 5,
        tail: ") UPDATE traces SET first_seen = min(first_seen, gain.first), \
               last_seen = max(last_seen, gain.last), occurrences = traces.occurrences + gain.occurrences, \
               citizens_first = citizens_first + gain.citizens FROM gain WHERE traces.key = gain.key",
    };
    // An UPDATE takes one gain for each row, so those of traces that share a row are summed before.
    let mut sums: HashMap<i64, (Span, u64)> = HashMap::new();
    for (key, trace) in traces.iter().zip(&fold.traces) {
        let (span, occurrences) = sums.entry(*key).or_insert((trace.span, 0));
        span.widen(trace.span);
        *occurrences += trace.occurrences;
    }
    let sums: Vec<_> = sums.into_iter().collect();
    bulk::run(connection, &update, &sums, |query, (key, (span, occurrences))| {
        let query = query.bind(*key).bind(span.first).bind(span.last).bind(integer(*occurrences));
        query.bind(new_citizens.get(key).copied().unwrap_or_default())
    })
    .await?;
    Ok(())
}

async fn sum_incidents(
    connection: &mut SqliteConnection,
    fold: &Fold<'_>,
    incidents: &[i64],
    new_citizens: &HashMap<i64, i64>,
    now: Moment,
) -> Result<(), StoreError> {
    let update = Statement {
        head: "WITH gain (key, first, last, occurrences, citizens, encrypted, cleartext, severity, vendor, now) \
               AS (VALUES ",
        width: 10,
        tail: ") UPDATE incidents SET first_seen = min(first_seen, gain.first), \
               last_seen = max(last_seen, gain.last), changed_at = gain.now, untold = 1, \
               occurrences = incidents.occurrences + gain.occurrences, \
               citizens = incidents.citizens + gain.citizens, \
               encrypted = incidents.encrypted + gain.encrypted, \
               cleartext = incidents.cleartext + gain.cleartext, \
               severity = min(incidents.severity, gain.severity), \
               vendor = coalesce(gain.vendor, incidents.vendor) FROM gain WHERE incidents.key = gain.key",
    };
    let sums: Vec<(i64, &Incident<'_>)> = incidents.iter().copied().zip(&fold.incidents).collect();
    bulk::run(connection, &update, &sums, |query, (key, sum)| {
        let query = query.bind(*key).bind(sum.span.first).bind(sum.span.last).bind(integer(sum.occurrences));
        let query = query.bind(new_citizens.get(key).copied().unwrap_or_default());
        let query = query.bind(integer(sum.encrypted)).bind(integer(sum.cleartext)).bind(sum.severity);
        query.bind(sum.example.vendor.clone()).bind(micros(now))
    })
    .await?;
    Ok(())
}
