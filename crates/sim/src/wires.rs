//! What happens on wires: packets leave, wait, arrive; connections are made and break.

use types::Pid;

use crate::network::{Lane, Packet, Path, STALL, State, Wire};
use crate::node::{MILLI, Node, SECOND};
use crate::world::{Happening, World};

impl World {
    /// Says something. It arrives in order with the rest of its path, or is lost with its connection.
    pub(crate) fn transmit(&mut self, path: Path, packet: Packet) {
        let now = self.now;
        if !self.network.wires.contains_key(&path) {
            let wire = self.network.open(now);
            self.network.wires.insert(path, wire);
        }
        if let Some(wire) = self.network.wires.get_mut(&path) {
            wire.held.push_back(packet);
        }
        self.pump(path);
    }

    /// Watches a peer over the connection to it, or over a new one in place of that.
    pub(crate) fn link(&mut self, from: Node, pid: &Pid, reconnect: bool) {
        let Some(to) = Node::at(pid.address) else { return };
        let path = Path { from, to, lane: Lane::Messages };
        let old = if reconnect { self.network.wires.remove(&path) } else { None };
        let now = self.now;
        if !self.network.wires.contains_key(&path) {
            let mut wire = self.network.open(now);
            if let Some(old) = old {
                wire.held = old.held;
                wire.linked = old.linked;
            }
            self.network.wires.insert(path, wire);
        }
        if let Some(wire) = self.network.wires.get_mut(&path) {
            wire.linked.insert(pid.clone());
        }
        self.pump(path);
    }

    /// Ends the watch.
    pub(crate) fn unlink(&mut self, from: Node, pid: &Pid) {
        let Some(to) = Node::at(pid.address) else { return };
        if let Some(wire) = self.network.wires.get_mut(&Path { from, to, lane: Lane::Messages }) {
            wire.linked.remove(pid);
        }
    }

    /// Moves on what waits at a wire, as far as it goes now.
    pub(crate) fn pump(&mut self, path: Path) {
        let Path { from, to, lane } = path;
        let (forth, back) = (self.network.reaches(from, to), self.network.reaches(to, from));
        let peer = self.incarnation(to);
        let up = self.is_up(to);
        let heard = self.hears(path);
        let delay = self.network.delay(from, to);
        let now = self.now;
        let Some(wire) = self.network.wires.get_mut(&path) else { return };
        let generation = wire.generation;
        if let State::Connecting { until } = wire.state {
            match peer {
                Some(incarnation) if forth && back && up => wire.state = State::Open { incarnation },
                None if forth && back && up => {
                    return self.schedule(now + delay, Happening::WireBroken { path, generation });
                }
                Some(_) | None if now >= until => {
                    return self.schedule(now + MILLI, Happening::WireBroken { path, generation });
                }
                Some(_) | None => return self.watch_wire(path, SECOND),
            }
        }
        let Some(wire) = self.network.wires.get_mut(&path) else { return };
        let State::Open { incarnation } = wire.state else { return };
        if wire.held.is_empty() {
            return;
        }
        if !up || !forth {
            return self.watch_wire(path, STALL);
        }
        if peer != Some(incarnation) || !heard {
            // A reset comes back.
            return if back {
                self.schedule(now + delay, Happening::WireBroken { path, generation });
            } else {
                self.watch_wire(path, STALL);
            };
        }
        let mut arrivals = Vec::new();
        for packet in std::mem::take(&mut wire.held) {
            wire.last_at = (wire.last_at + 1).max(now + delay);
            arrivals.push((wire.last_at, packet));
        }
        for (at, packet) in arrivals {
            self.schedule(at, Happening::Arrive { path, generation, incarnation, packet: Box::new(packet) });
        }
        if !back && lane != Lane::Calls {
            self.watch_wire(path, STALL);
        }
    }

    fn watch_wire(&mut self, path: Path, after: u64) {
        let at = self.now + after;
        let Some(wire) = self.network.wires.get_mut(&path) else { return };
        if !wire.watched {
            wire.watched = true;
            let generation = wire.generation;
            self.schedule(at, Happening::WireCheck { path, generation });
        }
    }

    /// Looks whether a connection is being made, or stalls.
    pub(crate) fn on_wire_check(&mut self, path: Path, generation: u64) {
        let ways = self.network.reaches(path.from, path.to) && self.network.reaches(path.to, path.from);
        let up = self.is_up(path.to);
        let Some(wire) = self.network.wires.get_mut(&path).filter(|wire| wire.generation == generation)
        else {
            return;
        };
        wire.watched = false;
        match wire.state {
            State::Connecting { .. } => self.pump(path),
            State::Open { .. } if ways && up => self.pump(path),
            State::Open { .. } => self.on_wire_broken(path, generation),
        }
    }

    /// A connection is no more; who watches its other end is told.
    pub(crate) fn on_wire_broken(&mut self, path: Path, generation: u64) {
        if self.network.wires.get(&path).is_none_or(|wire| wire.generation != generation) {
            return;
        }
        let Some(wire) = self.network.wires.remove(&path) else { return };
        self.report_broken(path, &wire);
    }

    fn report_broken(&mut self, path: Path, wire: &Wire) {
        match (path.lane, path.from) {
            (Lane::Messages, Node::Master(master)) if !wire.linked.is_empty() => {
                self.tell_master(master, master_core::Event::Exited(path.to.address()));
            }
            (Lane::Messages, Node::Agent(agent)) if !wire.linked.is_empty() => {
                self.tell_agent(agent, agent_core::Event::Exited(path.to.address()));
            }
            (Lane::Calls, Node::Framework(framework)) => self.on_calls_broken(framework),
            (Lane::Stream(stream), Node::Master(master)) => {
                self.tell_master(master, master_core::Event::StreamClosed(master_core::StreamId(stream)));
            }
            (Lane::Messages | Lane::Calls | Lane::Stream(_), _) => {}
        }
    }

    /// Breaks every connection of a node, with all that is on its way.
    pub(crate) fn cut(&mut self, node: Node) {
        let paths: Vec<Path> =
            self.network.wires.keys().filter(|path| path.from == node || path.to == node).copied().collect();
        for path in paths {
            let Some(wire) = self.network.wires.remove(&path) else { continue };
            self.network.lose(path, wire.generation);
            if let (Lane::Stream(stream), Node::Framework(framework)) = (path.lane, path.to) {
                let at = self.now + MILLI;
                self.schedule(at, Happening::StreamEnds { framework, stream });
            }
            self.report_broken(path, &wire);
        }
    }

    /// A process is gone, or its whole machine. Its peers see that where the machine lives to say so.
    pub(crate) fn drop_wires_of(&mut self, node: Node) {
        let paths: Vec<Path> = self.network.wires.keys().copied().collect();
        for path in paths {
            if path.from == node {
                self.network.wires.remove(&path);
                if let (Lane::Stream(stream), Node::Framework(framework)) = (path.lane, path.to)
                    && self.is_up(node)
                    && self.network.reaches(node, path.to)
                {
                    let at = self.now + self.network.delay(node, path.to);
                    self.schedule(at, Happening::StreamEnds { framework, stream });
                }
            } else if path.to == node && self.is_up(node) && self.network.reaches(node, path.from) {
                let at = self.now + self.network.delay(node, path.from);
                let Some(wire) = self.network.wires.get(&path) else { continue };
                let generation = wire.generation;
                if matches!(wire.state, State::Open { .. }) {
                    self.schedule(at, Happening::WireBroken { path, generation });
                }
            }
        }
    }

    /// Ways that were closed are open: what waits goes on.
    pub(crate) fn pump_all(&mut self) {
        let paths: Vec<Path> = self.network.wires.keys().copied().collect();
        for path in paths {
            self.pump(path);
        }
    }

    /// Whether the other end still has that connection.
    fn hears(&self, path: Path) -> bool {
        match (path.lane, path.to) {
            (Lane::Stream(stream), Node::Framework(framework)) => self.reads_stream(framework, stream),
            (Lane::Messages | Lane::Calls | Lane::Stream(_), _) => true,
        }
    }

    /// A packet is there.
    pub(crate) fn on_arrival(&mut self, path: Path, generation: u64, incarnation: u64, packet: Packet) {
        if self.network.is_lost(path, generation) || self.incarnation(path.to) != Some(incarnation) {
            return;
        }
        match (path.to, packet) {
            (Node::Master(master), Packet::Message { from, to, name, body }) => {
                if let Ok(message) = master_core::Message::decode(name, &body) {
                    self.tell_master(master, master_core::Event::Message { from, to, message });
                }
            }
            (Node::Agent(agent), Packet::Message { from, to: _, name, body }) => {
                match agent_core::Message::decode(name, &body) {
                    Ok(message) => self.tell_agent(agent, agent_core::Event::Message { from, message }),
                    Err(why) => self.violate("wire", format!("agent {agent} cannot read {name}: {why}")),
                }
            }
            (Node::Master(master), Packet::Subscribe { stream, call }) => {
                if let Node::Framework(framework) = path.from {
                    self.on_subscribe(master, framework, stream, call);
                }
            }
            (Node::Master(master), Packet::Call { stream_id, call }) => self.on_call(master, stream_id, call),
            (Node::Framework(framework), packet) => self.hear(framework, packet),
            (Node::Master(_) | Node::Agent(_) | Node::Coordination, _) => {}
        }
    }
}
