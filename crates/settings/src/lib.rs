//! Reading TOML settings key by key: whole or not at all, every mistake with its line, column and the
//! nearest valid key.
//!
//! *Not here*: which keys there are; `agent` and `collector` each know their own.
#![forbid(unsafe_code)]

mod document;
mod file;
pub mod size;

pub use document::{Document, Place, Table, Value, nearest};
pub use file::{Problem, SettingsError, find, load};
