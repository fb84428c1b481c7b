//! What the flags say of images, the store of images as the containerizer knows it, and when images go.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use containerizer::provisioner::{Claim, Getting, Images as Origin, Pulled};
use containerizer::{Isolation, Isolator, Launcher, Provisioner};
use image::Metrics;
use proto::mesos::internal::ImageGcConfig;
use proto::mesos::v1::Image;

use crate::flags::AgentFlags;

/// What goes before everything that is refused.
const CONTEXT: &str = "Failed to create a containerizer: Could not create MesosContainerizer";

/// How containers get roots of their own.
#[derive(Clone, Debug)]
pub struct ImageSettings {
    /// Where images come from and where they are kept.
    pub store: image::Config,
    /// How roots are made of them; the best way when unset.
    pub backend: Option<String>,
    /// When images go by themselves; only on request when unset.
    pub gc: Option<ImageGcConfig>,
}

impl ImageSettings {
    /// What the flags say; none where there shall be no images. Refuses what does not go together.
    pub fn from_flags(flags: &AgentFlags, isolation: &Isolation) -> anyhow::Result<Option<Self>> {
        let gc = gc(flags)?;
        let Some(providers) = &flags.image_providers else { return Ok(None) };
        for provider in providers.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match provider.to_uppercase().as_str() {
                "DOCKER" => {}
                "APPC" => {
                    bail!("{CONTEXT}: Failed to create provisioner: Unsupported image type '{provider}'")
                }
                _ => bail!("{CONTEXT}: Failed to create provisioner: Unknown image type '{provider}'"),
            }
        }
        if isolation.launcher() != Launcher::Linux || !isolation.has(Isolator::FilesystemLinux) {
            bail!(
                "{CONTEXT}: The 'filesystem/linux' isolator and the 'linux' launcher must be enabled for container \
                 image support"
            );
        }
        if !isolation.has(Isolator::DockerRuntime) {
            bail!(
                "Docker runtime isolator has to be specified if 'DOCKER' is included in 'image_providers'. Please add \
                 'docker/runtime' to '--isolation' flags"
            );
        }
        let store = image::Config {
            store_dir: std::path::absolute(&flags.docker_store_dir)
                .context("Failed to read --docker_store_dir")?,
            registry: flags.docker_registry.clone(),
            docker_config: flags.docker_config.as_ref().map(|json| json.0.clone()),
            stall_timeout: flags.fetcher_stall_timeout.to_std(),
            limits: image::Limits::default(),
        };
        Ok(Some(Self { store, backend: flags.image_provisioner_backend.clone(), gc }))
    }

    /// Opens the store. Blocks.
    pub(crate) fn open(self) -> anyhow::Result<Images> {
        let store = image::Store::open(self.store).with_context(|| {
            format!("{CONTEXT}: Failed to create provisioner: Failed to create store for image type 'DOCKER'")
        })?;
        Ok(Images { store, backend: self.backend, gc: self.gc.map(Arc::new) })
    }
}

fn gc(flags: &AgentFlags) -> anyhow::Result<Option<ImageGcConfig>> {
    let Some(json) = &flags.image_gc_config else { return Ok(None) };
    let gc: ImageGcConfig =
        proto::json::from_slice(json.0.as_bytes()).context("Failed to parse --image_gc_config")?;
    let (headroom, nanoseconds) = (gc.image_disk_headroom, gc.image_disk_watch_interval.nanoseconds);
    ensure!(
        (0.0..=1.0).contains(&headroom),
        "--image_gc_config: 'image_disk_headroom' is {headroom}, and must be between 0 and 1"
    );
    ensure!(
        nanoseconds > 0,
        "--image_gc_config: 'image_disk_watch_interval' is {nanoseconds} nanoseconds, and must be more than 0"
    );
    Ok(Some(gc))
}

/// The images of an agent. Clones are the same.
#[derive(Clone)]
pub(crate) struct Images {
    store: image::Store,
    backend: Option<String>,
    gc: Option<Arc<ImageGcConfig>>,
}

impl Images {
    /// What makes roots of them. Blocks.
    pub(crate) fn provisioner(&self, work_dir: &Path) -> anyhow::Result<Provisioner> {
        Provisioner::new(work_dir, self.backend.as_deref(), Arc::new(self.clone()))
            .map_err(anyhow::Error::msg)
            .with_context(|| format!("{CONTEXT}: Failed to create provisioner"))
    }

    /// Removes the images that are neither used nor `excluded`, by the call or by the flag.
    pub(crate) async fn prune(&self, mut excluded: Vec<Image>) -> Result<(), String> {
        excluded.extend(self.gc.iter().flat_map(|gc| gc.excluded_images.clone()));
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || store.prune(&excluded)).await {
            Ok(Ok(count)) => {
                tracing::info!("Removed {count} layers and configurations of images that are not used");
                Ok(())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("The removal panicked".to_owned()),
        }
    }

    /// The numbers so far.
    pub(crate) fn metrics(&self) -> Metrics {
        self.store.metrics()
    }

    /// Looks now and then how full the disk is, and prunes when it is too full. Ends at once where the flags say
    /// nothing of that.
    pub(crate) async fn watch(self) {
        let Some(gc) = &self.gc else { return };
        let nanoseconds = u64::try_from(gc.image_disk_watch_interval.nanoseconds).unwrap_or(u64::MAX);
        let interval = Duration::from_nanos(nanoseconds).max(Duration::from_millis(1));
        loop {
            tokio::time::sleep(interval).await;
            let store = self.store.clone();
            match tokio::task::spawn_blocking(move || store.disk_usage()).await {
                Ok(Ok(usage)) if gc.image_disk_headroom + usage > 1.0 => {
                    let (used, most) = (100.0 * usage, 100.0 * (1.0 - gc.image_disk_headroom));
                    tracing::info!(
                        "The image store's disk is used by {used:.2}%, and should be by {most:.2}% at most"
                    );
                    if let Err(error) = self.prune(Vec::new()).await {
                        tracing::warn!("Failed to prune images: {error}");
                    }
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::error!("Failed to get image store disk usage: {error}"),
                // Only the end of the runtime cancels the look.
                Err(_) => return,
            }
        }
    }
}

impl Origin for Images {
    fn get<'a>(&'a self, image: &'a Image) -> Getting<'a> {
        Box::pin(async move {
            let pulled = self.store.get(image).await.map_err(|error| error.to_string())?;
            let config = containerizer::ImageConfig {
                entrypoint: pulled.config.entrypoint.clone(),
                cmd: pulled.config.cmd.clone(),
                env: pulled.config.env.clone(),
                working_dir: pulled.config.working_dir.clone(),
                user: pulled.config.user.clone(),
            };
            Ok(Pulled {
                layers: pulled.layers.clone(),
                config,
                config_path: Some(pulled.config_path.clone()),
                // What was pulled keeps its layers there.
                claim: Box::new(pulled),
            })
        })
    }

    fn claim(&self, layers: &[PathBuf]) -> Claim {
        Box::new(self.store.claim(layers))
    }
}

#[cfg(test)]
mod tests {
    use flags::FlagSet as _;

    use super::*;

    fn read(given: &[(&str, &str)], isolation: &str) -> Result<bool, String> {
        let facts = containerizer::Facts {
            root: true,
            hierarchies: [("freezer".to_owned(), "/cg/freezer".to_owned())].into(),
            ..containerizer::Facts::default()
        };
        let mut flags = AgentFlags::default();
        given.iter().for_each(|(name, value)| flags.set(name, value, None).unwrap());
        let isolation = Isolation::parse(isolation, None, &facts).unwrap();
        let read = ImageSettings::from_flags(&flags, &isolation);
        read.map(|settings| settings.is_some()).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn images_need_what_makes_roots() {
        let docker = ("image_providers", "docker");
        let both = "filesystem/linux,docker/runtime";
        assert_eq!(read(&[], "posix/cpu"), Ok(false));
        assert_eq!(read(&[docker], both), Ok(true));
        assert!(read(&[docker], "docker/runtime").unwrap_err().contains("'filesystem/linux' isolator and"));
        assert!(
            read(&[docker], "filesystem/linux").unwrap_err().starts_with("Docker runtime isolator has to be")
        );
        assert!(
            read(&[("image_providers", "DOCKER,APPC")], both).unwrap_err().ends_with("image type 'APPC'")
        );
        assert!(read(&[("image_providers", "OCI")], both).unwrap_err().ends_with("Unknown image type 'OCI'"));
    }

    #[test]
    fn the_collection_of_images_is_within_bounds() {
        let gc = |headroom: &str, nanoseconds: &str| {
            format!(
                r#"{{"image_disk_headroom":{headroom},"image_disk_watch_interval":{{"nanoseconds":{nanoseconds}}},
                "excluded_images":[{{"type":"DOCKER","docker":{{"name":"a"}}}}]}}"#
            )
        };
        let check = |json: String| read(&[("image_gc_config", &json)], "posix/cpu");
        assert_eq!(check(gc("0.1", "3600000000000")), Ok(false));
        assert_eq!(
            check(gc("1.5", "1")).unwrap_err(),
            "--image_gc_config: 'image_disk_headroom' is 1.5, and must be between 0 and 1"
        );
        assert_eq!(
            check(gc("0", "0")).unwrap_err(),
            "--image_gc_config: 'image_disk_watch_interval' is 0 nanoseconds, and must be more than 0"
        );
    }
}
