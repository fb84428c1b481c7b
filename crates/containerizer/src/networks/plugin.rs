//! CNI plugins: programs that put a network namespace in a network, and take it out.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use crate::called::{Outcome, call};

/// Where plugins look for programs such as `iptables` when this agent does not know either.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One call of a plugin.
#[derive(Debug)]
pub(crate) struct Invocation<'a> {
    /// `ADD` or `DEL`.
    pub(crate) command: &'a str,
    /// `CNI_CONTAINERID`.
    pub(crate) container: &'a str,
    /// `CNI_NETNS`: none where the namespace is gone.
    pub(crate) namespace: Option<&'a Path>,
    /// `CNI_IFNAME`.
    pub(crate) interface: &'a str,
    /// `CNI_PATH`: where other plugins are.
    pub(crate) path: &'a str,
    /// The file with the network's configuration.
    pub(crate) config: &'a Path,
}

/// Runs a plugin. One that does not end in time is killed, with all that it started in its process group.
pub(crate) async fn run(
    program: &Path,
    name: &str,
    invocation: &Invocation<'_>,
    patience: Duration,
) -> Result<Outcome, String> {
    let failed = |why: String| format!("Failed to execute the CNI plugin '{}': {why}", program.display());
    let config = File::open(invocation.config).map_err(|error| failed(error.to_string()))?;
    let mut command = Command::new(program);
    command
        .arg0(name)
        .env_clear()
        .env("CNI_COMMAND", invocation.command)
        .env("CNI_CONTAINERID", invocation.container)
        .env("CNI_IFNAME", invocation.interface)
        .env("CNI_PATH", invocation.path)
        .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into()))
        .stdin(config);
    if let Some(namespace) = invocation.namespace {
        command.env("CNI_NETNS", namespace);
    }
    call(&mut command, invocation.command, patience).await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use rustix::process::Pid;

    use super::*;

    async fn call(script: &str, patience: Duration) -> Result<Outcome, String> {
        let home = tempfile::tempdir().unwrap();
        let (program, config) = (home.path().join("plugin"), home.path().join("config"));
        fs::write(&program, format!("#!/bin/sh\n{script}")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(&config, "the configuration").unwrap();
        let invocation = Invocation {
            command: "ADD",
            container: "c",
            namespace: Some(Path::new("/ns")),
            interface: "eth0",
            path: "/plugins",
            config: &config,
        };
        run(&program, "plugin", &invocation, patience).await
    }

    #[tokio::test]
    async fn plugins_are_told_and_heard() {
        let script = "cat; env | grep CNI_ | sort; echo oops >&2; exit 3";
        let outcome = call(script, Duration::from_secs(60)).await.unwrap();
        assert_eq!(outcome.status.code(), Some(3));
        assert_eq!(
            outcome.words(),
            "stdout='the configurationCNI_COMMAND=ADD\nCNI_CONTAINERID=c\nCNI_IFNAME=eth0\nCNI_NETNS=/ns\n\
             CNI_PATH=/plugins\n', stderr='oops\n'"
        );
        let flood = "head -c 3000000 /dev/zero";
        assert_eq!(call(flood, Duration::from_secs(60)).await.unwrap().stdout.len(), 1 << 20);
    }

    #[tokio::test]
    async fn a_plugin_that_does_not_end_is_killed() {
        let mark = tempfile::tempdir().unwrap();
        let pid_file = mark.path().join("pid");
        let script = format!("echo $$ > {}.new; mv {0}.new {0}; sleep 71001 & wait", pid_file.display());
        let error = call(&script, Duration::from_secs(2)).await.unwrap_err();
        assert!(error.ends_with("'ADD' did not end within 2 s"), "{error}");
        // Nobody else's process of that number is ever told from ours: ours is gone, or ends at once.
        let pid: i32 = fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
        let pid = Pid::from_raw(pid).unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while rustix::process::test_kill_process_group(pid).is_ok() {
            assert!(std::time::Instant::now() < deadline, "the group of {pid:?} lives");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
