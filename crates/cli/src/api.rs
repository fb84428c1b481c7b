//! The operator APIs of a master and of agents, as the commands use them.

use std::time::Duration;

use anyhow::{Context, bail};
use http::{Call, Client, ClientLimits};
use prost::Message;
use proto::mesos::v1::{agent, master};

use crate::leader::Leader;

const PROTOBUF: &str = "application/x-protobuf";

/// An interactive command waits no longer than this for an answer.
const ANSWER: Duration = Duration::from_secs(30);

/// A daemon's operator API.
pub(crate) struct Operator {
    /// Where, as it was told: an address, or where the master is elected.
    place: String,
    /// Once it is known where that is.
    client: Option<Client>,
}

impl Operator {
    /// The API of the daemon at `host:port`, or of the master that leads at `zk://..` when it is called first.
    pub(crate) fn new(place: &str) -> Self {
        Self { place: place.to_owned(), client: None }
    }

    async fn client(&mut self) -> anyhow::Result<&mut Client> {
        if self.client.is_none() {
            let leader = tokio::time::timeout(ANSWER, Leader::find(&self.place)).await;
            let leader =
                leader.with_context(|| format!("nobody leads at {}", place_shown(&self.place)))??;
            let limits =
                ClientLimits { connect: Duration::from_secs(5), answer: ANSWER, ..Default::default() };
            self.client = Some(Client::with_limits(leader.address(), limits));
        }
        self.client.as_mut().context("there is one by now")
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
        let client = self.client().await?;
        let answer = client.call(request).await?;
        if !answer.status.is_success() {
            bail!("{} answered {}: {}", client.address(), answer.status, answer.text());
        }
        Ok(())
    }

    async fn call<A: Message + Default>(&mut self, call: &impl Message) -> anyhow::Result<A> {
        let request = Call::post("/api/v1", PROTOBUF, call.encode_to_vec());
        let client = self.client().await?;
        let answer = client.call(request).await?;
        if !answer.status.is_success() {
            bail!("{} answered {}: {}", client.address(), answer.status, answer.text());
        }
        A::decode(answer.body).with_context(|| format!("{} answered what is no response", client.address()))
    }

    /// A document of the v0 API, as it came.
    pub(crate) async fn document(&mut self, path: &str) -> anyhow::Result<bytes::Bytes> {
        let client = self.client().await?;
        let answer = client.call(Call::get(path)).await?;
        if !answer.status.is_success() {
            bail!("{} answered {}: {}", client.address(), answer.status, answer.text());
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

/// A place as it may be shown: without the password of ZooKeeper or etcd.
fn place_shown(place: &str) -> String {
    place.parse().map_or_else(|_| place.to_owned(), |url: coordination::Url| url.to_string())
}
