//! `mesos task exec`: runs a command in a task's container, shows what it prints and exits as it does.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use anyhow::{Context as _, bail};
use http::{Call as Request, Client};
use prost::Message as _;
use proto::mesos::v1::agent::call::{LaunchNestedContainerSession, RemoveContainer, Type, WaitContainer};
use proto::mesos::v1::agent::process_io::data;
use proto::mesos::v1::agent::{Call, ProcessIo};
use proto::mesos::v1::{CommandInfo, ContainerId, Task};

use crate::api::Operator;

const PROTOBUF: &str = "application/x-protobuf";

/// Runs the command in the container of a task, whose agent is at `address`. The answer is the exit status.
pub(crate) async fn exec(address: &str, task: &Task, command: &[String]) -> anyhow::Result<u8> {
    let around = container_of(task).with_context(|| {
        format!("the container of task '{}' is not known: it has not begun, or has ended", task.task_id.value)
    })?;
    let program = command.first().context("no command to run")?;
    let number = RandomState::new().hash_one(std::process::id());
    let id = ContainerId { value: format!("exec-{number:016x}"), parent: Some(Box::new(around)) };
    let launch = LaunchNestedContainerSession {
        container_id: id.clone(),
        command: Some(CommandInfo {
            shell: Some(false),
            value: Some(program.clone()),
            arguments: command.to_vec(),
            ..CommandInfo::default()
        }),
        container: None,
    };
    let call = Call {
        r#type: Some(Type::LaunchNestedContainerSession.into()),
        launch_nested_container_session: Some(launch),
        ..Call::default()
    };
    show(address, &call).await?;
    let mut agent = Operator::new(address);
    let wait = Call {
        r#type: Some(Type::WaitContainer.into()),
        wait_container: Some(WaitContainer { container_id: id.clone() }),
        ..Call::default()
    };
    let ended = agent.agent(&wait).await?.wait_container.unwrap_or_default();
    let remove = Call {
        r#type: Some(Type::RemoveContainer.into()),
        remove_container: Some(RemoveContainer { container_id: id }),
        ..Call::default()
    };
    // What stays is in the task's sandbox, and goes with it. The answer has no message.
    let _ = agent.agent(&remove).await;
    let Some(status) = ended.exit_status.map(ExitStatus::from_raw) else {
        bail!("how the command ended is not known");
    };
    let signal = status.signal().map(|signal| 128 + signal);
    let code = status.code().or(signal).unwrap_or(1);
    Ok(u8::try_from(code).unwrap_or(1))
}

/// The container that a task runs in: its own in a group, else its executor's.
pub(crate) fn container_of(task: &Task) -> Option<ContainerId> {
    let statuses = task.statuses.iter().rev();
    statuses.filter_map(|status| status.container_status.as_ref()?.container_id.clone()).next()
}

/// Copies a session's output until it ends.
async fn show(address: &str, call: &Call) -> anyhow::Result<()> {
    let request = Request::post("/api/v1", PROTOBUF, call.encode_to_vec())
        .header("accept", "application/recordio")
        .header("message-accept", PROTOBUF);
    let mut output = Client::new(address).subscribe(request).await?;
    while let Some(record) = output.next().await? {
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
    Ok(())
}
