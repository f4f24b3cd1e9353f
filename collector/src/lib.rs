//! The collector: takes in what agents report, keeps it as incidents, shows and forwards them.
//!
//! *Invariants*: nothing is acknowledged that is not committed. No readable number is kept, shown or sent.
#![forbid(unsafe_code)]

pub mod agents;
pub mod authority;
pub mod citizen;
pub mod cli;
pub mod commands;
pub mod config;
pub mod data_dir;
pub mod fingerprint;
pub mod health;
pub mod ingest;
pub mod keys;
pub mod listener;
pub mod logging;
pub mod metrics;
pub mod occurrence;
pub mod outlets;
pub mod privacy;
pub mod serve;
pub mod stop;
pub mod store;
pub mod web;
