//! What an agent and the I/O helper of a container say to each other: records over a stream of the machine.
//!
//! ```text
//! "output" ->              <- ProcessIO, ..., an empty record: all of it was shown
//! "input", ProcessIO, ..., half-close ->      <- the verdict: "200", "400 why", "409 why", "500 why"
//! ```
//! Either may be of another version than the other one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use proto::mesos::v1::agent::ProcessIo;
use proto::recordio::{self, Decoder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::io::board::{Board, Feed, Next, Verdict, View};

const OUTPUT: &[u8] = b"output";
const INPUT: &[u8] = b"input";

/// A larger record is refused. What people type is small; what programs pipe in comes in pieces.
pub(crate) const RECORD_MAX: usize = 4 * 1024 * 1024;

/// Records that wait between the two.
const QUEUE_MAX: usize = 16;

/// How long either takes to say what it wants, or how it ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// A viewer that takes nothing for so long is cut off.
pub(crate) const VIEWER_PATIENCE: Duration = Duration::from_secs(10);

/// Records that come.
struct Incoming {
    half: OwnedReadHalf,
    decoder: Decoder,
}

impl Incoming {
    fn new(half: OwnedReadHalf) -> Self {
        Self { half, decoder: Decoder::new(RECORD_MAX) }
    }

    /// The next one, none at the end. Dropped half way it loses nothing.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(record) = self.decoder.next_record().map_err(io::Error::other)? {
                return Ok(Some(record));
            }
            match self.half.read(&mut buffer).await? {
                0 => return Ok(None),
                read => self.decoder.feed(&buffer[..read]),
            }
        }
    }
}

async fn send(half: &mut OwnedWriteHalf, record: &[u8]) -> io::Result<()> {
    half.write_all(&recordio::record(record)).await
}

/// Looks at the output of the helper's container.
pub(crate) async fn view(stream: UnixStream) -> io::Result<View> {
    let (read, mut write) = stream.into_split();
    send(&mut write, OUTPUT).await?;
    let (sender, records) = mpsc::channel(QUEUE_MAX);
    let is_cut = Arc::new(AtomicBool::new(false));
    let view = View::of(records, Arc::clone(&is_cut));
    // It ends with its reader or with the helper.
    drop(tokio::spawn(async move {
        let mut incoming = Incoming::new(read);
        let complete = tokio::select! {
            complete = carry(&mut incoming, &sender) => complete,
            () = sender.closed() => true,
        };
        is_cut.store(!complete, Ordering::Release);
        drop((sender, write));
    }));
    Ok(view)
}

/// Carries what comes until the end. Whether that was the end of all of it.
async fn carry(incoming: &mut Incoming, to: &mpsc::Sender<ProcessIo>) -> bool {
    while let Ok(Some(record)) = incoming.next().await {
        if record.is_empty() {
            return true;
        }
        let Ok(record) = ProcessIo::decode(record) else { return false };
        if to.send(record).await.is_err() {
            return true;
        }
    }
    false
}

/// Opens a way into the helper's container.
pub(crate) async fn feed(stream: UnixStream) -> io::Result<Feed> {
    let (read, mut write) = stream.into_split();
    send(&mut write, INPUT).await?;
    let (records, mut queue) = mpsc::channel::<ProcessIo>(QUEUE_MAX);
    let (mut outcome, ended) = oneshot::channel();
    // It ends with its sender or with the helper.
    drop(tokio::spawn(async move {
        let mut incoming = Incoming::new(read);
        let sending = async {
            while let Some(record) = queue.recv().await {
                if send(&mut write, &record.encode_to_vec()).await.is_err() {
                    break;
                }
            }
            // What is gone already needs no end.
            let _ = write.shutdown().await;
        };
        let all_sent = async {
            sending.await;
            // The verdict is still to come.
            std::future::pending::<()>().await;
        };
        let verdict = tokio::select! {
            verdict = verdict(&mut incoming) => verdict,
            () = all_sent => return,
            () = outcome.closed() => return,
        };
        // Who does not wait for it has gone.
        let _ = outcome.send(verdict);
    }));
    Ok(Feed { records, verdict: ended })
}

async fn verdict(incoming: &mut Incoming) -> Verdict {
    let gone = || Verdict::Failed("I/O switchboard has shutdown".to_owned());
    let Ok(Some(record)) = incoming.next().await else { return gone() };
    let text = String::from_utf8_lossy(&record);
    let (code, why) = text.split_once(' ').unwrap_or((&text, ""));
    match code {
        "200" => Verdict::Done,
        "400" => Verdict::Refused(why.to_owned()),
        "409" => Verdict::Busy,
        _ => Verdict::Failed(why.to_owned()),
    }
}

fn line(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Done => "200".to_owned(),
        Verdict::Refused(why) => format!("400 {why}"),
        Verdict::Busy => "409 busy".to_owned(),
        Verdict::Failed(why) => format!("500 {why}"),
    }
}

/// Serves one who came to the helper.
pub(crate) async fn serve(board: Arc<Board>, stream: UnixStream) {
    let (read, write) = stream.into_split();
    let mut incoming = Incoming::new(read);
    let Ok(Ok(Some(wish))) = timeout(PATIENCE, incoming.next()).await else { return };
    if wish == OUTPUT {
        show(&board, &mut incoming, write).await;
    } else if wish == INPUT {
        take(&board, incoming, write).await;
    }
}

async fn show(board: &Arc<Board>, incoming: &mut Incoming, mut write: OwnedWriteHalf) {
    let mut view = board.view(VIEWER_PATIENCE);
    let showing = async {
        loop {
            let sent = match view.next().await {
                Next::Record(record) => send(&mut write, &record.encode_to_vec()).await,
                Next::End => return drop(send(&mut write, b"").await),
                Next::Cut => return,
            };
            if sent.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = showing => {}
        // It says nothing more but that it goes.
        _ = incoming.next() => {}
    }
}

async fn take(board: &Arc<Board>, mut incoming: Incoming, mut write: OwnedWriteHalf) {
    let Feed { records, mut verdict } = board.feed();
    let feeding = async move {
        loop {
            let record = match incoming.next().await {
                Ok(Some(record)) => record,
                Ok(None) => return None,
                Err(error) => return Some(Verdict::Refused(error.to_string())),
            };
            let Ok(record) = ProcessIo::decode(record) else {
                return Some(Verdict::Refused("a record is no ProcessIO".to_owned()));
            };
            if records.send(record).await.is_err() {
                // The verdict says why.
                std::future::pending::<()>().await;
            }
        }
    };
    let ended = |ended: Result<Verdict, _>| {
        ended.unwrap_or_else(|_: oneshot::error::RecvError| Verdict::Failed("the board is gone".to_owned()))
    };
    let early = tokio::select! {
        given = &mut verdict => Some(ended(given)),
        refusal = feeding => refusal,
    };
    let verdict = match early {
        Some(verdict) => verdict,
        // ORDER: the sender is dropped by now, so that this comes once all of it was taken.
        None => ended(verdict.await),
    };
    // Who does not wait for it has gone.
    let _ = send(&mut write, line(&verdict).as_bytes()).await;
}

#[cfg(test)]
mod tests {
    use proto::mesos::v1::agent::process_io::{Data, Type, data};
    use rustix::io::read;

    use super::*;
    use crate::io::board::{Logs, Ports};
    use crate::io::port::Port;

    struct World {
        board: Arc<Board>,
        program_stdin: io::PipeReader,
        program_stdout: io::PipeWriter,
    }

    fn world() -> World {
        let (program_stdin, stdin) = io::pipe().unwrap();
        let (stdout, program_stdout) = io::pipe().unwrap();
        let port = |fd: std::os::fd::OwnedFd| Arc::new(Port::new(fd).unwrap());
        let ports = Ports {
            has_terminal: false,
            stdin: port(stdin.into()),
            stdout: port(stdout.into()),
            stderr: None,
        };
        let (board, running) = ports.board(Logs::default());
        tokio::spawn(running);
        World { board, program_stdin, program_stdout }
    }

    fn connect(board: &Arc<Board>) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        tokio::spawn(serve(Arc::clone(board), theirs));
        ours
    }

    fn typed(text: &str) -> ProcessIo {
        let data = Data { r#type: Some(data::Type::Stdin.into()), data: Some(text.to_owned().into()) };
        ProcessIo { r#type: Some(Type::Data.into()), data: Some(data), ..ProcessIo::default() }
    }

    #[tokio::test]
    async fn two_look_and_one_types() {
        let world = world();
        let mut views = Vec::new();
        for _ in 0..2 {
            views.push(view(connect(&world.board)).await.unwrap());
        }
        // Both have been noticed once what they see comes.
        while world.board.viewer_count() < 2 {
            tokio::task::yield_now().await;
        }
        let first = feed(connect(&world.board)).await.unwrap();
        first.records.send(typed("words")).await.unwrap();
        let stdin = world.program_stdin;
        let got = tokio::task::spawn_blocking(move || {
            let mut buffer = [0; 16];
            let got = read(&stdin, &mut buffer).unwrap();
            (stdin, buffer[..got].to_vec())
        });
        let (stdin, got) = got.await.unwrap();
        assert_eq!(got, b"words");
        let second = feed(connect(&world.board)).await.unwrap();
        assert_eq!(second.verdict.await.unwrap(), Verdict::Busy);
        // An empty piece closes it; what comes after that cannot be taken.
        first.records.send(typed("")).await.unwrap();
        let ended = tokio::task::spawn_blocking(move || read(&stdin, &mut [0; 1]).unwrap());
        assert_eq!(ended.await.unwrap(), 0);
        first.records.send(typed("late")).await.unwrap();
        let late = first.verdict.await.unwrap();
        assert_eq!(late, Verdict::Failed("Failed writing to stdin: it was closed before".to_owned()));
        let third = feed(connect(&world.board)).await.unwrap();
        drop(third.records);
        assert_eq!(third.verdict.await.unwrap(), Verdict::Done);
        rustix::io::write(&world.program_stdout, b"printed").unwrap();
        drop(world.program_stdout);
        for mut view in views {
            let Next::Record(record) = view.next().await else { panic!("a record") };
            assert_eq!(record.data.unwrap().data.unwrap(), "printed");
            assert!(matches!(view.next().await, Next::End));
        }
        // Who comes later sees the end.
        let mut late = view(connect(&world.board)).await.unwrap();
        assert!(matches!(late.next().await, Next::End));
    }

    #[tokio::test]
    async fn who_does_not_look_any_more_is_cut_off() {
        let world = world();
        let mut slow = world.board.view(Duration::from_millis(100));
        let printing = tokio::task::spawn_blocking(move || {
            for _ in 0..200 {
                rustix::io::write(&world.program_stdout, &[b'x'; 16 * 1024]).unwrap();
            }
        });
        printing.await.unwrap();
        world.board.until_over().await;
        let mut seen = 0;
        let ended = loop {
            match slow.next().await {
                Next::Record(_) => seen += 1,
                end => break end,
            }
        };
        assert!(matches!(ended, Next::Cut));
        assert!((64..200).contains(&seen), "{seen}");
    }

    #[tokio::test]
    async fn what_is_no_record_is_refused() {
        let world = world();
        let mut stream = connect(&world.board);
        stream.write_all(b"5\ninput5\n\xff\xff\xff\xff\xff").await.unwrap();
        let (read, _write) = stream.into_split();
        let answer = verdict(&mut Incoming::new(read)).await;
        assert_eq!(answer, Verdict::Refused("a record is no ProcessIO".to_owned()));
        let mut stream = connect(&world.board);
        stream.write_all(b"5\ninput99999999999\n").await.unwrap();
        let (read, _write) = stream.into_split();
        let Verdict::Refused(why) = verdict(&mut Incoming::new(read)).await else { panic!("a refusal") };
        assert!(why.contains("99999999999"), "{why}");
        // What asks for nothing known is sent away.
        let mut stream = connect(&world.board);
        stream.write_all(b"4\nwhat").await.unwrap();
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
    }
}
