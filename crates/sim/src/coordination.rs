//! ZooKeeper or etcd, taken as one: sessions, the election and the registry's store. It is linearizable: each request
//! is served at one instant, or never.

use std::collections::BTreeMap;

use proto::mesos::v1::MasterInfo;

use crate::node::{Nanos, SECOND};

/// How long a silent session lasts.
pub(crate) const SESSION: Nanos = 10 * SECOND;

/// A candidate of the election.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) session: u64,
    pub(crate) info: MasterInfo,
}

/// A change of the store: keys and their new values.
pub(crate) type Changes = Vec<(String, Option<Vec<u8>>)>;

/// Why a commit was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deposed {
    pub(crate) newest: u64,
}

/// The service.
#[derive(Debug, Default)]
pub(crate) struct Coordination {
    /// When each session was heard of.
    pub(crate) sessions: BTreeMap<u64, Nanos>,
    /// In the order of their coming: the first leads.
    pub(crate) members: Vec<Member>,
    pub(crate) entries: BTreeMap<String, Vec<u8>>,
    pub(crate) epoch: u64,
    /// It answers nobody until then.
    pub(crate) stalled_until: Nanos,
    sessions_given: u64,
}

impl Coordination {
    pub(crate) fn begin_session(&mut self, now: Nanos) -> u64 {
        self.sessions_given += 1;
        self.sessions.insert(self.sessions_given, now);
        self.sessions_given
    }

    pub(crate) fn leader(&self) -> Option<&Member> {
        self.members.first()
    }

    /// Ends a session with what belongs to it. Whether another leads now.
    pub(crate) fn end_session(&mut self, session: u64) -> bool {
        self.sessions.remove(&session);
        let led = self.leader().map(|member| member.session);
        self.members.retain(|member| member.session != session);
        led != self.leader().map(|member| member.session)
    }

    /// Ends the sessions that were silent for too long. Whether another leads now.
    pub(crate) fn expire(&mut self, now: Nanos) -> bool {
        let over: Vec<u64> = self
            .sessions
            .iter()
            .filter(|(_, heard)| now >= **heard + SESSION)
            .map(|(session, _)| *session)
            .collect();
        let mut changed = false;
        for session in over {
            changed |= self.end_session(session);
        }
        changed
    }

    /// It was away: who was connected could not be heard, so every session begins its time anew.
    pub(crate) fn wake(&mut self, now: Nanos) {
        self.sessions.values_mut().for_each(|heard| *heard = now);
    }

    /// A leadership begins.
    pub(crate) fn begin_epoch(&mut self) -> u64 {
        self.epoch += 1;
        self.epoch
    }

    /// Takes a commit of that leadership, unless there is a newer one.
    pub(crate) fn commit(&mut self, epoch: u64, changes: &Changes, fenced: bool) -> Result<(), Deposed> {
        if fenced && epoch != self.epoch {
            return Err(Deposed { newest: self.epoch });
        }
        for (key, value) in changes {
            match value {
                Some(value) => drop(self.entries.insert(key.clone(), value.clone())),
                None => drop(self.entries.remove(key)),
            }
        }
        Ok(())
    }
}
