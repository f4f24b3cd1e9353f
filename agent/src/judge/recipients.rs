//! Recipients that make a leak critical: the built-in list, and what the configuration adds to it.
//!
//! *Invariants*: a name finds the longest suffix that it has; where two say the same suffix, the configuration's holds.
//! A suffix is at or below a name that somebody registered, never a public suffix itself.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::names::HostName;
use crate::config::{Recipient, read_recipients};

/// The list that is built in.
const BUILT_IN: &str = include_str!("../../../config/recipients.toml");

static BUILT_IN_LIST: LazyLock<HashMap<HostName, Recipient>> = LazyLock::new(|| {
    let list = read_recipients(BUILT_IN).expect("the list is read in a test");
    list.into_iter().map(|it| (it.suffix.clone(), it)).collect()
});

/// Who stands behind a name.
#[derive(Debug, Default)]
pub(super) struct Recipients {
    added: HashMap<HostName, Recipient>,
}

impl Recipients {
    pub(super) fn new(added: &[Recipient]) -> Self {
        Self { added: added.iter().map(|it| (it.suffix.clone(), it.clone())).collect() }
    }

    /// The recipient of the longest suffix of `name`.
    pub(super) fn find(&self, name: &HostName) -> Option<&Recipient> {
        name.with_those_above().find_map(|it| self.added.get(it).or_else(|| BUILT_IN_LIST.get(it)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RecipientKind;

    fn built_in() -> Vec<Recipient> {
        read_recipients(BUILT_IN).unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    #[test]
    fn the_built_in_list_is_sorted_and_says_each_once() {
        let list = built_in();
        assert!(list.len() >= 150, "{}", list.len());
        for pair in list.windows(2) {
            assert!(pair[0].suffix < pair[1].suffix, "{} before {}", pair[0].suffix, pair[1].suffix);
        }
        for kind in RecipientKind::ALL {
            assert!(list.iter().any(|it| it.kind == *kind), "{kind}");
        }
    }

    #[test]
    fn each_built_in_suffix_is_at_or_below_a_registered_name() {
        let wrong: Vec<String> = built_in()
            .into_iter()
            .filter(|it| it.suffix.is_registry_suffix() || !is_in_a_known_zone(&it.suffix))
            .map(|it| it.suffix.to_string())
            .collect();
        assert_eq!(wrong, Vec::<String>::new());
    }

    fn is_in_a_known_zone(name: &HostName) -> bool {
        psl::suffix(name.as_str().as_bytes()).is_some_and(|suffix| suffix.is_known())
    }

    #[test]
    fn an_owner_has_one_spelling_and_one_seat_for_each_name_it_runs() {
        let mut seats: HashMap<String, String> = HashMap::new();
        for it in built_in() {
            let seat = seats.entry(it.owner.clone()).or_insert_with(|| it.country.clone());
            assert_eq!(*seat, it.country, "{}", it.owner);
        }
    }

    #[test]
    fn names_find_their_recipient() {
        let own = "[[recipient]]\nsuffix = \"stats.example.dk\"\nowner = \"Statistik A/S\"\nkind = \"analytics\"\n\
                   country = \"DK\"\n[[recipient]]\nsuffix = \"cloudfront.net\"\nowner = \"Ours\"\nkind = \"cdn\"\n\
                   country = \"DK\"\n";
        let recipients = Recipients::new(&read_recipients(own).unwrap());
        let cases = [
            ("www.google-analytics.com", Some(("Google LLC", "analytics"))),
            ("region1.google-analytics.com", Some(("Google LLC", "analytics"))),
            ("analytics.google.com", Some(("Google LLC", "analytics"))),
            ("www.google.com", Some(("Google LLC", "advertising"))),
            ("fonts.gstatic.com", Some(("Google LLC", "cdn"))),
            ("borger.d1.sc.omtrdc.net", Some(("Adobe Inc.", "analytics"))),
            ("dpm.demdex.net", Some(("Adobe Inc.", "advertising"))),
            ("oss.maxcdn.com", Some(("StackPath, LLC (MaxCDN)", "cdn"))),
            ("x-y.netdna-ssl.com", Some(("StackPath, LLC (MaxCDN)", "cdn"))),
            ("o1.ingest.sentry.io", Some(("Functional Software, Inc. (Sentry)", "error-reporting"))),
            ("script.hotjar.com", Some(("Hotjar Ltd.", "session-replay"))),
            ("d111.cloudfront.net", Some(("Ours", "cdn"))),
            ("a.stats.example.dk", Some(("Statistik A/S", "analytics"))),
            ("stats.example.dk", Some(("Statistik A/S", "analytics"))),
            ("example.dk", None),
            ("notgoogle-analytics.com", None),
            ("google-analytics.com.evil.example", None),
            ("com", None),
            ("googleapis.com", None),
        ];
        for (name, expected) in cases {
            let found = recipients.find(&HostName::parse(name).unwrap());
            assert_eq!(found.map(|it| (it.owner.as_str(), it.kind.as_str())), expected, "{name}");
        }
    }
}
