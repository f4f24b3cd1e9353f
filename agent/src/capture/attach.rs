//! One probed file: which functions, at which sites, and what is not known of it.

use std::fs::File;

use cprvagt_abi::{Function, Site};

use super::{
    error::CaptureError,
    load::Programs,
    probes::{Place, Probe, Probes},
    site::{cork_word, entity_word, probe_site, random_place, server_word},
    symbols::{FunctionCode, Symbols},
};

/// Accessors that tell where a session keeps things.
const CLIENT_RANDOM: &str = "SSL_get_client_random";
const IS_SERVER: &str = "SSL_is_server";
const GNUTLS_RANDOM: &str = "gnutls_session_get_random";
const GNUTLS_ENTITY: &str = "gnutls_auth_get_type";
const GNUTLS_CORK: &str = "gnutls_record_cork";
const OPENSSL_ACCESSORS: [&str; 2] = [CLIENT_RANDOM, IS_SERVER];
const GNUTLS_ACCESSORS: [&str; 3] = [GNUTLS_RANDOM, GNUTLS_ENTITY, GNUTLS_CORK];

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
    let functions = Function::ALL.into_iter().map(Function::symbol);
    let names: Vec<_> = functions.chain(OPENSSL_ACCESSORS).chain(GNUTLS_ACCESSORS).collect();
    let symbols = Symbols::read(file, &names)?;
    Function::ALL.iter().any(|function| symbols.get(function.symbol()).is_some()).then_some(symbols)
}

/// The functions to probe: those that the file has, without those that call another of them to do their work.
fn probed(symbols: &Symbols) -> impl Iterator<Item = (Function, &FunctionCode)> {
    let there = Function::ALL.into_iter().filter_map(|it| Some((it, symbols.get(it.symbol())?)));
    there.filter(|(function, code)| {
        !code.calls.iter().any(|callee| {
            let calls_back = |code: &FunctionCode| code.calls.contains(&function.symbol());
            let is_probed = Function::ALL.iter().any(|it| it.symbol() == *callee);
            is_probed && symbols.get(callee).is_some_and(|callee| !calls_back(callee))
        })
    })
}

/// Where a session of this function's library keeps things.
#[derive(Clone, Copy)]
struct Session {
    random: Option<u16>,
    via: Option<u16>,
    server: Option<u8>,
}

impl Session {
    fn of(function: Function, symbols: &Symbols) -> Self {
        if Function::is_gnutls(function as u32) {
            let random = symbols.get(GNUTLS_RANDOM).and_then(random_place);
            return Self {
                random: random.filter(|place| place.via == Site::NONE).map(|place| place.offset),
                via: symbols.get(GNUTLS_CORK).and_then(cork_word),
                server: symbols.get(GNUTLS_ENTITY).and_then(entity_word),
            };
        }
        let random = symbols.get(CLIENT_RANDOM).and_then(random_place);
        Self {
            random: random.map(|place| place.offset),
            via: random.map(|place| place.via),
            server: symbols.get(IS_SERVER).and_then(server_word),
        }
    }
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
        let mut tap = Self { path: path.to_owned(), attachment, probes: Vec::new() };
        for (function, code) in probed(symbols) {
            let site = probe_site(code);
            let session = Session::of(function, symbols);
            let cookie = cookie(attachment, function, session);
            let place = Place { file, path, offset: code.file_offset + site.offset };
            match probes.attach(programs, &place, cookie) {
                Ok(probe) => tap.probes.push(probe),
                Err(error) => {
                    tap.detach(probes);
                    return Err(error);
                }
            }
            tracing::debug!(
                path,
                name = function.symbol(),
                offset = site.offset,
                cheap = site.cheap,
                "probe attached"
            );
        }
        tell(path, symbols);
        Ok(tap)
    }

    /// Removes the probes.
    pub(super) fn detach(self, probes: &mut Probes) {
        self.probes.into_iter().for_each(|probe| probes.detach(probe));
    }
}

/// Says what is observed of a file, and which symbols are missing that would tell more.
fn tell(path: &str, symbols: &Symbols) {
    let build_id = symbols.build_id.as_deref().unwrap_or("none");
    let functions: Vec<_> = probed(symbols).map(|(function, _)| function).collect();
    let of_gnutls = |function: &Function| Function::is_gnutls(*function as u32);
    let wanted = [
        (functions.iter().any(|it| !of_gnutls(it)), &OPENSSL_ACCESSORS[..]),
        (functions.iter().any(of_gnutls), &GNUTLS_ACCESSORS),
    ];
    let wanted = wanted.into_iter().filter(|(is_there, _)| *is_there).flat_map(|(_, names)| names);
    let missing: Vec<_> = wanted.filter(|name| symbols.get(name).is_none()).collect();
    let random_known = functions.iter().all(|it| Session::of(*it, symbols).random.is_some());
    let functions: Vec<_> = functions.into_iter().map(Function::symbol).collect();
    tracing::info!(path, build_id, ?functions, ?missing, random_known, "TLS writes are observed");
}

fn cookie(attachment: u16, function: Function, session: Session) -> u64 {
    let Session { random, via, server } = session;
    let (random, via) = (random.unwrap_or(Site::NONE), via.unwrap_or(Site::NONE));
    Site { attachment, function, server, via, random }.pack()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Debian's own libraries: what is probed of them, and that a session's places are found.
    #[test]
    fn libraries_of_this_machine_are_understood() {
        let check = |name: &str, expected: &[Function]| {
            let path = format!("/usr/lib/x86_64-linux-gnu/{name}");
            let Ok(library) = File::open(&path) else {
                println!("skipped: libraries_of_this_machine_are_understood ({name}): it is not there");
                return;
            };
            let symbols = read_symbols(&library).unwrap();
            let functions: Vec<_> = probed(&symbols).map(|(function, _)| function).collect();
            assert_eq!(functions, expected, "{path}");
            for function in functions {
                let session = Session::of(function, &symbols);
                assert!(
                    session.random.is_some() && session.via.is_some() && session.server.is_some(),
                    "{path}"
                );
            }
        };
        check("libssl.so.3", &[Function::SslWrite, Function::SslWriteEx]);
        let gnutls = [Function::GnutlsSend2, Function::GnutlsSendRange, Function::GnutlsSendEarlyData];
        check("libgnutls.so.30", &gnutls);
    }
}
