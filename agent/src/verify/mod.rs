//! `cprvagt verify`: does a packet capture that somebody else took bear a leak out?
//!
//! A leak over TLS carries the random of its connection's ClientHello, and where in the connection's bytes the records
//! lie that carried it. All of that is in clear in a capture: no key is needed, and what the records hold is not read.
//!
//! *Invariants*: nothing of the capture's content is told, only addresses, counts and places.
//! *Not here*: leaks in clear, which bring nothing to be found by; they are answered with "cannot tell".

mod answer;
mod recorded;
mod search;
mod spot;

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use cprvagt_pcap::CaptureError;

use self::{
    answer::Answer,
    recorded::LeakError,
    search::{Claim, Search},
};
use crate::cli::{self, Exit};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The leak.
    #[error("{path}: {cause}", path = path.display())]
    Leak {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        cause: LeakError,
    },
    /// The capture's file.
    #[error("{path}: {cause}", path = path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// Why it cannot be opened.
        cause: io::Error,
    },
    /// What is in it.
    #[error("{path}: {cause}", path = path.display())]
    Capture {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        cause: CaptureError,
    },
    /// Nobody reads the answer.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

impl cli::Exits for VerifyError {
    fn exit(&self) -> Exit {
        match self {
            Self::Output(_) => Exit::Failure,
            _ => Exit::Config,
        }
    }
}

/// Compares the leak with the capture and tells the answer.
///
/// # Errors
/// One of them cannot be read.
pub fn run(options: &cli::Verify, out: &mut impl Write) -> Result<Exit, VerifyError> {
    let failed = |cause| VerifyError::Leak { path: options.leak.clone(), cause };
    let leak = recorded::find(&options.leak, options.id).map_err(failed)?;
    // Looked at before anything is answered: a file that is no capture is a mistake whatever the leak says.
    let answer = match Claim::of(&leak) {
        Ok(claim) => look(claim, &options.pcap)?,
        Err(doubt) => {
            read(&options.pcap, &mut |_| ())?;
            Answer::Unknown(doubt)
        }
    };
    answer.tell(&leak, options.json, out)?;
    Ok(answer.exit())
}

/// Goes through the capture twice: for connections with the hello, then for the records on them. A record may stand
/// before its hello there, since packets overtake each other.
fn look(claim: Claim, pcap: &Path) -> Result<Answer, VerifyError> {
    let mut search = Search::new(claim);
    read(pcap, &mut |packet| search.look_for_hello(&packet))?;
    let mut search = search.hellos_known();
    let is_whole = read(pcap, &mut |packet| search.look_for_records(&packet))?;
    Ok(search.answer(is_whole))
}

fn read(path: &Path, take: &mut dyn FnMut(cprvagt_pcap::Packet<'_>)) -> Result<bool, VerifyError> {
    let file = File::open(path).map_err(|cause| VerifyError::File { path: path.to_owned(), cause })?;
    cprvagt_pcap::read(file, take).map_err(|cause| VerifyError::Capture { path: path.to_owned(), cause })
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
