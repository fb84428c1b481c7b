//! `mesos volume`: the disk that outlives tasks.

use std::fmt::Write as _;

use anyhow::bail;
use clap::{Args, Subcommand};
use proto::mesos::v1::master::call::{self, Type};
use proto::mesos::v1::master::{Call, response::get_agents};
use proto::mesos::v1::resource::DiskInfo;
use proto::mesos::v1::resource::disk_info::Persistence;
use proto::mesos::v1::volume::Mode;
use proto::mesos::v1::{Volume, value};
use resources::{Name, Resource, Scalar, Value};

use crate::reserve::{find_agent, id_of, name, of, total_of};
use crate::table::Table;
use crate::tool::{Cluster, print};

#[derive(Subcommand)]
pub(crate) enum VolumeVerb {
    /// Lists the volumes of all agents
    List(Cluster),
    /// Makes a volume of disk that is reserved to a role
    Create(Create),
    /// Deletes a volume and all that is in it
    Destroy(Which),
    /// Adds reserved disk to a volume
    Grow(Resize),
    /// Takes disk from a volume
    Shrink(Resize),
}

#[derive(Args)]
pub(crate) struct Create {
    #[command(flatten)]
    which: Which,
    /// Its size, in MB
    #[arg(long, value_name = "MB")]
    size: f64,
    /// Where tasks see it, in their sandbox
    #[arg(long, default_value = "volume", value_name = "PATH")]
    path: String,
    /// Who makes it
    #[arg(long)]
    principal: Option<String>,
    /// Several tasks may use it at once
    #[arg(long)]
    shared: bool,
}

/// Which volume is meant.
#[derive(Args)]
pub(crate) struct Which {
    #[command(flatten)]
    cluster: Cluster,
    /// The agent: its id or the beginning of it, or its hostname
    agent: String,
    /// The volume's id
    id: String,
    /// The role that its disk is reserved to; needed where several roles have one of that id
    #[arg(long)]
    role: Option<String>,
}

#[derive(Args)]
pub(crate) struct Resize {
    #[command(flatten)]
    which: Which,
    /// How much, in MB
    #[arg(long, value_name = "MB")]
    by: f64,
}

/// Does what the verb says.
pub(crate) async fn volume(verb: VolumeVerb) -> anyhow::Result<()> {
    match verb {
        VolumeVerb::List(cluster) => list(&cluster).await,
        VolumeVerb::Create(how) => create(how).await,
        VolumeVerb::Destroy(which) => destroy(which).await,
        VolumeVerb::Grow(how) => grow(how).await,
        VolumeVerb::Shrink(how) => shrink(how).await,
    }
}

async fn list(cluster: &Cluster) -> anyhow::Result<()> {
    let agents = cluster.operator().master(Type::GetAgents).await?.get_agents.unwrap_or_default().agents;
    let mut table = Table::new(&["Agent ID", "Volume", "Role", "MB", "Shared", "In use"]);
    for agent in agents {
        let mut used = agent.allocated_resources.clone();
        resources::format::upgrade_all(&mut used);
        let used = resources::Resources::from_checked_protos(&used).unallocated();
        for volume in &total_of(&agent).persistent_volumes() {
            let yes_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
            table.row(vec![
                name(&agent).to_owned(),
                volume_id(volume).unwrap_or_default().to_owned(),
                volume.reservation_role().map(|role| role.as_str().to_owned()).unwrap_or_default(),
                volume.as_scalar().unwrap_or_default().to_string(),
                yes_no(volume.is_shared()),
                yes_no(used.iter().any(|one| one.same_object(volume))),
            ]);
        }
    }
    print(&table.to_string())
}

async fn create(how: Create) -> anyhow::Result<()> {
    let Which { cluster, agent, id, role } = how.which;
    let mut operator = cluster.operator();
    let agent = find_agent(&mut operator, &agent).await?;
    let free = reserved_disk(&agent, role.as_deref())?;
    let mut path = Volume { container_path: how.path, ..Volume::default() };
    path.set_mode(Mode::Rw);
    let source = free.disk().and_then(|disk| disk.source.clone());
    let disk = DiskInfo {
        persistence: Some(Persistence { id: id.clone(), principal: how.principal }),
        volume: Some(path),
        source,
    };
    let volume = free.with_value(megabytes(how.size)?).with_disk(Some(disk)).with_shared(how.shared);
    let body = call::CreateVolumes { agent_id: id_of(&agent)?, volumes: vec![volume.to_proto()] };
    let call = Call { create_volumes: Some(body), ..of(Type::CreateVolumes) };
    operator.change(&call).await?;
    print(&format!("Created volume {id} of {} MB on agent {}\n", how.size, name(&agent)))
}

async fn destroy(which: Which) -> anyhow::Result<()> {
    let mut operator = which.cluster.operator();
    let agent = find_agent(&mut operator, &which.agent).await?;
    let volume = find_volume(&agent, &which)?;
    let body = call::DestroyVolumes { agent_id: id_of(&agent)?, volumes: vec![volume.to_proto()] };
    let call = Call { destroy_volumes: Some(body), ..of(Type::DestroyVolumes) };
    operator.change(&call).await?;
    print(&format!("Destroyed volume {} on agent {}\n", which.id, name(&agent)))
}

async fn grow(Resize { which, by }: Resize) -> anyhow::Result<()> {
    let mut operator = which.cluster.operator();
    let agent = find_agent(&mut operator, &which.agent).await?;
    let volume = find_volume(&agent, &which)?;
    let addition = volume.without_volume().with_value(megabytes(by)?);
    let body = call::GrowVolume {
        agent_id: Some(id_of(&agent)?),
        volume: volume.to_proto(),
        addition: addition.to_proto(),
    };
    operator.change(&Call { grow_volume: Some(body), ..of(Type::GrowVolume) }).await?;
    print(&format!("Grew volume {} by {by} MB on agent {}\n", which.id, name(&agent)))
}

async fn shrink(Resize { which, by }: Resize) -> anyhow::Result<()> {
    let mut operator = which.cluster.operator();
    let agent = find_agent(&mut operator, &which.agent).await?;
    let volume = find_volume(&agent, &which)?;
    let body = call::ShrinkVolume {
        agent_id: Some(id_of(&agent)?),
        volume: volume.to_proto(),
        subtract: value::Scalar { value: by },
    };
    operator.change(&Call { shrink_volume: Some(body), ..of(Type::ShrinkVolume) }).await?;
    print(&format!("Shrank volume {} by {by} MB on agent {}\n", which.id, name(&agent)))
}

fn megabytes(amount: f64) -> anyhow::Result<Value> {
    match Scalar::from_f64(amount) {
        Some(scalar) if scalar > Scalar::ZERO => Ok(Value::Scalar(scalar)),
        _ => bail!("{amount} is no amount of disk"),
    }
}

fn volume_id(volume: &Resource) -> Option<&str> {
    Some(&volume.disk()?.persistence.as_ref()?.id)
}

fn in_role(resource: &Resource, role: Option<&str>) -> bool {
    role.is_none_or(|role| resource.reservation_role().is_some_and(|mine| mine.as_str() == role))
}

fn find_volume(agent: &get_agents::Agent, which: &Which) -> anyhow::Result<Resource> {
    let total = total_of(agent);
    let fits = |volume: &&Resource| {
        volume_id(volume) == Some(which.id.as_str()) && in_role(volume, which.role.as_deref())
    };
    one(total.iter().filter(fits).collect(), &format!("volume '{}'", which.id), agent)
}

/// The disk that is reserved to a role, where there is one kind of it.
fn reserved_disk(agent: &get_agents::Agent, role: Option<&str>) -> anyhow::Result<Resource> {
    let total = total_of(agent);
    let fits = |disk: &&Resource| {
        *disk.name() == Name::DISK
            && disk.is_reserved()
            && !disk.is_persistent_volume()
            && in_role(disk, role)
    };
    one(total.iter().filter(fits).collect(), "reserved disk", agent)
}

fn one(found: Vec<&Resource>, what: &str, agent: &get_agents::Agent) -> anyhow::Result<Resource> {
    match found[..] {
        [one] => Ok(one.clone()),
        [] => bail!(
            "agent {} has no {what} of that role; 'mesos volume list' and 'mesos state' show what it has",
            name(agent)
        ),
        _ => {
            let mut text = format!("agent {} has several of {what}; --role may tell which:", name(agent));
            for one in found {
                _ = write!(text, "\n  {one}");
            }
            bail!(text)
        }
    }
}
