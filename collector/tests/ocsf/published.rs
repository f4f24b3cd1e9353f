//! The same facts out of the published schema: a checkout of version 1.8.0, or a git directory that has it.
//!
//! Not read: extensions, and attributes that only a profile brings, because we apply none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value};

use super::{Attribute, CLASS, Facts, Object};

/// The version in the repository's own words.
const TAG: &str = "v1.8.0";

/// Where the schema's files are.
pub struct Published {
    root: PathBuf,
    dictionary: Value,
}

impl Published {
    /// The schema in the directory named by `CPRVAGT_OCSF_SCHEMA`, if there is such a variable.
    pub fn from_env() -> Option<Self> {
        let root = PathBuf::from(std::env::var_os("CPRVAGT_OCSF_SCHEMA")?);
        let version = read(&root, "version.json");
        assert_eq!(version["version"], "1.8.0", "{}", root.display());
        Some(Self { dictionary: read(&root, "dictionary.json"), root })
    }

    /// Everything that the schema says about the objects that `names` names.
    pub fn facts<'a>(&self, names: impl Iterator<Item = &'a String>) -> Facts {
        names.map(|name| (name.clone(), self.object(name))).collect()
    }

    fn object(&self, name: &str) -> Object {
        let (attributes, at_least_one) = self.resolve(&self.file_of(name));
        let named =
            |(name, own): (&String, &Value)| self.attribute(name, own).map(|fact| (name.clone(), fact));
        let mut object = Object { at_least_one, attributes: attributes.iter().filter_map(named).collect() };
        if name == CLASS {
            self.number_class(&mut object);
        }
        object
    }

    fn file_of(&self, name: &str) -> String {
        match name {
            CLASS | "finding" => format!("events/findings/{name}.json"),
            "base_event" => "events/base_event.json".to_owned(),
            _ => format!("objects/{name}.json"),
        }
    }

    /// Attributes with what is inherited and included, and the attributes of which one must be there.
    fn resolve(&self, file: &str) -> (Map<String, Value>, Vec<String>) {
        let own = read(&self.root, file);
        let (mut attributes, mut at_least_one) = match own["extends"].as_str() {
            Some(parent) => self.resolve(&self.file_of(parent)),
            None => Default::default(),
        };
        if let Some(names) = own["constraints"]["at_least_one"].as_array() {
            at_least_one = names.iter().map(text).collect();
        }
        let mut members = own["attributes"].as_object().expect("attributes").clone();
        for included in members.remove("$include").iter().flat_map(|list| list.as_array().expect("a list")) {
            let profile = read(&self.root, &text(included));
            let mut brought = profile["attributes"].as_object().expect("attributes").clone();
            brought.values_mut().for_each(|value| value["profile"] = profile["name"].clone());
            merge(&mut attributes, brought);
        }
        merge(&mut attributes, members);
        (attributes, at_least_one)
    }

    /// An attribute, completed from the dictionary; `None` when only a profile brings it.
    fn attribute(&self, name: &str, own: &Value) -> Option<Attribute> {
        if own["profile"].is_string() {
            return None;
        }
        let general = &self.dictionary["attributes"][name];
        let either = |key: &str| if own[key].is_null() { general[key].clone() } else { own[key].clone() };
        let mut numbers = numbers(&general["enum"]);
        numbers.extend(self::numbers(&own["enum"]));
        Some(Attribute {
            kind: text(&either("type")),
            is_list: either("is_array") == true,
            requirement: text(&either("requirement")),
            sibling: either("sibling").as_str().filter(|_| !numbers.is_empty()).map(str::to_owned),
            numbers,
        })
    }

    /// The numbers of category, class and type, which follow from where the class stands.
    fn number_class(&self, class: &mut Object) {
        let own = read(&self.root, &self.file_of(CLASS));
        let category = &read(&self.root, "categories.json")["attributes"]["findings"];
        let category_uid = category["uid"].as_i64().expect("a number");
        let class_uid = category_uid * 1000 + own["uid"].as_i64().expect("a number");
        let caption = text(&own["caption"]);
        let activities = class.attributes["activity_id"].numbers.clone().into_iter();
        let types = activities.map(|(id, activity)| (class_uid * 100 + id, format!("{caption}: {activity}")));
        for (name, numbers) in [
            ("type_uid", types.collect()),
            ("class_uid", BTreeMap::from([(class_uid, caption.clone())])),
            ("category_uid", BTreeMap::from([(category_uid, text(&category["caption"]))])),
        ] {
            let attribute = class.attributes.get_mut(name).expect("every class has it");
            attribute.numbers = numbers;
            attribute.sibling = text(&self.dictionary["attributes"][name]["sibling"]).into();
        }
    }
}

/// Attributes of the same name are merged, and so are their numbers; what comes later wins.
fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (name, later) in from {
        let merged = into.entry(name).or_insert_with(|| Value::Object(Map::new()));
        for (key, value) in later.as_object().expect("an attribute") {
            match (merged[key].as_object_mut(), value) {
                (Some(numbers), Value::Object(more)) if key == "enum" => numbers.extend(more.clone()),
                _ => merged[key] = value.clone(),
            }
        }
    }
}

fn numbers(values: &Value) -> BTreeMap<i64, String> {
    let values = values.as_object().into_iter().flatten();
    values.map(|(number, value)| (number.parse().expect("a number"), text(&value["caption"]))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn read(root: &Path, file: &str) -> Value {
    let bytes = if root.join("objects").join("object.json").exists() {
        std::fs::read(root.join(file)).expect("the checkout has the file")
    } else {
        let git =
            Command::new("git").arg("--git-dir").arg(root).args(["show", &format!("{TAG}:{file}")]).output();
        git.ok().filter(|shown| shown.status.success()).expect("git shows the file").stdout
    };
    serde_json::from_slice(&bytes).expect("a schema file is JSON")
}
