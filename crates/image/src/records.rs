//! Which images the store has: the file `storedImages`, as Apache Mesos writes it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use prost::Message;
use rustix::fs::FlockOperation;

use crate::reference::Reference;

/// `docker.spec.ImageReference`
#[derive(Clone, PartialEq, Message)]
struct ReferenceMessage {
    #[prost(string, optional, tag = "1")]
    registry: Option<String>,
    #[prost(string, required, tag = "2")]
    repository: String,
    #[prost(string, optional, tag = "3")]
    tag: Option<String>,
    #[prost(string, optional, tag = "4")]
    digest: Option<String>,
}

/// `mesos.internal.slave.docker.Image`
#[derive(Clone, PartialEq, Message)]
struct ImageMessage {
    #[prost(message, required, tag = "1")]
    reference: ReferenceMessage,
    #[prost(string, repeated, tag = "2")]
    layer_ids: Vec<String>,
    #[prost(string, optional, tag = "3")]
    config_digest: Option<String>,
}

/// `mesos.internal.slave.docker.Images`
#[derive(Clone, PartialEq, Message)]
struct ImagesMessage {
    #[prost(message, repeated, tag = "1")]
    images: Vec<ImageMessage>,
}

/// What is known of an image in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its layers, lowest first.
    pub(crate) layers: Vec<String>,
    /// What its configuration is kept by. Images that an older Apache Mesos pulled have it with their uppermost layer.
    pub(crate) config: Option<String>,
}

/// All images, by their references.
pub(crate) type Records = BTreeMap<Reference, Record>;

/// Reads the records; there are none where there is no file.
pub(crate) fn read(path: &Path) -> io::Result<Records> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Records::new()),
        Err(error) => return Err(error),
    };
    // A machine that went down may leave an empty file. That is no image, and they can all be pulled again.
    let Some((size, rest)) = bytes.split_first_chunk() else { return Ok(Records::new()) };
    let message = usize::try_from(u32::from_ne_bytes(*size))
        .ok()
        .and_then(|size| rest.get(..size))
        .ok_or_else(|| io::Error::other("the file is cut off"))?;
    let images = ImagesMessage::decode(message).map_err(io::Error::other)?.images;
    Ok(images.into_iter().filter_map(record).collect())
}

/// An image of the file, if its parts have names that can be those of files.
fn record(image: ImageMessage) -> Option<(Reference, Record)> {
    let safe = |id: &String| !id.is_empty() && id != "." && id != ".." && !id.contains(['/', '\0']);
    let is_safe = image.layer_ids.iter().chain(&image.config_digest).all(safe) && !image.layer_ids.is_empty();
    let ReferenceMessage { registry, repository, tag, digest } = image.reference;
    is_safe.then(|| {
        let reference = Reference { registry, repository, tag, digest };
        (reference, Record { layers: image.layer_ids, config: image.config_digest })
    })
}

/// Writes the records: a temporary file, synced, renamed. It is locked meanwhile, so that no agent that starts takes it
/// for something left.
pub(crate) fn write(path: &Path, temporary: &Path, records: &Records) -> io::Result<()> {
    let message = |(reference, record): (&Reference, &Record)| {
        let Reference { registry, repository, tag, digest } = reference.clone();
        ImageMessage {
            reference: ReferenceMessage { registry, repository, tag, digest },
            layer_ids: record.layers.clone(),
            config_digest: record.config.clone(),
        }
    };
    let message = ImagesMessage { images: records.iter().map(message).collect() }.encode_to_vec();
    let size = u32::try_from(message.len()).map_err(io::Error::other)?;
    let mut file = File::create(temporary)?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    file.write_all(&size.to_ne_bytes())?;
    file.write_all(&message)?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::{Record, Records, read, write};

    #[test]
    fn reads_what_it_wrote() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("storedImages");
        let temporary = directory.path().join("temporary");
        assert_eq!(read(&path).unwrap(), Records::new());
        let record = Record { layers: vec!["sha256:a".into(), "b".into()], config: Some("sha256:c".into()) };
        let records = Records::from([("host:1/a:b".parse().unwrap(), record)]);
        write(&path, &temporary, &records).unwrap();
        assert_eq!(read(&path).unwrap(), records);
        // The reference is field 1 of the first image: registry, repository and tag, as Apache Mesos numbers them.
        let bytes = std::fs::read(&path).unwrap();
        assert!(bytes[4..].starts_with(b"\x0a\x27\x0a\x0e\x0a\x06host:1\x12\x01a\x1a\x01b"), "{bytes:?}");
    }

    #[test]
    fn leaves_out_what_would_lead_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("storedImages");
        let temporary = directory.path().join("temporary");
        let record = Record { layers: vec!["../../etc".into()], config: None };
        write(&path, &temporary, &Records::from([("a".parse().unwrap(), record)])).unwrap();
        assert_eq!(read(&path).unwrap(), Records::new());
        std::fs::write(&path, b"").unwrap();
        assert_eq!(read(&path).unwrap(), Records::new());
        std::fs::write(&path, b"\xff\xff\0\0x").unwrap();
        assert!(read(&path).is_err());
    }
}
