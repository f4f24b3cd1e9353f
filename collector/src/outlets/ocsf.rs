//! The part of OCSF 1.8.0 that incidents leave in: class Data Security Finding and the objects that it holds.
//!
//! Field names, numbers and their captions are the schema's (<https://schema.ocsf.io/1.8.0/>); field order is ours.
//! A field that is not here is not sent. `collector/tests/outlets_ocsf.rs` checks every event against the schema.
//!
//! *Invariants*: what is not known is absent. `data_security.pattern_match`, the schema's place for the text that
//! matched, does not exist here.
//! *Units*: times are milliseconds since 1970.

use serde::Serialize;

/// The version of the schema.
pub const OCSF_VERSION: &str = "1.8.0";
/// Category Findings.
pub(super) const CATEGORY_UID: u32 = 2;
/// Class Data Security Finding.
pub(super) const CLASS_UID: u32 = 2006;

/// Data Security Finding.
#[derive(Serialize)]
pub(super) struct Finding {
    pub activity_id: u32,
    pub activity_name: &'static str,
    pub category_uid: u32,
    pub category_name: &'static str,
    pub class_uid: u32,
    pub class_name: &'static str,
    pub type_uid: u32,
    pub type_name: &'static str,
    pub time: i64,
    pub start_time: i64,
    pub end_time: i64,
    pub severity_id: u32,
    pub severity: &'static str,
    pub status_id: u32,
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<&'static str>,
    pub is_alert: bool,
    pub message: String,
    pub count: u32,
    pub metadata: Metadata,
    pub finding_info: FindingInfo,
    pub data_security: DataSecurity,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dst_endpoint: Option<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_endpoint: Option<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Resource>,
    pub unmapped: Unmapped,
}

/// About the event itself.
#[derive(Serialize)]
pub(super) struct Metadata {
    pub version: &'static str,
    /// One event, for ever: incident and version.
    pub uid: String,
    /// All events of one incident.
    pub correlation_uid: String,
    pub product: Product,
    pub log_name: &'static str,
    pub logged_time: i64,
}

/// Who made the event.
#[derive(Serialize)]
pub(super) struct Product {
    pub name: &'static str,
    pub vendor_name: &'static str,
    pub version: &'static str,
}

/// The incident.
#[derive(Serialize)]
pub(super) struct FindingInfo {
    pub uid: String,
    pub title: String,
    pub desc: &'static str,
    pub types: Vec<&'static str>,
    pub created_time: i64,
    pub modified_time: i64,
    pub first_seen_time: i64,
    pub last_seen_time: i64,
    pub related_events_count: u32,
    pub analytic: Analytic,
}

/// How it was found.
#[derive(Serialize)]
pub(super) struct Analytic {
    pub name: &'static str,
    pub uid: &'static str,
    pub type_id: u32,
    pub r#type: &'static str,
}

/// What data it is about.
#[derive(Serialize)]
pub(super) struct DataSecurity {
    pub category_id: u32,
    pub category: &'static str,
    pub data_lifecycle_state_id: u32,
    pub data_lifecycle_state: &'static str,
    pub detection_system_id: u32,
    pub detection_system: &'static str,
    pub detection_pattern: &'static str,
    /// Distinct citizens.
    pub total: u32,
    pub policy: Policy,
}

/// The rule that was broken.
#[derive(Serialize)]
pub(super) struct Policy {
    pub name: &'static str,
    pub desc: &'static str,
    pub is_applied: bool,
}

/// One end of the connection.
#[derive(Default, Serialize)]
pub(super) struct Endpoint {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

/// The host that sent.
#[derive(Serialize)]
pub(super) struct Device {
    pub hostname: String,
    pub uid: String,
    pub type_id: u32,
    pub r#type: &'static str,
}

/// The program that sent. It is no `process`: the schema wants that to have an id, and an incident has many.
#[derive(Serialize)]
pub(super) struct Actor {
    pub app_name: String,
}

/// A host or an IT system that the incident is about.
#[derive(Serialize)]
pub(super) struct Resource {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    pub r#type: &'static str,
    pub role_id: u32,
    pub role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Responsible>,
}

/// Who answers for an IT system.
#[derive(Serialize)]
pub(super) struct Responsible {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
}

/// What the schema has no place for.
#[derive(Serialize)]
pub(super) struct Unmapped {
    /// Distinct citizens, counted as a set.
    pub citizens: u64,
    pub occurrences: u64,
    /// True when something was not seen meanwhile.
    pub counts_are_lower_bounds: bool,
    /// True when every occurrence was encrypted on the wire, false when any was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<bool>,
    pub encrypted_occurrences: u64,
    pub cleartext_occurrences: u64,
    pub rule: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also_breaks: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also_present: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// The recipient's registrable domain, else its name, else its address, else `unknown`.
    pub site: String,
    pub location: Place,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<Recipient>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<Program>,
}

/// Where in the messages the numbers stood.
#[derive(Serialize)]
pub(super) struct Place {
    pub part: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// A far end, and how well it is established.
#[derive(Serialize)]
pub(super) struct Recipient {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    pub proof: &'static str,
    pub occurrences: u64,
    pub citizens: u64,
}

/// A program that sent.
#[derive(Serialize)]
pub(super) struct Program {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package_version: Option<String>,
    pub occurrences: u64,
    pub citizens: u64,
}
