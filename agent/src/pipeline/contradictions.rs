//! Names that contradict each other, told in the log: a flow that says where it goes, to an address that DNS answers gave
//! to others alone; a message whose host is another than that of its connection.
//!
//! *Limits*: each pair once, [`TOLD_MAX`] in all.

use std::cell::RefCell;
use std::collections::HashSet;

use crate::judge::{FarNames, HostName};
use crate::scrub::Scrubber;

/// Pairs that are told at most.
const TOLD_MAX: usize = 1024;

/// What was told.
#[derive(Default)]
pub struct Contradictions {
    told: RefCell<HashSet<(HostName, HostName)>>,
}

impl Contradictions {
    /// Tells how the names of a destination contradict each other, unless that was told.
    pub fn tell(&self, names: &FarNames, scrubber: &Scrubber) {
        let Some((own, other)) = contradiction(names) else { return };
        let mut told = self.told.borrow_mut();
        if told.len() < TOLD_MAX && told.insert((own.clone(), other.clone())) {
            let [own, other] = [own, other].map(|name| scrubber.name(name.as_str()));
            tracing::warn!(%own, %other, "a destination has names that contradict each other: the flow's own decides");
        }
    }
}

/// A name that the flow gives itself, and one that does not go with it.
pub fn contradiction(names: &FarNames) -> Option<(&HostName, &HostName)> {
    let (first, others) = names.own.split_first()?;
    if let Some(other) = others.iter().find(|other| *other != first) {
        return Some((first, other));
    }
    let is_among = names.learned.is_empty() || names.learned.contains(first);
    if is_among { None } else { names.learned.first().map(|other| (first, other)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<HostName> {
        text.split_whitespace().map(|name| HostName::parse(name).unwrap()).collect()
    }

    #[test]
    fn names_that_do_not_go_together() {
        let cases = [
            ("a.example", "", None),
            ("a.example", "a.example", None),
            ("a.example", "b.example a.example", None),
            ("a.example a.example", "", None),
            ("", "b.example", None),
            ("", "", None),
            ("a.example", "b.example c.example", Some("a.example b.example")),
            ("a.example b.example", "a.example", Some("a.example b.example")),
        ];
        for (own, learned, expected) in cases {
            let names = FarNames { own: names(own), learned: names(learned) };
            let told = contradiction(&names).map(|(own, other)| format!("{own} {other}"));
            assert_eq!(told.as_deref(), expected, "{names:?}");
        }
    }

    #[test]
    fn what_is_told_is_bounded() {
        let contradictions = Contradictions::default();
        for n in 0..TOLD_MAX + 9 {
            let names = FarNames { own: names(&format!("n{n}.example")), learned: names("b.example") };
            contradictions.tell(&names, &Scrubber::at(0));
        }
        assert_eq!(contradictions.told.borrow().len(), TOLD_MAX);
    }
}
