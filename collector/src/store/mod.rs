//! What the collector keeps, in one SQLite file: receipts, incidents, agents, accounts, and what is to be told.
//!
//! One connection writes, behind a lock; a few others read beside it, from the last commit. A second process
//! may open the same file.
//!
//! *Invariants*: a report's receipt and all its effects are one transaction; a change to an incident and the
//! row that tells it are one transaction. What a call says is done is on the disk. No text of a report gets
//! here but through [`crate::occurrence`].
//!
//! *Limits*: receipts are never forgotten, since a report may come again after any time: the table grows by a row
//! of some 50 bytes for each report ever taken.
//!
//! *Units*: columns of time hold microseconds of Unix time.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::sync::{Mutex, MutexGuard};

mod accounts;
mod agents;
mod bounds;
mod bulk;
mod citizens;
mod column;
mod cursors;
mod detail;
mod effects;
mod event;
mod fold;
mod gaps;
mod incidents;
mod known;
mod marks;
mod outbox;
mod schema;
mod take;
mod tokens;
mod totals;
mod traces;

pub use accounts::{Account, Role, Session};
pub use agents::{AgentRecord, AgentRow};
pub use bounds::{LEDGER_BYTES_MAX, LEDGERS_MAX, SET_ASIDE_BYTES_MAX, SET_ASIDE_MAX, TRACES_MAX};
pub use cursors::{Cursor, HeldBack, OutletRow, ReplayFrom};
pub use detail::{
    Counted, Counts, HostSeen, HourCount, IncidentDetail, LedgerRow, Location, ProcessSeen, Recipient,
    Sureness, Transport,
};
pub use event::{Change, IncidentEvent};
pub use gaps::GapRow;
pub use incidents::{IncidentQuery, IncidentRow};
pub use outbox::OutboxRow;
pub use take::{Arrival, Content, Taken};
pub use tokens::{TokenRow, TokenUse};
pub use totals::{SiteTotals, Totals};

/// Name of the database's file in the data folder.
pub const DATABASE_FILE: &str = "collector.db";
/// Connections that read.
const READERS_MAX: u32 = 4;
/// How long a connection waits for another process that writes.
const BUSY_WAIT: Duration = Duration::from_secs(10);
/// Statements kept ready on each connection.
const STATEMENTS_MAX: usize = 256;
/// Memory for pages, for each connection, in KiB and negative as SQLite wants it.
const PAGE_CACHE: &str = "-65536";
/// Pages of the log before they are copied into the database, 64 MiB: fewer, larger copies.
const CHECKPOINT_PAGES: &str = "16384";
/// What the log shrinks to after a copy, in bytes.
const LOG_BYTES_MAX: &str = "134217728";

/// The collector's data. Clones share it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    path: PathBuf,
    writer: Mutex<Writer>,
    readers: SqlitePool,
    totals: Mutex<totals::Memo>,
}

/// The one connection that writes, and what it knows of the rows.
struct Writer {
    connection: SqliteConnection,
    known: known::Known,
}

/// Why the store cannot do something. Nothing of a row's content is told.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk, or what the database may take of it, is full. Nothing of the call was done.
    #[error("the disk is full: the database cannot grow; make room, what agents hold comes again")]
    Full,
    /// Another process holds the database. Nothing of the call was done.
    #[error("another process has the database locked; try again")]
    Busy,
    /// Made by a later version of this program.
    #[error(
        "the database has version {found}, this program knows up to {known}: install the newer program again"
    )]
    Newer {
        /// Version of the database.
        found: i64,
        /// Highest version known.
        known: i64,
    },
    /// A file of the store cannot be made or read.
    #[error("{path}: {cause}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A column holds what this program never writes.
    #[error("the database holds an impossible value in `{0}`")]
    Impossible(&'static str),
    /// An account, outlet or token of that name is not there, or is there already.
    #[error("{0}")]
    Refused(&'static str),
    /// The event of that number in the outbox is not what this program writes.
    #[error("event {0} of the outbox cannot be read")]
    Unreadable(i64),
    /// Anything else that the database says.
    #[error("database: {0}")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code());
        // The low byte is the primary result code (sqlite.org/rescode.html).
        match code.and_then(|code| code.parse::<i32>().ok()).map(|code| code & 0xff) {
            Some(5 | 6) => Self::Busy,
            Some(13) => Self::Full,
            _ => Self::Database(error),
        }
    }
}

impl Writer {
    /// Whether the connection believes for ever to be in a transaction: on a full disk SQLite rolls back by
    /// itself (sqlite.org/lang_transaction.html), and the roll-back that follows fails.
    async fn is_stuck(&mut self) -> bool {
        if !self.connection.is_in_transaction() {
            return false;
        }
        // The roll-back of an earlier call may still be queued; a ping comes behind it.
        self.connection.ping().await.is_err() || self.connection.is_in_transaction()
    }
}

impl Store {
    /// The store in the folder `dir`, made there at the first call.
    ///
    /// # Errors
    /// The file cannot be made or read, or a newer program made it.
    pub async fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(DATABASE_FILE);
        claim(&path).map_err(|cause| StoreError::File { path: path.clone(), cause })?;
        let mut connection = options(&path).connect().await?;
        schema::migrate(&mut connection).await?;
        let readers = SqlitePoolOptions::new().max_connections(READERS_MAX).min_connections(0);
        let readers = readers.connect_lazy_with(options(&path).pragma("query_only", "ON"));
        let writer = Mutex::new(Writer { connection, known: known::Known::default() });
        Ok(Self(Arc::new(Inner { path, writer, readers, totals: Mutex::default() })))
    }

    /// Ends all connections, once what runs is done.
    pub async fn close(&self) {
        self.0.readers.close().await;
    }

    async fn writer(&self) -> MutexGuard<'_, Writer> {
        let mut writer = self.0.writer.lock().await;
        if writer.is_stuck().await
            && let Ok(connection) = options(&self.0.path).connect().await
        {
            *writer = Writer { connection, known: known::Known::default() };
        }
        writer
    }

    fn readers(&self) -> &SqlitePool {
        &self.0.readers
    }
}

/// Makes the file before SQLite does, so that nobody else can ever read it; its log gets the same mode.
fn claim(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_WAIT)
        .statement_cache_capacity(STATEMENTS_MAX)
        .pragma("cache_size", PAGE_CACHE)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("journal_size_limit", LOG_BYTES_MAX)
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging()
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "access_tests.rs"]
mod access_tests;
