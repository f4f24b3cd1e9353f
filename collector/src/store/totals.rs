//! Sums over all incidents.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;

use super::column::Columns;
use super::{Store, StoreError};

/// Everything, summed.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Incidents.
    pub incidents: u64,
    /// Leaks.
    pub occurrences: u64,
    /// Distinct citizens over all incidents, exactly.
    pub citizens: u64,
    /// For each recipient site, the most citizens first.
    pub sites: Vec<SiteTotals>,
}

/// One recipient site, summed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SiteTotals {
    /// The recipient site.
    pub site: String,
    /// Incidents.
    pub incidents: u64,
    /// Leaks.
    pub occurrences: u64,
    /// Distinct citizens over the site's incidents, exactly.
    pub citizens: u64,
    /// Leaks that were encrypted on the wire.
    pub encrypted: u64,
    /// Leaks that were readable on the wire.
    pub cleartext: u64,
}

/// The sums worked out last. Counting distinct citizens walks the whole set, and pages ask often.
#[derive(Default)]
pub(super) struct Memo {
    totals: Totals,
    /// When that was, and how long it took.
    worked_out: Option<(Instant, Duration)>,
}

/// Sums stay good for this many times as long as it took to work them out: at once while that is quick, and
/// never more than this share of a processor.
const MEMO_TIMES: u32 = 20;
/// What is worked out quicker than this is always worked out again.
const QUICK: Duration = Duration::from_millis(20);

impl Store {
    /// Sums over all incidents. With very many citizens they may be as old as [`MEMO_TIMES`] times what it
    /// takes to count them.
    ///
    /// # Errors
    /// The database fails.
    pub async fn totals(&self) -> Result<Totals, StoreError> {
        let mut memo = self.0.totals.lock().await;
        if !memo.is_good() {
            let start = Instant::now();
            memo.totals = self.count_totals().await?;
            memo.worked_out = Some((Instant::now(), start.elapsed()));
        }
        Ok(memo.totals.clone())
    }

    async fn count_totals(&self) -> Result<Totals, StoreError> {
        let mut transaction = self.readers().begin().await?;
        let citizens: i64 = sqlx::query_scalar("SELECT count(DISTINCT citizen) FROM citizens")
            .fetch_one(&mut *transaction)
            .await?;
        let rows = sqlx::query(SITES).fetch_all(&mut *transaction).await?;
        let sites = rows.iter().map(SiteTotals::read).collect::<Result<Vec<_>, _>>()?;
        Ok(Totals {
            incidents: sites.iter().map(|site| site.incidents).sum(),
            occurrences: sites.iter().map(|site| site.occurrences).sum(),
            citizens: citizens.unsigned_abs(),
            sites,
        })
    }
}

/// Sums of each site. A site with one incident has that incident's citizens; others are counted.
const SITES: &str = "SELECT site, count(*) AS incidents, sum(occurrences) AS occurrences, \
    CASE count(*) WHEN 1 THEN max(citizens) ELSE (SELECT count(DISTINCT c.citizen) FROM incidents j \
    JOIN citizens c ON c.incident = j.key WHERE j.site = i.site) END AS citizens, \
    sum(encrypted) AS encrypted, sum(cleartext) AS cleartext \
    FROM incidents i GROUP BY site ORDER BY citizens DESC, occurrences DESC, site";

impl Memo {
    fn is_good(&self) -> bool {
        self.worked_out.is_some_and(|(at, took)| took > QUICK && at.elapsed() < took * MEMO_TIMES)
    }
}

impl SiteTotals {
    fn read(row: &SqliteRow) -> Result<Self, StoreError> {
        let row = Columns(row);
        Ok(Self {
            site: row.get("site")?,
            incidents: row.count("incidents")?,
            occurrences: row.count("occurrences")?,
            citizens: row.count("citizens")?,
            encrypted: row.count("encrypted")?,
            cleartext: row.count("cleartext")?,
        })
    }
}
