//! Manifests: which layers an image is made of, and which image an index means on this machine.

use serde_json::Value;

use crate::digest::Digest;

/// The most bytes that a manifest or an index may have.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 4 << 20;

/// What a manifest is, as a registry is asked for it and tells it.
pub(crate) const ACCEPTED: &[&str] = &[
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/vnd.docker.distribution.manifest.v1+json",
];

/// Something else, told by its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) digest: Digest,
    pub(crate) size: Option<u64>,
}

/// A document of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Document {
    /// One image.
    Manifest(Manifest),
    /// Several, of which one is for this machine.
    Index(Vec<Choice>),
    /// One image in the oldest format.
    Old(Old),
}

/// One image: its configuration and its layers, lowest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// One image in the format of schema 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Old {
    /// The configuration itself.
    pub(crate) config: String,
    /// Lowest first.
    pub(crate) layers: Vec<Digest>,
}

/// One entry of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) target: Descriptor,
    /// The operating system, the architecture and its variant. Nothing is said of most entries of a layout.
    pub(crate) platform: Option<(String, String, Option<String>)>,
    /// What a layout calls it.
    pub(crate) name: Option<String>,
}

/// Reads a manifest or an index.
pub(crate) fn parse(json: &[u8]) -> Result<Document, String> {
    let value: Value =
        serde_json::from_slice(json).map_err(|error| format!("The manifest is not JSON: {error}"))?;
    match value.get("schemaVersion").and_then(Value::as_u64) {
        Some(1) => return old(&value).map(Document::Old),
        Some(2) => {}
        Some(version) => return Err(format!("The manifest is of the unknown schema version {version}")),
        None => return Err("The manifest has no 'schemaVersion'".to_owned()),
    }
    if let Some(manifests) = value.get("manifests") {
        let manifests = manifests.as_array().ok_or("The index has a bad 'manifests'")?;
        return Ok(Document::Index(manifests.iter().map(choice).collect::<Result<_, _>>()?));
    }
    let config = descriptor(value.get("config").ok_or("The manifest has no 'config'")?)?;
    let layers = value.get("layers").and_then(Value::as_array).ok_or("The manifest has no 'layers'")?;
    let layers: Vec<_> = layers.iter().map(layer).collect::<Result<_, _>>()?;
    if layers.is_empty() {
        return Err("'layers' field size must be at least one".to_owned());
    }
    Ok(Document::Manifest(Manifest { config, layers }))
}

fn layer(value: &Value) -> Result<Descriptor, String> {
    let media = value.get("mediaType").and_then(Value::as_str).unwrap_or_default();
    if media.contains("encrypted") {
        return Err(format!("The image has an encrypted layer ({media}), for which there is no key"));
    }
    descriptor(value)
}

fn descriptor(value: &Value) -> Result<Descriptor, String> {
    let digest =
        value.get("digest").and_then(Value::as_str).ok_or("A part of the manifest has no 'digest'")?;
    let digest = digest.parse().map_err(|error| format!("Incorrect 'digest' format: {error}"))?;
    Ok(Descriptor { digest, size: value.get("size").and_then(Value::as_u64) })
}

fn choice(value: &Value) -> Result<Choice, String> {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let platform = value.get("platform").and_then(|platform| {
        Some((text(platform, "os")?, text(platform, "architecture")?, text(platform, "variant")))
    });
    let annotations = value.get("annotations").unwrap_or(&Value::Null);
    let name = text(annotations, "io.containerd.image.name")
        .or_else(|| text(annotations, "org.opencontainers.image.ref.name"));
    Ok(Choice { target: descriptor(value)?, platform, name })
}

fn old(value: &Value) -> Result<Old, String> {
    let list = |name: &str| {
        value
            .get(name)
            .and_then(Value::as_array)
            .filter(|list| !list.is_empty())
            .ok_or_else(|| format!("'{name}' field size must be at least one"))
    };
    let (layers, history) = (list("fsLayers")?, list("history")?);
    if layers.len() != history.len() {
        return Err("The size of 'fsLayers' should be equal to the size of 'history'".to_owned());
    }
    let mut digests = Vec::new();
    // The uppermost is first.
    for layer in layers.iter().rev() {
        let digest = layer.get("blobSum").and_then(Value::as_str).unwrap_or_default();
        digests.push(digest.parse().map_err(|error| format!("Incorrect 'blobSum' format: {error}"))?);
    }
    let config = history[0].get("v1Compatibility").and_then(Value::as_str);
    let config = config.ok_or("The manifest has no 'v1Compatibility' for its uppermost layer")?.to_owned();
    Ok(Old { config, layers: digests })
}

/// Which entry of an index is for a machine of this architecture, as Rust calls it.
pub(crate) fn choose(choices: &[Choice], machine: &str) -> Result<Descriptor, String> {
    let (architecture, variants): (&str, &[&str]) = match machine {
        "x86_64" => ("amd64", &["", "v1", "v2"]),
        "x86" => ("386", &[""]),
        "aarch64" => ("arm64", &["v8", ""]),
        "arm" => ("arm", &["v7", "v6", "v5", ""]),
        "powerpc64" => ("ppc64le", &[""]),
        other => (other, &[""]),
    };
    for variant in variants {
        let found = choices.iter().find(|choice| {
            choice.platform.as_ref().is_some_and(|(os, own, own_variant)| {
                os == "linux" && own == architecture && own_variant.as_deref().unwrap_or_default() == *variant
            })
        });
        if let Some(found) = found {
            return Ok(found.target);
        }
    }
    // One that says nothing is for every machine.
    if let [only] = choices
        && only.platform.is_none()
    {
        return Ok(only.target);
    }
    let has: Vec<_> = choices
        .iter()
        .filter_map(|choice| choice.platform.as_ref())
        .map(|(os, architecture, variant)| match variant {
            Some(variant) => format!("{os}/{architecture}/{variant}"),
            None => format!("{os}/{architecture}"),
        })
        .take(32)
        .collect();
    Err(format!("The image is not for linux/{architecture}; there is [{}]", has.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::{Document, choose, parse};
    use crate::digest::Digest;

    fn entry(what: &str, rest: &str) -> String {
        format!(r#"{{"digest":"{}","size":7{rest}}}"#, Digest::of(what.as_bytes()))
    }

    fn index(entries: &[String]) -> Document {
        parse(format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(",")).as_bytes()).unwrap()
    }

    fn chosen(entries: &[String], machine: &str) -> Result<Digest, String> {
        let Document::Index(choices) = index(entries) else { panic!("an index") };
        choose(&choices, machine).map(|descriptor| descriptor.digest)
    }

    fn platform(os: &str, architecture: &str, variant: &str) -> String {
        let name = format!("{os}{architecture}{variant}");
        let variant = if variant.is_empty() { String::new() } else { format!(r#","variant":"{variant}""#) };
        entry(&name, &format!(r#","platform":{{"os":"{os}","architecture":"{architecture}"{variant}}}"#))
    }

    #[test]
    fn reads_an_image() {
        let json = format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[{},{}]}}"#,
            entry("c", ""),
            entry("1", ""),
            entry("2", "")
        );
        let Document::Manifest(manifest) = parse(json.as_bytes()).unwrap() else { panic!("a manifest") };
        assert_eq!(manifest.config.digest, Digest::of(b"c"));
        assert_eq!(
            manifest.layers.iter().map(|layer| layer.digest).collect::<Vec<_>>(),
            [Digest::of(b"1"), Digest::of(b"2")]
        );
        assert_eq!(manifest.layers[0].size, Some(7));
    }

    #[test]
    fn reads_an_image_of_schema_1() {
        let blob = |what: &str| format!(r#"{{"blobSum":"{}"}}"#, Digest::of(what.as_bytes()));
        let json = format!(
            r#"{{"schemaVersion":1,"fsLayers":[{},{}],"history":[{{"v1Compatibility":"{{}}"}},{{"v1Compatibility":"x"}}]}}"#,
            blob("top"),
            blob("base")
        );
        let Document::Old(old) = parse(json.as_bytes()).unwrap() else { panic!("schema 1") };
        assert_eq!((old.config.as_str(), old.layers), ("{}", vec![Digest::of(b"base"), Digest::of(b"top")]));
    }

    #[test]
    fn chooses_what_runs_here() {
        let entries = [
            platform("windows", "amd64", ""),
            platform("linux", "arm64", "v8"),
            platform("linux", "amd64", ""),
        ];
        assert_eq!(chosen(&entries, "x86_64"), Ok(Digest::of(b"linuxamd64")));
        assert_eq!(chosen(&entries, "aarch64"), Ok(Digest::of(b"linuxarm64v8")));
        assert_eq!(
            chosen(&entries, "s390x").unwrap_err(),
            "The image is not for linux/s390x; there is [windows/amd64, linux/arm64/v8, linux/amd64]"
        );
        let arm = [platform("linux", "arm", "v6"), platform("linux", "arm", "v7")];
        assert_eq!(chosen(&arm, "arm"), Ok(Digest::of(b"linuxarmv7")));
        assert_eq!(chosen(&[entry("only", "")], "x86_64"), Ok(Digest::of(b"only")));
    }

    #[test]
    fn says_what_is_wrong() {
        for (json, why) in [
            ("[", "The manifest is not JSON: EOF while parsing a list at line 1 column 1"),
            ("{}", "The manifest has no 'schemaVersion'"),
            (r#"{"schemaVersion":3}"#, "The manifest is of the unknown schema version 3"),
            (r#"{"schemaVersion":2}"#, "The manifest has no 'config'"),
            (
                r#"{"schemaVersion":2,"config":{"digest":"../x"}}"#,
                "Incorrect 'digest' format: '../x' is not a SHA-256 digest",
            ),
            (r#"{"schemaVersion":1,"fsLayers":[]}"#, "'fsLayers' field size must be at least one"),
        ] {
            assert_eq!(parse(json.as_bytes()).unwrap_err(), why, "{json}");
        }
    }
}
