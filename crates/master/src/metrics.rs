//! The metrics of the master under the names of Mesos.
//!
//! The core counts and derives what is under `master/`; this file adds what only the process knows.

use std::sync::atomic::Ordering;

use daemon::metrics::Snapshot;
use http::Response;
use master_core::View;
use prost::Message as _;
use resources::{Name, Resources, Scalar};

use crate::documents::roles;
use crate::shell::Shell;

/// The resources whose shares are published.
const SHARED: [Name; 3] = [Name::CPUS, Name::DISK, Name::MEM];

/// Every metric as of now, by name.
pub(crate) async fn snapshot(shell: &Shell) -> Result<Snapshot, Response> {
    let reading = shell.snapshot().await?;
    let mut out = master_core::metrics::snapshot(&reading.view);
    process(shell, &reading.view, &mut out);
    allocator(shell, &reading.view, &mut out);
    for principal in reading.view.frameworks.iter().filter_map(|one| one.info.principal.as_deref()) {
        // COMPAT(mesos): these count messages of drivers that authenticated; calls over HTTP never did count.
        out.insert(format!("frameworks/{principal}/messages_processed"), 0.0);
        out.insert(format!("frameworks/{principal}/messages_received"), 0.0);
    }
    Ok(out)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn process(shell: &Shell, view: &View, out: &mut Snapshot) {
    let waiting = shell.inputs.max_capacity() - shell.inputs.capacity();
    let mut put = |name: &str, value: f64| {
        out.insert(name.to_owned(), value);
    };
    put("master/uptime_secs", shell.clock.uptime().as_secs_f64());
    put("master/http_cache_hits", shell.hits.load(Ordering::Relaxed) as f64);
    // Messages, requests and dispatches wait in one queue here.
    put("master/event_queue_dispatches", waiting as f64);
    put("master/event_queue_http_requests", 0.0);
    put("master/event_queue_messages", 0.0);
    put("registrar/queued_operations", shell.timings.registry_queued.load(Ordering::Relaxed) as f64);
    let kept = shell.timings.registry_bytes.load(Ordering::Relaxed);
    if kept > 0 {
        put("registrar/registry_size_bytes", kept as f64);
        // COMPAT(mesos): these two are there for a registry that outlives its master alone.
        put("registrar/log/recovered", 1.0);
        put("registrar/log/ensemble_size", 1.0);
    } else {
        // The registry in memory is never written; this is what its agents would take.
        let agents = view.agents.iter().map(|agent| agent.info.encoded_len());
        put("registrar/registry_size_bytes", agents.sum::<usize>() as f64);
    }
    shell.timings.state_fetch.publish("registrar/state_fetch", out);
    shell.timings.state_store.publish("registrar/state_store", out);
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn allocator(shell: &Shell, view: &View, out: &mut Snapshot) {
    // There is no queue between the master and its allocator.
    out.insert("allocator/event_queue_dispatches".to_owned(), 0.0);
    out.insert("allocator/mesos/event_queue_dispatches".to_owned(), 0.0);
    let runs = shell.timings.allocation_runs.value();
    out.insert("allocator/mesos/allocation_runs".to_owned(), runs);
    shell.timings.allocation_run.publish("allocator/mesos/allocation_run", out);
    shell.timings.allocation_latency.publish("allocator/mesos/allocation_run_latency", out);
    let total = |name: &Name| sum(view.agents.iter().map(|agent| &agent.total), name);
    for name in &SHARED {
        let taken = view.agents.iter().flat_map(|agent| agent.used.values().chain([&agent.offered]));
        let prefix = format!("allocator/mesos/resources/{name}");
        out.insert(format!("{prefix}/offered_or_allocated"), sum(taken, name));
        out.insert(format!("{prefix}/total"), total(name));
    }
    let known = roles::known(view);
    for role in known.iter().filter(|role| !role.quota.is_default()) {
        quota(role, out);
    }
    for role in &known {
        let filters = view.roles.get(&role.role).map_or(0, |figures| figures.filters);
        out.insert(format!("allocator/mesos/offer_filters/roles/{}/active", role.role), filters as f64);
        for (name, consumed) in role.consumed.iter() {
            let prefix = format!("allocator/mesos/quota/roles/{}", role.role);
            out.insert(format!("{prefix}/resources/{name}/consumed"), consumed.as_f64());
            if !role.role.as_str().contains('/') {
                // COMPAT(mesos): the root of all roles has the empty name.
                *out.entry(format!("allocator/mesos/quota/roles//resources/{name}/consumed")).or_default() +=
                    consumed.as_f64();
            }
        }
    }
    for (role, figures) in &view.roles {
        out.insert(format!("allocator/mesos/roles/{role}/shares/dominant"), figures.share.as_f64());
    }
}

/// What a role with quota has of each resource that its quota names.
fn quota(role: &roles::Known, out: &mut Snapshot) {
    let mut taken = role.allocated.clone();
    taken += &role.offered;
    let mut put = |name: &Name, what: &str, amount: Scalar| {
        let key = format!("allocator/mesos/quota/roles/{}/resources/{name}/{what}", role.role);
        out.insert(key, amount.as_f64());
    };
    let guarantees = role.quota.guarantees.iter();
    guarantees.for_each(|(name, amount)| put(name, "guarantee", *amount));
    role.quota.limits.iter().for_each(|(name, bound)| put(name, "limit", *bound));
    for (name, _) in role.quota.guarantees.iter().chain(role.quota.limits.iter()) {
        put(name, "offered_or_allocated", taken.get(name));
    }
}

fn sum<'r>(all: impl Iterator<Item = &'r Resources>, name: &Name) -> f64 {
    let mut sum = Scalar::ZERO;
    for scalar in all.filter_map(|resources| resources.scalar(name)) {
        sum += scalar;
    }
    sum.as_f64()
}
