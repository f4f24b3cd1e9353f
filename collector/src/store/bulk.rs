//! One statement for many rows of values.

use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection};

use super::StoreError;

/// A statement with its values bound.
pub(super) type Query = sqlx::query::Query<'static, Sqlite, SqliteArguments>;

/// Rows of one statement, the most first. Few sizes, so that each is prepared once and kept.
const SIZES: [usize; 4] = [400, 50, 8, 1];

/// A statement around `VALUES` rows.
#[derive(Clone, Copy)]
pub(super) struct Statement {
    /// What comes before the rows, `VALUES` included.
    pub(super) head: &'static str,
    /// Values in a row; 80 at most, for SQLite binds 32,766 values at most.
    pub(super) width: usize,
    /// What comes after the rows.
    pub(super) tail: &'static str,
}

/// Runs `statement` over all `rows`; returns what it gives back, in any order.
pub(super) async fn run<R>(
    connection: &mut SqliteConnection,
    statement: &Statement,
    rows: &[R],
    bind: impl Fn(Query, &R) -> Query,
) -> Result<Vec<SqliteRow>, StoreError> {
    let mut given = Vec::new();
    let mut rest = rows;
    while let Some(size) = SIZES.into_iter().find(|size| *size <= rest.len()) {
        let (now, later) = rest.split_at(size);
        let query = now.iter().fold(sqlx::query(AssertSqlSafe(statement.text(size))), &bind);
        given.extend(query.fetch_all(&mut *connection).await?);
        rest = later;
    }
    Ok(given)
}

impl Statement {
    fn text(&self, rows: usize) -> String {
        let row = format!("({}),", vec!["?"; self.width].join(","));
        let mut text = String::with_capacity(self.head.len() + rows * row.len() + self.tail.len());
        text.push_str(self.head);
        text.push_str(row.repeat(rows).trim_end_matches(','));
        text.push_str(self.tail);
        text
    }
}
