//! Images from a directory: archives of `docker save`, and layouts of the Open Container Initiative, in a directory
//! each or as an archive.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde_json::Value;

use crate::archive::Files;
use crate::config::{self, CONFIG_BYTES_MAX};
use crate::digest::{Digest, Hash};
use crate::limits::Limits;
use crate::manifest::{self, Choice, Descriptor, Document, MANIFEST_BYTES_MAX, Manifest};
use crate::reference::{LATEST, Reference};
use crate::source::{Layer, Opened, Recipe, Source, layers};

/// An image of a directory.
pub(crate) struct Local {
    files: Files,
    reference: Reference,
    /// Whether it was found by its whole name, so that what it is called inside matters less.
    by_whole_name: bool,
    path: PathBuf,
}

/// How deep an index may be in another.
const INDEX_DEPTH_MAX: usize = 4;

impl Local {
    /// Finds an image. `scratch` is a directory for what has to be unpacked.
    pub(crate) fn find(
        directory: &Path,
        reference: &Reference,
        scratch: &Path,
        limits: &Limits,
        cancel: &AtomicBool,
    ) -> Result<Self, String> {
        let name = reference.to_string();
        let mut names = vec![name.clone()];
        if reference.tag.is_none() && reference.digest.is_none() {
            names.push(format!("{name}:{LATEST}"));
        }
        let found =
            |files, path, by_whole_name| Self { files, reference: reference.clone(), by_whole_name, path };
        for name in names {
            let path = directory.join(format!("{name}.tar"));
            if path.exists() {
                let files = Files::archive(&path, &scratch.join("archive"), limits, cancel);
                let files = files.map_err(|error| format!("Failed to read '{}': {error}", path.display()))?;
                return Ok(found(files, path, true));
            }
            let path = directory.join(&name);
            if let Some(files) = layout(&path)? {
                return Ok(found(files, path, true));
            }
        }
        let without = Reference { tag: None, digest: None, ..reference.clone() };
        let path = directory.join(without.to_string());
        if let Some(files) = layout(&path)? {
            return Ok(found(files, path, false));
        }
        Err(format!(
            "Failed to find archive for image '{name}' at '{}'",
            directory.join(format!("{name}.tar")).display()
        ))
    }

    fn saved(&self, list: &[u8]) -> Result<Recipe, String> {
        let list: Value = serde_json::from_slice(list)
            .map_err(|error| format!("Failed to parse 'manifest.json': {error}"))?;
        let images = list.as_array().ok_or("'manifest.json' is not a list")?;
        let tags = |image: &Value| -> Vec<String> {
            let tags = image.get("RepoTags").and_then(Value::as_array).cloned().unwrap_or_default();
            tags.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let found = images.iter().find(|image| tags(image).iter().any(|tag| self.reference.is_called(tag)));
        // One that was saved by its id is not called anything.
        let only = images.first().filter(|image| images.len() == 1 && tags(image).is_empty());
        let image = found.or(only).ok_or_else(|| {
            let has: Vec<_> = images.iter().flat_map(tags).take(32).collect();
            format!(
                "'{}' has no image '{}'; there is [{}]",
                self.path.display(),
                self.reference,
                has.join(", ")
            )
        })?;
        let config_name =
            image.get("Config").and_then(Value::as_str).ok_or("'manifest.json' has no 'Config'")?;
        let config = self.required(config_name, CONFIG_BYTES_MAX)?;
        check_name(config_name, &config)?;
        let places =
            image.get("Layers").and_then(Value::as_array).ok_or("'manifest.json' has no 'Layers'")?;
        let places: Vec<String> = places
            .iter()
            .map(|place| place.as_str().map(str::to_owned).ok_or("'manifest.json' has a bad 'Layers'"))
            .collect::<Result<_, _>>()?;
        let plain = config::parse(&config)?.plain;
        if plain.len() != places.len() {
            return Err(format!(
                "The image's configuration has {} layers, and 'manifest.json' {}",
                plain.len(),
                places.len()
            ));
        }
        let layer = |(place, plain): (String, Digest)| Layer {
            id: plain,
            packed: None,
            size: None,
            plain: Some(plain),
            place,
        };
        Ok(Recipe { config, layers: places.into_iter().zip(plain).map(layer).collect() })
    }

    /// The format of Docker before 1.10: each layer names the one below.
    fn ancient(&self, repositories: &[u8]) -> Result<Recipe, String> {
        let repositories: Value = serde_json::from_slice(repositories)
            .map_err(|error| format!("Failed to parse 'repositories': {error}"))?;
        let tag = self.reference.tag_or_latest();
        let tags = repositories.as_object().and_then(|all| {
            all.iter()
                .find(|(name, _)| self.reference.is_called(&format!("{name}:{tag}")))
                .map(|(_, tags)| tags)
        });
        let tags = tags.ok_or_else(|| {
            format!("Repository '{}' does not exist in 'repositories'", self.reference.repository)
        })?;
        let top =
            tags.get(tag).and_then(Value::as_str).ok_or_else(|| format!("Layer id '{tag}' is not found"))?;
        let mut next = Some(top.to_owned());
        let (mut config, mut layers) = (None, Vec::new());
        while let Some(id) = next.take() {
            // A ring of layers would never end.
            if layers.len() >= 1024 {
                return Err("The image has too many layers".to_owned());
            }
            let json = self.required(&format!("{id}/json"), CONFIG_BYTES_MAX)?;
            let value: Value = serde_json::from_slice(&json)
                .map_err(|error| format!("Failed to parse '{id}/json': {error}"))?;
            next = value.get("parent").and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_owned);
            config.get_or_insert(json);
            let place = format!("{id}/layer.tar");
            // The id says nothing about the contents, so it is not what the layer is kept by.
            let digest = self.hash(&place)?;
            layers.insert(0, Layer { id: digest, packed: Some(digest), size: None, plain: None, place });
        }
        Ok(Recipe { config: config.unwrap_or_default(), layers })
    }

    fn hash(&self, name: &str) -> Result<Digest, String> {
        let failed = |error: std::io::Error| format!("Failed to read '{name}': {error}");
        let opened = self.files.open(name).map_err(failed)?.ok_or_else(|| self.lacks(name))?;
        let mut hash = Hash::new();
        let mut bytes = std::io::BufReader::with_capacity(128 * 1024, opened.bytes);
        std::io::copy(&mut bytes, &mut hash).map_err(failed)?;
        Ok(hash.finish())
    }

    fn layout(&self, index: &[u8]) -> Result<Recipe, String> {
        let Document::Index(choices) = manifest::parse(index)? else {
            return Err("'index.json' is not an index".to_owned());
        };
        let manifest = self.manifest(&self.called(choices)?, INDEX_DEPTH_MAX)?;
        let config = self.blob(manifest.config, CONFIG_BYTES_MAX)?;
        let plain = config::parse(&config)?.plain;
        let packed = manifest.layers.iter().map(|layer| (layer.digest, layer.size)).collect();
        let mut layers = layers(packed, &plain)?;
        for layer in &mut layers {
            layer.place = blob_name(layer.id);
        }
        Ok(Recipe { config, layers })
    }

    /// Those of a layout that are the image, on one machine or another.
    fn called(&self, choices: Vec<Choice>) -> Result<Vec<Choice>, String> {
        let has: Vec<_> = choices.iter().filter_map(|choice| choice.name.clone()).take(32).collect();
        let none = || {
            format!(
                "'{}' has no image '{}'; there is [{}]",
                self.path.display(),
                self.reference,
                has.join(", ")
            )
        };
        if let Some(wanted) = &self.reference.digest {
            let found: Vec<_> =
                choices.into_iter().filter(|choice| choice.target.digest.to_string() == *wanted).collect();
            return if found.is_empty() { Err(none()) } else { Ok(found) };
        }
        let tag = self.reference.tag_or_latest();
        let is_called = |choice: &Choice| {
            choice.name.as_deref().is_some_and(|name| name == tag || self.reference.is_called(name))
        };
        let (found, others): (Vec<_>, Vec<_>) = choices.into_iter().partition(is_called);
        if !found.is_empty() {
            return Ok(found);
        }
        if others.len() == 1 && (self.by_whole_name || others[0].name.is_none()) {
            return Ok(others);
        }
        Err(none())
    }

    fn manifest(&self, choices: &[Choice], depth: usize) -> Result<Manifest, String> {
        // An entry by its name alone leads to an index or a manifest.
        let target = match choices {
            [only] => only.target,
            choices => manifest::choose(choices, std::env::consts::ARCH)?,
        };
        match manifest::parse(&self.blob(target, MANIFEST_BYTES_MAX)?)? {
            Document::Manifest(manifest) => Ok(manifest),
            Document::Index(_) if depth == 0 => Err("There are too many indexes in each other".to_owned()),
            Document::Index(choices) => {
                let chosen = manifest::choose(&choices, std::env::consts::ARCH)?;
                self.manifest(&[Choice { target: chosen, platform: None, name: None }], depth - 1)
            }
            Document::Old(_) => Err("Manifests of schema 1 have no place in a layout".to_owned()),
        }
    }

    fn blob(&self, what: Descriptor, bytes_max: u64) -> Result<Vec<u8>, String> {
        let bytes = self.required(&blob_name(what.digest), bytes_max)?;
        let is = Digest::of(&bytes);
        if is != what.digest {
            return Err(format!("The blob '{}' has the digest {is}", what.digest));
        }
        Ok(bytes)
    }

    fn required(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>, String> {
        self.files.read(name, bytes_max)?.ok_or_else(|| self.lacks(name))
    }

    fn lacks(&self, name: &str) -> String {
        format!("'{}' lacks '{name}'", self.path.display())
    }
}

impl Source for Local {
    fn recipe(&self, _cancel: &AtomicBool) -> Result<Recipe, String> {
        // Newer archives of Docker are layouts at the same time, but only their list has the names it was saved by.
        if self.reference.digest.is_none()
            && let Some(list) = self.files.read("manifest.json", MANIFEST_BYTES_MAX)?
        {
            return self.saved(&list);
        }
        if let Some(index) = self.files.read("index.json", MANIFEST_BYTES_MAX)? {
            return self.layout(&index);
        }
        if self.reference.digest.is_some() {
            return Err(format!("'{}' does not tell the digests of its manifests", self.path.display()));
        }
        if let Some(repositories) = self.files.read("repositories", MANIFEST_BYTES_MAX)? {
            return self.ancient(&repositories);
        }
        Err(format!("'{}' is neither an archive of 'docker save' nor an OCI layout", self.path.display()))
    }

    fn open(&self, layer: &Layer, _scratch: &Path, _cancel: &AtomicBool) -> Result<Opened<'_>, String> {
        let opened = self.files.open(&layer.place);
        let opened = opened.map_err(|error| format!("Failed to read '{}': {error}", layer.place))?;
        let opened = opened.ok_or_else(|| self.lacks(&layer.place))?;
        Ok(Opened { size: opened.size, bytes: Box::new(opened.bytes.take(opened.size)) })
    }
}

fn blob_name(digest: Digest) -> String {
    format!("blobs/{}", digest.to_string().replace(':', "/"))
}

/// Checks a configuration against its name, where that is its digest.
fn check_name(name: &str, config: &[u8]) -> Result<(), String> {
    let base = name.rsplit('/').next().unwrap_or(name);
    let base = base.strip_suffix(".json").unwrap_or(base);
    let Ok(said) = format!("sha256:{base}").parse::<Digest>() else { return Ok(()) };
    let is = Digest::of(config);
    if is == said { Ok(()) } else { Err(format!("The configuration '{name}' has the digest {is}")) }
}

/// A directory that is a layout; none if there is none.
fn layout(path: &Path) -> Result<Option<Files>, String> {
    if !path.join("index.json").is_file() {
        return Ok(None);
    }
    Files::directory(path).map(Some).map_err(|error| format!("Failed to read '{}': {error}", path.display()))
}
