//! `mesos reserve` and `mesos unreserve`: keeping an agent's resources for a role.

use anyhow::{Context, bail};
use clap::Args;
use proto::mesos::v1::master::call::{self, Type};
use proto::mesos::v1::master::{Call, response::get_agents};
use proto::mesos::v1::{AgentId, Resource as Message};
use resources::{Reservation, Resource, Resources};

use crate::api::Operator;
use crate::tool::{Cluster, print};

/// Which resources, where, and whose they are.
#[derive(Args)]
pub(crate) struct Reserving {
    #[command(flatten)]
    cluster: Cluster,
    /// The agent: its id or the beginning of it, or its hostname
    agent: String,
    /// How much, as in 'cpus:2;mem:1024;ports:[31000-31009]'
    resources: String,
    /// The role that they are kept for
    #[arg(long)]
    role: String,
    /// Who reserves, or who reserved
    #[arg(long)]
    principal: Option<String>,
}

#[derive(Args)]
pub(crate) struct Reserve {
    #[command(flatten)]
    what: Reserving,
    /// Take them from those that are reserved to this role already, which must be above the other
    #[arg(long, value_name = "ROLE")]
    refine: Option<String>,
}

/// Reserves resources that nobody uses.
pub(crate) async fn reserve(Reserve { what, refine }: Reserve) -> anyhow::Result<()> {
    let mut operator = what.cluster.operator();
    let agent = find_agent(&mut operator, &what.agent).await?;
    let wanted = amounts(&what.resources)?;
    let base = match &refine {
        None => wanted,
        Some(role) => reserved(&agent, &wanted, role, None)?,
    };
    let added = Reservation::dynamic(what.role.as_str(), what.principal);
    let resources = base.push_reservation(&added)?;
    let body = call::ReserveResources {
        agent_id: id_of(&agent)?,
        resources: resources.to_protos(),
        source: Vec::new(),
    };
    let call = Call { reserve_resources: Some(body), ..of(Type::ReserveResources) };
    operator.change(&call).await?;
    print(&format!("Reserved {resources} on agent {}\n", name(&agent)))
}

/// Ends reservations of resources that nobody uses.
pub(crate) async fn unreserve(what: Reserving) -> anyhow::Result<()> {
    let mut operator = what.cluster.operator();
    let agent = find_agent(&mut operator, &what.agent).await?;
    let resources = reserved(&agent, &amounts(&what.resources)?, &what.role, what.principal.as_deref())?;
    let body = call::UnreserveResources { agent_id: id_of(&agent)?, resources: resources.to_protos() };
    let call = Call { unreserve_resources: Some(body), ..of(Type::UnreserveResources) };
    operator.change(&call).await?;
    print(&format!("Unreserved {resources} on agent {}\n", name(&agent)))
}

fn amounts(text: &str) -> anyhow::Result<Resources> {
    let resources = Resources::parse(text, "*").with_context(|| format!("'{text}' names no resources"))?;
    if resources.is_empty() {
        bail!("'{text}' names no resources");
    }
    Ok(resources)
}

/// These amounts, with the reservations to `role` that the agent has of each.
fn reserved(
    agent: &get_agents::Agent,
    wanted: &Resources,
    role: &str,
    principal: Option<&str>,
) -> anyhow::Result<Resources> {
    let total = total_of(agent);
    let kept = |resource: &&Resource, like: &Resource| {
        let last = resource.reservations().last();
        resource.name() == like.name()
            && !resource.is_persistent_volume()
            && last.is_some_and(|last| last.role.as_str() == role)
            && principal.is_none_or(|name| last.is_some_and(|last| last.principal.as_deref() == Some(name)))
    };
    let mut found = Resources::new();
    for resource in wanted {
        let mut fitting = total.iter().filter(|mine| kept(mine, resource));
        let Some(mine) = fitting.next() else {
            bail!("agent {} has no {} reserved to role '{role}'", name(agent), resource.name());
        };
        if fitting.next().is_some() {
            bail!(
                "agent {} has {} reserved to role '{role}' in several ways; --principal may tell which",
                name(agent),
                resource.name()
            );
        }
        found.push(mine.clone().with_value(resource.value().clone()));
    }
    Ok(found)
}

/// The agent of this id, of the one id that begins so, or of this hostname.
pub(crate) async fn find_agent(operator: &mut Operator, wanted: &str) -> anyhow::Result<get_agents::Agent> {
    let answer = operator.master(Type::GetAgents).await?.get_agents;
    let agents = answer.context("the master answered without agents")?.agents;
    let id = |agent: &get_agents::Agent| agent.agent_info.id.clone().unwrap_or_default().value;
    if let Some(agent) = agents.iter().find(|agent| id(agent) == wanted) {
        return Ok(agent.clone());
    }
    let fits =
        |agent: &&get_agents::Agent| id(agent).starts_with(wanted) || agent.agent_info.hostname == wanted;
    let found: Vec<_> = agents.iter().filter(fits).collect();
    match found[..] {
        [agent] => Ok(agent.clone()),
        [] => bail!("no agent '{wanted}'; 'mesos agent list' shows those there are"),
        _ => {
            let ids: Vec<_> = found.into_iter().map(id).collect();
            bail!("several agents are called '{wanted}': {}", ids.join(", "))
        }
    }
}

/// What an agent has.
pub(crate) fn total_of(agent: &get_agents::Agent) -> Resources {
    let mut total: Vec<Message> = agent.total_resources.clone();
    resources::format::upgrade_all(&mut total);
    Resources::from_checked_protos(&total)
}

pub(crate) fn id_of(agent: &get_agents::Agent) -> anyhow::Result<AgentId> {
    agent.agent_info.id.clone().context("the master tells no id of the agent")
}

/// How an agent is called in sentences.
pub(crate) fn name(agent: &get_agents::Agent) -> &str {
    agent.agent_info.id.as_ref().map_or(&agent.agent_info.hostname, |id| &id.value)
}

/// A call of this type, without its body.
pub(crate) fn of(kind: Type) -> Call {
    Call { r#type: Some(kind.into()), ..Call::default() }
}
