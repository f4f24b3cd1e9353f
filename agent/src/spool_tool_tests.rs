//! The commands on real spools in temporary folders.

use std::fs;
use std::time::Duration;

use cprvagt_spool::{Limits, Spool as Log};
use jiff::Timestamp;

use super::*;
use crate::send::scripted::{Authority, HOUR, Reply, Scripted, Speech};

/// A closed spool with five reports.
fn filled(dir: &Path) {
    let now = Timestamp::now();
    let (mut log, _) = Log::open(dir, Limits::default(), now).unwrap();
    for number in 1..=5_u8 {
        let kind = if number == 5 { Kind::Gap } else { Kind::Report };
        log.append(kind, u32::from(number), &[b'S'; 100], now).unwrap();
    }
    log.commit().unwrap();
    log.close(now).unwrap();
}

fn config(root: &Path) -> Config {
    let mut config = Config::default();
    config.spool.dir = root.join("spool");
    config.collector.enrolment = root.join("enrolment");
    config
}

/// Exit code and output, or the error.
fn done(root: &Path, command: SpoolCommand) -> Result<(Exit, String), SpoolToolError> {
    let mut out = Vec::new();
    let exit = run(&Spool { command, dir: None }, config(root), &mut out)?;
    Ok((exit, String::from_utf8(out).unwrap()))
}

fn flush(milliseconds: u64) -> SpoolCommand {
    SpoolCommand::Flush { duration: Duration::from_millis(milliseconds), runtime_dir: "/no/daemon".into() }
}

#[test]
fn a_list_shows_what_waits_and_never_its_content() {
    let root = tempfile::tempdir().unwrap();
    filled(&root.path().join("spool"));
    let (exit, text) = done(root.path(), SpoolCommand::List { json: false }).unwrap();
    assert_eq!(exit, Exit::Success);
    assert!(text.ends_with("5 reports with 15 leaks wait\n"), "{text}");
    assert_eq!(text.lines().count(), 7, "{text}");
    let (_, text) = done(root.path(), SpoolCommand::List { json: true }).unwrap();
    let object: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(object["schema"], "cprvagt.spool-list/1");
    assert_eq!(object["segments"][0]["leaks"], 15);
    assert_eq!(object["records"][4]["kind"], "gap");
    assert_eq!(object["records"][4]["sequence"], 5);
    assert_eq!(object["records"][4]["bytes"], 100);
    assert!(!text.contains("SSSS"));
}

#[test]
fn the_folder_on_the_command_line_goes_before_the_configured_one() {
    let root = tempfile::tempdir().unwrap();
    let missing = done(root.path(), SpoolCommand::List { json: false }).unwrap_err();
    assert!(matches!(missing, SpoolToolError::Missing(_)));
    assert_eq!(missing.exit(), Exit::Config);
    filled(&root.path().join("copy"));
    let options = Spool { command: SpoolCommand::List { json: false }, dir: Some(root.path().join("copy")) };
    assert_eq!(run(&options, config(root.path()), &mut vec![]).unwrap(), Exit::Success);
}

#[test]
fn damage_is_told_and_repaired() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("spool");
    filled(&dir);
    let fsck = |repair| done(root.path(), SpoolCommand::Fsck { repair, json: true }).unwrap();
    let (exit, text) = fsck(false);
    let object: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((exit, &object["damage"], &object["records"]), (Exit::Success, &json!([]), &json!(5)));
    let segment = list(&dir).unwrap()[0].name.clone();
    let bytes = fs::read(dir.join(&segment)).unwrap();
    fs::write(dir.join(&segment), &bytes[..bytes.len() - 7]).unwrap();
    for (repair, expected) in [(false, Exit::Partial), (true, Exit::Partial), (false, Exit::Success)] {
        let (exit, text) = fsck(repair);
        assert_eq!(exit, expected, "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["records"], 4);
    }
}

#[test]
fn an_export_holds_deliveries_and_leaves_the_spool_as_it_is() {
    let root = tempfile::tempdir().unwrap();
    filled(&root.path().join("spool"));
    let file = root.path().join("out");
    let export = || done(root.path(), SpoolCommand::Export { file: file.clone() });
    assert!(export().unwrap().1.ends_with(": 5 reports\n"));
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&file).unwrap());
    assert_eq!(mode & 0o7777, 0o600);
    assert!(matches!(export(), Err(SpoolToolError::Unwritable { .. })), "never over a file");
    let bytes = fs::read(&file).unwrap();
    let (length, delivery) = bytes.split_first_chunk::<4>().unwrap();
    assert_eq!(u32::from_le_bytes(*length) as usize, delivery.len());
    let delivery = Delivery::decode(delivery).unwrap();
    let sequences: Vec<u64> = delivery.reports.iter().map(|it| it.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5]);
    assert_eq!(delivery.reports[0].sealed, [b'S'; 100]);
    assert_eq!(rows(&root.path().join("spool")).unwrap().len(), 5);
}

#[test]
fn an_export_parts_what_no_single_delivery_holds() {
    let mut export = ExportFile { out: Vec::new(), batch: vec![], bytes: 0, reports: 0 };
    for sequence in 1..=70 {
        let position = cprvagt_spool::Position { epoch: uuid::Uuid::nil(), sequence };
        let bytes = if sequence > 60 { cprvagt_report::SEALED_BYTES_MAX } else { 1 };
        let (kind, written_at) = (Kind::Report, Timestamp::UNIX_EPOCH);
        export.add(Stored { position, kind, leaks: 1, written_at, payload: vec![0; bytes] }).unwrap();
    }
    export.write_batch().unwrap();
    let mut rest = &export.out[..];
    let mut sequences = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (delivery, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        sequences.extend(Delivery::decode(delivery).unwrap().reports.iter().map(|it| it.sequence));
        rest = after;
    }
    assert_eq!(sequences, (1..=70).collect::<Vec<u64>>());
}

#[test]
fn nothing_to_flush_is_success_and_makes_no_spool() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(done(root.path(), flush(100)).unwrap().0, Exit::Success);
    assert!(!root.path().join("spool").exists());
}

#[test]
fn without_an_enrolment_a_flush_says_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    filled(&root.path().join("spool"));
    let error = done(root.path(), flush(100)).unwrap_err();
    assert_eq!((error.exit(), error.to_string().contains("5 reports wait")), (Exit::Config, true), "{error}");
    assert_eq!(rows(&root.path().join("spool")).unwrap().len(), 5);
}

#[test]
fn a_flush_without_a_daemon_delivers() {
    let root = tempfile::tempdir().unwrap();
    filled(&root.path().join("spool"));
    let authority = Authority::new();
    let collector = Scripted::in_background(Speech::of(&authority), |seen| {
        Reply::receipts(seen, cprvagt_report::ReceiptOutcome::Stored)
    });
    authority.enrol(&root.path().join("enrolment"), &collector.url, (-HOUR, 9 * HOUR));
    assert_eq!(done(root.path(), flush(20_000)).unwrap(), (Exit::Success, "nothing waits\n".to_owned()));
    assert_eq!(collector.seen()[0].positions().len(), 5);
    assert!(rows(&root.path().join("spool")).unwrap().is_empty());
}

#[test]
fn a_flush_that_gets_nowhere_ends_in_time_and_says_why() {
    let root = tempfile::tempdir().unwrap();
    filled(&root.path().join("spool"));
    let url = "https://localhost:1".parse().unwrap();
    Authority::new().enrol(&root.path().join("enrolment"), &url, (-HOUR, 9 * HOUR));
    let (exit, text) = done(root.path(), flush(300)).unwrap();
    assert_eq!(exit, Exit::Partial);
    assert!(text.starts_with("5 reports still wait: https://localhost:1 cannot be reached"), "{text}");
}

#[test]
fn a_flush_beside_a_daemon_waits_for_it() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("spool");
    filled(&dir);
    let (mut daemon, _) = Log::open(&dir, Limits::default(), Timestamp::now()).unwrap();
    let (exit, text) = done(root.path(), flush(100)).unwrap();
    assert_eq!((exit, &text[..]), (Exit::Partial, "5 reports still wait\n"));
    let (stored, _) = daemon.next(100, 1 << 20).unwrap();
    daemon.acknowledge(stored.last().unwrap().position).unwrap();
    assert_eq!(done(root.path(), flush(10_000)).unwrap().0, Exit::Success);
    let busy = done(root.path(), SpoolCommand::Fsck { repair: true, json: false }).unwrap_err();
    assert_eq!(busy.exit(), Exit::Busy);
}
