//! `cprvagt-collector outlets`: how far each outlet is, why it waits, and what was held back from it.

use std::io::Write;

use cprvagt_report::Moment;

use super::table::Table;
use super::{Failure, open};
use crate::config::Config;
use crate::outlets::FILE_OUTLET;
use crate::store::{OutletRow, Store};

/// Most events held back that are listed.
const HELD_BACK_MAX: u32 = 100;

/// Lists the outlets that are configured, and those that once were.
///
/// # Errors
/// The data cannot be used.
pub(super) async fn run(config: &Config, out: &mut impl Write) -> Result<(), Failure> {
    let (_, store) = open(config).await?;
    let (configured, rows) = (names(config), store.outlets().await?);
    if configured.is_empty() && rows.is_empty() {
        writeln!(out, "no outlets; incidents are told to nobody")?;
        return Ok(());
    }
    let mut table = Table::new([
        "outlet",
        "told up to",
        "waiting",
        "held back",
        "failures",
        "next try",
        "last error",
        "",
    ]);
    for name in &configured {
        match rows.iter().find(|row| row.outlet == *name) {
            Some(row) => table.row(cells(row, "")),
            None => table.row([*name, "0", "-", "0", "0", "-", "-", "not begun"].map(str::to_owned)),
        }
    }
    let others = rows.iter().filter(|row| !configured.contains(&row.outlet.as_str()));
    others.for_each(|row| table.row(cells(row, "not configured")));
    table.write(out)?;
    held_back(&store, out).await
}

/// The names of the outlets that are configured.
pub(super) fn names(config: &Config) -> Vec<&str> {
    let file = config.outlets.file.iter().map(|_| FILE_OUTLET);
    file.chain(config.outlets.webhooks.iter().map(|webhook| webhook.name.as_str())).collect()
}

fn cells(row: &OutletRow, state: &str) -> [String; 8] {
    let cursor = &row.cursor;
    [
        row.outlet.clone(),
        cursor.last_id.to_string(),
        row.waiting.to_string(),
        row.held_back.to_string(),
        cursor.attempts.to_string(),
        cursor.next_try_at.map_or_else(|| "-".to_owned(), time),
        cursor.last_error.clone().unwrap_or_else(|| "-".to_owned()),
        state.to_owned(),
    ]
}

fn time(moment: Moment) -> String {
    format!("{:.0}", moment.0)
}

async fn held_back(store: &Store, out: &mut impl Write) -> Result<(), Failure> {
    let events = store.held_back(None, HELD_BACK_MAX).await?;
    if events.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(["held back from", "event", "at", "because"]);
    for event in events {
        table.row([event.outlet, event.id.to_string(), time(event.at), event.reason]);
    }
    writeln!(out)?;
    table.write(out)?;
    Ok(())
}
