//! A point in time as the contract writes it: RFC 3339 in UTC with nine decimals.

use core::fmt;
use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A point in time, to the nanosecond.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Moment(pub Timestamp);

impl Moment {
    /// The system clock's time.
    pub fn now() -> Self {
        Self(Timestamp::now())
    }

    /// `HH:MM:SS` in UTC, for a screen.
    pub fn clock_utc(&self) -> String {
        self.0.strftime("%H:%M:%S").to_string()
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.9}", self.0)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(input)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_decimals_in_utc() {
        let moment = Moment(Timestamp::new(1_700_000_000, 5).unwrap());
        assert_eq!(moment.to_string(), "2023-11-14T22:13:20.000000005Z");
        assert_eq!(moment.clock_utc(), "22:13:20");
        let json = serde_json::to_string(&moment).unwrap();
        assert_eq!(serde_json::from_str::<Moment>(&json).unwrap(), moment);
        let whole = Moment(Timestamp::new(1_700_000_000, 0).unwrap());
        assert_eq!(whole.to_string(), "2023-11-14T22:13:20.000000000Z");
    }
}
