//! One probed file: which functions, at which sites, and what is not known of it.

use std::{fs::File, os::fd::AsRawFd as _};

use aya::programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLinkId, UProbeScope};
use cprvagt_abi::{Function, Site};

use super::{
    error::{CaptureError, chain},
    load::Programs,
    site::{RandomPlace, probe_site, random_place, server_word},
    symbols::Symbols,
};

/// The functions that are probed, by symbol.
const FUNCTIONS: [(&str, Function); 2] =
    [("SSL_write", Function::SslWrite), ("SSL_write_ex", Function::SslWriteEx)];
/// Accessors that tell where a session keeps things.
const CLIENT_RANDOM: &str = "SSL_get_client_random";
const IS_SERVER: &str = "SSL_is_server";
const SYMBOLS: [&str; 4] = ["SSL_write", "SSL_write_ex", CLIENT_RANDOM, IS_SERVER];

/// A file whose TLS functions are probed.
#[derive(Debug)]
pub(super) struct TlsTap {
    /// The file as the process that mapped it saw it.
    pub(super) path: String,
    /// Number of the attachment.
    pub(super) attachment: u16,
    links: Vec<UProbeLinkId>,
}

/// The symbols of a file that has functions to probe.
pub(super) fn read_symbols(file: &File) -> Option<Symbols> {
    let symbols = Symbols::read(file, &SYMBOLS)?;
    FUNCTIONS.iter().any(|(name, _)| symbols.get(name).is_some()).then_some(symbols)
}

impl TlsTap {
    /// Probes every function that the file has.
    pub(super) fn attach(
        programs: &mut Programs,
        file: &File,
        symbols: &Symbols,
        path: &str,
        attachment: u16,
    ) -> Result<Self, CaptureError> {
        let place = symbols.get(CLIENT_RANDOM).and_then(random_place);
        let server = symbols.get(IS_SERVER).and_then(server_word);
        let mut tap = Self { path: path.to_owned(), attachment, links: Vec::new() };
        for (name, function) in FUNCTIONS {
            let Some(code) = symbols.get(name) else { continue };
            let site = probe_site(code);
            let cookie = cookie(attachment, function, place, server);
            tap.links.push(attach_at(programs, file, path, code.file_offset + site.offset, cookie)?);
            tracing::debug!(path, name, offset = site.offset, cheap = site.cheap, "probe attached");
        }
        tell(path, symbols, place.is_some());
        Ok(tap)
    }

    /// Removes the probes.
    pub(super) fn detach(self, programs: &mut Programs) -> Result<(), CaptureError> {
        let program = programs.tls_program()?;
        for link in self.links {
            program.detach(link).map_err(|error| refused(&self.path, &error))?;
        }
        Ok(())
    }
}

/// Says what is observed of a file, and what cannot be for want of a symbol.
fn tell(path: &str, symbols: &Symbols, random_known: bool) {
    let build_id = symbols.build_id.as_deref().unwrap_or("none");
    let missing: Vec<_> = SYMBOLS.into_iter().filter(|name| symbols.get(name).is_none()).collect();
    tracing::info!(path, build_id, ?missing, random_known, "TLS writes are observed");
}

fn cookie(attachment: u16, function: Function, place: Option<RandomPlace>, server: Option<u8>) -> u64 {
    let unknown = RandomPlace { via: Site::DIRECT, offset: Site::UNKNOWN };
    let place = place.unwrap_or(unknown);
    Site { attachment, function, server: server.unwrap_or(0), via: place.via, random: place.offset }.pack()
}

fn attach_at(
    programs: &mut Programs,
    file: &File,
    path: &str,
    offset: u64,
    cookie: u64,
) -> Result<UProbeLinkId, CaptureError> {
    // By descriptor: the file that was read is the file that is probed, whatever its path means here.
    let target = format!("/proc/self/fd/{}", file.as_raw_fd());
    let point =
        UProbeAttachPoint { location: UProbeAttachLocation::AbsoluteOffset(offset), cookie: Some(cookie) };
    let program = programs.tls_program()?;
    program.attach(point, target, UProbeScope::AllProcesses).map_err(|error| refused(path, &error))
}

fn refused(path: &str, error: &dyn std::error::Error) -> CaptureError {
    CaptureError::Attach { name: "tls_write".to_owned(), target: path.to_owned(), reason: chain(error) }
}
