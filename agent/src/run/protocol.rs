//! What the capture process and the inspect process say to each other.
//!
//! *Invariants*: no captured content; records stay in the ring. The key of the pseudonyms travels once, to the
//! process that makes them.

use cprvagt_report::{Host, Level, seal::PublicKey};
use serde::{Deserialize, Serialize};

use crate::process::{FilePart, FileRange, Identity, ProcessFacts};

/// From capture to inspect.
#[derive(Serialize, Deserialize)]
pub enum ToInspect {
    /// What to work with; a descriptor of the ring follows.
    Start(Box<InspectSettings>),
    /// The kernel's counters, as they are now.
    Counters(Vec<u64>),
    /// The kernel's flow table, after [`FromInspect::NeedFlows`]: [`cprvagt_abi::Flow`] after [`cprvagt_abi::Flow`].
    Flows(Vec<u8>),
    /// A configuration that is valid, for what is judged from now on.
    Policy(String),
    /// The taps are off: take what is left, tell what waits, and end.
    Finish {
        /// The last counters.
        counters: Vec<u64>,
        /// The last flow table.
        flows: Vec<u8>,
    },
}

/// What the inspect process works with.
#[derive(Serialize, Deserialize)]
pub struct InspectSettings {
    /// The text of a valid configuration.
    pub config: String,
    /// The key of the pseudonyms.
    pub pseudonym_key: [u8; 32],
    /// What numbers are sealed to.
    pub controller: PublicKey,
    /// What reports are sealed to.
    pub collector: PublicKey,
    /// This machine.
    pub host: Host,
    /// Whether each leak is also a line of JSON on standard output.
    pub json: bool,
    /// The lowest confidence told, if the command line says so.
    pub min: Option<Level>,
}

/// From inspect to capture.
#[derive(Serialize, Deserialize)]
pub enum FromInspect {
    /// It has shut itself in, and reads the ring.
    Ready,
    /// It works; once a second.
    Alive(InspectStatus),
    /// The account as it is now, as JSON; whenever it was made up.
    Ledger(String),
    /// Two attachments fire for one call.
    RemoveSecondSite {
        /// Fires first.
        first: u32,
        /// Is to go.
        second: u32,
    },
    /// The account is due: the kernel's flow table is needed for it.
    NeedFlows,
    /// The ledger of the whole run, as JSON. The last message.
    Done(String),
}

/// How the inspect process is doing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct InspectStatus {
    /// Flows that have not ended.
    pub open_flows: u64,
    /// Leaks told since the start.
    pub leaks: u64,
    /// Leaks that wait to be taken over by the send process.
    pub queued_leaks: u64,
    /// Leaks that found no room there.
    pub lost_leaks: u64,
    /// Records of the kernel programs that could not be read.
    pub bad_records: u64,
}

/// What inspect asks of the thread that may read `/proc`.
#[derive(Serialize, Deserialize)]
pub enum Question {
    /// Which processes run.
    Running,
    /// All that is known of a process.
    Read(u32),
    /// A part of a file that a process has open.
    FilePart(FileRange),
    /// Whether it takes connections from this host.
    TakesFromHost(u32),
    /// Whether it is still the same.
    Identity(u32),
}

/// The answers, in the order of the questions.
#[derive(Serialize, Deserialize)]
pub enum Answer {
    /// To [`Question::Running`].
    Running(Vec<u32>),
    /// To [`Question::Read`].
    Facts(Box<ProcessFacts>),
    /// To [`Question::FilePart`].
    FilePart(Option<FilePart>),
    /// To [`Question::TakesFromHost`].
    TakesFromHost(bool),
    /// To [`Question::Identity`].
    Identity(Identity),
}
