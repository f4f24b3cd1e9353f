//! Looks into the collector's SQLite file, independently of the collector: through Debian's Python.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Debian's own interpreter; one found on PATH may have been built without SQLite.
pub const PYTHON: &str = "/usr/bin/python3";
/// The collector's file in its data folder.
const FILE: &str = "collector.db";

const SCRIPT: &str = r#"
import json, sqlite3, sys
database = sqlite3.connect("file:" + sys.argv[1] + "?mode=rw", uri=True)
show = lambda value: value.hex() if isinstance(value, bytes) else value
for row in database.execute(sys.argv[2]):
    print(json.dumps([show(value) for value in row]))
database.commit()
"#;

/// The rows that `query` gives (or none, when it changes something) in the data folder `data`; blobs are lowercase hexadecimal.
///
/// # Errors
/// When there is no database or the query is wrong.
pub fn rows(data: &Path, query: &str) -> Result<Vec<Vec<Value>>> {
    let mut command = Command::new(PYTHON);
    command.args(["-c", SCRIPT]).arg(data.join(FILE)).arg(query);
    let output = command.stdin(Stdio::null()).output().context("starting python3")?;
    ensure!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout)?;
    lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// The texts in the first column of what `query` gives.
///
/// # Errors
/// As [`rows`], or when the column holds something else.
pub fn texts(data: &Path, query: &str) -> Result<Vec<String>> {
    let text = |row: Vec<Value>| row.first().and_then(Value::as_str).map(str::to_owned);
    rows(data, query)?.into_iter().map(|row| text(row).context("a text was expected")).collect()
}

/// The one number that `query` gives.
///
/// # Errors
/// As [`rows`], or when it gives something else.
pub fn number(data: &Path, query: &str) -> Result<i64> {
    let rows = rows(data, query)?;
    rows.first().and_then(|row| row.first()?.as_i64()).context("a number was expected")
}
