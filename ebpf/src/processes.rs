//! Processes that become another program or end.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::raw_tracepoint, programs::RawTracePointContext};
use cprvagt_abi::{ProcessExec, ProcessExit};

use crate::{maps::LAST_CALLS, ring};

/// A process became another program.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn process_exec(_ctx: RawTracePointContext) -> i32 {
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    ring::put::<ProcessExec>(|record| {
        // SAFETY: reserved ring space of this type; the whole record is written.
        unsafe { record.write(ProcessExec { head: ring::head(ProcessExec::TAG, 0), tgid, pad: 0 }) };
    });
    0
}

/// A thread ended; with its first thread a process counts as ended.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn process_exit(_ctx: RawTracePointContext) -> i32 {
    let task = bpf_get_current_pid_tgid();
    let _ = LAST_CALLS.remove(task);
    let tgid = (task >> 32) as u32;
    if task as u32 == tgid {
        ring::put::<ProcessExit>(|record| {
            // SAFETY: reserved ring space of this type; the whole record is written.
            unsafe { record.write(ProcessExit { head: ring::head(ProcessExit::TAG, 0), tgid, pad: 0 }) };
        });
    }
    0
}
