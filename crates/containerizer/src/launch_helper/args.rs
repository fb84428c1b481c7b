//! What the helper is told on its command line.

use std::ffi::OsString;

use launch_plan::{Mount, Process, Rlimit};

use super::{LaunchError, privileges};

/// A limit that is none, on the command line.
const UNLIMITED: &str = "unlimited";

/// What the helper shall become.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaunchArgs {
    /// The command's working directory.
    pub directory: OsString,
    /// Whom it runs as; none for the agent's own user.
    pub user: Option<String>,
    /// The namespaces it is in, and what it does there.
    pub process: Process,
    /// The process whose namespaces it enters, where it does.
    pub around: Option<u32>,
    /// The file for the command's wait status. With one the helper stays beside the command.
    pub status: Option<OsString>,
    /// The program: a path, or a name to be looked up in the command's `PATH`.
    pub program: OsString,
    /// Its arguments, its own name first.
    pub argv: Vec<OsString>,
}

impl LaunchArgs {
    /// The arguments that follow `containerizer launch` on the helper's command line.
    #[must_use]
    pub fn to_command_line(&self) -> Vec<OsString> {
        let mut line = vec!["--directory".into(), self.directory.clone()];
        if let Some(user) = &self.user {
            line.extend(["--user".into(), user.into()]);
        }
        let own = &self.process;
        let flags = [
            (own.own_mounts, "--own_mounts"),
            (own.own_pids, "--own_pids"),
            (own.own_ipc, "--own_ipc"),
            (own.enter_mounts, "--enter_mounts"),
            (own.enter_pids, "--enter_pids"),
            (own.enter_ipc, "--enter_ipc"),
        ];
        if let Some(around) = self.around {
            line.extend(["--around".into(), around.to_string().into()]);
        }
        if let Some(status) = &self.status {
            line.extend(["--status".into(), status.clone()]);
        }
        line.extend(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| OsString::from(flag)));
        for Mount { kind, target, options } in &own.mounts {
            line.extend(["--mount", kind, target, options].map(OsString::from));
        }
        for Rlimit { name, numbers } in &own.rlimits {
            let number =
                |number: Option<u64>| number.map_or_else(|| UNLIMITED.to_owned(), |it| it.to_string());
            let (soft, hard) = numbers.unzip();
            line.extend(["--rlimit", name, &number(soft), &number(hard)].map(OsString::from));
        }
        privileges::to_command_line(&own.privileges, &mut line);
        line.extend(["--".into(), self.program.clone()]);
        line.extend(self.argv.iter().cloned());
        line
    }

    pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, LaunchError> {
        let mut args = args.into_iter();
        let mut launch = Self::default();
        loop {
            let option = args.next().ok_or(LaunchError::Usage("the command is missing"))?;
            if option == "--" {
                break;
            }
            let mut value = || args.next().ok_or(LaunchError::Usage("a value is missing"));
            let text = |value: OsString| value.to_string_lossy().into_owned();
            match option.to_str() {
                Some("--directory") => launch.directory = value()?,
                Some("--user") => launch.user = Some(text(value()?)),
                Some("--own_mounts") => launch.process.own_mounts = true,
                Some("--own_pids") => launch.process.own_pids = true,
                Some("--own_ipc") => launch.process.own_ipc = true,
                Some("--enter_mounts") => launch.process.enter_mounts = true,
                Some("--enter_pids") => launch.process.enter_pids = true,
                Some("--enter_ipc") => launch.process.enter_ipc = true,
                Some("--status") => launch.status = Some(value()?),
                Some("--around") => {
                    let pid = number(&value()?)?.and_then(|pid| u32::try_from(pid).ok());
                    launch.around = Some(pid.ok_or(LaunchError::Usage("a process id is none"))?);
                }
                Some("--mount") => {
                    let (kind, target, options) = (text(value()?), text(value()?), text(value()?));
                    launch.process.mounts.push(Mount { kind, target, options });
                }
                Some("--rlimit") => {
                    let (name, soft, hard) = (text(value()?), number(&value()?)?, number(&value()?)?);
                    launch.process.rlimits.push(Rlimit { name, numbers: soft.zip(hard) });
                }
                Some("--capabilities") => {
                    let granted = privileges::capabilities(&text(value()?), &text(value()?))?;
                    launch.process.privileges.capabilities = Some(granted);
                }
                Some("--no_new_privs") => launch.process.privileges.no_new_privs = true,
                Some("--seccomp") => {
                    launch.process.privileges.seccomp = Some(privileges::program(&text(value()?))?);
                }
                _ => return Err(LaunchError::Usage("an option is not known")),
            }
        }
        launch.program = args.next().ok_or(LaunchError::Usage("the program is missing"))?;
        launch.argv = args.collect();
        Ok(launch)
    }
}

fn number(text: &OsString) -> Result<Option<u64>, LaunchError> {
    match text.to_str() {
        Some(UNLIMITED) => Ok(None),
        text => {
            text.and_then(|text| text.parse().ok()).map(Some).ok_or(LaunchError::Usage("a number is none"))
        }
    }
}

#[cfg(test)]
mod tests {
    use launch_plan::{Granted, Privileges};
    use seccomp::Program;
    use types::Capabilities;

    use super::*;

    #[test]
    fn arguments_survive_the_command_line() {
        let args = LaunchArgs {
            directory: "/sand box".into(),
            user: Some("ann".to_owned()),
            process: Process {
                own_mounts: true,
                own_pids: true,
                own_ipc: true,
                enter_mounts: true,
                enter_pids: true,
                enter_ipc: true,
                mounts: vec![Mount {
                    kind: "proc".to_owned(),
                    target: "/proc".to_owned(),
                    options: String::new(),
                }],
                rlimits: vec![
                    Rlimit { name: "CORE".to_owned(), numbers: None },
                    Rlimit { name: "NOFILE".to_owned(), numbers: Some((1, 2)) },
                ],
                oom_score_adj: None,
                privileges: Privileges {
                    capabilities: Some(Granted { effective: None, bounding: Capabilities::from_bits(5) }),
                    no_new_privs: true,
                    seccomp: Program::from_text("0600000000000000"),
                },
            },
            around: Some(77),
            status: Some("/run/status".into()),
            program: "/bin/sh".into(),
            argv: ["sh", "-c", "echo -- hi"].map(OsString::from).to_vec(),
        };
        assert_eq!(LaunchArgs::parse(args.to_command_line()).unwrap(), args);
        let process = Process::default();
        let plain = LaunchArgs { user: None, around: None, status: None, process, argv: vec![], ..args };
        assert_eq!(LaunchArgs::parse(plain.to_command_line()).unwrap(), plain);
        for broken in [
            &["--user"][..],
            &["--directory", "/"],
            &["--nosuch", "x", "--", "y"],
            &["--"],
            &["--rlimit", "CORE", "1", "x", "--", "y"],
        ] {
            assert!(LaunchArgs::parse(broken.iter().map(OsString::from)).is_err(), "{broken:?}");
        }
    }
}
