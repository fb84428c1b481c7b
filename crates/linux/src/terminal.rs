//! Pseudo terminals: a pair of them, their size, and who is controlled by one.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Gid, Uid, fchown};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Both ends of a pseudo terminal.
#[derive(Debug)]
pub struct Terminal {
    /// The end of whoever types and reads.
    pub inner: OwnedFd,
    /// The end of the programs.
    pub outer: OwnedFd,
    /// The path of the programs' end, where this process sees it.
    pub path: String,
}

impl Terminal {
    /// Opens a new pair. Neither end becomes the terminal of this process.
    pub fn open() -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let inner = openpt(flags)?;
        grantpt(&inner)?;
        unlockpt(&inner)?;
        let path = ptsname(&inner, Vec::new())?.to_string_lossy().into_owned();
        // By way of the other end, since the path may be another one's by now.
        let outer = ioctl_tiocgptpeer(&inner, flags)?;
        Ok(Self { inner, outer, path })
    }

    /// Gives the programs' end to a user.
    pub fn give_to(&self, uid: u32) -> io::Result<()> {
        Ok(fchown(&self.outer, Some(Uid::from_raw(uid)), None::<Gid>)?)
    }
}

/// Sets how many rows and columns a terminal has; its programs are told by SIGWINCH.
pub fn set_window_size(terminal: impl AsFd, rows: u32, columns: u32) -> io::Result<()> {
    let cells = |number: u32| u16::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let size = Winsize { ws_row: cells(rows)?, ws_col: cells(columns)?, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(terminal, size)?)
}

/// Makes a terminal the one that controls this process and those that it starts. It must lead a session, and the
/// terminal must control no other.
pub fn take_terminal(terminal: impl AsFd) -> io::Result<()> {
    Ok(rustix::process::ioctl_tiocsctty(terminal)?)
}

#[cfg(test)]
mod tests {
    use rustix::termios::tcgetwinsize;

    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let terminal = Terminal::open().unwrap();
        assert!(terminal.path.starts_with("/dev/pts/"), "{}", terminal.path);
        rustix::io::write(&terminal.outer, b"words\n").unwrap();
        let mut buffer = [0; 16];
        let read = rustix::io::read(&terminal.inner, &mut buffer).unwrap();
        assert_eq!(&buffer[..read], b"words\r\n");
        set_window_size(&terminal.inner, 7, 70).unwrap();
        let size = tcgetwinsize(&terminal.outer).unwrap();
        assert_eq!((size.ws_row, size.ws_col), (7, 70));
        assert!(set_window_size(&terminal.inner, 70_000, 1).is_err());
        let (reader, _writer) = io::pipe().unwrap();
        assert!(set_window_size(&reader, 1, 1).is_err());
    }
}
