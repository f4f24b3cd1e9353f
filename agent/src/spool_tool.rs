//! `cprvagt spool`: looks into the spool, mends it, carries its content away, empties it.
//!
//! *Invariants*: what reports say is sealed and never shown. Only `fsck --repair` and `flush` change anything.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use cprvagt_report::{DELIVERY_BYTES_MAX, DELIVERY_REPORTS_MAX, Delivery, Envelope, Moment};
use cprvagt_settings::size;
use cprvagt_spool::fsck::{Checkup, Summary};
use cprvagt_spool::{Kind, SpoolError, Stored, check, export, list, repair};
use serde_json::{Value, json};

use crate::cli::{Exit, Exits, Spool, SpoolCommand};
use crate::config::Config;
use crate::host::this_host;
use crate::owner::become_owner_of;
use crate::scrub::Scrubber;
use crate::send::protocol::Settings;
use crate::send::{self, FlushError};

/// More bytes than a delivery adds to a report.
const ENVELOPE_BYTES: usize = 64;

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub enum SpoolToolError {
    /// There is none.
    #[error("{}: there is no spool", .0.display())]
    Missing(PathBuf),
    /// The spool.
    #[error("spool: {0}")]
    Spool(#[from] SpoolError),
    /// Delivering.
    #[error(transparent)]
    Flush(#[from] FlushError),
    /// The file to write.
    #[error("{path}: {cause}", path = path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// Nobody reads the answer.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

impl Exits for SpoolToolError {
    fn exit(&self) -> Exit {
        match self {
            Self::Missing(_) | Self::Unwritable { .. } => Exit::Config,
            Self::Flush(FlushError::NotEnrolled { .. } | FlushError::Enrolment(_)) => Exit::Config,
            Self::Spool(SpoolError::Busy) => Exit::Busy,
            _ => Exit::Failure,
        }
    }
}

/// Does what the command line says.
///
/// # Errors
/// The spool cannot be read, or the answer not be written.
pub fn run(options: &Spool, mut config: Config, out: &mut impl Write) -> Result<Exit, SpoolToolError> {
    config.spool.dir = options.dir.clone().unwrap_or(config.spool.dir);
    let dir = config.spool.dir.clone();
    let is_flush = matches!(options.command, SpoolCommand::Flush { .. });
    if is_flush || matches!(options.command, SpoolCommand::Fsck { repair: true, .. }) {
        become_owner_of(&dir)?;
    }
    if !dir.is_dir() && !is_flush {
        return Err(SpoolToolError::Missing(dir));
    }
    match &options.command {
        SpoolCommand::List { json } => tell_list(&dir, *json, out),
        SpoolCommand::Fsck { repair, json } => tell_damage(&dir, *repair, *json, out),
        SpoolCommand::Export { file } => write_all(&dir, file, out),
        SpoolCommand::Flush { duration, runtime_dir } => {
            let host = this_host(&Scrubber::at(Moment::now().0.as_second()));
            let flushed = send::flush(&Settings::of(&config, host), runtime_dir, *duration)?;
            match (flushed.left, flushed.error) {
                (0, _) => writeln!(out, "nothing waits")?,
                (left, None) => writeln!(out, "{left} reports still wait")?,
                (left, Some(error)) => writeln!(out, "{left} reports still wait: {error}")?,
            }
            Ok(if flushed.left == 0 { Exit::Success } else { Exit::Partial })
        }
    }
}

/// A waiting record without its content.
struct Row {
    kind: &'static str,
    stored: Stored,
    bytes: usize,
}

fn rows(dir: &Path) -> Result<Vec<Row>, SpoolError> {
    let mut rows = Vec::new();
    export(dir, |mut stored| {
        let bytes = std::mem::take(&mut stored.payload).len();
        rows.push(Row { kind: word(stored.kind), stored, bytes });
        true
    })?;
    Ok(rows)
}

const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Report => "report",
        Kind::Gap => "gap",
        Kind::Other(_) => "other",
    }
}

fn tell_list(dir: &Path, json: bool, out: &mut impl Write) -> Result<Exit, SpoolToolError> {
    let (segments, rows) = (list(dir)?, rows(dir)?);
    if json {
        let object = json!({
            "schema": "cprvagt.spool-list/1",
            "segments": segments.iter().map(segment_object).collect::<Vec<_>>(),
            "records": rows.iter().map(record_object).collect::<Vec<_>>(),
        });
        writeln!(out, "{object}")?;
        return Ok(Exit::Success);
    }
    for segment in &segments {
        let size = size::show(segment.bytes);
        writeln!(out, "{}  {size}, {} reports wait, {} leaks", segment.name, segment.records, segment.leaks)?;
        for row in rows.iter().filter(|row| is_in(segment, &row.stored)) {
            let (kind, size, position) =
                (row.kind, size::show(row.bytes as u64), row.stored.position.sequence);
            let written = row.stored.written_at.strftime("%Y-%m-%dT%H:%M:%SZ");
            writeln!(out, "  {position:>8}  {written}  {kind:<6}  {:>4} leaks  {size}", row.stored.leaks)?;
        }
    }
    let leaks: u64 = segments.iter().map(|segment| segment.leaks).sum();
    writeln!(out, "{} reports with {leaks} leaks wait", rows.len())?;
    Ok(Exit::Success)
}

fn is_in(segment: &Summary, stored: &Stored) -> bool {
    let Summary { epoch, first, last, .. } = segment;
    stored.position.epoch == *epoch && (*first..=*last).contains(&stored.position.sequence)
}

fn segment_object(segment: &Summary) -> Value {
    json!({
        "name": segment.name,
        "epoch": segment.epoch.to_string(),
        "bytes": segment.bytes,
        "records": segment.records,
        "leaks": segment.leaks,
        "from": segment.from.to_string(),
        "to": segment.to.to_string(),
    })
}

fn record_object(row: &Row) -> Value {
    json!({
        "epoch": row.stored.position.epoch.to_string(),
        "sequence": row.stored.position.sequence,
        "kind": row.kind,
        "leaks": row.stored.leaks,
        "bytes": row.bytes,
        "written_at": row.stored.written_at.to_string(),
    })
}

fn tell_damage(
    dir: &Path,
    is_repair: bool,
    json: bool,
    out: &mut impl Write,
) -> Result<Exit, SpoolToolError> {
    let checkup = if is_repair { repair(dir)? } else { looked_at_twice(dir)? };
    let damage: Vec<String> = checkup.damage.iter().map(ToString::to_string).collect();
    let records: u64 = checkup.segments.iter().map(|segment| segment.records).sum();
    if json {
        let object = json!({
            "schema": "cprvagt.spool-fsck/1",
            "damage": damage,
            "repaired": is_repair && !damage.is_empty(),
            "set_aside": checkup.aside,
            "unfinished": checkup.unfinished,
            "closed": checkup.is_closed,
            "last_alive_at": checkup.last_alive.map(|time| time.to_string()),
            "records": records,
        });
        writeln!(out, "{object}")?;
    } else {
        damage.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        let wrong = match (damage.is_empty(), is_repair) {
            (true, _) => "no damage",
            (false, true) => "repaired as far as it can be",
            (false, false) => "damaged; `cprvagt spool fsck --repair` mends it while no daemon runs",
        };
        writeln!(out, "{records} reports can be read; {wrong}")?;
    }
    Ok(if damage.is_empty() { Exit::Success } else { Exit::Partial })
}

/// What a daemon writes at this moment looks like a torn end: only damage that is still there counts.
fn looked_at_twice(dir: &Path) -> Result<Checkup, SpoolError> {
    let first = check(dir)?;
    if first.damage.is_empty() || first.is_closed {
        return Ok(first);
    }
    let mut second = check(dir)?;
    second.damage.retain(|notice| first.damage.contains(notice));
    Ok(second)
}

fn write_all(dir: &Path, path: &Path, out: &mut impl Write) -> Result<Exit, SpoolToolError> {
    let unwritable = |cause| SpoolToolError::Unwritable { path: path.to_owned(), cause };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(unwritable)?;
    let mut export_file = ExportFile { out: io::BufWriter::new(file), batch: vec![], bytes: 0, reports: 0 };
    let mut failed = Ok(());
    export(dir, |stored| {
        failed = export_file.add(stored);
        failed.is_ok()
    })?;
    let written = failed.and_then(|()| export_file.finish());
    let reports = written.map_err(unwritable)?;
    writeln!(out, "{}: {reports} reports", path.display())?;
    Ok(Exit::Success)
}

/// Deliveries, each with its length before it.
struct ExportFile<W: Write> {
    out: W,
    batch: Vec<Envelope>,
    bytes: usize,
    reports: u64,
}

impl<W: Write> ExportFile<W> {
    fn add(&mut self, stored: Stored) -> io::Result<()> {
        let bytes = stored.payload.len() + ENVELOPE_BYTES;
        let is_full = self.batch.len() == DELIVERY_REPORTS_MAX
            || self.bytes + bytes + ENVELOPE_BYTES > DELIVERY_BYTES_MAX;
        if is_full {
            self.write_batch()?;
        }
        self.bytes += bytes;
        self.reports += 1;
        let (epoch, sequence) = (stored.position.epoch, stored.position.sequence);
        self.batch.push(Envelope { epoch, sequence, sealed: stored.payload });
        Ok(())
    }

    fn write_batch(&mut self) -> io::Result<()> {
        let delivery = Delivery { reports: std::mem::take(&mut self.batch) }.encode();
        self.bytes = 0;
        let length = u32::try_from(delivery.len()).expect("a delivery is bounded");
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&delivery)
    }

    fn finish(mut self) -> io::Result<u64> {
        if !self.batch.is_empty() {
            self.write_batch()?;
        }
        self.out.flush()?;
        Ok(self.reports)
    }
}

#[cfg(test)]
#[path = "spool_tool_tests.rs"]
mod tests;
