//! Settings: TOML read key by key through every door of `cprvagt_settings`.

use cprvagt_settings::{Document, Problem, Table, nearest, size};

/// The settings' own bound is far higher; a place is found by counting from the start of the text.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// Names of tables and keys, as an agent or a collector has them.
const SECTIONS: [&str; 4] = ["capture", "allow", "spool", "outlets"];
const KEYS: [&str; 6] = ["ring_bytes", "to", "ports", "match", "webhook", "days"];

/// Settings are read or refused with problems that stand in the text, in its order.
pub fn settings_read(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    if text.len() > TEXT_BYTES_MAX {
        return;
    }
    let document = Document::new(text);
    let is_toml = document.parse().map(|root| read(&Table::root(&document, &root))).is_some();
    let problems = document.into_problems();
    assert!(is_toml || !problems.is_empty(), "a refusal says why");
    check_places(text, &problems);
    assert!(nearest(text.get(..64).unwrap_or(text), &KEYS).is_none_or(|near| KEYS.contains(&near)));
}

fn read(root: &Table<'_, '_>) {
    root.expect_keys(&SECTIONS);
    root.table("capture", "[capture]").iter().for_each(read_table);
    root.tables("allow", "[[allow]]").iter().for_each(read_table);
    let outlets = root.table("outlets", "[outlets]");
    outlets.iter().flat_map(|it| it.tables("webhook", "[[outlets.webhook]]")).for_each(|it| read_table(&it));
    if let Some(spool) = root.table("spool", "[spool]") {
        read_table(&spool);
        spool.value_required("dir");
    }
}

fn read_table(table: &Table<'_, '_>) {
    table.expect_keys(&KEYS);
    assert!(table.place().line > 0 && table.place().column > 0);
    for key in KEYS {
        assert_eq!(table.value(key).is_some(), table.place_of_key(key).is_some(), "{key}");
    }
    let text = table.text("ring_bytes").map(size::parse);
    assert!(text.is_none_or(|size| size.is_ok_and(|_| true) || table.value("ring_bytes").is_some()));
    table.text_required("to");
    for port in table.list("ports").filter(|port| port.get_ref().as_integer().is_none()) {
        table.text_of("ports", port);
        table.wrong_type("ports", port, "a port");
    }
    if let Some(inner) = table.table("match", "match") {
        inner.expect_keys(&["exe"]).text("exe");
        inner.problem("is of no use here");
    }
}

fn check_places(text: &str, problems: &[Problem]) {
    assert!(problems.is_sorted_by_key(|problem| problem.at));
    let lines: Vec<usize> = text.split('\n').map(|line| line.chars().count()).collect();
    for Problem { at, what } in problems {
        let columns = lines.get(at.line as usize - 1).expect("the line is in the text");
        assert!((1..=columns + 1).contains(&(at.column as usize)), "{at} is outside the text");
        assert!(!what.is_empty());
    }
}
