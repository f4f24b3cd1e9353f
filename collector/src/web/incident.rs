//! `/haendelser/{id}`: one incident, and what is not known of it.
//!
//! *Limits*: [`LINES_MAX`] rows of each table, the most occurrences first.

use askama::Template;
use axum::extract::{Extension, Path, State};
use axum::response::Response;
use cprvagt_report::Rule;

use super::chart::{self, Chart};
use super::danish::{self, Time};
use super::frame::{Frame, Here, page};
use super::loss::{GapLine, LedgerLine};
use super::refusal::Refused;
use super::session::Signed;
use super::{Mark, Web, account};
use crate::fingerprint::IncidentId;
use crate::store::{Counted, HostSeen, IncidentDetail, Location, ProcessSeen, Recipient, Transport};

/// Most rows of a table.
const LINES_MAX: usize = 100;
const NOT_GIVEN: &str = "Ikke angivet";

#[derive(Template)]
#[template(path = "incident.html")]
struct IncidentPage {
    frame: Frame,
    title: String,
    severity: Mark,
    sentence: String,
    explained: &'static str,
    lower_bound: Option<String>,
    citizens: String,
    occurrences: String,
    first: Time,
    last: Time,
    encryption: Mark,
    encryption_note: String,
    chart: Option<Chart>,
    recipients: Vec<RecipientLine>,
    locations: Vec<LocationLine>,
    transports: Vec<TransportLine>,
    hosts: Vec<HostLine>,
    processes: Vec<ProcessLine>,
    unknowns: Vec<String>,
    ledgers: Vec<LedgerLine>,
    gaps: Vec<GapLine>,
    controller: String,
    system: String,
    vendor: String,
    rule: &'static str,
    id: String,
}

struct RecipientLine {
    name: String,
    via: Option<String>,
    address: String,
    citizens: String,
    occurrences: String,
    proof: &'static str,
    proof_explained: &'static str,
    last: Time,
}

struct LocationLine {
    part: &'static str,
    protocol: String,
    decodings: Option<String>,
    field: Option<String>,
    path: Option<String>,
    others: Option<String>,
    citizens: String,
    occurrences: String,
}

struct TransportLine {
    encryption: Mark,
    version: Option<String>,
    direction: &'static str,
    outcome: &'static str,
    tap: String,
    citizens: String,
    occurrences: String,
}

struct HostLine {
    name: String,
    citizens: String,
    occurrences: String,
    last: Time,
}

struct ProcessLine {
    program: Option<String>,
    belongs_to: Vec<String>,
    citizens: String,
    occurrences: String,
}

/// `GET /haendelser/{id}`.
pub async fn show(
    State(web): State<Web>,
    Extension(signed): Extension<Signed>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let id: IncidentId = id.parse().map_err(|_| Refused::NotFound)?;
    let detail = web.store.incident(id).await?.ok_or(Refused::NotFound)?;
    let agents = web.store.agents().await?;
    let watched_since = agents
        .iter()
        .filter(|agent| detail.hosts.iter().any(|host| host.what.agent == agent.agent))
        .map(|agent| agent.enrolled_at)
        .min();
    let unknowns = account::unknowns(&detail, watched_since);
    let frame = Frame::new(Some(signed.name), Here::Incidents);
    Ok(page(&IncidentPage::of(frame, detail, unknowns)))
}

impl IncidentPage {
    fn of(frame: Frame, detail: IncidentDetail, unknowns: Vec<String>) -> Self {
        let hours: Vec<_> = detail.hours.iter().map(|hour| (hour.hour.0, hour.occurrences)).collect();
        let sentence = account::sentence(&detail);
        let lower_bound = detail.is_lower_bound().then(|| account::why_lower_bound(&detail));
        let row = detail.incident;
        Self {
            frame,
            title: title(row.rule, &row.site),
            severity: Mark::severity(row.severity),
            sentence,
            explained: danish::rule_explained(row.rule),
            lower_bound,
            citizens: danish::number(row.citizens),
            occurrences: danish::number(row.occurrences),
            first: Time::of(row.first_seen.0),
            last: Time::of(row.last_seen.0),
            encryption: Mark::encryption(row.encrypted, row.cleartext),
            encryption_note: encryption_note(row.encrypted, row.cleartext),
            chart: chart::draw(&hours),
            recipients: lines(detail.recipients, RecipientLine::of),
            locations: lines(detail.locations, LocationLine::of),
            transports: lines(detail.transports, TransportLine::of),
            hosts: lines(detail.hosts, HostLine::of),
            processes: lines(detail.processes, ProcessLine::of),
            unknowns,
            ledgers: lines(detail.ledgers, LedgerLine::of),
            gaps: lines(detail.gaps, GapLine::of),
            controller: row.controller.unwrap_or_else(|| NOT_GIVEN.to_owned()),
            system: row.system.unwrap_or_else(|| NOT_GIVEN.to_owned()),
            vendor: row.vendor.unwrap_or_else(|| NOT_GIVEN.to_owned()),
            rule: danish::rule(row.rule),
            id: row.id.to_string(),
        }
    }
}

fn title(rule: Rule, site: &str) -> String {
    format!("{}: {}", danish::rule(rule), danish::site(site, Some(rule)))
}

fn encryption_note(encrypted: u64, cleartext: u64) -> String {
    format!("{} krypteret, {} ukrypteret", danish::number(encrypted), danish::number(cleartext))
}

fn lines<T, L>(rows: Vec<T>, line: impl Fn(T) -> L) -> Vec<L> {
    rows.into_iter().take(LINES_MAX).map(line).collect()
}

/// Words of a list that parts them by commas.
fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}

impl RecipientLine {
    fn of(row: Counted<Recipient>) -> Self {
        let Recipient { host, ip, port, recipient, via, proof } = row.what;
        let address = match (ip, port) {
            (Some(ip), Some(port)) => format!("{ip}, port {port}"),
            (Some(ip), None) => ip.to_string(),
            (None, _) => "–".to_owned(),
        };
        let name = match (recipient, host) {
            (Some(recipient), Some(host)) => format!("{host} ({recipient})"),
            (recipient, host) => host.or(recipient).unwrap_or_else(|| "Ikke oplyst".to_owned()),
        };
        Self {
            name,
            via,
            address,
            citizens: danish::number(row.counts.citizens),
            occurrences: danish::number(row.counts.occurrences),
            proof: danish::proof(proof),
            proof_explained: danish::proof_explained(proof),
            last: Time::of(row.counts.last_seen.0),
        }
    }
}

impl LocationLine {
    fn of(row: Counted<Location>) -> Self {
        let what = row.what;
        let others = what.also_present.as_deref().map(|list| {
            let kinds: Vec<&str> = words(list).map(danish::other_data).collect();
            kinds.join(", ")
        });
        Self {
            part: danish::part_capital(what.part),
            protocol: what.protocol,
            decodings: what.decodings.map(|list| words(&list).collect::<Vec<_>>().join(", ")),
            field: what.field,
            path: what.path,
            others,
            citizens: danish::number(row.counts.citizens),
            occurrences: danish::number(row.counts.occurrences),
        }
    }
}

impl TransportLine {
    fn of(row: Counted<Transport>) -> Self {
        let what = row.what;
        let [encrypted, cleartext] = match what.encrypted {
            Some(true) => [1, 0],
            Some(false) => [0, 1],
            None => [0, 0],
        };
        Self {
            encryption: Mark::encryption(encrypted, cleartext),
            version: what.tls_version,
            direction: what.direction.map_or("Ikke kendt", danish::direction),
            outcome: what.outcome.map_or("", danish::outcome),
            tap: what.tap.unwrap_or_else(|| "–".to_owned()),
            citizens: danish::number(row.counts.citizens),
            occurrences: danish::number(row.counts.occurrences),
        }
    }
}

impl HostLine {
    fn of(row: Counted<HostSeen>) -> Self {
        Self {
            name: row.what.name,
            citizens: danish::number(row.counts.citizens),
            occurrences: danish::number(row.counts.occurrences),
            last: Time::of(row.counts.last_seen.0),
        }
    }
}

impl ProcessLine {
    fn of(row: Counted<ProcessSeen>) -> Self {
        let what = row.what;
        let package = what.package.map(|name| match what.package_version {
            Some(version) => format!("{name} {version}"),
            None => name,
        });
        Self {
            program: what.exe.or(what.comm),
            belongs_to: [what.unit, what.container, package].into_iter().flatten().collect(),
            citizens: danish::number(row.counts.citizens),
            occurrences: danish::number(row.counts.occurrences),
        }
    }
}
