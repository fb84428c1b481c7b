//! The sockets of all emulated agents and frameworks, and the one loop that serves them.
//!
//! It moves bytes between the sockets and the models and counts them; what is said is the models' business.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::Codec;
use libprocess::{Step, encode_message};
use proto::mesos::internal::{RunTaskMessage, StatusUpdateAcknowledgementMessage, StatusUpdateMessage};
use proto::mesos::v1::scheduler::{Call, Event, call};
use proto::schema::Described as _;
use proto::{recordio, wire};
use types::Pid;

use crate::agent::{self, Agent, Post};
use crate::answers::{AnswerDecoder, Piece};
use crate::framework::{self, Framework};
use crate::host::{self, Host, Inbound};
use crate::ledger::Ledger;
use crate::options::Options;
use crate::settings::{Length, Settings};
use crate::socket::{Poll, Ready, Scratch, Socket};
use crate::traffic::{Kind, Traffic};

/// How often what nobody answered is looked for.
const TICK_US: u64 = 500_000;

/// The wait before a lost connection to the master is made again.
const RECONNECT_US: u64 = 200_000;

/// The largest record of a stream.
const RECORD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The answer to every message.
const ACCEPTED: &[u8] =
    b"HTTP/1.1 202 Accepted\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n";

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
    /// When tasks end: time, host, agent, task.
    ends: BinaryHeap<Reverse<(u64, usize, usize, u32)>>,
    /// When the next probe is due, and the time between two.
    probe: Option<(u64, u64)>,
    /// Hosts and clients with something to write.
    dirty: Vec<Token>,
    ticked_us: u64,
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
            ends: BinaryHeap::new(),
            probe: None,
            dirty: Vec::new(),
            ticked_us: 0,
            ledger: Ledger::default(),
            traffic: Traffic::default(),
        })
    }

    /// Microseconds since the start.
    pub(crate) fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Connects all agents, which then register.
    pub(crate) fn connect_agents(&mut self) -> anyhow::Result<()> {
        (0..self.hosts.len()).try_for_each(|host| self.connect_host(host))
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

    // --- agents ---

    fn connect_host(&mut self, number: usize) -> anyhow::Result<()> {
        let host = &mut self.hosts[number];
        let uplink = Socket::connect(self.master.address, Some(host.address.ip()))?;
        self.poll.add(&uplink, Token::Uplink(number).pack())?;
        host.answers = AnswerDecoder::default();
        host.uplink = Some(uplink);
        host.connected = false;
        Ok(())
    }

    fn lose_uplink(&mut self, number: usize, error: &anyhow::Error) {
        let connect_at_us = self.now_us() + RECONNECT_US;
        let host = &mut self.hosts[number];
        if host.connected {
            self.ledger
                .complain(format!("the connection of {} to the master broke: {error:#}", host.address));
        }
        host.uplink = None;
        host.connected = false;
        host.connect_at_us = connect_at_us;
        for at in host.agents.clone() {
            self.agents[at].on_link_broken();
        }
    }

    fn serve_uplink(&mut self, number: usize, ready: Ready) -> anyhow::Result<()> {
        let host = &mut self.hosts[number];
        let Some(uplink) = &mut host.uplink else { return Ok(()) };
        if ready.writable {
            uplink.on_writable()?;
            if !host.connected {
                host.connected = true;
                for at in host.agents.clone() {
                    self.with_agent(number, at, Agent::register);
                }
            }
        }
        if !ready.readable {
            return Ok(());
        }
        let host = &mut self.hosts[number];
        let Some(uplink) = &mut host.uplink else { return Ok(()) };
        let open = uplink.fill(&mut self.scratch, ready.hung_up)?;
        while let Some(piece) = host.answers.next_piece(&mut uplink.input)? {
            if let Piece::Head(head) = piece
                && head.status != 202
            {
                self.ledger.complain(format!("a message of {} was answered {}", host.address, head.status));
            }
        }
        anyhow::ensure!(open, "closed by the master");
        Ok(())
    }

    fn accept(&mut self, host: usize) {
        while let Ok((stream, _)) = self.hosts[host].listener.accept() {
            let Ok(socket) = Socket::accepted(stream) else { continue };
            let free = self
                .inbound
                .iter()
                .position(Option::is_none)
                .filter(|_| self.inbound.len() > 4 * self.hosts.len());
            let number = free.unwrap_or(self.inbound.len());
            if self.poll.add(&socket, Token::Inbound(number).pack()).is_err() {
                continue;
            }
            let inbound = Some(Inbound::new(socket, host));
            match self.inbound.get_mut(number) {
                Some(place) => *place = inbound,
                None => self.inbound.push(inbound),
            }
        }
    }

    /// Reads what the master sent, acts on it and answers.
    fn serve_inbound(&mut self, number: usize, ready: Ready) {
        // Taken out for as long as it is served, since the agents' posts need the rest.
        let Some(mut inbound) = self.inbound.get_mut(number).and_then(Option::take) else { return };
        if self.converse(&mut inbound, ready).unwrap_or(false) {
            self.inbound[number] = Some(inbound);
        }
    }

    /// False when the connection is over.
    fn converse(&mut self, inbound: &mut Inbound, ready: Ready) -> anyhow::Result<bool> {
        if ready.writable {
            inbound.socket.on_writable()?;
        }
        if !ready.readable {
            return Ok(true);
        }
        let open = inbound.socket.fill(&mut self.scratch, ready.hung_up)?;
        while let Step::Message(message) = inbound.decoder.step(&mut inbound.socket.input)? {
            inbound.socket.output().extend_from_slice(ACCEPTED);
            self.traffic.count(to_agent(&message.name), message.body.len());
            match self.hosts[inbound.host].agent(&message.to) {
                Some(at) => self.with_agent(inbound.host, at, |agent, world| {
                    agent.on_message(&message.name, &message.body, message.from.as_ref(), world);
                }),
                None => self.ledger.complain(format!("a message for {}, who is not here", message.to)),
            }
        }
        inbound.socket.flush()?;
        Ok(open)
    }

    /// Lets an agent act, and puts what it says on its way.
    fn with_agent(&mut self, number: usize, at: usize, act: impl FnOnce(&mut Agent, &mut agent::World<'_>)) {
        let now_us = self.now_us();
        let (mut posts, mut ends) = (Vec::new(), Vec::new());
        let world = &mut agent::World {
            settings: &self.settings,
            ledger: &mut self.ledger,
            posts: &mut posts,
            ends: &mut ends,
            now_us,
        };
        act(&mut self.agents[at], world);
        self.ends.extend(ends.into_iter().map(|(due_us, task)| Reverse((due_us, number, at, task))));
        let host = &mut self.hosts[number];
        let Some(uplink) = host.uplink.as_mut().filter(|_| !posts.is_empty()) else { return };
        for Post { to, name, body } in posts {
            self.traffic.count(from_agent(name), body.len());
            let to = to.as_ref().unwrap_or(&self.master);
            encode_message(uplink.output(), self.agents[at].pid(), to, name, &body);
        }
        if !host.dirty {
            host.dirty = true;
            self.dirty.push(Token::Uplink(number));
        }
    }

    /// Twice a second: what was not answered is said again, lost connections are made anew.
    fn tick(&mut self) {
        let now_us = self.now_us();
        if now_us < self.ticked_us + TICK_US {
            return;
        }
        self.ticked_us = now_us;
        for number in 0..self.hosts.len() {
            let host = &self.hosts[number];
            if host.uplink.is_none() && host.connect_at_us <= now_us {
                // It is tried again at the next tick.
                let _ = self.connect_host(number);
            }
            for at in self.hosts[number].agents.clone() {
                self.with_agent(number, at, Agent::on_tick);
            }
        }
    }

    /// Tasks whose time is up end.
    fn end_due(&mut self) {
        let now_us = self.now_us();
        while let Some(Reverse((due_us, host, at, task))) =
            self.ends.peek().copied().filter(|next| next.0.0 <= now_us)
        {
            self.ends.pop();
            self.with_agent(host, at, |agent, world| agent.on_end(task, due_us, world));
        }
    }

    // --- frameworks ---

    /// The probes that are due begin.
    fn probe_due(&mut self) {
        let now_us = self.now_us();
        while let Some((due_us, gap_us)) = self.probe.filter(|(due_us, _)| *due_us <= now_us) {
            self.probe = Some((due_us + gap_us, gap_us));
            let Some(number) = self.clients.len().checked_sub(1) else { return };
            let revive = self.clients[number].framework.probe(due_us);
            self.make_calls(number, vec![revive]);
        }
    }

    fn serve_stream(&mut self, number: usize, ready: Ready) -> anyhow::Result<()> {
        let client = &mut self.clients[number];
        if ready.writable {
            client.stream.on_writable()?;
        }
        if !ready.readable {
            return Ok(());
        }
        let open = client.stream.fill(&mut self.scratch, ready.hung_up)?;
        while let Some(piece) = client.stream_answers.next_piece(&mut client.stream.input)? {
            match piece {
                Piece::Head(head) => {
                    anyhow::ensure!(head.status == 200, "SUBSCRIBE was answered {}", head.status);
                    client.stream_id =
                        head.stream_id.context("SUBSCRIBE was answered without a stream id")?;
                }
                Piece::Data(data) => client.records.feed(&data),
                Piece::End => anyhow::bail!("ended by the master"),
            }
        }
        let mut calls = Vec::new();
        let now_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        while let Some(record) = client.records.next_record()? {
            self.traffic.count(Kind::Event, record.len());
            let event = decode_event(self.codec, record)?;
            let world = &mut framework::World {
                settings: &self.settings,
                ledger: &mut self.ledger,
                calls: &mut calls,
                now_us,
            };
            client.framework.on_event(event, world);
        }
        self.make_calls(number, calls);
        anyhow::ensure!(open, "closed by the master");
        Ok(())
    }

    fn serve_calls(&mut self, number: usize, ready: Ready) -> anyhow::Result<()> {
        let client = &mut self.clients[number];
        if ready.writable {
            client.calls.on_writable()?;
        }
        if !ready.readable {
            return Ok(());
        }
        let open = client.calls.fill(&mut self.scratch, ready.hung_up)?;
        let mut refused = None;
        while let Some(piece) = client.call_answers.next_piece(&mut client.calls.input)? {
            match piece {
                Piece::Head(head) => refused = (!matches!(head.status, 200 | 202)).then_some(head.status),
                Piece::Data(text) => {
                    if let Some(status) = refused {
                        let text = String::from_utf8_lossy(&text);
                        self.ledger
                            .complain(format!("a call of framework {number} was answered {status}: {text}"));
                    }
                }
                Piece::End => refused = None,
            }
        }
        anyhow::ensure!(open, "closed by the master");
        Ok(())
    }

    /// Tasks that have become due are launched on the offers in hand.
    fn launch_due(&mut self) {
        let now_us = self.now_us();
        if self.ledger.due(now_us) == 0 {
            return;
        }
        for number in 0..self.clients.len() {
            let client = &mut self.clients[number];
            if !client.framework.holds_offers() {
                continue;
            }
            let mut calls = Vec::new();
            let world = &mut framework::World {
                settings: &self.settings,
                ledger: &mut self.ledger,
                calls: &mut calls,
                now_us,
            };
            client.framework.launch(world);
            self.make_calls(number, calls);
        }
    }

    fn make_calls(&mut self, number: usize, calls: Vec<Call>) {
        if calls.is_empty() {
            return;
        }
        let mut bytes = std::mem::take(self.clients[number].calls.output());
        for call in &calls {
            self.write_call(call, Some(number), &mut bytes);
        }
        let client = &mut self.clients[number];
        *client.calls.output() = bytes;
        if !client.dirty {
            client.dirty = true;
            self.dirty.push(Token::Calls(number));
        }
    }

    /// Writes a call as a request, with the stream's id for all calls after SUBSCRIBE.
    fn write_call(&mut self, call: &Call, client: Option<usize>, out: &mut Vec<u8>) {
        let body = http::encode(self.codec, call);
        let kind = match call.r#type() {
            call::Type::Accept => Kind::Accept,
            call::Type::Acknowledge => Kind::Acknowledge,
            _ => Kind::OtherCall,
        };
        self.traffic.count(kind, body.len());
        let media = self.codec.media_type();
        let host = self.master.address;
        let head = format!(
            "POST /api/v1/scheduler HTTP/1.1\r\nHost: {host}\r\nContent-Type: {media}\r\nAccept: {media}\r\nContent-Length: {}\r\n",
            body.len()
        );
        out.extend_from_slice(head.as_bytes());
        if let Some(number) = client {
            out.extend_from_slice(b"Mesos-Stream-Id: ");
            out.extend_from_slice(self.clients[number].stream_id.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&body);
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

fn decode_event(codec: Codec, record: Bytes) -> anyhow::Result<Event> {
    match codec {
        // The required fields are the master's business; decoding twice would be the generator's cost.
        Codec::Protobuf => Ok(wire::decode_unchecked(record)?),
        Codec::Json => http::decode_event(codec, &record).map_err(anyhow::Error::msg),
    }
}

fn from_agent(name: &str) -> Kind {
    if name == StatusUpdateMessage::NAME { Kind::Update } else { Kind::OtherFromAgent }
}

fn to_agent(name: &str) -> Kind {
    match name {
        RunTaskMessage::NAME => Kind::RunTask,
        StatusUpdateAcknowledgementMessage::NAME => Kind::Acknowledged,
        _ => Kind::OtherToAgent,
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
