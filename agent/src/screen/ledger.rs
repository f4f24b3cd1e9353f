//! The ledger in words.

use cprvagt_report::{Covered, Endpoint, Ledger, Process, Unread};

use cprvagt_settings::size::show as show_size;

/// Most rows told of what was lost, of what was blind, and of who was read how far.
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
    lines.extend(coverage(&ledger.coverage));
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
    let who = who(it.process.as_ref(), it.destination.as_ref());
    format!("    {:<15} {:>10}{who}", it.reason, show_size(it.bytes))
}

/// How far each program was read, where it was not wholly: the worst first.
fn coverage(all: &[Covered]) -> Vec<String> {
    let unread = || all.iter().filter(|it| it.unread_bytes() > 0);
    let row = |it: &Covered| {
        let who = who(it.process.as_ref(), it.destination.as_ref());
        format!("    {:>3} % of {:>10}{who}", it.percent(), show_size(it.wire_bytes))
    };
    let heading = unread().next().map(|_| "  read of each program:".to_owned());
    heading.into_iter().chain(unread().take(ROWS_MAX).map(row)).collect()
}

fn who(process: Option<&Process>, destination: Option<&Endpoint>) -> String {
    let process = process.and_then(|process| process.exe.as_ref().or(process.comm.as_ref()));
    let process = process.map(|name| format!(" {name}")).unwrap_or_default();
    let destination = destination.map(|end| match &end.host {
        Some(host) => format!(" -> {host}:{}", end.port),
        None => format!(" -> {}", std::net::SocketAddr::new(end.ip, end.port)),
    });
    format!("{process}{}", destination.unwrap_or_default())
}
