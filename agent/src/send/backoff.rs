//! How long to wait after a failure: exponential, with full jitter, or as the collector asks.
//!
//! A thousand agents that lost one collector must not all come back in one second.
//!
//! *Units*: whole seconds from the collector, milliseconds of our own.

use std::time::{Duration, SystemTime};

/// The most that is waited after the first failure; each further one doubles it.
const FIRST_MAX: Duration = Duration::from_secs(1);
/// The most that is ever waited of our own accord.
const WAIT_MAX: Duration = Duration::from_secs(5 * 60);
/// The least: no random number makes a failing agent a busy one.
const WAIT_MIN: Duration = Duration::from_millis(100);
/// The most that a collector can ask for.
pub const ASKED_MAX: Duration = Duration::from_secs(60 * 60);

/// Counts failures in a row.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure; `asked` is what the collector asks for, `share`, from 0 to 1, is random.
    ///
    /// What was asked for is the least; on top comes anything up to the ceiling, so that not all come back at once.
    pub fn after_failure(&mut self, asked: Option<Duration>, share: f64) -> Duration {
        let ceiling = ceiling(self.failures);
        self.failures = self.failures.saturating_add(1);
        match asked {
            Some(asked) => asked.min(ASKED_MAX) + ceiling.mul_f64(share).max(WAIT_MIN),
            None => ceiling.mul_f64(share).max(WAIT_MIN),
        }
    }

    /// All is well again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

/// The most that is waited after `failures` earlier ones.
fn ceiling(failures: u32) -> Duration {
    FIRST_MAX.saturating_mul(2_u32.saturating_pow(failures)).min(WAIT_MAX)
}

/// What the header `Retry-After` asks for (RFC 9110, section 10.2.3): seconds or a date; at most
/// [`ASKED_MAX`]. `None` when it says neither.
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let asked = match is_number {
        // Digits too many to count are more than the most.
        true => Duration::from_secs(value.parse().unwrap_or(u64::MAX)),
        false => httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(asked.min(ASKED_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceilings_double_from_a_second_to_five_minutes() {
        let seconds: Vec<u64> = (0..12).map(|failures| ceiling(failures).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(ceiling(u32::MAX), WAIT_MAX);
    }

    #[test]
    fn waits_are_a_share_of_the_ceiling() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> =
            [0.5, 1.0, 0.0, 0.25].map(|share| backoff.after_failure(None, share).as_millis()).into();
        assert_eq!(waits, [500, 2000, 100, 2000]);
        backoff.reset();
        assert_eq!(backoff.after_failure(None, 1.0), FIRST_MAX);
    }

    #[test]
    fn what_the_collector_asks_for_is_the_least_and_capped() {
        let cases = [(0, 0.5, 500), (1, 0.0, 1100), (1, 1.0, 2000), (10_000, 0.0, 3_600_100)];
        for (asked, share, expected) in cases {
            let wait = Backoff::default().after_failure(Some(Duration::from_secs(asked)), share);
            assert_eq!(wait.as_millis(), expected, "{asked} {share}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let cases = [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("999999", Some(3600)),
            ("99999999999999999999999999", Some(3600)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:49:27 GMT", Some(0)),
            ("Sat, 06 Nov 2094 08:49:37 GMT", Some(3600)),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ];
        for (value, expected) in cases {
            assert_eq!(retry_after(value, now), expected.map(Duration::from_secs), "{value}");
        }
    }
}
