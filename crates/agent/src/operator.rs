//! `/api/v1`: the operator API of the agent.
//!
//! Reads are answered from a view, the rest by the process itself; nothing here changes what runs.

use std::sync::Arc;

use agent_core::{AgentPhase, Event};
use daemon::{Common, VERSION, flag_messages, metrics};
use flags::Duration;
use http::{Body, Codec, Request, Response, StatusCode, StreamMedia};
use machine::WallTime;
use proto::mesos::v1::agent::call::{self, Type};
use proto::mesos::v1::agent::response::{self, Type as Kind};
use proto::mesos::v1::agent::{Call, Response as Answer};
use proto::mesos::v1::{AgentInfo, Image, Operation, TimeInfo};

use crate::attach::{self, Records};
use crate::documents::containers::{self, Selection};
use crate::documents::v1_state::{self, Part};
use crate::sessions;
use crate::shell::Shell;

/// Answers one call.
pub(crate) async fn handle(shell: Arc<Shell>, common: Common, request: Request<Body>) -> Response {
    answer(&shell, &common, request).await.unwrap_or_else(|refusal| refusal)
}

async fn answer(shell: &Arc<Shell>, common: &Common, request: Request<Body>) -> Result<Response, Response> {
    let known = recovered(shell).await?;
    let media = match http::agent_media(&request.headers) {
        Ok(media) if media.content_streams => {
            let mut records = Records::new(request.body, media.content);
            let call = records.first().await?;
            streams_only_where_it_may(validated(&call)?, media)?;
            return attach::input(shell, &known, call, records).await;
        }
        other => other,
    };
    // A body that cannot be read is refused before a header is, as everywhere.
    let request = http::whole(request).await?;
    let media = media?;
    let call: Call = http::decode_agent_call(media.content, &request.body)?;
    let kind = validated(&call)?;
    streams_only_where_it_may(kind, media)?;
    tracing::debug!(call = kind.as_str_name(), "processing an operator's call");
    match kind {
        Type::LaunchNestedContainerSession => sessions::launch(shell, call, media).await,
        Type::AttachContainerOutput => attach::output(shell, &known, &call, media).await,
        _ => serve(shell, common, kind, call, media.accept).await,
    }
}

/// What a call is, if it is one.
pub(crate) fn validated(call: &Call) -> Result<Type, Response> {
    proto::unions::agent(call)
        .map_err(|why| Response::bad_request(format!("Failed to validate agent::Call: {why}")))
}

/// Refuses calls as long as the disk is not read.
pub(crate) async fn recovered(shell: &Shell) -> Result<Arc<agent_core::View>, Response> {
    let view = shell.view().await?;
    if view.phase == AgentPhase::Recovering {
        return Err(Response::unavailable("Agent has not finished recovery"));
    }
    Ok(view)
}

fn streams_only_where_it_may(kind: Type, media: StreamMedia) -> Result<(), Response> {
    let name = kind.as_str_name();
    let input = kind == Type::AttachContainerInput;
    if media.content_streams && !input {
        return Err(Response::unsupported_media_type(format!(
            "Streaming 'Content-Type' application/recordio is not supported for {name} call"
        )));
    }
    if !media.content_streams && input {
        return Err(Response::unsupported_media_type(format!(
            "Expecting 'Content-Type' to be application/recordio for {name} call"
        )));
    }
    let output = matches!(kind, Type::AttachContainerOutput | Type::LaunchNestedContainerSession);
    if media.accept_streams && !output {
        return Err(Response::not_acceptable(format!("Streaming response is not supported for {name} call")));
    }
    Ok(())
}

#[expect(deprecated, reason = "deprecated in Mesos too, and still to be refused by name")]
async fn serve(
    shell: &Arc<Shell>,
    common: &Common,
    kind: Type,
    call: Call,
    codec: Codec,
) -> Result<Response, Response> {
    match kind {
        Type::Unknown => Ok(Response::not_implemented()),
        Type::GetHealth | Type::GetFlags | Type::GetVersion | Type::GetLoggingLevel => {
            Ok(http::answer(codec, &of_process(common, kind)))
        }
        Type::GetMetrics => get_metrics(common, &call, codec).await,
        Type::SetLoggingLevel => Ok(set_logging_level(common, &call)),
        Type::ListFiles => list_files(common, &call, codec).await,
        Type::ReadFile => read_file(common, &call, codec).await,
        Type::GetState => state(shell, Part::State, codec).await,
        Type::GetFrameworks => state(shell, Part::Frameworks, codec).await,
        Type::GetExecutors => state(shell, Part::Executors, codec).await,
        Type::GetTasks => state(shell, Part::Tasks, codec).await,
        Type::GetContainers => get_containers(shell, call.get_containers.unwrap_or_default(), codec).await,
        Type::GetAgent => get_agent(shell, codec).await,
        Type::GetOperations => get_operations(shell, codec).await,
        Type::PruneImages => prune_images(shell, call.prune_images.unwrap_or_default().excluded_images).await,
        Type::GetResourceProviders => Ok(http::answer(codec, &no_resource_providers())),
        Type::LaunchNestedContainer
        | Type::WaitNestedContainer
        | Type::KillNestedContainer
        | Type::RemoveNestedContainer
        | Type::LaunchContainer
        | Type::WaitContainer
        | Type::KillContainer
        | Type::RemoveContainer => {
            let call = Box::new(call);
            Ok(shell.call(codec, |request| Event::ContainerCall { request, call }).await)
        }
        Type::LaunchNestedContainerSession
        | Type::AttachContainerInput
        | Type::AttachContainerOutput
        | Type::AddResourceProviderConfig
        | Type::UpdateResourceProviderConfig
        | Type::RemoveResourceProviderConfig
        | Type::MarkResourceProviderGone => Err(Response::text(
            StatusCode::NOT_IMPLEMENTED,
            format!("{} is not supported by this version of the agent", kind.as_str_name()),
        )),
    }
}

fn of(kind: Kind) -> Answer {
    Answer { r#type: Some(kind as i32), ..Answer::default() }
}

/// What the process knows without its core.
fn of_process(common: &Common, kind: Type) -> Answer {
    match kind {
        Type::GetFlags => {
            let flags = flag_messages(&common.flags);
            Answer { get_flags: Some(response::GetFlags { flags }), ..of(Kind::GetFlags) }
        }
        Type::GetVersion => {
            let version_info = VERSION.message();
            Answer { get_version: Some(response::GetVersion { version_info }), ..of(Kind::GetVersion) }
        }
        Type::GetLoggingLevel => {
            let level = common.logging.level();
            Answer {
                get_logging_level: Some(response::GetLoggingLevel { level }),
                ..of(Kind::GetLoggingLevel)
            }
        }
        _ => Answer { get_health: Some(response::GetHealth { healthy: true }), ..of(Kind::GetHealth) },
    }
}

/// Empty and true: this version has no resource providers.
fn no_resource_providers() -> Answer {
    Answer {
        get_resource_providers: Some(response::GetResourceProviders::default()),
        ..of(Kind::GetResourceProviders)
    }
}

/// The operations that are not acknowledged yet.
async fn get_operations(shell: &Shell, codec: Codec) -> Result<Response, Response> {
    let view = shell.view().await?;
    let operations = view.operations.iter().map(|operation| Operation::clone(operation)).collect();
    let answer =
        Answer { get_operations: Some(response::GetOperations { operations }), ..of(Kind::GetOperations) };
    Ok(http::answer(codec, &answer))
}

/// Where there are no images, there is nothing to remove.
async fn prune_images(shell: &Shell, excluded: Vec<Image>) -> Result<Response, Response> {
    let Some(images) = &shell.images else { return Ok(Response::ok()) };
    match images.prune(excluded).await {
        Ok(()) => Ok(Response::ok()),
        Err(why) => Err(Response::text(StatusCode::INTERNAL_SERVER_ERROR, why)),
    }
}

async fn get_metrics(common: &Common, call: &Call, codec: Codec) -> Result<Response, Response> {
    let timeout = call.get_metrics.as_ref().and_then(|call| call.timeout);
    let metrics = common.snapshot(timeout.map(|timeout| duration(&timeout))).await?;
    let metrics = metrics::messages(metrics);
    let answer = Answer { get_metrics: Some(response::GetMetrics { metrics }), ..of(Kind::GetMetrics) };
    Ok(http::answer(codec, &answer))
}

fn set_logging_level(common: &Common, call: &Call) -> Response {
    if let Some(call) = &call.set_logging_level {
        common.logging.set_level(call.level, duration(&call.duration));
    }
    Response::ok()
}

fn duration(duration: &proto::mesos::v1::DurationInfo) -> Duration {
    Duration::from_nanos(duration.nanoseconds)
}

async fn list_files(common: &Common, call: &Call, codec: Codec) -> Result<Response, Response> {
    let path = call.list_files.as_ref().map_or("", |call| &call.path);
    let file_infos = common.files.browse(path).await?;
    let answer = Answer { list_files: Some(response::ListFiles { file_infos }), ..of(Kind::ListFiles) };
    Ok(http::answer(codec, &answer))
}

async fn read_file(common: &Common, call: &Call, codec: Codec) -> Result<Response, Response> {
    let Some(call) = &call.read_file else {
        return Err(Response::bad_request("Expecting 'read_file' to be present"));
    };
    let (size, data) = common.files.read(&call.path, call.offset, call.length).await?;
    let answer =
        Answer { read_file: Some(response::ReadFile { size, data: data.into() }), ..of(Kind::ReadFile) };
    Ok(http::answer(codec, &answer))
}

async fn state(shell: &Shell, part: Part, codec: Codec) -> Result<Response, Response> {
    let view = shell.view().await?;
    let bytes = rendered(move || v1_state::answer(&view, part, codec)).await;
    Ok(Response::bytes(StatusCode::OK, codec.media_type(), bytes))
}

async fn get_agent(shell: &Shell, codec: Codec) -> Result<Response, Response> {
    let view = shell.view().await?;
    let agent = response::GetAgent {
        agent_info: Some(AgentInfo::clone(&view.info)),
        drain_config: view.drain.as_ref().map(|drain| drain.config),
        estimated_drain_start_time: view.drain.as_ref().and_then(|drain| drain.since).map(whole_seconds),
    };
    Ok(http::answer(codec, &Answer { get_agent: Some(agent), ..of(Kind::GetAgent) }))
}

// COMPAT(mesos): the time is told in nanoseconds, and known to the second.
fn whole_seconds(time: WallTime) -> TimeInfo {
    TimeInfo { nanoseconds: time.as_nanos() / 1_000_000_000 * 1_000_000_000 }
}

async fn get_containers(
    shell: &Arc<Shell>,
    asked: call::GetContainers,
    codec: Codec,
) -> Result<Response, Response> {
    let view = shell.view().await?;
    let containerizer = shell.containerizer.clone();
    let found = rendered(move || {
        let mut found = containers::message(containers::look(&view, &containerizer, &Selection::default()));
        let (nested, standalone) = (asked.show_nested(), asked.show_standalone());
        found.containers.extend(containers::by_name(&view, &containerizer, nested, standalone));
        found
    });
    let answer = Answer { get_containers: Some(found.await), ..of(Kind::GetContainers) };
    Ok(http::answer(codec, &answer))
}

/// Renders on a thread that may take its time.
pub(crate) async fn rendered<T: Send + 'static>(render: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(render).await {
        Ok(rendered) => rendered,
        // The panic of a renderer is its reader's: the connection's task reports it and answers 500.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
