//! `/`: all incidents, the latest first, with totals by recipient.
//!
//! *Limits*: [`ROWS`] incidents a page; pages up to [`PAGE_MAX`]; filter texts up to [`FILTER_CHARS_MAX`].

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::response::Response;
use cprvagt_report::Rule;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::danish::{self, Time};
use super::frame::{Frame, Here, page};
use super::refusal::Refused;
use super::session::Signed;
use super::{Mark, Web};
use crate::store::{IncidentQuery, IncidentRow, SiteTotals, Totals};

/// Incidents a page.
const ROWS: u32 = 50;
/// Highest page.
const PAGE_MAX: u32 = 100_000;
/// Longest text of a filter; no controller or site is longer.
const FILTER_CHARS_MAX: usize = 253;

/// What the address asks for. A value that makes no sense counts as absent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wish {
    modtager: String,
    dataansvarlig: String,
    regel: String,
    side: String,
}

/// What to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Filter {
    site: Option<String>,
    controller: Option<String>,
    rule: Option<Rule>,
    /// From 1.
    page: u32,
}

#[derive(Template)]
#[template(path = "incidents.html")]
struct IncidentsPage {
    frame: Frame,
    totals: TotalFigures,
    recipients: Vec<RecipientLine>,
    filter: FilterForm,
    rows: Vec<IncidentLine>,
    pages: Pages,
}

struct TotalFigures {
    citizens: String,
    incidents: String,
    occurrences: String,
    recipients: String,
    lower_bound: bool,
}

struct RecipientLine {
    site: String,
    url: String,
    citizens: String,
    occurrences: String,
    encryption: Mark,
}

struct FilterForm {
    shown: bool,
    active: bool,
    page: u32,
    controller: String,
    sites: Vec<Choice>,
    rules: Vec<Choice>,
}

struct Choice {
    value: String,
    words: String,
    chosen: bool,
}

struct IncidentLine {
    url: String,
    rule: &'static str,
    part: &'static str,
    place: Option<String>,
    severity: Mark,
    site: String,
    controller: String,
    controller_url: Option<String>,
    system: Option<String>,
    citizens: String,
    occurrences: String,
    encryption: Mark,
    first: Time,
    last: Time,
}

struct Pages {
    previous: Option<String>,
    next: Option<String>,
}

/// `GET /`.
pub async fn show(
    State(web): State<Web>,
    Extension(signed): Extension<Signed>,
    wish: Result<Query<Wish>, QueryRejection>,
) -> Result<Response, Refused> {
    let filter = Filter::of(wish.map(|Query(wish)| wish).unwrap_or_default());
    let totals = web.store.totals().await?;
    let mut rows = web.store.incidents(&filter.query()).await?;
    let more = rows.len() > ROWS as usize;
    rows.truncate(ROWS as usize);
    let lower_bound = !web.store.gaps(1).await?.is_empty();
    Ok(page(&IncidentsPage {
        frame: Frame::new(Some(signed.name), Here::Incidents),
        filter: FilterForm::of(&filter, &totals),
        pages: Pages::around(&filter, more),
        recipients: totals.sites.iter().map(RecipientLine::of).collect(),
        rows: rows.into_iter().map(IncidentLine::of).collect(),
        totals: TotalFigures::of(&totals, lower_bound),
    }))
}

impl Filter {
    fn of(wish: Wish) -> Self {
        let text = |text: String| {
            let trimmed = text.trim();
            let fits = !trimmed.is_empty() && trimmed.chars().count() <= FILTER_CHARS_MAX;
            fits.then(|| trimmed.to_owned())
        };
        Self {
            site: text(wish.modtager),
            controller: text(wish.dataansvarlig),
            rule: Rule::from_word(&wish.regel),
            page: wish.side.parse().unwrap_or(1).clamp(1, PAGE_MAX),
        }
    }

    /// One row more than a page, which tells whether there is a next one.
    fn query(&self) -> IncidentQuery {
        IncidentQuery {
            site: self.site.clone(),
            controller: self.controller.clone(),
            rule: self.rule,
            limit: ROWS + 1,
            offset: u64::from(self.page - 1) * u64::from(ROWS),
        }
    }

    fn url(&self) -> String {
        let page = (self.page > 1).then(|| self.page.to_string());
        let pairs = [
            ("modtager", self.site.as_deref()),
            ("dataansvarlig", self.controller.as_deref()),
            ("regel", self.rule.map(Rule::as_str)),
            ("side", page.as_deref()),
        ];
        let pairs = pairs.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let query: Vec<String> = pairs
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
            .collect();
        if query.is_empty() { "/".to_owned() } else { format!("/?{}", query.join("&")) }
    }

    fn is_active(&self) -> bool {
        self.site.is_some() || self.controller.is_some() || self.rule.is_some()
    }
}

impl TotalFigures {
    fn of(totals: &Totals, lower_bound: bool) -> Self {
        Self {
            citizens: danish::number(totals.citizens),
            incidents: danish::number(totals.incidents),
            occurrences: danish::number(totals.occurrences),
            recipients: danish::number(totals.sites.len() as u64),
            lower_bound,
        }
    }
}

impl RecipientLine {
    fn of(totals: &SiteTotals) -> Self {
        let filter = Filter { site: Some(totals.site.clone()), page: 1, ..Filter::default() };
        Self {
            site: danish::site(&totals.site, None).to_owned(),
            url: filter.url(),
            citizens: danish::number(totals.citizens),
            occurrences: danish::number(totals.occurrences),
            encryption: Mark::encryption(totals.encrypted, totals.cleartext),
        }
    }
}

impl FilterForm {
    fn of(filter: &Filter, totals: &Totals) -> Self {
        let choice = |value: &str, words: &str, chosen: Option<&str>| Choice {
            value: value.to_owned(),
            words: words.to_owned(),
            chosen: chosen == Some(value),
        };
        let site = filter.site.as_deref();
        let rule = filter.rule.map(Rule::as_str);
        let rules = Rule::ALL.iter().filter(|rule| **rule != Rule::Found);
        Self {
            shown: totals.incidents > 0,
            active: filter.is_active(),
            page: filter.page,
            controller: filter.controller.clone().unwrap_or_default(),
            sites: totals
                .sites
                .iter()
                .map(|it| choice(&it.site, danish::site(&it.site, None), site))
                .collect(),
            rules: rules.map(|it| choice(it.as_str(), danish::rule(*it), rule)).collect(),
        }
    }
}

impl IncidentLine {
    fn of(row: IncidentRow) -> Self {
        let by_controller =
            |name: &String| Filter { controller: Some(name.clone()), page: 1, ..Filter::default() }.url();
        Self {
            url: format!("/haendelser/{}", row.id),
            rule: danish::rule(row.rule),
            part: danish::part(row.part),
            severity: Mark::severity(row.severity),
            site: danish::site(&row.site, Some(row.rule)).to_owned(),
            controller_url: row.controller.as_ref().map(by_controller),
            citizens: danish::number(row.citizens),
            occurrences: danish::number(row.occurrences),
            encryption: Mark::encryption(row.encrypted, row.cleartext),
            first: Time::of(row.first_seen.0),
            last: Time::of(row.last_seen.0),
            place: place(row.path, row.field),
            controller: row.controller.unwrap_or_else(|| "Ikke angivet".to_owned()),
            system: row.system,
        }
    }
}

/// Path and field together.
fn place(path: Option<String>, field: Option<String>) -> Option<String> {
    match (path, field) {
        (Some(path), Some(field)) => Some(format!("{path} · {field}")),
        (path, field) => path.or(field),
    }
}

impl Pages {
    fn around(filter: &Filter, more: bool) -> Self {
        let at = |page: u32| Filter { page, ..filter.clone() }.url();
        Self {
            previous: (filter.page > 1).then(|| at(filter.page - 1)),
            next: (more && filter.page < PAGE_MAX).then(|| at(filter.page + 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(modtager: &str, regel: &str, side: &str) -> Wish {
        let [modtager, regel, side] = [modtager, regel, side].map(str::to_owned);
        Wish { modtager, regel, side, ..Wish::default() }
    }

    #[test]
    fn an_address_makes_a_filter_and_a_filter_an_address() {
        let cases = [
            (wish("", "", ""), "/"),
            (wish(" a.example ", "", "1"), "/?modtager=a%2Eexample"),
            (wish("a&b=<c>", "cleartext", "3"), "/?modtager=a%26b%3D%3Cc%3E&regel=cleartext&side=3"),
            (wish("", "no such rule", "-4"), "/"),
            (wish(&"x".repeat(FILTER_CHARS_MAX + 1), "", "0"), "/"),
            (wish("", "", "99999999"), "/?side=100000"),
        ];
        for (wish, url) in cases {
            assert_eq!(Filter::of(wish).url(), url);
        }
    }

    #[test]
    fn pages_end_where_rows_end() {
        let filter = |page| Filter { page, ..Filter::default() };
        let around = |page, more| {
            let pages = Pages::around(&filter(page), more);
            (pages.previous, pages.next)
        };
        let url = |text: &str| Some(text.to_owned());
        assert_eq!(around(1, false), (None, None));
        assert_eq!(around(1, true), (None, url("/?side=2")));
        assert_eq!(around(2, true), (url("/"), url("/?side=3")));
        assert_eq!(around(PAGE_MAX, true).1, None);
        assert_eq!(filter(3).query().offset, 100);
    }
}
