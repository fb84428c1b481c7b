//! Where an image comes from, as the puller sees it.

use std::io::Read;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::digest::Digest;

/// What an image is made of.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// The bytes of its configuration, whose digest is what it is kept by.
    pub(crate) config: Vec<u8>,
    /// Lowest first.
    pub(crate) layers: Vec<Layer>,
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    /// What it is kept by: one of the digests below.
    pub(crate) id: Digest,
    /// What its bytes must be, as they come.
    pub(crate) packed: Option<Digest>,
    /// How many they must be, where that is known.
    pub(crate) size: Option<u64>,
    /// What its plain tar stream must be.
    pub(crate) plain: Option<Digest>,
    /// What its source knows it by.
    pub(crate) place: String,
}

/// A layer that can be read.
pub(crate) struct Opened<'a> {
    pub(crate) bytes: Box<dyn Read + 'a>,
    pub(crate) size: u64,
}

/// A place that has one image.
pub(crate) trait Source: Sync {
    /// Finds out what the image is made of.
    fn recipe(&self, cancel: &AtomicBool) -> Result<Recipe, String>;

    /// Opens a layer of it. `scratch` names a file that may be made for that; it is removed afterwards.
    fn open(&self, layer: &Layer, scratch: &Path, cancel: &AtomicBool) -> Result<Opened<'_>, String>;
}

/// Puts the layers of a manifest and what the configuration says of them together.
pub(crate) fn layers(packed: Vec<(Digest, Option<u64>)>, plain: &[Digest]) -> Result<Vec<Layer>, String> {
    if !plain.is_empty() && plain.len() != packed.len() {
        return Err(format!(
            "The image's manifest has {} layers, and its configuration {}",
            packed.len(),
            plain.len()
        ));
    }
    let layer = |(index, (digest, size)): (usize, (Digest, Option<u64>))| Layer {
        id: digest,
        packed: Some(digest),
        size,
        plain: plain.get(index).copied(),
        place: digest.to_string(),
    };
    Ok(packed.into_iter().enumerate().map(layer).collect())
}
