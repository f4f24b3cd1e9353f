//! The tables, as numbered steps; the database says in `user_version` which it has.
//!
//! *Invariants*: all steps that are missing are one transaction. A step that was released never changes.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection};

use super::StoreError;

/// The steps, the first makes version 1.
const STEPS: [&str; 1] = [include_str!("migrations/0001_first.sql")];

/// Brings the database to the newest version.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *transaction).await?;
    let known = STEPS.len() as i64;
    let missing = usize::try_from(found).ok().and_then(|found| STEPS.get(found..));
    let Some(missing) = missing else { return Err(StoreError::Newer { found, known }) };
    for step in missing {
        transaction.execute(*step).await?;
    }
    if !missing.is_empty() {
        let version = format!("PRAGMA user_version = {known}");
        sqlx::query(AssertSqlSafe(version)).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}
