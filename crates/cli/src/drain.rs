//! `mesos drain`, `mesos deactivate` and `mesos reactivate`: agents out of service and back.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use proto::mesos::v1::master::call::{self, Type};
use proto::mesos::v1::{AgentId, DrainState, master};

use crate::api::Operator;
use crate::tool::{Cluster, print};

/// How often a waiting drain looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Args)]
pub(crate) struct Drain {
    /// The agent's id
    agent: String,
    /// The longest time a task gets to end by itself, such as 10mins; its own kill policy when unset
    #[arg(long, value_name = "DURATION")]
    max_grace_period: Option<flags::Duration>,
    /// Declare the agent gone for good once it is empty
    #[arg(long)]
    mark_gone: bool,
    /// Wait until the agent is empty, and tell how far it is
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Args)]
pub(crate) struct OneAgent {
    /// The agent's id
    agent: String,
    #[command(flatten)]
    cluster: Cluster,
}

/// Drains an agent.
pub(crate) async fn drain(drain: Drain) -> anyhow::Result<()> {
    let mut operator = drain.cluster.operator();
    let mut body = call::DrainAgent {
        agent_id: id(&drain.agent),
        max_grace_period: None,
        mark_gone: Some(drain.mark_gone),
    };
    if let Some(grace) = drain.max_grace_period {
        let nanos = grace.nanos();
        let period = body.max_grace_period.get_or_insert_default();
        period.seconds = nanos / 1_000_000_000;
        period.nanos = i32::try_from(nanos % 1_000_000_000).unwrap_or_default();
    }
    let call = master::Call {
        r#type: Some(Type::DrainAgent.into()),
        drain_agent: Some(body),
        ..master::Call::default()
    };
    operator.change(&call).await?;
    print(&format!("Agent {} is draining.\n", drain.agent))?;
    if !drain.wait {
        return Ok(());
    }
    let mut told = None;
    loop {
        match progress(&mut operator, &drain).await? {
            Progress::Over(text) => return print(&text),
            Progress::Tasks(left) if told == Some(left) => {}
            Progress::Tasks(left) => {
                print(&format!("{left} tasks are left.\n"))?;
                told = Some(left);
            }
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

enum Progress {
    /// So many tasks are not over, or not acknowledged.
    Tasks(usize),
    Over(String),
}

async fn progress(operator: &mut Operator, drain: &Drain) -> anyhow::Result<Progress> {
    let agents = operator.master(Type::GetAgents).await?.get_agents.unwrap_or_default().agents;
    let wanted = Some(id(&drain.agent));
    let Some(agent) = agents.into_iter().find(|agent| agent.agent_info.id == wanted) else {
        if drain.mark_gone {
            return Ok(Progress::Over(format!("Agent {} is gone.\n", drain.agent)));
        }
        bail!("agent {} left while it was drained", drain.agent);
    };
    match agent.drain_info.map(|info| info.state()) {
        None => bail!("agent {} was reactivated while it was drained", drain.agent),
        Some(DrainState::Drained) => Ok(Progress::Over(format!("Agent {} is drained.\n", drain.agent))),
        Some(DrainState::Draining | DrainState::Unknown) => {
            let tasks = operator.master(Type::GetTasks).await?.get_tasks.unwrap_or_default().tasks;
            let left = tasks.iter().filter(|task| Some(&task.agent_id) == wanted.as_ref()).count();
            Ok(Progress::Tasks(left))
        }
    }
}

/// Keeps new tasks off an agent.
pub(crate) async fn deactivate(one: OneAgent) -> anyhow::Result<()> {
    let call = master::Call {
        r#type: Some(Type::DeactivateAgent.into()),
        deactivate_agent: Some(call::DeactivateAgent { agent_id: id(&one.agent) }),
        ..master::Call::default()
    };
    one.cluster.operator().change(&call).await?;
    print(&format!("Agent {} gets no new tasks.\n", one.agent))
}

/// Ends a drain or a deactivation.
pub(crate) async fn reactivate(one: OneAgent) -> anyhow::Result<()> {
    let call = master::Call {
        r#type: Some(Type::ReactivateAgent.into()),
        reactivate_agent: Some(call::ReactivateAgent { agent_id: id(&one.agent) }),
        ..master::Call::default()
    };
    one.cluster.operator().change(&call).await?;
    print(&format!("Agent {} gets tasks again.\n", one.agent))
}

fn id(agent: &str) -> AgentId {
    AgentId { value: agent.to_owned() }
}
