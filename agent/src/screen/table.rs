//! The table of recipients, the same live and at the end.
//!
//! *Units*: columns of a terminal. Times are UTC.

use cprvagt_report::Proof;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::summary::{CITIZENS_MAX, Encrypted, Row, Summary};

/// Width that the table always holds at.
pub(super) const WIDTH: usize = 80;

/// Width of everything right of the recipient.
const RIGHT: usize = " CITIZENS   LEAKS    FIRST     LAST ENCRYPTED PROOF  ".len();

/// The table at `width` columns, with at most `rows_max` recipients; what is left out is told.
pub(super) fn lines(summary: &Summary, width: usize, rows_max: usize) -> Vec<String> {
    let name_width = width.max(WIDTH) - RIGHT;
    let rows = summary.rows();
    let mut lines = vec![title(summary)];
    if rows.is_empty() {
        return lines;
    }
    lines.push(columns(
        "RECIPIENT",
        name_width,
        ["CITIZENS", "LEAKS", "FIRST", "LAST", "ENCRYPTED", "PROOF"],
    ));
    lines.extend(rows.iter().take(rows_max).map(|(name, row)| row_line(name, name_width, row)));
    if rows.len() > rows_max {
        lines.push(format!("and {} more recipients", rows.len() - rows_max));
    }
    lines
}

fn title(summary: &Summary) -> String {
    let counted =
        |count: u64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    if summary.leaks() == 0 {
        return "No leak seen.".to_owned();
    }
    format!(
        "{} to {}, {} in total. Times are UTC.",
        counted(summary.leaks(), "leak", "leaks"),
        counted(summary.recipients() as u64, "recipient", "recipients"),
        counted(summary.citizens() as u64, "citizen", "citizens"),
    )
}

fn row_line(name: &str, name_width: usize, row: &Row) -> String {
    let at_least = if row.citizens() >= CITIZENS_MAX { ">" } else { "" };
    let citizens = format!("{at_least}{}", row.citizens());
    let leaks = short(row.leaks());
    let (first, last) = (row.first().clock_utc(), row.last().clock_utc());
    let encrypted = match row.encrypted() {
        Some(Encrypted::Yes) => "yes",
        Some(Encrypted::No) => "NO",
        Some(Encrypted::Mixed) => "not all",
        None => "?",
    };
    let proof = if row.proof() == Proof::Unknown { "unknown" } else { row.proof().as_str() };
    columns(name, name_width, [&citizens, &leaks, &first, &last, encrypted, proof])
}

fn columns(name: &str, name_width: usize, cells: [&str; 6]) -> String {
    let [citizens, leaks, first, last, encrypted, proof] = cells;
    let name = fitted(name, name_width);
    let line = format!("{name} {citizens:>8} {leaks:>7} {first:>8} {last:>8} {encrypted:<9} {proof:<7}");
    line.trim_end().to_owned()
}

/// A count in at most seven columns.
fn short(count: u64) -> String {
    match count {
        0..10_000_000 => count.to_string(),
        10_000_000..10_000_000_000 => format!("{}M", count / 1_000_000),
        _ => format!("{}G", count / 1_000_000_000),
    }
}

/// `text` at exactly `width` columns. Where it is too long its start goes: of a host name the end tells more.
pub(super) fn fitted(text: &str, width: usize) -> String {
    let wide = text.width();
    if wide <= width {
        return format!("{text}{}", " ".repeat(width - wide));
    }
    let mut kept = String::new();
    let mut left = width - 1;
    for c in text.chars().rev() {
        let columns = c.width().unwrap_or(0);
        if columns > left {
            break;
        }
        left -= columns;
        kept.insert(0, c);
    }
    format!("…{kept}{}", " ".repeat(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fitting_counts_columns() {
        let cases = [
            ("abc", 5, "abc  "),
            ("abcde", 5, "abcde"),
            ("abcdef", 5, "…cdef"),
            ("日本語", 5, "… 語 "),
            ("", 3, "   "),
        ];
        for (text, width, expected) in cases {
            let fitted = fitted(text, width);
            assert_eq!(fitted.width(), width, "{text}");
            if text.is_ascii() {
                assert_eq!(fitted, expected);
            }
        }
    }

    #[test]
    fn long_counts_stay_within_their_column() {
        for count in [0, 9_999_999, 10_000_000, 9_999_999_999, 10_000_000_000, u64::MAX / 1_000_000] {
            assert!(short(count).len() <= 7, "{count}");
        }
    }
}
