//! The store: images that were pulled, and pulls under way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fetcher::Web;
use proto::mesos::v1::{Image, image, secret};
use tokio::sync::{Semaphore, watch};

use crate::claims::{Claim, Claims};
use crate::config::{self, ImageConfig};
use crate::limits::Limits;
use crate::local::Local;
use crate::places::Places;
use crate::pull::{Kept, Pull};
use crate::records::{self, Record, Records};
use crate::reference::{BadReference, Reference};
use crate::registry::{Endpoint, Passwords, Registry};
use crate::source::Source;

/// How images come and where they are kept.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where they are kept (`--docker_store_dir`).
    pub store_dir: PathBuf,
    /// Where they come from, if they do not say (`--docker_registry`): a URL, or the path of a directory.
    pub registry: String,
    /// Passwords of registries, as Docker writes them into `config.json` (`--docker_config`).
    pub docker_config: Option<String>,
    /// How long a registry may send nothing (`--fetcher_stall_timeout`).
    pub stall_timeout: Duration,
    /// What images may grow to.
    pub limits: Limits,
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its directory cannot be used.
    #[error("Failed to create Docker store directory '{path}': {source}")]
    Directory {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What it has cannot be read.
    #[error("Failed to read images from '{path}': {source}")]
    Records {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A flag cannot be used.
    #[error("{0}")]
    Flag(String),
}

/// Why an image cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// It is of another kind.
    #[error("Unsupported container image type: {0}")]
    Unsupported(&'static str),
    /// It is called what no image can be called.
    #[error("Failed to parse docker image '{name}': {reason}")]
    Reference {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: BadReference,
    },
    /// It is asked for in a way that cannot be followed.
    #[error("{0}")]
    Invalid(String),
    /// It cannot be pulled.
    #[error("Failed to pull image '{reference}': {reason}")]
    Pull {
        /// Which one.
        reference: Reference,
        /// Why.
        reason: String,
    },
}

/// An image on this machine. Its layers stay as long as this or a clone of it lives.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The file trees of its layers, lowest first, in the form of [`crate::overlay`].
    pub layers: Vec<PathBuf>,
    /// What it says about running it.
    pub config: Arc<ImageConfig>,
    /// Where the configuration is kept.
    pub config_path: PathBuf,
    #[expect(dead_code, reason = "it is there to be dropped")]
    claim: Arc<Claim>,
}

/// Numbers for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Pulls that brought their image.
    pub pulls: u64,
    /// How long the last of them took, in milliseconds.
    pub last_pull_ms: u64,
    /// Pulls that did not.
    pub pulls_failed: u64,
}

/// The images of an agent. Clones are the same store.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    places: Places,
    origin: Origin,
    web: Web,
    passwords: Passwords,
    permits: Semaphore,
    /// A lock, since containers are launched by tasks of their own; held for look-ups and for writing the records.
    state: Mutex<State>,
    claims: Claims,
    pulls: AtomicU64,
    last_pull_ms: AtomicU64,
    pulls_failed: AtomicU64,
}

/// Where images come from that do not say.
enum Origin {
    Directory(PathBuf),
    Registry(Endpoint),
}

#[derive(Default)]
struct State {
    records: Records,
    /// Configurations that were read already, by what they are kept by.
    configs: BTreeMap<PathBuf, Arc<ImageConfig>>,
    under_way: BTreeMap<Wanted, Arc<UnderWay>>,
}

/// What a pull is for. Those who have other passwords do not share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Wanted {
    reference: Reference,
    docker_config: Option<String>,
}

type Outcome = Option<Result<Pulled, String>>;

/// A pull that has not ended.
struct UnderWay {
    cancel: AtomicBool,
    /// How many wait for it; when the last one leaves, it is cancelled.
    waiting: Mutex<usize>,
    outcome: watch::Sender<Outcome>,
}

impl Store {
    /// Opens the store, and removes what an agent that died has left half done.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        let origin = if config.registry.starts_with('/') {
            Origin::Directory(PathBuf::from(&config.registry))
        } else {
            Origin::Registry(Endpoint::parse(&config.registry).map_err(OpenError::Flag)?)
        };
        let passwords = config.docker_config.as_deref().map(Passwords::parse).transpose().map_err(|why| {
            OpenError::Flag(format!("Failed to parse the docker config of the agent: {why}"))
        })?;
        let failed = |source| OpenError::Directory { path: config.store_dir.clone(), source };
        let places = Places::make(&config.store_dir).map_err(failed)?;
        places.clear_staging();
        places.sweep();
        let path = places.records();
        let records = records::read(&path).map_err(|source| OpenError::Records { path, source })?;
        tracing::info!("Successfully loaded {} Docker images", records.len());
        let permits = Semaphore::new(config.limits.pulls_max);
        let state = Mutex::new(State { records, ..State::default() });
        Ok(Self {
            shared: Arc::new(Shared {
                places,
                origin,
                web: Web::new(config.stall_timeout),
                passwords: passwords.unwrap_or_default(),
                config,
                permits,
                state,
                claims: Claims::default(),
                pulls: AtomicU64::new(0),
                last_pull_ms: AtomicU64::new(0),
                pulls_failed: AtomicU64::new(0),
            }),
        })
    }

    /// Gives an image, which is pulled if it is not there or shall not be taken from the cache. Those who ask for the
    /// same image at the same time share one pull; it ends when the last of them drops the future, and leaves nothing.
    /// Needs a tokio runtime.
    pub async fn get(&self, image: &Image) -> Result<Pulled, ImageError> {
        let wanted = Wanted::of(image)?;
        if image.cached()
            && let Some(pulled) = self.shared.cached(&wanted.reference)
        {
            return Ok(pulled);
        }
        let interest = self.join(&wanted);
        let failed = |reason| ImageError::Pull { reference: wanted.reference.clone(), reason };
        let mut outcome = interest.under_way.outcome.subscribe();
        match outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or_else(|| Err("it ended".to_owned())).map_err(failed),
            Err(_) => Err(failed("its thread failed".to_owned())),
        }
    }

    /// The numbers so far.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics {
            pulls: self.shared.pulls.load(Ordering::Relaxed),
            last_pull_ms: self.shared.last_pull_ms.load(Ordering::Relaxed),
            pulls_failed: self.shared.pulls_failed.load(Ordering::Relaxed),
        }
    }

    /// Keeps layers from being removed until the claim is dropped: those of containers of an earlier agent.
    #[must_use]
    pub fn claim(&self, layers: &[PathBuf]) -> Claim {
        let ids = layers.iter().filter_map(|rootfs| rootfs.parent()?.file_name()?.to_str());
        self.shared.claims.claim(ids.map(str::to_owned))
    }

    /// Removes all images but the `excluded` ones from the cache, and all layers that no image of the cache has and
    /// nobody has a claim on. An image that has a claim on all of its layers stays. Returns how many
    /// went, with configurations. Blocks.
    pub fn prune(&self, excluded: &[Image]) -> Result<usize, ImageError> {
        let excluded: BTreeSet<_> = excluded
            .iter()
            .map(|image| Wanted::of(image).map(|wanted| wanted.reference))
            .collect::<Result<_, _>>()?;
        let failed = |error: std::io::Error| ImageError::Invalid(format!("Failed to prune images: {error}"));
        let marked = self.shared.mark(&excluded).map_err(failed)?;
        self.shared.places.sweep();
        Ok(marked)
    }

    /// The share of the disk below the store that is used.
    pub fn disk_usage(&self) -> std::io::Result<f64> {
        let disk = rustix::fs::statvfs(self.shared.places.root())?;
        Ok(1.0 - disk.f_bavail as f64 / (disk.f_blocks.max(1)) as f64)
    }

    /// Joins the pull of this image, or begins it.
    fn join(&self, wanted: &Wanted) -> Interest {
        let mut state = self.shared.lock();
        if let Some(under_way) = state.under_way.get(wanted) {
            *under_way.lock() += 1;
            return self.interest(wanted, under_way);
        }
        let under_way = Arc::new(UnderWay {
            cancel: AtomicBool::new(false),
            waiting: Mutex::new(1),
            outcome: watch::Sender::new(None),
        });
        state.under_way.insert(wanted.clone(), Arc::clone(&under_way));
        drop(tokio::spawn(run(Arc::clone(&self.shared), wanted.clone(), Arc::clone(&under_way))));
        self.interest(wanted, &under_way)
    }

    fn interest(&self, wanted: &Wanted, under_way: &Arc<UnderWay>) -> Interest {
        Interest {
            shared: Arc::clone(&self.shared),
            wanted: wanted.clone(),
            under_way: Arc::clone(under_way),
        }
    }
}

impl Wanted {
    fn of(image: &Image) -> Result<Self, ImageError> {
        match image.r#type() {
            image::Type::Appc => return Err(ImageError::Unsupported("APPC")),
            image::Type::Docker => {}
        }
        let Some(docker) = &image.docker else {
            return Err(ImageError::Invalid(
                "The image is of type DOCKER, but 'docker' is not set".to_owned(),
            ));
        };
        let reference = docker
            .name
            .parse()
            .map_err(|reason| ImageError::Reference { name: docker.name.clone(), reason })?;
        let docker_config = match &docker.config {
            None => None,
            Some(secret) if secret.r#type() == secret::Type::Value => {
                let data = secret.value.as_ref().map(|value| value.data.to_vec()).unwrap_or_default();
                let bad = |_| ImageError::Invalid("'Image.Docker.config' is not text".to_owned());
                Some(String::from_utf8(data).map_err(bad)?)
            }
            Some(_) => {
                return Err(ImageError::Invalid(
                    "'Image.Docker.config' is a reference, and there is no secret resolver for it".to_owned(),
                ));
            }
        };
        Ok(Self { reference, docker_config })
    }
}

impl UnderWay {
    fn lock(&self) -> MutexGuard<'_, usize> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who waits for a pull.
struct Interest {
    shared: Arc<Shared>,
    wanted: Wanted,
    under_way: Arc<UnderWay>,
}

impl Drop for Interest {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let mut waiting = self.under_way.lock();
        *waiting -= 1;
        if *waiting == 0 {
            self.under_way.cancel.store(true, Ordering::Relaxed);
            // ORDER: forgotten under the same lock, so that nobody joins what is cancelled.
            state.forget(&self.wanted, &self.under_way);
        }
    }
}

impl State {
    fn forget(&mut self, wanted: &Wanted, under_way: &Arc<UnderWay>) {
        if self.under_way.get(wanted).is_some_and(|other| Arc::ptr_eq(other, under_way)) {
            self.under_way.remove(wanted);
        }
    }
}

/// Carries out a pull.
async fn run(shared: Arc<Shared>, wanted: Wanted, under_way: Arc<UnderWay>) {
    let permit = shared.permits.acquire().await;
    let begun = Instant::now();
    let (puller, what, own) = (Arc::clone(&shared), wanted.clone(), Arc::clone(&under_way));
    let pulled = tokio::task::spawn_blocking(move || puller.pull(&what, &own.cancel)).await;
    drop(permit);
    let outcome = pulled.unwrap_or_else(|_| Err("its thread failed".to_owned()));
    match &outcome {
        Ok(_) => {
            shared.pulls.fetch_add(1, Ordering::Relaxed);
            let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            shared.last_pull_ms.store(took, Ordering::Relaxed);
        }
        Err(reason) => {
            shared.pulls_failed.fetch_add(1, Ordering::Relaxed);
            tracing::warn!("Failed to pull image '{}': {reason}", wanted.reference);
        }
    }
    shared.lock().forget(&wanted, &under_way);
    under_way.outcome.send_replace(Some(outcome));
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An image of the cache, if all of it is there.
    fn cached(&self, reference: &Reference) -> Option<Pulled> {
        let record = self.lock().records.get(reference)?.clone();
        let claim = self.claims.claim(record.layers.iter().chain(&record.config).cloned());
        let layers: Vec<_> = record.layers.iter().map(|id| self.places.rootfs(id)).collect();
        if !layers.iter().all(|layer| layer.exists()) {
            return None;
        }
        let config_path = self.config_path(&record);
        let config = self.config(&config_path)?;
        tracing::debug!("Using cached image '{reference}'");
        Some(Pulled { layers, config, config_path, claim: Arc::new(claim) })
    }

    fn config_path(&self, record: &Record) -> PathBuf {
        match (&record.config, record.layers.last()) {
            (Some(digest), _) => self.places.layer(digest),
            (None, top) => self.places.layer(top.map_or("", String::as_str)).join("json"),
        }
    }

    fn config(&self, path: &Path) -> Option<Arc<ImageConfig>> {
        if let Some(config) = self.lock().configs.get(path) {
            return Some(Arc::clone(config));
        }
        let config = Arc::new(config::parse(&std::fs::read(path).ok()?).ok()?.config);
        self.lock().configs.insert(path.to_owned(), Arc::clone(&config));
        Some(config)
    }

    /// Pulls an image and makes a record of it. Blocks.
    fn pull(&self, wanted: &Wanted, cancel: &AtomicBool) -> Result<Pulled, String> {
        if cancel.load(Ordering::Relaxed) {
            return Err("cancelled".to_owned());
        }
        tracing::info!("Pulling image '{}'", wanted.reference);
        let staging =
            self.places.stage().map_err(|error| format!("Failed to create a staging directory: {error}"))?;
        let limits = &self.config.limits;
        let source: Box<dyn Source> = match &self.origin {
            Origin::Directory(directory) => {
                Box::new(Local::find(directory, &wanted.reference, staging.path(), limits, cancel)?)
            }
            Origin::Registry(usual) => {
                let own = wanted.docker_config.as_deref().map(Passwords::parse).transpose();
                let own = own.map_err(|why| format!("Failed to parse 'Image.Docker.config': {why}"))?;
                let passwords = own.as_ref().unwrap_or(&self.passwords);
                Box::new(Registry::new(&self.web, limits, usual, &wanted.reference, passwords))
            }
        };
        let pull = Pull { source: &*source, staging, places: &self.places, limits, cancel };
        let mut claim = None;
        let Kept { record, config } = pull.run(|ids| claim = Some(self.claims.claim(ids.iter().cloned())))?;
        let config_path = self.config_path(&record);
        let layers = record.layers.iter().map(|id| self.places.rootfs(id)).collect();
        let config = Arc::new(config);
        self.record(&wanted.reference, record)?;
        tracing::info!("Cached image '{}'", wanted.reference);
        let claim = Arc::new(claim.unwrap_or_else(|| self.claims.claim([])));
        Ok(Pulled { layers, config, config_path, claim })
    }

    fn record(&self, reference: &Reference, record: Record) -> Result<(), String> {
        let mut state = self.lock();
        let mut records = state.records.clone();
        records.insert(reference.clone(), record);
        records::write(&self.places.records(), &self.places.records_to_be(), &records)
            .map_err(|error| format!("Failed to save state of Docker images: {error}"))?;
        state.records = records;
        Ok(())
    }

    /// Takes what is not used out of use; returns how many layers that was.
    fn mark(&self, excluded: &BTreeSet<Reference>) -> std::io::Result<usize> {
        let mut state = self.lock();
        self.claims.while_none_is_made(|claimed| {
            let mut records = state.records.clone();
            // COMPAT(mesos): an image that a container runs from stays in the cache.
            records.retain(|reference, record| {
                excluded.contains(reference) || record.layers.iter().all(|layer| claimed(layer))
            });
            // ORDER: no record may be of a layer that is gone.
            records::write(&self.places.records(), &self.places.records_to_be(), &records)?;
            let kept: BTreeSet<_> = records
                .values()
                .flat_map(|record| record.layers.iter().chain(&record.config))
                .cloned()
                .collect();
            state.records = records;
            state.configs.clear();
            let mut count = 0;
            for id in self.places.layers()? {
                if !kept.contains(&id) && !claimed(&id) {
                    self.places.discard(&id)?;
                    count += 1;
                }
            }
            Ok(count)
        })
    }
}
