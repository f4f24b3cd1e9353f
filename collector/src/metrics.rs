//! Counters of every stage, as Prometheus reads them.
//!
//! *Invariants*: a label is a fixed word, a status or an outlet's name; never an agent, an address, or anything
//! out of a report.

use std::sync::OnceLock;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Bounds of the buckets of times to commit, in seconds.
const COMMIT_SECONDS: [f64; 10] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

/// A process has one set of counters.
static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// The counters cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("metrics: {0}")]
pub struct NoMetrics(#[from] BuildError);

/// What reads the counters.
#[derive(Clone)]
pub struct Exposition(PrometheusHandle);

impl Exposition {
    /// Starts counting, once for the process.
    ///
    /// # Errors
    /// Something else in the process counts already.
    pub fn start() -> Result<Self, NoMetrics> {
        if let Some(handle) = HANDLE.get() {
            return Ok(Self(handle.clone()));
        }
        let commit = Matcher::Full("ingest_commit_seconds".to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(commit, &COMMIT_SECONDS)?;
        let recorder = builder.build_recorder();
        let handle = HANDLE.get_or_init(|| recorder.handle()).clone();
        // Of two that start at once, the second's recorder is not taken, and its handle is not kept.
        if metrics::set_global_recorder(recorder).is_ok() {
            describe();
        }
        Ok(Self(handle))
    }

    /// All counters as text.
    pub fn text(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }
}

fn describe() {
    describe_gauge!("connections", "Connections open now, of each listener");
    describe_counter!("connections_refused_total", "Connections for which there was no place");
    describe_counter!("handshake_failures_total", "TLS handshakes that failed, by reason");
    describe_counter!("agent_refusals_total", "Agents' requests refused, by status");
    describe_counter!("agent_certificates_total", "Certificates issued to agents, by enrolling and renewing");
    describe_counter!("certificate_renewals_total", "Renewals of this server's certificates, by outcome");
    describe_counter!("ingest_delivery_bytes_total", Unit::Bytes, "Bytes of deliveries that came in");
    describe_counter!("ingest_reports_received_total", "Reports that came in");
    describe_counter!("ingest_reports_total", "Reports committed, by outcome");
    describe_counter!("ingest_occurrences_total", "Leaks committed for the first time");
    describe_counter!("ingest_occurrences_again_total", "Leaks that came again under another number");
    describe_counter!("ingest_incidents_total", "Incidents made");
    describe_counter!("ingest_gaps_total", "Gap records committed");
    describe_counter!(
        "ingest_rescrubbed_total",
        "Texts that an agent had not scrubbed, and impossible times: 0 in good order"
    );
    describe_counter!(
        "ingest_dropped_total",
        "Rows that went because an agent has too many, by what they were"
    );
    describe_counter!("ingest_traces_folded_total", "Traces not told apart because an incident has too many");
    describe_gauge!("ingest_queue_reports", "Reports being opened, waiting or being committed");
    describe_histogram!("ingest_commit_seconds", Unit::Seconds, "Time that a commit took");
    describe_counter!("outlet_events_total", "Events delivered, by outlet");
    describe_counter!("outlet_failures_total", "Attempts that failed, by outlet and reason");
    describe_counter!("outlet_blocked_total", "Events held back since the start, by outlet");
    describe_gauge!("outlet_held_back", "Events held back that no replay has delivered, by outlet");
    describe_gauge!("outlet_failed_attempts", "Attempts that failed in a row, by outlet");
}
