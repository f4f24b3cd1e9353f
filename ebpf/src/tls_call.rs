//! One call of a writing function: where its arguments are, and what its session says of itself.
//!
//! *Invariants*: of a process's memory nothing is believed; what cannot be read is absent.

use aya_ebpf::{helpers::bpf_probe_read_user, programs::ProbeContext};
use cprvagt_abi::{Counter, Function, Site};

use crate::{
    counters::Skip,
    maps::{NSS_PLACES, SESSIONS},
    processes, verifier,
};

/// Most plaintext of a TLS record (RFC 8446, 5.1).
const RECORD_MAX: u64 = 1 << 14;
/// GnuTLS's states of a session that is corked, before and after it was asked for new keys (`rsend_state_t`).
const CORKED: u32 = 1;
const CORKED_TO_KEY_UPDATE: u32 = 2;
/// GnuTLS's number for a server's end of a session (`GNUTLS_SERVER`).
const GNUTLS_SERVER: u32 = 1;

/// Content types of TLS records (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// Kinds of handshake messages, and where a hello has its random (RFC 8446, 4 and 4.1.2).
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const HELLO_RANDOM: u64 = 6;

/// Layers of an NSPR descriptor that are looked at. Firefox has one above that of NSS.
const LAYERS_MAX: u32 = 4;
/// Where an NSS has `write` in its tables of functions.
const NSS_WRITE: u64 = 9 * 8;
/// `endbr64`, as the processor reads it.
const ENDBR64: u32 = u32::from_ne_bytes([0xf3, 0x0f, 0x1e, 0xfa]);
/// `xor %ecx,%ecx; jmp`, in each of its forms.
const ZEROES_AND_JUMPS: [u32; 4] = [
    u32::from_ne_bytes([0x31, 0xc9, 0xe9, 0]),
    u32::from_ne_bytes([0x31, 0xc9, 0xeb, 0]),
    u32::from_ne_bytes([0x33, 0xc9, 0xe9, 0]),
    u32::from_ne_bytes([0x33, 0xc9, 0xeb, 0]),
];
/// Most buffers that `PR_Writev` takes (`PR_MAX_IOVECTOR_SIZE`).
pub const GATHERED_MAX: u32 = 16;

/// What a call hands over.
#[derive(Clone, Copy)]
pub struct Call {
    pub session: u64,
    pub buffer: u64,
    pub length: u64,
    /// Of what is sent from a file: its number in the process, `buffer` being the offset in it. Of what lies in several
    /// buffers: how many, `buffer` being their list.
    pub descriptor: u32,
    pub cookie: u64,
    pub tgid: u32,
}

/// The call at whose site the program runs.
#[inline(always)]
pub fn read(ctx: &ProbeContext, cookie: u64, tgid: u32) -> Result<Call, Skip> {
    let function = Site::function_of(cookie);
    let registers = Registers::read(ctx);
    let (session, buffer, raw) = if Function::is_go(function) {
        read_go_call(&registers, tgid)?
    } else if Function::sends_file(function) {
        (registers.rdi, registers.rdx, registers.rcx)
    } else {
        (registers.rdi, registers.rsi, registers.rdx)
    };
    let length = if Function::takes_int(function) { i64::from(raw as i32) } else { raw as i64 };
    if length <= 0 {
        return Err(Counter::TlsWriteEmpty);
    }
    let descriptor = registers.rsi as u32;
    let mut call = Call { session, buffer, length: length as u64, descriptor, cookie, tgid };
    if Function::takes_descriptor(function) {
        find_session(&mut call)?;
    }
    if Function::gathers(function) {
        call.descriptor = length as u32;
        call.length = gathered_length(&call);
    }
    if Function::sends_one_record(function) {
        // A program hands over all that is left of a large buffer at each call.
        if call.length > RECORD_MAX {
            call.length = RECORD_MAX;
        }
        refuse_corked(&call)?;
    }
    Ok(call)
}

/// Takes the call for the session whose descriptor it was given: that of an NSS whose own writing function is not known.
///
/// A descriptor is a stack of layers (`PRFileDesc`: methods, secret, lower). That of NSS has the session for its secret,
/// and a session (`sslSocket`) begins with the descriptor that it belongs to, which no other secret does: its own layer
/// or, where another was put above it meanwhile, the top. Then comes its table of functions.
#[inline(always)]
fn find_session(call: &mut Call) -> Result<(), Skip> {
    let places = NSS_PLACES.get(0).copied().unwrap_or(0);
    let (top, mut layer) = (call.session, call.session);
    for _ in 0..LAYERS_MAX {
        // SAFETY: the helper checks the address.
        let read = unsafe { bpf_probe_read_user(layer as *const [u64; 3]) };
        let [_, secret, lower] = read.map_err(|_| Counter::TlsWriteNotTls)?;
        // SAFETY: as above.
        if let Ok([descriptor, table]) = unsafe { bpf_probe_read_user(secret as *const [u64; 2]) }
            && (descriptor == layer || descriptor == top)
        {
            if places == 0 || is_read_elsewhere(table)? {
                return Err(Counter::TlsWriteNotTls);
            }
            call.session = secret;
            call.cookie = Site::with_places(call.cookie, places);
            return Ok(());
        }
        layer = lower;
    }
    Err(Counter::TlsWriteNotTls)
}

/// Whether user space knows the function that sends of the NSS with this table, by the same look at `write` that shows it
/// the function.
#[inline(always)]
fn is_read_elsewhere(table: u64) -> Result<bool, Skip> {
    let unknown = |_| Counter::TlsWriteNotTls;
    // SAFETY: the helper checks the address.
    let write = unsafe { bpf_probe_read_user((table + NSS_WRITE) as *const u64) }.map_err(unknown)?;
    // SAFETY: as above.
    let [first, second] = unsafe { bpf_probe_read_user(write as *const [u32; 2]) }.map_err(unknown)?;
    // Whichever it is, the fourth byte is a part of the distance.
    let code = (if first == ENDBR64 { second } else { first }) & u32::from_ne_bytes([0xff, 0xff, 0xff, 0]);
    let mut known = false;
    for form in ZEROES_AND_JUMPS {
        known |= code == form;
    }
    Ok(known)
}

/// One of several buffers.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Gathered {
    pub at: u64,
    pub length: u64,
}

/// The buffer at this place of a list (`PRIOVec`), if there is one.
#[inline(always)]
pub fn gathered(call: &Call, place: u32) -> Option<Gathered> {
    if place >= call.descriptor {
        return None;
    }
    // SAFETY: the helper checks the address.
    let read = unsafe { bpf_probe_read_user((call.buffer + u64::from(place) * 16) as *const [u64; 2]) };
    let [at, length] = read.ok()?;
    // An `int`, and padding.
    let length = i64::from(length as i32);
    Some(Gathered { at, length: if length < 0 { 0 } else { length as u64 } })
}

#[inline(always)]
fn gathered_length(call: &Call) -> u64 {
    let mut sum = 0;
    for place in 0..GATHERED_MAX {
        let Some(buffer) = gathered(call, place) else { break };
        sum = verifier::forget(sum + buffer.length);
    }
    sum
}

/// The registers that arguments are in.
pub struct Registers {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
}

impl Registers {
    /// Each from its own place: the compiler would choose the place first and load then, and every kernel's verifier
    /// refuses a moved context.
    #[inline(always)]
    pub fn read(ctx: &ProbeContext) -> Self {
        // SAFETY: the kernel hands a uprobe program readable registers.
        unsafe {
            Self {
                rax: (&raw const (*ctx.regs).rax).read_volatile(),
                rbx: (&raw const (*ctx.regs).rbx).read_volatile(),
                rcx: (&raw const (*ctx.regs).rcx).read_volatile(),
                rdx: (&raw const (*ctx.regs).rdx).read_volatile(),
                rsi: (&raw const (*ctx.regs).rsi).read_volatile(),
                rdi: (&raw const (*ctx.regs).rdi).read_volatile(),
            }
        }
    }
}

/// Session, buffer and length of a call that Go's compiler made: its own registers (ABIInternal).
#[inline(always)]
fn read_go_call(registers: &Registers, tgid: u32) -> Result<(u64, u64, u64), Skip> {
    let (session, kind, buffer, length) = (registers.rax, registers.rbx as u8, registers.rcx, registers.rdi);
    if kind == APPLICATION_DATA {
        return Ok((session, buffer, length));
    }
    if kind == HANDSHAKE {
        note_hello(tgid, session, buffer);
    }
    Err(Counter::TlsWriteProtocol)
}

/// A hello names the session: a client's by its random; a server's says that what was known of this address was
/// another session.
#[inline(always)]
fn note_hello(tgid: u32, session: u64, message: u64) {
    let session = [processes::generation_of(tgid), session];
    // SAFETY: the helper checks the address.
    match unsafe { bpf_probe_read_user(message as *const u8) } {
        Ok(CLIENT_HELLO) => {
            // SAFETY: as above.
            if let Ok(random) = unsafe { bpf_probe_read_user((message + HELLO_RANDOM) as *const [u64; 4]) } {
                processes::remember_generation(tgid);
                let _ = SESSIONS.insert(session, random, 0);
            }
        }
        Ok(SERVER_HELLO) => {
            let _ = SESSIONS.remove(session);
        }
        _ => {}
    }
}

/// A corked session keeps what it is given, and hands it to the same function when it is uncorked.
#[inline(always)]
fn refuse_corked(call: &Call) -> Result<(), Skip> {
    let offset = Site::via_of(call.cookie);
    if offset == Site::NONE {
        return Ok(());
    }
    // SAFETY: the helper checks the address.
    match unsafe { bpf_probe_read_user((call.session + u64::from(offset)) as *const u32) } {
        Ok(CORKED | CORKED_TO_KEY_UPDATE) => Err(Counter::TlsWriteCorked),
        _ => Ok(()),
    }
}

/// The server's end of a connection holds the same client random: it must not pass for the client's.
#[inline(always)]
pub fn refuse_server(call: &Call) -> Result<(), Skip> {
    if is_server(call) == Some(true) { Err(Counter::TlsWriteServer) } else { Ok(()) }
}

/// Whether the session is a server's, if that can be told.
#[inline(always)]
pub fn is_server(call: &Call) -> Option<bool> {
    let offset = Site::server_of(call.cookie)?;
    // SAFETY: the helper checks the address.
    let word = unsafe { bpf_probe_read_user((call.session + u64::from(offset)) as *const u32) }.ok()?;
    let function = Site::function_of(call.cookie);
    Some(if Function::is_gnutls(function) {
        word == GNUTLS_SERVER
    } else if Function::is_go(function) {
        // Go says whether it is the client's, in one byte.
        word as u8 == 0
    } else if Site::is_one_bit(call.cookie) {
        word & 1 != 0
    } else {
        word != 0
    })
}

/// The random that names the session's flow: the client's of a session that writes, the server's of one that reads.
/// Zeros when it cannot be read.
#[inline(always)]
pub fn random_of(call: &Call) -> [u64; 4] {
    const NONE: [u64; 4] = [0; 4];
    if Function::is_go(Site::function_of(call.cookie)) {
        // SAFETY: the value is copied out at once.
        return unsafe { SESSIONS.get([processes::generation_of(call.tgid), call.session]) }
            .copied()
            .unwrap_or(NONE);
    }
    let (via, offset) = (Site::via_of(call.cookie), Site::random_of(call.cookie));
    if offset == Site::NONE {
        return NONE;
    }
    let mut base = call.session;
    if via != Site::NONE && !Function::is_gnutls(Site::function_of(call.cookie)) {
        // SAFETY: the helper checks the address.
        base = unsafe { bpf_probe_read_user((base + u64::from(via)) as *const u64) }.unwrap_or(0);
    }
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user((base + u64::from(offset)) as *const [u64; 4]) }.unwrap_or(NONE)
}
