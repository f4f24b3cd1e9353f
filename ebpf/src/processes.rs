//! Processes: when they are seen for the first time, become another program or end; the current one's name.
//!
//! Most processes never use the network. So nothing is told of one before it does, and of its program and its end only
//! if it has: a system may start hundreds a second, and the reader would have to look at each before it is gone.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, generated::bpf_get_current_comm},
    macros::raw_tracepoint,
    programs::RawTracePointContext,
};
use cprvagt_abi::{ProcessExec, ProcessExit, ProcessSeen};

use crate::{
    maps::{GENERATIONS, LAST_CALLS, SEEN},
    ring,
};

/// Tells of a process, unless that was done since it began its program.
#[inline(always)]
pub fn see(tgid: u32) {
    // SAFETY: only the presence of the entry matters.
    if unsafe { SEEN.get(tgid) }.is_some() {
        return;
    }
    let _ = SEEN.insert(tgid, 0, 0);
    // Some programs live no longer than the reader's nap; their names are read from /proc.
    ring::put_urgent::<ProcessSeen>(|record| {
        // SAFETY: reserved ring space of this type; the whole record is written.
        unsafe { record.write(ProcessSeen { head: ring::head(ProcessSeen::TAG, 0), tgid, pad: 0 }) };
    });
}

/// A process became another program.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn process_exec(_ctx: RawTracePointContext) -> i32 {
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    begin_generation(tgid);
    if SEEN.remove(tgid).is_ok() {
        ring::put::<ProcessExec>(|record| {
            // SAFETY: reserved ring space of this type; the whole record is written.
            unsafe { record.write(ProcessExec { head: ring::head(ProcessExec::TAG, 0), tgid, pad: 0 }) };
        });
    }
    0
}

/// A thread ended; with its first thread a process counts as ended.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn process_exit(_ctx: RawTracePointContext) -> i32 {
    let task = bpf_get_current_pid_tgid();
    let _ = LAST_CALLS.remove(task);
    let tgid = (task >> 32) as u32;
    if task as u32 == tgid {
        begin_generation(tgid);
        if SEEN.remove(tgid).is_ok() {
            ring::put::<ProcessExit>(|record| {
                // SAFETY: reserved ring space of this type; the whole record is written.
                unsafe { record.write(ProcessExit { head: ring::head(ProcessExit::TAG, 0), tgid, pad: 0 }) };
            });
        }
    }
    0
}

/// From now on the number stands for another program, if it is remembered at all.
#[inline(always)]
fn begin_generation(tgid: u32) {
    if let Some(generation) = GENERATIONS.get_ptr_mut(tgid) {
        // SAFETY: a word of map memory; a process is replaced or ends once at a time.
        unsafe { *generation = (*generation).wrapping_add(1) };
    }
}

/// Has the number remembered from now on.
#[inline(always)]
pub fn remember_generation(tgid: u32) {
    const IF_ABSENT: u64 = 1;
    let _ = GENERATIONS.insert(tgid, 0, IF_ABSENT);
}

/// The process of this number, told from those that had it before.
#[inline(always)]
pub fn generation_of(tgid: u32) -> u64 {
    // SAFETY: the value is copied out at once.
    let generation = unsafe { GENERATIONS.get(tgid) }.copied().unwrap_or(0);
    u64::from(generation) << 32 | u64::from(tgid)
}

/// The current task's command name.
#[inline(always)]
pub fn current_comm() -> [u8; 16] {
    let mut words = [0u64; 2];
    // SAFETY: the helper fills the 16 bytes of our own stack that it is told of.
    unsafe { bpf_get_current_comm(words.as_mut_ptr().cast(), 16) };
    // SAFETY: the same 16 bytes.
    unsafe { core::mem::transmute(words) }
}
