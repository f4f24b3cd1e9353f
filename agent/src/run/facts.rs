//! Facts about processes for a process that cannot read `/proc` itself.

use std::io;
use std::os::unix::net::UnixStream;
use std::thread;

use super::protocol::{Answer, Question};
use crate::channel::{receive, send};
use crate::process::{FilePart, FileRange, Identity, LookUp, ProcessFacts};
use crate::procfs::Procfs;

/// Answers questions that come over `stream`, in a thread of its own, until the other side is gone. Short-lived
/// programs are gone soon, so no answer waits for other work.
///
/// # Errors
/// No thread can be started.
pub fn serve(stream: UnixStream) -> io::Result<()> {
    thread::Builder::new().name("facts".to_owned()).spawn(move || {
        let mut procfs = Procfs::default();
        while let Ok(Some(question)) = receive(&stream) {
            let answer = match question {
                Question::Running => Answer::Running(procfs.running()),
                Question::Read(pid) => Answer::Facts(Box::new(procfs.read(pid))),
                Question::FilePart(range) => Answer::FilePart(procfs.file_part(&range)),
                Question::TakesFromHost(pid) => Answer::TakesFromHost(procfs.takes_from_host(pid)),
                Question::Identity(pid) => Answer::Identity(procfs.identity(pid)),
            };
            if send(&stream, &answer).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

/// The asking side.
#[derive(Debug)]
pub struct RemoteProcfs(pub UnixStream);

impl RemoteProcfs {
    /// `None` when the other side is gone, and this process is about to end.
    fn ask(&self, question: &Question) -> Option<Answer> {
        send(&self.0, question).ok()?;
        receive(&self.0).ok()?
    }
}

impl LookUp for RemoteProcfs {
    fn running(&mut self) -> Vec<u32> {
        match self.ask(&Question::Running) {
            Some(Answer::Running(running)) => running,
            _ => Vec::new(),
        }
    }

    fn read(&mut self, pid: u32) -> ProcessFacts {
        match self.ask(&Question::Read(pid)) {
            Some(Answer::Facts(facts)) => *facts,
            _ => ProcessFacts::of_pid(pid),
        }
    }

    fn file_part(&mut self, range: &FileRange) -> Option<FilePart> {
        match self.ask(&Question::FilePart(*range)) {
            Some(Answer::FilePart(part)) => part,
            _ => None,
        }
    }

    fn takes_from_host(&mut self, pid: u32) -> bool {
        matches!(self.ask(&Question::TakesFromHost(pid)), Some(Answer::TakesFromHost(true)))
    }

    fn identity(&mut self, pid: u32) -> Identity {
        match self.ask(&Question::Identity(pid)) {
            Some(Answer::Identity(identity)) => identity,
            _ => Identity::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_the_other_side_knows_is_known_here() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        serve(theirs).unwrap();
        let (mut remote, mut local) = (RemoteProcfs(ours), Procfs::default());
        let own = std::process::id();
        assert_eq!(remote.read(own), local.read(own));
        assert_eq!(remote.identity(own), local.identity(own));
        assert!(remote.identity(own).exe.is_some());
        assert!(remote.running().contains(&own));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(remote.takes_from_host(own));
    }

    #[test]
    fn without_the_other_side_nothing_is_known() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let mut remote = RemoteProcfs(ours);
        assert!(remote.running().is_empty());
        assert_eq!(remote.read(7), ProcessFacts::of_pid(7));
        assert_eq!(remote.identity(7), Identity::default());
    }
}
