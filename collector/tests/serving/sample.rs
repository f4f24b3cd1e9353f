//! Reports as an agent makes them. Names are what the test says: its scrubber takes nothing out, so that the
//! collector's own scrubbing shows.

use cprvagt_report::sample::{self, name};
use cprvagt_report::{Entry, Host, HostId, Leak, LeakId, Moment, Report, ReportSchema};

pub fn host() -> Host {
    host_named("web1")
}

pub fn host_named(text: &str) -> Host {
    Host { name: name(text), id: HostId::new([1; 16]) }
}

/// A leak of citizen number `citizen` to `site`.
pub fn leak(citizen: u128, site: &str) -> Leak {
    Leak { id: LeakId::now(), observed_at: Moment::now(), tap: None, ..sample::leak(citizen, site) }
}

/// A leak whose field and path hold `text`.
pub fn leak_naming(text: &str) -> Leak {
    let mut leak = leak(1, "tracker.example");
    leak.location.field = Some(name(text));
    leak.location.path = Some(name(&format!("/borger/{text}")));
    leak
}

pub fn report(leaks: Vec<Leak>) -> Report {
    let entries = leaks.into_iter().map(|leak| Entry::Leak(Box::new(leak))).collect();
    Report { schema: ReportSchema::V1, host: host(), made_at: Moment::now(), entries }
}
