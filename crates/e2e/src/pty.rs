//! A program at a terminal of its own, as somebody would sit there: keys in, whatever appears out.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::eventually;

const PATIENCE: Duration = Duration::from_secs(30);

/// A program at a terminal. Dropping it kills the program.
#[derive(Debug)]
pub struct Pty {
    inner: File,
    outer: File,
    child: Child,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Pty {
    /// Starts a program, which the terminal controls.
    pub fn start(command: &Command, rows: u16, columns: u16) -> anyhow::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let inner = openpt(flags)?;
        grantpt(&inner)?;
        unlockpt(&inner)?;
        let outer = File::from(ioctl_tiocgptpeer(&inner, flags)?);
        tcsetwinsize(&inner, size(rows, columns))?;
        // It begins a session and takes the terminal before it is the program.
        let child = Command::new("setsid")
            .args(["--ctty", "--wait"])
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::from(outer.try_clone()?))
            .stdout(Stdio::from(outer.try_clone()?))
            .stderr(Stdio::from(outer.try_clone()?))
            .spawn()
            .context("setsid of util-linux")?;
        let inner = File::from(inner);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, seen) = (inner.try_clone()?, Arc::clone(&shown));
        // It ends with the terminal.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                seen.lock().unwrap_or_else(PoisonError::into_inner).extend(&buffer[..read]);
            }
        });
        Ok(Self { inner, outer, child, shown })
    }

    /// Presses keys.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn press(&mut self, keys: &str) {
        self.inner.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Makes the window another size.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn resize(&self, rows: u16, columns: u16) {
        tcsetwinsize(&self.inner, size(rows, columns)).expect("the terminal has a size");
    }

    /// The settings of the terminal.
    ///
    /// # Panics
    /// When the terminal is gone.
    #[must_use]
    pub fn settings(&self) -> Termios {
        tcgetattr(&self.outer).expect("the terminal has settings")
    }

    /// All that appeared so far.
    #[must_use]
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Waits until this has appeared.
    ///
    /// # Panics
    /// When it does not in time.
    #[track_caller]
    pub fn until(&self, text: &str) {
        let began = std::time::Instant::now();
        while !self.shown().contains(text) {
            assert!(began.elapsed() < PATIENCE, "{text:?} does not appear: {:?}", self.shown());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the program has ended.
    ///
    /// # Panics
    /// When it does not in time.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let shown = self.shown();
        eventually(&format!("it ends after {shown:?}"), PATIENCE, || self.child.try_wait().ok().flatten())
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
