//! What a container's first process becomes.

use std::ffi::OsString;

use proto::mesos::v1::CommandInfo;
use thiserror::Error;

/// A program and its arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// A path, or a name to be looked up in the `PATH` of the command's environment.
    pub path: OsString,
    /// The arguments, the program's own name first.
    pub argv: Vec<OsString>,
}

/// Why a command cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommandError {
    /// A shell command without text.
    #[error("Shell command is not specified")]
    NoShellCommand,
    /// A program without path.
    #[error("Executable of command is not specified")]
    NoExecutable,
    /// A NUL would cut the argument short.
    #[error("Command contains a NUL character")]
    Nul,
}

impl Program {
    /// The program of a command: `/bin/sh -c value`, or `value` with `arguments` where `shell` is false.
    pub fn of(command: &CommandInfo) -> Result<Self, CommandError> {
        let value = command.value.as_deref();
        if value.is_some_and(|value| value.contains('\0'))
            || command.arguments.iter().any(|it| it.contains('\0'))
        {
            return Err(CommandError::Nul);
        }
        if command.shell() {
            let value = value.ok_or(CommandError::NoShellCommand)?;
            return Ok(Self {
                path: "/bin/sh".into(),
                argv: ["sh", "-c", value].map(OsString::from).to_vec(),
            });
        }
        let value = value.ok_or(CommandError::NoExecutable)?;
        // The name is among the arguments; a framework that gives none gets the path for it.
        let argv: Vec<OsString> = match command.arguments.is_empty() {
            true => vec![value.into()],
            false => command.arguments.iter().map(OsString::from).collect(),
        };
        Ok(Self { path: value.into(), argv })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        value: Option<&str>,
        shell: Option<bool>,
        arguments: &[&str],
        expected: Result<&[&str], CommandError>,
    ) {
        let command = CommandInfo {
            value: value.map(str::to_owned),
            shell,
            arguments: arguments.iter().map(|&it| it.to_owned()).collect(),
            ..CommandInfo::default()
        };
        let line = Program::of(&command).map(|program| {
            let mut line = vec![program.path];
            line.extend(program.argv);
            line
        });
        assert_eq!(line, expected.map(|line| line.iter().map(OsString::from).collect()));
    }

    #[test]
    fn commands_become_programs() {
        check(Some("exit 3"), None, &["ignored"], Ok(&["/bin/sh", "sh", "-c", "exit 3"]));
        check(Some("/bin/ls"), Some(false), &["ls", "-l"], Ok(&["/bin/ls", "ls", "-l"]));
        check(Some("ls"), Some(false), &[], Ok(&["ls", "ls"]));
        check(None, None, &[], Err(CommandError::NoShellCommand));
        check(None, Some(false), &["ls"], Err(CommandError::NoExecutable));
        check(Some("a\0b"), None, &[], Err(CommandError::Nul));
    }
}
