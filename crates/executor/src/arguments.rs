//! What the agent tells the command executor by its arguments: all about the root that the command has to itself, and
//! what the command may do there.

use anyhow::Context as _;
use containerizer::Granted;
use proto::mesos::v1::{CapabilityInfo, CommandInfo, Environment, executor};
use types::Capabilities;

/// The arguments that count here. COMPAT(mesos): those of Apache Mesos's executor; others are passed over.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Arguments {
    /// The root of the command, which is there: the machine's path (`--rootfs`).
    pub(crate) rootfs: Option<String>,
    /// Where the sandbox is in there (`--sandbox_directory`).
    pub(crate) sandbox_directory: Option<String>,
    /// Where the command begins in there (`--working_directory`).
    pub(crate) working_directory: Option<String>,
    /// Whom the command runs as (`--user`).
    pub(crate) user: Option<String>,
    /// The command in place of the task's (`--task_command`).
    pub(crate) task_command: Option<CommandInfo>,
    /// What the command has (`--effective_capabilities`), where that is not what its user has.
    pub(crate) effective: Option<Capabilities>,
    /// What it can have (`--bounding_capabilities`).
    pub(crate) bounding: Option<Capabilities>,
    /// The groups that the command is in beside its user's (`--task_supplementary_groups`).
    pub(crate) groups: Vec<u32>,
    /// Variables under those of the command (`--task_environment`).
    pub(crate) task_environment: Vec<(String, String)>,
}

impl Arguments {
    /// Reads them.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> anyhow::Result<Self> {
        let mut read = Self::default();
        for argument in arguments {
            let Some((name, value)) = argument.split_once('=') else { continue };
            let value = value.to_owned();
            match name {
                "--rootfs" => read.rootfs = Some(value),
                "--sandbox_directory" => read.sandbox_directory = Some(value),
                "--working_directory" => read.working_directory = Some(value),
                "--user" => read.user = Some(value),
                "--effective_capabilities" => read.effective = Some(capabilities(name, &value)?),
                "--bounding_capabilities" => read.bounding = Some(capabilities(name, &value)?),
                "--task_supplementary_groups" => {
                    let groups = value.split(',').map(str::parse).collect::<Result<_, _>>();
                    read.groups = groups.with_context(|| format!("{name} is no list of groups"))?;
                }
                "--task_command" => {
                    let command = proto::json::from_slice_v0(value.as_bytes());
                    read.task_command = Some(command.context("--task_command is no command")?);
                }
                "--task_environment" => {
                    let environment: Environment = proto::json::from_slice_v0(value.as_bytes())
                        .context("--task_environment is no environment")?;
                    let pair = |variable: proto::mesos::v1::environment::Variable| {
                        (variable.name, variable.value.unwrap_or_default())
                    };
                    read.task_environment = environment.variables.into_iter().map(pair).collect();
                }
                _ => {}
            }
        }
        Ok(read)
    }

    /// Puts the command that was made of the task's and the image's in the place of the task's.
    pub(crate) fn command(&self, event: &mut executor::Event) {
        let task = event.launch.as_mut().map(|launch| &mut launch.task);
        if let (Some(task), Some(command)) = (task, &self.task_command) {
            task.command = Some(command.clone());
        }
    }

    /// What of root's power the command has, where anything is said of that.
    pub(crate) fn granted(&self) -> Option<Granted> {
        Some(Granted { effective: self.effective, bounding: self.bounding.or(self.effective)? })
    }

    /// Where the command begins in its own root.
    pub(crate) fn directory(&self) -> &str {
        let given = self.working_directory.as_deref().or(self.sandbox_directory.as_deref());
        given.unwrap_or("/mnt/mesos/sandbox")
    }
}

fn capabilities(name: &str, value: &str) -> anyhow::Result<Capabilities> {
    let info: CapabilityInfo = proto::json::from_slice_v0(value.as_bytes())
        .with_context(|| format!("{name} is no list of capabilities"))?;
    Ok(Capabilities::of(&info)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        let read = Arguments::parse(
            [
                "--launcher_dir=/x",
                "--rootfs=/r",
                "--sandbox_directory=/s",
                "--user=ann",
                "--task_supplementary_groups=70000,5",
                "odd",
                r#"--task_command={"shell":false,"value":"a","arguments":["a","b=c"]}"#,
                r#"--task_environment={"variables":[{"name":"A","value":"1=2","type":"VALUE"}]}"#,
            ]
            .map(str::to_owned),
        )
        .unwrap();
        assert_eq!((read.rootfs.as_deref(), read.directory()), (Some("/r"), "/s"));
        assert_eq!(read.groups, [70_000, 5]);
        assert!(Arguments::parse(["--task_supplementary_groups=x".to_owned()]).is_err());
        assert_eq!(read.task_environment, [("A".to_owned(), "1=2".to_owned())]);
        assert_eq!(read.task_command.as_ref().unwrap().arguments, ["a", "b=c"]);
        assert!(Arguments::parse(["--task_command={".to_owned()]).is_err());
        let read = Arguments::parse(["--working_directory=/w".to_owned()]).unwrap();
        assert_eq!((read.directory(), &read.rootfs), ("/w", &None));
        assert_eq!(read.granted(), None);
        let bounding = r#"--bounding_capabilities={"capabilities":["CHOWN","KILL"]}"#.to_owned();
        let effective = r#"--effective_capabilities={"capabilities":["KILL"]}"#.to_owned();
        let set = Capabilities::from_bits;
        let granted = |arguments: &[&String]| {
            Arguments::parse(arguments.iter().map(|it| (*it).clone())).unwrap().granted()
        };
        let both = Granted { effective: Some(set(0x20)), bounding: set(0x21) };
        assert_eq!(granted(&[&bounding, &effective]), Some(both));
        assert_eq!(granted(&[&bounding]), Some(Granted { effective: None, ..both }));
        assert!(Arguments::parse(["--bounding_capabilities=x".to_owned()]).is_err());
    }
}
