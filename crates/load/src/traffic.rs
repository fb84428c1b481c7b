//! How many messages of each kind crossed the wire and how large they were: what the calibrator is given.

use crate::ledger::Ledger;

/// A kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// ACCEPT, from a framework.
    Accept,
    /// ACKNOWLEDGE, from a framework.
    Acknowledge,
    /// Any other call.
    OtherCall,
    /// A status update, from an agent.
    Update,
    /// Any other message from an agent.
    OtherFromAgent,
    /// A task to run, to an agent.
    RunTask,
    /// An acknowledgement, to an agent.
    Acknowledged,
    /// Any other message to an agent.
    OtherToAgent,
    /// An event of a framework's stream.
    Event,
}

const KINDS: usize = 9;

/// Counts since the last [`Traffic::take`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic {
    counts: [(u64, u64); KINDS],
}

impl Traffic {
    /// Counts a message with a body of so many bytes.
    pub(crate) fn count(&mut self, kind: Kind, bytes: usize) {
        let (messages, all) = &mut self.counts[kind as usize];
        *messages += 1;
        *all += u64::try_from(bytes).unwrap_or_default();
    }

    /// What was counted; counting starts anew.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// How many there were.
    pub(crate) fn messages(&self, kind: Kind) -> u64 {
        self.counts[kind as usize].0
    }

    /// The mean size of the bodies.
    pub(crate) fn mean_bytes(&self, kind: Kind) -> usize {
        let (messages, bytes) = self.counts[kind as usize];
        usize::try_from(bytes / messages.max(1)).unwrap_or_default()
    }
}

/// A kind of connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Agents' messages to the master.
    FromAgent,
    /// The master's messages to agents.
    ToAgent,
    /// Frameworks' calls.
    Calls,
}

/// One request that belongs to a life-cycle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) lane: Lane,
    /// The size of its body.
    pub(crate) bytes: usize,
}

/// The requests of one life-cycle, in their order, and how often the first (ACCEPT) is needed.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) accept: Request,
    /// Tasks in one ACCEPT, at least 1.
    pub(crate) tasks_per_accept: u64,
    pub(crate) requests: Vec<Request>,
}

impl Script {
    /// The script of a window in which `tasks` lives were lived.
    pub(crate) fn of(traffic: &Traffic, tasks: u64) -> Self {
        let request = |lane, kind| Request { lane, bytes: traffic.mean_bytes(kind) };
        let accepts = traffic.messages(Kind::Accept).max(1);
        let round = [
            request(Lane::FromAgent, Kind::Update),
            request(Lane::Calls, Kind::Acknowledge),
            request(Lane::ToAgent, Kind::Acknowledged),
        ];
        let mut requests = vec![request(Lane::ToAgent, Kind::RunTask)];
        requests.extend(round);
        requests.extend(round);
        Self {
            accept: request(Lane::Calls, Kind::Accept),
            tasks_per_accept: (tasks / accepts).max(1),
            requests,
        }
    }

    /// Requests for each life-cycle, in thousandths.
    pub(crate) fn requests_milli(&self) -> u64 {
        u64::try_from(self.requests.len()).unwrap_or_default() * 1000 + 1000 / self.tasks_per_accept
    }
}

/// How many lives were under way on average: the time they took together over the time that passed.
pub(crate) fn mean_in_flight(ledger: &Ledger, wall_us: u64) -> usize {
    usize::try_from(ledger.latency().sum() / wall_us.max(1)).unwrap_or_default().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_the_mean_of_what_was_counted() {
        let mut traffic = Traffic::default();
        for (kind, bytes) in
            [(Kind::Accept, 300), (Kind::Update, 100), (Kind::Update, 120), (Kind::RunTask, 500)]
        {
            traffic.count(kind, bytes);
        }
        let script = Script::of(&traffic.take(), 4);
        assert_eq!((script.tasks_per_accept, script.requests.len()), (4, 7));
        assert_eq!(
            (script.accept.bytes, script.requests[0].bytes, script.requests[1].bytes),
            (300, 500, 110)
        );
        assert_eq!(script.requests_milli(), 7250);
        assert_eq!(traffic.messages(Kind::Update), 0);
    }
}
