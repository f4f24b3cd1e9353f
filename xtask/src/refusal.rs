//! Ends with a documented exit code instead of 1.

use std::fmt;
use std::process::ExitCode;

use anyhow::Result;

/// A privilege, program or package is missing.
pub const MISSING: u8 = 4;

/// A message for people and a code for scripts.
#[derive(Debug)]
struct Refusal {
    code: u8,
    message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

/// Ends the command with `code` and `message`.
///
/// # Errors
/// Always.
pub fn refuse<T>(code: u8, message: impl Into<String>) -> Result<T> {
    Err(Refusal { code, message: message.into() }.into())
}

/// Prints the error, if any, and turns it into the process's exit code.
pub fn exit_code(result: Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    eprintln!("{error:#}");
    error.downcast_ref::<Refusal>().map_or(ExitCode::FAILURE, |refusal| ExitCode::from(refusal.code))
}
