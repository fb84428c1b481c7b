//! Programs of others that are called for containers, and are not waited for without end.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

/// The most that is read of what a program prints; a longer word is cut.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

/// How a call of a program ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Outcome {
    /// What it printed, in the words of Mesos.
    pub(crate) fn words(&self) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        format!("stdout='{}', stderr='{}'", text(&self.stdout), text(&self.stderr))
    }
}

/// Calls a program. One that does not end in time is killed, with all that it started in its process group. `what`: the
/// order that it was given.
pub(crate) async fn call(command: &mut Command, what: &str, patience: Duration) -> Result<Outcome, String> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let all = async { tokio::join!(read(stdout), read(stderr), child.wait()) };
    let Ok((stdout, stderr, status)) = tokio::time::timeout(patience, all).await else {
        return Err(format!("'{what}' did not end within {} s", patience.as_secs_f64()));
    };
    // What it leaves in the background, with its outputs closed, is its own business.
    group.0 = None;
    let status = status.map_err(|error| error.to_string())?;
    Ok(Outcome { status, stdout, stderr })
}

/// Reads to the end, and keeps the beginning.
async fn read(source: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut source) = source else { return kept };
    // What cannot be read is missing from a message, or makes a result that is none.
    let _ = (&mut source).take(OUTPUT_BYTES_MAX).read_to_end(&mut kept).await;
    let _ = tokio::io::copy(&mut source, &mut tokio::io::sink()).await;
    kept
}

/// Kills a program that did not end.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended at this moment.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
