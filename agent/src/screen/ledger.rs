//! The ledger in words.

use cprvagt_report::{Ledger, Unread};

use cprvagt_settings::size::show as show_size;

/// Most rows told of what was lost, and of what was blind.
const ROWS_MAX: usize = 10;

/// What happened to every byte, a line each.
pub(super) fn lines(ledger: &Ledger) -> Vec<String> {
    let sum = |name: &str, bytes: u64| format!("  {name:<29}{:>12}", show_size(bytes));
    let mut lines = vec![
        format!("Sent to destinations not allowed, in {} flows:", ledger.flows),
        sum("in all", ledger.wire_bytes),
        sum("read and searched", ledger.inspected_bytes),
        sum("TLS handshakes and framing", ledger.protocol_bytes),
        sum("lost on the way", ledger.lost_bytes()),
    ];
    lines.extend(unread(&ledger.lost));
    lines.push(sum("could not be read", ledger.blind_bytes()));
    lines.extend(unread(&ledger.blind));
    lines.push(unexplained(ledger.unexplained_bytes));
    lines.extend(ledger.gaps.iter().map(|gap| {
        let (from, to) = (gap.from.clock_utc(), gap.to.clock_utc());
        format!("  not seen from {from} to {to}: {}, at least {}", gap.reason, show_size(gap.bytes_min))
    }));
    lines
}

fn unexplained(bytes: i64) -> String {
    let sign = if bytes < 0 { "-" } else { "" };
    format!("  {:<29}{:>12}", "unexplained", format!("{sign}{}", show_size(bytes.unsigned_abs())))
}

/// The largest first.
fn unread(all: &[Unread]) -> Vec<String> {
    let mut all: Vec<&Unread> = all.iter().filter(|it| it.bytes > 0).collect();
    all.sort_by_key(|it| std::cmp::Reverse(it.bytes));
    let mut lines: Vec<String> = all.iter().take(ROWS_MAX).map(|it| row(it)).collect();
    if all.len() > ROWS_MAX {
        lines.push(format!("    and {} more", all.len() - ROWS_MAX));
    }
    lines
}

fn row(it: &Unread) -> String {
    let process = it.process.as_ref().and_then(|process| process.exe.as_ref().or(process.comm.as_ref()));
    let process = process.map(|name| format!(" {name}")).unwrap_or_default();
    let destination = it.destination.as_ref().map(|end| match &end.host {
        Some(host) => format!(" -> {host}:{}", end.port),
        None => format!(" -> {}", std::net::SocketAddr::new(end.ip, end.port)),
    });
    format!("    {:<15} {:>10}{process}{}", it.reason, show_size(it.bytes), destination.unwrap_or_default())
}
