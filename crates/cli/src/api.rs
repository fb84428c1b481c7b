//! The operator APIs of a master and of agents, as the commands use them.

use std::time::Duration;

use anyhow::{Context, bail};
use http::{Call, Client, ClientLimits};
use prost::Message;
use proto::mesos::v1::{agent, master};

const PROTOBUF: &str = "application/x-protobuf";

/// An interactive command waits no longer than this for an answer.
const ANSWER: Duration = Duration::from_secs(30);

/// A daemon's operator API.
pub(crate) struct Operator {
    client: Client,
}

impl Operator {
    /// The API of the daemon at `host:port`.
    pub(crate) fn new(address: &str) -> Self {
        let limits = ClientLimits { connect: Duration::from_secs(5), answer: ANSWER, ..Default::default() };
        Self { client: Client::with_limits(address, limits) }
    }

    /// A call to a master; redirects to the leader are followed.
    pub(crate) async fn master(&mut self, kind: master::call::Type) -> anyhow::Result<master::Response> {
        let call = master::Call { r#type: Some(kind.into()), ..Default::default() };
        self.call(&call).await
    }

    /// A call to an agent.
    pub(crate) async fn agent(&mut self, call: &agent::Call) -> anyhow::Result<agent::Response> {
        self.call(call).await
    }

    /// A call to a master that changes something.
    pub(crate) async fn change(&mut self, call: &master::Call) -> anyhow::Result<()> {
        let request = Call::post("/api/v1", PROTOBUF, call.encode_to_vec());
        let answer = self.client.call(request).await?;
        if !answer.status.is_success() {
            bail!("{} answered {}: {}", self.client.address(), answer.status, answer.text());
        }
        Ok(())
    }

    async fn call<A: Message + Default>(&mut self, call: &impl Message) -> anyhow::Result<A> {
        let request = Call::post("/api/v1", PROTOBUF, call.encode_to_vec());
        let answer = self.client.call(request).await?;
        if !answer.status.is_success() {
            bail!("{} answered {}: {}", self.client.address(), answer.status, answer.text());
        }
        A::decode(answer.body)
            .with_context(|| format!("{} answered what is no response", self.client.address()))
    }

    /// A document of the v0 API, as it came.
    pub(crate) async fn document(&mut self, path: &str) -> anyhow::Result<bytes::Bytes> {
        let answer = self.client.call(Call::get(path)).await?;
        if !answer.status.is_success() {
            bail!("{} answered {}: {}", self.client.address(), answer.status, answer.text());
        }
        Ok(answer.body)
    }
}

/// The agent of a task: its `ip:port`, from its process address `slave(1)@ip:port`.
pub(crate) fn address_of(agent: &master::response::get_agents::Agent) -> anyhow::Result<String> {
    let pid = agent.pid.as_deref().unwrap_or_default();
    let address = pid.split_once('@').map(|(_, address)| address.to_owned());
    address.with_context(|| format!("the master tells no address of agent {}", agent.agent_info.hostname))
}
