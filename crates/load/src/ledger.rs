//! The book of every task: what each side saw of it, when, and everything that was not as it must be. Pure.
//!
//! ```text
//! launched -> run (agent) -> running (framework) -> finished (framework) -> done (the agent has the last acknowledgement)
//! ```

use std::collections::BTreeMap;

use proto::mesos::v1::TaskState;

use crate::histogram::Histogram;

/// Complaints kept word for word; the others are counted.
const COMPLAINTS_MAX: usize = 20;

/// How far a task has come, as bits: what happened may not happen twice.
const RUN: u8 = 1;
const RUNNING: u8 = 2;
const FINISHED: u8 = 4;
const DONE: u8 = 8;

#[derive(Clone, Copy, Debug)]
struct Entry {
    seen: u8,
    /// When it should have been launched, in microseconds.
    intended_us: u64,
    /// The id of its last update, to tell a repeated update from a second one.
    last_update: u128,
}

/// Every task of a run.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    tasks: Vec<Entry>,
    finished: u64,
    done: u64,
    repeated: u64,
    /// Tasks that may still be launched in this window, and when they are due.
    demand: Demand,
    /// From the intended launch to the end, in this window.
    latency: Histogram,
    /// From the end of a task to the next offer of its agent.
    offered: Histogram,
    /// From when a probe should have begun to its being known to run.
    probed: Histogram,
    /// Agents of which something came free, and when it should have.
    freed: BTreeMap<String, u64>,
    /// Probes under way, and when they should have begun.
    probes: BTreeMap<u32, u64>,
    /// Tasks that run, and the time that all ran together until some moment.
    busy: u64,
    busy_us: u64,
    busy_until_us: u64,
    complaints: Vec<String>,
    complaints_more: u64,
}

/// The tasks of a window: how many, and how they arrive.
#[derive(Clone, Copy, Debug, Default)]
struct Demand {
    left: u64,
    began_us: u64,
    taken: u64,
    /// Microseconds between two arrivals, in thousandths; `None` if all are there at once.
    gap_nanos: Option<u64>,
}

impl Ledger {
    /// Opens a window of `count` tasks that arrive `per_second`, or all at once. The latencies start anew.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive rate far from the bounds"
    )]
    pub(crate) fn open_window(&mut self, count: u64, per_second: Option<f64>, now_us: u64) {
        let gap_nanos = per_second.map(|rate| (1e9 / rate.max(0.001)).round() as u64);
        self.demand = Demand { left: count, began_us: now_us, taken: 0, gap_nanos };
        self.latency = Histogram::default();
    }

    /// The latencies of this window.
    pub(crate) fn latency(&self) -> &Histogram {
        &self.latency
    }

    /// How many tasks may be launched now.
    pub(crate) fn due(&self, now_us: u64) -> u64 {
        let demand = &self.demand;
        match demand.gap_nanos {
            None => demand.left,
            Some(gap) => {
                let arrived = (now_us.saturating_sub(demand.began_us)) * 1000 / gap.max(1) + 1;
                arrived.saturating_sub(demand.taken).min(demand.left)
            }
        }
    }

    /// When the next task arrives, if tasks arrive one by one and there are more.
    pub(crate) fn next_arrival_us(&self) -> Option<u64> {
        let demand = &self.demand;
        let gap = demand.gap_nanos.filter(|_| demand.left > 0)?;
        Some(demand.began_us + demand.taken * gap / 1000)
    }

    /// A task is launched: its number.
    pub(crate) fn launch(&mut self, now_us: u64) -> u32 {
        let demand = &mut self.demand;
        let intended_us = match demand.gap_nanos {
            Some(gap) => demand.began_us + demand.taken * gap / 1000,
            None => now_us,
        };
        demand.taken += 1;
        demand.left = demand.left.saturating_sub(1);
        self.tasks.push(Entry { seen: 0, intended_us, last_update: 0 });
        u32::try_from(self.tasks.len() - 1).expect("runs are far smaller than 2^32 tasks")
    }

    /// An agent was told to run a task.
    pub(crate) fn on_run(&mut self, task: u32) {
        match self.entry(task).map(|entry| mark(entry, RUN)) {
            Some(true) => {}
            Some(false) => self.complain(format!("task {task} was run twice")),
            None => self.complain(format!("an agent was told to run task {task}, which nobody launched")),
        }
    }

    /// A framework was told of a task's state.
    pub(crate) fn on_update(&mut self, task: u32, state: TaskState, update: u128, why: &str) {
        let Some(entry) = self.entry(task) else {
            return self.complain(format!("an update of task {task}, which nobody launched"));
        };
        // Updates are delivered at least once: a repeated one has the id of the first.
        if update != 0 && entry.last_update == update {
            self.repeated += 1;
            return;
        }
        entry.last_update = update;
        match state {
            TaskState::TaskRunning => {
                if entry.seen & FINISHED != 0 || !mark(entry, RUNNING) {
                    self.complain(format!("task {task} was said to run for a second time"));
                }
            }
            TaskState::TaskFinished => {
                let early = entry.seen & RUNNING == 0;
                if !mark(entry, FINISHED) {
                    self.complain(format!("task {task} finished twice"));
                } else {
                    self.finished += 1;
                    if early {
                        self.complain(format!("task {task} finished before it was said to run"));
                    }
                }
            }
            other => {
                let state = other.as_str_name();
                self.complain(format!("task {task} is {state}: {why}"));
            }
        }
    }

    /// An agent got the acknowledgement of a task's last update.
    pub(crate) fn on_done(&mut self, task: u32, now_us: u64) {
        let Some(entry) = self.entry(task) else {
            return self.complain(format!("an acknowledgement for task {task}, which nobody launched"));
        };
        let unfinished = entry.seen & FINISHED == 0;
        let intended_us = entry.intended_us;
        if !mark(entry, DONE) {
            return self.complain(format!("the end of task {task} was acknowledged twice"));
        }
        self.done += 1;
        self.latency.record(now_us.saturating_sub(intended_us));
        if unfinished {
            self.complain(format!("task {task} was acknowledged before its framework knew"));
        }
    }

    /// A task begins to use its slot.
    pub(crate) fn on_busy(&mut self, now_us: u64) {
        self.busy_us(now_us);
        self.busy += 1;
    }

    /// A task no longer uses its slot.
    pub(crate) fn on_idle(&mut self, now_us: u64) {
        self.busy_us(now_us);
        self.busy = self.busy.saturating_sub(1);
    }

    /// Tasks that run now.
    pub(crate) fn busy(&self) -> u64 {
        self.busy
    }

    /// The time that all tasks ran together until now, in microseconds.
    pub(crate) fn busy_us(&mut self, now_us: u64) -> u64 {
        self.busy_us += self.busy * now_us.saturating_sub(self.busy_until_us);
        self.busy_until_us = now_us;
        self.busy_us
    }

    /// Something of an agent came free, or should have at that time.
    pub(crate) fn on_freed(&mut self, agent: &str, due_us: u64) {
        self.freed.insert(agent.to_owned(), due_us);
    }

    /// An agent is offered.
    pub(crate) fn on_offer(&mut self, agent: &str, now_us: u64) {
        if let Some(due_us) = self.freed.remove(agent) {
            self.offered.record(now_us.saturating_sub(due_us));
        }
    }

    /// From the end of a task to the next offer of its agent.
    pub(crate) fn offered(&self) -> &Histogram {
        &self.offered
    }

    /// A task was launched as a probe.
    pub(crate) fn on_probe(&mut self, task: u32, due_us: u64) {
        self.probes.insert(task, due_us);
    }

    /// A task is known to run, perhaps a probe.
    pub(crate) fn on_known(&mut self, task: u32, now_us: u64) {
        if let Some(due_us) = self.probes.remove(&task) {
            self.probed.record(now_us.saturating_sub(due_us));
        }
    }

    /// From when a probe should have begun to its being known to run.
    pub(crate) fn probed(&self) -> &Histogram {
        &self.probed
    }

    /// Probes that were launched and are not known to run.
    pub(crate) fn probes_left(&self) -> usize {
        self.probes.len()
    }

    /// What was measured so far does not count.
    pub(crate) fn start_measuring(&mut self) {
        self.offered = Histogram::default();
        self.probed = Histogram::default();
    }

    /// Nothing more is to be launched.
    pub(crate) fn close_window(&mut self) {
        self.demand.left = 0;
    }

    /// Something that must not be.
    pub(crate) fn complain(&mut self, what: String) {
        if self.complaints.len() < COMPLAINTS_MAX {
            self.complaints.push(what);
        } else {
            self.complaints_more += 1;
        }
    }

    /// Tasks launched so far.
    pub(crate) fn launched(&self) -> u64 {
        u64::try_from(self.tasks.len()).expect("a count in memory fits")
    }

    /// Tasks whose framework knows that they finished.
    pub(crate) fn finished(&self) -> u64 {
        self.finished
    }

    /// Tasks that are over on all sides.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// Updates that came more than once.
    pub(crate) fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Everything that was wrong, and what is missing at the end.
    pub(crate) fn audit(&self, expected: u64) -> Vec<String> {
        let mut all = self.complaints.clone();
        if self.complaints_more > 0 {
            all.push(format!("and {} more of these", self.complaints_more));
        }
        let mut require = |what: &str, count: u64| {
            if count != expected {
                all.push(format!("{count} tasks {what}, not {expected}"));
            }
        };
        require("were launched", self.launched());
        require("are known to have finished", self.finished);
        require("had their last update acknowledged", self.done);
        let unfinished = self.tasks.iter().enumerate().filter(|(_, entry)| entry.seen & DONE == 0);
        for (task, entry) in unfinished.take(5) {
            let stage = match entry.seen {
                seen if seen & FINISHED != 0 => "finished, but its agent does not know that this is known",
                seen if seen & RUNNING != 0 => "running",
                seen if seen & RUN != 0 => "on its agent, but its framework does not know",
                _ => "launched, but no agent has it",
            };
            all.push(format!("lost: task {task} is {stage}"));
        }
        all
    }

    fn entry(&mut self, task: u32) -> Option<&mut Entry> {
        self.tasks.get_mut(usize::try_from(task).ok()?)
    }
}

/// Notes that something happened; false if it had happened before.
fn mark(entry: &mut Entry, bit: u8) -> bool {
    let fresh = entry.seen & bit == 0;
    entry.seen |= bit;
    fresh
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNING_STATE: TaskState = TaskState::TaskRunning;
    const FINISHED_STATE: TaskState = TaskState::TaskFinished;

    fn with_one() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.open_window(1, None, 100);
        assert_eq!((ledger.due(100), ledger.launch(100)), (1, 0));
        ledger.on_run(0);
        ledger.on_update(0, RUNNING_STATE, 1, "");
        ledger
    }

    #[test]
    fn a_whole_life() {
        let mut ledger = with_one();
        ledger.on_update(0, RUNNING_STATE, 1, "");
        ledger.on_update(0, FINISHED_STATE, 2, "");
        ledger.on_done(0, 350);
        assert_eq!(ledger.audit(1), Vec::<String>::new());
        assert_eq!((ledger.done(), ledger.latency().max(), ledger.repeated()), (1, 250, 1));
        assert_eq!(ledger.due(400), 0);
    }

    #[test]
    fn what_is_wrong_is_seen() {
        fn complaints(act: impl FnOnce(&mut Ledger)) -> String {
            let mut ledger = with_one();
            act(&mut ledger);
            ledger.audit(ledger.launched()).join("; ")
        }
        assert!(complaints(|_| {}).contains("lost: task 0 is running"));
        assert!(complaints(|ledger| ledger.on_run(0)).contains("task 0 was run twice"));
        assert!(complaints(|ledger| ledger.on_run(9)).contains("task 9, which nobody launched"));
        let twice = complaints(|ledger| {
            ledger.on_update(0, FINISHED_STATE, 2, "");
            ledger.on_update(0, FINISHED_STATE, 3, "");
        });
        assert!(twice.contains("task 0 finished twice"));
        let lost = complaints(|ledger| {
            ledger.on_update(0, TaskState::TaskLost, 2, "its agent left");
        });
        assert!(lost.contains("task 0 is TASK_LOST: its agent left"));
        assert!(complaints(|ledger| ledger.on_done(0, 1)).contains("before its framework knew"));
    }

    #[test]
    fn tasks_arrive_at_their_rate() {
        let mut ledger = Ledger::default();
        ledger.open_window(3, Some(1000.0), 5000);
        assert_eq!(ledger.due(5000), 1);
        ledger.launch(5400);
        assert_eq!((ledger.due(5400), ledger.next_arrival_us()), (0, Some(6000)));
        assert_eq!(ledger.due(9000), 2);
        let late = ledger.launch(9000);
        ledger.on_run(late);
        ledger.on_update(late, RUNNING_STATE, 1, "");
        ledger.on_update(late, FINISHED_STATE, 2, "");
        ledger.on_done(late, 10_000);
        assert_eq!(ledger.latency().max(), 4000, "counted from when it should have been launched");
        ledger.launch(9000);
        assert_eq!((ledger.due(99_999), ledger.next_arrival_us()), (0, None));
    }
}
