//! Sizes as people write them: `65536`, `"64 KiB"`, `"16 MiB"`, `"1 GiB"`.

/// The number of bytes that `text` spells; binary units only.
///
/// # Errors
/// What is wrong with the text, for a person.
pub fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let wrong = || format!("{text:?} is not a size; write for example \"16 MiB\"");
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" | "kB" | "MB" | "GB" => return Err(format!("{text:?}: sizes are in KiB, MiB or GiB")),
        _ => return Err(wrong()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(wrong)
}

/// `bytes` as people write them, exact where it is a whole number of units, else with one decimal.
pub fn show(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        None => format!("{bytes} B"),
        Some((unit, name)) if bytes.is_multiple_of(unit) => format!("{} {name}", bytes / unit),
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases = [
            ("16 MiB", Some(16 << 20)),
            ("64KiB", Some(65536)),
            (" 1 GiB ", Some(1 << 30)),
            ("4096", Some(4096)),
            ("4096 B", Some(4096)),
            ("16 MB", None),
            ("16 mib", None),
            ("1.5 MiB", None),
            ("-1", None),
            ("", None),
            ("MiB", None),
            ("99999999999999999999", None),
            ("99999999999 GiB", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn shown_sizes() {
        let cases = [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (16 << 20, "16 MiB")];
        for (bytes, expected) in cases {
            assert_eq!(show(bytes), expected);
        }
    }
}
