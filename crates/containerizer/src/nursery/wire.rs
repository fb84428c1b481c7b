//! What agent and nursery say to each other: a packet each way for each helper.

use std::ffi::{OsStr, OsString};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use linux::{Namespaces, Spawned};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use super::Wanted;

/// The longest request. A longer command line, of a seccomp profile perhaps, goes the other way.
pub(super) const REQUEST_BYTES: usize = 64 * 1024;

/// Standard input, output and error, and a cgroup.
const DESCRIPTORS_MAX: usize = 4;

/// A request, as the nursery finds it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) argv: Vec<OsString>,
    pub(super) namespaces: Namespaces,
    pub(super) stdio: [OwnedFd; 3],
    pub(super) cgroup: Option<OwnedFd>,
}

/// Whether the command line can be asked for.
pub(super) fn fits(argv: &[OsString]) -> bool {
    // An argument with a NUL is for an exec to refuse.
    argv.iter().map(|argument| argument.len() + 1).sum::<usize>() < REQUEST_BYTES
        && !argv.iter().any(|argument| argument.as_bytes().contains(&0))
}

/// A byte for the namespaces, and the arguments, each with a NUL behind it.
pub(super) fn request(wanted: &Wanted<'_>) -> Vec<u8> {
    let mut body = vec![to_bits(wanted.namespaces)];
    for argument in wanted.argv {
        body.extend_from_slice(argument.as_bytes());
        body.push(0);
    }
    body
}

/// Reads a request. None if it is none.
pub(super) fn parse(body: &[u8], descriptors: Vec<OwnedFd>) -> Option<Request> {
    let (bits, arguments) = body.split_first()?;
    let arguments = arguments.strip_suffix(&[0])?;
    let argv = arguments.split(|byte| *byte == 0).map(|it| OsStr::from_bytes(it).to_owned()).collect();
    let mut descriptors = descriptors.into_iter();
    let stdio = [descriptors.next()?, descriptors.next()?, descriptors.next()?];
    Some(Request { argv, namespaces: from_bits(*bits), stdio, cgroup: descriptors.next() })
}

fn to_bits(namespaces: Namespaces) -> u8 {
    let Namespaces { pid, ipc, mount, network, uts } = namespaces;
    [pid, ipc, mount, network, uts].iter().fold(0, |bits, set| bits << 1 | u8::from(*set))
}

fn from_bits(bits: u8) -> Namespaces {
    let [pid, ipc, mount, network, uts] = [4, 3, 2, 1, 0].map(|at| bits >> at & 1 == 1);
    Namespaces { pid, ipc, mount, network, uts }
}

/// Sends a packet with descriptors.
pub(super) fn send(socket: BorrowedFd<'_>, body: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    sendmsg(socket, &[IoSlice::new(body)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives a packet with descriptors into `body`. Its length: 0 at the end.
pub(super) fn receive(socket: BorrowedFd<'_>, body: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match recvmsg(socket, &mut [IoSliceMut::new(body)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            outcome => break outcome?,
        }
    };
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(found) = message {
            descriptors.extend(found);
        }
    }
    Ok((received.bytes, descriptors))
}

/// The nursery's answer: a pid and its handle, or the errno of the fork.
pub(super) fn answer(socket: BorrowedFd<'_>, forked: &io::Result<Spawned>) -> io::Result<()> {
    use std::os::fd::AsFd as _;
    match forked {
        Ok(spawned) => send(socket, &spawned.pid.to_ne_bytes(), &[spawned.pidfd.as_fd()]),
        Err(error) => send(socket, &error.raw_os_error().unwrap_or_default().to_ne_bytes(), &[]),
    }
}

/// Reads it. An error is that nothing, or no answer, came.
pub(super) fn receive_answer(socket: BorrowedFd<'_>) -> io::Result<io::Result<Spawned>> {
    let mut body = [0; 4];
    let (bytes, mut descriptors) = receive(socket, &mut body)?;
    if bytes != body.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(match descriptors.pop() {
        Some(pidfd) => Ok(Spawned { pid: u32::from_ne_bytes(body), pidfd }),
        None => Err(io::Error::from_raw_os_error(i32::from_ne_bytes(body))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_survive() {
        for bits in 0..32 {
            assert_eq!(to_bits(from_bits(bits)), bits);
        }
        assert!(from_bits(0b1_0000).pid && from_bits(1).uts);
    }

    #[test]
    fn what_is_no_request_is_none() {
        assert!(parse(b"", Vec::new()).is_none());
        assert!(parse(b"\x01a\0b\0", Vec::new()).is_none());
        assert!(!fits(&["a\0b".into()]) && !fits(&["x".repeat(REQUEST_BYTES).into()]));
        assert!(fits(&["mesos".into(), "".into()]));
    }
}
