//! From an incident's change, as the outbox keeps it, to the OCSF event that tells it.
//!
//! *Invariants*: the same row gives the same bytes, at each attempt and each replay by one version of the program.
//! Nothing is looked up elsewhere, so an event tells how things stood when it was made.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cprvagt_report::{Confidence, Moment, Rule, Severity};

use crate::fingerprint::{SITE_SERVER, SITE_UNKNOWN};
use crate::store::{
    Change, Counted, HostSeen, IncidentEvent, IncidentRow, OutboxRow, ProcessSeen, Recipient,
};

use super::ocsf;

/// What the product and its maker call themselves.
const PRODUCT: &str = "cprvagt";
/// The stream of events, for those who receive more than one.
const LOG_NAME: &str = "incidents";
/// What is looked for.
const PATTERN: &str = "Danish personal identification number (CPR)";
/// The schema's integers have 32 bits; exact counts are in `unmapped`.
const INTEGER_MAX: u32 = i32::MAX.unsigned_abs();

/// The event as one JSON object, without a line end.
///
/// # Panics
/// Never: an event is plain data.
pub fn event_json(row: &OutboxRow) -> Vec<u8> {
    serde_json::to_vec(&finding(row)).expect("an event is plain data")
}

/// What tells this event from all others, for ever: the incident, and how often it was told.
pub(super) fn event_uid(event: &IncidentEvent) -> String {
    format!("{}:{}", event.incident.id, event.incident.version)
}

fn finding(row: &OutboxRow) -> ocsf::Finding {
    let (event, incident) = (&row.event, &row.event.incident);
    let (activity_id, activity_name, type_name) = activity(event.change);
    let (severity_id, severity) = severity(incident.severity);
    let confidence = event.sureness.iter().map(|sureness| confidence(sureness.what.confidence)).max();
    ocsf::Finding {
        activity_id,
        activity_name,
        category_uid: ocsf::CATEGORY_UID,
        category_name: "Findings",
        class_uid: ocsf::CLASS_UID,
        class_name: "Data Security Finding",
        type_uid: ocsf::CLASS_UID * 100 + activity_id,
        type_name,
        time: ms(row.made_at),
        start_time: ms(incident.first_seen),
        end_time: ms(incident.last_seen),
        severity_id,
        severity,
        status_id: 1,
        status: "New",
        confidence_id: confidence.map(|(id, _)| id),
        confidence: confidence.map(|(_, caption)| caption),
        is_alert: event.change == Change::Created,
        message: message(event),
        count: bounded(incident.occurrences),
        metadata: metadata(row),
        finding_info: finding_info(row),
        data_security: data_security(incident),
        dst_endpoint: dst_endpoint(event),
        src_endpoint: event.hosts.first().map(|host| src_endpoint(&host.what)),
        device: event.hosts.first().map(|host| device(&host.what)),
        actor: event.processes.first().and_then(|process| actor(&process.what)),
        resources: resources(event),
        unmapped: unmapped(event),
    }
}

const fn activity(change: Change) -> (u32, &'static str, &'static str) {
    match change {
        Change::Created => (1, "Create", "Data Security Finding: Create"),
        Change::Updated => (2, "Update", "Data Security Finding: Update"),
    }
}

const fn severity(severity: Severity) -> (u32, &'static str) {
    match severity {
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    }
}

const fn confidence(confidence: Confidence) -> (u32, &'static str) {
    match confidence {
        Confidence::None | Confidence::Low => (1, "Low"),
        Confidence::Medium => (2, "Medium"),
        Confidence::High => (3, "High"),
    }
}

fn ms(moment: Moment) -> i64 {
    moment.0.as_millisecond()
}

fn bounded(count: u64) -> u32 {
    u32::try_from(count).map_or(INTEGER_MAX, |count| count.min(INTEGER_MAX))
}

fn metadata(row: &OutboxRow) -> ocsf::Metadata {
    ocsf::Metadata {
        version: ocsf::OCSF_VERSION,
        uid: event_uid(&row.event),
        correlation_uid: row.event.incident.id.to_string(),
        product: ocsf::Product { name: PRODUCT, vendor_name: PRODUCT, version: env!("CARGO_PKG_VERSION") },
        log_name: LOG_NAME,
        logged_time: ms(row.made_at),
    }
}

fn finding_info(row: &OutboxRow) -> ocsf::FindingInfo {
    let incident = &row.event.incident;
    ocsf::FindingInfo {
        uid: incident.id.to_string(),
        title: title(incident),
        desc: meaning(incident.rule),
        types: vec![incident.rule.as_str()],
        created_time: ms(incident.created_at),
        modified_time: ms(incident.changed_at),
        first_seen_time: ms(incident.first_seen),
        last_seen_time: ms(incident.last_seen),
        related_events_count: bounded(incident.occurrences),
        analytic: ocsf::Analytic {
            name: "CPR numbers in outgoing traffic",
            uid: incident.rule.as_str(),
            type_id: 1,
            r#type: "Rule",
        },
    }
}

fn title(incident: &IncidentRow) -> String {
    let to = recipient(incident);
    match incident.rule {
        Rule::CprInUrl => format!("CPR numbers in URLs to {to}"),
        Rule::NotAllowed => format!("CPR numbers sent to {to}, which is not allowed"),
        Rule::Cleartext => format!("CPR numbers sent unencrypted to {to}"),
        Rule::MassExposure => "CPR numbers of many citizens in one response".to_owned(),
        Rule::MailCleartext => format!("CPR numbers mailed unencrypted to {to}"),
        Rule::Found => "CPR numbers found".to_owned(),
    }
}

fn recipient(incident: &IncidentRow) -> &str {
    match incident.site.as_str() {
        SITE_UNKNOWN => "an unknown recipient",
        SITE_SERVER => "clients of the host",
        site => site,
    }
}

const fn meaning(rule: Rule) -> &'static str {
    match rule {
        Rule::CprInUrl => "The number stands in a URL, from where browsers and logs pass it on.",
        Rule::NotAllowed => "No entry of the host's policy allows this destination.",
        Rule::Cleartext => "The number is readable on the wire beyond the host.",
        Rule::MassExposure => "One response hands out the numbers of many citizens.",
        Rule::MailCleartext => "The number is in a mail sent without TLS.",
        Rule::Found => "An offline scan found the number; no policy was applied.",
    }
}

/// One sentence, for a person.
fn message(event: &IncidentEvent) -> String {
    let incident = &event.incident;
    let least = if event.is_lower_bound { "at least " } else { "" };
    let citizens = counted(incident.citizens, "citizen", "citizens");
    let times = counted(incident.occurrences, "time", "times");
    let wire = match (incident.encrypted, incident.cleartext) {
        (0, 0) => String::new(),
        (_, 0) => ", always encrypted".to_owned(),
        (0, _) => ", never encrypted".to_owned(),
        (_, clear) => format!(", {} unencrypted", counted(clear, "time", "times")),
    };
    format!("{}: {least}{citizens}, {least}{times}{wire}.", title(incident))
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn data_security(incident: &IncidentRow) -> ocsf::DataSecurity {
    ocsf::DataSecurity {
        category_id: 1,
        category: "Personal",
        data_lifecycle_state_id: 2,
        data_lifecycle_state: "Data in-Transit",
        detection_system_id: 1,
        detection_system: "Endpoint",
        detection_pattern: PATTERN,
        total: bounded(incident.citizens),
        policy: ocsf::Policy {
            name: incident.rule.as_str(),
            desc: meaning(incident.rule),
            is_applied: incident.rule != Rule::Found,
        },
    }
}

/// The recipient of most occurrences; `None` when neither name nor address is known.
fn dst_endpoint(event: &IncidentEvent) -> Option<ocsf::Endpoint> {
    let site = &event.incident.site;
    let site_ip = site.parse::<IpAddr>().ok();
    let is_name = ![SITE_UNKNOWN, SITE_SERVER].contains(&site.as_str()) && site_ip.is_none();
    let most = event.recipients.first().map(|recipient| &recipient.what);
    let endpoint = ocsf::Endpoint {
        hostname: most.and_then(|most| most.host.clone()),
        domain: is_name.then(|| site.clone()),
        ip: most.and_then(|most| most.ip).or(site_ip).map(|ip| ip.to_string()),
        port: most.and_then(|most| most.port),
        uid: None,
    };
    let is_known = endpoint.hostname.is_some() || endpoint.domain.is_some() || endpoint.ip.is_some();
    is_known.then_some(endpoint)
}

fn src_endpoint(host: &HostSeen) -> ocsf::Endpoint {
    let (hostname, uid) = (Some(host.name.clone()), Some(host.id.clone()));
    ocsf::Endpoint { hostname, uid, ..ocsf::Endpoint::default() }
}

/// The host of most occurrences; `resources` has the others.
fn device(host: &HostSeen) -> ocsf::Device {
    ocsf::Device { hostname: host.name.clone(), uid: host.id.clone(), type_id: 0, r#type: "Unknown" }
}

fn actor(process: &ProcessSeen) -> Option<ocsf::Actor> {
    let names = [&process.exe, &process.unit, &process.comm];
    names.into_iter().flatten().next().map(|name| ocsf::Actor { app_name: name.clone() })
}

fn resources(event: &IncidentEvent) -> Vec<ocsf::Resource> {
    let hosts = event.hosts.iter().map(|host| ocsf::Resource {
        name: host.what.name.clone(),
        uid: Some(host.what.id.clone()),
        r#type: "host",
        role_id: 2,
        role: "Actor",
        data: None,
    });
    let incident = &event.incident;
    let system = incident.system.iter().map(|system| ocsf::Resource {
        name: system.clone(),
        uid: None,
        r#type: "system",
        role_id: 3,
        role: "Affected",
        data: Some(ocsf::Responsible {
            controller: incident.controller.clone(),
            vendor: incident.vendor.clone(),
        }),
    });
    system.chain(hosts).collect()
}

fn unmapped(event: &IncidentEvent) -> ocsf::Unmapped {
    let incident = &event.incident;
    let known = incident.encrypted > 0 || incident.cleartext > 0;
    ocsf::Unmapped {
        citizens: incident.citizens,
        occurrences: incident.occurrences,
        counts_are_lower_bounds: event.is_lower_bound,
        encrypted: known.then_some(incident.cleartext == 0),
        encrypted_occurrences: incident.encrypted,
        cleartext_occurrences: incident.cleartext,
        rule: incident.rule.as_str(),
        also_breaks: words(event.locations.iter().map(|location| location.what.also_breaks.as_deref())),
        also_present: words(event.locations.iter().map(|location| location.what.also_present.as_deref())),
        controller: incident.controller.clone(),
        system: incident.system.clone(),
        vendor: incident.vendor.clone(),
        site: incident.site.clone(),
        location: ocsf::Place {
            part: incident.part.as_str(),
            field: incident.field.clone(),
            path: incident.path.clone(),
        },
        recipients: event.recipients.iter().map(far_end).collect(),
        programs: event.processes.iter().map(program).collect(),
    }
}

/// Each word of the lists once; the store parts them by commas.
fn words<'a>(lists: impl Iterator<Item = Option<&'a str>>) -> Vec<String> {
    let words: BTreeSet<&str> = lists.flatten().flat_map(|list| list.split(',')).collect();
    words.into_iter().map(str::to_owned).collect()
}

fn far_end(recipient: &Counted<Recipient>) -> ocsf::Recipient {
    let Counted { what, counts } = recipient;
    ocsf::Recipient {
        host: what.host.clone(),
        ip: what.ip.map(|ip| ip.to_string()),
        port: what.port,
        organisation: what.recipient.clone(),
        via: what.via.clone(),
        proof: what.proof.as_str(),
        occurrences: counts.occurrences,
        citizens: counts.citizens,
    }
}

fn program(process: &Counted<ProcessSeen>) -> ocsf::Program {
    let Counted { what, counts } = process;
    ocsf::Program {
        comm: what.comm.clone(),
        exe: what.exe.clone(),
        unit: what.unit.clone(),
        container: what.container.clone(),
        package: what.package.clone(),
        package_version: what.package_version.clone(),
        occurrences: counts.occurrences,
        citizens: counts.citizens,
    }
}
