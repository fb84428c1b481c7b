//! The executor that the agent has for task groups.

use proto::mesos::v1;

use crate::config::Config;

/// The name of the program, which is also its first argument.
const PROGRAM: &str = "mesos-default-executor";

/// The command of an executor of type DEFAULT. Where the program's file is none, the launch takes our own binary.
pub(crate) fn program(config: &Config, user: Option<&str>) -> v1::CommandInfo {
    v1::CommandInfo {
        shell: Some(false),
        value: Some(format!("{}/{PROGRAM}", config.launcher_dir)),
        arguments: vec![PROGRAM.to_owned(), format!("--launcher_dir={}", config.launcher_dir)],
        user: user.map(str::to_owned),
        ..Default::default()
    }
}
