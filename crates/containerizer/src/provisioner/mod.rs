//! Roots for containers that have images: made before the launch, and removed after the end.
//!
//! Where images come from is no matter of this: see [`Images`].

mod choice;
mod copy;
mod overlay;
mod places;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fail_point::fail_point;
use launch_plan::{ImageConfig, Rootfs};
use proto::mesos::slave::ContainerLayers;
use proto::mesos::v1::Image;
use rustix::mount::{UnmountFlags, unmount};
use types::ContainerId;

pub use self::choice::Backend;
use crate::entries::root_of;
use crate::runtime::{framed, unframed};

/// Where images come from: the store of an agent, and directories in tests.
pub trait Images: Send + Sync {
    /// Gets an image, wherever it has to come from. Returns why it could not, for people.
    fn get<'a>(&'a self, image: &'a Image) -> Getting<'a>;

    /// Keeps layers from being removed that a container uses which an earlier agent launched.
    fn claim(&self, layers: &[PathBuf]) -> Claim;
}

/// An image that is being got.
pub type Getting<'a> = Pin<Box<dyn Future<Output = Result<Pulled, String>> + Send + 'a>>;

/// Something that keeps layers where they are until it is dropped.
pub type Claim = Box<dyn Any + Send>;

/// An image that was got.
pub struct Pulled {
    /// Its layers, the lowest first, in the form of overlayfs: what a layer takes away is a device of characters 0/0,
    /// and a directory that hides those below has the attribute `trusted.overlay.opaque`.
    pub layers: Vec<PathBuf>,
    /// What it says of processes in it.
    pub config: ImageConfig,
    /// The file that says so.
    pub config_path: Option<PathBuf>,
    /// Keeps the layers there.
    pub claim: Claim,
}

/// A root, and what its image says of processes in it.
#[derive(Clone, Debug)]
pub(crate) struct Provisioned {
    pub(crate) rootfs: Rootfs,
    pub(crate) config: ImageConfig,
}

/// What a root is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// To be the container's.
    Root,
    /// To be seen in the container.
    Volume,
}

/// Makes and removes roots.
pub struct Provisioner {
    top: PathBuf,
    backend: Backend,
    images: Arc<dyn Images>,
    /// The containers that have roots. A lock, since each container is launched by a task of its own; held for a look-up
    /// at a time.
    known: Mutex<BTreeMap<ContainerId, Known>>,
}

#[derive(Default)]
struct Known {
    claims: Vec<Claim>,
    /// Whether a root is its own. Others are volumes.
    has_root: bool,
    /// Whether it is over. A lock that is held while its files are made or removed: a launch that is given up cannot
    /// stop what makes them, and its end must not overtake that.
    over: Arc<Mutex<bool>>,
}

impl Provisioner {
    /// A provisioner below an agent's work directory. `backend` is `--image_provisioner_backend`.
    pub fn new(work_dir: &Path, backend: Option<&str>, images: Arc<dyn Images>) -> Result<Self, String> {
        let top = work_dir.join("provisioner");
        let failed = |error: io::Error| {
            format!("Failed to create provisioner root directory '{}': {error}", top.display())
        };
        fs::create_dir_all(&top).map_err(failed)?;
        // Mounts are told by paths without links.
        let top = top.canonicalize().map_err(failed)?;
        let backend = Backend::choose(backend, &top)?;
        tracing::info!("Using default backend '{}'", backend.name());
        Ok(Self { top, backend, images, known: Mutex::default() })
    }

    /// The backend that makes roots.
    #[must_use]
    pub const fn backend(&self) -> Backend {
        self.backend
    }

    /// Makes a root for a container.
    pub(crate) async fn provision(
        &self,
        container: &ContainerId,
        image: &Image,
    ) -> Result<Provisioned, String> {
        self.add(container, image, Use::Root).await
    }

    /// Makes a root that a container has as a volume.
    pub(crate) async fn provision_volume(
        &self,
        container: &ContainerId,
        image: &Image,
    ) -> Result<Rootfs, String> {
        Ok(self.add(container, image, Use::Volume).await?.rootfs)
    }

    async fn add(&self, container: &ContainerId, image: &Image, what: Use) -> Result<Provisioned, String> {
        // ORDER: known before there is anything, so that the end of a launch that is given up finds it.
        let over = {
            let mut known = self.lock();
            let known = known.entry(container.clone()).or_default();
            known.has_root |= what == Use::Root;
            Arc::clone(&known.over)
        };
        let Pulled { layers, config, config_path, claim } = self.images.get(image).await?;
        self.lock().entry(container.clone()).or_default().claims.push(claim);
        if layers.is_empty() {
            return Err("No filesystem layer provided".to_owned());
        }
        let (top, backend, container) = (self.top.clone(), self.backend, container.clone());
        let making = move || {
            let over = over.lock().unwrap_or_else(PoisonError::into_inner);
            match *over {
                true => Err("Container is being destroyed during provisioning".to_owned()),
                false => make(&top, backend, (&container, what), &layers, config_path.as_deref()),
            }
        };
        let made = tokio::task::spawn_blocking(making).await;
        let rootfs = made.unwrap_or_else(|_| Err("Making the root panicked".to_owned()))?;
        Ok(Provisioned { rootfs, config })
    }

    /// Whether there may be something of a container.
    pub(crate) fn has(&self, container: &ContainerId) -> bool {
        self.lock().contains_key(container)
    }

    /// Whether a container has a root of its own.
    pub(crate) fn has_root(&self, container: &ContainerId) -> bool {
        self.lock().get(container).is_some_and(|known| known.has_root)
    }

    /// Removes the roots of a container that has ended. Blocks.
    pub(crate) fn destroy(&self, container: &ContainerId) {
        let over = Arc::clone(&self.lock().entry(container.clone()).or_default().over);
        {
            let mut over = over.lock().unwrap_or_else(PoisonError::into_inner);
            *over = true;
            if let Err(error) = remove(&self.top, container) {
                // An agent that comes after this one tries again.
                tracing::error!(%container, %error, "Failed to destroy the provisioned rootfs when destroying container");
            }
        }
        self.lock().remove(container);
    }

    /// Takes note of what an earlier agent has left of containers of which the outermost is known. Returns the others,
    /// those in others first. Blocks.
    pub(crate) fn recover(&self, is_known: impl Fn(&ContainerId) -> bool) -> Vec<ContainerId> {
        let (known, mut left): (Vec<_>, Vec<_>) =
            places::all(&self.top).into_iter().partition(|container| is_known(root_of(container)));
        for container in known {
            let claim = self.images.claim(&layers_of(&self.top, &container));
            let has_root = places::has_root(&self.top, &container);
            let mut known = self.lock();
            let known = known.entry(container).or_default();
            known.claims.push(claim);
            known.has_root = has_root;
        }
        left.reverse();
        left
    }

    /// The layers that containers use. Blocks.
    #[must_use]
    pub fn layers_in_use(&self) -> BTreeSet<PathBuf> {
        let containers: Vec<ContainerId> = self.lock().keys().cloned().collect();
        containers.iter().flat_map(|container| layers_of(&self.top, container)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Known>> {
        // Nothing is left half done under this lock, so a panic elsewhere does not spoil it.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make(
    top: &Path,
    backend: Backend,
    (container, what): (&ContainerId, Use),
    layers: &[PathBuf],
    config: Option<&Path>,
) -> Result<Rootfs, String> {
    let place = places::container(top, container);
    let name = root_name().map_err(|error| format!("Failed to name the root: {error}"))?;
    // What it has of other images stays noted.
    let mut used = noted(top, container).unwrap_or_default();
    used.paths.extend(layers.iter().map(|layer| layer.to_string_lossy().into_owned()));
    if what == Use::Root {
        used.config = config.map(|config| config.to_string_lossy().into_owned());
    }
    let note = || {
        fs::create_dir_all(&place)?;
        fs::write(places::layers(top, container), framed(&used))?;
        match what {
            Use::Root => Ok(()),
            Use::Volume => {
                let mut options = fs::File::options();
                let mut volumes = options.append(true).create(true).open(places::volumes(top, container))?;
                writeln!(volumes, "{name}")
            }
        }
    };
    note().map_err(|error| format!("Failed to checkpoint layers to '{}': {error}", place.display()))?;
    let directory = places::backend(top, container, backend.name());
    fail_point("root.noted");
    let made = match backend {
        Backend::Overlay => overlay::prepare(&directory, &name, layers),
        Backend::Copy => copy::prepare(&directory, &name, layers),
    };
    fail_point("root.made");
    made
}

/// A name that no other root of a container has: a new UUID.
fn root_name() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().to_owned())
}

fn remove(top: &Path, container: &ContainerId) -> io::Result<()> {
    for rootfs in places::rootfses(top, container) {
        // Apache Mesos mounts roots where everybody sees them; what is below such a mount is not for us to delete.
        match unmount(&rootfs, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::PERM) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    fail_point("root.unmounted");
    let removed = match fs::remove_dir_all(places::container(top, container)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    };
    fail_point("root.removed");
    removed
}

fn noted(top: &Path, container: &ContainerId) -> Option<ContainerLayers> {
    fs::read(places::layers(top, container)).ok().and_then(|bytes| unframed(&bytes))
}

fn layers_of(top: &Path, container: &ContainerId) -> Vec<PathBuf> {
    noted(top, container).map(|used| used.paths.into_iter().map(PathBuf::from).collect()).unwrap_or_default()
}

impl fmt::Debug for Provisioner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provisioner")
            .field("top", &self.top)
            .field("backend", &self.backend)
            .finish_non_exhaustive()
    }
}
