//! The socket tap: which process opened a socket, and when it closed.
//!
//! The programs run in the process's own context, so the current task is the owner here and nowhere
//! else on the way out.

use aya_ebpf::{
    EbpfContext,
    bindings::{
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_STATE_CB,
        BPF_SOCK_OPS_STATE_CB_FLAG, BPF_SOCK_OPS_TCP_CONNECT_CB,
    },
    helpers::{
        bpf_get_current_pid_tgid, bpf_get_current_uid_gid,
        generated::{bpf_get_current_cgroup_id, bpf_get_socket_cookie},
    },
    macros::{cgroup_sock_addr, sock_ops},
    programs::{SockAddrContext, SockOpsContext},
};
use cprvagt_abi::{Owner, Role};

use crate::{
    flows,
    maps::OWNERS,
    processes::{current_comm, see},
};

/// Let the call go on: the only answer these programs ever give.
const PROCEED: i32 = 1;
/// The state of a socket that is gone (`TCP_CLOSE`).
const STATE_CLOSED: u32 = 7;

/// `connect` over IPv4.
#[cgroup_sock_addr(connect4)]
pub fn sock_connect4(ctx: SockAddrContext) -> i32 {
    note_owner(&ctx)
}

/// `connect` over IPv6.
#[cgroup_sock_addr(connect6)]
pub fn sock_connect6(ctx: SockAddrContext) -> i32 {
    note_owner(&ctx)
}

/// A datagram to an explicit address over IPv4.
#[cgroup_sock_addr(sendmsg4)]
pub fn sock_send4(ctx: SockAddrContext) -> i32 {
    note_sender(&ctx)
}

/// A datagram to an explicit address over IPv6.
#[cgroup_sock_addr(sendmsg6)]
pub fn sock_send6(ctx: SockAddrContext) -> i32 {
    note_sender(&ctx)
}

/// Connections that are made, accepted and closed.
#[sock_ops]
pub fn flow_ops(ctx: SockOpsContext) -> u32 {
    // SAFETY: the helper takes the program's own context.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    match ctx.op() {
        BPF_SOCK_OPS_TCP_CONNECT_CB | BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => want_state(&ctx),
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => {
            note_server(cookie);
            want_state(&ctx);
        }
        BPF_SOCK_OPS_STATE_CB if ctx.arg(1) == STATE_CLOSED => {
            flows::close(cookie);
            let _ = OWNERS.remove(cookie);
        }
        _ => {}
    }
    0
}

fn want_state(ctx: &SockOpsContext) {
    let _ = ctx.set_cb_flags((ctx.cb_flags() | BPF_SOCK_OPS_STATE_CB_FLAG) as i32);
}

#[inline(always)]
fn note_sender(ctx: &SockAddrContext) -> i32 {
    // SAFETY: the helper takes the program's own context; only the presence of the entry matters.
    let known = unsafe { OWNERS.get(bpf_get_socket_cookie(ctx.as_ptr())) }.is_some();
    if known { PROCEED } else { note_owner(ctx) }
}

#[inline(always)]
fn note_owner(ctx: &SockAddrContext) -> i32 {
    // SAFETY: the helper takes the program's own context.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    let owner = Owner {
        tgid: (bpf_get_current_pid_tgid() >> 32) as u32,
        uid: bpf_get_current_uid_gid() as u32,
        // SAFETY: a helper without arguments.
        cgroup_id: unsafe { bpf_get_current_cgroup_id() },
        comm: current_comm(),
        role: Role::Client as u32,
        pad: 0,
    };
    let _ = OWNERS.insert(cookie, &owner, 0);
    see(owner.tgid);
    PROCEED
}

/// The current task means nothing when a connection is accepted (softirq): the role is all we learn.
#[inline(always)]
fn note_server(cookie: u64) {
    let owner = Owner { tgid: 0, uid: 0, cgroup_id: 0, comm: [0; 16], role: Role::Server as u32, pad: 0 };
    let _ = OWNERS.insert(cookie, &owner, 0);
}
