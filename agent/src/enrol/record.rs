//! `enrolment.json`: who this host is to which collector, and whose citizens' data it guards.
//!
//! *Not here*: certificate and private key (`credentials`), the key of pseudonyms (`crate::pseudonym`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cprvagt_report::seal::PublicKey;
use cprvagt_report::{AgentId, Moment};
use serde::{Deserialize, Serialize};

use crate::config::CollectorUrl;

/// The file's name in the folder of the enrolment.
pub const RECORD: &str = "enrolment.json";

/// What an enrolment says that is no secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Enrolment {
    /// Always `cprvagt.enrolment/1`.
    pub schema: EnrolmentSchema,
    /// Where the host enrolled.
    pub url: CollectorUrl,
    /// Its identity there.
    pub agent: AgentId,
    /// What reports are sealed to.
    pub sealing_key: PublicKey,
    /// The data controller.
    pub controller: Controller,
    /// When.
    pub made_at: Moment,
}

/// The constant `schema` field: reading any other value fails.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub enum EnrolmentSchema {
    /// Version 1.
    #[default]
    #[serde(rename = "cprvagt.enrolment/1")]
    V1,
}

/// The data controller, as its bundle names it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Controller {
    /// Its name.
    pub name: String,
    /// Names its pair of sealing keys.
    pub key_id: String,
    /// What numbers are sealed to.
    pub sealing_key: PublicKey,
}

/// Why an enrolment cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EnrolmentError {
    /// A file cannot be read.
    #[error("enrolment: {path}: {cause}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// It is another collector's than that of the daemon that runs.
    #[error("enrolment: {}: the host was enrolled at another collector; restart cprvagt run to take that up", .0.display())]
    Anew(PathBuf),
    /// A file that only its owner may read.
    #[error("enrolment: {0}")]
    Secret(#[from] crate::secret_file::SecretFileError),
    /// A file holds something else.
    #[error("enrolment: {path}: {why}; enrol again with --replace", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl Enrolment {
    /// The enrolment in the folder `dir`; `None` when there is none.
    ///
    /// # Errors
    /// It cannot be read, or is of another version.
    pub fn read(dir: &Path) -> Result<Option<Self>, EnrolmentError> {
        let path = dir.join(RECORD);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(EnrolmentError::Unreadable { path, cause }),
        };
        let parsed = serde_json::from_slice(&text);
        parsed.map(Some).map_err(|error| EnrolmentError::Malformed { path, why: error.to_string() })
    }

    /// The text of the file.
    pub fn to_text(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).expect("memory takes plain data");
        text.push(b'\n');
        text
    }
}
