//! The closed word lists of a leak: each enum is one row of the contract's table.
//!
//! *Invariants*: the order of the variants is the order of weight, the gravest or strongest first.

use serde::{Deserialize, Serialize};

/// Declares an enum whose variants have one fixed spelling, in JSON and on screen alike.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every value, in order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The contract's spelling.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The value spelled `word`; `None` for any other text.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word)
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// A rule that a leak breaks, the gravest first; `scan` judges nothing and says `found`.
    Rule {
        /// The number stands in a URL, from where browsers and logs pass it on.
        CprInUrl = "cpr-in-url",
        /// The destination has no entry that allows it.
        NotAllowed = "not-allowed",
        /// The number is readable on the wire beyond this host.
        Cleartext = "cleartext",
        /// One response hands out the numbers of many citizens.
        MassExposure = "mass-exposure",
        /// The number is in a mail sent without TLS.
        MailCleartext = "mail-cleartext",
        /// An offline scan found the number; no policy was applied.
        Found = "found",
    }
}

words! {
    /// How soon a person must act, the gravest first.
    Severity {
        /// Act now.
        Critical = "critical",
        /// Act today.
        High = "high",
        /// Look at it.
        Medium = "medium",
        /// For the record.
        Low = "low",
    }
}

impl Severity {
    /// One step less grave; `Low` stays `Low`.
    pub const fn lowered(self) -> Self {
        match self {
            Self::Critical => Self::High,
            Self::High => Self::Medium,
            Self::Medium | Self::Low => Self::Low,
        }
    }
}

words! {
    /// How sure it is that the digits are a CPR number, the surest first.
    Confidence {
        /// Beyond reasonable doubt.
        High = "high",
        /// More likely than not.
        Medium = "medium",
        /// Possible.
        Low = "low",
        /// Grammar and calendar fit, nothing else speaks for it.
        None = "none",
    }
}

words! {
    /// The lowest confidence that a user wants to see.
    Level {
        /// Only high confidence.
        High = "high",
        /// Medium and up; the default everywhere.
        Medium = "medium",
        /// Low and up.
        Low = "low",
        /// Every candidate that passes grammar and calendar.
        Any = "any",
    }
}

impl Level {
    /// True when a hit of `confidence` is to be shown at this level.
    pub const fn admits(self, confidence: Confidence) -> bool {
        confidence as u8 <= self as u8
    }
}

words! {
    /// What kind of number it is.
    Class {
        /// A personal identification number.
        Cpr = "cpr",
        /// A replacement number that a hospital or authority made for a person without one.
        Replacement = "replacement",
        /// A published test number.
        Test = "test",
    }
}

words! {
    /// What the check digit says.
    Checksum {
        /// The modulus-11 check holds.
        Mod11 = "mod11",
        /// A birth date for which numbers without a check digit have been issued.
        ListedDate = "listed-date",
        /// Neither.
        None = "none",
    }
}

words! {
    /// Which way the message went.
    Direction {
        /// This host is the client.
        Egress = "egress",
        /// This host is the server, and answered.
        Response = "response",
        /// This host is the server, and was asked.
        Request = "request",
    }
}

words! {
    /// Whether the message left the host.
    Outcome {
        /// Seen on the wire.
        Sent = "sent",
        /// Known not to have left.
        NotSent = "not-sent",
        /// Not known.
        Unknown = "unknown",
    }
}

words! {
    /// How well the destination is established, the best first.
    Proof {
        /// The session's random and the record were seen on that flow.
        Proven = "proven",
        /// Nesting or lengths point to that flow.
        Likely = "likely",
        /// Not established.
        Unknown = "unknown",
    }
}

words! {
    /// What is known of who handed a number to the relay that sent it on.
    Handover {
        /// One program on this host handed the relay a number of the same citizen before.
        Same = "same-citizen",
        /// Several programs did, or one that is not known.
        Unclear = "unclear",
        /// Nothing that was read on its way to the relay had it.
        NotSeen = "not-seen",
        /// The process takes connections from programs on its host, and what they send it is not read.
        NotRead = "not-read",
    }
}

words! {
    /// The transport that carried the message.
    Protocol {
        /// TCP.
        Tcp = "tcp",
        /// UDP.
        Udp = "udp",
    }
}

words! {
    /// The part of a message where the number stands.
    Part {
        /// The path of a URL.
        UrlPath = "url.path",
        /// The query of a URL.
        UrlQuery = "url.query",
        /// The host name in a URL.
        UrlHost = "url.host",
        /// A header field.
        Header = "header",
        /// A cookie.
        Cookie = "cookie",
        /// The Referer header.
        Referer = "referer",
        /// A form field.
        Form = "form",
        /// A JSON value.
        Json = "json",
        /// An XML element or attribute.
        Xml = "xml",
        /// A part of a multipart body.
        Multipart = "multipart",
        /// The name of a file.
        Filename = "filename",
        /// An HTML page.
        Html = "html",
        /// A body of another kind.
        Body = "body",
        /// A database statement.
        Sql = "sql",
        /// The key of a record.
        Key = "key",
        /// The value of a record.
        Value = "value",
        /// A name in a DNS message.
        DnsName = "dns.name",
        /// Sender or recipient of a mail.
        MailEnvelope = "mail.envelope",
        /// A mail header.
        MailHeader = "mail.header",
        /// A mail body.
        MailBody = "mail.body",
        /// A log line.
        Log = "log",
        /// Bytes that no decoder recognised.
        Raw = "raw",
    }
}

impl Part {
    /// True for the parts that a browser, a proxy log or a Referer passes on.
    pub const fn is_url(self) -> bool {
        matches!(self, Self::UrlPath | Self::UrlQuery | Self::UrlHost | Self::Referer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_admit_their_confidence_and_above() {
        let cases = [
            (Level::High, [true, false, false, false]),
            (Level::Medium, [true, true, false, false]),
            (Level::Low, [true, true, true, false]),
            (Level::Any, [true, true, true, true]),
        ];
        for (level, expected) in cases {
            let admitted: Vec<bool> = Confidence::ALL.iter().map(|c| level.admits(*c)).collect();
            assert_eq!(admitted, expected, "{level}");
        }
    }

    #[test]
    fn rules_stand_in_the_order_of_the_contract() {
        let words: Vec<&str> = Rule::ALL.iter().map(|rule| rule.as_str()).collect();
        let order = ["cpr-in-url", "not-allowed", "cleartext", "mass-exposure", "mail-cleartext", "found"];
        assert_eq!(words, order);
    }

    #[test]
    fn json_and_screen_spell_alike() {
        for part in Part::ALL {
            assert_eq!(serde_json::to_string(part).unwrap(), format!("\"{part}\""));
            assert_eq!(Part::from_word(part.as_str()), Some(*part));
        }
    }

    #[test]
    fn lowering_ends_at_low() {
        let steps = [Severity::Critical, Severity::High, Severity::Medium, Severity::Low];
        for pair in steps.windows(2) {
            assert_eq!(pair[0].lowered(), pair[1]);
        }
        assert_eq!(Severity::Low.lowered(), Severity::Low);
    }
}
