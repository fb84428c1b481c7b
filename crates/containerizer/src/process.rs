//! Processes as `/proc` shows them: which there are, which of them belong to a container, and their end.
//!
//! A container of the Linux launcher has a cgroup that lists its processes. One without has no such list: what belongs to it is found by three signs: the session
//! that its first process began, descent, and the `MESOS_SANDBOX` of its environment, which also marks what began a
//! session of its own and lost its parent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use std::{fs, io};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::cgroups::Cgroups;

/// One line of `/proc/<pid>/stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) session: u32,
    /// Whether it has ended and only waits to be noticed.
    pub(crate) ended: bool,
    pub(crate) user_ticks: u64,
    pub(crate) system_ticks: u64,
    /// Ticks since the boot; tells processes apart that had the same pid.
    pub(crate) started: u64,
    pub(crate) rss_pages: u64,
}

/// What a container's processes are known by.
#[derive(Clone, Debug)]
pub(crate) struct Signs {
    /// The first process, which leads the session; 0 where it is gone or not known.
    pub(crate) leader: u32,
    /// When the leader started, if it could be seen. A process of the same pid that started at another time is not it.
    pub(crate) started: Option<u64>,
    /// The value of `MESOS_SANDBOX` in the environment.
    pub(crate) sandbox: String,
    /// Its cgroups. Where it has any, the other signs say nothing of who belongs to it.
    pub(crate) cgroups: Option<Cgroups>,
}

impl Process {
    /// The process of that pid, if there is one.
    pub(crate) fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        // The name is in parentheses and may contain anything, parentheses included.
        let (pid, rest) = stat.split_once(" (")?;
        let (_, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let id = |at: usize| fields.get(at)?.parse::<u32>().ok();
        Some(Self {
            pid: pid.parse().ok()?,
            ended: matches!(*fields.first()?, "Z" | "X"),
            parent: id(1)?,
            session: id(3)?,
            user_ticks: number(11)?,
            system_ticks: number(12)?,
            started: number(19)?,
            rss_pages: number(21)?,
        })
    }

    /// Sends a signal to this very process, not to another one that has its pid by now.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        if Self::read(self.pid).is_none_or(|now| now.started != self.started) {
            return Ok(());
        }
        match pidfd_send_signal(handle, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// All processes there are.
pub(crate) fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(Process::read).collect()
}

/// Whether the process was started with this `MESOS_SANDBOX`.
pub(crate) fn has_sandbox(pid: u32, sandbox: &str) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    let mark = format!("MESOS_SANDBOX={sandbox}");
    environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
}

impl Signs {
    /// All processes of the container, cheaply, for statistics: by its cgroup, or by session and descent alone.
    pub(crate) fn processes(&self) -> Vec<Process> {
        match &self.cgroups {
            Some(cgroups) => cgroups.processes().into_iter().filter_map(Process::read).collect(),
            None => self.members(&all()).into_iter().cloned().collect(),
        }
    }

    /// The members among `processes`, by session and descent alone.
    pub(crate) fn members<'a>(&self, processes: &'a [Process]) -> Vec<&'a Process> {
        self.select(processes, |_| false)
    }

    /// The members among `processes`, by all signs.
    pub(crate) fn all_members<'a>(&self, processes: &'a [Process]) -> Vec<&'a Process> {
        self.select(processes, |process| has_sandbox(process.pid, &self.sandbox))
    }

    fn select<'a>(&self, processes: &'a [Process], marked: impl Fn(&Process) -> bool) -> Vec<&'a Process> {
        let own = std::process::id();
        // What ran before the leader is no business of the container, which spares most look-ups of environments.
        let since = self.started.unwrap_or(0);
        let candidates = || {
            let alive = processes.iter().filter(|process| !process.ended && process.started >= since);
            alive.filter(|process| process.pid > 1 && process.pid != own)
        };
        // While members of the session live, nothing else can get its number. A leader that started at another time
        // says that they are all gone and the number was given again.
        let reused = processes.iter().any(|process| {
            process.pid == self.leader && self.started.is_some_and(|started| started != process.started)
        });
        let mut sessions = BTreeSet::new();
        // Session 0 is that of the kernel and of all that this namespace cannot see.
        if !reused && self.leader != 0 {
            sessions.insert(self.leader);
        }
        let mut members: BTreeMap<u32, &Process> = BTreeMap::new();
        for process in candidates() {
            let first = process.pid == self.leader && !reused;
            if first || sessions.contains(&process.session) || marked(process) {
                members.insert(process.pid, process);
            }
        }
        loop {
            // Sessions that members lead are the container's as a whole.
            sessions.extend(
                members.values().filter(|member| member.session == member.pid).map(|member| member.pid),
            );
            let before = members.len();
            for process in candidates() {
                if sessions.contains(&process.session) || members.contains_key(&process.parent) {
                    members.insert(process.pid, process);
                }
            }
            if members.len() == before {
                return members.into_values().collect();
            }
        }
    }
}

/// Sends a signal to the session that `leader` began and to what descends from it: what an executor does to its task.
pub fn signal_session(leader: u32, signal: Signal) {
    let signs = Signs { leader, started: None, sandbox: String::new(), cgroups: None };
    for member in signs.members(&all()) {
        send(member, signal);
    }
}

/// The longest that [`kill_all`] goes on.
const KILL_PATIENCE: Duration = Duration::from_secs(60);

/// Kills all members until none is left. Returns the pids of those that would not die in time (a process in
/// uninterruptible sleep, or one of another user).
pub(crate) async fn kill_all(signs: Signs) -> Vec<u32> {
    if let Some(cgroups) = signs.cgroups {
        // Most are over by themselves, and not worth another thread.
        if cgroups.remove_empty() {
            return Vec::new();
        }
        return tokio::task::spawn_blocking(move || cgroups.destroy()).await.unwrap_or_default();
    }
    let deadline = tokio::time::Instant::now() + KILL_PATIENCE;
    let mut pause = Duration::from_millis(1);
    loop {
        let signs = signs.clone();
        // A scan reads some files per process of the machine.
        let round = tokio::task::spawn_blocking(move || kill_round(&signs)).await;
        let left = round.unwrap_or_default();
        if left.is_empty() || tokio::time::Instant::now() >= deadline {
            return left;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

/// Kills all members, on this thread.
pub(crate) fn kill_now(signs: &Signs, patience: Duration) {
    let deadline = std::time::Instant::now() + patience;
    let mut pause = Duration::from_millis(1);
    while !kill_round(signs).is_empty() && std::time::Instant::now() < deadline {
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

/// Sends a signal to the command beside whose process of that id it runs, or to that itself if it is the command.
/// False if there is nothing.
pub(crate) fn signal_command(leader: u32, is_watcher: bool, signal: Signal) -> bool {
    let command = command_of(leader, is_watcher);
    // What ends meanwhile needs no signal.
    command.is_some_and(|command| command.signal(signal).is_ok())
}

/// The command of a container whose first process is `leader`.
pub(crate) fn command_of(leader: u32, is_watcher: bool) -> Option<Process> {
    if !is_watcher {
        return Process::read(leader);
    }
    all().into_iter().filter(|process| process.parent == leader && !process.ended).min_by_key(|it| it.started)
}

/// One round: stops the members so that they start no others meanwhile, then kills them. Returns whom it saw.
fn kill_round(signs: &Signs) -> Vec<u32> {
    let mut stopped = BTreeSet::new();
    // What forks faster than a scan is caught by the next ones; a few suffice, as most of it is stopped by then.
    for _ in 0..8 {
        let processes = all();
        let fresh: Vec<&Process> =
            signs.all_members(&processes).into_iter().filter(|member| stopped.insert(member.pid)).collect();
        if fresh.is_empty() {
            if stopped.is_empty() {
                return Vec::new();
            }
            break;
        }
        for member in fresh {
            send(member, Signal::STOP);
        }
    }
    let processes = all();
    let members = signs.all_members(&processes);
    for member in &members {
        send(member, Signal::KILL);
    }
    members.into_iter().map(|member| member.pid).collect()
}

fn send(process: &Process, signal: Signal) {
    if let Err(error) = process.signal(signal) {
        tracing::warn!(pid = process.pid, %error, "cannot signal a process of a container");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, parent: u32, session: u32) -> Process {
        Process {
            pid,
            parent,
            session,
            ended: false,
            user_ticks: 0,
            system_ticks: 0,
            started: 7,
            rss_pages: 0,
        }
    }

    fn check(signs: &Signs, processes: &[Process], expected: &[u32]) {
        let found: Vec<u32> = signs.members(processes).iter().map(|member| member.pid).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn reads_its_own_line() {
        let own = Process::read(std::process::id()).unwrap();
        assert_eq!(own.pid, std::process::id());
        assert!(own.rss_pages > 0 && !own.ended);
        let odd = "42 (a) b) S 1 42 40 0 -1 4 1 2 3 4 50 60 0 0 20 0 1 0 99 1000 77 1";
        let parsed = Process::parse(odd).unwrap();
        assert_eq!((parsed.pid, parsed.parent, parsed.session), (42, 1, 40));
        assert_eq!(
            (parsed.user_ticks, parsed.system_ticks, parsed.started, parsed.rss_pages),
            (50, 60, 99, 77)
        );
        assert_eq!(Process::parse("42 (a"), None);
        assert_eq!(Process::parse("42 (a) S 1"), None);
    }

    #[test]
    fn members_share_the_session_or_descend() {
        let signs = Signs { leader: 100, started: Some(7), sandbox: String::new(), cgroups: None };
        let processes = [
            process(1_000_000, 1, 1_000_000),
            process(100, 50, 100),
            process(101, 100, 100),
            process(102, 1, 100),
            // A child with a session of its own, and an orphan of that session.
            process(103, 101, 103),
            process(104, 1, 103),
            process(105, 104, 105),
        ];
        check(&signs, &processes, &[100, 101, 102, 103, 104, 105]);
        // The leader is gone, the session is not.
        check(&signs, &processes[2..], &[101, 102, 103, 104, 105]);
        // The number belongs to somebody else by now.
        let later = Signs { started: Some(6), ..signs };
        check(&later, &processes, &[]);
        check(&Signs { leader: 0, started: None, ..later }, &[process(2, 0, 0), process(3, 2, 0)], &[]);
    }
}
