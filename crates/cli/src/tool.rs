//! The commands for people: what runs where, its log, the whole state.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use proto::mesos::v1::master::response::{GetAgents, GetTasks};
use proto::mesos::v1::{Resource, Task, master::call::Type};
use resources::Resources;

use crate::api::{Operator, address_of};
use crate::drain::{Drain, OneAgent, deactivate, drain, reactivate};
use crate::exec::{self, Wanted};
use crate::explain::{ExplainVerb, explain};
use crate::maintenance::{MaintenanceVerb, maintenance};
use crate::quota::{QuotaVerb, quota};
use crate::registry::{RegistryVerb, registry};
use crate::reserve::{Reserve, Reserving, reserve, unreserve};
use crate::sandbox::SandboxFile;
use crate::table::Table;
use crate::volume::{VolumeVerb, volume};
use crate::weights::{WeightsVerb, weights};

/// How often a followed log is looked at.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(300);

#[derive(Parser)]
#[command(
    name = "mesos",
    version,
    about = "Turns machines into one computer",
    after_help = "Daemons, each with --help of its own:\n  \
        mesos master    the master of a cluster\n  \
        mesos agent     the agent of a machine\n  \
        mesos local     a whole cluster in one process, to try things on\n  \
        mesos execute   runs one task, shows its output, exits with its status\n\n\
        The same file under the names mesos-master, mesos-agent, mesos-local, mesos-execute is that program."
)]
struct Command {
    #[command(subcommand)]
    topic: Topic,
}

#[derive(Subcommand)]
enum Topic {
    /// The machines of the cluster
    #[command(subcommand)]
    Agent(AgentVerb),
    /// What runs on it
    #[command(subcommand)]
    Task(TaskVerb),
    /// Who runs something on it
    #[command(subcommand)]
    Framework(FrameworkVerb),
    /// Why offers do not come, and who is next
    #[command(subcommand)]
    Explain(ExplainVerb),
    /// What roles are guaranteed, and the most they may have
    #[command(subcommand)]
    Quota(QuotaVerb),
    /// Keeps resources of an agent for a role
    Reserve(Reserve),
    /// Ends a reservation
    Unreserve(Reserving),
    /// Disk that outlives tasks
    #[command(subcommand)]
    Volume(VolumeVerb),
    /// What each role's share is worth
    #[command(subcommand)]
    Weights(WeightsVerb),
    /// Machines that will not be there
    #[command(subcommand)]
    Maintenance(MaintenanceVerb),
    /// Empties an agent of tasks; it gets no new ones
    Drain(Drain),
    /// Gives an agent no new tasks; those it has go on
    Deactivate(OneAgent),
    /// Gives an agent tasks again, after it was drained or deactivated
    Reactivate(OneAgent),
    /// What masters must remember: to look at, to check, to move
    #[command(subcommand)]
    Registry(RegistryVerb),
    /// The whole state of the master, as JSON
    State(Cluster),
}

/// Which cluster is meant.
#[derive(Args)]
pub(crate) struct Cluster {
    /// The master, or where it is elected: zk:// or etcd://host1:port1,host2:port2/path
    #[arg(long, env = "MESOS_MASTER", default_value = "127.0.0.1:5050", value_name = "HOST:PORT")]
    master: String,
}

#[derive(Subcommand)]
enum AgentVerb {
    /// Lists the agents with what they have and use
    List(Cluster),
}

#[derive(Subcommand)]
enum FrameworkVerb {
    /// Lists the frameworks
    List {
        #[command(flatten)]
        cluster: Cluster,
        /// Those that are completed, too
        #[arg(short, long)]
        all: bool,
    },
}

#[derive(Subcommand)]
enum TaskVerb {
    /// Lists the tasks
    List {
        #[command(flatten)]
        cluster: Cluster,
        /// Those that ended, too
        #[arg(short, long)]
        all: bool,
    },
    /// Runs a command in a task's container
    Exec {
        #[command(flatten)]
        cluster: Cluster,
        /// The task's id, or the beginning of it
        task: String,
        /// Let it read what is typed here
        #[arg(short, long)]
        interactive: bool,
        /// Give it a terminal
        #[arg(short, long)]
        tty: bool,
        /// The program and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Shows a task that has a terminal at this one; Ctrl-P Ctrl-Q leaves it
    Attach {
        #[command(flatten)]
        cluster: Cluster,
        /// The task's id, or the beginning of it
        task: String,
        /// Only look
        #[arg(long)]
        no_stdin: bool,
    },
    /// Shows what a task wrote
    Log {
        #[command(flatten)]
        cluster: Cluster,
        /// The task's id, or the beginning of it
        task: String,
        /// Which of its files
        #[arg(long, default_value = "stdout")]
        file: String,
        /// Go on until the task ends
        #[arg(short, long)]
        follow: bool,
    },
}

/// Runs the tool with these arguments, its own name first.
pub(crate) fn main(arguments: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let command = match Command::try_parse_from(arguments) {
        Ok(command) => command,
        Err(error) => {
            error.print()?;
            return Ok(ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)));
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(command.topic)).map(ExitCode::from)
}

async fn run(topic: Topic) -> anyhow::Result<u8> {
    match topic {
        Topic::Task(TaskVerb::Exec { cluster, task, interactive, tty, command }) => {
            let (task, address) = located(&mut cluster.operator(), &task).await?;
            exec::exec(&address, &task, &command, Wanted { stdin: interactive, tty }).await
        }
        Topic::Task(TaskVerb::Attach { cluster, task, no_stdin }) => {
            let (task, address) = located(&mut cluster.operator(), &task).await?;
            exec::attach(&address, &task, !no_stdin).await
        }
        topic => tell(topic).await.map(|()| 0),
    }
}

async fn tell(topic: Topic) -> anyhow::Result<()> {
    match topic {
        Topic::Agent(AgentVerb::List(cluster)) => agents(&mut cluster.operator()).await,
        Topic::Framework(FrameworkVerb::List { cluster, all }) => {
            frameworks(&mut cluster.operator(), all).await
        }
        Topic::Task(TaskVerb::List { cluster, all }) => tasks(&mut cluster.operator(), all).await,
        Topic::Task(TaskVerb::Log { cluster, task, file, follow }) => {
            log(&mut cluster.operator(), &task, &file, follow).await
        }
        Topic::Task(TaskVerb::Exec { .. } | TaskVerb::Attach { .. }) => {
            unreachable!("those have an exit status of their own")
        }
        Topic::Explain(verb) => explain(verb).await,
        Topic::Quota(verb) => quota(verb).await,
        Topic::Reserve(how) => reserve(how).await,
        Topic::Unreserve(how) => unreserve(how).await,
        Topic::Volume(verb) => volume(verb).await,
        Topic::Weights(verb) => weights(verb).await,
        Topic::Maintenance(verb) => maintenance(verb).await,
        Topic::Drain(one) => drain(one).await,
        Topic::Deactivate(one) => deactivate(one).await,
        Topic::Reactivate(one) => reactivate(one).await,
        Topic::Registry(verb) => registry(verb).await,
        Topic::State(cluster) => {
            let document = cluster.operator().document("/master/state").await?;
            print(&format!("{}\n", String::from_utf8_lossy(&document)))
        }
    }
}

impl Cluster {
    /// Its operator API.
    pub(crate) fn operator(&self) -> Operator {
        Operator::new(&self.master)
    }
}

/// Writes to standard output. A reader that has seen enough, such as `head`, is no error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.context("cannot write to standard output"),
    }
}

async fn get_agents(operator: &mut Operator) -> anyhow::Result<GetAgents> {
    operator.master(Type::GetAgents).await?.get_agents.context("the master answered without agents")
}

async fn get_tasks(operator: &mut Operator) -> anyhow::Result<GetTasks> {
    operator.master(Type::GetTasks).await?.get_tasks.context("the master answered without tasks")
}

async fn agents(operator: &mut Operator) -> anyhow::Result<()> {
    let mut table = Table::new(&["Agent ID", "Hostname", "Active", "Used", "Total"]);
    for agent in get_agents(operator).await?.agents {
        let id = agent.agent_info.id.map(|id| id.value).unwrap_or_default();
        let active = if agent.active { "yes" } else { "no" };
        table.row(vec![
            id,
            agent.agent_info.hostname,
            active.to_owned(),
            amounts(&agent.allocated_resources),
            amounts(&agent.total_resources),
        ]);
    }
    print(&table.to_string())
}

async fn frameworks(operator: &mut Operator, all: bool) -> anyhow::Result<()> {
    let answer = operator.master(Type::GetFrameworks).await?;
    let answer = answer.get_frameworks.context("the master answered without frameworks")?;
    let mut table = Table::new(&["Framework ID", "Name", "User", "Active", "Allocated"]);
    let completed = answer.completed_frameworks.into_iter().filter(|_| all);
    for framework in answer.frameworks.into_iter().chain(completed) {
        let info = framework.framework_info;
        let active = if framework.active { "yes" } else { "no" };
        table.row(vec![
            info.id.map(|id| id.value).unwrap_or_default(),
            info.name,
            info.user,
            active.to_owned(),
            amounts(&framework.allocated_resources),
        ]);
    }
    print(&table.to_string())
}

async fn tasks(operator: &mut Operator, all: bool) -> anyhow::Result<()> {
    let tasks = get_tasks(operator).await?;
    let mut table = Table::new(&["Task ID", "State", "Framework ID", "Agent ID", "Resources"]);
    let ended = tasks.completed_tasks.into_iter().filter(|_| all);
    for task in tasks.tasks.into_iter().chain(tasks.unreachable_tasks).chain(ended) {
        let state = task.state().as_str_name().to_owned();
        table.row(vec![
            task.task_id.value,
            state,
            task.framework_id.value,
            task.agent_id.value,
            amounts(&task.resources),
        ]);
    }
    print(&table.to_string())
}

/// Resources as people read them: `cpus:1; mem:128; ports:[31000-31000]`.
fn amounts(resources: &[Resource]) -> String {
    let mut resources = resources.to_vec();
    resources::format::upgrade_all(&mut resources);
    let resources = Resources::from_checked_protos(&resources);
    let amounts: Vec<String> = resources
        .names()
        .into_iter()
        .filter_map(|name| {
            let scalar = resources.scalar(&name).map(|scalar| scalar.to_string());
            let ranges = || resources.ranges(&name).map(|ranges| ranges.to_string());
            let set = || resources.set(&name).map(|set| set.to_string());
            let amount = scalar.or_else(ranges).or_else(set)?;
            Some(format!("{}:{amount}", name.as_str()))
        })
        .collect();
    amounts.join("; ")
}

async fn log(operator: &mut Operator, wanted: &str, file: &str, follow: bool) -> anyhow::Result<()> {
    let task = find_task(operator, wanted).await?;
    let mut agent = Operator::new(&agent_of(operator, &task).await?);
    let executor = task.executor_id.as_ref().map_or(&task.task_id.value, |executor| &executor.value);
    // A task of a group has files of its own.
    let in_group = exec::container_of(&task).is_some_and(|container| container.parent.is_some());
    let place = if in_group { format!("tasks/{}/{file}", task.task_id.value) } else { file.to_owned() };
    let mut output = SandboxFile::new(&task.framework_id.value, executor, &place);
    loop {
        // ORDER: the state first, so that what the task wrote before its end is copied after it.
        let runs = follow && is_running(operator, &task).await?;
        output.copy_new(&mut agent, &mut io::stdout()).await?;
        if !runs {
            return Ok(());
        }
        tokio::time::sleep(FOLLOW_INTERVAL).await;
    }
}

/// A task, and where its agent listens.
async fn located(operator: &mut Operator, wanted: &str) -> anyhow::Result<(Task, String)> {
    let task = find_task(operator, wanted).await?;
    let address = agent_of(operator, &task).await?;
    Ok((task, address))
}

/// Where a task's agent listens.
async fn agent_of(operator: &mut Operator, task: &Task) -> anyhow::Result<String> {
    let agents = get_agents(operator).await?.agents;
    let agent = agents
        .iter()
        .find(|agent| agent.agent_info.id.as_ref() == Some(&task.agent_id))
        .with_context(|| format!("the agent {} of the task is not registered", task.agent_id.value))?;
    address_of(agent)
}

/// The one task whose id is `wanted`, or begins so.
async fn find_task(operator: &mut Operator, wanted: &str) -> anyhow::Result<Task> {
    let tasks = get_tasks(operator).await?;
    let all = || tasks.tasks.iter().chain(&tasks.unreachable_tasks).chain(&tasks.completed_tasks);
    if let Some(task) = all().find(|task| task.task_id.value == wanted) {
        return Ok(task.clone());
    }
    let found: Vec<&Task> = all().filter(|task| task.task_id.value.starts_with(wanted)).collect();
    match found[..] {
        [task] => Ok(task.clone()),
        [] => bail!("no task '{wanted}'; 'mesos task list --all' shows those there are"),
        _ => {
            let ids: Vec<_> = found.iter().map(|task| task.task_id.value.as_str()).collect();
            bail!("several tasks begin with '{wanted}': {}", ids.join(", "))
        }
    }
}

async fn is_running(operator: &mut Operator, wanted: &Task) -> anyhow::Result<bool> {
    let same = |task: &Task| task.task_id == wanted.task_id && task.framework_id == wanted.framework_id;
    Ok(get_tasks(operator).await?.tasks.iter().any(same))
}
