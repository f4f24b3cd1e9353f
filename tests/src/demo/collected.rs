//! What the collector made of the demo: incidents, citizens for each recipient and in total, against ground truth.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::demo::plan::Plan;

/// The collector's part of the verdict.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Collected {
    /// Incidents.
    pub incidents: usize,
    /// Leaks in them.
    pub occurrences: u64,
    /// Different people over all recipients.
    pub citizens: u64,
    /// What each recipient site got.
    pub sites: Vec<SiteRow>,
    /// Whether all of it is what was planted.
    pub ok: bool,
}

/// One recipient site.
#[derive(Clone, Debug, Serialize)]
pub struct SiteRow {
    /// Its registrable domain.
    pub site: String,
    /// Different people.
    pub citizens: u64,
    /// Different people whose numbers were planted there.
    pub citizens_planted: u64,
    /// Leaks.
    pub occurrences: u64,
}

impl Collected {
    /// From the objects of `incidents --json`: incidents, then the totals. Sites that the plan does not know are
    /// this machine's own traffic; they count for nothing.
    #[must_use]
    pub fn new(plan: &Plan, objects: &[Value]) -> Self {
        let planted = planted(plan);
        let of_plan = |site: &Value| site.as_str().is_some_and(|site| planted.contains_key(site));
        let incidents =
            objects.iter().filter(|it| it["schema"] == "cprvagt.incident/1" && of_plan(&it["site"]));
        let totals = objects.iter().find(|it| it["schema"] == "cprvagt.totals/1");
        let (Some(totals), incidents) = (totals, incidents.count()) else { return Self::default() };
        let rows = totals["sites"].as_array().map(Vec::as_slice).unwrap_or_default();
        let others = rows.iter().any(|row| !of_plan(&row["site"]));
        let mut sites: Vec<SiteRow> =
            rows.iter().filter(|row| of_plan(&row["site"])).map(|row| site(row, &planted)).collect();
        sites.sort_by(|one, other| one.site.cmp(&other.site));
        let everybody: BTreeSet<usize> = planted.values().flatten().copied().collect();
        let citizens = totals["citizens"].as_u64().unwrap_or_default();
        let all_there =
            sites.len() == planted.len() && sites.iter().all(|row| row.citizens == row.citizens_planted);
        Self {
            incidents,
            occurrences: sites.iter().map(|row| row.occurrences).sum(),
            citizens,
            ok: all_there && (others || citizens == everybody.len() as u64),
            sites,
        }
    }
}

fn site(row: &Value, planted: &BTreeMap<String, BTreeSet<usize>>) -> SiteRow {
    let site = row["site"].as_str().unwrap_or_default().to_owned();
    let count = |name: &str| row[name].as_u64().unwrap_or_default();
    let citizens_planted = planted.get(&site).map_or(0, |citizens| citizens.len() as u64);
    SiteRow { citizens: count("citizens"), occurrences: count("occurrences"), citizens_planted, site }
}

/// The citizens planted at each site. The demo's hosts end in `.example`, below which every name is a site.
fn planted(plan: &Plan) -> BTreeMap<String, BTreeSet<usize>> {
    let mut planted: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for it in &plan.planted {
        let labels: Vec<&str> = it.host.rsplit('.').take(2).collect();
        let site = labels.into_iter().rev().collect::<Vec<_>>().join(".");
        planted.entry(site).or_default().insert(it.citizen);
    }
    planted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::program::Program;

    fn objects(plan: &Plan) -> Vec<Value> {
        let planted = planted(plan);
        let everybody: BTreeSet<usize> = planted.values().flatten().copied().collect();
        let sites: Vec<Value> = planted
            .iter()
            .map(|(site, citizens)| json!({"site": site, "citizens": citizens.len(), "occurrences": citizens.len()}))
            .collect();
        let mut objects: Vec<Value> =
            planted.keys().map(|site| json!({"schema": "cprvagt.incident/1", "site": site})).collect();
        objects.push(json!({"schema": "cprvagt.totals/1", "citizens": everybody.len(), "sites": sites}));
        objects
    }

    fn check(change: impl FnOnce(&mut Vec<Value>), ok: bool) {
        let plan = Plan::new(3, &[Program::Curl]);
        let mut objects = objects(&plan);
        change(&mut objects);
        let collected = Collected::new(&plan, &objects);
        assert_eq!(collected.ok, ok, "{collected:#?}");
    }

    #[test]
    fn a_citizen_too_many_or_too_few_shows() {
        check(|_| (), true);
        check(|objects| objects.clear(), false);
        let totals = |objects: &mut Vec<Value>| objects.len() - 1;
        check(
            |objects| {
                let at = totals(objects);
                objects[at]["citizens"] = 1.into()
            },
            false,
        );
        check(
            |objects| {
                let at = totals(objects);
                objects[at]["sites"][0]["citizens"] = 1.into()
            },
            false,
        );
        check(
            |objects| {
                let at = totals(objects);
                drop(objects[at]["sites"].as_array_mut().unwrap().pop())
            },
            false,
        );
    }
}
