//! What a session takes over from the container that it looks into, where that has files of its own: its environment,
//! where its command began, and whose files those are.
//!
//! A later agent finds the first two in `launch_info` in the container's runtime directory, without the secrets.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proto::mesos::slave::ContainerLaunchInfo;
use proto::mesos::v1::Environment;
use proto::mesos::v1::environment::Variable;
use rustix::fs::stat;
use types::ContainerId;

use crate::entries::Shared;
use crate::process::{Process, all};
use crate::runtime;

/// How long the task of a command executor may take to get to its own root once it was started.
const ROOT_PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked for meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// What a session takes over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inherited {
    /// Where the command of that container began.
    pub(crate) directory: PathBuf,
    /// Its whole environment. None if that is not known any more: what the agent knows of it is all then.
    pub(crate) environment: Option<Vec<(String, String)>>,
}

impl Inherited {
    fn to_launch_info(&self, secrets: &[&str]) -> ContainerLaunchInfo {
        let pairs = self.environment.iter().flatten();
        let variables = pairs.filter(|(name, _)| !secrets.contains(&name.as_str())).map(|(name, value)| {
            Variable { name: name.clone(), value: Some(value.clone()), ..Variable::default() }
        });
        ContainerLaunchInfo {
            environment: Some(Environment { variables: variables.collect() }),
            working_directory: Some(self.directory.to_string_lossy().into_owned()),
            ..ContainerLaunchInfo::default()
        }
    }

    fn from_launch_info(info: ContainerLaunchInfo) -> Option<Self> {
        let pair = |variable: Variable| (variable.name, variable.value.unwrap_or_default());
        Some(Self {
            directory: info.working_directory?.into(),
            environment: Some(info.environment?.variables.into_iter().map(pair).collect()),
        })
    }
}

impl Shared {
    /// What a session in it takes over. None unless it has a root of its own, or is a session in such a one.
    pub(crate) fn inherited(&self, container: &ContainerId) -> Option<Inherited> {
        if let Some(inherited) = self.lock().get(container)?.inherited.clone() {
            return Some(inherited);
        }
        if !self.has_root(container) {
            return None;
        }
        // It was launched by an earlier agent.
        let noted = self.config.launch_info_file(container).and_then(|path| runtime::read_framed(&path));
        let unknown = || Inherited {
            directory: self.config.settings.sandbox_directory.clone().into(),
            environment: None,
        };
        Some(noted.and_then(Inherited::from_launch_info).unwrap_or_else(unknown))
    }

    /// Notes what sessions in it will take over, for this agent.
    pub(crate) fn inherit(&self, container: &ContainerId, inherited: Inherited) {
        if let Some(entry) = self.lock().get_mut(container) {
            entry.inherited = Some(inherited);
        }
    }

    /// The same, for a later one too. That learns nothing of these secrets.
    pub(crate) fn inherit_for_good(
        &self,
        container: &ContainerId,
        inherited: Inherited,
        secrets: &[&str],
    ) -> io::Result<()> {
        if let Some(path) = self.config.launch_info_file(container) {
            self.config.mark(container)?;
            runtime::write_framed(&path, &inherited.to_launch_info(secrets))?;
        }
        self.inherit(container, inherited);
        Ok(())
    }

    /// The process whose mounts a session in a container enters: one that is in the root of the container's own, where
    /// there is one. Blocks. Says why there is none.
    pub(crate) fn looked_into(&self, container: &ContainerId) -> Result<Option<u32>, String> {
        let Some(process) = self.process_in(container).filter(|_| self.has_root(container)) else {
            return Ok(self.process_in(container));
        };
        let deadline = Instant::now() + ROOT_PATIENCE;
        loop {
            let found = in_own_root(process, has_other_root);
            if found.is_some() {
                return Ok(found);
            }
            if Process::read(process).is_none_or(|process| process.ended) || Instant::now() >= deadline {
                return Err(format!(
                    "Cannot get target mount namespace from process {process}: Cannot detect task process"
                ));
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    fn has_root(&self, container: &ContainerId) -> bool {
        self.config.provisioner.as_ref().is_some_and(|it| it.has_root(container))
    }
}

/// Who is in a root of its own: the process itself, or one that it or a child of it has started.
///
/// COMPAT(mesos): the executor of a command task stays in the machine's root, and only its task goes to its own. With
/// process ids of its own an init is above that executor.
fn in_own_root(process: u32, is_rooted: impl Fn(u32) -> bool) -> Option<u32> {
    if is_rooted(process) {
        return Some(process);
    }
    let processes = all();
    let children = |parents: &[u32]| -> Vec<u32> {
        let children = processes.iter().filter(|it| parents.contains(&it.parent) && !it.ended);
        children.map(|it| it.pid).collect()
    };
    let first = children(&[process]);
    let found = first.iter().copied().find(|pid| is_rooted(*pid));
    found.or_else(|| children(&first).into_iter().find(|pid| is_rooted(*pid)))
}

/// Whether a process has another root than this one: it went to one, and so sees other files.
#[must_use]
pub fn has_other_root(pid: u32) -> bool {
    let root = |whose: &Path| stat(whose.join("root")).map(|root| (root.st_dev, root.st_ino)).ok();
    let its_own = root(Path::new(&format!("/proc/{pid}")));
    its_own.is_some() && its_own != root(Path::new("/proc/self"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_found_without_secrets() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let inherited = Inherited {
            directory: "/srv".into(),
            environment: Some(vec![pair("PATH", "/bin"), pair("TOKEN", "hush")]),
        };
        let found = Inherited::from_launch_info(inherited.to_launch_info(&["TOKEN"])).unwrap();
        let public = Inherited { environment: Some(vec![pair("PATH", "/bin")]), ..inherited };
        assert_eq!(found, public);
        assert_eq!(Inherited::from_launch_info(ContainerLaunchInfo::default()), None);
    }

    #[test]
    fn the_task_is_found_below_its_executor() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "sleep 77301 & echo $!; wait"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = io::BufReader::new(child.stdout.take().unwrap());
        io::BufRead::read_line(&mut output, &mut line).unwrap();
        let grandchild: u32 = line.trim().parse().unwrap();
        let own = std::process::id();
        for rooted in [own, child.id(), grandchild] {
            assert_eq!(in_own_root(own, |pid| pid == rooted), Some(rooted));
        }
        assert_eq!(in_own_root(own, |_| false), None);
        assert!(!has_other_root(own) && !has_other_root(child.id()));
        for pid in [grandchild, child.id()] {
            let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
        child.wait().unwrap();
    }
}
