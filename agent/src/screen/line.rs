//! One leak on one line.

use cprvagt_report::{Leak, Proof, Severity};

use super::summary::recipient;

/// When, how grave, who, to whom, what was broken, where it stood, and which citizen.
pub(super) fn of(leak: &Leak) -> String {
    let mut pieces = vec![
        leak.observed_at.clock_utc(),
        format!("{:<8}", leak.severity.as_str()),
        leak.rule.to_string(),
        format!("{}{} -> {}", handed_by(leak), sender(leak), recipient(leak.destination.as_ref())),
        place(leak),
    ];
    if let Some(transport) = &leak.transport {
        pieces.push(if transport.encrypted { "encrypted" } else { "READABLE" }.to_owned());
    }
    match leak.destination.as_ref().map(|it| it.proof) {
        Some(Proof::Unknown) | None => {}
        Some(proof) => pieces.push(proof.to_string()),
    }
    pieces.push(format!("{} {}", leak.masked, short_pseudonym(leak)));
    pieces.join(" ")
}

/// The colour of a severity, as a terminal's basic colour.
pub(super) const fn colour(severity: Severity) -> ratatui::style::Color {
    use ratatui::style::Color;
    match severity {
        Severity::Critical => Color::LightRed,
        Severity::High => Color::Red,
        Severity::Medium => Color::Yellow,
        Severity::Low => Color::Gray,
    }
}

fn sender(leak: &Leak) -> String {
    let process = leak.process.as_ref();
    let name = process.and_then(|it| it.comm.as_ref()).map_or("?", |comm| comm.as_str());
    match process.and_then(|it| it.pid) {
        Some(pid) => format!("{name}[{pid}]"),
        None => name.to_owned(),
    }
}

/// Who handed a relay what it sends on, as far as that is one program.
fn handed_by(leak: &Leak) -> String {
    let from = leak.relayed.as_ref().and_then(|relayed| relayed.from.as_ref());
    from.and_then(|from| from.comm.as_ref()).map(|comm| format!("{comm} -> ")).unwrap_or_default()
}

fn place(leak: &Leak) -> String {
    let location = &leak.location;
    let field = location.field.as_ref().map(|field| format!(":{field}")).unwrap_or_default();
    let path = location.path.as_ref().map(|path| format!(" {path}")).unwrap_or_default();
    format!("{}{field}{path}", location.part)
}

fn short_pseudonym(leak: &Leak) -> String {
    leak.pseudonym.to_string().chars().take(8).collect()
}
