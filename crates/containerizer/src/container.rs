//! The life of one container, from its files to its end: one task per container, nothing else touches its processes.

use std::fs;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fail_point::fail_point;
use launch_plan::{Amounts, Bind, Container, Process as Planned, Rootfs, UserNamespace, plan};
use linux::Cgroup;
use proto::mesos::slave::ContainerLimitation;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use seccomp::Profile;
use tokio::io::AsyncWriteExt as _;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use types::ContainerId;

use crate::cgroups::Cgroups;
use crate::config::Config;
use crate::entries::{Shared, root_of};
use crate::fetching::{Fetching, fetch};
use crate::first::First;
use crate::handed_on;
use crate::host_paths;
use crate::image_volumes;
use crate::io::{Carrier, Helper, Opened, Place, Port, Streams};
use crate::launch_helper::{LaunchArgs, Stdin, padded_input};
use crate::networks::Attached;
use crate::notice::Notice;
use crate::prepared::{Prepared, prepare};
use crate::process::{Process, Signs, has_sandbox};
use crate::sandbox_paths::{self, Mounts};
use crate::seccomp_profiles::profile_of;
use crate::spec::Spec;
use crate::steps;
use crate::users::{self, Account};
use crate::volume_gids;
use crate::volumes::relink;
use crate::watch::{Watch, termination};

/// Set to true when the container shall end.
pub(crate) type Destroy = watch::Receiver<bool>;

/// How long the helper may take to read its input. It does nothing else, so that only a machine that thrashes gets
/// anywhere near.
const HELPER_PATIENCE: Duration = Duration::from_secs(60);

/// How often a process is looked at where the kernel cannot tell of its end.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// The wait status of what was killed.
const SIGKILL: i32 = 9;

/// How long the end of a process that was killed is waited for: longer only if it cannot be killed.
const REAP_PATIENCE: Duration = Duration::from_secs(5);

/// Launches a container and stays until nothing is left of it.
pub(crate) async fn launch(shared: Arc<Shared>, spec: Spec, mut destroy: Destroy) {
    let id = spec.container.clone();
    let by_name = spec.by_name.is_some();
    let started = tokio::select! {
        biased;
        () = ordered(&mut destroy) => Err("Container is being destroyed during launching".to_owned()),
        started = start(&shared, &spec) => started,
    };
    let (first, watch) = match started {
        Ok(started) => started,
        Err(message) => {
            give_up(&shared, &id).await;
            return shared.notify(Notice::Failed { container: id, message }).await;
        }
    };
    shared.running(&id);
    let networks = shared.networks.of(&id).unwrap_or_default().infos;
    shared.notify(Notice::Launched { container: id.clone(), pid: first.pid, networks }).await;
    shared.observe(&id, false);
    let mut limitation = None;
    let carrier = shared.carrier(&id).flatten();
    let ended = tokio::select! {
        status = first.ended() => Some(status),
        () = ordered(&mut destroy) => None,
        failed = Carrier::failed(carrier.as_ref()) => {
            limitation = Some(failed);
            None
        }
        reached = watch.reached(&shared, &id) => {
            limitation = Some(reached);
            None
        }
    };
    let status = match ended {
        Some(status) => {
            // A terminal that is gone ends what runs in it.
            limitation = Carrier::has_failed(carrier.as_ref());
            tokio::select! {
                () = Carrier::until_seen(carrier.as_ref()) => {}
                () = ordered(&mut destroy) => {}
            }
            status
        }
        None => {
            limitation = limitation.or_else(|| watch.at_end());
            report_left(&id, &shared.kill(&id).await);
            reap(&first).await
        }
    };
    let status = status.inspect_err(|error| {
        tracing::warn!(container = %id, %error, "cannot learn how a container ended");
    });
    let limitation = limitation.or_else(|| watch.at_end());
    // The process beside the command knows better than the kernel how that ended.
    let recorded = by_name.then(|| shared.config.recorded_status(&id)).flatten();
    end(&shared, id, recorded.or(status.ok()), limitation).await;
}

/// Picks up a container of an earlier agent and stays until nothing is left of it.
pub(crate) async fn adopt(
    shared: Arc<Shared>,
    id: ContainerId,
    pid: Option<u32>,
    directory: String,
    mut destroy: Destroy,
) {
    if let Err(error) = shared.assign_project(&id).await {
        tracing::warn!(container = %id, error, "an adopted container's sandbox is not bounded");
    }
    // An agent that died while it removed them has left some.
    let cgroups =
        Cgroups::of(&shared.config, &id).filter(|cgroups| cgroups.exist() || cgroups.others_exist());
    // Another process may have the pid by now; the container's is in its cgroup, or has its sandbox in the environment.
    let by_name = shared.is_by_name(&id);
    let leader = pid.and_then(Process::read).filter(|process| {
        let own = match &cgroups {
            Some(cgroups) => cgroups.contain(process.pid),
            None if by_name => shared.config.is_watcher(process.pid, &id),
            None => {
                has_sandbox(process.pid, &directory)
                    || runs_in(process.pid, Path::new(&directory))
                    || is_helper(process.pid, &directory)
            }
        };
        !process.ended && own
    });
    let watch = Watch::new(&shared.config, cgroups.clone());
    let signs = Signs {
        // Without its leader the number of the session says nothing; the sandbox in the environment does.
        leader: leader.as_ref().map_or(0, |leader| leader.pid),
        started: leader.as_ref().map(|leader| leader.started),
        sandbox: directory,
        cgroups,
    };
    shared.networks.recover(&id);
    let networks = shared.networks.of(&id).unwrap_or_default().infos;
    let leader_pid = signs.leader;
    let helper = shared.config.place(&id).and_then(|place| Helper::adopt(&Place::of(&place), &signs.sandbox));
    shared.carried(&id, helper.map(|helper| Carrier::Helper(Arc::new(helper))));
    shared.made(&id, signs);
    shared.observe(&id, true);
    shared.running(&id);
    fail_point("container.adopted");
    shared.notify(Notice::Launched { container: id.clone(), pid: leader_pid, networks }).await;
    let mut limitation = None;
    let mut killed = false;
    if let Some(leader) = leader {
        tokio::select! {
            () = ended(&leader) => {}
            () = ordered(&mut destroy) => killed = true,
            reached = watch.reached(&shared, &id) => limitation = Some(reached),
        }
    }
    let limitation = limitation.or_else(|| watch.at_end());
    // Only a parent learns the exit status. One stays beside a command that was asked for by name.
    let status = by_name.then(|| shared.config.recorded_status(&id).or(killed.then_some(SIGKILL))).flatten();
    end(&shared, id, status, limitation).await;
}

/// Ends what is left of a container and reports its end.
async fn end(shared: &Shared, id: ContainerId, status: Option<i32>, limitation: Option<ContainerLimitation>) {
    fail_point("container.killing");
    let left = shared.kill(&id).await;
    report_left(&id, &left);
    fail_point("container.killed");
    // ORDER: what it printed is in its files before anybody is told of its end.
    finish_carrier(shared, &id).await;
    // ORDER: before its end is noted; a later agent looks after those that have not ended.
    shared.networks.detach(&id).await;
    shared.docker_volumes.release(&id).await;
    volume_gids::release(shared, &id).await;
    let termination = Box::new(termination(status, limitation));
    remove_root(shared, &id).await;
    let by_name = shared.is_by_name(&id);
    if by_name && left.is_empty() {
        shared.config.record_end(&id, &termination);
    }
    fail_point("container.ended");
    shared.forget(&id, left.is_empty() && !by_name);
    fail_point("container.forgotten");
    shared.notify(Notice::Exited { container: id, termination }).await;
}

/// Ends what a launch that was given up has made.
async fn give_up(shared: &Shared, id: &ContainerId) {
    // What has not begun has nothing to be killed.
    let left = if shared.is_made(id) { shared.kill(id).await } else { Vec::new() };
    report_left(id, &left);
    if let Some(first) = shared.first(id) {
        // A process that cannot be killed is reported already.
        let _ = reap(&first).await;
    }
    finish_carrier(shared, id).await;
    shared.networks.detach(id).await;
    shared.docker_volumes.release(id).await;
    volume_gids::release(shared, id).await;
    remove_root(shared, id).await;
    shared.forget(id, left.is_empty());
}

/// Removes what was provided for a container that has ended, on a thread that may block.
async fn remove_root(shared: &Shared, id: &ContainerId) {
    let Some(provisioner) = shared.config.provisioner.as_ref().filter(|it| it.has(id)).cloned() else {
        return;
    };
    let id = id.clone();
    if tokio::task::spawn_blocking(move || provisioner.destroy(&id)).await.is_err() {
        tracing::error!("removing a container's root panicked");
    }
}

/// Whoever carries its input and output has nothing more to wait for.
async fn finish_carrier(shared: &Shared, id: &ContainerId) {
    if let Some(carrier) = shared.carrier(id).flatten() {
        carrier.finish().await;
    }
}

/// Takes note of the end of a process that was killed, so that nothing of it stays.
async fn reap(first: &First) -> io::Result<i32> {
    tokio::time::timeout(REAP_PATIENCE, first.ended())
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn report_left(container: &ContainerId, left: &[u32]) {
    if !left.is_empty() {
        tracing::error!(%container, pids = ?left, "processes of a container cannot be killed");
    }
}

async fn ordered(destroy: &mut Destroy) {
    // A closed channel means that the containerizer is gone; its containers live on.
    if destroy.wait_for(|ordered| *ordered).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Brings a container up to the point where its command begins.
async fn start(shared: &Arc<Shared>, spec: &Spec) -> Result<(First, Watch), String> {
    let account = match &spec.user {
        Some(user) => Some(users::lookup(user).map_err(|error| error.to_string())?),
        None => None,
    };
    // ORDER: before there are files in the sandbox, which belong to its project then.
    shared.assign_project(&spec.container).await?;
    let opened = crate::io::open_streams(&shared.config, spec, account.as_ref())?;
    shared.carried(&spec.container, opened.carrier.clone());
    let mut groups = link(shared, spec).await?;
    link_sandbox_paths(shared, spec, account.clone()).await?;
    groups.extend(volume_gids::groups_of_sandbox_paths(shared, spec, account.as_ref()).await?);
    groups.sort_unstable();
    groups.dedup();
    if let Some(by_name) = &spec.by_name {
        let recorded = shared.config.record(&spec.container, &by_name.config, by_name.is_session);
        recorded.map_err(|error| format!("Failed to create the runtime directory: {error}"))?;
        fail_point("container.recorded");
    }
    let prepared = prepare(shared, spec).await?;
    let image_volumes = image_volumes::provide(shared, spec).await?;
    shared.assign_root_project(&spec.container, prepared.rootfs.iter().chain(&image_volumes)).await?;
    let secrets = spec.info.as_ref().map(secrets_of).unwrap_or_default();
    let wanted = match is_session(spec) {
        true => None,
        false => shared.networks.find(&spec.container, spec.info.as_ref()).await?,
    };
    let docker_volumes = match spec.info.as_ref().filter(|_| !is_session(spec)) {
        Some(info) => shared.docker_volumes.mount(&spec.container, info, account.as_ref()).await?,
        None => Vec::new(),
    };
    let mut environment = prepared.environment.clone();
    if wanted.is_some() {
        Attached::reserve(&mut environment);
    }
    let no_environment = "The environment has a name or a value that is none";
    let mut input = padded_input(&environment, &secrets, 0).ok_or(no_environment)?;
    let owner = account.as_ref().map(|account| account.uid).filter(|uid| *uid != 0);
    fetch(Arc::clone(&shared.config.fetcher), fetching(spec, account)).await?;
    fail_point("container.fetched");
    let around = around(shared, spec).await;
    let profile = profile_of(&shared.config, spec.info.as_ref()).await?;
    let made = Made {
        owner,
        around: around?,
        profile: profile.as_deref(),
        input_bytes: input.len(),
        docker_volumes,
        image_volumes,
        groups,
    };
    let (first, mut stdin, watch) = isolate(shared, spec, &prepared, &made, &opened)?;
    let leader = first.pid;
    // ORDER: a restarted agent must know the pid of whatever runs, so it is written before the command begins.
    let own_file = spec.by_name.as_ref().and_then(|_| shared.config.pid_file(&spec.container));
    if let Some(path) = spec.forked_pid_path.clone().or(own_file) {
        write_pid(&path, leader).map_err(|error| format!("Failed to checkpoint the forked pid: {error}"))?;
    }
    fail_point("container.pid_written");
    if let Some(wanted) = wanted {
        let attached = shared.networks.attach(&spec.container, leader, wanted).await?;
        let mut environment = prepared.environment.clone();
        attached.tell(&mut environment);
        input = padded_input(&environment, &secrets, input.len()).ok_or(no_environment)?;
    }
    let telling = async {
        stdin.write_all(&input).await?;
        match opened.streams {
            // What comes after that is the command's to read.
            Streams::Typed(board) => board.open_input(Port::new(stdin.into_nonblocking_fd()?)?),
            Streams::Plain | Streams::Terminal(_) => stdin.shutdown().await?,
        }
        io::Result::Ok(())
    };
    match tokio::time::timeout(HELPER_PATIENCE, telling).await {
        Ok(Ok(())) => {}
        // It ended before it read everything, and says why in its stderr: an exit like any other.
        Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Ok(Err(error)) => return Err(format!("Failed to give the launch helper its environment: {error}")),
        Err(_) => return Err("The launch helper did not take its environment in time".to_owned()),
    }
    fail_point("container.told");
    Ok((first, watch))
}

/// What is found out about a container before it is isolated, since that does not wait.
struct Made<'a> {
    /// Who its command runs as, if that is not root.
    owner: Option<u32>,
    /// A process of the container around it.
    around: Option<u32>,
    /// Its seccomp profile.
    profile: Option<&'a Profile>,
    /// How much its first process reads before its command begins.
    input_bytes: usize,
    /// Where its volumes of Docker are.
    docker_volumes: Vec<String>,
    /// What was provided for its volumes that are images.
    image_volumes: Vec<Rootfs>,
    /// The groups that its volumes belong to.
    groups: Vec<u32>,
}

/// Makes the container's cgroups, starts its first process and moves it there. It waits for the word.
///
/// It does not wait, so that a launch that is given up is so before it or after it: what it makes is known to
/// `shared` at every point where another task may look.
fn isolate(
    shared: &Shared,
    spec: &Spec,
    prepared: &Prepared,
    made: &Made<'_>,
    opened: &Opened,
) -> Result<(First, tokio::net::unix::pipe::Sender, Watch), String> {
    let config = &shared.config;
    let (resources, limits) = shared.amounts(&spec.container).unwrap_or_default();
    let is_session = is_session(spec);
    let shares = spec.info.as_ref().and_then(|info| info.linux_info.as_ref());
    let shares = is_session || shares.is_none_or(|linux| linux.share_cgroups());
    let sandbox = spec.directory.to_string_lossy().into_owned();
    let parent = spec.container.parent.as_deref();
    let has_root = |id: &ContainerId| config.provisioner.as_ref().is_some_and(|it| it.has_root(id));
    let sandbox_root = parent.and_then(|_| shared.directory_of(root_of(&spec.container)));
    let sandbox_root = sandbox_root.map(|root| root.to_string_lossy().into_owned());
    let volumes = shared.volumes_of(&spec.container);
    let around = parent.and_then(|parent| Some((shared.directory_of(parent)?, shared.volumes_of(parent))));
    let around = around.map(|(sandbox, volumes)| (sandbox.to_string_lossy().into_owned(), volumes));
    let gpus = shared.hold_gpus(&spec.container, &resources)?;
    let container = Container {
        id: &spec.container,
        gpus: &gpus,
        shares_cgroups_of: shares.then(|| shared.owner_of_cgroups(&spec.container)).flatten(),
        is_session,
        amounts: Amounts::of(&resources, &limits),
        info: spec.info.as_ref(),
        is_command_task: spec.is_command_task,
        owner: made.owner,
        seccomp: made.profile,
        sandbox: &sandbox,
        sandbox_root: sandbox_root.as_deref(),
        volumes: &volumes,
        docker_volumes: &made.docker_volumes,
        image_volumes: &made.image_volumes,
        mounts_sandbox_paths: volume_gids::mounts_sandbox_paths(config),
        around: around.as_ref().map(|(sandbox, volumes)| (&sandbox[..], &volumes[..])),
        root: prepared.rootfs.as_ref(),
        around_has_root: parent.is_some_and(has_root),
        sees_all_processes: shared.sees_all_processes(&spec.container),
        ids: shared.ids_of(&spec.container)?,
        network_of: shared.networks.around(&spec.container),
    };
    let plan = plan(&config.settings, &config.facts, &container).map_err(|refusal| refusal.to_string())?;
    if plan.process.enters() && made.around.is_none() {
        return Err("The parent container has no process whose namespaces could be entered".to_owned());
    }
    let cgroups = Cgroups::of(config, &spec.container);
    if cgroups.is_some() {
        config
            .mark(&spec.container)
            .map_err(|error| format!("Failed to create the runtime directory: {error}"))?;
    }
    fail_point("container.marked");
    shared.note_gpus(&spec.container)?;
    steps::carry_out(&plan.steps).inspect_err(|_| config.unmark(&spec.container))?;
    fail_point("container.cgroups_made");
    let classified = shared.observed.classify(config, &spec.container, cgroups.as_ref());
    let watch = Watch::new(config, cgroups.clone());
    let mut signs = Signs { leader: 0, started: None, sandbox, cgroups };
    shared.made(&spec.container, signs.clone());
    // ORDER: after it is known that there are cgroups, which are then destroyed.
    classified?;
    opened.give_terminal(&plan.process, made.owner)?;
    let mut arguments = arguments(config, spec, prepared, &plan.process, made);
    stream_arguments(&mut arguments, spec, &opened.streams, made.input_bytes);
    let born_in = plan.born_in.as_ref().map(Cgroup::at);
    let launcher = &config.launcher_binary;
    let first = First::start(&shared.nursery, launcher, &arguments, &opened.outputs, born_in.as_ref());
    let (first, stdin) =
        first.map_err(|error| format!("Failed to start '{}': {error}", launcher.display()))?;
    fail_point("container.cloned");
    signs.leader = first.pid;
    signs.started = first.started;
    shared.made(&spec.container, signs);
    shared.started(&spec.container, first.clone());
    steps::join(&plan, first.pid)?;
    // Its tasks may have changed since the plan was made.
    shared.resize_if_changed(&spec.container, &(resources, limits))?;
    Ok((first, stdin, watch))
}

/// Whether it only looks into the container around it.
fn is_session(spec: &Spec) -> bool {
    spec.by_name.as_ref().is_some_and(|by_name| by_name.is_session)
}

fn arguments(
    config: &Config,
    spec: &Spec,
    prepared: &Prepared,
    process: &Planned,
    made: &Made<'_>,
) -> LaunchArgs {
    let by_name = spec.by_name.as_ref();
    let mut process =
        Planned { user_namespace: users(spec, process, &made.image_volumes), ..process.clone() };
    let mut argv = prepared.program.argv.clone();
    argv.extend(handed_on::to_arguments(&mut process));
    let mut groups = made.groups.clone();
    // Its executor is root.
    if process.root.as_ref().is_some_and(|root| root.is_for_another) && !groups.is_empty() {
        argv.push(handed_on::groups(&std::mem::take(&mut groups)));
    }
    LaunchArgs {
        directory: prepared.directory.clone().into(),
        user: prepared.user.clone(),
        groups,
        process,
        around: made.around,
        status: by_name.and_then(|_| config.status_file(&spec.container)).map(Into::into),
        enter_root: None,
        program: prepared.program.path.clone(),
        argv,
        stdin: Stdin::Nothing,
    }
}

/// What the helper is told of its standard input.
fn stream_arguments(arguments: &mut LaunchArgs, spec: &Spec, streams: &Streams, input_bytes: usize) {
    match streams {
        Streams::Plain => {}
        Streams::Typed(_) => arguments.stdin = Stdin::Rest(input_bytes),
        Streams::Terminal(path) => {
            // COMPAT(mesos): the executor of a command task leaves its terminal to the task.
            match spec.is_command_task {
                true => arguments.argv.push(format!("--tty_slave_path={path}").into()),
                false => arguments.stdin = Stdin::Terminal,
            }
            // A root of its own has pseudo terminals of its own, among which this one is not.
            let console = arguments.process.root.is_some().then(|| Bind {
                source: path.clone(),
                target: "/dev/console".to_owned(),
                ..Bind::default()
            });
            arguments.process.binds.extend(console);
        }
    }
}

/// The users of a container, with what belongs to them.
fn users(spec: &Spec, process: &Planned, images: &[Rootfs]) -> Option<UserNamespace> {
    let mut users = process.user_namespace.clone()?;
    // What is in another container finds its files in that one's.
    if !process.enter_mounts {
        let volumes = spec.volumes.iter().map(|volume| volume.source.as_path());
        let files = std::iter::once(spec.directory.as_path()).chain(volumes);
        users.files = files.map(|path| path.to_string_lossy().into_owned()).collect();
    }
    users.files.extend(images.iter().map(|image| image.path.clone()));
    Some(users)
}

/// A process of the container around this one.
async fn around(shared: &Arc<Shared>, spec: &Spec) -> Result<Option<u32>, String> {
    let Some(parent) = spec.container.parent.clone() else { return Ok(None) };
    let (shared, is_session) = (Arc::clone(shared), is_session(spec));
    let looking = tokio::task::spawn_blocking(move || match is_session {
        true => shared.looked_into(&parent),
        false => Ok(shared.process_in(&parent)),
    });
    looking.await.unwrap_or_else(|_| Err("Looking for the parent container's process panicked".to_owned()))
}

/// Links volumes that are paths in sandboxes, on a thread that may block.
async fn link_sandbox_paths(shared: &Shared, spec: &Spec, owner: Option<Account>) -> Result<(), String> {
    let Some(info) = spec.info.clone().filter(|info| !info.volumes.is_empty()) else { return Ok(()) };
    let has_root = spec.image.is_some();
    let allowed = shared.config.settings.host_path_force_creation.clone();
    let parent = spec.container.parent.as_deref().and_then(|parent| shared.directory_of(parent));
    let own = spec.directory.clone();
    let mounts =
        Mounts { own: has_root, around: has_root || volume_gids::mounts_sandbox_paths(&shared.config) };
    let linking = tokio::task::spawn_blocking(move || {
        if host_paths::are_in(&info) {
            host_paths::prepare(&info, &allowed)?;
        }
        sandbox_paths::link(&info, &own, parent.as_deref(), owner.as_ref(), mounts)
    });
    linking.await.unwrap_or_else(|_| Err("Linking the volumes panicked".to_owned()))
}

/// Shows a container its volumes, on a thread that may block. Returns the groups that they belong to.
async fn link(shared: &Shared, spec: &Spec) -> Result<Vec<u32>, String> {
    if spec.volumes.is_empty() {
        return Ok(Vec::new());
    }
    let used: Vec<_> =
        spec.volumes.iter().filter(|volume| shared.in_use(&spec.container, volume)).cloned().collect();
    let (sandbox, volumes) = (spec.directory.clone(), spec.volumes.clone());
    let gids = shared.config.volume_gids.clone();
    let linking = tokio::task::spawn_blocking(move || {
        relink(&sandbox, &[], &volumes, gids.as_deref(), |volume| used.contains(volume))
    });
    linking.await.unwrap_or_else(|_| Err("Linking the persistent volumes panicked".to_owned()))
}

/// What is in the secrets among the volumes.
fn secrets_of(info: &proto::mesos::v1::ContainerInfo) -> Vec<&[u8]> {
    let secrets = info.volumes.iter().filter_map(|volume| volume.source.as_ref()?.secret.as_ref());
    secrets.filter_map(|secret| Some(secret.value.as_ref()?.data.as_ref())).collect()
}

fn fetching(spec: &Spec, user: Option<Account>) -> Fetching {
    Fetching {
        container: spec.container.to_string(),
        uris: spec.uris.clone(),
        sandbox: spec.directory.clone(),
        user,
    }
}

/// Writes the pid as text: a temporary file, renamed. It must outlive the agent, and no process outlives the machine, so
/// that it need not be on the disk.
fn write_pid(path: &Path, pid: u32) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)?;
    let mut temporary: PathBuf = path.to_owned();
    temporary.as_mut_os_string().push(".tmp");
    let mut file = fs::File::create(&temporary)?;
    write!(file, "{pid}")?;
    fs::rename(&temporary, path)
}

fn runs_in(pid: u32, directory: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == directory)
}

/// Whether it is the launch helper for that sandbox, which is not there yet.
fn is_helper(pid: u32, directory: &str) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let mut words = line.split(|byte| *byte == 0).skip(1);
    words.next() == Some(b"containerizer")
        && words.next() == Some(b"launch")
        && words.any(|word| word == b"--directory")
        && words.next() == Some(directory.as_bytes())
}

/// Waits for the end of a process that is no child of this one.
async fn ended(process: &Process) {
    if let Some(handle) = watch_handle(process) {
        // The handle becomes readable when the process ends. A failed wait falls back to looking.
        if handle.readable().await.is_ok() {
            return;
        }
    }
    let lives = || Process::read(process.pid).is_some_and(|now| !now.ended && now.started == process.started);
    while lives() {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn watch_handle(process: &Process) -> Option<AsyncFd<OwnedFd>> {
    let pid = Pid::from_raw(i32::try_from(process.pid).ok()?)?;
    let handle = pidfd_open(pid, PidfdFlags::NONBLOCK).ok()?;
    // The pid may have changed hands before the handle was opened; afterwards it cannot.
    Process::read(process.pid).filter(|now| now.started == process.started)?;
    #[expect(
        deprecated,
        reason = "an `OwnedFd` stays open as long as it lives, which is all that `register` asks for"
    )]
    AsyncFd::new(handle).ok()
}
