//! What content is, by its first bytes.

use crate::encoding::Coding;
use crate::said::Syntax;

/// White space at the start of a content through which its syntax is recognised without being announced.
const BLANK_BYTES_MAX: usize = 64;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Coded(Coding),
    Json,
    /// What the sender says, or text.
    AsSaid,
}

/// What content that begins with `start` is; `None` while too few bytes are there, unless `now`.
pub(crate) fn of(start: &[u8], now: bool, said: Option<&Syntax>) -> Option<Start> {
    let start = &start[..start.len().min(BLANK_BYTES_MAX)];
    if let Some(coding) = Coding::by_magic(start) {
        return Some(Start::Coded(coding));
    }
    let waits = !now && start.len() < BLANK_BYTES_MAX;
    if waits && (BYTE_ORDER_MARK.starts_with(start) || Coding::may_be_magic(start)) {
        return None;
    }
    let text = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start).trim_ascii_start();
    match (text.first(), said) {
        (None, _) if waits => None,
        (Some(b'{' | b'['), None | Some(Syntax::Form | Syntax::Json)) => Some(Start::Json),
        _ => Some(Start::AsSaid),
    }
}
