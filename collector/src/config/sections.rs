//! The sections of `collector.toml`, each read into its type.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use cprvagt_settings::{Document, Problem, Table, Value};
use rustls::pki_types::ServerName;

use crate::outlets::{FILE_OUTLET, NAME_BYTES_MAX};

use super::{Agents, CertificateFiles, Config, Outlets, Web, Webhook};

const SECTIONS: &[&str] = &["data", "agents", "web", "certificates", "outlets"];

/// The configuration that `text` spells, or everything that is wrong with it.
pub(super) fn read(text: &str) -> Result<Config, Vec<Problem>> {
    Document::read(text, |_, root| sections(root))
}

fn sections(root: &Table<'_, '_>) -> Config {
    root.expect_keys(SECTIONS);
    let built_in = Config::default();
    let days = root.table("certificates", "[certificates]").and_then(|it| certificates(&it));
    Config {
        data_dir: root.table("data", "[data]").and_then(|it| data(&it)).unwrap_or(built_in.data_dir),
        agents: root.table("agents", "[agents]").map_or(built_in.agents, |it| agents(&it)),
        web: root.table("web", "[web]").map_or(built_in.web, |it| web(&it)),
        certificate_days: days.unwrap_or(built_in.certificate_days),
        outlets: root.table("outlets", "[outlets]").map_or(built_in.outlets, |it| outlets(&it)),
    }
}

fn data(table: &Table<'_, '_>) -> Option<PathBuf> {
    table.expect_keys(&["dir"]).text("dir").map(Into::into)
}

fn certificates(table: &Table<'_, '_>) -> Option<u32> {
    number(table.expect_keys(&["days"]), "days", 1..=398)
}

fn agents(table: &Table<'_, '_>) -> Agents {
    table.expect_keys(&["listen", "names", "certificate", "key"]);
    let built_in = Config::default().agents;
    let given = names(table);
    Agents {
        listen: listen(table).unwrap_or(built_in.listen),
        names: if given.is_empty() { built_in.names } else { given },
        certificate: certificate_files(table),
    }
}

fn names(table: &Table<'_, '_>) -> Vec<ServerName<'static>> {
    if let Some(value) = table.value("names")
        && value.get_ref().as_array().is_some_and(|list| list.is_empty())
    {
        table.problem_with(value, "names is empty: no agent could tell that it reached this collector");
    }
    let read = table.list("names").filter_map(|value| {
        let name = ServerName::try_from(table.text_of("names", value)?.to_owned());
        name.map_err(|_| table.problem_with(value, "a name is a DNS name or an address, without a port")).ok()
    });
    read.collect()
}

fn web(table: &Table<'_, '_>) -> Web {
    table.expect_keys(&["listen", "certificate", "key", "session_hours"]);
    let built_in = Config::default().web;
    let certificate = certificate_files(table);
    let listen = listen(table).unwrap_or(built_in.listen);
    if let Some(value) = table.value("listen")
        && !listen.ip().is_loopback()
        && table.value("certificate").is_none()
    {
        let what = format!(
            "{listen} is not loopback: pages leave this host only encrypted; give certificate and key"
        );
        table.problem_with(value, what);
    }
    let session_hours = number(table, "session_hours", 1..=168).and_then(|hours| hours.try_into().ok());
    let session_hours = session_hours.unwrap_or(built_in.session_hours);
    Web { listen, certificate, session_hours }
}

fn listen(table: &Table<'_, '_>) -> Option<SocketAddr> {
    let value = table.value("listen")?;
    let address = table.text_of("listen", value)?.parse();
    let wrong = "listen is an address and a port, such as \"0.0.0.0:8443\" or \"[::1]:8443\"";
    address.map_err(|_| table.problem_with(value, wrong)).ok()
}

fn certificate_files(table: &Table<'_, '_>) -> Option<CertificateFiles> {
    if table.value("certificate").is_none() && table.value("key").is_none() {
        return None;
    }
    let (certificate, key) = (table.text_required("certificate"), table.text_required("key"));
    Some(CertificateFiles { certificate: certificate?.into(), key: key?.into() })
}

fn outlets(table: &Table<'_, '_>) -> Outlets {
    table.expect_keys(&["quiet_seconds", "file", "webhook"]);
    let quiet = number(table, "quiet_seconds", 1..=86_400).map(|seconds| Duration::from_secs(seconds.into()));
    let file = table.table("file", "[outlets.file]").and_then(|file| {
        let path = file.expect_keys(&["path"]).text_required("path")?;
        Some(path.into())
    });
    Outlets { quiet: quiet.unwrap_or(Config::default().outlets.quiet), file, webhooks: webhooks(table) }
}

fn webhooks(table: &Table<'_, '_>) -> Vec<Webhook> {
    let mut webhooks: Vec<Webhook> = vec![];
    for table in table.tables("webhook", "[[outlets.webhook]]") {
        let Some(webhook) = webhook(&table) else { continue };
        if webhooks.iter().any(|other| other.name == webhook.name) {
            table.problem(format_args!(
                "has the name {:?} of another; its place in the queue would be shared",
                webhook.name
            ));
        }
        webhooks.push(webhook);
    }
    webhooks
}

fn webhook(table: &Table<'_, '_>) -> Option<Webhook> {
    table.expect_keys(&["name", "url", "secret_file", "ca_file"]);
    let name = table.value_required("name").and_then(|value| outlet_name(table, value));
    let url = table.value_required("url").and_then(|value| url(table, value));
    let secret_file = table.text_required("secret_file");
    let ca_file = table.text("ca_file").map(Into::into);
    Some(Webhook { name: name?, url: url?, secret_file: secret_file?.into(), ca_file })
}

fn outlet_name(table: &Table<'_, '_>, value: Value<'_, '_>) -> Option<String> {
    let name = value.get_ref().as_str().unwrap_or_default();
    let fits = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) || name == FILE_OUTLET || !name.bytes().all(fits) {
        let what =
            format!("a name has 1 to {NAME_BYTES_MAX} of a-z, 0-9, - and _, and is not {FILE_OUTLET:?}");
        table.problem_with(value, what);
        return None;
    }
    Some(name.to_owned())
}

/// An address with a host, encrypted or to loopback. Which scheme, host and port are right is all that is seen here.
fn url(table: &Table<'_, '_>, value: Value<'_, '_>) -> Option<String> {
    let text = value.get_ref().as_str().unwrap_or_default();
    let uri: Option<axum::http::Uri> = text.parse().ok();
    let host = uri.as_ref().and_then(|uri| uri.host()).unwrap_or_default();
    let wrong = match uri.as_ref().and_then(|uri| uri.scheme_str()) {
        _ if host.is_empty() => "url is an address such as \"https://siem.example/cprvagt\"",
        Some("https") => return Some(text.to_owned()),
        Some("http") if is_loopback(host) => return Some(text.to_owned()),
        _ => "url must begin with https://, or with http:// and a loopback address",
    };
    table.problem_with(value, wrong);
    None
}

/// A name is not enough: what it resolves to can change.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    address.is_ok_and(|address| address.is_loopback())
}

/// The whole number `key`, in `range`.
fn number(table: &Table<'_, '_>, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
    let value = table.value(key)?;
    let digits = value.get_ref().as_integer();
    let number = digits.and_then(|digits| u32::from_str_radix(digits.as_str(), digits.radix()).ok());
    let fitting = number.filter(|number| range.contains(number));
    if fitting.is_none() {
        let (least, most) = (range.start(), range.end());
        table.problem_with(value, format!("{key} is a whole number from {least} to {most}"));
    }
    fitting
}
