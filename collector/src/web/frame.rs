//! What surrounds every page: the bar with its menu, the style sheet, who is logged in.

use askama::Template;
use axum::response::{Html, IntoResponse as _, Response};

use super::assets::{ICON, STYLE};
use super::refusal::Refused;

/// The entry of the menu that a page stands under.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Here {
    /// The list of incidents.
    Incidents,
    /// The agents.
    Agents,
    /// None of them.
    Elsewhere,
}

/// What the frame of a page shows.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Where the style sheet is.
    pub style: &'static str,
    /// Where the icon is.
    pub icon: &'static str,
    /// Who is logged in.
    pub account: Option<String>,
    /// The menu's entry.
    pub here: Here,
}

impl Frame {
    /// The frame of a page for `account`.
    pub fn new(account: Option<String>, here: Here) -> Self {
        Self { style: &STYLE.path, icon: &ICON.path, account, here }
    }
}

/// The page that `template` makes.
pub fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be written");
            Refused::Failed.into_response()
        }
    }
}
