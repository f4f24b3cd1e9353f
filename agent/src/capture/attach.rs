//! One probed file: which functions, at which sites, and what is not known of it.

use std::fs::File;

use cprvagt_abi::{Function, Site};

use super::{
    error::CaptureError,
    load::Programs,
    probes::{Place, Probe, Probes},
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
    probes: Vec<Probe>,
}

/// A file that has functions to probe.
pub(super) struct Readable<'a> {
    /// The file.
    pub file: &'a File,
    /// Its path as a process saw it.
    pub path: &'a str,
    /// Its symbols.
    pub symbols: &'a Symbols,
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
        probes: &mut Probes,
        readable: &Readable<'_>,
        attachment: u16,
    ) -> Result<Self, CaptureError> {
        let &Readable { file, path, symbols } = readable;
        let random = symbols.get(CLIENT_RANDOM).and_then(random_place);
        let server = symbols.get(IS_SERVER).and_then(server_word);
        let mut tap = Self { path: path.to_owned(), attachment, probes: Vec::new() };
        for (name, function) in FUNCTIONS {
            let Some(code) = symbols.get(name) else { continue };
            let site = probe_site(code);
            let cookie = cookie(attachment, function, random, server);
            let place = Place { file, path, offset: code.file_offset + site.offset };
            match probes.attach(programs, &place, cookie) {
                Ok(probe) => tap.probes.push(probe),
                Err(error) => {
                    tap.detach(probes);
                    return Err(error);
                }
            }
            tracing::debug!(path, name, offset = site.offset, cheap = site.cheap, "probe attached");
        }
        tell(path, symbols, random.is_some());
        Ok(tap)
    }

    /// Removes the probes.
    pub(super) fn detach(self, probes: &mut Probes) {
        self.probes.into_iter().for_each(|probe| probes.detach(probe));
    }
}

/// Says what is observed of a file, and what cannot be for want of a symbol.
fn tell(path: &str, symbols: &Symbols, random_known: bool) {
    let build_id = symbols.build_id.as_deref().unwrap_or("none");
    let missing: Vec<_> = SYMBOLS.into_iter().filter(|name| symbols.get(name).is_none()).collect();
    tracing::info!(path, build_id, ?missing, random_known, "TLS writes are observed");
}

fn cookie(attachment: u16, function: Function, random: Option<RandomPlace>, server: Option<u8>) -> u64 {
    let unknown = RandomPlace { via: Site::DIRECT, offset: Site::UNKNOWN };
    let random = random.unwrap_or(unknown);
    Site { attachment, function, server: server.unwrap_or(0), via: random.via, random: random.offset }.pack()
}
