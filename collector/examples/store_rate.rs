//! How many occurrences a second the store takes in durably: `store_rate [ROWS] [REPORTS_A_TAKE] [DIR]`.
//!
//! Reports of 200 leaks each, of ten incidents with five traces each, three of four leaks of a citizen who is
//! new to the incident. Only `Store::take` is timed. One JSON line on standard output.
//!
//! *Units*: rows are occurrences; times are seconds.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use cprvagt_collector::citizen::CitizenKey;
use cprvagt_collector::occurrence::Opened;
use cprvagt_collector::store::{Arrival, Content, Store};
use cprvagt_report::sample::{self, name};
use cprvagt_report::{
    AgentId, Entry, Host, HostId, Leak, LeakId, Location, Moment, Part, Process, Protocol,
    REPORT_ENTRIES_MAX, Report, ReportSchema, System, Transport,
};
use uuid::Uuid;

/// Rows taken in unless told otherwise.
const ROWS: usize = 400_000;
/// Reports in one transaction unless told otherwise.
const REPORTS_A_TAKE: usize = 16;
/// Incidents, and traces of each.
const INCIDENTS: usize = 10;
const TRACES: usize = 5;

/// Any error: the program ends with it.
type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let rows = arguments.next().map_or(Ok(ROWS), |text| text.parse())?;
    let reports_a_take = arguments.next().map_or(Ok(REPORTS_A_TAKE), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let dir = arguments.next().map_or_else(|| folder.path().to_owned(), PathBuf::from);
    let store = Store::open(&dir).await?;
    let mut source = Source::new()?;
    let (mut taken, mut spent, mut slowest) = (0, Duration::ZERO, Duration::ZERO);
    while taken < rows {
        let arrivals: Vec<Arrival> = (0..reports_a_take).map(|_| source.arrival()).collect();
        let start = Instant::now();
        taken += usize::try_from(store.take(&arrivals).await?.occurrences)?;
        spent += start.elapsed();
        slowest = slowest.max(start.elapsed());
    }
    let rate = taken as f64 / spent.as_secs_f64();
    println!(
        "{{\"rows\":{taken},\"reports_a_take\":{reports_a_take},\"seconds\":{:.3},\"slowest\":{:.3},\
         \"rows_per_second\":{rate:.0}}}",
        spent.as_secs_f64(),
        slowest.as_secs_f64()
    );
    Ok(())
}

/// Makes reports.
struct Source {
    agent: AgentId,
    epoch: Uuid,
    sequence: u64,
    leaks: u64,
    key: CitizenKey,
}

impl Source {
    fn new() -> Result<Self, Failure> {
        let agent = AgentId(Uuid::now_v7());
        Ok(Self { agent, epoch: Uuid::now_v7(), sequence: 0, leaks: 0, key: CitizenKey::random()? })
    }

    fn arrival(&mut self) -> Arrival {
        self.sequence += 1;
        let entries = (0..REPORT_ENTRIES_MAX).map(|_| Entry::Leak(Box::new(self.leak()))).collect();
        let host = Host { name: name("web1"), id: HostId::new([1; 16]) };
        let report = Report { schema: ReportSchema::V1, host, made_at: Moment::now(), entries };
        let content = Content::Report(Box::new(Opened::of(self.agent, report, &self.key)));
        Arrival { agent: self.agent, epoch: self.epoch, sequence: self.sequence, content }
    }

    fn leak(&mut self) -> Leak {
        self.leaks += 1;
        let citizen = u128::from(self.leaks - u64::from(self.leaks.is_multiple_of(4)));
        let incident = self.leaks as usize % INCIDENTS;
        let trace = self.leaks as usize / INCIDENTS % TRACES;
        Leak {
            id: LeakId::now(),
            observed_at: Moment::now(),
            process: Some(Process {
                pid: Some(4711),
                comm: Some(name("nginx")),
                exe: Some(name("/usr/sbin/nginx")),
                unit: Some(name("nginx.service")),
                ..Process::default()
            }),
            system: Some(System {
                name: name("TastSelv"),
                vendor: Some(name("Leverandør A/S")),
                controller: Some(name("Myndighed X")),
                processor: None,
            }),
            transport: Some(Transport {
                protocol: Protocol::Tcp,
                encrypted: true,
                tls_version: Some("1.3".into()),
                weak: false,
            }),
            location: Location {
                protocol: "http/1.1".into(),
                part: Part::Json,
                field: Some(name("persons[].cpr")),
                path: Some(name("/v1/borger/{}")),
            },
            decodings: vec!["gzip".into()],
            ..sample::leak(citizen, &format!("a{trace}.stats{incident}.example"))
        }
    }
}
