//! One pull: what a source has is brought into a staging directory, checked, and kept.

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use fail_point::fail_point;

use crate::config;
use crate::digest::Digest;
use crate::limits::Limits;
use crate::places::{Places, Staging};
use crate::records::Record;
use crate::source::{Layer, Opened, Recipe, Source};
use crate::unpack::unpack;

/// How many layers of an image are brought at a time.
const LAYERS_AT_A_TIME: usize = 3;

/// What a pull works with.
pub(crate) struct Pull<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) staging: Staging,
    pub(crate) places: &'a Places,
    pub(crate) limits: &'a Limits,
    /// Set when nobody wants the image any more; also by the pull itself, once it failed.
    pub(crate) cancel: &'a AtomicBool,
}

/// An image that was pulled.
pub(crate) struct Kept {
    pub(crate) record: Record,
    pub(crate) config: config::ImageConfig,
}

impl Pull<'_> {
    /// Pulls. `claim` is told what the image is made of before it is looked whether that is there already.
    pub(crate) fn run(self, claim: impl FnOnce(&[String])) -> Result<Kept, String> {
        let Recipe { config, layers } = self.source.recipe(self.cancel)?;
        let parsed = config::parse(&config)?.config;
        let layers = distinct(layers);
        if layers.is_empty() {
            return Err("The image has no layers".to_owned());
        }
        if layers.len() > self.limits.layers_max {
            let (has, max) = (layers.len(), self.limits.layers_max);
            return Err(format!("The image has {has} layers, and {max} are allowed"));
        }
        let config_id = Digest::of(&config).to_string();
        let ids: Vec<_> = layers.iter().map(|layer| layer.id.to_string()).collect();
        let all: Vec<_> = ids.iter().chain([&config_id]).cloned().collect();
        // ORDER: claimed before it is looked at, so that no layer goes in between.
        claim(&all);
        let missing: Vec<_> = layers
            .iter()
            .enumerate()
            .filter(|(_, layer)| !self.places.rootfs(&layer.id.to_string()).exists())
            .collect();
        self.bring(&missing)?;
        self.keep(&missing, &config).map_err(|error| format!("Failed to store the image: {error}"))?;
        Ok(Kept { record: Record { layers: ids, config: Some(config_id) }, config: parsed })
    }

    /// Brings layers, some at a time; says what went wrong first.
    fn bring(&self, missing: &[(usize, &Layer)]) -> Result<(), String> {
        let next = AtomicUsize::new(0);
        let failure = Mutex::new(None);
        let work = || {
            while let Some((index, layer)) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                if self.cancel.load(Ordering::Relaxed) {
                    return;
                }
                if let Err(error) = self.bring_one(*index, layer) {
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    // Ends what the others are at, too.
                    self.cancel.store(true, Ordering::Relaxed);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..missing.len().min(LAYERS_AT_A_TIME) {
                // Without a thread the others have more to do.
                let _ = std::thread::Builder::new().name("image-layer".into()).spawn_scoped(scope, work);
            }
            work();
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None if self.cancel.load(Ordering::Relaxed) => Err("cancelled".to_owned()),
            None => Ok(()),
        }
    }

    fn bring_one(&self, index: usize, layer: &Layer) -> Result<(), String> {
        let scratch = self.staging.scratch(index);
        let Opened { bytes, size } = self.source.open(layer, &scratch, self.cancel)?;
        if let Some(said) = layer.size
            && said != size
        {
            return Err(format!(
                "The layer '{}' has {size} bytes, and the manifest says {said}",
                layer.place
            ));
        }
        let rootfs = self.staging.rootfs(index);
        let made = DirBuilder::new()
            .create(self.staging.layer(index))
            .and_then(|()| DirBuilder::new().mode(0o755).create(&rootfs));
        made.map_err(|error| format!("Failed to create rootfs directory '{}': {error}", rootfs.display()))?;
        let unpacked = unpack(bytes, size, &rootfs, self.limits, self.cancel)
            .map_err(|error| format!("Failed to unpack the layer '{}': {error}", layer.place))?;
        for (said, is) in [(layer.packed, unpacked.packed), (layer.plain, unpacked.plain)] {
            if let Some(said) = said
                && said != is
            {
                return Err(format!(
                    "The layer '{}' should have the digest {said}, and has {is}",
                    layer.place
                ));
            }
        }
        if unpacked.devices > 0 {
            tracing::info!("{} devices of the layer '{}' are left out", unpacked.devices, layer.place);
        }
        match std::fs::remove_file(&scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(format!("Failed to remove '{}': {error}", scratch.display()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn keep(&self, missing: &[(usize, &Layer)], config: &[u8]) -> io::Result<()> {
        if !missing.is_empty() {
            // ORDER: on the disk before it has its name.
            self.staging.flush()?;
        }
        fail_point("image.pulled");
        for (index, layer) in missing {
            self.places.keep_layer(&self.staging, *index, layer.id)?;
        }
        self.places.keep_config(&self.staging, config)?;
        self.places.flush()
    }
}

/// Each layer once: where it is uppermost.
///
/// COMPAT(mesos): Apache Mesos keeps the lowest of equal layers, which shows files that a layer in between has changed.
fn distinct(layers: Vec<Layer>) -> Vec<Layer> {
    let mut seen = BTreeSet::new();
    let mut kept: Vec<_> = layers.into_iter().rev().filter(|layer| seen.insert(layer.id)).collect();
    kept.reverse();
    kept
}
