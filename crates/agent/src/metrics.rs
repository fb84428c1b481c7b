//! The metrics of the agent (as observed of Mesos), as of a view.

use std::sync::atomic::Ordering;

use agent_core::{ExecutorPhase, View};
use daemon::metrics::Snapshot;
use http::Response;
use proto::mesos::v1::TaskState;
use resources::{Name, Resources, Scalar};

use crate::documents::state;
use crate::images::Images;
use crate::shell::Shell;

/// How sandboxes are kept, for `slave/executor_directory_max_allowed_age_secs`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeping {
    /// Seconds on an empty disk.
    pub(crate) delay_secs: f64,
    /// The share of the disk to be kept free.
    pub(crate) headroom: f64,
}

/// Every metric as of now, by name.
pub(crate) async fn snapshot(shell: &Shell, keeping: Keeping) -> Result<Snapshot, Response> {
    let view = shell.view().await?;
    let mut out = Snapshot::new();
    process(shell, keeping, &mut out);
    counted(&view, &mut out);
    tasks_and_executors(&view, &mut out);
    resources(&view, &mut out);
    Ok(out)
}

#[expect(clippy::cast_precision_loss, reason = "counts and bytes far below 2^53")]
fn process(shell: &Shell, keeping: Keeping, out: &mut Snapshot) {
    let stats = &shell.stats;
    let fetcher = shell.containerizer.fetcher_metrics();
    let usage = f64::from(stats.disk_permille.load(Ordering::Relaxed)) / 1000.0;
    let age_secs = keeping.delay_secs * (1.0 - keeping.headroom - usage).max(0.0);
    let mut put = |name: &str, value: f64| {
        out.insert(name.to_owned(), value);
    };
    put("slave/uptime_secs", shell.clock.uptime().as_secs_f64());
    put("slave/recovery_time_secs", stats.recovery_time().as_secs_f64());
    put("slave/executor_directory_max_allowed_age_secs", age_secs);
    put("gc/path_removals_pending", stats.removals_pending.load(Ordering::Relaxed) as f64);
    put("gc/path_removals_succeeded", stats.removals_succeeded.load(Ordering::Relaxed) as f64);
    put("gc/path_removals_failed", stats.removals_failed.load(Ordering::Relaxed) as f64);
    put("containerizer/fetcher/task_fetches_succeeded", fetcher.task_fetches_succeeded as f64);
    put("containerizer/fetcher/task_fetches_failed", fetcher.task_fetches_failed as f64);
    put("containerizer/fetcher/cache_size_total_bytes", fetcher.cache_size_total_bytes as f64);
    put("containerizer/fetcher/cache_size_used_bytes", fetcher.cache_size_used_bytes as f64);
    if let Some(pulls) = shell.containerizer.docker_pulls() {
        put("containerizer/docker/image_pull_ms", pulls.last_ms as f64);
        put("containerizer/docker/image_pull_ms/count", pulls.count as f64);
    }
    if let Some(images) = shell.images.as_ref().map(Images::metrics) {
        let store = |name: &str| format!("containerizer/mesos/provisioner/docker_store/{name}");
        put(&store("image_pull_ms"), images.last_pull_ms as f64);
        put(&store("image_pull_ms/count"), images.pulls as f64);
    }
    if let Some(projects) = shell.containerizer.project_counts() {
        put("containerizer/mesos/disk/project_ids_total", projects.total as f64);
        put("containerizer/mesos/disk/project_ids_free", projects.free as f64);
    }
    if let Some(gids) = shell.containerizer.volume_gid_counts() {
        put("volume_gid_manager/volume_gids_total", gids.total as f64);
        put("volume_gid_manager/volume_gids_free", gids.free as f64);
    }
    // What this version does not have has not happened either.
    for name in [
        "containerizer/mesos/container_destroy_errors",
        "containerizer/mesos/provisioner/bind/remove_rootfs_errors",
        "containerizer/mesos/provisioner/remove_container_errors",
        "resource_provider_manager/events/disconnect",
        "resource_provider_manager/events/subscribe",
        "resource_provider_manager/subscribed",
        "slave/executors_preempted",
    ] {
        put(name, 0.0);
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn counted(view: &View, out: &mut Snapshot) {
    let counters = &view.counters;
    for (name, count) in [
        ("tasks_finished", counters.tasks_finished),
        ("tasks_failed", counters.tasks_failed),
        ("tasks_killed", counters.tasks_killed),
        ("tasks_lost", counters.tasks_lost),
        ("tasks_gone", counters.tasks_gone),
        ("executors_terminated", counters.executors_terminated),
        ("container_launch_errors", counters.container_launch_errors),
        ("valid_status_updates", counters.valid_status_updates),
        ("invalid_status_updates", counters.invalid_status_updates),
        ("valid_framework_messages", counters.valid_framework_messages),
        ("invalid_framework_messages", counters.invalid_framework_messages),
        ("recovery_errors", counters.recovery_errors),
        ("registered", u64::from(view.registered())),
    ] {
        out.insert(format!("slave/{name}"), count as f64);
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn tasks_and_executors(view: &View, out: &mut Snapshot) {
    let executors = || view.frameworks.iter().flat_map(|framework| &framework.executors);
    let in_phase = |phase| executors().filter(|executor| executor.phase == phase).count() as f64;
    let in_state = |state: TaskState| {
        executors().flat_map(|executor| &executor.launched).filter(|task| task.state() == state).count()
            as f64
    };
    let queued: usize = executors().map(|executor| executor.queued.len()).sum();
    let mut put = |name: &str, value: f64| {
        out.insert(format!("slave/{name}"), value);
    };
    put("frameworks_active", view.frameworks.len() as f64);
    put("executors_registering", in_phase(ExecutorPhase::Registering));
    put("executors_running", in_phase(ExecutorPhase::Running));
    put("executors_terminating", in_phase(ExecutorPhase::Terminating));
    put("tasks_staging", queued as f64 + in_state(TaskState::TaskStaging));
    put("tasks_starting", in_state(TaskState::TaskStarting));
    put("tasks_running", in_state(TaskState::TaskRunning));
    put("tasks_killing", in_state(TaskState::TaskKilling));
}

fn resources(view: &View, out: &mut Snapshot) {
    let total = Resources::from_checked_protos(&view.info.resources);
    let used = state::allocated(view);
    for (suffix, total, used) in [
        ("", total.non_revocable(), used.non_revocable()),
        ("_revocable", total.revocable(), used.revocable()),
    ] {
        for name in [Name::CPUS, Name::GPUS, Name::MEM, Name::DISK] {
            let amount = |of: &Resources| of.scalar(&name).map_or(0.0, Scalar::as_f64);
            let (total, used) = (amount(&total), amount(&used));
            let percent = if total > 0.0 { used / total } else { 0.0 };
            out.insert(format!("slave/{name}{suffix}_total"), total);
            out.insert(format!("slave/{name}{suffix}_used"), used);
            out.insert(format!("slave/{name}{suffix}_percent"), percent);
        }
    }
}
