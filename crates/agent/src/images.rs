//! What the flags say of images, and the store of images as the containerizer knows it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use containerizer::provisioner::{Claim, Getting, Images, Pulled};
use containerizer::{Isolation, Isolator, Launcher, Provisioner};
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
}

impl ImageSettings {
    /// What the flags say; none where there shall be no images. Refuses what does not go together.
    pub fn from_flags(flags: &AgentFlags, isolation: &Isolation) -> anyhow::Result<Option<Self>> {
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
        Ok(Some(Self { store, backend: flags.image_provisioner_backend.clone() }))
    }

    /// Opens the store. Blocks.
    pub(crate) fn open(&self) -> anyhow::Result<image::Store> {
        image::Store::open(self.store.clone()).with_context(|| {
            format!("{CONTEXT}: Failed to create provisioner: Failed to create store for image type 'DOCKER'")
        })
    }

    /// What makes roots of the images of a store. Blocks.
    pub(crate) fn provisioner(&self, work_dir: &Path, store: image::Store) -> anyhow::Result<Provisioner> {
        Provisioner::new(work_dir, self.backend.as_deref(), Arc::new(Stored(store)))
            .map_err(anyhow::Error::msg)
            .with_context(|| format!("{CONTEXT}: Failed to create provisioner"))
    }
}

/// The store in the containerizer's words.
struct Stored(image::Store);

impl Images for Stored {
    fn get<'a>(&'a self, image: &'a Image) -> Getting<'a> {
        Box::pin(async move {
            let pulled = self.0.get(image).await.map_err(|error| error.to_string())?;
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
        Box::new(self.0.claim(layers))
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
}
