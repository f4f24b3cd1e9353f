//! Where a collector listens: `https://HOST[:PORT]`.
//!
//! *Limits*: no path, no user name, no query: what is asked there is fixed by `cprvagt_report`.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;
use serde::{Deserialize, Serialize};

/// The port of an address that names none (RFC 9110, section 4.2.2).
const DEFAULT_PORT: u16 = 443;

/// The address of a collector.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CollectorUrl {
    host: String,
    port: u16,
}

/// The text is no address of a collector.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a collector's address looks like https://collector.example:8443, with nothing behind the port")]
pub struct BadUrl;

impl CollectorUrl {
    /// Host name or address, without the brackets of IPv6.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Port.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for CollectorUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let uri: Uri = text.trim().parse().map_err(|_| BadUrl)?;
        let authority = uri.authority().ok_or(BadUrl)?;
        let bare = uri.path() == "/" && uri.query().is_none() && !authority.as_str().contains('@');
        // A port that is there and no number counts as none; one without digits too.
        let port_is_read = authority.port_u16().is_some() || authority.as_str() == authority.host();
        if uri.scheme_str() != Some("https") || authority.host().is_empty() || !bare || !port_is_read {
            return Err(BadUrl);
        }
        Ok(Self { host: authority.host().to_owned(), port: authority.port_u16().unwrap_or(DEFAULT_PORT) })
    }
}

impl fmt::Display for CollectorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}:{}", self.host, self.port)
    }
}

impl TryFrom<String> for CollectorUrl {
    type Error = BadUrl;

    fn try_from(text: String) -> Result<Self, BadUrl> {
        text.parse()
    }
}

impl From<CollectorUrl> for String {
    fn from(url: CollectorUrl) -> Self {
        url.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let cases = [
            ("https://collector.example:8443", Some(("collector.example", 8443))),
            ("https://collector.example", Some(("collector.example", 443))),
            ("https://collector.example/", Some(("collector.example", 443))),
            (" https://192.0.2.1:1\n", Some(("192.0.2.1", 1))),
            ("https://[2001:db8::1]:8443", Some(("2001:db8::1", 8443))),
            ("http://collector.example:8443", None),
            ("collector.example:8443", None),
            ("https://", None),
            ("https://:8443", None),
            ("https://collector.example:", None),
            ("https://collector.example:99999", None),
            ("https://collector.example:8443/v1", None),
            ("https://collector.example?x=1", None),
            ("https://me@collector.example", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let url = text.parse::<CollectorUrl>().ok();
            assert_eq!(url.as_ref().map(|it| (it.host(), it.port())), expected, "{text}");
            if let Some(url) = url {
                assert_eq!(url.to_string().parse(), Ok(url.clone()), "{text}");
            }
        }
    }
}
