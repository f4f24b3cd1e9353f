//! `cprvagt-collector incidents`: what leaked, to whom, and how many citizens.

use std::io::Write;

use serde::Serialize;

use super::table::Table;
use super::{Failure, open};
use crate::cli;
use crate::config::Config;
use crate::store::{IncidentQuery, IncidentRow, Store, Totals};

/// Rows asked for at once.
const PAGE_ROWS: u32 = 500;

/// One incident as JSON.
#[derive(Serialize)]
struct Incident<'a> {
    schema: &'static str,
    #[serde(flatten)]
    row: &'a IncidentRow,
}

/// The sums as JSON: over all incidents, or over those of one site.
#[derive(Serialize)]
struct Sums<'a> {
    schema: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<&'a str>,
    #[serde(flatten)]
    totals: &'a Totals,
}

/// Lists incidents, the latest seen first, then the sums: over all incidents, or with `--site` over that site's.
/// `--limit` shortens the list and leaves the sums as they are.
///
/// # Errors
/// The data cannot be used.
pub(super) async fn run(
    config: &Config,
    options: &cli::Incidents,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let (_, store) = open(config).await?;
    let rows = rows(&store, options).await?;
    if options.json {
        for row in &rows {
            let object = Incident { schema: "cprvagt.incident/1", row };
            writeln!(out, "{}", serde_json::to_string(&object).expect("an incident is plain data"))?;
        }
    }
    let site = options.site.as_deref();
    let totals = store.totals().await?;
    let totals = site.map_or_else(|| totals.clone(), |site| of_site(&totals, site));
    if options.json {
        let object = Sums { schema: "cprvagt.totals/1", site, totals: &totals };
        writeln!(out, "{}", serde_json::to_string(&object).expect("totals are plain data"))?;
        return Ok(());
    }
    listed(&rows, out)?;
    summed(&totals, out)
}

/// The sums of one site; all 0 for a site without incidents.
fn of_site(totals: &Totals, site: &str) -> Totals {
    totals.sites.iter().find(|totals| totals.site == site).map_or_else(Totals::default, |totals| Totals {
        incidents: totals.incidents,
        occurrences: totals.occurrences,
        citizens: totals.citizens,
        sites: vec![totals.clone()],
    })
}

async fn rows(store: &Store, options: &cli::Incidents) -> Result<Vec<IncidentRow>, Failure> {
    let wanted = options.limit.map_or(usize::MAX, |limit| limit as usize);
    let mut rows: Vec<IncidentRow> = vec![];
    while rows.len() < wanted {
        let limit = PAGE_ROWS.min(u32::try_from(wanted - rows.len()).unwrap_or(PAGE_ROWS));
        let query = IncidentQuery {
            site: options.site.clone(),
            limit,
            offset: rows.len() as u64,
            ..IncidentQuery::default()
        };
        let page = store.incidents(&query).await?;
        let is_last = page.len() < limit as usize;
        rows.extend(page);
        if is_last {
            break;
        }
    }
    Ok(rows)
}

fn listed(rows: &[IncidentRow], out: &mut impl Write) -> Result<(), Failure> {
    if rows.is_empty() {
        writeln!(out, "no incidents")?;
        return Ok(());
    }
    let mut table = Table::new([
        "incident",
        "severity",
        "rule",
        "recipient",
        "in clear",
        "citizens",
        "leaks",
        "last seen",
    ]);
    for row in rows {
        table.row([
            row.id.to_string(),
            row.severity.to_string(),
            row.rule.to_string(),
            row.site.clone(),
            row.cleartext.to_string(),
            row.citizens.to_string(),
            row.occurrences.to_string(),
            format!("{:.0}", row.last_seen.0),
        ]);
    }
    table.write(out)?;
    Ok(())
}

fn summed(totals: &Totals, out: &mut impl Write) -> Result<(), Failure> {
    if !totals.sites.is_empty() {
        let mut table = Table::new(["recipient", "citizens", "leaks", "in clear"]);
        for site in &totals.sites {
            let counts = [site.citizens, site.occurrences, site.cleartext].map(|count| count.to_string());
            let [citizens, leaks, in_clear] = counts;
            table.row([site.site.clone(), citizens, leaks, in_clear]);
        }
        writeln!(out)?;
        table.write(out)?;
    }
    writeln!(out, "\ncitizens in total: {}", totals.citizens)?;
    Ok(())
}
