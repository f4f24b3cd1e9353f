//! Keys of traces, and the folding of those that an incident has too many of.
//!
//! Paths, programs and addresses come from the host, so one that is taken over could make a row of each of its
//! leaks. Beyond [`TRACES_MAX`] traces of an incident, new ones fold into few that tell no such detail; their
//! counts of leaks and citizens stay exact.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use sqlx::SqliteConnection;

use super::StoreError;
use super::bounds::TRACES_MAX;
use super::bulk::{self, Statement};
use super::column::Columns;
use super::effects::{Resolved, resolve};
use super::fold::{Fold, Span};
use super::known::Keys;
use crate::occurrence::Trace;

/// Inserts traces; the last columns are [`Trace::COLUMNS`].
static INSERT: LazyLock<String> = LazyLock::new(|| {
    let columns = Trace::COLUMNS.join(", ");
    format!("INSERT INTO traces (id, incident, first_seen, last_seen, {columns}) VALUES ")
});

/// A row to be.
struct Row<'a> {
    id: [u8; 16],
    /// Key of the incident.
    incident: i64,
    span: Span,
    trace: Cow<'a, Trace>,
}

/// The traces' keys, in the order of the fold, and how many of its traces were folded. Several traces may have
/// one key. New rows start with a count of 0.
pub(super) async fn keys(
    connection: &mut SqliteConnection,
    fold: &Fold<'_>,
    incidents: &[i64],
    known: &Keys,
) -> Result<(Resolved, u64), StoreError> {
    let surplus = surplus(connection, fold, incidents, known).await?;
    let (rows, places) = rows(fold, incidents, &surplus);
    let select = Statement { head: "SELECT id, key FROM traces WHERE id IN (VALUES ", width: 1, tail: ")" };
    let insert =
        Statement { head: INSERT.as_str(), width: 4 + Trace::COLUMNS.len(), tail: " RETURNING id, key" };
    let resolved = resolve(
        connection,
        &rows,
        known,
        |row: &Row<'_>| row.id,
        &select,
        &insert,
        |query, row| {
            let query =
                query.bind(row.id.to_vec()).bind(row.incident).bind(row.span.first).bind(row.span.last);
            row.trace.texts().into_iter().fold(query, |query, text| query.bind(text))
        },
    );
    let resolved = resolved.await?;
    let keys = places.iter().map(|place| resolved.keys[*place]).collect();
    Ok((Resolved { keys, ..resolved }, surplus.len() as u64))
}

/// One row for each trace, and one for all that fold into the same; and for each of the fold its row.
fn rows<'a>(fold: &Fold<'a>, incidents: &[i64], surplus: &HashSet<[u8; 16]>) -> (Vec<Row<'a>>, Vec<usize>) {
    let mut rows: Vec<Row<'a>> = Vec::with_capacity(fold.traces.len());
    let mut folded = HashMap::new();
    let mut places = Vec::with_capacity(fold.traces.len());
    for sum in &fold.traces {
        let (id, incident, span) = (sum.example.trace_id, incidents[sum.incident], sum.span);
        if !surplus.contains(&id) {
            places.push(rows.len());
            rows.push(Row { id, incident, span, trace: Cow::Borrowed(&sum.example.trace) });
            continue;
        }
        let (id, trace) = sum.example.trace.folded(sum.example.incident);
        places.push(*folded.entry(id).or_insert_with(|| {
            rows.push(Row { id, incident, span, trace: Cow::Owned(trace) });
            rows.len() - 1
        }));
    }
    (rows, places)
}

/// Ids of the traces for which their incidents have no room.
async fn surplus(
    connection: &mut SqliteConnection,
    fold: &Fold<'_>,
    incidents: &[i64],
    known: &Keys,
) -> Result<HashSet<[u8; 16]>, StoreError> {
    let mut unknown: HashMap<i64, Vec<[u8; 16]>> = HashMap::new();
    for sum in fold.traces.iter().filter(|sum| known.get(&sum.example.trace_id).is_none()) {
        unknown.entry(incidents[sum.incident]).or_default().push(sum.example.trace_id);
    }
    let mut surplus = HashSet::new();
    for (incident, ids) in unknown {
        let count = sqlx::query_scalar("SELECT count(*) FROM traces WHERE incident = ?").bind(incident);
        let count: i64 = count.fetch_one(&mut *connection).await?;
        let room = TRACES_MAX.saturating_sub(count.unsigned_abs());
        if ids.len() as u64 > room {
            let there = there(connection, &ids).await?;
            let missing = ids.into_iter().filter(|id| !there.contains(id));
            surplus.extend(missing.skip(usize::try_from(room).unwrap_or(usize::MAX)));
        }
    }
    Ok(surplus)
}

/// Which of these traces have a row.
async fn there(connection: &mut SqliteConnection, ids: &[[u8; 16]]) -> Result<HashSet<[u8; 16]>, StoreError> {
    let select = Statement { head: "SELECT id FROM traces WHERE id IN (VALUES ", width: 1, tail: ")" };
    let rows = bulk::run(connection, &select, ids, |query, id| query.bind(id.to_vec())).await?;
    rows.iter().map(|row| Columns(row).bytes("id")).collect()
}
