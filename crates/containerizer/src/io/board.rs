//! A switchboard: what a container prints goes to everybody who looks, and what one of them types goes in.
//!
//! Whoever looks has a queue of bounded length. While one of them is full the container waits; a viewer that takes
//! nothing for too long is cut off, so that nobody holds a container up for ever. Where there are files, everything is
//! written there first.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::mesos::v1::agent::ProcessIo;
use proto::mesos::v1::agent::process_io::{self, Control, Data, control, data};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::io::logfile::LogFile;
use crate::io::port::Port;

/// Pieces that wait for one viewer.
const QUEUE_MAX: usize = 64;

/// Bytes in one piece.
const PIECE_BYTES: usize = 16 * 1024;

/// Records that wait to go in.
const INPUT_MAX: usize = 16;

/// The switchboard of one container.
#[derive(Debug)]
pub struct Board {
    has_terminal: bool,
    /// The way in, until it is closed.
    stdin: Mutex<Option<Arc<Port>>>,
    /// Whether somebody types.
    is_fed: AtomicBool,
    viewers: Mutex<Vec<Viewer>>,
    /// Told when viewers come and go, and when the container is gone.
    changed: Notify,
    phase: watch::Sender<Phase>,
}

/// How far the output has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nobody has looked yet.
    Waiting,
    Running,
    /// Still to be read, but its container is gone.
    Ending,
    Over,
}

#[derive(Clone, Debug)]
struct Viewer {
    records: mpsc::Sender<ProcessIo>,
    patience: Duration,
    is_cut: Arc<AtomicBool>,
}

/// What somebody sees of a container's output.
#[derive(Debug)]
pub struct View {
    records: mpsc::Receiver<ProcessIo>,
    is_cut: Arc<AtomicBool>,
    /// Told when this goes.
    board: Option<Arc<Board>>,
}

/// The next thing to see.
#[derive(Debug)]
pub enum Next {
    /// Something was printed.
    Record(ProcessIo),
    /// There is no more.
    End,
    /// There is more, and this viewer was too slow for it, or what held the output has died.
    Cut,
}

/// A way in for records.
#[derive(Debug)]
pub struct Feed {
    /// Where they go; dropping it ends the feed. What is full waits for the container.
    pub records: mpsc::Sender<ProcessIo>,
    /// How it ended.
    pub verdict: oneshot::Receiver<Verdict>,
}

/// How a feed ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As its sender wished, or with the container.
    Done,
    /// A record could not be obeyed.
    Refused(String),
    /// Somebody else feeds.
    Busy,
    /// The container does not take it.
    Failed(String),
}

/// Our ends of a container's standard input and output.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) has_terminal: bool,
    pub(crate) stdin: Arc<Port>,
    pub(crate) stdout: Arc<Port>,
    pub(crate) stderr: Option<Port>,
}

/// The files that take everything.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    pub(crate) stdout: Option<LogFile>,
    pub(crate) stderr: Option<LogFile>,
}

impl Board {
    /// A board of which nothing is read yet.
    pub(crate) fn new(has_terminal: bool, stdin: Option<Arc<Port>>) -> Arc<Self> {
        Arc::new(Self {
            has_terminal,
            stdin: Mutex::new(stdin),
            is_fed: AtomicBool::new(false),
            viewers: Mutex::default(),
            changed: Notify::new(),
            phase: watch::Sender::new(Phase::Waiting),
        })
    }

    /// What is typed goes there from now on.
    pub(crate) fn open_input(&self, port: Port) {
        *self.stdin() = Some(Arc::new(port));
    }

    /// Somebody looks from now on. He is cut off once he takes nothing for as long as his `patience`.
    pub(crate) fn view(self: &Arc<Self>, patience: Duration) -> View {
        let (sender, records) = mpsc::channel(QUEUE_MAX);
        let is_cut = Arc::new(AtomicBool::new(false));
        let mut viewers = self.viewers();
        // ORDER: under the viewers' lock, as is the end; whoever comes after that sees an end at once.
        if *self.phase.borrow() != Phase::Over {
            viewers.push(Viewer { records: sender, patience, is_cut: Arc::clone(&is_cut) });
        }
        drop(viewers);
        self.begin();
        self.changed.notify_waiters();
        View { records, is_cut, board: Some(Arc::clone(self)) }
    }

    /// Lets the output flow though nobody looks.
    pub(crate) fn begin(&self) {
        self.phase.send_if_modified(|phase| {
            let waits = *phase == Phase::Waiting;
            if waits {
                *phase = Phase::Running;
            }
            waits
        });
    }

    /// The container is gone: what it has printed is still shown to those who look now, and to nobody else.
    pub(crate) fn end(&self) {
        self.phase.send_if_modified(|phase| {
            let lives = matches!(*phase, Phase::Waiting | Phase::Running);
            if lives {
                *phase = Phase::Ending;
            }
            lives
        });
        self.changed.notify_waiters();
    }

    /// Opens a way in. Its verdict is `Busy` if there is one already.
    pub(crate) fn feed(self: &Arc<Self>) -> Feed {
        let (records, queue) = mpsc::channel(INPUT_MAX);
        let (sender, verdict) = oneshot::channel();
        let board = Arc::clone(self);
        // It ends with its sender or with the board.
        drop(tokio::spawn(async move {
            // Who does not wait for the verdict has gone.
            let _ = sender.send(board.eat(queue).await);
        }));
        Feed { records, verdict }
    }

    /// Copies what the container prints to its files and viewers, until it has closed all of it.
    pub(crate) async fn run(self: Arc<Self>, stdout: Arc<Port>, stderr: Option<Port>, logs: Logs) {
        self.until_begun().await;
        let copied = async {
            let stdout = self.copy(&stdout, data::Type::Stdout, logs.stdout);
            let stderr = async {
                if let Some(stderr) = &stderr {
                    self.copy(stderr, data::Type::Stderr, logs.stderr).await;
                }
            };
            tokio::join!(stdout, stderr);
        };
        tokio::select! {
            () = copied => {}
            () = self.until_nobody_cares() => {}
        }
        self.finish();
    }

    /// Ends the output for everybody who looks, after what waits for him.
    pub(crate) fn finish(&self) {
        let mut viewers = self.viewers();
        self.phase.send_replace(Phase::Over);
        viewers.clear();
    }

    /// Waits until somebody has looked.
    pub(crate) async fn until_begun(&self) {
        // It lives as long as the board.
        let _ = self.phase.subscribe().wait_for(|phase| *phase != Phase::Waiting).await;
    }

    /// Waits until the output is over.
    pub(crate) async fn until_over(&self) {
        // It lives as long as the board.
        let _ = self.phase.subscribe().wait_for(|phase| *phase == Phase::Over).await;
    }

    /// Waits until the container is gone and nobody looks: a process that hides may hold the other end for ever.
    async fn until_nobody_cares(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // ORDER: listened to from here on, so that no change after the look is missed.
            changed.as_mut().enable();
            if *self.phase.borrow() == Phase::Ending {
                let mut viewers = self.viewers();
                viewers.retain(|viewer| !viewer.records.is_closed());
                if viewers.is_empty() {
                    return;
                }
            }
            changed.await;
        }
    }

    async fn copy(&self, from: &Port, kind: data::Type, mut log: Option<LogFile>) {
        let mut buffer = vec![0; PIECE_BYTES];
        // What breaks has ended.
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            if let Some(log) = &mut log {
                log.write(&buffer[..read]);
            }
            self.show(kind, &buffer[..read]).await;
        }
    }

    async fn show(&self, kind: data::Type, bytes: &[u8]) {
        let viewers = self.viewers().clone();
        if viewers.is_empty() {
            return;
        }
        let data = Data { r#type: Some(kind.into()), data: Some(bytes.to_vec().into()) };
        let record = ProcessIo {
            r#type: Some(process_io::Type::Data.into()),
            data: Some(data),
            ..ProcessIo::default()
        };
        for viewer in viewers {
            if viewer.records.send_timeout(record.clone(), viewer.patience).await.is_err() {
                viewer.is_cut.store(true, Ordering::Release);
                self.viewers().retain(|other| !other.records.same_channel(&viewer.records));
            }
        }
    }

    /// Takes records until there are no more, one fails, or the container is over.
    async fn eat(&self, mut records: mpsc::Receiver<ProcessIo>) -> Verdict {
        if self.is_fed.swap(true, Ordering::AcqRel) {
            return Verdict::Busy;
        }
        let eating = async {
            while let Some(record) = records.recv().await {
                if let Err(verdict) = self.take(record).await {
                    return verdict;
                }
            }
            Verdict::Done
        };
        let verdict = tokio::select! {
            verdict = eating => verdict,
            () = self.until_over() => Verdict::Done,
        };
        self.is_fed.store(false, Ordering::Release);
        verdict
    }

    async fn take(&self, record: ProcessIo) -> Result<(), Verdict> {
        match record.r#type() {
            process_io::Type::Control => self.control(record.control.unwrap_or_default()),
            process_io::Type::Data => {
                let bytes = record.data.and_then(|data| data.data).unwrap_or_default();
                self.type_in(&bytes)
                    .await
                    .map_err(|error| Verdict::Failed(format!("Failed writing to stdin: {error}")))
            }
            process_io::Type::Unknown => Ok(()),
        }
    }

    fn control(&self, control: Control) -> Result<(), Verdict> {
        match control.r#type() {
            control::Type::TtyInfo => {
                let size = control.tty_info.and_then(|info| info.window_size).unwrap_or_default();
                let stdin = self.stdin();
                let stdin = stdin.as_ref().ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe));
                let set = stdin.and_then(|stdin| linux::set_window_size(stdin, size.rows, size.columns));
                set.map_err(|error| Verdict::Refused(format!("Unable to set the window size: {error}")))
            }
            control::Type::Heartbeat | control::Type::Unknown => Ok(()),
        }
    }

    async fn type_in(&self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            // A terminal has a character for this.
            if !self.has_terminal {
                self.stdin().take();
            }
            return Ok(());
        }
        let stdin = self.stdin().clone();
        stdin.ok_or_else(|| io::Error::other("it was closed before"))?.write_all(bytes).await
    }

    #[cfg(test)]
    pub(crate) fn viewer_count(&self) -> usize {
        self.viewers().len()
    }

    fn stdin(&self) -> MutexGuard<'_, Option<Arc<Port>>> {
        // Nothing is left half done under this lock.
        self.stdin.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn viewers(&self) -> MutexGuard<'_, Vec<Viewer>> {
        // Nothing is left half done under this lock.
        self.viewers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ports {
    /// The board of these, whose output is copied from when somebody looks, and the copying.
    pub(crate) fn board(self, logs: Logs) -> (Arc<Board>, impl Future<Output = ()> + Send + 'static) {
        let board = Board::new(self.has_terminal, Some(self.stdin));
        let running = Arc::clone(&board).run(self.stdout, self.stderr, logs);
        (board, running)
    }
}

impl View {
    /// What comes through a channel of somebody else's; `is_cut` says what its end means.
    pub(crate) fn of(records: mpsc::Receiver<ProcessIo>, is_cut: Arc<AtomicBool>) -> Self {
        Self { records, is_cut, board: None }
    }

    /// Waits for more.
    pub async fn next(&mut self) -> Next {
        match self.records.recv().await {
            Some(record) => Next::Record(record),
            None if self.is_cut.load(Ordering::Acquire) => Next::Cut,
            None => Next::End,
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.records.close();
        if let Some(board) = &self.board {
            board.changed.notify_waiters();
        }
    }
}
