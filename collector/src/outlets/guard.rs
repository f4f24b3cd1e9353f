//! The self-leak guard: looks for numbers in what is about to leave, with the matcher that looks at the hosts'
//! traffic.
//!
//! Names in an event were scrubbed by the agent and once more by the collector. This is the third look, at the
//! very bytes that would leave, whatever made them.
//!
//! *Invariants*: conservative. The whole body goes through the matcher, and each string through the scrubber
//! too, which asks neither for a calendar date nor for what stands beside. [`COMPUTED`] strings are spared the
//! scrubber: a hex id has ten decimal digits in a row every tenth time, by chance.

use cprvagt_cpr::{Place, Scene, scan, scrub_ranges};
use serde_json::Value;

/// Where the collector puts ids that it computed or that have a fixed form, as attribute names from the root; the
/// indexes of arrays are left out.
const COMPUTED: [&[&str]; 6] = [
    &["metadata", "uid"],
    &["metadata", "correlation_uid"],
    &["finding_info", "uid"],
    &["device", "uid"],
    &["src_endpoint", "uid"],
    &["resources", "uid"],
];

/// Why an event must not leave. Nothing of its content is told.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Blocked {
    /// The matcher found a number, or something that could be one.
    #[error("the event could hold a readable number")]
    Number,
    /// Only what can be looked at can leave.
    #[error("the event is not readable")]
    Unreadable,
}

/// Whether `body`, one JSON object, may leave.
///
/// # Errors
/// It could hold a readable number, or is not JSON.
pub(super) fn check(body: &[u8], now_unix: i64) -> Result<(), Blocked> {
    let event: Value = serde_json::from_slice(body).map_err(|_| Blocked::Unreadable)?;
    let scene = Scene { key: None, place: Place::Other, now_unix };
    let mut found = false;
    scan(body, &scene, &mut |_| found = true);
    let clean = !found && is_clean(&event, &mut Vec::new(), now_unix);
    if clean { Ok(()) } else { Err(Blocked::Number) }
}

fn is_clean<'a>(value: &'a Value, path: &mut Vec<&'a str>, now_unix: i64) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(_) if COMPUTED.contains(&path.as_slice()) => true,
        Value::String(text) => is_scrubbed(text, now_unix),
        Value::Array(items) => items.iter().all(|item| is_clean(item, path, now_unix)),
        Value::Object(members) => members.iter().all(|(name, member)| {
            path.push(name);
            let clean = is_scrubbed(name, now_unix) && is_clean(member, path, now_unix);
            path.pop();
            clean
        }),
    }
}

fn is_scrubbed(text: &str, now_unix: i64) -> bool {
    let mut clean = true;
    scrub_ranges(text.as_bytes(), now_unix, &mut |_| clean = false);
    clean
}

#[cfg(test)]
mod tests {
    use cprvagt_cpr::citizens::Citizens;
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_795_343_400;

    fn number() -> String {
        let number = Citizens::new(11).next().unwrap();
        String::from_utf8(number.digits().to_vec()).unwrap()
    }

    #[test]
    fn numbers_are_blocked_wherever_they_stand() {
        let bare = number();
        let hyphen = format!("{}-{}", &bare[..6], &bare[6..]);
        let events = [
            json!({ "message": format!("seen {hyphen} there") }),
            json!({ "device": { "hostname": format!("pc{bare}x") } }),
            json!({ "unmapped": { "paths": ["/a", format!("/u/{hyphen}/b")] } }),
            json!({ format!("field {bare}"): 1 }),
            json!({ "finding_info": { "uid": hyphen } }),
            json!({ "count": bare.trim_start_matches('0').parse::<u64>().unwrap(), "text": bare }),
            json!([{ "title": "999999-9999" }]),
        ];
        for event in events {
            assert_eq!(check(event.to_string().as_bytes(), NOW), Err(Blocked::Number));
        }
        let escaped = format!(r#"{{"message":"\u003{}{}"}}"#, &bare[..1], &bare[1..]);
        assert_eq!(check(escaped.as_bytes(), NOW), Err(Blocked::Number));
    }

    #[test]
    fn what_events_hold_passes() {
        let event = json!({
            "time": 1_795_343_400_123_i64,
            "metadata": { "uid": "1234567890123456789012345678abcd:3", "correlation_uid": "00".repeat(16) },
            "dst_endpoint": { "ip": "192.168.100.100", "port": 54321 },
            "message": "1234 citizens since 2026-11-22T10:30:00Z",
        });
        assert_eq!(check(event.to_string().as_bytes(), NOW), Ok(()));
        let id_elsewhere = json!({ "message": "1234567890123456789012345678abcd" });
        assert_eq!(check(id_elsewhere.to_string().as_bytes(), NOW), Err(Blocked::Number));
    }

    #[test]
    fn what_cannot_be_read_stays() {
        assert_eq!(check(b"{", NOW), Err(Blocked::Unreadable));
        assert_eq!(check(b"", NOW), Err(Blocked::Unreadable));
    }
}
