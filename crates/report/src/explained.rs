//! A leak object with the reasons for its score: what `scan --explain` adds, one field behind the others.

use serde::Serialize;

use crate::{Label, Leak, Score};

/// A leak and why it has its score.
#[derive(Clone, Debug, Serialize)]
pub struct Explained<'a> {
    /// The leak, its fields among the object's own.
    #[serde(flatten)]
    pub leak: &'a Leak,
    /// What together is `leak.score`.
    pub explain: Vec<Step>,
}

/// One clue and what it added to the score.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Step {
    /// A word for programs.
    pub clue: Label,
    /// What it added; below zero it speaks against.
    pub decibans: Score,
    /// What it means, for a person.
    pub meaning: Label,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_leak_keeps_its_form_and_has_one_field_more() {
        let leak = sample::leak(1, "a.example");
        let step = Step { clue: "prior".into(), decibans: Score::from_tenths(-300), meaning: "x".into() };
        let mut object = serde_json::to_value(Explained { leak: &leak, explain: vec![step] }).unwrap();
        let explain = object.as_object_mut().unwrap().remove("explain").unwrap();
        assert_eq!(explain, serde_json::json!([{"clue": "prior", "decibans": -30.0, "meaning": "x"}]));
        assert_eq!(object, serde_json::to_value(&leak).unwrap());
    }
}
