//! The run: a master, agents and frameworks, windows of life-cycles interleaved with the calibrator's, and the audit.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::BytesMut;
use serde_json::Value;

use crate::answers::{AnswerDecoder, Piece};
use crate::cluster::Cluster;
use crate::echo::Echo;
use crate::options::Options;
use crate::process::{self, Started};
use crate::report::{EchoWindow, Report, Window};
use crate::traffic::{Kind, Script, mean_in_flight};

/// How long all agents may take to register, and all frameworks to subscribe.
pub(crate) const START_PATIENCE: Duration = Duration::from_secs(120);

/// How long the master may take, after the last task, to have everything free again.
const SETTLE_PATIENCE: Duration = Duration::from_secs(10);

/// How long one document of the master may take.
const DOCUMENT_PATIENCE: Duration = Duration::from_secs(60);

/// More than these no run has any use for.
const AGENTS_MAX: usize = 60_000;
const FRAMEWORKS_MAX: usize = 5_000;
const TASKS_MAX: u64 = 50_000_000;

/// Lives the life-cycles, and audits them. An error means that there was nothing to measure; whatever the audit found is in
/// the report.
pub fn run(options: &Options) -> anyhow::Result<Report> {
    check(options)?;
    process::raise_files_max()?;
    let own_master = match options.master {
        Some(_) => None,
        None => Some(Started::master(options)?),
    };
    let address = own_master.as_ref().map(|master| master.address).or(options.master);
    let address = address.context("there is no master")?;
    let pid = own_master.as_ref().map(Started::pid).or(options.master_pid);
    let before = Counts::read(address)?;
    let mut cluster = Cluster::new(options, address)?;
    let began = Instant::now();
    start(&mut cluster, options)?;
    let registration_us = micros(began.elapsed());
    let mut bench = Bench { options, pid, cluster, echo: None, expected: 0, until: began + total(options) };
    let mut windows = Vec::new();
    let mut whole = bench.live(options.warm_up)?.is_some();
    for pair in 0..options.pairs {
        if !whole {
            break;
        }
        let count = share(options.tasks, options.pairs, pair);
        match bench.live(count)? {
            Some(window) => windows.push(window),
            None => whole = false,
        }
        if let Some(window) = windows.last_mut().filter(|_| whole && !options.no_echo) {
            window.echo = Some(bench.calibrate(&window.script, window.in_flight, count)?);
        }
    }
    let mut cluster = bench.cluster;
    let expected = bench.expected;
    let mut complaints = cluster.ledger.audit(expected);
    if !whole {
        complaints.push("the run stood still or took too long, and was given up".to_owned());
    }
    complaints.extend(settle(&mut cluster, options, address, &before, expected)?);
    cluster.tear_down();
    // What comes of it is no part of the run; a master of somebody else is left clean.
    cluster.run_until(Duration::from_millis(300), Duration::from_secs(1), |_| false)?;
    Ok(Report {
        windows,
        launched: cluster.ledger.launched(),
        done: cluster.ledger.done(),
        repeated: cluster.ledger.repeated(),
        registration_us,
        complaints,
    })
}

fn check(options: &Options) -> anyhow::Result<()> {
    ensure!((1..=AGENTS_MAX).contains(&options.agents), "--agents is from 1 to {AGENTS_MAX}");
    ensure!((1..=FRAMEWORKS_MAX).contains(&options.frameworks), "--frameworks is from 1 to {FRAMEWORKS_MAX}");
    ensure!((1..=TASKS_MAX).contains(&options.tasks), "--tasks is from 1 to {TASKS_MAX}");
    ensure!(options.warm_up <= TASKS_MAX, "--warm-up is at most {TASKS_MAX}");
    ensure!((1..=1000).contains(&options.slots), "--slots is from 1 to 1000");
    ensure!((1..=1000).contains(&options.pairs), "--pairs is from 1 to 1000");
    ensure!(options.rate.is_none_or(|rate| rate > 0.0), "--rate is positive");
    if let Some(master) = options.master {
        ensure!(master.ip().is_loopback(), "{master} is not on this machine; load stays within 127.0.0.0/8");
    }
    Ok(())
}

fn total(options: &Options) -> Duration {
    Duration::from_secs(options.total_seconds)
}

/// The part of `whole` that belongs to share number `at`.
fn share(whole: u64, shares: u64, at: u64) -> u64 {
    whole * (at + 1) / shares - whole * at / shares
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

pub(crate) fn start(cluster: &mut Cluster, options: &Options) -> anyhow::Result<()> {
    cluster.connect_agents();
    if !cluster.run_until(START_PATIENCE, START_PATIENCE, Cluster::all_registered)? {
        bail!("not every agent was registered in time{}", first_complaint(cluster));
    }
    (0..options.frameworks).try_for_each(|_| cluster.add_framework())?;
    if !cluster.run_until(START_PATIENCE, START_PATIENCE, Cluster::all_subscribed)? {
        bail!("not every framework was subscribed in time{}", first_complaint(cluster));
    }
    Ok(())
}

pub(crate) fn first_complaint(cluster: &Cluster) -> String {
    cluster.ledger.audit(0).first().map(|first| format!(": {first}")).unwrap_or_default()
}

/// What the windows of a run share.
struct Bench<'a> {
    options: &'a Options,
    /// The master's process.
    pid: Option<u32>,
    cluster: Cluster,
    /// The calibrator's server and client, once needed.
    echo: Option<(Started, Echo)>,
    /// Tasks that were to be done by now.
    expected: u64,
    until: Instant,
}

/// The CPU times at one moment.
pub(crate) struct Moment {
    master_us: Option<u64>,
    own_us: u64,
    stolen_us: u64,
    at: Instant,
}

impl Moment {
    pub(crate) fn now(master: Option<u32>) -> anyhow::Result<Self> {
        Ok(Self {
            master_us: master.map(process::cpu_us).transpose()?,
            own_us: process::cpu_us(std::process::id())?,
            stolen_us: process::stolen_us(),
            at: Instant::now(),
        })
    }

    /// Master's CPU, own CPU, stolen and wall time since then, in microseconds.
    pub(crate) fn since(&self, earlier: &Self) -> (Option<u64>, u64, u64, u64) {
        let master = self.master_us.zip(earlier.master_us).map(|(now, then)| now.saturating_sub(then));
        let own = self.own_us.saturating_sub(earlier.own_us);
        let stolen = self.stolen_us.saturating_sub(earlier.stolen_us);
        (master, own, stolen, micros(self.at.duration_since(earlier.at)))
    }
}

impl Bench<'_> {
    /// A window of so many life-cycles; `None` if they did not come to their end.
    fn live(&mut self, count: u64) -> anyhow::Result<Option<Window>> {
        self.expected += count;
        let expected = self.expected;
        let cluster = &mut self.cluster;
        cluster.traffic.take();
        cluster.ledger.open_window(count, self.options.rate, cluster.now_us());
        let most = self.until.saturating_duration_since(Instant::now());
        let before = Moment::now(self.pid)?;
        let whole =
            cluster.run_until(most, self.options.stall(), |cluster| cluster.ledger.done() >= expected)?;
        let (master_cpu_us, generator_cpu_us, stolen_us, wall_us) = Moment::now(self.pid)?.since(&before);
        if !whole {
            return Ok(None);
        }
        let traffic = cluster.traffic.take();
        Ok(Some(Window {
            lives: count,
            wall_us,
            master_cpu_us,
            generator_cpu_us,
            stolen_us,
            latency: cluster.ledger.latency().clone(),
            in_flight: mean_in_flight(&cluster.ledger, wall_us),
            accepts: traffic.messages(Kind::Accept),
            events: traffic.messages(Kind::Event),
            script: Script::of(&traffic, count),
            echo: None,
        }))
    }

    /// The same number of lives as messages that mean nothing.
    fn calibrate(&mut self, script: &Script, in_flight: usize, count: u64) -> anyhow::Result<EchoWindow> {
        if self.echo.is_none() {
            let server = Started::echo(self.options)?;
            let agents = self.options.agents;
            let hosts = self.options.listeners.map_or(agents, |listeners| listeners.clamp(1, agents));
            let mut client = Echo::connect(server.address, hosts, self.options.frameworks)?;
            // Connecting and first allocations are no part of an echo, as they are no part of a life.
            client.run(script, self.options.warm_up.max(1), in_flight, START_PATIENCE)?;
            self.echo = Some((server, client));
        }
        let (server, client) = self.echo.as_mut().context("it was started above")?;
        let before = Moment::now(Some(server.pid()))?;
        let most = self.until.saturating_duration_since(Instant::now());
        ensure!(client.run(script, count, in_flight, most)?, "the echo took too long");
        let (cpu_us, generator_cpu_us, stolen_us, wall_us) = Moment::now(Some(server.pid()))?.since(&before);
        Ok(EchoWindow {
            lives: count,
            wall_us,
            cpu_us: cpu_us.unwrap_or_default(),
            generator_cpu_us,
            stolen_us,
        })
    }
}

/// Waits until the master's own books agree that all is over; the reasons why not, if they never do.
pub(crate) fn settle(
    cluster: &mut Cluster,
    options: &Options,
    address: SocketAddr,
    before: &Counts,
    expected: u64,
) -> anyhow::Result<Vec<String>> {
    let began = Instant::now();
    loop {
        cluster.run_until(Duration::from_millis(100), Duration::from_secs(1), |_| false)?;
        let complaints = Counts::read(address)?.compare(before, options.agents, expected);
        let patience = if options.fault.is_some() { Duration::from_millis(500) } else { SETTLE_PATIENCE };
        if complaints.is_empty() || began.elapsed() > patience {
            return Ok(complaints);
        }
    }
}

/// The master's own account.
#[derive(Debug)]
pub(crate) struct Counts {
    metrics: Value,
    /// CPUs in use over all agents, by `/state`.
    cpus_used: f64,
    /// Tasks that are not over, by `/state`.
    tasks: usize,
}

impl Counts {
    pub(crate) fn read(address: SocketAddr) -> anyhow::Result<Self> {
        let metrics = document(address, "/metrics/snapshot")?;
        let state = document(address, "/state")?;
        let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
        let cpus = |agent: &Value| agent["used_resources"]["cpus"].as_f64().unwrap_or_default();
        Ok(Self {
            metrics,
            cpus_used: list(&state, "slaves").iter().map(cpus).sum(),
            tasks: list(&state, "frameworks").iter().map(|framework| list(framework, "tasks").len()).sum(),
        })
    }

    fn metric(&self, name: &str) -> f64 {
        self.metrics[format!("master/{name}")].as_f64().unwrap_or_default()
    }

    /// What differs from an idle cluster in which `expected` more tasks have finished.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    fn compare(&self, before: &Self, agents: usize, expected: u64) -> Vec<String> {
        let grown = |name: &'static str, by: f64| (name, before.metric(name) + by);
        let mut wanted =
            vec![grown("tasks_finished", expected as f64), grown("slaves_active", agents as f64)];
        for name in ["tasks_staging", "tasks_starting", "tasks_running", "cpus_used", "mem_used"] {
            wanted.push((name, 0.0));
        }
        for name in [
            "tasks_failed",
            "tasks_killed",
            "tasks_lost",
            "tasks_error",
            "tasks_dropped",
            "tasks_unreachable",
        ] {
            wanted.push(grown(name, 0.0));
        }
        let mut complaints: Vec<_> = wanted
            .into_iter()
            .filter(|(name, value)| (self.metric(name) - value).abs() > 0.001)
            .map(|(name, value)| format!("the master's {name} is {}, not {value}", self.metric(name)))
            .collect();
        if self.cpus_used > 0.001 {
            complaints.push(format!("/state has {} CPUs in use", self.cpus_used));
        }
        if self.tasks > 0 {
            complaints.push(format!("/state has {} tasks that are not over", self.tasks));
        }
        complaints
    }
}

/// Whether somebody answers 200 there.
pub(crate) fn answers(address: SocketAddr, path: &str) -> bool {
    get(address, path).is_ok_and(|(status, _)| status == 200)
}

pub(crate) fn document(address: SocketAddr, path: &str) -> anyhow::Result<Value> {
    let (status, body) = get(address, path)?;
    ensure!(status == 200, "{path} was answered {status}");
    serde_json::from_slice(&body).with_context(|| format!("{path} is no JSON"))
}

/// One GET on a connection of its own.
fn get(address: SocketAddr, path: &str) -> anyhow::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect_timeout(&address, DOCUMENT_PATIENCE)?;
    stream.set_read_timeout(Some(DOCUMENT_PATIENCE))?;
    stream.write_all(
        format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
        )
        .as_bytes(),
    )?;
    let (mut decoder, mut buffer) = (AnswerDecoder::default(), BytesMut::new());
    let (mut status, mut body, mut part) = (0, Vec::new(), vec![0; 64 * 1024]);
    loop {
        while let Some(piece) = decoder.next_piece(&mut buffer)? {
            match piece {
                Piece::Head(head) => status = head.status,
                Piece::Data(data) => body.extend_from_slice(&data),
                Piece::End => return Ok((status, body)),
            }
        }
        let count = stream.read(&mut part)?;
        ensure!(count > 0, "{path}: the answer ends too early");
        buffer.extend_from_slice(&part[..count]);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shares_make_the_whole() {
        let shares: Vec<_> = (0..3).map(|at| share(100, 3, at)).collect();
        assert_eq!(shares, [33, 33, 34]);
    }

    #[test]
    fn the_masters_account_is_compared() {
        let counts = |finished: u64, running: u64, cpus_used: f64| Counts {
            metrics: json!({"master/tasks_finished": finished, "master/tasks_running": running, "master/slaves_active": 2}),
            cpus_used,
            tasks: 0,
        };
        let before = Counts { metrics: json!({}), cpus_used: 0.0, tasks: 0 };
        assert_eq!(counts(5, 0, 0.0).compare(&before, 2, 5), Vec::<String>::new());
        let complaints = counts(4, 1, 1.0).compare(&before, 2, 5);
        assert_eq!(
            complaints,
            [
                "the master's tasks_finished is 4, not 5",
                "the master's tasks_running is 1, not 0",
                "/state has 1 CPUs in use"
            ]
        );
    }

    #[test]
    fn only_loopback_is_loaded() {
        let options = Options { master: Some("192.0.2.1:5050".parse().unwrap()), ..Options::default() };
        assert!(run(&options).unwrap_err().to_string().contains("127.0.0.0/8"));
    }
}
