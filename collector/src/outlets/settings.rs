//! Which outlets there are: names, places, secrets; checked before anything is sent.
//!
//! *Invariants*: a secret has no Debug and no Clone, and is zeroed when dropped. A webhook's address is never
//! printed, because addresses of webhooks often hold a token.
//! *Limits*: [`NAME_BYTES_MAX`], [`SECRET_BYTES_MIN`], [`SECRET_BYTES_MAX`], [`OUTLETS_MAX`].

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Uri;
use zeroize::Zeroizing;

/// The name of the file outlet; no webhook can have it.
pub const FILE_OUTLET: &str = "file";
/// Longest name of an outlet.
pub const NAME_BYTES_MAX: usize = 64;
/// Shortest secret: 128 bits, if it is random.
pub const SECRET_BYTES_MIN: usize = 16;
/// Longest secret.
pub const SECRET_BYTES_MAX: usize = 4096;
/// Most outlets at once: each has a task and reads the outbox for itself.
pub const OUTLETS_MAX: usize = 16;

/// The outlets, as configured.
#[derive(Clone, Debug)]
pub struct OutletSettings {
    /// The JSON lines file, if any.
    pub file: Option<FileOutlet>,
    /// The webhooks.
    pub webhooks: Vec<WebhookOutlet>,
    /// How long an incident's changes are collected before one update tells them.
    pub quiet: Duration,
}

/// A file that events are appended to.
#[derive(Clone, Debug)]
pub struct FileOutlet {
    /// Its path; the folder must exist.
    pub path: PathBuf,
}

/// A server that events are posted to.
#[derive(Clone)]
pub struct WebhookOutlet {
    /// Names its cursor, its metrics and its log lines: `a-z`, `0-9`, `-` and `_`.
    pub name: String,
    /// `https` anywhere, `http` only to a loopback address.
    pub url: String,
    /// The file with the shared secret, readable by its owner alone.
    pub secret_file: PathBuf,
    /// The authorities that the server's certificate may come from, PEM; absent: the system's.
    pub ca_file: Option<PathBuf>,
}

impl fmt::Debug for WebhookOutlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, url: _, secret_file, ca_file } = self;
        let mut shown = f.debug_struct("WebhookOutlet");
        shown
            .field("name", name)
            .field("secret_file", secret_file)
            .field("ca_file", ca_file)
            .finish_non_exhaustive()
    }
}

/// What is wrong with an outlet's settings.
#[derive(Debug, thiserror::Error)]
pub enum OutletError {
    /// The name cannot be one.
    #[error("outlets: the name {0:?}: 1 to {NAME_BYTES_MAX} of a-z, 0-9, - and _, and not {FILE_OUTLET:?}")]
    Name(String),
    /// Two outlets would share a cursor.
    #[error("outlets: {0}: two webhooks have this name")]
    TwiceNamed(String),
    /// More than [`OUTLETS_MAX`].
    #[error("outlets: {0} outlets; the most is {OUTLETS_MAX}")]
    TooMany(usize),
    /// Not an address that events may go to.
    #[error("outlets: {outlet}: url: {reason}")]
    Url {
        /// The outlet.
        outlet: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A file cannot be read.
    #[error("outlets: {outlet}: {path}: {cause}", path = path.display())]
    Unreadable {
        /// The outlet.
        outlet: String,
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// Everybody can say which authorities are trusted.
    #[error(
        "outlets: {outlet}: {path}: mode {mode:04o}: everybody may write to it; run: chmod o-w {path}",
        path = path.display()
    )]
    Writable {
        /// The outlet.
        outlet: String,
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Others than its owner can read the secret.
    #[error(
        "outlets: {outlet}: {path}: mode {mode:04o}: only its owner may read it; run: chmod 600 {path}",
        path = path.display()
    )]
    Exposed {
        /// The outlet.
        outlet: String,
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The secret is too short or too long.
    #[error(
        "outlets: {outlet}: {path}: a secret has {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes; make one with: \
         openssl rand -hex 32", path = path.display()
    )]
    SecretLength {
        /// The outlet.
        outlet: String,
        /// The file.
        path: PathBuf,
    },
    /// The authorities' file holds none, or none that can be used.
    #[error("outlets: {outlet}: {path}: no certificate of an authority in it", path = path.display())]
    NoAuthority {
        /// The outlet.
        outlet: String,
        /// The file.
        path: PathBuf,
    },
}

impl OutletSettings {
    /// Checks names and numbers; addresses and secrets are checked as each webhook is made ready.
    ///
    /// # Errors
    /// A name that is bad or there twice, or too many outlets.
    pub fn check(&self) -> Result<(), OutletError> {
        let count = self.webhooks.len() + usize::from(self.file.is_some());
        if count > OUTLETS_MAX {
            return Err(OutletError::TooMany(count));
        }
        for (at, webhook) in self.webhooks.iter().enumerate() {
            check_name(&webhook.name)?;
            if self.webhooks[..at].iter().any(|other| other.name == webhook.name) {
                return Err(OutletError::TwiceNamed(webhook.name.clone()));
            }
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), OutletError> {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name != FILE_OUTLET;
    let plain = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
    if fits && plain { Ok(()) } else { Err(OutletError::Name(name.to_owned())) }
}

impl WebhookOutlet {
    /// The address, checked.
    ///
    /// # Errors
    /// No absolute `https` address, `http` to anything but a loopback address, or a password in it.
    pub(super) fn address(&self) -> Result<Uri, OutletError> {
        let refuse = |reason| OutletError::Url { outlet: self.name.clone(), reason };
        let uri: Uri = self.url.parse().map_err(|_| refuse("this is no address"))?;
        let host = uri.host().ok_or_else(|| refuse("it must be absolute"))?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(refuse("it must not hold a user or a password"));
        }
        match uri.scheme_str() {
            Some("https") => Ok(uri),
            Some("http") if is_loopback(host) => Ok(uri),
            Some("http") => Err(refuse("http goes to a loopback address only, as in http://127.0.0.1:9000/")),
            _ => Err(refuse("it must start with https://")),
        }
    }

    /// The shared secret: the file's content without the line end.
    ///
    /// # Errors
    /// The file cannot be read, others can read it, or its length does not fit.
    pub(super) fn secret(&self) -> Result<Zeroizing<Vec<u8>>, OutletError> {
        let unreadable = |cause| self.unreadable(&self.secret_file, cause);
        let mut file = File::open(&self.secret_file).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(OutletError::Exposed {
                outlet: self.name.clone(),
                path: self.secret_file.clone(),
                mode,
            });
        }
        let mut secret = Zeroizing::new(vec![0; SECRET_BYTES_MAX + 2]);
        let length = read_up_to(&mut file, &mut secret).map_err(unreadable)?;
        secret.truncate(length);
        while matches!(secret.last(), Some(b'\n' | b'\r')) {
            secret.pop();
        }
        match secret.len() {
            SECRET_BYTES_MIN..=SECRET_BYTES_MAX => Ok(secret),
            _ => Err(OutletError::SecretLength { outlet: self.name.clone(), path: self.secret_file.clone() }),
        }
    }

    pub(super) fn unreadable(&self, path: &Path, cause: io::Error) -> OutletError {
        OutletError::Unreadable { outlet: self.name.clone(), path: path.to_owned(), cause }
    }
}

/// A name is not enough: what it resolves to can change.
fn is_loopback(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Fills `into` without growing it: a buffer that grows leaves copies behind that nobody zeroes.
fn read_up_to(file: &mut File, into: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < into.len() {
        match file.read(&mut into[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
