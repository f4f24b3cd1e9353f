//! The other processes of the agent: started by this program running itself again, heard in a thread each.
//!
//! *Invariants*: a child has its control socket as standard input and shares no other descriptor but output. It
//! is in a process group of its own, so that Ctrl-C reaches this process alone, and ends when this one is gone.

use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::mpsc::UnboundedSender;

use crate::channel::{receive, send};

/// How long a child may take to end by itself.
const END_LIMIT: Duration = Duration::from_secs(20);

/// How long a child may leave its messages unread.
const TELL_LIMIT: Duration = Duration::from_secs(10);

/// A running child.
pub struct Part {
    name: &'static str,
    child: Child,
    /// Where it is told what to do.
    pub control: UnixStream,
}

/// What came from a child.
pub enum Heard<M> {
    /// A message.
    Message(M),
    /// Its end of the socket is closed: it has ended or is about to.
    Gone,
}

impl Part {
    /// Starts the part `name` of this program. Its standard output is ours if `speaks`.
    ///
    /// # Errors
    /// The system refuses.
    pub fn start(name: &'static str, verbose: u8, speaks: bool) -> io::Result<Self> {
        let (control, theirs) = UnixStream::pair()?;
        control.set_write_timeout(Some(TELL_LIMIT))?;
        let mut command = Command::new("/proc/self/exe");
        command.args(["part", name]).args((0..verbose).map(|_| "-v")).process_group(0);
        command.stdin(OwnedFd::from(theirs));
        if !speaks {
            command.stdout(Stdio::null());
        }
        Ok(Self { name, child: command.spawn()?, control })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    ///
    /// # Errors
    /// The system lost it.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Tells it something.
    ///
    /// # Errors
    /// It is gone.
    pub fn tell(&self, message: &impl Serialize) -> io::Result<()> {
        send(&self.control, message)
    }

    /// Passes on what it says, from a thread of its own.
    ///
    /// # Errors
    /// No thread or descriptor can be had.
    pub fn listen<M, E>(&self, to: UnboundedSender<E>, wrap: fn(Heard<M>) -> E) -> io::Result<()>
    where
        M: DeserializeOwned + Send + 'static,
        E: Send + 'static,
    {
        let control = self.control.try_clone()?;
        thread::Builder::new().name(format!("hear-{}", self.name)).spawn(move || {
            while let Ok(Some(message)) = receive(&control) {
                if to.send(wrap(Heard::Message(message))).is_err() {
                    return;
                }
            }
            // Nobody is left to hear it when this process ends as well.
            let _ = to.send(wrap(Heard::Gone));
        })?;
        Ok(())
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// It does not end, or the system lost it.
    pub fn end(&mut self) -> io::Result<ExitStatus> {
        let started = Instant::now();
        while started.elapsed() < END_LIMIT {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("the {} process does not end", self.name)))
    }
}

impl Drop for Part {
    /// A child whose control socket closes ends by itself. It need not be ours to kill: it may be another user,
    /// and this process has given up the capability to signal others. The service manager ends what hangs.
    fn drop(&mut self) {
        // Both fail when it has ended, which is what is wanted.
        let _ = self.control.shutdown(Shutdown::Both);
        let _ = self.end();
    }
}
