//! Open files on their way to a worker: a byte over the socket, with the descriptor beside it (`SCM_RIGHTS`).
//!
//! A worker opens no files itself. What it gets so it can read and nothing else, if it was opened for reading.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

/// Descriptors travel beside data, and never alone.
const MARK: u8 = b'F';

/// Sends an open file.
pub(super) fn send(socket: &UnixStream, file: &File) -> io::Result<()> {
    let files = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !beside.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::Error::other("there is no room for a file's descriptor"));
    }
    loop {
        match sendmsg(socket, &[IoSlice::new(&[MARK])], &mut beside, SendFlags::NOSIGNAL) {
            Ok(1) => return Ok(()),
            Ok(_) => return Err(ErrorKind::WriteZero.into()),
            Err(error) if error == rustix::io::Errno::INTR => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Receives an open file. Nothing else is open afterwards, whatever came.
pub(super) fn receive(socket: &UnixStream) -> io::Result<File> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut mark = [0];
    let received = loop {
        match recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut mark)],
            &mut beside,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            Ok(received) => break received,
            Err(error) if error == rustix::io::Errno::INTR => {}
            Err(error) => return Err(error.into()),
        }
    };
    if received.bytes == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    // All are taken out of the buffer, so that all but the one that is kept are closed.
    let mut files = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            files.extend(descriptors.map(File::from));
        }
    }
    match (mark, files.pop()) {
        ([MARK], Some(file)) if files.is_empty() => Ok(file),
        _ => Err(ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};

    use super::*;

    #[test]
    fn a_file_arrives_between_other_bytes() {
        let (mut here, mut there) = UnixStream::pair().expect("a pair of sockets");
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(b"content").expect("it can be written");
        file.rewind().expect("it can be sought in");
        here.write_all(b"before").expect("there is room");
        send(&here, &file).expect("there is room");
        here.write_all(b"after").expect("there is room");
        drop((file, here));

        let mut before = [0; 6];
        there.read_exact(&mut before).expect("it was sent");
        let mut content = String::new();
        let mut received = receive(&there).expect("it was sent");
        received.read_to_string(&mut content).expect("it is open for reading");
        let mut after = String::new();
        there.read_to_string(&mut after).expect("it was sent");
        assert_eq!(
            (&before, content.as_str(), after.as_str()),
            (b"before", "content", "after")
        );
    }

    #[test]
    fn bytes_alone_are_no_file() {
        let (mut here, there) = UnixStream::pair().expect("a pair of sockets");
        here.write_all(b"F").expect("there is room");
        assert_eq!(receive(&there).expect_err("no file").kind(), ErrorKind::InvalidData);
        drop(here);
        assert_eq!(receive(&there).expect_err("no end").kind(), ErrorKind::UnexpectedEof);
    }
}
