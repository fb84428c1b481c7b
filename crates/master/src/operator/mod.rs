//! `/api/v1`: the operator API of the master.
//!
//! Reads are answered from a view, changes by the core, the rest by the process itself.

mod changes;
pub(crate) mod forms;
pub(crate) mod quota;

pub(crate) use changes::operate;

use std::sync::Arc;

use daemon::VERSION;
use http::{Acceptable, Codec, Request, Response, StatusCode};
use master_core::Event;
use proto::mesos::v1::master::call::Type;
use proto::mesos::v1::master::{Call, Response as Answer, response};

use crate::calls;
use crate::documents::v1_state::{self, Part};
use crate::documents::{maintenance, roles};
use crate::reactor::Input;
use crate::shell::Shell;
use crate::weights;

/// Answers one call.
pub(crate) async fn handle(shell: Arc<Shell>, request: Request) -> Response {
    answer(&shell, request).await.unwrap_or_else(|refusal| refusal)
}

#[expect(deprecated, reason = "deprecated in Mesos too, and still to be refused by name")]
async fn answer(shell: &Arc<Shell>, request: Request) -> Result<Response, Response> {
    let call = calls::operator(&request.headers, &request.body)?;
    let codec = http::accept(&request.headers, Acceptable::Calls)?;
    tracing::debug!(call = call.r#type().as_str_name(), "processing an operator's call");
    match call.r#type() {
        Type::Unknown => Ok(Response::not_implemented()),
        Type::GetState => state(shell, Part::State, codec).await,
        Type::GetAgents => state(shell, Part::Agents, codec).await,
        Type::GetFrameworks => state(shell, Part::Frameworks, codec).await,
        Type::GetExecutors => state(shell, Part::Executors, codec).await,
        Type::GetTasks => state(shell, Part::Tasks, codec).await,
        Type::GetOperations => state(shell, Part::Operations, codec).await,
        Type::GetRoles => get_roles(shell, codec).await,
        Type::GetMetrics => get_metrics(shell, &call, codec).await,
        Type::GetMaster => get_master(shell, codec).await,
        Type::Subscribe => subscribe(shell, codec).await,
        Type::GetHealth | Type::GetFlags | Type::GetVersion | Type::GetLoggingLevel => {
            Ok(calls::encode(codec, &of_process(shell, call.r#type())))
        }
        Type::SetLoggingLevel => Ok(set_logging_level(shell, &call)),
        Type::ListFiles => list_files(shell, &call, codec).await,
        Type::ReadFile => read_file(shell, &call, codec).await,
        Type::GetWeights => Ok(calls::encode(codec, &weights::answer(&shell.snapshot().await?.view))),
        Type::GetQuota => quota::get_quota(shell, codec).await,
        Type::GetMaintenanceStatus => get_maintenance_status(shell, codec).await,
        Type::GetMaintenanceSchedule => get_maintenance_schedule(shell, codec).await,
        Type::Teardown
        | Type::MarkAgentGone
        | Type::UpdateWeights
        | Type::ReserveResources
        | Type::UnreserveResources
        | Type::CreateVolumes
        | Type::DestroyVolumes
        | Type::GrowVolume
        | Type::ShrinkVolume
        | Type::UpdateMaintenanceSchedule
        | Type::StartMaintenance
        | Type::StopMaintenance
        | Type::SetQuota
        | Type::RemoveQuota
        | Type::UpdateQuota
        | Type::DrainAgent
        | Type::DeactivateAgent
        | Type::ReactivateAgent => Ok(changes::change(shell, call).await),
    }
}

async fn state(shell: &Shell, part: Part, codec: Codec) -> Result<Response, Response> {
    let snapshot = shell.snapshot().await?;
    let key = format!("{part:?} {codec:?}");
    let bytes = snapshot.answer(key, move |view| v1_state::answer(view, part, codec)).await;
    Ok(Response::bytes(StatusCode::OK, codec.media_type(), bytes))
}

async fn get_roles(shell: &Shell, codec: Codec) -> Result<Response, Response> {
    let snapshot = shell.snapshot().await?;
    let roles = roles::known(&snapshot.view).iter().map(roles::message).collect();
    let answer = Answer {
        r#type: Some(response::Type::GetRoles as i32),
        get_roles: Some(response::GetRoles { roles }),
        ..Answer::default()
    };
    Ok(calls::encode(codec, &answer))
}

async fn get_metrics(shell: &Arc<Shell>, call: &Call, codec: Codec) -> Result<Response, Response> {
    let timeout = call.get_metrics.as_ref().and_then(|get| get.timeout.as_ref());
    let timeout = timeout.map(|timeout| flags::Duration::from_nanos(timeout.nanoseconds));
    let metrics = daemon::metrics::messages(shell.common().snapshot(timeout).await?);
    let answer = Answer {
        r#type: Some(response::Type::GetMetrics as i32),
        get_metrics: Some(response::GetMetrics { metrics }),
        ..Answer::default()
    };
    Ok(calls::encode(codec, &answer))
}

async fn get_maintenance_schedule(shell: &Shell, codec: Codec) -> Result<Response, Response> {
    let snapshot = shell.snapshot().await?;
    let schedule = maintenance::schedule(&snapshot.view);
    let answer = Answer {
        r#type: Some(response::Type::GetMaintenanceSchedule as i32),
        get_maintenance_schedule: Some(response::GetMaintenanceSchedule { schedule }),
        ..Answer::default()
    };
    Ok(calls::encode(codec, &answer))
}

async fn get_maintenance_status(shell: &Shell, codec: Codec) -> Result<Response, Response> {
    let snapshot = shell.snapshot().await?;
    let status = maintenance::status(&snapshot.view);
    let answer = Answer {
        r#type: Some(response::Type::GetMaintenanceStatus as i32),
        get_maintenance_status: Some(response::GetMaintenanceStatus { status }),
        ..Answer::default()
    };
    Ok(calls::encode(codec, &answer))
}

async fn get_master(shell: &Shell, codec: Codec) -> Result<Response, Response> {
    let snapshot = shell.snapshot().await?;
    let master = response::GetMaster {
        master_info: Some(snapshot.view.config.master.clone()),
        start_time: Some(shell.identity.start_time.as_secs_f64()),
        elected_time: snapshot.view.elected_time.map(|time| time.as_secs_f64()),
    };
    let answer = Answer {
        r#type: Some(response::Type::GetMaster as i32),
        get_master: Some(master),
        ..Answer::default()
    };
    Ok(calls::encode(codec, &answer))
}

async fn subscribe(shell: &Shell, codec: Codec) -> Result<Response, Response> {
    let body = shell
        .open(codec, |stream, new| Input::Watch {
            stream,
            new,
            event: Event::OperatorSubscribe { stream, principal: None },
        })
        .await?;
    Ok(Response::stream(codec.media_type(), body))
}

/// What the process knows without its core.
fn of_process(shell: &Shell, kind: Type) -> Answer {
    let mut answer = Answer::default();
    let kind = match kind {
        Type::GetFlags => {
            answer.get_flags =
                Some(response::GetFlags { flags: daemon::flag_messages(&shell.identity.flags) });
            response::Type::GetFlags
        }
        Type::GetVersion => {
            answer.get_version = Some(response::GetVersion { version_info: VERSION.message() });
            response::Type::GetVersion
        }
        Type::GetLoggingLevel => {
            answer.get_logging_level = Some(response::GetLoggingLevel { level: shell.logging.level() });
            response::Type::GetLoggingLevel
        }
        _ => {
            answer.get_health = Some(response::GetHealth { healthy: true });
            response::Type::GetHealth
        }
    };
    answer.r#type = Some(kind as i32);
    answer
}

fn set_logging_level(shell: &Shell, call: &Call) -> Response {
    if let Some(set) = &call.set_logging_level {
        shell.logging.set_level(set.level, flags::Duration::from_nanos(set.duration.nanoseconds));
    }
    Response::ok()
}

async fn list_files(shell: &Shell, call: &Call, codec: Codec) -> Result<Response, Response> {
    let path = call.list_files.as_ref().map_or("", |list| &list.path);
    let file_infos = shell.files.browse(path).await?;
    let answer = Answer {
        r#type: Some(response::Type::ListFiles as i32),
        list_files: Some(response::ListFiles { file_infos }),
        ..Answer::default()
    };
    Ok(calls::encode(codec, &answer))
}

async fn read_file(shell: &Shell, call: &Call, codec: Codec) -> Result<Response, Response> {
    let read = call.read_file.clone().unwrap_or_default();
    let (size, data) = shell.files.read(&read.path, read.offset, read.length).await?;
    let answer = Answer {
        r#type: Some(response::Type::ReadFile as i32),
        read_file: Some(response::ReadFile { size, data: data.into() }),
        ..Answer::default()
    };
    Ok(calls::encode(codec, &answer))
}
