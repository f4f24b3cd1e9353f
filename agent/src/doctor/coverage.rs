//! How far the running daemon has read what programs sent: what this machine does observe, beside what it could.
//!
//! *Not here*: counting, and the words for a row; both are those of `status`.

use std::path::Path;

use serde_json::{Value, json};

use super::wrapped;
use crate::run;

/// What stands before each row.
const ROW: &str = "  ";

/// What the daemon of this host says of itself.
pub enum Coverage {
    /// Its status.
    Of(Value),
    /// None runs.
    NotRunning,
    /// Why it cannot be asked.
    NotTold(String),
}

impl Coverage {
    /// Asks the daemon of `runtime_dir`.
    pub fn ask(runtime_dir: &Path) -> Self {
        match run::ask(runtime_dir) {
            Ok(Some(status)) => Self::Of(status),
            Ok(None) => Self::NotRunning,
            Err(error) => Self::NotTold(error.to_string()),
        }
    }

    /// All rows of the ledger, as it spells them.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Of(status) => {
                // The ledger leaves the list out where nothing was sent.
                let none = || if status["ledger"].is_null() { Value::Null } else { json!([]) };
                let coverage = status.pointer("/ledger/coverage").cloned().unwrap_or_else(none);
                json!({"runs": true, "coverage": coverage})
            }
            Self::NotRunning => json!({"runs": false}),
            Self::NotTold(why) => json!({"problem": why}),
        }
    }

    /// The worst rows, by program and destination.
    pub(super) fn to_text(&self) -> String {
        let status = match self {
            Self::Of(status) => status,
            Self::NotRunning => {
                return wrapped("coverage", "cprvagt run is not running here: nothing is observed");
            }
            Self::NotTold(why) => return wrapped("coverage", &format!("not known: {why}")),
        };
        if status["ledger"].is_null() {
            return wrapped("coverage", "the daemon has counted nothing yet");
        }
        let rows = run::coverage(status);
        if rows.is_empty() {
            let all = "the daemon has read all that programs sent to destinations that are not allowed";
            return wrapped("coverage", all);
        }
        let head = wrapped("coverage", "read of what programs sent, as the daemon counted it; worst first:");
        rows.into_iter().fold(head, |text, row| text + ROW + &row + "\n")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    #[test]
    fn programs_that_were_not_read_are_told() {
        let row = |exe: &str, covered: u64| {
            json!({"wire_bytes": 1000, "covered_bytes": covered, "process": {"exe": exe},
                "destination": {"ip": "198.18.0.10", "port": 443}})
        };
        let of = |rows: Value| Coverage::Of(json!({"ledger": {"coverage": rows}}));
        let two = of(json!([row("/usr/bin/java", 10), row("/usr/bin/curl", 1000)]));
        assert!(two.to_text().ends_with("\n  1 % of 1000 bytes, /usr/bin/java -> 198.18.0.10:443\n"));
        assert_eq!(two.to_json()["coverage"][1]["process"]["exe"], "/usr/bin/curl");
        assert!(of(json!([row("/usr/bin/curl", 1000)])).to_text().contains("has read all"));
        let nothing_sent = Coverage::Of(json!({"ledger": {}}));
        assert!(nothing_sent.to_text().contains("has read all"));
        assert_eq!(nothing_sent.to_json()["coverage"], json!([]));
        assert!(Coverage::NotRunning.to_text().contains("not running"));
    }

    #[test]
    fn a_daemon_is_asked_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Coverage::ask(dir.path()), Coverage::NotRunning));
        let listener = UnixListener::bind(dir.path().join("status.sock")).unwrap();
        let answering = thread::spawn(move || listener.accept().unwrap().0.write_all(b"{}").unwrap());
        let coverage = Coverage::ask(dir.path());
        answering.join().unwrap();
        assert!(coverage.to_text().contains("nothing yet"));
    }
}
