//! Commands whose part of the project is not built yet.

use anyhow::Result;

use crate::refusal::{NOT_IN_THIS_VERSION, refuse};

/// Whatever they will take.
#[derive(clap::Args)]
pub struct Arguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _any: Vec<String>,
}

/// Says so.
pub fn run() -> Result<()> {
    refuse(NOT_IN_THIS_VERSION, "not in this version")
}
