//! What a caller with the real matcher tells of a stream: the agent's rules in little.

use std::collections::BTreeSet;
use std::ops::Range;

use cprvagt_cpr::{Confidence, Place, Scene, scan};
use cprvagt_stream::Part;

use super::Seen;

/// 2026-11-22, midnight.
pub const NOW: i64 = 1_795_305_600;

/// Protocol, part and field of each number that is at least of medium confidence, once for each message and part.
pub fn told(seen: &[Seen]) -> Vec<String> {
    let (mut told, mut specific) = (BTreeSet::new(), Vec::new());
    let mut lines = Vec::new();
    for window in seen {
        scan(&window.bytes, &scene(window), &mut |hit| {
            if !window.owned.contains(&hit.start) {
                return;
            }
            let number = (window.message, hit.number.digits().to_vec());
            let is_behind = |(other, source): &(_, Range<u64>)| {
                *other == number && source.start < window.source.end && window.source.start < source.end
            };
            let is_known = !window.part.is_specific() && specific.iter().any(is_behind);
            if window.part.is_specific() {
                specific.push((number.clone(), window.source.clone()));
            }
            let is_sure = hit.score.confidence() >= Confidence::Medium;
            if is_sure && !is_known && told.insert((number, window.part)) {
                let field = window.field.as_deref().unwrap_or("-");
                lines.push(format!("{} {} {field}", window.protocol.as_str(), window.part.as_str()));
            }
        });
    }
    lines
}

fn scene(window: &Seen) -> Scene<'_> {
    let place = match window.part {
        Part::UrlPath => Place::UrlPath,
        Part::UrlQuery => Place::UrlQuery,
        _ => Place::Other,
    };
    Scene { key: key(window), place, now_unix: NOW }
}

/// The name that speaks for the value: of a JSON path its last step.
fn key(window: &Seen) -> Option<&str> {
    let field = window.field.as_deref()?;
    if window.part == Part::Json {
        field.rsplit('.').next().map(|step| step.trim_end_matches("[]"))
    } else {
        Some(field)
    }
}
