//! Brings a task's files into its sandbox: copy, download, cache, extract.
//!
//! [`Fetcher::fetch`] is synchronous: the agent calls it on a blocking thread and sets the cancel flag when the
//! container is destroyed. It writes what it does to the `stderr` file of the sandbox, where people look first.
//!
//! **Invariant:** nothing is ever written outside the sandbox and the cache, whatever names, links or archives say
//! (`jail.rs`); a file is fetched with the rights of the task's user (`user.rs`); a file that could not be completed
//! is removed.

mod archive;
mod cache;
mod jail;
mod pump;
mod uri;
mod user;
mod web;

pub use archive::Limits;
pub use jail::Inside;
pub use pump::{Bounds, pump};
pub use user::User;
pub use web::Web;

use archive::{extract, kind};
use cache::{Cache, Found, Lease};
use fail_point::fail_point;
use jail::Jail;
use proto::mesos::v1::command_info::Uri;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use uri::Source;
use user::run_as;

/// How the agent wants things fetched.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where cached files are; emptied at start (`--fetcher_cache_dir`).
    pub cache_dir: PathBuf,
    /// How much is cached at most, in bytes (`--fetcher_cache_size`).
    pub cache_bytes_max: u64,
    /// How long a download may bring nothing (`--fetcher_stall_timeout`).
    pub stall_timeout: Duration,
    /// What relative paths are relative to; empty for nothing (`--frameworks_home`).
    pub frameworks_home: String,
    /// The `hadoop` program, if there is one (see [`hadoop_program`]).
    pub hadoop: Option<PathBuf>,
    /// What downloads and archives may grow to.
    pub limits: Limits,
}

/// What to fetch for a container.
#[derive(Clone, Copy, Debug)]
pub struct FetchRequest<'a> {
    /// The container, for messages.
    pub container_id: &'a str,
    /// What its command names.
    pub uris: &'a [Uri],
    /// Its sandbox, which exists.
    pub sandbox: &'a Path,
    /// Who it runs as, when the agent switches users.
    pub user: Option<&'a User>,
}

/// Why a container did not get its files.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The request makes no sense; nothing was tried.
    #[error("Could not fetch: {0}")]
    Invalid(String),
    /// A file could not be had.
    #[error("Failed to fetch all URIs for container '{container_id}': Failed to fetch '{uri}': {reason}")]
    Failed {
        /// The container.
        container_id: String,
        /// The URI.
        uri: String,
        /// What went wrong.
        reason: String,
    },
    /// The agent did not want it any more.
    #[error("Fetching for container '{0}' has been cancelled")]
    Cancelled(String),
}

/// Numbers for `containerizer/fetcher/*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// `task_fetches_succeeded`
    pub task_fetches_succeeded: u64,
    /// `task_fetches_failed`
    pub task_fetches_failed: u64,
    /// `cache_size_total_bytes`
    pub cache_size_total_bytes: u64,
    /// `cache_size_used_bytes`
    pub cache_size_used_bytes: u64,
}

/// Finds the Hadoop client: in `home` (`--hadoop_home` or HADOOP_HOME), else on `search_path` (PATH).
pub fn hadoop_program(home: Option<&Path>, search_path: &str) -> Option<PathBuf> {
    let candidates = match home {
        Some(home) => vec![home.join("bin/hadoop")],
        None => std::env::split_paths(search_path).map(|directory| directory.join("hadoop")).collect(),
    };
    candidates.into_iter().find(|program| program.is_file())
}

/// The fetcher of an agent.
pub struct Fetcher {
    config: Config,
    cache: Cache,
    web: Web,
    succeeded: AtomicU64,
    failed: AtomicU64,
    scratch_made: AtomicU64,
}

impl Fetcher {
    /// Empties the cache directory, and fails if it cannot.
    pub fn new(config: Config) -> std::io::Result<Self> {
        Ok(Self {
            cache: Cache::new(&config.cache_dir, config.cache_bytes_max)?,
            web: Web::new(config.stall_timeout),
            config,
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            scratch_made: AtomicU64::new(0),
        })
    }

    /// The numbers so far.
    pub fn metrics(&self) -> Metrics {
        Metrics {
            task_fetches_succeeded: self.succeeded.load(Ordering::Relaxed),
            task_fetches_failed: self.failed.load(Ordering::Relaxed),
            cache_size_total_bytes: self.cache.bytes_max(),
            cache_size_used_bytes: self.cache.bytes_used(),
        }
    }

    /// Fetches everything, in order, until something fails or `cancel` is set. Blocks; call it on a thread that may.
    pub fn fetch(&self, request: &FetchRequest<'_>, cancel: &AtomicBool) -> Result<(), FetchError> {
        let result = self.fetch_all(request, cancel);
        let counter = if result.is_ok() { &self.succeeded } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        result
    }

    fn fetch_all(&self, request: &FetchRequest<'_>, cancel: &AtomicBool) -> Result<(), FetchError> {
        for uri in request.uris {
            check(uri).map_err(FetchError::Invalid)?;
        }
        if request.uris.is_empty() {
            return Ok(());
        }
        let jail = Jail::open(request.sandbox)
            .map_err(|error| FetchError::Invalid(format!("'{}': {error}", request.sandbox.display())))?;
        let task = Task { fetcher: self, jail: &jail, user: request.user, cancel };
        for uri in request.uris {
            if cancel.load(Ordering::Relaxed) {
                return Err(FetchError::Cancelled(request.container_id.to_owned()));
            }
            task.log(&format!("Fetching '{}'", uri.value));
            match task.fetch(uri) {
                Ok(result) => task.log(&format!("Fetched '{}' to '{result}'", uri.value)),
                Err(_) if cancel.load(Ordering::Relaxed) => {
                    return Err(FetchError::Cancelled(request.container_id.to_owned()));
                }
                Err(reason) => {
                    task.log(&format!("Failed to fetch '{}': {reason}", uri.value));
                    let container_id = request.container_id.to_owned();
                    return Err(FetchError::Failed { container_id, uri: uri.value.clone(), reason });
                }
            }
        }
        Ok(())
    }
}

fn check(uri: &Uri) -> Result<(), String> {
    uri::basename(&uri.value)?;
    match &uri.output_file {
        Some(path) => uri::check_output_file(path),
        None => Ok(()),
    }
}

/// The fetching for one container.
struct Task<'a> {
    fetcher: &'a Fetcher,
    jail: &'a Jail,
    user: Option<&'a User>,
    cancel: &'a AtomicBool,
}

impl Task<'_> {
    /// A line in the sandbox's `stderr`; that it cannot be written is no reason to fail a task.
    fn log(&self, line: &str) {
        tracing::debug!(sandbox = %self.jail.path().display(), "{line}");
        let written = run_as(self.user, || {
            let path = Inside::new(Path::new("stderr"))?;
            let mut file = self.jail.append(&path).map_err(|error| error.to_string())?;
            writeln!(file, "fetcher: {line}").map_err(|error| error.to_string())
        });
        if let Err(error) = written {
            tracing::warn!("Cannot write to the stderr of '{}': {error}", self.jail.path().display());
        }
    }

    /// Fetches one URI; gives the path to show for it.
    fn fetch(&self, uri: &Uri) -> Result<String, String> {
        let basename = uri::basename(&uri.value)?;
        let to = Inside::new(Path::new(uri.output_file.as_deref().unwrap_or(basename)))?;
        if uri.cache()
            && let Some(lease) = self.by_cache(uri, basename)?
        {
            return self.place_cached(uri, &lease, &to);
        }
        self.download_into_sandbox(&uri.value, &to)?;
        let shown = self.shown(uri, basename);
        if uri.executable() {
            self.make_executable(&to)?;
        } else if uri.extract() {
            let name = uri.output_file.as_deref().unwrap_or(basename);
            match kind(name) {
                Some(kind) => {
                    self.extract(kind, name, || self.jail.read(&to).map_err(|error| error.to_string()))?
                }
                None => {
                    self.log(&format!("Not extracting '{}': it does not seem to be an archive", uri.value))
                }
            }
        }
        Ok(shown)
    }

    fn shown(&self, uri: &Uri, basename: &str) -> String {
        self.jail.path().join(uri.output_file.as_deref().unwrap_or(basename)).display().to_string()
    }

    /// Puts a cached file where the URI wants it.
    fn place_cached(&self, uri: &Uri, lease: &Lease, to: &Inside) -> Result<String, String> {
        let basename = uri::basename(&uri.value)?;
        let open = || File::open(lease.file()).map_err(|error| error.to_string());
        if uri.extract() && !uri.executable() {
            match kind(basename) {
                Some(kind) => {
                    self.extract(kind, basename, open)?;
                    return Ok(self.jail.path().display().to_string());
                }
                None => {
                    self.log(&format!("Not extracting '{}': it does not seem to be an archive", uri.value))
                }
            }
        }
        self.write(to, |file, bounds| pump(open()?, file, bounds).map_err(|error| error.to_string()))?;
        if uri.executable() {
            self.make_executable(to)?;
        }
        Ok(self.shown(uri, basename))
    }

    /// The cached file, downloaded now if need be; none if it has to be fetched past the cache.
    fn by_cache(&self, uri: &Uri, basename: &str) -> Result<Option<Lease>, String> {
        let user = self.user.map_or("", |user| user.name.as_str());
        let key = (user.to_owned(), uri.value.clone());
        let slot = match self.fetcher.cache.find(&key, basename, self.cancel) {
            Found::Ready(lease) => return Ok(Some(lease)),
            Found::Missing(slot) => slot,
            Found::Failed => return Ok(None),
            Found::Cancelled => return Err("cancelled".into()),
        };
        let filled = self.size(&uri.value).and_then(|bytes| {
            slot.reserve(bytes).map_err(|error| format!("Failed to reserve space in the cache: {error}"))?;
            self.make_cache_directory(user)?;
            self.download_into_cache(&uri.value, slot.file())
        });
        match filled.and_then(|bytes| slot.commit(bytes)) {
            Ok(lease) => Ok(Some(lease)),
            Err(error) => {
                self.log(&format!("Fetching '{}' past the cache, because: {error}", uri.value));
                Ok(None)
            }
        }
    }

    fn make_cache_directory(&self, user: &str) -> Result<(), String> {
        let directory = self.fetcher.cache.directory(user);
        let made = std::fs::create_dir_all(&directory).and_then(|()| match self.user {
            Some(user) => std::os::unix::fs::chown(&directory, Some(user.uid), Some(user.gid)),
            None => Ok(()),
        });
        made.map_err(|error| format!("Could not create the fetcher cache directory: {error}"))
    }

    /// How large the file will be.
    fn size(&self, uri: &str) -> Result<u64, String> {
        match uri::source(uri, &self.fetcher.config.frameworks_home)? {
            Source::Local(path) => run_as(self.user, || {
                let found = std::fs::metadata(&path).map_err(|error| {
                    format!("Could not determine file size for: '{}': {error}", path.display())
                })?;
                Ok(found.len())
            }),
            Source::Web(uri) => run_as(self.user, || self.fetcher.web.size(&uri, self.cancel)),
            Source::Hadoop(_) => Err("the sizes of files behind the Hadoop client are not known".into()),
        }
    }

    fn bounds(&self) -> Bounds<'_> {
        Bounds { cancel: self.cancel, bytes_max: self.fetcher.config.limits.download_bytes_max }
    }

    fn download_into_cache(&self, uri: &str, to: &Path) -> Result<u64, String> {
        match uri::source(uri, &self.fetcher.config.frameworks_home)? {
            // Never asked for: such a file has no size beforehand, so it is not cached.
            Source::Hadoop(uri) => Err(format!("'{uri}' cannot be cached")),
            source => run_as(self.user, || {
                let file = File::create_new(to).map_err(|error| format!("'{}': {error}", to.display()))?;
                self.copy(&source, &file, self.bounds())
            }),
        }
    }

    fn download_into_sandbox(&self, uri: &str, to: &Inside) -> Result<(), String> {
        match uri::source(uri, &self.fetcher.config.frameworks_home)? {
            Source::Hadoop(uri) => self.hadoop(&uri, to),
            source => self.write(to, |file, bounds| self.copy(&source, file, bounds)),
        }
    }

    /// Copies from a local path or the web.
    fn copy(&self, source: &Source, to: &File, bounds: Bounds<'_>) -> Result<u64, String> {
        match source {
            Source::Local(path) => {
                let failed = |error: std::io::Error| format!("Failed to copy '{}': {error}", path.display());
                let metadata = std::fs::metadata(path).map_err(failed)?;
                if !metadata.is_file() {
                    return Err(format!("Failed to copy '{}': not a regular file", path.display()));
                }
                pump(File::open(path).map_err(failed)?, to, bounds).map_err(failed)
            }
            Source::Web(uri) => self.fetcher.web.download(uri, to, bounds),
            Source::Hadoop(uri) => Err(format!("'{uri}' is for the Hadoop client")),
        }
    }

    /// Writes a file of the sandbox as the task's user; a partial one is removed.
    fn write(
        &self,
        to: &Inside,
        fill: impl FnOnce(&File, Bounds<'_>) -> Result<u64, String> + Send,
    ) -> Result<(), String> {
        run_as(self.user, || {
            let file = self.jail.file(to, 0o644).map_err(|error| error.to_string())?;
            fail_point("fetch.half");
            fill(&file, self.bounds()).map(drop).inspect_err(|_| {
                // The first error is the one to tell.
                let _ = self.jail.remove(to);
            })
        })
    }

    fn make_executable(&self, path: &Inside) -> Result<(), String> {
        run_as(self.user, || {
            let set = self
                .jail
                .read(path)
                .and_then(|file| file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755)));
            set.map_err(|error| format!("Failed to chmod executable: {error}"))
        })
    }

    fn extract(
        &self,
        kind: archive::Kind,
        name: &str,
        open: impl FnOnce() -> Result<File, String> + Send,
    ) -> Result<(), String> {
        run_as(self.user, || {
            let limits = &self.fetcher.config.limits;
            extract(kind, open()?, name, self.jail, limits, self.cancel).map_err(|error| {
                format!("Failed to extract archive '{name}' to '{}': {error}", self.jail.path().display())
            })
        })
    }

    /// Has the Hadoop client copy a file into a scratch directory, and moves it from there: the client would follow
    /// links in the sandbox.
    fn hadoop(&self, uri: &str, to: &Inside) -> Result<(), String> {
        let Some(program) = &self.fetcher.config.hadoop else {
            return Err(format!(
                "Failed to create HDFS client: there is no Hadoop client on this agent, \
                 and nothing else knows how to fetch '{uri}'"
            ));
        };
        let number = self.fetcher.scratch_made.fetch_add(1, Ordering::Relaxed);
        let scratch = Inside::new(Path::new(&format!(".fetcher-{number}")))?;
        let scratch_file = Inside::new(Path::new(&format!(".fetcher-{number}/file")))?;
        let path = self.jail.path().join(format!(".fetcher-{number}"));
        run_as(self.user, || self.jail.directory(&scratch, 0o700).map_err(|error| error.to_string()))?;
        let copied = self.run_hadoop(program, uri, &path.join("file"));
        run_as(self.user, || {
            let moved = copied.and_then(|()| {
                self.jail
                    .rename(&scratch_file, to)
                    .map_err(|error| format!("HDFS copyToLocal failed: {error}"))
            });
            let _ = self.jail.remove(&scratch_file);
            let _ = self.jail.remove(&scratch);
            moved
        })
    }

    fn run_hadoop(&self, program: &Path, uri: &str, to: &Path) -> Result<(), String> {
        let mut command = Command::new(program);
        command.args(["fs", "-copyToLocal", uri]).arg(to).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(user) = self.user.filter(|user| user.uid != rustix::process::geteuid().as_raw()) {
            std::os::unix::process::CommandExt::uid(&mut command, user.uid);
            std::os::unix::process::CommandExt::gid(&mut command, user.gid);
        }
        let mut child = command.spawn().map_err(|error| format!("Failed to create HDFS client: {error}"))?;
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("HDFS copyToLocal failed: {status}")),
                Ok(None) if self.cancel.load(Ordering::Relaxed) => {
                    // Already gone is as good as killed.
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err("cancelled".into());
                }
                Ok(None) => std::thread::sleep(Duration::from_millis(50)),
                Err(error) => return Err(format!("HDFS copyToLocal failed: {error}")),
            }
        }
    }
}
