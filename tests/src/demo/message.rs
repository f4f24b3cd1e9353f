//! A message that carries one citizen's number in one location part.

use std::fmt;

use crate::program::Job;

/// Where in a message the number stands: `location.part` of a leak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is named by the string that Display gives")]
pub enum Part {
    UrlPath,
    UrlQuery,
    Header,
    Cookie,
    Referer,
    Form,
    Json,
    Body,
}

impl Part {
    /// All that the demo plants.
    pub const ALL: [Self; 8] = [
        Self::UrlPath,
        Self::UrlQuery,
        Self::Header,
        Self::Cookie,
        Self::Referer,
        Self::Form,
        Self::Json,
        Self::Body,
    ];
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UrlPath => "url.path",
            Self::UrlQuery => "url.query",
            Self::Header => "header",
            Self::Cookie => "cookie",
            Self::Referer => "referer",
            Self::Form => "form",
            Self::Json => "json",
            Self::Body => "body",
        })
    }
}

/// The message. `variant` chooses between ways that programs write it: bare or with a hyphen, by
/// different keys.  Each way is one that the rules of detection rate at least medium.
pub fn message(origin: &str, part: Part, digits: &str, variant: usize) -> Job {
    let hyphen = format!("{}-{}", &digits[..6], &digits[6..]);
    let key = ["cpr", "id", "personnummer", "cprnr", "p"][variant % 5];
    // Bare, under a key that says nothing, a birth on the 17th or 18th cannot be told from a time stamp of
    // these years: Unix seconds begin with these digits until 2030.
    let like_a_time = !key.contains("cpr") && (digits.starts_with("17") || digits.starts_with("18"));
    let bare = variant.is_multiple_of(2) && !(part == Part::UrlQuery && like_a_time);
    let number = if bare { digits } else { &hyphen };
    match part {
        Part::UrlPath => Job::get(format!("{origin}/borger/{number}/sager")),
        Part::UrlQuery => Job::get(format!("{origin}/collect?v=2&{key}={number}&ep=indsend")),
        Part::Header => Job::get(format!("{origin}/header")).header("CPR-Nummer", number),
        Part::Cookie => {
            Job::get(format!("{origin}/cookie")).header("Cookie", format!("lang=da; cpr={number}; v=1"))
        }
        Part::Referer => {
            let from = format!("https://selvbetjening.borger.example/sag?cpr={number}&trin=2");
            Job::get(format!("{origin}/pixel.gif")).header("Referer", from)
        }
        Part::Form => {
            let body = format!("navn=Test+Borger&cpr={number}&samtykke=ja");
            Job::post(format!("{origin}/form"), "application/x-www-form-urlencoded", body)
        }
        Part::Json => {
            let body = serde_json::json!({"event": "indsend", "borger": {"navn": "Test", "cpr": number}});
            Job::post(format!("{origin}/events"), "application/json", body.to_string())
        }
        Part::Body => {
            let body = format!("Hej. Sagen om borger {hyphen} er klar til behandling.\r\n");
            Job::post(format!("{origin}/note"), "text/plain; charset=utf-8", body)
        }
    }
}
