//! What the default executor asks of its agent: containers below its own.

use std::time::Duration;

use executor_core::{LaunchAnswer, WaitAnswer};
use http::{Answer, Call as Request, Client, ClientError, ClientLimits, StatusCode};
use prost::Message as _;
use proto::mesos::v1::CommandInfo;
use proto::mesos::v1::agent::call::{self, LaunchContainer, Type};
use proto::mesos::v1::agent::response::WaitContainer;
use proto::mesos::v1::agent::{Call, Response};
use types::ContainerId;

use crate::settings::Settings;

const PROTOBUF: &str = "application/x-protobuf";

/// Nobody knows how long a task runs.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The agent's API for operators. Each call has a connection of its own.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    address: String,
    path: String,
    headers: Vec<(&'static str, String)>,
}

impl Agent {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { address: settings.agent.clone(), path: settings.path.clone(), headers: settings.headers() }
    }

    pub(crate) async fn launch(&self, launch: LaunchContainer) -> LaunchAnswer {
        let call = Call { launch_container: Some(launch), ..of(Type::LaunchContainer) };
        match self.post(&call, ClientLimits { answer: FOREVER, ..ClientLimits::default() }).await {
            Ok(answer) => match answer.status {
                StatusCode::OK | StatusCode::ACCEPTED => LaunchAnswer::Launched,
                StatusCode::SERVICE_UNAVAILABLE => LaunchAnswer::Unknown(answer.text()),
                _ => LaunchAnswer::Refused(answer.text()),
            },
            Err(error) => LaunchAnswer::Unknown(error.in_full()),
        }
    }

    pub(crate) async fn wait(&self, container: &ContainerId) -> WaitAnswer {
        let wait = call::WaitContainer { container_id: container.into() };
        let call = Call { wait_container: Some(wait), ..of(Type::WaitContainer) };
        let answer = match self.post(&call, ClientLimits { answer: FOREVER, ..ClientLimits::default() }).await
        {
            Ok(answer) => answer,
            Err(error) => return WaitAnswer::Unknown(error.in_full()),
        };
        match answer.status {
            StatusCode::OK => match ended(&answer) {
                Some(ended) => WaitAnswer::Ended(Box::new(ended)),
                None => WaitAnswer::Unknown("the agent's answer cannot be read".to_owned()),
            },
            StatusCode::NOT_FOUND => WaitAnswer::NotFound,
            _ => WaitAnswer::Unknown(format!("{}: {}", answer.status, answer.text())),
        }
    }

    pub(crate) async fn kill(&self, container: &ContainerId, signal: i32) -> Result<(), String> {
        let kill = call::KillContainer { container_id: container.into(), signal: Some(signal) };
        let call = Call { kill_container: Some(kill), ..of(Type::KillContainer) };
        self.done(&call).await
    }

    async fn remove(&self, container: &ContainerId) -> Result<(), String> {
        let remove = call::RemoveContainer { container_id: container.into() };
        let call = Call { remove_container: Some(remove), ..of(Type::RemoveContainer) };
        self.done(&call).await
    }

    /// Runs a command in a container, as a session of its own, and returns its wait status. `limit` is how long it may
    /// take.
    pub(crate) async fn run_in(
        &self,
        container: &ContainerId,
        name: String,
        command: &CommandInfo,
        limit: Option<Duration>,
    ) -> Result<i32, String> {
        let session = ContainerId { value: name.into(), parent: Some(container.clone().into()) };
        let launch = call::LaunchNestedContainerSession {
            container_id: (&session).into(),
            command: Some(command.clone()),
            container: None,
        };
        let call =
            Call { launch_nested_container_session: Some(launch), ..of(Type::LaunchNestedContainerSession) };
        let running = self.session(&call);
        let outcome = match limit {
            None => running.await,
            Some(limit) => match tokio::time::timeout(limit, running).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    // Where it is gone already its end is known below.
                    let _ = self.kill(&session, executor_core::SIGKILL).await;
                    Err(format!("timed out after {} s", limit.as_secs_f64()))
                }
            },
        };
        let ended = self.wait(&session).await;
        // What stays is in this executor's sandbox, and goes with it.
        let _ = self.remove(&session).await;
        outcome?;
        match ended {
            WaitAnswer::Ended(ended) => {
                ended.exit_status.ok_or_else(|| "the exit status is not known".to_owned())
            }
            WaitAnswer::NotFound => Err("the agent does not know the check's container".to_owned()),
            WaitAnswer::Unknown(why) => Err(why),
        }
    }

    /// Opens a session and stays until its output ends.
    async fn session(&self, call: &Call) -> Result<(), String> {
        let mut request = Request::post(self.path.clone(), PROTOBUF, call.encode_to_vec());
        request = request.header("accept", "application/recordio").header("message-accept", PROTOBUF);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut client = Client::new(self.address.clone());
        let mut output = client.subscribe(request).await.map_err(|error| error.in_full())?;
        while output.next().await.map_err(|error| error.in_full())?.is_some() {}
        Ok(())
    }

    async fn done(&self, call: &Call) -> Result<(), String> {
        let answer = self.post(call, ClientLimits::default()).await.map_err(|error| error.in_full())?;
        match answer.status {
            StatusCode::OK => Ok(()),
            status => Err(format!("{status}: {}", answer.text())),
        }
    }

    async fn post(&self, call: &Call, limits: ClientLimits) -> Result<Answer, ClientError> {
        let mut request = Request::post(self.path.clone(), PROTOBUF, call.encode_to_vec());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        Client::with_limits(self.address.clone(), limits).call(request).await
    }
}

fn of(kind: Type) -> Call {
    Call { r#type: Some(kind.into()), ..Call::default() }
}

fn ended(answer: &Answer) -> Option<WaitContainer> {
    Response::decode(answer.body.clone()).ok()?.wait_container
}
