//! When to try again: exponential back-off with jitter, unless the receiver says when.
//!
//! *Limits*: [`DELAY_MAX`] between two attempts, [`RETRY_AFTER_MAX`] when the receiver asks for more.

use std::time::{Duration, SystemTime};

/// Before the second attempt, about.
pub const DELAY_FIRST: Duration = Duration::from_secs(1);
/// Longest time between two attempts that we choose ourselves.
pub const DELAY_MAX: Duration = Duration::from_secs(15 * 60);
/// Longest time that a receiver can put us off for.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);
/// Shortest time that a receiver can put us off for: `Retry-After: 0` must not make a loop.
pub const RETRY_AFTER_MIN: Duration = Duration::from_millis(500);

/// How long to wait after the `attempts`th failure in a row, counted from 1. Half of it is fixed, and half is
/// `dice / u64::MAX` of the other half, so that outlets that failed together do not come back together.
pub(super) fn delay(attempts: u32, dice: u64) -> Duration {
    let doublings = attempts.saturating_sub(1).min(20);
    let whole = DELAY_FIRST.saturating_mul(1 << doublings).min(DELAY_MAX);
    whole / 2 + (whole / 2).mul_f64(dice as f64 / u64::MAX as f64)
}

/// What a `Retry-After` header asks for (RFC 9110, section 10.2.3), within bounds; `None` for anything else.
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let asked = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        value.parse().map_or(RETRY_AFTER_MAX, Duration::from_secs)
    } else {
        let until = httpdate::parse_http_date(value).ok()?;
        until.duration_since(now).unwrap_or_default()
    };
    Some(asked.clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_and_end() {
        let cases = [(1, 500, 1000), (2, 1000, 2000), (3, 2000, 4000), (10, 256_000, 512_000)];
        let longest = [(11, 450_000, 900_000), (u32::MAX, 450_000, 900_000)];
        for (attempts, least, most) in cases.into_iter().chain(longest) {
            assert_eq!(delay(attempts, 0), Duration::from_millis(least), "{attempts}");
            assert_eq!(delay(attempts, u64::MAX), Duration::from_millis(most), "{attempts}");
            let between = delay(attempts, u64::MAX / 3).as_millis();
            assert!(between > u128::from(least) && between < u128::from(most), "{attempts}");
        }
        assert_eq!(delay(0, 0), delay(1, 0));
    }

    #[test]
    fn what_receivers_ask_for() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let cases = [
            ("3", seconds(3)),
            (" 120 ", seconds(120)),
            ("0", Some(RETRY_AFTER_MIN)),
            ("86400", Some(RETRY_AFTER_MAX)),
            ("99999999999999999999999", Some(RETRY_AFTER_MAX)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", seconds(60)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", seconds(60)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(RETRY_AFTER_MIN)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(RETRY_AFTER_MIN)),
            ("Fri, 06 Nov 2093 08:49:37 GMT", Some(RETRY_AFTER_MAX)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ];
        for (value, expected) in cases {
            assert_eq!(retry_after(value, now), expected, "{value:?}");
        }
    }
}
