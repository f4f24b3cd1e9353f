//! What a collector takes from agents, and agents from a collector: deliveries, receipts, reports.

use std::sync::LazyLock;

use cprvagt_report::seal::{PrivateKey, Purpose};
use cprvagt_report::{
    BadReport, DELIVERY_REPORTS_MAX, Delivery, REPORT_ENTRIES_MAX, Receipts, Report, SEALED_BYTES_MAX,
};

/// Version of the sealed form, its first byte and the context of the seal.
const SEALED_VERSION: [u8; 1] = [1];

/// A key of nobody, the same in every run.
static KEY: LazyLock<PrivateKey> =
    LazyLock::new(|| PrivateKey::from_hex(&"5a".repeat(32)).expect("these are 64 digits"));

/// Deliveries and receipts: within bounds, no larger than what came in, and the same once encoded again.
pub fn delivery_decode(bytes: &[u8]) {
    if let Ok(delivery) = Delivery::decode(bytes) {
        assert!(delivery.reports.len() <= DELIVERY_REPORTS_MAX);
        assert!(delivery.reports.iter().all(|report| report.sealed.len() <= SEALED_BYTES_MAX));
        let sealed_bytes: usize = delivery.reports.iter().map(|report| report.sealed.len()).sum();
        assert!(sealed_bytes <= bytes.len(), "more came out than went in");
        assert_eq!(Delivery::decode(&delivery.encode()).as_ref(), Ok(&delivery));
    }
    if let Ok(receipts) = Receipts::decode(bytes) {
        assert!(receipts.receipts.len() <= bytes.len(), "more came out than went in");
        assert_eq!(Receipts::decode(&receipts.encode()).as_ref(), Ok(&receipts));
    }
}

/// A sealed report, as it is and sealed here: only what was sealed opens, and gives what was inside.
pub fn report_open(bytes: &[u8]) {
    check_report(Report::open(bytes, &KEY));
    let mut sealed = SEALED_VERSION.to_vec();
    sealed.extend(KEY.public().seal(Purpose::Report, &SEALED_VERSION, bytes));
    if sealed.len() > SEALED_BYTES_MAX {
        return;
    }
    let opened = Report::open(&sealed, &KEY);
    assert!(!matches!(opened, Err(BadReport::Seal(_) | BadReport::Version(_))), "a whole seal opens");
    assert_eq!(opened.ok(), Report::unpack(bytes).ok());
    let last = sealed.len() - 1;
    sealed[last] ^= 1;
    assert!(matches!(Report::open(&sealed, &KEY), Err(BadReport::Seal(_))), "a broken seal does not open");
}

/// What is inside the seal, as it is and compressed here.
pub fn report_unpack(bytes: &[u8]) {
    check_report(Report::unpack(bytes));
    let packed = zstd::encode_all(bytes, 1).expect("memory takes it");
    check_report(Report::unpack(&packed));
}

/// A report is within bounds and the same once sealed and opened again; an error quotes nothing.
fn check_report(report: Result<Report, BadReport>) {
    match report {
        Ok(report) => {
            assert!(report.entries.len() <= REPORT_ENTRIES_MAX && report.leaks() <= report.entries.len());
            let again = Report::open(&report.seal(KEY.public()), &KEY);
            assert_eq!(again.expect("a report opens"), report);
        }
        Err(error) => assert!(error.to_string().len() < 100, "errors tell nothing of the content"),
    }
}
