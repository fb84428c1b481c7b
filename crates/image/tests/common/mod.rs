//! Images made by hand, and stores over them.

#![expect(dead_code, clippy::unwrap_used, reason = "test code; every test file uses another part of it")]

pub(crate) mod server;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use image::{Config, Digest, ImageError, Limits, Pulled, Store};
use proto::mesos::v1::{Image, image as message};

/// One entry of a layer.
pub(crate) enum Entry<'a> {
    File(&'a str, &'a [u8]),
    Directory(&'a str),
    Symlink(&'a str, &'a str),
    HardLink(&'a str, &'a str),
}

/// The tar stream of a layer.
pub(crate) fn layer(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        let (path, kind, mode, target, contents): (_, _, _, _, &[u8]) = match entry {
            Entry::File(path, contents) => (path, tar::EntryType::Regular, 0o644, None, contents),
            Entry::Directory(path) => (path, tar::EntryType::Directory, 0o755, None, b""),
            Entry::Symlink(path, target) => (path, tar::EntryType::Symlink, 0o777, Some(target), b""),
            Entry::HardLink(path, target) => (path, tar::EntryType::Link, 0o644, Some(target), b""),
        };
        // By the bytes, since the library refuses what hostile archives have.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        if let Some(target) = target {
            header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
        }
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(contents.len() as u64);
        header.set_cksum();
        builder.append(&header, contents).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The digest of bytes, by the program that everybody has.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let output = std::process::Command::new("sha256sum").arg(file.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    format!("sha256:{}", text.split_whitespace().next().unwrap()).parse().unwrap()
}

pub(crate) fn hex(digest: Digest) -> String {
    digest.to_string().replace("sha256:", "")
}

/// A configuration for layers.
pub(crate) fn config(layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| digest(layer).to_string()).collect();
    serde_json::json!({
        "architecture": "amd64", "os": "linux",
        "config": {"Cmd": ["/bin/run"], "Env": ["A=b"], "WorkingDir": "/work"},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    })
    .to_string()
    .into_bytes()
}

/// A tar file of these files.
pub(crate) fn archive(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let entries: Vec<_> = files.iter().map(|(name, bytes)| Entry::File(name, bytes)).collect();
    layer(&entries)
}

/// The files of `docker save`.
pub(crate) fn saved(tags: &[&str], layers: &[Vec<u8>]) -> BTreeMap<String, Vec<u8>> {
    let config = config(layers);
    let config_name = format!("{}.json", hex(digest(&config)));
    let name = |layer: &Vec<u8>| format!("{}/layer.tar", hex(digest(layer)));
    let names: Vec<_> = layers.iter().map(name).collect();
    let manifest = serde_json::json!([{"Config": config_name, "RepoTags": tags, "Layers": names}]);
    let mut files: BTreeMap<_, _> = layers.iter().map(|layer| (name(layer), layer.clone())).collect();
    files.insert(config_name, config);
    files.insert("manifest.json".into(), manifest.to_string().into_bytes());
    files
}

/// The files of a layout; its layers are compressed.
pub(crate) fn layout(name: Option<&str>, layers: &[Vec<u8>]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut blob = |bytes: Vec<u8>| {
        let digest = digest(&bytes);
        let descriptor = serde_json::json!({"digest": digest.to_string(), "size": bytes.len()});
        files.insert(format!("blobs/sha256/{}", hex(digest)), bytes);
        descriptor
    };
    let config = blob(config(layers));
    let layers: Vec<_> = layers.iter().map(|layer| blob(gzip(layer))).collect();
    let manifest = serde_json::json!({"schemaVersion": 2, "config": config, "layers": layers});
    let mut entry = blob(manifest.to_string().into_bytes());
    if let Some(name) = name {
        entry["annotations"] = serde_json::json!({"org.opencontainers.image.ref.name": name});
    }
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [entry]});
    files.insert("index.json".into(), index.to_string().into_bytes());
    files.insert("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
    files
}

pub(crate) fn write(directory: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for (name, bytes) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// A directory of images, and a store over it.
pub(crate) struct World {
    pub(crate) directory: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self { directory: tempfile::tempdir().unwrap() };
        fs::create_dir(world.images()).unwrap();
        world
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.directory.path().join("images")
    }

    pub(crate) fn store_dir(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            store_dir: self.store_dir(),
            registry: self.images().to_str().unwrap().to_owned(),
            docker_config: None,
            stall_timeout: Duration::from_secs(10),
            limits: Limits::default(),
        }
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(self.config()).unwrap()
    }

    pub(crate) fn save(&self, name: &str, files: &BTreeMap<String, Vec<u8>>) {
        let path = self.images().join(format!("{name}.tar"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, archive(files)).unwrap();
    }

    /// What is in a directory of the store.
    pub(crate) fn has(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.store_dir().join(name)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

pub(crate) fn image(name: &str) -> Image {
    Image {
        r#type: message::Type::Docker as i32,
        docker: Some(message::Docker { name: name.to_owned(), ..message::Docker::default() }),
        ..Image::default()
    }
}

pub(crate) async fn refused(store: &Store, name: &str) -> String {
    match store.get(&image(name)).await {
        Err(error @ (ImageError::Pull { .. } | ImageError::Reference { .. } | ImageError::Invalid(_))) => {
            error.to_string()
        }
        Err(ImageError::Unsupported(kind)) => panic!("unsupported {kind}"),
        Ok(pulled) => panic!("{name} was pulled: {pulled:?}"),
    }
}

pub(crate) fn read(pulled: &Pulled, layer: usize, path: &str) -> String {
    fs::read_to_string(pulled.layers[layer].join(path)).unwrap()
}
