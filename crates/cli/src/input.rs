//! What is typed here, on its way into a container: keys, the window's size, signs of life.

use std::io;
use std::time::Duration;

use anyhow::bail;
use bytes::Bytes;
use http::{Answer, Call as Request, ClientError, ClientLimits, upload};
use prost::Message as _;
use proto::mesos::v1::agent::call::{AttachContainerInput, Type, attach_container_input};
use proto::mesos::v1::agent::process_io::{self, Control, Data, control, data};
use proto::mesos::v1::agent::{Call, ProcessIo};
use proto::mesos::v1::tty_info::WindowSize;
use proto::mesos::v1::{ContainerId, DurationInfo, TtyInfo};
use proto::recordio;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::terminal::window_size;

/// COMPAT(mesos): how often a sign of life is sent.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// COMPAT(mesos): Ctrl-P and Ctrl-Q end an attachment.
const DETACH: [u8; 2] = [0x10, 0x11];

/// Pieces that wait for the agent.
const QUEUE_MAX: usize = 16;

/// Bytes of one piece.
const PIECE_BYTES: usize = 4096;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Typed {
    /// What is typed; otherwise the container finds the end of its input, unless it has a terminal.
    pub(crate) stdin: bool,
    /// The size of the window, and its changes.
    pub(crate) window: bool,
    /// Whether what runs there shall draw its screen anew.
    pub(crate) redraw: bool,
}

/// The way in.
pub(crate) struct Input {
    tasks: JoinSet<Result<Answer, ClientError>>,
    detached: Option<oneshot::Receiver<()>>,
    /// Ends with this.
    _senders: JoinSet<()>,
}

impl Input {
    /// No way in.
    pub(crate) fn none() -> Self {
        Self { tasks: JoinSet::new(), detached: None, _senders: JoinSet::new() }
    }

    /// Opens a way into the container.
    pub(crate) fn start(address: &str, container: &ContainerId, typed: Typed) -> anyhow::Result<Self> {
        let (pieces, queue) = mpsc::channel(QUEUE_MAX);
        let (mut tasks, mut senders) = (JoinSet::new(), JoinSet::new());
        let request = Request::post("/api/v1", "application/recordio", Bytes::new())
            .header("message-content-type", "application/x-protobuf")
            .header("accept", "application/x-protobuf");
        let address = address.to_owned();
        tasks.spawn(async move { upload(&address, &request, queue, &ClientLimits::default()).await });
        let first = AttachContainerInput {
            r#type: Some(attach_container_input::Type::ContainerId.into()),
            container_id: Some(container.clone()),
            ..AttachContainerInput::default()
        };
        let mut begin = vec![record(first)];
        if typed.window {
            let none = typed.redraw.then_some(WindowSize { rows: 0, columns: 0 });
            begin.extend(none.into_iter().chain(window_size()).map(resized));
        }
        if !typed.stdin && !typed.window {
            begin.push(pressed(b""));
        }
        let mut changes = signal(SignalKind::window_change())?;
        let beats = pieces.clone();
        let (begun, ready) = oneshot::channel();
        let (keys, mut keys_over) = oneshot::channel::<()>();
        senders.spawn(async move {
            for piece in begin {
                // An agent that takes no more says why in its answer.
                let _ = beats.send(piece).await;
            }
            // Who reads the keys may have gone.
            let _ = begun.send(());
            loop {
                let piece = tokio::select! {
                    // Who may change the window's size later keeps the way open.
                    _ = &mut keys_over, if !typed.window => return,
                    () = tokio::time::sleep(HEARTBEAT) => Some(alive()),
                    _ = changes.recv() => window_size().filter(|_| typed.window).map(resized),
                    () = beats.closed() => return,
                };
                if let Some(piece) = piece
                    && beats.send(piece).await.is_err()
                {
                    return;
                }
            }
        });
        let mut reader = None;
        if typed.stdin {
            let (detach, detached) = oneshot::channel();
            reader = Some(detached);
            // It waits for a key, which nothing can interrupt; the process ends without it.
            std::thread::spawn(move || {
                // ORDER: keys come after the record that says where they go.
                if ready.blocking_recv().is_ok() && read_keys(&pieces, typed.window) {
                    // Nobody is there any more otherwise.
                    let _ = detach.send(());
                }
                drop(keys);
            });
        }
        Ok(Self { tasks, detached: reader, _senders: senders })
    }

    /// Waits until somebody has had enough; for ever if nobody has. An error is why the agent takes nothing.
    pub(crate) async fn until_detached(&mut self) -> anyhow::Result<()> {
        loop {
            let detached = async {
                match &mut self.detached {
                    Some(detached) => detached.await.is_ok(),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                detached = detached => match detached {
                    true => return Ok(()),
                    // The keys are over.
                    false => self.detached = None,
                },
                Some(answer) = self.tasks.join_next() => match answer? {
                    // COMPAT(mesos): what has ended meanwhile answers so, and shows what it printed.
                    Ok(answer) if answer.status.is_success() || answer.status.as_u16() == 500 => {}
                    Ok(answer) => bail!("the agent answered {}: {}", answer.status, answer.text()),
                    Err(error) => bail!("the input broke: {}", error.in_full()),
                },
            }
        }
    }
}

/// Sends what is typed until the end of it. Whether that was somebody who has had enough.
fn read_keys(to: &mpsc::Sender<Bytes>, may_detach: bool) -> bool {
    let mut buffer = [0; PIECE_BYTES];
    let mut held = false;
    loop {
        let read = match rustix::io::read(io::stdin(), &mut buffer) {
            Ok(read) => read,
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => 0,
        };
        if read == 0 {
            // Whoever does not take it has gone.
            let _ = to.blocking_send(pressed(b""));
            return false;
        }
        let (keys, detaches) = match may_detach {
            true => keys(&buffer[..read], &mut held),
            false => (buffer[..read].to_vec(), false),
        };
        if !keys.is_empty() && to.blocking_send(pressed(&keys)).is_err() {
            return false;
        }
        if detaches {
            return true;
        }
    }
}

/// What of the typed keys is to be sent, and whether what ends an attachment follows. A Ctrl-P at the end is `held` back
/// until the next key is known.
fn keys(typed: &[u8], held: &mut bool) -> (Vec<u8>, bool) {
    let mut all = Vec::with_capacity(typed.len() + 1);
    all.extend(std::mem::take(held).then_some(DETACH[0]));
    all.extend(typed);
    if let Some(at) = all.windows(2).position(|pair| pair == DETACH) {
        all.truncate(at);
        return (all, true);
    }
    *held = all.last() == Some(&DETACH[0]);
    if *held {
        all.pop();
    }
    (all, false)
}

fn record(attach: AttachContainerInput) -> Bytes {
    let call = Call {
        r#type: Some(Type::AttachContainerInput.into()),
        attach_container_input: Some(attach),
        ..Call::default()
    };
    recordio::record(&call.encode_to_vec())
}

fn process_io(io: ProcessIo) -> Bytes {
    record(AttachContainerInput {
        r#type: Some(attach_container_input::Type::ProcessIo.into()),
        process_io: Some(io),
        ..AttachContainerInput::default()
    })
}

/// Keys; none of them is the end.
fn pressed(keys: &[u8]) -> Bytes {
    let data = Data { r#type: Some(data::Type::Stdin.into()), data: Some(keys.to_vec().into()) };
    process_io(ProcessIo {
        r#type: Some(process_io::Type::Data.into()),
        data: Some(data),
        ..ProcessIo::default()
    })
}

fn controlled(control: Control) -> Bytes {
    process_io(ProcessIo {
        r#type: Some(process_io::Type::Control.into()),
        control: Some(control),
        ..ProcessIo::default()
    })
}

fn resized(size: WindowSize) -> Bytes {
    controlled(Control {
        r#type: Some(control::Type::TtyInfo.into()),
        tty_info: Some(TtyInfo { window_size: Some(size) }),
        ..Control::default()
    })
}

fn alive() -> Bytes {
    let nanoseconds = i64::try_from(HEARTBEAT.as_nanos()).unwrap_or(i64::MAX);
    controlled(Control {
        r#type: Some(control::Type::Heartbeat.into()),
        heartbeat: Some(control::Heartbeat { interval: Some(DurationInfo { nanoseconds }) }),
        ..Control::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_end_an_attachment() {
        let mut held = false;
        let mut check = |typed: &[u8], sent: &[u8], ends: bool| {
            assert_eq!(keys(typed, &mut held), (sent.to_vec(), ends), "{typed:?}");
        };
        check(b"ls\n", b"ls\n", false);
        check(b"a\x10b", b"a\x10b", false);
        check(b"a\x10", b"a", false);
        check(b"b", b"\x10b", false);
        check(b"\x10", b"", false);
        check(b"\x10", b"\x10", false);
        check(b"\x11rest", b"", true);
        check(b"before\x10\x11after", b"before", true);
    }
}
