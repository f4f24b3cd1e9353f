//! Messages between the agent's own processes: a length and a postcard encoding, over a socket pair.
//!
//! *Invariants*: nothing that travels here is captured content. Reports travel sealed, on a stream of
//! their own ([`crate::send::frame`]).
//! *Limits*: [`MESSAGE_BYTES_MAX`] a message; the other side is of the same build, so a message that cannot be
//! read is a failure and ends the process.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Serialize, de::DeserializeOwned};

/// Largest message, in bytes: a flow table of 65,536 flows fits.
const MESSAGE_BYTES_MAX: u32 = 64 << 20;

/// Sends one message.
///
/// # Errors
/// The other side is gone, or the socket is full and not to be waited for.
pub fn send(mut stream: &UnixStream, message: &impl Serialize) -> io::Result<()> {
    let body = postcard::to_stdvec(message).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).ok().filter(|it| *it <= MESSAGE_BYTES_MAX);
    let length = length.ok_or_else(|| io::Error::other("a message between processes is too large"))?;
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend(body);
    stream.write_all(&bytes)
}

/// Waits for one message; `None` when the other side closed the stream.
///
/// # Errors
/// The stream broke, or what came is no message.
pub fn receive<M: DeserializeOwned>(mut stream: &UnixStream) -> io::Result<Option<M>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = u32::from_le_bytes(length);
    if length > MESSAGE_BYTES_MAX {
        return Err(io::Error::other("a message between processes is too large"));
    }
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body)?;
    postcard::from_bytes(&body).map(Some).map_err(io::Error::other)
}

/// Hands `descriptors` over, at most two.
///
/// # Errors
/// The other side is gone, or the system refuses.
pub fn send_descriptors(stream: &UnixStream, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    send_with_descriptors(stream, &[0], descriptors)
}

/// Takes `N` descriptors that the other side hands over.
///
/// # Errors
/// The other side is gone, or hands over another number of them.
pub fn receive_descriptors<const N: usize>(stream: &UnixStream) -> io::Result<[OwnedFd; N]> {
    let handed = receive_with_descriptors::<1>(stream)?.map(|(_, descriptors)| descriptors);
    let handed = handed.unwrap_or_default().try_into();
    handed.map_err(|_| io::Error::other("descriptors were expected and did not come"))
}

/// Sends a few bytes, and hands `descriptors` over with them, at most two.
///
/// # Errors
/// The other side is gone, or the system refuses.
pub fn send_with_descriptors(
    stream: &UnixStream,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    match sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)? {
        sent if sent == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// Waits for `N` bytes that were sent at once, and what was handed over with them; `None` when the other side
/// closed the stream.
///
/// # Errors
/// The stream broke, or fewer bytes came.
pub fn receive_with_descriptors<const N: usize>(
    stream: &UnixStream,
) -> io::Result<Option<([u8; N], Vec<OwnedFd>)>> {
    let mut bytes = [0; N];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(stream, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(handed) = message {
            descriptors.extend(handed);
        }
    }
    match received.bytes {
        0 => Ok(None),
        count if count == N => Ok(Some((bytes, descriptors))),
        _ => Err(io::Error::other("a message between processes was cut")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn messages_arrive_whole_and_in_order() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        for message in ["one", "", "three"] {
            send(&ours, &message).unwrap();
        }
        drop(ours);
        let all: Vec<String> = std::iter::from_fn(|| receive(&theirs).unwrap()).collect();
        assert_eq!(all, ["one", "", "three"]);
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        let cases: [&[u8]; 4] = [&[1], &[255, 255, 255, 255], &[2, 0, 0, 0, 9], &[1, 0, 0, 0, 9]];
        for bytes in cases {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            ours.write_all(bytes).unwrap();
            drop(ours);
            let read = receive::<String>(&theirs);
            assert!(read.is_err() || bytes.len() < 4, "{bytes:?}");
        }
    }

    #[test]
    fn descriptors_work_on_the_other_side() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut end, other_end) = UnixStream::pair().unwrap();
        send_descriptors(&ours, &[other_end.as_fd()]).unwrap();
        drop(other_end);
        let [handed] = receive_descriptors(&theirs).unwrap();
        UnixStream::from(handed).write_all(b"x").unwrap();
        let mut read = [0];
        end.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"x");
        send(&ours, &()).unwrap();
        assert!(receive_descriptors::<1>(&theirs).is_err());
    }

    #[test]
    fn bytes_and_descriptors_come_together_or_not_at_all() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        send_with_descriptors(&ours, &[1, 2], &[ours.as_fd()]).unwrap();
        send_with_descriptors(&ours, &[3, 4], &[]).unwrap();
        let (first, handed) = receive_with_descriptors(&theirs).unwrap().unwrap();
        assert_eq!((first, handed.len()), ([1, 2], 1));
        let (second, none) = receive_with_descriptors(&theirs).unwrap().unwrap();
        assert_eq!((second, none.len()), ([3, 4], 0));
        send_with_descriptors(&ours, &[5], &[]).unwrap();
        assert!(receive_with_descriptors::<2>(&theirs).is_err(), "cut");
        drop((ours, handed));
        assert!(receive_with_descriptors::<2>(&theirs).unwrap().is_none());
    }
}
