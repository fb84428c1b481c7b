//! What an image says about the processes that are to run in it.

use serde_json::Value;

use crate::digest::Digest;

/// The most bytes that the configuration of an image may have.
pub(crate) const CONFIG_BYTES_MAX: u64 = 8 << 20;

/// The part of an image's configuration that says how to run it. What the image leaves out is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// The first words of the command.
    pub entrypoint: Vec<String>,
    /// The other words, where nobody gives others.
    pub cmd: Vec<String>,
    /// The environment, as `NAME=value`.
    pub env: Vec<String>,
    /// Where the command begins.
    pub working_dir: Option<String>,
    /// Whom it runs as: a user and perhaps a group by name or number, divided by a colon.
    pub user: Option<String>,
    /// Paths that the image would have on volumes.
    pub volumes: Vec<String>,
}

/// A configuration, and what it says about the layers.
pub(crate) struct Parsed {
    pub(crate) config: ImageConfig,
    /// The digests of the layers' plain tar streams, lowest first. Old images have none.
    pub(crate) plain: Vec<Digest>,
}

/// Reads the JSON of Docker's images and of the Open Container Initiative's, which are the same here.
pub(crate) fn parse(json: &[u8]) -> Result<Parsed, String> {
    let value: Value = serde_json::from_slice(json)
        .map_err(|error| format!("The image's configuration is not JSON: {error}"))?;
    let bad = |what: &str| format!("The image's configuration has a bad '{what}'");
    let inner = match value.get("config") {
        None | Some(Value::Null) => &Value::Null,
        Some(inner) if inner.is_object() => inner,
        Some(_) => return Err(bad("config")),
    };
    let text = |name: &str| match inner.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(_) => Err(bad(name)),
    };
    let texts = |name: &str| match inner.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(texts)) => {
            texts.iter().map(|text| text.as_str().map(str::to_owned).ok_or_else(|| bad(name))).collect()
        }
        // Very old images have one text.
        Some(Value::String(text)) => Ok(vec![text.clone()]),
        Some(_) => Err(bad(name)),
    };
    let volumes = match inner.get("Volumes") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Object(volumes)) => volumes.keys().cloned().collect(),
        Some(_) => return Err(bad("Volumes")),
    };
    let plain = match value.get("rootfs").and_then(|rootfs| rootfs.get("diff_ids")) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(digests)) => digests
            .iter()
            .map(|digest| {
                digest.as_str().and_then(|digest| digest.parse().ok()).ok_or_else(|| bad("diff_ids"))
            })
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(bad("diff_ids")),
    };
    let config = ImageConfig {
        entrypoint: texts("Entrypoint")?,
        cmd: texts("Cmd")?,
        env: texts("Env")?,
        working_dir: text("WorkingDir")?,
        user: text("User")?,
        volumes,
    };
    Ok(Parsed { config, plain })
}

#[cfg(test)]
mod tests {
    use super::{ImageConfig, parse};

    #[test]
    fn reads_what_says_how_to_run() {
        let json = br#"{"architecture":"amd64","config":{"Entrypoint":["/bin/sh","-c"],"Cmd":["ls"],"Env":["A=b"],
            "WorkingDir":"/tmp","User":"1000:100","Volumes":{"/data":{}},"Labels":null},
            "rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}}"#;
        let parsed = parse(json).unwrap();
        let text = |text: &str| Some(text.to_owned());
        let expected = ImageConfig {
            entrypoint: vec!["/bin/sh".into(), "-c".into()],
            cmd: vec!["ls".into()],
            env: vec!["A=b".into()],
            working_dir: text("/tmp"),
            user: text("1000:100"),
            volumes: vec!["/data".into()],
        };
        assert_eq!((parsed.config, parsed.plain.len()), (expected, 1));
        assert_eq!(parse(br#"{"config":{"User":"","Cmd":null}}"#).unwrap().config, ImageConfig::default());
    }

    #[test]
    fn says_what_is_wrong() {
        for (json, why) in [
            ("x", "The image's configuration is not JSON: expected value at line 1 column 1"),
            (r#"{"config":7}"#, "The image's configuration has a bad 'config'"),
            (r#"{"config":{"Env":[1]}}"#, "The image's configuration has a bad 'Env'"),
            (r#"{"config":{"User":{}}}"#, "The image's configuration has a bad 'User'"),
            (r#"{"rootfs":{"diff_ids":["../.."]}}"#, "The image's configuration has a bad 'diff_ids'"),
        ] {
            assert_eq!(parse(json.as_bytes()).err().as_deref(), Some(why), "{json}");
        }
    }
}
