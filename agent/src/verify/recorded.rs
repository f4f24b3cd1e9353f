//! The leak that is to be verified, out of what `watch --json` or `run --json` wrote.
//!
//! *Limits*: [`LINE_BYTES_MAX`] bytes of a line.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::Path,
};

use cprvagt_report::{LEAK_SCHEMA, Leak, LeakId};
use uuid::Uuid;

/// Longest line that is read: a leak whose names all have their full length is a tenth of it.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Why there is no leak to verify.
#[derive(Debug, thiserror::Error)]
pub enum LeakError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// A line is no object that the agent writes. Nothing of it is told.
    #[error("line {0} is no leak and no ledger, as watch --json writes them")]
    Malformed(usize),
    /// No line is a leak, or none has that id.
    #[error("there is no such leak in it")]
    None,
    /// It is not said which.
    #[error("there are several leaks in it: say which by --id")]
    Several,
}

/// The one leak of a file, or the one with this id; "-" is standard input.
///
/// # Errors
/// There is none, there are several, or a line is no object of the agent.
pub fn find(path: &Path, id: Option<Uuid>) -> Result<Leak, LeakError> {
    if path == Path::new("-") {
        return pick(io::stdin().lock(), id);
    }
    pick(BufReader::new(File::open(path)?), id)
}

fn pick(mut lines: impl BufRead, id: Option<Uuid>) -> Result<Leak, LeakError> {
    let mut picked = None;
    for number in 1.. {
        let mut line = Vec::new();
        if lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let leak = leak(&line).ok_or(LeakError::Malformed(number))?;
        let Some(leak) = leak.filter(|leak| id.is_none_or(|id| leak.id == LeakId(id))) else { continue };
        if picked.replace(leak).is_some() {
            return Err(LeakError::Several);
        }
    }
    picked.ok_or(LeakError::None)
}

/// The leak in a line; `Some(None)` for another object, `None` for what is none.
fn leak(line: &[u8]) -> Option<Option<Leak>> {
    let object: serde_json::Value = serde_json::from_slice(line).ok()?;
    match object["schema"].as_str()? {
        LEAK_SCHEMA => serde_json::from_value(object).ok().map(Some),
        _ => Some(None),
    }
}

#[cfg(test)]
mod tests {
    use cprvagt_report::sample;

    use super::*;

    fn line(id: u128) -> String {
        let leak = Leak { id: LeakId(Uuid::from_u128(id)), ..sample::leak(1, "stats.example") };
        serde_json::to_string(&leak).unwrap() + "\n"
    }

    fn picked(text: &str, id: Option<u128>) -> Result<u128, String> {
        pick(text.as_bytes(), id.map(Uuid::from_u128))
            .map(|leak| leak.id.0.as_u128())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn one_leak_is_picked() {
        let ledger = "{\"schema\":\"cprvagt.ledger/1\"}\n";
        let two = line(1) + &line(2) + ledger;
        let none = || Err("there is no such leak in it".to_owned());
        for (text, id, expected) in [
            (line(1) + ledger, None, Ok(1)),
            (line(1).trim_end().to_owned(), None, Ok(1)),
            (two.clone(), Some(2), Ok(2)),
            (two.clone(), Some(3), none()),
            (two, None, Err("there are several leaks in it: say which by --id".to_owned())),
            (String::new(), None, none()),
            (ledger.to_owned(), None, none()),
        ] {
            assert_eq!(picked(&text, id), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_leak_is_told_by_its_line_and_not_shown() {
        let long = "\"".to_owned() + &"x".repeat(LINE_BYTES_MAX as usize + 9) + "\"\n";
        let bad = line(1).replace("\"masked\"", "\"maske\"");
        for text in ["x\n", "{}\n", "\n", "{\"schema\":7}\n", &bad, &long] {
            let error = picked(&(line(1) + text), Some(9)).unwrap_err();
            assert!(error.starts_with("line 2 is no leak"), "{error}");
        }
    }
}
