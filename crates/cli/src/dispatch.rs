//! Which program this binary is today: by its own name, or by its first argument.

use std::ffi::OsString;
use std::path::Path;

/// A program of the one binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// The master.
    Master,
    /// The agent.
    Agent,
    /// A whole cluster in one process.
    Local,
    /// One task, run and shown.
    Execute,
    /// What an agent starts for a command task.
    Executor,
    /// What an agent starts for task groups.
    DefaultExecutor,
    /// What an agent starts for a task that is a Docker container.
    DockerExecutor,
    /// What an agent starts as the first program of a container.
    Containerizer,
    /// A CNI plugin that leads ports of the machine to containers.
    CniPortMapper,
    /// Everything for people: lists, logs, state.
    Tool,
}

/// The words by which a program is called, after `mesos` or `mesos-`.
const PROGRAMS: &[(&str, Program)] = &[
    ("master", Program::Master),
    ("agent", Program::Agent),
    ("slave", Program::Agent),
    ("local", Program::Local),
    ("execute", Program::Execute),
    ("executor", Program::Executor),
    ("default-executor", Program::DefaultExecutor),
    ("docker-executor", Program::DockerExecutor),
    ("containerizer", Program::Containerizer),
    ("cni-port-mapper", Program::CniPortMapper),
];

/// Verbs that make `mesos agent` a question about agents rather than an agent.
const VERBS: &[&str] = &["list", "help"];

/// Finds the program and its arguments in what the process was started with, its own name first.
pub(crate) fn dispatch(arguments: impl IntoIterator<Item = OsString>) -> (Program, Vec<OsString>) {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let called = arguments.first().map(|name| Path::new(name).file_name().unwrap_or_default().to_owned());
    let find = |word: &str| PROGRAMS.iter().find(|(name, _)| *name == word).map(|(_, program)| *program);
    let by_name = called.as_ref().and_then(|name| name.to_str()?.strip_prefix("mesos-")).and_then(find);
    if let Some(program) = by_name {
        arguments.drain(..1);
        return (program, arguments);
    }
    let word = arguments.get(1).and_then(|word| word.to_str()).unwrap_or_default();
    let verb = arguments.get(2).and_then(|verb| verb.to_str()).unwrap_or_default();
    match find(word) {
        Some(Program::Agent) if VERBS.contains(&verb) => (Program::Tool, arguments),
        Some(program) => {
            arguments.drain(..2);
            (program, arguments)
        }
        None => (Program::Tool, arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_words_find_the_program() {
        let check = |line: &str, program: Program, rest: &[&str]| {
            let (found, arguments) = dispatch(line.split(' ').map(OsString::from));
            assert_eq!(found, program, "{line}");
            assert_eq!(arguments, rest.iter().map(OsString::from).collect::<Vec<_>>(), "{line}");
        };
        check("/usr/sbin/mesos-master --port=1", Program::Master, &["--port=1"]);
        check("mesos-slave --port=1", Program::Agent, &["--port=1"]);
        check("./mesos agent --port=1", Program::Agent, &["--port=1"]);
        check("mesos agent list", Program::Tool, &["mesos", "agent", "list"]);
        check("mesos executor", Program::Executor, &[]);
        check("mesos-executor --launcher_dir=/x", Program::Executor, &["--launcher_dir=/x"]);
        check("mesos-default-executor --launcher_dir=/x", Program::DefaultExecutor, &["--launcher_dir=/x"]);
        check("mesos docker-executor --run", Program::DockerExecutor, &["--run"]);
        check("mesos containerizer launch --", Program::Containerizer, &["launch", "--"]);
        check("/usr/lib/cni/mesos-cni-port-mapper", Program::CniPortMapper, &[]);
        check("mesos task list", Program::Tool, &["mesos", "task", "list"]);
        check("mesos", Program::Tool, &["mesos"]);
    }
}
