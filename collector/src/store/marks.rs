//! Marks of the keys that the rows were made under, see [`crate::keys`].

use super::{Store, StoreError};
use crate::keys::Mark;

impl Store {
    /// Whether there is a mark of the key in `file`.
    ///
    /// # Errors
    /// The database fails.
    pub async fn has_mark(&self, file: &str) -> Result<bool, StoreError> {
        let query = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM meta WHERE name = ?)").bind(name(file));
        Ok(query.fetch_one(self.readers()).await?)
    }

    /// Keeps `mark` of the key in `file` if there is none yet; whether it is the one that is kept.
    ///
    /// # Errors
    /// The database fails.
    pub async fn keep_mark(&self, file: &str, mark: Mark) -> Result<bool, StoreError> {
        let mark = data_encoding::HEXLOWER.encode(&mark);
        let mut writer = self.writer().await;
        let query = sqlx::query("INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING");
        query.bind(name(file)).bind(&mark).execute(&mut writer.connection).await?;
        let query = sqlx::query_scalar("SELECT value FROM meta WHERE name = ?").bind(name(file));
        let kept: String = query.fetch_one(&mut writer.connection).await?;
        Ok(kept == mark)
    }
}

fn name(file: &str) -> String {
    format!("mark of {file}")
}
