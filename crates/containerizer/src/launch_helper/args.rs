//! What the helper is told on its command line.

use std::ffi::OsString;

use std::path::PathBuf;

use launch_plan::{
    Bind, DeviceNode, Layered, Layers, Mount, Process, Rlimit, Root, SecretFile, SharedMemory,
};

use super::{LaunchError, Stdin, privileges, user_namespace};

/// A limit that is none, on the command line.
const UNLIMITED: &str = "unlimited";

/// What the helper shall become.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaunchArgs {
    /// The command's working directory.
    pub directory: OsString,
    /// Whom it runs as; none for the agent's own user.
    pub user: Option<String>,
    /// The groups that it is in beside the user's.
    pub groups: Vec<u32>,
    /// The namespaces it is in, and what it does there.
    pub process: Process,
    /// The process whose namespaces it enters, where it does.
    pub around: Option<u32>,
    /// A root that another process has made, and that is entered in mounts of its own.
    pub enter_root: Option<OsString>,
    /// The file for the command's wait status. With one the helper stays beside the command.
    pub status: Option<OsString>,
    /// The program: a path, or a name to be looked up in the command's `PATH`.
    pub program: OsString,
    /// Its arguments, its own name first.
    pub argv: Vec<OsString>,
    /// What the command reads.
    pub stdin: Stdin,
}

impl LaunchArgs {
    /// The root that is entered, if any is.
    pub(super) fn root(&self) -> Option<PathBuf> {
        let own = self.process.root.as_ref().filter(|root| !root.is_for_another);
        own.map(|root| root.path.clone().into()).or_else(|| self.enter_root.clone().map(Into::into))
    }

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
            (own.own_network, "--own_network"),
            (own.own_uts, "--own_uts"),
            (own.enter_network, "--enter_network"),
            (own.enter_uts, "--enter_uts"),
        ];
        for (flag, value) in [("--host_name", &own.host_name), ("--network_files", &own.network_files)] {
            if let Some(value) = value {
                line.extend([flag, value].map(OsString::from));
            }
        }
        for group in &self.groups {
            line.extend(["--group".into(), group.to_string().into()]);
        }
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
        if let Some(root) = &self.enter_root {
            line.extend(["--enter_root".into(), root.clone()]);
        }
        line.extend(own.root.iter().flat_map(root_to_line));
        for Layered { path, layers: Layers { links, count } } in &own.layered {
            line.extend(["--layers", path, links, &count.to_string()].map(OsString::from));
        }
        for Bind { source, below, inside, target, must_exist, read_only } in &own.binds {
            let access = if *read_only { "ro" } else { "rw" };
            let there = if *must_exist { "there" } else { "new" };
            let below = below.as_deref().unwrap_or_default();
            let inside = inside.as_deref().unwrap_or_default();
            line.extend(["--bind", source, below, inside, target, there, access].map(OsString::from));
        }
        for SecretFile { inside, target, must_exist } in &own.secrets {
            let there = if *must_exist { "there" } else { "new" };
            let inside = inside.as_deref().unwrap_or_default();
            line.extend(["--secret", inside, target, there].map(OsString::from));
        }
        for Rlimit { name, numbers } in &own.rlimits {
            let number =
                |number: Option<u64>| number.map_or_else(|| UNLIMITED.to_owned(), |it| it.to_string());
            let (soft, hard) = numbers.unzip();
            line.extend(["--rlimit", name, &number(soft), &number(hard)].map(OsString::from));
        }
        if let Some(namespace) = &own.user_namespace {
            user_namespace::to_command_line(namespace, &mut line);
        }
        privileges::to_command_line(&own.privileges, &mut line);
        match self.stdin {
            Stdin::Nothing => {}
            Stdin::Rest(bytes) => line.extend(["--input".into(), bytes.to_string().into()]),
            Stdin::Terminal => line.push("--terminal".into()),
        }
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
                Some("--group") => {
                    let group = number(&value()?)?.and_then(|group| u32::try_from(group).ok());
                    launch.groups.push(group.ok_or(LaunchError::Usage("a group is none"))?);
                }
                Some("--own_mounts") => launch.process.own_mounts = true,
                Some("--own_pids") => launch.process.own_pids = true,
                Some("--own_ipc") => launch.process.own_ipc = true,
                Some("--enter_mounts") => launch.process.enter_mounts = true,
                Some("--enter_pids") => launch.process.enter_pids = true,
                Some("--enter_ipc") => launch.process.enter_ipc = true,
                Some("--terminal") => launch.stdin = Stdin::Terminal,
                Some("--input") => {
                    let bytes = number(&value()?)?.and_then(|bytes| usize::try_from(bytes).ok());
                    launch.stdin = Stdin::Rest(bytes.ok_or(LaunchError::Usage("a size is none"))?);
                }
                Some("--own_network") => launch.process.own_network = true,
                Some("--own_uts") => launch.process.own_uts = true,
                Some("--enter_network") => launch.process.enter_network = true,
                Some("--enter_uts") => launch.process.enter_uts = true,
                Some("--host_name") => launch.process.host_name = Some(text(value()?)),
                Some("--network_files") => launch.process.network_files = Some(text(value()?)),
                Some("--status") => launch.status = Some(value()?),
                Some("--around") => {
                    let pid = number(&value()?)?.and_then(|pid| u32::try_from(pid).ok());
                    launch.around = Some(pid.ok_or(LaunchError::Usage("a process id is none"))?);
                }
                Some("--mount") => {
                    let (kind, target, options) = (text(value()?), text(value()?), text(value()?));
                    launch.process.mounts.push(Mount { kind, target, options });
                }
                Some("--enter_root") => launch.enter_root = Some(value()?),
                Some("--root") => {
                    launch.process.root = Some(Root { path: text(value()?), ..Root::default() });
                }
                Some("--root_layers") => {
                    let (links, count) = (text(value()?), number(&value()?)?);
                    let count = count.and_then(|count| usize::try_from(count).ok());
                    let count = count.ok_or(LaunchError::Usage("a number is none"))?;
                    root_of(&mut launch)?.layers = Some(Layers { links, count });
                }
                Some("--layers") => {
                    let (path, links, count) = (text(value()?), text(value()?), number(&value()?)?);
                    let count = count.and_then(|count| usize::try_from(count).ok());
                    let count = count.ok_or(LaunchError::Usage("a number is none"))?;
                    launch.process.layered.push(Layered { path, layers: Layers { links, count } });
                }
                Some("--root_shared_memory") => {
                    root_of(&mut launch)?.shared_memory = SharedMemory::Own(text(value()?));
                }
                Some("--root_machine_shared_memory") => {
                    root_of(&mut launch)?.shared_memory = SharedMemory::Machine;
                }
                Some("--root_device") => {
                    let (path, kind) = (text(value()?), text(value()?));
                    let mut next = || {
                        let number = number(&value()?)?.and_then(|number| u32::try_from(number).ok());
                        number.ok_or(LaunchError::Usage("a device is none"))
                    };
                    let (major, minor, mode) = (next()?, next()?, next()?);
                    let device = DeviceNode { path, characters: kind == "c", major, minor, mode };
                    root_of(&mut launch)?.devices.push(device);
                }
                Some("--root_unmasked") => root_of(&mut launch)?.unmasked = true,
                Some("--root_for_another") => root_of(&mut launch)?.is_for_another = true,
                Some("--secret") => {
                    let (inside, target, there) = (text(value()?), text(value()?), value()?);
                    let inside = Some(inside).filter(|inside| !inside.is_empty());
                    launch.process.secrets.push(SecretFile { inside, target, must_exist: there == "there" });
                }
                Some("--bind") => {
                    let mut next = || Ok::<_, LaunchError>(text(value()?));
                    let some = |text: String| Some(text).filter(|text| !text.is_empty());
                    launch.process.binds.push(Bind {
                        source: next()?,
                        below: some(next()?),
                        inside: some(next()?),
                        target: next()?,
                        must_exist: next()? == "there",
                        read_only: next()? == "ro",
                    });
                }
                Some("--rlimit") => {
                    let (name, soft, hard) = (text(value()?), number(&value()?)?, number(&value()?)?);
                    launch.process.rlimits.push(Rlimit { name, numbers: soft.zip(hard) });
                }
                Some("--user_namespace") => {
                    let namespace = user_namespace::parse(&text(value()?), &text(value()?))?;
                    launch.process.user_namespace = Some(namespace);
                }
                Some("--files") => {
                    let path = text(value()?);
                    let namespace = launch.process.user_namespace.as_mut();
                    namespace.ok_or(LaunchError::Usage("files belong to nobody"))?.files.push(path);
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

fn root_to_line(root: &Root) -> Vec<OsString> {
    let mut line = vec!["--root".into(), root.path.clone().into()];
    if let Some(Layers { links, count }) = &root.layers {
        line.extend(["--root_layers".into(), links.into(), count.to_string().into()]);
    }
    match &root.shared_memory {
        SharedMemory::Own(options) => line.extend(["--root_shared_memory".into(), options.into()]),
        SharedMemory::Machine => line.push("--root_machine_shared_memory".into()),
    }
    for DeviceNode { path, characters, major, minor, mode } in &root.devices {
        let kind = if *characters { "c" } else { "b" };
        let numbers = [major, minor, mode].map(u32::to_string);
        line.extend(["--root_device", path, kind].map(OsString::from));
        line.extend(numbers.map(OsString::from));
    }
    for (set, flag) in [(root.unmasked, "--root_unmasked"), (root.is_for_another, "--root_for_another")] {
        line.extend(set.then(|| flag.into()));
    }
    line
}

fn root_of(launch: &mut LaunchArgs) -> Result<&mut Root, LaunchError> {
    launch.process.root.as_mut().ok_or(LaunchError::Usage("the root is missing"))
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
    use launch_plan::{Granted, Privileges, UserNamespace};
    use seccomp::Program;
    use types::Capabilities;

    use super::*;

    #[test]
    fn arguments_survive_the_command_line() {
        let args = LaunchArgs {
            directory: "/sand box".into(),
            user: Some("ann".to_owned()),
            groups: vec![70_000, 5],
            process: Process {
                own_mounts: true,
                own_pids: true,
                own_ipc: true,
                enter_mounts: true,
                enter_pids: true,
                enter_ipc: true,
                own_network: true,
                own_uts: true,
                enter_network: true,
                enter_uts: true,
                host_name: Some("box".to_owned()),
                network_files: Some("/run/c".to_owned()),
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
                user_namespace: Some(UserNamespace { first: 7, count: 8, files: vec!["/f".to_owned()] }),
                privileges: Privileges {
                    capabilities: Some(Granted { effective: None, bounding: Capabilities::from_bits(5) }),
                    no_new_privs: true,
                    seccomp: Program::from_text("0600000000000000"),
                },
                root: Some(Root {
                    path: "/root".to_owned(),
                    layers: Some(Layers { links: "/links".to_owned(), count: 2 }),
                    shared_memory: SharedMemory::Machine,
                    unmasked: true,
                    is_for_another: true,
                    devices: vec![DeviceNode {
                        path: "/dev/x".to_owned(),
                        characters: true,
                        major: 1,
                        minor: 2,
                        mode: 0o644,
                    }],
                }),
                layered: vec![Layered {
                    path: "/image".to_owned(),
                    layers: Layers { links: "/links".to_owned(), count: 3 },
                }],
                secrets: [None, Some("/a".to_owned())]
                    .map(|inside| SecretFile {
                        must_exist: inside.is_some(),
                        inside,
                        target: "/s".to_owned(),
                    })
                    .to_vec(),
                binds: [None, Some("/a")]
                    .map(|below| Bind {
                        source: "/a/b".to_owned(),
                        below: below.map(str::to_owned),
                        inside: below.map(str::to_owned),
                        target: "/c".to_owned(),
                        must_exist: below.is_none(),
                        read_only: below.is_some(),
                    })
                    .to_vec(),
            },
            around: Some(77),
            enter_root: Some("/other".into()),
            status: Some("/run/status".into()),
            program: "/bin/sh".into(),
            argv: ["sh", "-c", "echo -- hi"].map(OsString::from).to_vec(),
            stdin: Stdin::Rest(77),
        };
        assert_eq!(LaunchArgs::parse(args.to_command_line()).unwrap(), args);
        let process = Process { root: Some(Root::default()), ..Process::default() };
        let plain = LaunchArgs {
            user: None,
            around: None,
            enter_root: None,
            status: None,
            process,
            argv: vec![],
            stdin: Stdin::Terminal,
            ..args
        };
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
