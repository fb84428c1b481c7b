//! The sockets of all emulated agents and frameworks, and the one loop that serves them.
//!
//! It moves bytes between the sockets and the models and counts them; what is said is the models' business.

mod agents;
mod failover;
mod frameworks;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use http::Codec;
use proto::recordio;
use types::Pid;

use crate::agent::Agent;
use crate::answers::AnswerDecoder;
use crate::framework::Framework;
use crate::host::{self, Host, Inbound};
use crate::ledger::Ledger;
use crate::options::Options;
use crate::settings::{Length, Settings};
use crate::socket::{Poll, Ready, Scratch, Socket};
use crate::traffic::Traffic;

/// How often what nobody answered is looked for.
const TICK_US: u64 = 500_000;

/// The wait before a lost connection to the master is made again.
const RECONNECT_US: u64 = 200_000;

/// Connections that are being made at once: fewer than a listener's queue holds. Past that the kernel waits a second before
/// it tries again.
const CONNECTING_MAX: usize = 512;

/// The largest record of a stream.
const RECORD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Which socket an event is about. The upper half of a token is the kind, the lower its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Listener(usize),
    Inbound(usize),
    Uplink(usize),
    Stream(usize),
    Calls(usize),
}

impl Token {
    fn pack(self) -> u64 {
        let (kind, number) = match self {
            Self::Listener(number) => (0, number),
            Self::Inbound(number) => (1, number),
            Self::Uplink(number) => (2, number),
            Self::Stream(number) => (3, number),
            Self::Calls(number) => (4, number),
        };
        kind << 32 | u64::try_from(number).expect("a number of sockets fits")
    }

    fn unpack(token: u64) -> Self {
        let number = usize::try_from(token & u64::from(u32::MAX)).expect("a number of sockets fits");
        match token >> 32 {
            0 => Self::Listener(number),
            1 => Self::Inbound(number),
            2 => Self::Uplink(number),
            3 => Self::Stream(number),
            _ => Self::Calls(number),
        }
    }
}

/// A framework with its two connections.
#[derive(Debug)]
struct Client {
    framework: Framework,
    stream: Socket,
    stream_answers: AnswerDecoder,
    records: recordio::Decoder,
    stream_id: String,
    calls: Socket,
    call_answers: AnswerDecoder,
    dirty: bool,
}

/// All emulated agents and frameworks.
#[derive(Debug)]
pub(crate) struct Cluster {
    settings: Settings,
    codec: Codec,
    master: Pid,
    poll: Poll,
    scratch: Scratch,
    began: Instant,
    hosts: Vec<Host>,
    agents: Vec<Agent>,
    inbound: Vec<Option<Inbound>>,
    clients: Vec<Client>,
    /// Frameworks whose master died.
    lost: Vec<Framework>,
    /// When tasks end: time, host, agent, task.
    ends: BinaryHeap<Reverse<(u64, usize, usize, u32)>>,
    /// When the next probe is due, and the time between two.
    probe: Option<(u64, u64)>,
    /// Hosts and clients with something to write.
    dirty: Vec<Token>,
    ticked_us: u64,
    /// Hosts that want a connection to the master, and how many are being made.
    to_connect: VecDeque<usize>,
    connecting: usize,
    /// The book of all tasks.
    pub(crate) ledger: Ledger,
    /// What crossed the wire.
    pub(crate) traffic: Traffic,
}

impl Cluster {
    /// Opens the listeners of all agents. Nothing is said yet.
    pub(crate) fn new(options: &Options, master: SocketAddr) -> anyhow::Result<Self> {
        let slots_all = u64::from(options.slots) * u64::try_from(options.agents)?;
        let settings = Settings {
            slots: options.slots,
            batch: options.batch.max(1),
            fault: options.fault,
            length: None,
            slots_all,
            labels: options.labels,
        };
        let hosts = host::bind_all(options.agents, options.listeners).context("cannot listen for agents")?;
        let poll = Poll::new()?;
        for (number, host) in hosts.iter().enumerate() {
            poll.add_listener(&host.listener, Token::Listener(number).pack())?;
        }
        let pids = hosts.iter().flat_map(Host::pids);
        let agents = pids.map(|pid| Agent::new(pid, settings.slots)).collect();
        Ok(Self {
            settings,
            codec: if options.json { Codec::Json } else { Codec::Protobuf },
            master: Pid::new("master", master),
            poll,
            scratch: Scratch::default(),
            began: Instant::now(),
            hosts,
            agents,
            inbound: Vec::new(),
            clients: Vec::new(),
            lost: Vec::new(),
            ends: BinaryHeap::new(),
            probe: None,
            dirty: Vec::new(),
            ticked_us: 0,
            to_connect: VecDeque::new(),
            connecting: 0,
            ledger: Ledger::default(),
            traffic: Traffic::default(),
        })
    }

    /// Microseconds since the start.
    pub(crate) fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Connects all agents, which then register.
    pub(crate) fn connect_agents(&mut self) {
        (0..self.hosts.len()).for_each(|host| self.want_connection(host));
    }

    /// Whether every agent is registered.
    pub(crate) fn all_registered(&self) -> bool {
        self.agents.iter().all(Agent::is_registered)
    }

    /// Subscribes one more framework.
    pub(crate) fn add_framework(&mut self) -> anyhow::Result<()> {
        self.add(Framework::default())
    }

    /// Subscribes one more framework, which probes.
    pub(crate) fn add_prober(&mut self) -> anyhow::Result<()> {
        self.add(Framework::prober())
    }

    /// Tasks run for a time from now on.
    pub(crate) fn set_length(&mut self, length: Length) {
        self.settings.length = Some(length);
    }

    /// The last framework launches a probe each so many microseconds, beginning now, or no more.
    pub(crate) fn set_probes(&mut self, gap_us: Option<u64>) {
        self.probe = gap_us.map(|gap_us| (self.now_us() + gap_us, gap_us));
    }

    /// All tasks end now, and those that follow at once.
    pub(crate) fn end_all(&mut self) {
        let now_us = self.now_us();
        self.settings.length = None;
        let ends = std::mem::take(&mut self.ends);
        self.ends =
            ends.into_iter().map(|Reverse((_, host, at, task))| Reverse((now_us, host, at, task))).collect();
    }

    fn add(&mut self, framework: Framework) -> anyhow::Result<()> {
        let number = self.clients.len();
        let mut stream = Socket::connect(self.master.address, None)?;
        let calls = Socket::connect(self.master.address, None)?;
        self.write_call(&framework.subscribe(), None, stream.output());
        self.poll.add(&stream, Token::Stream(number).pack())?;
        self.poll.add(&calls, Token::Calls(number).pack())?;
        self.clients.push(Client {
            framework,
            stream,
            stream_answers: AnswerDecoder::default(),
            records: recordio::Decoder::new(RECORD_BYTES_MAX),
            stream_id: String::new(),
            calls,
            call_answers: AnswerDecoder::default(),
            dirty: false,
        });
        Ok(())
    }

    /// Whether every framework is subscribed.
    pub(crate) fn all_subscribed(&self) -> bool {
        self.clients.iter().all(|client| client.framework.is_subscribed())
    }

    /// Ends every framework.
    pub(crate) fn tear_down(&mut self) {
        for number in 0..self.clients.len() {
            let teardown = self.clients[number].framework.teardown();
            self.make_calls(number, vec![teardown]);
        }
    }

    /// Serves the sockets until `over`, for at most `most`, or until nothing has happened for the time `stall`. True if it
    /// is over.
    pub(crate) fn run_until(
        &mut self,
        most: Duration,
        stall: Duration,
        over: impl Fn(&Self) -> bool,
    ) -> anyhow::Result<bool> {
        let began = Instant::now();
        let mut moved = (Instant::now(), self.progress());
        let mut ready = Vec::new();
        self.connect_some();
        self.launch_due();
        self.flush_dirty();
        while !over(self) {
            if moved.1 != self.progress() {
                moved = (Instant::now(), self.progress());
            } else if moved.0.elapsed() > stall {
                return Ok(false);
            }
            if began.elapsed() > most {
                return Ok(false);
            }
            self.poll.wait(self.patience(), &mut ready)?;
            for event in &ready {
                self.on_ready(*event);
            }
            self.tick();
            self.connect_some();
            self.end_due();
            self.probe_due();
            self.launch_due();
            self.flush_dirty();
        }
        Ok(true)
    }

    /// Changes whenever the run comes nearer to its end.
    fn progress(&self) -> (u64, u64, u64) {
        (self.ledger.launched(), self.ledger.finished(), self.ledger.done())
    }

    /// How long the loop may sleep: until the next tick or the next task.
    fn patience(&self) -> Duration {
        let now_us = self.now_us();
        let tick = (self.ticked_us + TICK_US).saturating_sub(now_us).min(100_000);
        // A task that is due already waits for an offer, which is an event of its own.
        let arrival =
            self.ledger.next_arrival_us().map(|at| at.saturating_sub(now_us)).filter(|wait| *wait > 0);
        let end = self.ends.peek().map(|Reverse((at, ..))| at.saturating_sub(now_us));
        let probe = self.probe.map(|(at, _)| at.saturating_sub(now_us));
        let waits = [arrival, end, probe].into_iter().flatten();
        Duration::from_micros(waits.fold(tick, u64::min))
    }

    fn on_ready(&mut self, ready: Ready) {
        match Token::unpack(ready.token) {
            Token::Listener(host) => self.accept(host),
            Token::Inbound(number) => self.serve_inbound(number, ready),
            Token::Uplink(host) => {
                if let Err(error) = self.serve_uplink(host, ready) {
                    self.lose_uplink(host, &error);
                }
            }
            Token::Stream(number) => {
                if let Err(error) = self.serve_stream(number, ready) {
                    self.ledger.complain(format!("the stream of framework {number}: {error:#}"));
                }
            }
            Token::Calls(number) => {
                if let Err(error) = self.serve_calls(number, ready) {
                    self.ledger.complain(format!("the calls of framework {number}: {error:#}"));
                }
            }
        }
    }

    /// Writes what was said in this round, all of a socket's at once.
    fn flush_dirty(&mut self) {
        for token in std::mem::take(&mut self.dirty) {
            match token {
                Token::Uplink(number) => {
                    let host = &mut self.hosts[number];
                    host.dirty = false;
                    let flushed = host.uplink.as_mut().map_or(Ok(()), Socket::flush);
                    if let Err(error) = flushed {
                        self.lose_uplink(number, &error.into());
                    }
                }
                Token::Calls(number) => {
                    let client = &mut self.clients[number];
                    client.dirty = false;
                    if let Err(error) = client.calls.flush() {
                        self.ledger.complain(format!("the calls of framework {number}: {error}"));
                    }
                }
                Token::Listener(_) | Token::Inbound(_) | Token::Stream(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip() {
        for token in
            [Token::Listener(3), Token::Inbound(0), Token::Uplink(70_000), Token::Stream(1), Token::Calls(9)]
        {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
