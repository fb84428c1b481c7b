//! What is kept under the runtime directory of containers that were asked for by name, for an agent that comes after
//! this one died: what they are, their first process, and how they ended.
//!
//! ```text
//! <runtime_dir>/containers/<id>/{config,launch_info,pid,status,termination,standalone.marker,force_destroy_on_recovery}
//!                              /containers/<id of one in it>/...
//! ```

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bytes::{BufMut as _, BytesMut};
use prost::Message;
use proto::mesos::slave::{ContainerConfig, ContainerTermination};
use types::ContainerId;

use crate::config::Config;

/// Levels of containers in containers that are looked at.
const DEPTH_MAX: usize = 32;

const STANDALONE: &str = "standalone.marker";
const SESSION: &str = "force_destroy_on_recovery";

/// What an earlier agent has left of a container that was asked for by name.
#[derive(Clone, Debug)]
pub struct Remains {
    /// Its id.
    pub container: ContainerId,
    /// What it is.
    pub config: ContainerConfig,
    /// Its first process, if it got that far.
    pub pid: Option<u32>,
    /// How it ended, if it had.
    pub termination: Option<ContainerTermination>,
    /// Whether it was a session.
    pub is_session: bool,
}

impl Config {
    /// Where it is kept that there is this container. None without a runtime directory.
    pub(crate) fn place(&self, container: &ContainerId) -> Option<PathBuf> {
        let above = match container.parent.as_deref() {
            Some(parent) => self.place(parent)?,
            None => self.runtime_dir.clone()?,
        };
        Some(above.join("containers").join(&*container.value))
    }

    /// Notes what a container is, before anything is made for it.
    pub(crate) fn record(
        &self,
        container: &ContainerId,
        config: &ContainerConfig,
        is_session: bool,
    ) -> io::Result<()> {
        let Some(place) = self.place(container) else { return Ok(()) };
        fs::create_dir_all(&place)?;
        if container.parent.is_none() {
            fs::write(place.join(STANDALONE), b"")?;
        }
        if is_session {
            fs::write(place.join(SESSION), b"")?;
        }
        write_framed(&place.join("config"), config)
    }

    /// The file that says what sessions in it take over, where its files are not the machine's.
    pub(crate) fn launch_info_file(&self, container: &ContainerId) -> Option<PathBuf> {
        Some(self.place(container)?.join("launch_info"))
    }

    /// The file that a container's wait status is written to by the process beside its command.
    pub(crate) fn status_file(&self, container: &ContainerId) -> Option<PathBuf> {
        Some(self.place(container)?.join("status"))
    }

    /// The file that its first process's id is written to.
    pub(crate) fn pid_file(&self, container: &ContainerId) -> Option<PathBuf> {
        Some(self.place(container)?.join("pid"))
    }

    /// The wait status of a container's command, if it was written down.
    pub(crate) fn recorded_status(&self, container: &ContainerId) -> Option<i32> {
        fs::read_to_string(self.status_file(container)?).ok()?.trim().parse().ok()
    }

    /// Notes how a container ended. Nothing is noted of one whose outermost container is gone.
    pub(crate) fn record_end(&self, container: &ContainerId, termination: &ContainerTermination) {
        let Some(place) = self.place(container).filter(|place| place.exists()) else { return };
        if let Err(error) = write_framed(&place.join("termination"), termination) {
            tracing::warn!(%container, %error, "cannot note how a container ended");
        }
    }

    /// Whether a container was asked for by name, by what is kept of it.
    pub(crate) fn is_by_name(&self, container: &ContainerId) -> bool {
        container.parent.is_some() || self.is_standalone(container)
    }

    pub(crate) fn is_standalone(&self, container: &ContainerId) -> bool {
        self.place(container).is_some_and(|place| place.join(STANDALONE).exists())
    }

    /// Whether the process of that id is the one beside a container's command.
    pub(crate) fn is_watcher(&self, pid: u32, container: &ContainerId) -> bool {
        let Some(status) = self.status_file(container) else { return false };
        let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
        line.split(|byte| *byte == 0).any(|argument| argument == status.as_os_str().as_encoded_bytes())
    }

    /// What is left of containers that were asked for by name; none comes before the one it is in.
    pub(crate) fn remains(&self) -> Vec<Remains> {
        let mut found = Vec::new();
        let Some(runtime_dir) = &self.runtime_dir else { return found };
        let mut level: Vec<(PathBuf, ContainerId)> = children(runtime_dir, None);
        for _ in 0..DEPTH_MAX {
            let mut next = Vec::new();
            for (place, container) in level {
                if self.is_by_name(&container) {
                    found.extend(read(&place, &container));
                }
                next.extend(children(&place, Some(&container)));
            }
            level = next;
        }
        found
    }
}

/// The containers whose places are directly below that directory.
fn children(directory: &Path, parent: Option<&ContainerId>) -> Vec<(PathBuf, ContainerId)> {
    let Ok(entries) = fs::read_dir(directory.join("containers")) else { return Vec::new() };
    let child = |entry: fs::DirEntry| {
        let value = entry.file_name().into_string().ok()?;
        let parent = parent.map(|parent| std::sync::Arc::new(parent.clone()));
        Some((entry.path(), ContainerId { value: value.into(), parent }))
    };
    entries.filter_map(|entry| child(entry.ok()?)).collect()
}

/// A container of which not even the configuration was written never began.
fn read(place: &Path, container: &ContainerId) -> Option<Remains> {
    let config = read_framed(&place.join("config"))?;
    let pid = fs::read_to_string(place.join("pid")).ok().and_then(|text| text.trim().parse().ok());
    let termination = read_framed(&place.join("termination"));
    let is_session = place.join(SESSION).exists();
    Some(Remains { container: container.clone(), config, pid, termination, is_session })
}

/// A temporary file, renamed. What a crash of the machine takes with it was about processes that it took too.
pub(crate) fn write_framed(path: &Path, message: &impl Message) -> io::Result<()> {
    let mut temporary = path.to_owned();
    temporary.as_mut_os_string().push(".tmp");
    fs::File::create(&temporary)?.write_all(&framed(message))?;
    fs::rename(&temporary, path)
}

/// What is in such a file, if there is one.
pub(crate) fn read_framed<M: Message + Default>(path: &Path) -> Option<M> {
    unframed(&fs::read(path).ok()?)
}

pub(crate) fn framed(message: &impl Message) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    bytes.put_u32_ne(u32::try_from(message.encoded_len()).unwrap_or(u32::MAX));
    message.encode(&mut bytes).expect("the buffer grows");
    bytes.to_vec()
}

pub(crate) fn unframed<M: Message + Default>(bytes: &[u8]) -> Option<M> {
    let (size, rest) = bytes.split_first_chunk::<4>()?;
    let size = usize::try_from(u32::from_ne_bytes(*size)).ok()?;
    M::decode(rest.get(..size)?).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_is_kept_is_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let fetcher = fetcher::Fetcher::new(fetcher::Config {
            cache_dir: directory.path().join("cache"),
            cache_bytes_max: 0,
            stall_timeout: std::time::Duration::from_secs(1),
            frameworks_home: String::new(),
            hadoop: None,
            limits: fetcher::Limits::default(),
        });
        let mut config = Config::posix("/no/such".into(), Arc::new(fetcher.unwrap()));
        config.runtime_dir = Some(directory.path().to_owned());
        let below = |parent: &ContainerId, value: &str| ContainerId {
            value: value.into(),
            parent: Some(Arc::new(parent.clone())),
        };
        let executor = ContainerId::root("executor");
        let task = below(&executor, "task");
        let check = below(&task, "check");
        let alone = ContainerId::root("alone");
        let written = ContainerConfig { directory: "/d".to_owned(), ..ContainerConfig::default() };
        for (container, is_session) in [(&task, false), (&check, true), (&alone, false)] {
            config.record(container, &written, is_session).unwrap();
        }
        let ended = ContainerTermination { status: Some(9), ..ContainerTermination::default() };
        config.record_end(&check, &ended);
        fs::write(config.pid_file(&task).unwrap(), "77").unwrap();
        fs::write(config.status_file(&task).unwrap(), "256").unwrap();
        let mut found = config.remains();
        found.sort_by_key(|remains| remains.container.to_string());
        let names: Vec<String> = found.iter().map(|remains| remains.container.to_string()).collect();
        assert_eq!(names, ["alone", "executor.task", "executor.task.check"]);
        assert_eq!(found[1].pid, Some(77));
        assert_eq!((found[1].config.clone(), found[1].termination.clone()), (written, None));
        assert_eq!((found[2].termination.clone(), found[2].is_session), (Some(ended), true));
        assert_eq!(config.recorded_status(&task), Some(256));
        assert!(config.is_standalone(&alone) && !config.is_standalone(&executor));
        // The end of what is not kept any more leaves nothing.
        config.unmark(&executor);
        config.record_end(&check, &ContainerTermination::default());
        assert_eq!(config.remains().len(), 1);
    }
}
