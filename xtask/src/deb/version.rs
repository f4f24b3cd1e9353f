//! The version of a package: that of the workspace where the last commit carries its tag, else one that comes before
//! it and grows with each commit.

use std::fmt;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell;

/// A version, and when it was committed.
pub struct Version {
    text: String,
    /// Unix time, as `SOURCE_DATE_EPOCH` has it (reproducible-builds.org).
    epoch: String,
    /// As a Debian changelog has it.
    pub committed: String,
}

impl Version {
    /// The version that the last commit makes.
    ///
    /// # Errors
    /// When this is no checkout, or git is not there.
    pub fn of_last_commit() -> Result<Self> {
        let shown = git(&["log", "-1", "--format=%ct\t%cd\t%h", "--date=format-local:%Y%m%d%H%M%S"])?;
        let mut parts = shown.split('\t').map(str::to_owned);
        let mut part = || parts.next().context("git log left something out");
        let (epoch, digits, hash) = (part()?, part()?, part()?);
        let committed =
            git(&["log", "-1", "--format=%cd", "--date=format-local:%a, %d %b %Y %H:%M:%S +0000"])?;
        let released = env!("CARGO_PKG_VERSION");
        let tags = git(&["tag", "--points-at", "HEAD"])?;
        if !git(&["status", "--porcelain"])?.is_empty() {
            eprintln!("deb: what is built is not what was committed");
        }
        Ok(Self { text: text(released, &tags, &digits, &hash), epoch, committed })
    }

    /// As dpkg has it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Has a command take its times from the commit.
    pub fn date<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("SOURCE_DATE_EPOCH", &self.epoch).env("TZ", "UTC").env("LC_ALL", "C.UTF-8")
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `~` comes before the end in dpkg's order: what is not released yet is older than the release.
fn text(released: &str, tags: &str, digits: &str, hash: &str) -> String {
    if tags.lines().any(|tag| tag.strip_prefix('v') == Some(released)) {
        return format!("{released}-1");
    }
    format!("{released}~git{digits}.{hash}-1")
}

fn git(arguments: &[&str]) -> Result<String> {
    let output = Command::new("git").args(arguments).current_dir(shell::root()).env("TZ", "UTC").output();
    let output = output.context("starting git")?;
    ensure!(output.status.success(), "git: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_of_this_version_releases_it() {
        for (tags, expected) in [
            ("v0.4.0", "0.4.0-1"),
            ("other\nv0.4.0", "0.4.0-1"),
            ("v0.4", "0.4.0~git20261129093000.abc-1"),
            ("", "0.4.0~git20261129093000.abc-1"),
        ] {
            assert_eq!(text("0.4.0", tags, "20261129093000", "abc"), expected, "{tags}");
        }
    }
}
