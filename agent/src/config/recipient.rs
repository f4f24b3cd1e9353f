//! `[[recipient]]`: who stands behind a host name. The built-in list has the same form.

use std::fmt;

use cprvagt_settings::{Document, Problem, Table};

use super::sections::word;
use crate::judge::HostName;

/// A recipient that makes a leak critical.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recipient {
    /// Its host name; all names below it are its own too.
    pub suffix: HostName,
    /// Who answers for it.
    pub owner: String,
    /// What it does with what it gets.
    pub kind: RecipientKind,
    /// Where the owner has its seat: two capital letters (ISO 3166-1).
    pub country: String,
}

/// What a recipient does with what it gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RecipientKind {
    /// Counts visitors and what they do.
    Analytics,
    /// Sells and measures advertising.
    Advertising,
    /// Delivers files for others.
    Cdn,
    /// Records what people do on a page.
    SessionReplay,
    /// Collects errors and traces of programs.
    ErrorReporting,
}

impl RecipientKind {
    /// Every kind.
    pub const ALL: &'static [Self] =
        &[Self::Analytics, Self::Advertising, Self::Cdn, Self::SessionReplay, Self::ErrorReporting];

    /// Its name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Analytics => "analytics",
            Self::Advertising => "advertising",
            Self::Cdn => "cdn",
            Self::SessionReplay => "session-replay",
            Self::ErrorReporting => "error-reporting",
        }
    }
}

impl fmt::Display for RecipientKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The recipients that `text` lists.
///
/// # Errors
/// Every problem found, in the order of the text.
pub fn read_recipients(text: &str) -> Result<Vec<Recipient>, Vec<Problem>> {
    Document::read(text, |_, root| {
        root.expect_keys(&["recipient"]);
        read_all(root)
    })
}

/// The recipients of a file.
pub(super) fn read_all(root: &Table<'_, '_>) -> Vec<Recipient> {
    root.tables("recipient", "[[recipient]]").iter().filter_map(read).collect()
}

fn read(table: &Table<'_, '_>) -> Option<Recipient> {
    table.expect_keys(&["suffix", "owner", "kind", "country"]);
    let suffix = table.value_required("suffix").and_then(|value| {
        let name = HostName::parse(table.text_of("suffix", value)?);
        if name.is_none() {
            table.problem_with(value, "suffix must be a host name");
        }
        let name = name?;
        if name.is_registry_suffix() {
            table.problem_with(value, format!("anybody may have a name below the public suffix \"{name}\""));
        }
        Some(name)
    });
    let owner = table.text_required("owner");
    let kind = table.value_required("kind").and_then(|value| {
        let valid: Vec<&str> = RecipientKind::ALL.iter().map(|kind| kind.as_str()).collect();
        let word = word(table, "kind", value, &valid)?;
        RecipientKind::ALL.iter().copied().find(|kind| kind.as_str() == word)
    });
    let country = table.value_required("country").and_then(|value| {
        let country = table.text_of("country", value)?;
        let is_code = country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase());
        if !is_code {
            table.problem_with(value, "country is two capital letters (ISO 3166-1), such as \"DK\"");
        }
        is_code.then_some(country)
    });
    Some(Recipient { suffix: suffix?, owner: owner?.to_owned(), kind: kind?, country: country?.to_owned() })
}
