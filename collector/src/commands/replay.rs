//! `cprvagt-collector replay`: has an outlet send again what it sent before.

use std::io::Write;

use cprvagt_report::Moment;

use super::outlets::names;
use super::{Failure, open};
use crate::cli::{self, Exit};
use crate::config::Config;
use crate::store::ReplayFrom;

/// Sets the outlet back; a running collector begins to send at once.
///
/// # Errors
/// There is no such outlet, or the data cannot be used.
pub(super) async fn run(config: &Config, options: &cli::Replay, out: &mut impl Write) -> Result<(), Failure> {
    let names = names(config);
    if !names.contains(&options.outlet.as_str()) {
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let text = format!("there is no outlet {:?}; configured: {known}", options.outlet);
        return Err(Failure::new(Exit::Config, text));
    }
    let (_, store) = open(config).await?;
    let from = match options.from {
        cli::ReplayFrom::Event(id) => ReplayFrom::Id(id),
        cli::ReplayFrom::Time(time) => ReplayFrom::Time(Moment(time)),
    };
    let count = store.rewind(&options.outlet, from).await?;
    writeln!(out, "{count} events will be sent again to {}", options.outlet)?;
    Ok(())
}
