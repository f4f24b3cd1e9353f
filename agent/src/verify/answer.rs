//! What a capture says of a leak, for people and for programs.

use std::{
    io::{self, Write},
    net::SocketAddr,
};

use cprvagt_report::Leak;
use serde_json::{Value, json};

use super::search::Counts;
use crate::cli::Exit;

/// The name and version of the object.
const SCHEMA: &str = "cprvagt.verify/1";

/// The answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// The capture shows the leak's records where the leak says.
    Yes(Found),
    /// It shows that they are not there.
    No(Found, Denial),
    /// It does not show enough.
    Unknown(Doubt),
}

/// A connection with the leak's hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The client.
    pub from: SocketAddr,
    /// The server.
    pub to: SocketAddr,
    /// Place of the hello's packet in the file, from 1.
    pub hello_packet: u64,
    /// The far end has acknowledged all of the records.
    pub acknowledged: bool,
}

/// Why the capture contradicts the leak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// Another record, or none, begins there.
    OtherBytes,
    /// The connection was over before.
    Ended {
        /// Bytes of the client's direction from the hello on.
        bytes: u64,
    },
    /// The hello went to another address.
    Elsewhere,
}

/// Why it cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The leak left in clear.
    InClear,
    /// The leak does not know its connection's hello.
    NoHello,
    /// The leak's records were not seen.
    NoRecords,
    /// No packet has the hello.
    HelloMissing {
        /// What could not be read.
        counts: Counts,
        /// The capture does not break off.
        is_whole: bool,
    },
    /// The connection is there, and not all bytes of the records.
    RecordsMissing {
        /// The connection.
        found: Found,
        /// What could not be read.
        counts: Counts,
        /// The capture does not break off.
        is_whole: bool,
    },
}

impl Answer {
    /// How good it is: a lower one stands against the others.
    pub const fn rank(&self) -> u8 {
        match self {
            Self::Yes(_) => 0,
            Self::Unknown(_) => 1,
            Self::No(..) => 2,
        }
    }

    /// What it means of a connection to another address than the leak's.
    pub fn elsewhere(self) -> Self {
        match self {
            Self::Yes(found) | Self::No(found, _) | Self::Unknown(Doubt::RecordsMissing { found, .. }) => {
                Self::No(found, Denial::Elsewhere)
            }
            Self::Unknown(doubt) => Self::Unknown(doubt),
        }
    }

    /// How the command ends.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Yes(_) => Exit::Success,
            Self::No(..) => Exit::Partial,
            Self::Unknown(_) => Exit::NoAnswer,
        }
    }

    /// Tells it.
    ///
    /// # Errors
    /// Nobody reads.
    pub fn tell(&self, leak: &Leak, as_json: bool, out: &mut impl Write) -> io::Result<()> {
        if as_json {
            return writeln!(out, "{}", self.json(leak));
        }
        writeln!(out, "{}: {}", self.word(), self.because())?;
        if let Some(found) = self.found() {
            let Found { from, to, hello_packet, .. } = found;
            writeln!(out, "  hello in packet {hello_packet}, from {from} to {to}")?;
        }
        Ok(())
    }

    const fn word(&self) -> &'static str {
        match self {
            Self::Yes(_) => "yes",
            Self::No(..) => "no",
            Self::Unknown(_) => "cannot tell",
        }
    }

    const fn found(&self) -> Option<&Found> {
        match self {
            Self::Yes(found) | Self::No(found, _) | Self::Unknown(Doubt::RecordsMissing { found, .. }) => {
                Some(found)
            }
            Self::Unknown(_) => None,
        }
    }

    fn because(&self) -> String {
        match self {
            Self::Yes(Found { acknowledged: true, .. }) => {
                "all records of the leak are in the capture, and the far end has acknowledged them".to_owned()
            }
            Self::Yes(_) => "all records of the leak are in the capture".to_owned(),
            Self::No(_, Denial::OtherBytes) => {
                "the connection has no record of that length where the leak says".to_owned()
            }
            Self::No(_, Denial::Ended { bytes }) => {
                format!(
                    "the client ended the connection {bytes} bytes behind its hello, before the leak's records"
                )
            }
            Self::No(_, Denial::Elsewhere) => {
                "the connection goes to another address than the leak says".to_owned()
            }
            Self::Unknown(doubt) => doubt.because(),
        }
    }

    fn json(&self, leak: &Leak) -> Value {
        let mut object = json!({
            "schema": SCHEMA,
            "leak": leak.id,
            "answer": if let Self::Unknown(_) = self { "unknown" } else { self.word() },
            "because": self.because(),
        });
        if let Some(found) = self.found() {
            object["hello_packet"] = found.hello_packet.into();
            object["from"] = found.from.to_string().into();
            object["to"] = found.to.to_string().into();
            object["acknowledged"] = found.acknowledged.into();
        }
        object
    }
}

impl Doubt {
    fn because(&self) -> String {
        match self {
            Self::InClear => "a leak in clear brings nothing that a capture is compared with".to_owned(),
            Self::NoHello => "the agent did not see the hello of the leak's connection".to_owned(),
            Self::NoRecords => "the agent did not see the leak's records leave".to_owned(),
            Self::HelloMissing { counts, is_whole } => {
                "the hello of the leak's connection is not in the capture".to_owned()
                    + &lacks(counts, *is_whole)
            }
            Self::RecordsMissing { counts, is_whole, .. } => {
                "not all bytes of the leak's records are in the capture".to_owned()
                    + &lacks(counts, *is_whole)
            }
        }
    }
}

/// What may be the reason.
fn lacks(counts: &Counts, is_whole: bool) -> String {
    let mut text = String::new();
    if counts.cut > 0 {
        text += &format!("; {} packets were cut before their content", counts.cut);
    }
    if counts.fragments > 0 {
        text += &format!("; {} packets are fragments, which are not put together", counts.fragments);
    }
    if !is_whole {
        text += "; the capture breaks off within a packet";
    }
    text
}
