//! The agents' side: their connections to the master, the master's to them, and what both carry.

use std::cmp::Reverse;

use libprocess::{Step, encode_message};
use proto::mesos::internal::{RunTaskMessage, StatusUpdateAcknowledgementMessage, StatusUpdateMessage};
use proto::schema::Described as _;

use super::{CONNECTING_MAX, Cluster, RECONNECT_US, TICK_US, Token};
use crate::agent::{self, Agent, Post};
use crate::answers::{AnswerDecoder, Piece};
use crate::host::Inbound;
use crate::socket::{Ready, Socket};
use crate::traffic::Kind;

/// The answer to every message.
const ACCEPTED: &[u8] =
    b"HTTP/1.1 202 Accepted\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n";

impl Cluster {
    /// A host wants a connection to the master.
    pub(super) fn want_connection(&mut self, number: usize) {
        // Once is enough.
        self.hosts[number].connect_at_us = u64::MAX;
        self.to_connect.push_back(number);
    }

    /// Begins as many of the connections that are wanted as may be under way.
    pub(super) fn connect_some(&mut self) {
        while self.connecting < CONNECTING_MAX {
            let Some(number) = self.to_connect.pop_front() else { return };
            if self.connect_host(number).is_err() {
                self.hosts[number].connect_at_us = self.now_us() + RECONNECT_US;
            }
        }
    }

    fn connect_host(&mut self, number: usize) -> anyhow::Result<()> {
        let host = &mut self.hosts[number];
        let uplink = Socket::connect(self.master.address, Some(host.address.ip()))?;
        self.poll.add(&uplink, Token::Uplink(number).pack())?;
        host.answers = AnswerDecoder::default();
        host.uplink = Some(uplink);
        host.connected = false;
        self.connecting += 1;
        Ok(())
    }

    pub(super) fn lose_uplink(&mut self, number: usize, error: &anyhow::Error) {
        let connect_at_us = self.now_us() + RECONNECT_US;
        let host = &mut self.hosts[number];
        if !host.connected && host.uplink.is_some() {
            self.connecting -= 1;
        }
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

    pub(super) fn serve_uplink(&mut self, number: usize, ready: Ready) -> anyhow::Result<()> {
        let host = &mut self.hosts[number];
        let Some(uplink) = &mut host.uplink else { return Ok(()) };
        if ready.writable {
            uplink.on_writable()?;
            if !host.connected {
                host.connected = true;
                self.connecting -= 1;
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

    pub(super) fn accept(&mut self, host: usize) {
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
    pub(super) fn serve_inbound(&mut self, number: usize, ready: Ready) {
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
    pub(super) fn tick(&mut self) {
        let now_us = self.now_us();
        if now_us < self.ticked_us + TICK_US {
            return;
        }
        self.ticked_us = now_us;
        for number in 0..self.hosts.len() {
            let host = &self.hosts[number];
            if host.uplink.is_none() && host.connect_at_us <= now_us {
                self.want_connection(number);
            }
            for at in self.hosts[number].agents.clone() {
                self.with_agent(number, at, Agent::on_tick);
            }
        }
    }

    /// Tasks whose time is up end.
    pub(super) fn end_due(&mut self) {
        let now_us = self.now_us();
        while let Some(Reverse((due_us, host, at, task))) =
            self.ends.peek().copied().filter(|next| next.0.0 <= now_us)
        {
            self.ends.pop();
            self.with_agent(host, at, |agent, world| agent.on_end(task, due_us, world));
        }
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
