//! What the running daemon tells of itself: a socket that gives one JSON object to whoever may open it, and the
//! command that asks.
//!
//! *Invariants*: the socket is for root (or the agent's user) alone. Having it is being the one daemon of this
//! runtime directory.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use cprvagt_report::{Covered, Endpoint, Process, Unread};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Where the socket lies when nothing else is said.
pub const RUNTIME_DIR: &str = "/run/cprvagt";
/// The socket in the runtime directory.
const SOCKET: &str = "status.sock";
/// Blind spots, and programs that were not read wholly, that are shown to a person; the JSON has all.
const ROWS_MAX: usize = 5;
/// How long a client may take to read.
const CLIENT_LIMIT: Duration = Duration::from_secs(2);

/// The socket and what it says. The socket is removed on drop, by a process that may still remove files.
pub struct StatusSocket {
    path: PathBuf,
    said: Arc<Mutex<String>>,
}

/// Why there is no status socket.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Another daemon has it.
    #[error("cprvagt run is already running here ({})", .0.display())]
    Busy(PathBuf),
    /// It cannot be made.
    #[error("status socket {}: {cause}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
}

impl StatusSocket {
    /// Opens the socket in `runtime_dir`, which is made if need be.
    ///
    /// # Errors
    /// Another daemon has it, or the directory cannot be used.
    pub fn open(runtime_dir: &Path) -> Result<(Self, UnixListener), StatusError> {
        let path = runtime_dir.join(SOCKET);
        if UnixStream::connect(&path).is_ok() {
            return Err(StatusError::Busy(path));
        }
        let failed = |cause| StatusError::Socket { path: path.clone(), cause };
        fs::DirBuilder::new().recursive(true).mode(0o755).create(runtime_dir).map_err(failed)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(failed)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok((Self { path, said: Arc::default() }, listener))
    }

    /// Serves `listener` in a thread of its own until the process ends.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn serve(&self, listener: UnixListener) -> io::Result<()> {
        let said = Arc::clone(&self.said);
        thread::Builder::new().name("status".to_owned()).spawn(move || {
            for client in listener.incoming().flatten() {
                let text = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // A client that goes away has lost its interest.
                let _ = answer(client, &text);
            }
        })?;
        Ok(())
    }

    /// What clients get from now on.
    pub fn say(&self, status: &Value) {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = status.to_string();
    }
}

impl Drop for StatusSocket {
    fn drop(&mut self) {
        // What is left is removed by the next start.
        let _ = fs::remove_file(&self.path);
    }
}

fn answer(mut client: UnixStream, text: &str) -> io::Result<()> {
    client.set_write_timeout(Some(CLIENT_LIMIT))?;
    client.write_all(text.as_bytes())
}

/// The status of the daemon of `runtime_dir`; `None` when none is running.
///
/// # Errors
/// The socket may not be opened, or does not speak.
pub fn ask(runtime_dir: &Path) -> Result<Option<Value>, StatusError> {
    let path = runtime_dir.join(SOCKET);
    let failed = |cause| StatusError::Socket { path: path.clone(), cause };
    let mut stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) => {
            return match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
                _ => Err(failed(error)),
            };
        }
    };
    let mut text = String::new();
    stream.set_read_timeout(Some(CLIENT_LIMIT)).map_err(failed)?;
    stream.read_to_string(&mut text).map_err(failed)?;
    serde_json::from_str(&text).map(Some).map_err(|error| failed(error.into()))
}

/// The status for a person.
pub fn lines(status: &Value) -> Vec<String> {
    let text = |pointer: &str| match status.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(value) if !value.is_null() => value.to_string(),
        _ => "-".to_owned(),
    };
    let rows = [
        ("running since", text("/since")),
        (
            "processes",
            format!(
                "capture {}, broker {}, inspect {}, send {}",
                text("/processes/capture"),
                text("/processes/broker"),
                text("/processes/inspect"),
                text("/processes/send")
            ),
        ),
        ("configuration", configuration(status)),
        ("TLS files probed", text("/attached_files")),
        ("open flows", text("/inspect/open_flows")),
        (
            "leaks",
            format!(
                "{} told, {} on their way to the spool, {} lost for want of room",
                text("/inspect/leaks"),
                text("/inspect/queued_leaks"),
                text("/inspect/lost_leaks")
            ),
        ),
        (
            "ledger, bytes",
            format!(
                "{} on the wire, {} inspected, {} protocol, {} unexplained, at {}",
                text("/ledger/wire_bytes"),
                text("/ledger/inspected_bytes"),
                text("/ledger/protocol_bytes"),
                text("/ledger/unexplained_bytes"),
                text("/ledger/until")
            ),
        ),
        (
            "spool",
            format!(
                "{} reports wait with {} leaks, {} bytes in {} segments",
                text("/send/spool/records"),
                text("/send/spool/leaks"),
                text("/send/spool/bytes"),
                text("/send/spool/segments")
            ),
        ),
        (
            "collector",
            format!(
                "{}: {} reports delivered, last at {}",
                text("/send/collector"),
                text("/send/delivered"),
                text("/send/last_delivery_at")
            ),
        ),
        ("last problem", text("/send/last_error")),
        ("certificate ends", text("/send/certificate_expires_at")),
    ];
    let blind = blind_spots(status).into_iter().map(|spot| ("cannot be read", spot));
    let coverage = coverage(status).into_iter().map(|row| ("read", row));
    rows.into_iter().chain(coverage).chain(blind).map(|(name, value)| format!("{name:<18} {value}")).collect()
}

/// Which configuration holds, and whether that is what its file says.
fn configuration(status: &Value) -> String {
    let text = |name: &str| status["config"][name].as_str();
    let (file, since) = (text("file").unwrap_or("-"), text("in_force_since").unwrap_or("-"));
    match text("problem") {
        Some(problem) => {
            format!("NOT as {file} says now; what was read at {since} holds. {}", problem.replace('\n', "; "))
        }
        None => format!("{file}, in force since {since}"),
    }
}

/// The worst blind spots of the ledger, which has the worst first.
fn blind_spots(status: &Value) -> Vec<String> {
    let lines: Vec<Unread> = lines_of(status, "/ledger/blind");
    let row = |line: &Unread| {
        let who = who(line.process.as_ref(), line.destination.as_ref());
        format!("{} bytes ({}), {who}", line.bytes, line.reason)
    };
    lines.iter().take(ROWS_MAX).map(row).collect()
}

/// How far programs were read that were not read wholly, by program and destination, of which the ledger has the worst
/// first.
pub fn coverage(status: &Value) -> Vec<String> {
    let lines: Vec<Covered> = lines_of(status, "/ledger/coverage");
    let row = |line: &Covered| {
        let who = who(line.process.as_ref(), line.destination.as_ref());
        format!("{} % of {} bytes, {who}", line.percent(), line.wire_bytes)
    };
    lines.iter().filter(|line| line.unread_bytes() > 0).take(ROWS_MAX).map(row).collect()
}

/// The lines of a list, but for those that another version has written in another form.
fn lines_of<T: DeserializeOwned>(status: &Value, list: &str) -> Vec<T> {
    let lines = status.pointer(list).and_then(Value::as_array).into_iter().flatten();
    lines.filter_map(|line| T::deserialize(line).ok()).collect()
}

fn who(process: Option<&Process>, destination: Option<&Endpoint>) -> String {
    let program = process.and_then(|process| process.exe.as_ref().or(process.comm.as_ref()));
    let program = program.map_or("a program not known", |program| program.as_str());
    destination.map_or_else(
        || format!("{program} -> several destinations"),
        |end| match &end.host {
            Some(host) => format!("{program} -> {host}:{}", end.port),
            None => format!("{program} -> {}:{}", end.ip, end.port),
        },
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_daemon_speaks_and_a_second_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(ask(dir.path()).unwrap().is_none());
        let (socket, listener) = StatusSocket::open(dir.path()).unwrap();
        socket.serve(listener).unwrap();
        socket.say(&json!({"since": "now"}));
        assert_eq!(ask(dir.path()).unwrap().unwrap()["since"], "now");
        assert!(matches!(StatusSocket::open(dir.path()), Err(StatusError::Busy(_))));
        let mode = fs::metadata(dir.path().join(SOCKET)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(socket);
        assert!(!dir.path().join(SOCKET).exists());
    }

    #[test]
    fn a_socket_that_a_dead_daemon_left_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        drop(UnixListener::bind(dir.path().join(SOCKET)).unwrap());
        assert!(ask(dir.path()).unwrap().is_none());
        assert!(StatusSocket::open(dir.path()).is_ok());
    }

    #[test]
    fn blind_spots_are_shown_with_program_and_destination() {
        let java = json!({"reason": "no-tap", "bytes": 137, "process": {"exe": "/usr/bin/java", "comm": "java"},
            "destination": {"ip": "198.18.0.10", "port": 443, "host": "maal.example"}});
        let rest = json!({"reason": "opaque", "bytes": 9});
        let covered = json!([{"wire_bytes": 1000, "covered_bytes": 999, "process": java["process"],
            "destination": java["destination"]}, {"wire_bytes": 5, "covered_bytes": 5}]);
        let all = lines(&json!({"ledger": {"blind": [java, rest], "coverage": covered}}));
        let read: Vec<_> = all.iter().filter_map(|line| line.strip_prefix("read               ")).collect();
        assert_eq!(read, ["99 % of 1000 bytes, /usr/bin/java -> maal.example:443"]);
        let shown: Vec<_> = all.iter().filter_map(|line| line.strip_prefix("cannot be read     ")).collect();
        let expected = [
            "137 bytes (no-tap), /usr/bin/java -> maal.example:443",
            "9 bytes (opaque), a program not known -> several destinations",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_configuration_that_is_not_in_force_is_an_alarm() {
        let config =
            |problem: Value| json!({"config": {"file": "/a", "in_force_since": "t", "problem": problem}});
        let line = |status: &Value| lines(status).into_iter().find(|line| line.starts_with("configuration"));
        let cases = [
            (Value::Null, "configuration      /a, in force since t"),
            (
                json!("1: x\n2: y"),
                "configuration      NOT as /a says now; what was read at t holds. 1: x; 2: y",
            ),
        ];
        for (problem, expected) in cases {
            assert_eq!(line(&config(problem)).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        let all = lines(&json!({"inspect": {"leaks": 3}})).join("\n");
        assert!(all.contains("3 told") && all.contains("running since      -"), "{all}");
    }
}
