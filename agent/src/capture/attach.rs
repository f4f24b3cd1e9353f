//! One probed file: which functions, at which sites, and what is not known of it.

use std::fs::File;

use cprvagt_abi::{Function, RoleWord, Site};

use super::{
    error::CaptureError,
    load::Programs,
    probes::{Place, Probe, ProbeReach, Probes},
    returns::return_sites,
    site::{
        ProbeSite, copied_random, cork_word, entity_word, go_probe_site, probe_site, random_place,
        returned_role, socket_end_word,
    },
    symbols::{FunctionCode, Machine, Symbols},
};

/// Accessors that tell where a session keeps things: its random, which end it is, whether it is corked.
const OPENSSL_ACCESSORS: [&str; 3] = ["SSL_get_client_random", "SSL_get_server_random", "SSL_is_server"];
const GNUTLS_ACCESSORS: [&str; 3] =
    ["gnutls_session_get_random", "gnutls_auth_get_type", "gnutls_record_cork"];
const NSS_ACCESSORS: [&str; 2] = ["SSL_ExportKeyingMaterial", "SSL_GetNegotiatedHostInfo"];
/// Offset of `isClient` in Go's `tls.Conn`, in units of 4 bytes: behind the two words of `conn net.Conn`, in every
/// version from 1.17 to 1.27.
const GO_IS_CLIENT: RoleWord = RoleWord { word: 16 / 4, one_bit: false };

/// Whose function it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Library {
    OpenSsl,
    GnuTls,
    Nss,
    /// What NSS sends through: its functions are given descriptors of any kind.
    Nspr,
    Go,
}

impl Library {
    const ALL: [Self; 5] = [Self::OpenSsl, Self::GnuTls, Self::Nss, Self::Nspr, Self::Go];

    fn of(function: Function) -> Self {
        match function {
            Function::NssSecureSend => Self::Nss,
            it if Function::is_go(it as u32) => Self::Go,
            it if Function::takes_descriptor(it as u32) => Self::Nspr,
            it if Function::is_gnutls(it as u32) => Self::GnuTls,
            _ => Self::OpenSsl,
        }
    }

    fn accessors(self) -> &'static [&'static str] {
        match self {
            Self::OpenSsl => &OPENSSL_ACCESSORS,
            Self::GnuTls => &GNUTLS_ACCESSORS,
            Self::Nss => &NSS_ACCESSORS,
            Self::Nspr | Self::Go => &[],
        }
    }
}

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

/// The symbols of a file that has functions to probe, which this process may have mapped.
pub(super) fn read_symbols(file: &File, process: Option<u32>) -> Option<Symbols> {
    let functions = Function::ALL.into_iter().map(Function::symbol);
    let accessors = Library::ALL.into_iter().flat_map(Library::accessors);
    let names: Vec<_> = functions.chain(accessors.copied()).collect();
    let symbols = Symbols::read(file, &names, process)?;
    let is_any_there = Function::ALL.iter().any(|function| symbols.get(function.symbol()).is_some());
    (is_any_there || symbols.is_nss_without_send()).then_some(symbols)
}

/// Of an NSS whose function that sends was not found: where its sessions keep things, as part of a cookie. What it sends
/// is then read as it is handed to NSPR.
pub(super) fn places_for_nspr(symbols: &Symbols) -> Option<u64> {
    let function = Function::NssSecureSend;
    symbols
        .is_nss_without_send()
        .then(|| Site::places_of(cookie(0, function, false, Session::of(function, symbols))))
}

/// Whether a file has functions of NSPR.
pub(super) fn has_nspr(symbols: &Symbols) -> bool {
    probed(symbols, true).any(|(function, _)| Library::of(function) == Library::Nspr)
}

/// Whether a file has functions to probe.
pub(super) fn has_any(symbols: &Symbols, nspr: bool) -> bool {
    probed(symbols, nspr).next().is_some()
}

/// The functions to probe: those that the file has, without those that call another of them to do their work; NSPR's
/// only if they are wanted, since a program writes its files and pipes with them too.
fn probed(symbols: &Symbols, nspr: bool) -> impl Iterator<Item = (Function, &FunctionCode)> {
    let there = Function::ALL.into_iter().filter_map(|it| Some((it, symbols.get(it.symbol())?)));
    let there = there.filter(move |(function, _)| nspr || Library::of(*function) != Library::Nspr);
    there.filter(|(function, code)| {
        !code.calls.iter().any(|callee| {
            let calls_back = |code: &FunctionCode| code.calls.contains(&function.symbol());
            let is_probed = Function::ALL.iter().any(|it| it.symbol() == *callee);
            is_probed && symbols.get(callee).is_some_and(|callee| !calls_back(callee))
        })
    })
}

/// How far a server's random stands behind the client's in GnuTLS (`security_parameters_st`).
const GNUTLS_SERVER_RANDOM: u16 = 32;

/// Where a session of a library keeps things.
#[derive(Clone, Copy)]
struct Session {
    random: Option<u16>,
    via: Option<u16>,
    server: Option<RoleWord>,
}

impl Session {
    /// Of the sessions that a function is called with. Those that read are told apart by the server's random.
    fn of(function: Function, symbols: &Symbols) -> Self {
        let reads = Function::reads(function as u32);
        let get = |accessor: &str| symbols.get(accessor).filter(|it| it.machine == Machine::X86_64);
        match Library::of(function) {
            Library::OpenSsl => {
                let [client_random, server_random, is_server] = OPENSSL_ACCESSORS.map(get);
                let random = if reads { server_random } else { client_random }.and_then(random_place);
                Self {
                    random: random.map(|place| place.offset),
                    via: random.map(|place| place.via),
                    server: is_server.and_then(returned_role),
                }
            }
            Library::GnuTls => {
                let [random, entity, cork] = GNUTLS_ACCESSORS.map(get);
                let random = random.and_then(random_place).filter(|place| place.via == Site::NONE);
                let behind = if reads { GNUTLS_SERVER_RANDOM } else { 0 };
                Self {
                    random: random.and_then(|place| place.offset.checked_add(behind)),
                    via: cork.and_then(cork_word),
                    server: entity.and_then(entity_word),
                }
            }
            Library::Nss => {
                let [export, host_info] = NSS_ACCESSORS.map(get);
                Self {
                    random: export.and_then(copied_random),
                    via: None,
                    server: host_info.and_then(socket_end_word),
                }
            }
            // The kernel program takes the places from the NSS that the descriptor is of.
            Library::Nspr => Self { random: None, via: None, server: None },
            // The kernel program takes the random from the hello as it is written.
            Library::Go => Self { random: None, via: None, server: Some(GO_IS_CLIENT) },
        }
    }
}

/// A function's first instruction.
const ENTRY: ProbeSite = ProbeSite { offset: 0, cheap: false };

/// One place to probe.
struct Spot {
    file_offset: u64,
    cheap: bool,
    returns: bool,
}

impl Spot {
    fn new(code: &FunctionCode, site: ProbeSite, returns: bool) -> Self {
        Self { file_offset: code.file_offset + site.offset, cheap: site.cheap, returns }
    }
}

/// Where a function that writes is probed; nowhere when its arguments are not where the kernel program looks for them.
fn writing_spot(function: Function, code: &FunctionCode, probes: &Probes) -> Vec<Spot> {
    let site = match function {
        Function::GoWriteRecord => go_probe_site(code),
        _ if probes.entry_sites => Some(ENTRY),
        Function::SslSendfile => Some(probe_site(code, 4)),
        _ => Some(probe_site(code, 3)),
    };
    site.map(|site| Spot::new(code, site, false)).into_iter().collect()
}

/// Where a function that reads is probed: where it begins, and wherever it returns. Nowhere when it is not known which
/// end of its session is a server's or which flow is its own, or where probes are few.
fn reading_spots(code: &FunctionCode, session: Session, probes: &Probes) -> Vec<Spot> {
    let is_known = session.server.is_some() && session.random.is_some();
    if !is_known || code.machine != Machine::X86_64 || probes.reach() == ProbeReach::ResidentFewSites {
        return Vec::new();
    }
    let bodies = [Some(code), code.tail.as_deref()].into_iter().flatten();
    let returns = bodies.flat_map(|body| {
        return_sites(&body.code, body.address).into_iter().map(move |site| Spot::new(body, site, true))
    });
    let returns: Vec<_> = returns.collect();
    if returns.is_empty() {
        return returns;
    }
    let entry = if probes.entry_sites { ENTRY } else { probe_site(code, 4) };
    returns.into_iter().chain([Spot::new(code, entry, false)]).collect()
}

impl TlsTap {
    /// Probes every function that the file has.
    pub(super) fn attach(
        programs: &mut Programs,
        probes: &mut Probes,
        readable: &Readable<'_>,
        nspr: bool,
        attachment: u16,
    ) -> Result<Self, CaptureError> {
        let &Readable { file, path, symbols } = readable;
        let mut tap = Self { path: path.to_owned(), attachment, probes: Vec::new() };
        for (function, code) in probed(symbols, nspr) {
            let session = Session::of(function, symbols);
            let reads = Function::reads(function as u32);
            let spots = match reads {
                true => reading_spots(code, session, probes),
                false => writing_spot(function, code, probes),
            };
            match (spots.is_empty(), reads) {
                (true, true) => {
                    tracing::debug!(
                        path,
                        name = function.symbol(),
                        "requests are not read: its code is not understood"
                    );
                }
                (true, false) => tracing::warn!(
                    path,
                    name = function.symbol(),
                    "not observed: it was made by a Go before 1.17, or its code is not understood"
                ),
                (false, _) => {}
            }
            for spot in spots {
                let cookie = cookie(attachment, function, spot.returns, session);
                let place = Place { file, path, offset: spot.file_offset };
                match probes.attach(programs, &place, cookie) {
                    Ok(probe) => tap.probes.push(probe),
                    Err(error) => {
                        tap.detach(probes);
                        return Err(error);
                    }
                }
                let offset = spot.file_offset.wrapping_sub(code.file_offset);
                let Spot { cheap, returns, .. } = spot;
                tracing::debug!(path, name = function.symbol(), offset, cheap, returns, "probe attached");
            }
        }
        tell(path, symbols, nspr);
        Ok(tap)
    }

    /// Removes the probes.
    pub(super) fn detach(self, probes: &mut Probes) {
        probes.detach(self.probes);
    }

    /// Removes the probes soon.
    pub(super) fn detach_aside(self, probes: &mut Probes) {
        probes.detach_aside(self.probes);
    }
}

/// Says what is observed of a file, and which symbols are missing that would tell more.
fn tell(path: &str, symbols: &Symbols, nspr: bool) {
    let build_id = symbols.build_id.as_deref().unwrap_or("none");
    let functions: Vec<_> = probed(symbols, nspr).map(|(function, _)| function).collect();
    let is_there = |library: &Library| functions.iter().any(|it| Library::of(*it) == *library);
    let libraries: Vec<_> = Library::ALL.into_iter().filter(is_there).collect();
    let wanted = libraries.iter().flat_map(|library| library.accessors());
    let missing: Vec<_> = wanted.filter(|name| symbols.get(name).is_none()).collect();
    let knows_random = |it: &Function| {
        matches!(Library::of(*it), Library::Go | Library::Nspr) || Session::of(*it, symbols).random.is_some()
    };
    let writes = |it: &&Function| !Function::reads(**it as u32);
    let random_known = functions.iter().filter(writes).all(knows_random);
    let functions: Vec<_> = functions.into_iter().map(Function::symbol).collect();
    tracing::info!(path, build_id, ?functions, ?missing, random_known, "TLS writes are observed");
}

fn cookie(attachment: u16, function: Function, returns: bool, session: Session) -> u64 {
    let Session { random, via, server } = session;
    let (random, via) = (random.unwrap_or(Site::NONE), via.unwrap_or(Site::NONE));
    Site { attachment, function, returns, server, via, random }.pack()
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
            let symbols = read_symbols(&library, None).unwrap();
            let functions: Vec<_> = probed(&symbols, false).map(|(function, _)| function).collect();
            assert_eq!(functions, expected, "{path}");
            for function in functions {
                let (library, session) = (Library::of(function), Session::of(function, &symbols));
                assert!(session.random.is_some() && session.server.is_some(), "{path}");
                assert_eq!(session.via.is_some(), library != Library::Nss, "{path}");
            }
        };
        let openssl = [
            Function::SslWrite,
            Function::SslWriteEx,
            Function::SslSendfile,
            Function::SslRead,
            Function::SslReadEx,
        ];
        check("libssl.so.3", &openssl);
        let gnutls = [
            Function::GnutlsSend2,
            Function::GnutlsSendRange,
            Function::GnutlsSendEarlyData,
            Function::GnutlsRecv,
        ];
        check("libgnutls.so.30", &gnutls);
        check("libssl3.so", &[Function::NssSecureSend]);
        check("libnspr4.so", &[]);
    }
}
