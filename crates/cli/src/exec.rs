//! `mesos task exec` and `mesos task attach`: a command in a task's container, or the task itself, at this terminal.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use anyhow::{Context as _, bail};
use http::{Call as Request, Client, ClientError, Events};
use prost::Message as _;
use proto::mesos::v1::agent::call::{
    AttachContainerOutput, LaunchNestedContainerSession, RemoveContainer, Type, WaitContainer,
};
use proto::mesos::v1::agent::process_io::data;
use proto::mesos::v1::agent::{Call, ProcessIo};
use proto::mesos::v1::{CommandInfo, ContainerId, ContainerInfo, Task, TtyInfo, container_info};

use crate::api::Operator;
use crate::input::{Input, Typed};
use crate::terminal::RawMode;

const PROTOBUF: &str = "application/x-protobuf";

/// What an agent says of a container that cannot be attached to.
const NO_SWITCHBOARD: &str = "I/O switchboard server was disabled for this container";

/// What of this terminal a command gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// What is typed here.
    pub(crate) stdin: bool,
    /// A terminal.
    pub(crate) tty: bool,
}

/// Runs the command in the container of a task, whose agent is at `address`. The answer is the exit status.
pub(crate) async fn exec(
    address: &str,
    task: &Task,
    command: &[String],
    wanted: Wanted,
) -> anyhow::Result<u8> {
    let around = running(task)?;
    let program = command.first().context("no command to run")?;
    let number = RandomState::new().hash_one(std::process::id());
    let id = ContainerId { value: format!("exec-{number:016x}"), parent: Some(Box::new(around)) };
    let terminal = wanted.tty.then(RawMode::check).transpose()?;
    let info = terminal.map(|size| ContainerInfo {
        r#type: container_info::Type::Mesos.into(),
        tty_info: Some(TtyInfo { window_size: size }),
        ..ContainerInfo::default()
    });
    let launch = LaunchNestedContainerSession {
        container_id: id.clone(),
        command: Some(CommandInfo {
            shell: Some(false),
            value: Some(program.clone()),
            arguments: command.to_vec(),
            ..CommandInfo::default()
        }),
        container: info,
    };
    let call = Call {
        r#type: Some(Type::LaunchNestedContainerSession.into()),
        launch_nested_container_session: Some(launch),
        ..Call::default()
    };
    let ended = {
        // ORDER: before anything runs there, so that no key is taken for this side.
        let _raw = (wanted.tty && wanted.stdin).then(RawMode::enter).transpose()?;
        let output = open(address, &call).await?;
        let typed = Typed { stdin: wanted.stdin, window: wanted.tty, redraw: false };
        show(output, Input::start(address, &id, typed)?).await?
    };
    if ended == Ended::Detached {
        // The session ends with its connection, which is closed by now.
        return Ok(0);
    }
    let mut agent = Operator::new(address);
    let code = wait(&mut agent, &id).await?;
    let remove = Call {
        r#type: Some(Type::RemoveContainer.into()),
        remove_container: Some(RemoveContainer { container_id: id }),
        ..Call::default()
    };
    // What stays is in the task's sandbox, and goes with it. The answer has no message.
    let _ = agent.agent(&remove).await;
    Ok(code)
}

/// Shows what a task with a terminal prints, and types into it, until it ends or somebody presses Ctrl-P Ctrl-Q.
pub(crate) async fn attach(address: &str, task: &Task, stdin: bool) -> anyhow::Result<u8> {
    let id = running(task)?;
    if stdin {
        RawMode::check().context("with --no-stdin it is enough to look")?;
    }
    let call = Call {
        r#type: Some(Type::AttachContainerOutput.into()),
        attach_container_output: Some(AttachContainerOutput { container_id: id.clone() }),
        ..Call::default()
    };
    let ended = {
        let _raw = stdin.then(RawMode::enter).transpose()?;
        let output = open(address, &call).await?;
        let input = match stdin {
            true => Input::start(address, &id, Typed { stdin, window: true, redraw: true })?,
            false => Input::none(),
        };
        show(output, input).await?
    };
    // COMPAT(mesos): how the container of an executor ends says nothing of the task's command.
    match (ended, id.parent.is_some()) {
        (Ended::Over, true) => wait(&mut Operator::new(address), &id).await,
        (Ended::Over | Ended::Detached, _) => Ok(0),
    }
}

fn running(task: &Task) -> anyhow::Result<ContainerId> {
    container_of(task).with_context(|| {
        format!("the container of task '{}' is not known: it has not begun, or has ended", task.task_id.value)
    })
}

/// The container that a task runs in: its own in a group, else its executor's.
pub(crate) fn container_of(task: &Task) -> Option<ContainerId> {
    let statuses = task.statuses.iter().rev();
    statuses.filter_map(|status| status.container_status.as_ref()?.container_id.clone()).next()
}

/// Waits for a container's end. The answer is its exit status as a shell has it.
async fn wait(agent: &mut Operator, id: &ContainerId) -> anyhow::Result<u8> {
    let wait = Call {
        r#type: Some(Type::WaitContainer.into()),
        wait_container: Some(WaitContainer { container_id: id.clone() }),
        ..Call::default()
    };
    let ended = agent.agent(&wait).await?.wait_container.unwrap_or_default();
    let Some(status) = ended.exit_status.map(ExitStatus::from_raw) else {
        bail!("how the command ended is not known");
    };
    let signal = status.signal().map(|signal| 128 + signal);
    let code = status.code().or(signal).unwrap_or(1);
    Ok(u8::try_from(code).unwrap_or(1))
}

/// Makes a call whose answer is what a container prints.
async fn open(address: &str, call: &Call) -> anyhow::Result<Events> {
    let request = Request::post("/api/v1", PROTOBUF, call.encode_to_vec())
        .header("accept", "application/recordio")
        .header("message-accept", PROTOBUF);
    match Client::new(address).subscribe(request).await {
        Err(ClientError::Refused(answer)) if answer.text() == NO_SWITCHBOARD => {
            bail!("Unable to attach to a task launched without a TTY")
        }
        output => Ok(output?),
    }
}

/// Why there is nothing more to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Over,
    /// Somebody has had enough.
    Detached,
}

/// Copies a container's output until it ends, while the input is under way.
async fn show(mut output: Events, mut input: Input) -> anyhow::Result<Ended> {
    loop {
        let record = tokio::select! {
            record = output.next() => record?,
            detached = input.until_detached() => {
                detached?;
                return Ok(Ended::Detached);
            }
        };
        let Some(record) = record else { return Ok(Ended::Over) };
        let record = ProcessIo::decode(record).context("the agent sent what is no output")?;
        let Some(data) = record.data else { continue };
        let bytes = data.data.clone().unwrap_or_default();
        let written = match data.r#type() {
            data::Type::Stderr => io::stderr().write_all(&bytes),
            data::Type::Stdout => io::stdout().write_all(&bytes).and_then(|()| io::stdout().flush()),
            data::Type::Stdin | data::Type::Unknown => Ok(()),
        };
        written.context("cannot write the output")?;
    }
}
