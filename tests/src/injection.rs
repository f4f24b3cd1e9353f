//! Makes a running process carry out one system call, to see what it may do.
//!
//! The process is stopped as a debugger stops it, made to run the system call instruction that it waits in once
//! more with other arguments, and left as it was.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::libc::{self, c_long, user_regs_struct};
use nix::sys::ptrace;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// Bytes of the `syscall` instruction (x86-64).
const SYSCALL_BYTES: u64 = 2;
/// Below the stack, out of reach of what lives there.
const BELOW_STACK_BYTES: u64 = 8192;

/// How often a process is stopped until it waits in a system call.
const TRIES_MAX: usize = 1000;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// An argument of a system call.
#[derive(Clone, Copy, Debug)]
pub enum Argument<'a> {
    /// A number.
    Number(u64),
    /// The address of these bytes.
    Bytes(&'a [u8]),
}

/// A stopped process; it goes on when this is dropped.
#[derive(Debug)]
pub struct Stopped {
    pid: Pid,
    before: user_regs_struct,
}

impl Stopped {
    /// Stops the main thread of `pid`, which must be waiting in a system call.
    ///
    /// # Errors
    /// It may not be debugged, or does not wait.
    pub fn stop(pid: u32) -> Result<Self> {
        let pid = Pid::from_raw(pid.cast_signed());
        // It may be awake for a moment.
        for _ in 0..TRIES_MAX {
            if let Some(stopped) = Self::try_stop(pid)? {
                return Ok(stopped);
            }
            std::thread::sleep(BETWEEN_TRIES);
        }
        bail!("process {pid} does not wait in a system call")
    }

    fn try_stop(pid: Pid) -> Result<Option<Self>> {
        ptrace::attach(pid).context("attaching")?;
        let stopped = waitpid(pid, None).context("waiting for the stop")?;
        ensure!(matches!(stopped, WaitStatus::Stopped(..)), "it did not stop: {stopped:?}");
        let before = ptrace::getregs(pid).context("reading registers")?;
        // Dropped, it goes on.
        let stopped = Self { pid, before };
        Ok((before.orig_rax.cast_signed() >= 0).then_some(stopped))
    }

    /// What the kernel answers: a result, or the negative of an error number.
    ///
    /// # Errors
    /// The process cannot be driven.
    pub fn call(&self, number: c_long, arguments: &[Argument<'_>]) -> Result<i64> {
        let mut regs = self.before;
        let mut room = (self.before.rsp - BELOW_STACK_BYTES) & !0xfff;
        let mut values = [0; 6];
        for (value, argument) in values.iter_mut().zip(arguments) {
            *value = match argument {
                Argument::Number(number) => *number,
                Argument::Bytes(bytes) => {
                    self.write(room, bytes)?;
                    let address = room;
                    room += (bytes.len() as u64 + 16) & !7;
                    address
                }
            };
        }
        [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9] = values;
        regs.rip -= SYSCALL_BYTES;
        regs.rax = number.cast_unsigned();
        // No call is under way that the kernel would begin again.
        regs.orig_rax = u64::MAX;
        ptrace::setregs(self.pid, regs).context("writing registers")?;
        ptrace::step(self.pid, None).context("one step")?;
        let stopped = waitpid(self.pid, None)?;
        ensure!(matches!(stopped, WaitStatus::Stopped(..)), "it did not stop again: {stopped:?}");
        let answer = ptrace::getregs(self.pid)?.rax.cast_signed();
        ptrace::setregs(self.pid, self.before).context("restoring registers")?;
        Ok(answer)
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<()> {
        for (word, at) in bytes.chunks(8).zip((address..).step_by(8)) {
            let mut padded = [0; 8];
            padded[..word.len()].copy_from_slice(word);
            let address = at as ptrace::AddressType;
            ptrace::write(self.pid, address, c_long::from_ne_bytes(padded)).context("writing memory")?;
        }
        Ok(())
    }

    /// Whether a file can be opened with these flags.
    ///
    /// # Errors
    /// The process cannot be driven.
    pub fn opens(&self, path: &str, flags: i32) -> Result<bool> {
        let path = format!("{path}\0");
        let number = |value: i32| Argument::Number(i64::from(value).cast_unsigned());
        let arguments =
            [number(libc::AT_FDCWD), Argument::Bytes(path.as_bytes()), number(flags), number(0o600)];
        self.gives_descriptor(libc::SYS_openat, &arguments)
    }

    /// Whether a socket of this family can be made.
    ///
    /// # Errors
    /// The process cannot be driven.
    pub fn makes_socket(&self, family: i32, kind: i32) -> Result<bool> {
        let number = |value: i32| Argument::Number(i64::from(value).cast_unsigned());
        self.gives_descriptor(libc::SYS_socket, &[number(family), number(kind), number(0)])
    }

    fn gives_descriptor(&self, number: c_long, arguments: &[Argument<'_>]) -> Result<bool> {
        let answer = self.call(number, arguments)?;
        if answer >= 0 {
            self.call(libc::SYS_close, &[Argument::Number(answer.cast_unsigned())])?;
        }
        Ok(answer >= 0)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // A process that has ended meanwhile needs nothing.
        let _ = ptrace::detach(self.pid, None);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_process_without_limits_may_do_it_all_and_goes_on() {
        let mut child = Command::new("sleep").arg("1").spawn().unwrap();
        thread::sleep(Duration::from_millis(300));
        {
            let stopped = Stopped::stop(child.id()).unwrap();
            assert!(stopped.opens("/etc/hostname", libc::O_RDONLY).unwrap());
            assert!(!stopped.opens("/no/such/file", libc::O_RDONLY).unwrap());
            assert!(stopped.makes_socket(libc::AF_UNIX, libc::SOCK_STREAM).unwrap());
            let pid = stopped.call(libc::SYS_getpid, &[]).unwrap();
            assert_eq!(pid, i64::from(child.id()));
        }
        assert!(child.wait().unwrap().success(), "it goes on as if nothing had been");
    }
}
