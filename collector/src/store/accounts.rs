//! Local accounts of people, and their sessions.
//!
//! *Invariants*: of passwords and session tokens there are hashes only, made by the caller. An account that is
//! disabled, or whose password changed, has no session left.

use cprvagt_report::Moment;
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection as _, SqliteConnection};

use super::column::{Columns, micros};
use super::{Store, StoreError};

/// What a person may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// Look at incidents.
    Analyst,
    /// Everything.
    Admin,
}

impl Role {
    /// As in the database and on command lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Analyst => "analyst",
            Self::Admin => "admin",
        }
    }

    /// The role spelled `word`.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Analyst, Self::Admin].into_iter().find(|role| role.as_str() == word)
    }
}

/// A person's account. It has no Debug, so that no log line gets the hash.
#[derive(Clone, Eq, PartialEq)]
pub struct Account {
    /// The name to log in by.
    pub name: String,
    /// The password's hash, in PHC form.
    pub password_hash: String,
    /// What the person may do.
    pub role: Role,
    /// When it was made.
    pub made_at: Moment,
    /// Since when it may not log in.
    pub disabled_at: Option<Moment>,
}

/// A person who is logged in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    /// The account.
    pub account: String,
    /// What the person may do.
    pub role: Role,
    /// When the session ends.
    pub expires_at: Moment,
}

impl Store {
    /// Adds an account.
    ///
    /// # Errors
    /// There is one of that name, or the database fails.
    pub async fn add_account(
        &self,
        name: &str,
        password_hash: &str,
        role: Role,
        now: Moment,
    ) -> Result<(), StoreError> {
        let query = sqlx::query(
            "INSERT INTO accounts (name, password_hash, role, made_at) VALUES (?, ?, ?, ?) \
             ON CONFLICT DO NOTHING",
        );
        let query = query.bind(name).bind(password_hash).bind(role.as_str()).bind(micros(now));
        let done = query.execute(&mut self.writer().await.connection).await?;
        match done.rows_affected() {
            0 => Err(StoreError::Refused("there is an account of that name already")),
            _ => Ok(()),
        }
    }

    /// Gives the account another password and ends its sessions.
    ///
    /// # Errors
    /// There is none of that name, or the database fails.
    pub async fn set_password(&self, name: &str, password_hash: &str) -> Result<(), StoreError> {
        let query = sqlx::query("UPDATE accounts SET password_hash = ? WHERE name = ?");
        self.change_account(query.bind(password_hash).bind(name), name).await
    }

    /// The account may log in no more, and its sessions end.
    ///
    /// # Errors
    /// There is none of that name, or the database fails.
    pub async fn disable_account(&self, name: &str, now: Moment) -> Result<(), StoreError> {
        let query = sqlx::query("UPDATE accounts SET disabled_at = coalesce(disabled_at, ?) WHERE name = ?");
        self.change_account(query.bind(micros(now)).bind(name), name).await
    }

    async fn change_account(&self, query: Query, name: &str) -> Result<(), StoreError> {
        let mut writer = self.writer().await;
        let mut transaction = writer.connection.begin_with("BEGIN IMMEDIATE").await?;
        if query.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Err(StoreError::Refused("there is no account of that name"));
        }
        end_sessions_of(&mut transaction, name).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// All accounts, by name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        let rows = sqlx::query("SELECT * FROM accounts ORDER BY name").fetch_all(self.readers()).await?;
        rows.iter().map(Account::read).collect()
    }

    /// The account of that name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn account(&self, name: &str) -> Result<Option<Account>, StoreError> {
        let row = sqlx::query("SELECT * FROM accounts WHERE name = ?").bind(name);
        row.fetch_optional(self.readers()).await?.map(|row| Account::read(&row)).transpose()
    }

    /// Opens a session; false when the account is disabled or not there.
    ///
    /// # Errors
    /// The database fails.
    pub async fn add_session(
        &self,
        token_hash: &[u8; 32],
        account: &str,
        now: Moment,
        expires_at: Moment,
    ) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "INSERT INTO sessions (token_hash, account, made_at, expires_at) \
             SELECT ?, name, ?, ? FROM accounts WHERE name = ? AND disabled_at IS NULL",
        );
        let query = query.bind(token_hash.to_vec()).bind(micros(now)).bind(micros(expires_at)).bind(account);
        Ok(query.execute(&mut self.writer().await.connection).await?.rows_affected() > 0)
    }

    /// The session of that token, if it has not ended at `now`.
    ///
    /// # Errors
    /// The database fails.
    pub async fn session(&self, token_hash: &[u8; 32], now: Moment) -> Result<Option<Session>, StoreError> {
        let row = sqlx::query(
            "SELECT s.account, a.role, s.expires_at FROM sessions s JOIN accounts a ON a.name = s.account \
             WHERE s.token_hash = ? AND s.expires_at > ? AND a.disabled_at IS NULL",
        );
        let row = row.bind(token_hash.to_vec()).bind(micros(now)).fetch_optional(self.readers()).await?;
        row.map(|row| Session::read(&row)).transpose()
    }

    /// Ends the session of that token.
    ///
    /// # Errors
    /// The database fails.
    pub async fn end_session(&self, token_hash: &[u8; 32]) -> Result<(), StoreError> {
        let query = sqlx::query("DELETE FROM sessions WHERE token_hash = ?").bind(token_hash.to_vec());
        query.execute(&mut self.writer().await.connection).await?;
        Ok(())
    }

    /// Deletes sessions that ended before `now`; returns how many.
    ///
    /// # Errors
    /// The database fails.
    pub async fn prune_sessions(&self, now: Moment) -> Result<u64, StoreError> {
        let query = sqlx::query("DELETE FROM sessions WHERE expires_at <= ?").bind(micros(now));
        Ok(query.execute(&mut self.writer().await.connection).await?.rows_affected())
    }
}

type Query = sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

async fn end_sessions_of(connection: &mut SqliteConnection, account: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM sessions WHERE account = ?").bind(account).execute(connection).await?;
    Ok(())
}

impl Account {
    fn read(row: &SqliteRow) -> Result<Self, StoreError> {
        let row = Columns(row);
        Ok(Self {
            name: row.get("name")?,
            password_hash: row.get("password_hash")?,
            role: row.word("role", Role::from_word)?,
            made_at: row.moment("made_at")?,
            disabled_at: row.moment_maybe("disabled_at")?,
        })
    }
}

impl Session {
    fn read(row: &SqliteRow) -> Result<Self, StoreError> {
        let row = Columns(row);
        Ok(Self {
            account: row.get("account")?,
            role: row.word("role", Role::from_word)?,
            expires_at: row.moment("expires_at")?,
        })
    }
}
