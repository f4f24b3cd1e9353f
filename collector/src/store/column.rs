//! Columns and what they stand for.

use cprvagt_report::{AgentId, Moment};
use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row as _, Sqlite, Type};
use uuid::Uuid;

use super::StoreError;

/// A time as the columns hold it.
pub(super) fn micros(moment: Moment) -> i64 {
    moment.0.as_microsecond()
}

/// A count as the columns hold it; what is too large for one stays the largest.
pub(super) fn integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// One row, read by name.
pub(super) struct Columns<'a>(pub(super) &'a SqliteRow);

impl<'a> Columns<'a> {
    /// The value of any type that SQLite itself has.
    pub(super) fn get<T: Decode<'a, Sqlite> + Type<Sqlite>>(
        &self,
        name: &'static str,
    ) -> Result<T, StoreError> {
        Ok(self.0.try_get(name)?)
    }

    /// A count.
    pub(super) fn count(&self, name: &'static str) -> Result<u64, StoreError> {
        self.get::<i64>(name)?.try_into().map_err(|_| StoreError::Impossible(name))
    }

    /// A time.
    pub(super) fn moment(&self, name: &'static str) -> Result<Moment, StoreError> {
        moment(self.get(name)?, name)
    }

    /// A time, if there is one.
    pub(super) fn moment_maybe(&self, name: &'static str) -> Result<Option<Moment>, StoreError> {
        self.get::<Option<i64>>(name)?.map(|it| moment(it, name)).transpose()
    }

    /// Bytes of a fixed length.
    pub(super) fn bytes<const N: usize>(&self, name: &'static str) -> Result<[u8; N], StoreError> {
        self.get::<&[u8]>(name)?.try_into().map_err(|_| StoreError::Impossible(name))
    }

    /// An agent.
    pub(super) fn agent(&self, name: &'static str) -> Result<AgentId, StoreError> {
        Ok(AgentId(Uuid::from_bytes(self.bytes(name)?)))
    }

    /// A word of a closed list.
    pub(super) fn word<T>(&self, name: &'static str, read: fn(&str) -> Option<T>) -> Result<T, StoreError> {
        read(self.get(name)?).ok_or(StoreError::Impossible(name))
    }

    /// A word of a closed list, if there is one.
    pub(super) fn word_maybe<T>(
        &self,
        name: &'static str,
        read: fn(&str) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        let word = self.get::<Option<&str>>(name)?;
        word.map(|word| read(word).ok_or(StoreError::Impossible(name))).transpose()
    }

    /// A word by its rank in a list.
    pub(super) fn ranked<T: Copy>(&self, name: &'static str, all: &[T]) -> Result<T, StoreError> {
        let rank = usize::try_from(self.get::<i64>(name)?).ok();
        rank.and_then(|rank| all.get(rank)).copied().ok_or(StoreError::Impossible(name))
    }
}

fn moment(micros: i64, name: &'static str) -> Result<Moment, StoreError> {
    Timestamp::from_microsecond(micros).map(Moment).map_err(|_| StoreError::Impossible(name))
}
