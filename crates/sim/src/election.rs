//! How the world goes by the coordination service: sessions and leases, who leads and who learns of it, the registry.

use master_core::Event;
use master_core::Ticket;
use master_core::registry::{Key, Outcome};

use crate::coordination::{Changes, Member, SESSION};
use crate::master::{Input, REGISTRY_PATIENCE, Standing};
use crate::node::{MILLI, Nanos, Node, SECOND};
use crate::world::{Happening, World};

/// What a master's thread writes at once.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) epoch: u64,
    pub(crate) changes: Changes,
    pub(crate) outcomes: Vec<(Ticket, bool)>,
    pub(crate) deadline: Nanos,
}

/// How long a detector that hears nothing believes what it knew.
const DETECTOR_PATIENCE: u32 = 10;

impl World {
    /// Whether a node's request is served now.
    fn is_served(&self, node: Node) -> bool {
        self.network.reaches(node, Node::Coordination)
            && self.network.reaches(Node::Coordination, node)
            && self.now >= self.coordination.stalled_until
    }

    /// A master asks for a sign of life from the service, and gives one.
    pub(crate) fn on_session_ping(&mut self, master: usize, incarnation: u64) {
        let now = self.now;
        let served = self.is_served(Node::Master(master));
        if self.masters[master].incarnation != incarnation {
            return;
        }
        let Some(process) = self.masters[master].process.as_mut() else { return };
        let time = process.clock.now(now);
        if served {
            if let Some(heard) = self.coordination.sessions.get_mut(&process.session) {
                *heard = now;
                process.lease = time.mono + std::time::Duration::from_nanos(SESSION);
                let session = process.session;
                if !self.coordination.members.iter().any(|member| member.session == session) {
                    let info = process.info.clone();
                    self.coordination.members.push(Member { session, info });
                    if self.coordination.members.len() == 1 {
                        self.leader_changed();
                    }
                }
                let next = now + SESSION / 10 + self.pause(SESSION / 50);
                self.schedule(now + SESSION, Happening::SessionsExpire);
                return self.schedule(next, Happening::SessionPing { master, incarnation });
            }
            // The session is over. Who led must end; another begins anew.
            if process.standing != Standing::Standby {
                return self.kill_master(master, "its session is over");
            }
            process.session = self.coordination.begin_session(now);
        } else if process.standing != Standing::Standby && time.mono >= process.lease {
            return self.kill_master(master, "its lease is over");
        }
        let next = now + SESSION / 20 + self.pause(SESSION / 50);
        self.schedule(next, Happening::SessionPing { master, incarnation });
    }

    pub(crate) fn on_sessions_expire(&mut self) {
        if self.now < self.coordination.stalled_until {
            return;
        }
        if self.coordination.expire(self.now) {
            self.leader_changed();
        }
    }

    /// Another leads, or nobody: everybody learns of it in time.
    pub(crate) fn leader_changed(&mut self) {
        let masters = (0..self.masters.len()).map(Node::Master);
        let agents = (0..self.agents.len()).map(Node::Agent);
        let frameworks = (0..self.frameworks.len()).map(Node::Framework);
        for node in masters.chain(agents).chain(frameworks).collect::<Vec<_>>() {
            self.look_for_leader(node);
        }
    }

    /// A node looks who leads.
    pub(crate) fn look_for_leader(&mut self, node: Node) {
        let Some(incarnation) = self.incarnation(node) else { return };
        let at = self.now + MILLI + self.pause(100 * MILLI);
        self.schedule(at, Happening::LeaderSeen { node, incarnation, tries: 0 });
    }

    pub(crate) fn on_leader_seen(&mut self, node: Node, incarnation: u64, tries: u32) {
        if self.incarnation(node) != Some(incarnation) {
            return;
        }
        if !self.is_served(node) {
            if tries == DETECTOR_PATIENCE {
                self.detected(node, None);
            }
            let tries = tries.saturating_add(1);
            let at = self.now + SECOND;
            return self.schedule(at, Happening::LeaderSeen { node, incarnation, tries });
        }
        let leader = self.coordination.leader().cloned();
        self.detected(node, leader);
    }

    fn detected(&mut self, node: Node, leader: Option<Member>) {
        match node {
            Node::Master(master) => self.stand(master, leader.as_ref()),
            Node::Agent(agent) => self.agent_detects(agent, leader.map(|member| member.info)),
            Node::Framework(framework) => self.framework_detects(framework, leader.map(|member| member.info)),
            Node::Coordination => {}
        }
    }

    /// A master sees where it stands.
    fn stand(&mut self, master: usize, leader: Option<&Member>) {
        let now = self.now;
        let incarnation = self.masters[master].incarnation;
        let Some(process) = self.masters[master].process.as_mut() else { return };
        let leads = leader.is_some_and(|leader| leader.session == process.session);
        match (leads, process.standing) {
            (true, Standing::Standby) => {
                process.standing = Standing::Opening;
                self.tell_master(master, Event::Elected);
                let deadline = now + REGISTRY_PATIENCE;
                let at = now + MILLI + self.pause(20 * MILLI);
                self.schedule(at, Happening::RegistryRead { master, incarnation, deadline });
            }
            (false, Standing::Opening | Standing::Serving) => {
                self.kill_master(master, "it leads no more");
            }
            (true, Standing::Opening | Standing::Serving) | (false, Standing::Standby) => {}
        }
    }

    pub(crate) fn on_registry_read(&mut self, master: usize, incarnation: u64, deadline: Nanos) {
        if self.masters[master].incarnation != incarnation || self.masters[master].process.is_none() {
            return;
        }
        if !self.is_served(Node::Master(master)) {
            if self.now >= deadline {
                return self.kill_master(master, "it could not read the registry");
            }
            let at = self.now + 500 * MILLI;
            return self.schedule(at, Happening::RegistryRead { master, incarnation, deadline });
        }
        let epoch = self.coordination.begin_epoch();
        let entries = self.coordination.entries.clone().into_iter().collect();
        self.give_master(master, Input::Opened { epoch, entries });
    }

    /// The master's thread takes what waits, and writes it.
    pub(crate) fn begin_commit(&mut self, master: usize) {
        let deadline = self.now + REGISTRY_PATIENCE;
        let at = self.now + MILLI / 2 + self.pause(5 * MILLI);
        let incarnation = self.masters[master].incarnation;
        let Some(process) = self.masters[master].process.as_mut() else { return };
        let keeper = &mut process.keeper;
        if keeper.busy || keeper.queue.is_empty() {
            return;
        }
        keeper.busy = true;
        let mut keys: Vec<Key> = Vec::new();
        let mut outcomes = Vec::new();
        for (ticket, operation) in std::mem::take(&mut keeper.queue) {
            let changed = keeper.state.apply(&operation);
            if changed {
                keys.extend(operation.keys());
            }
            outcomes.push((ticket, changed));
        }
        let changes = keys.iter().map(|key| (key.to_string(), keeper.state.value(key))).collect();
        let commit = Commit { epoch: keeper.epoch, changes, outcomes, deadline };
        self.schedule(at, Happening::CommitArrives { master, incarnation, commit: Box::new(commit) });
    }

    /// A commit is at the service. It is served, also where whoever sent it is gone by now.
    pub(crate) fn on_commit_arrives(&mut self, master: usize, incarnation: u64, commit: Box<Commit>) {
        let node = Node::Master(master);
        let on_its_way = self.network.reaches(node, Node::Coordination);
        if self.now < self.coordination.stalled_until || !on_its_way {
            if self.now >= commit.deadline {
                return self.commit_lost(master, incarnation, &commit, "the store did not answer in time");
            }
            let at = self.now + 500 * MILLI;
            return self.schedule(at, Happening::CommitArrives { master, incarnation, commit });
        }
        let fenced = !self.breakage.commits_without_epoch;
        let outcome = self.coordination.commit(commit.epoch, &commit.changes, fenced);
        let newest = self.coordination.epoch;
        if outcome.is_ok()
            && let Err(why) = self.oracle.registry.committed(commit.epoch, newest)
        {
            self.violate("registry", why);
        }
        let refused = outcome.err().map(|deposed| deposed.newest);
        let at = self.now + MILLI / 2 + self.pause(5 * MILLI);
        self.schedule(at, Happening::CommitDone { master, incarnation, commit, refused });
    }

    pub(crate) fn on_commit_done(
        &mut self,
        master: usize,
        incarnation: u64,
        commit: Box<Commit>,
        refused: Option<u64>,
    ) {
        if !self.network.reaches(Node::Coordination, Node::Master(master)) {
            if self.now >= commit.deadline {
                return self.commit_lost(master, incarnation, &commit, "the store did not answer in time");
            }
            let at = self.now + 500 * MILLI;
            return self.schedule(at, Happening::CommitDone { master, incarnation, commit, refused });
        }
        if let Some(newest) = refused {
            let why = format!("epoch {} is over, {newest} has begun", commit.epoch);
            return self.commit_lost(master, incarnation, &commit, &why);
        }
        if self.masters[master].incarnation != incarnation {
            return;
        }
        for (ticket, changed) in commit.outcomes {
            self.registry_applied(master, ticket, Outcome::Applied { changed });
        }
        if let Some(process) = self.masters[master].process.as_mut() {
            process.keeper.busy = false;
        }
        self.begin_commit(master);
    }

    fn commit_lost(&mut self, master: usize, incarnation: u64, commit: &Commit, why: &str) {
        if self.masters[master].incarnation != incarnation {
            return;
        }
        for (ticket, _) in &commit.outcomes {
            self.registry_applied(master, *ticket, Outcome::Lost(why.to_owned()));
        }
    }
}
