//! Who pulls images: the passwords in Docker's configuration.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::Deserialize;
use serde_json::json;

use crate::image::registry;

/// The passwords of a configuration: a `config.json`, or a `.dockercfg` of old.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// By registry.
    registries: BTreeMap<String, Password>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Password {
    /// `name:password` in base64.
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default, rename = "identitytoken")]
    token: String,
}

impl Auth {
    /// Reads a configuration. Returns why it could not.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut document: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        let auths = document.remove("auths");
        let auths = match auths {
            Some(auths) => serde_json::from_value(auths).map_err(|error| error.to_string())?,
            None => document,
        };
        // A configuration of old may have other things beside registries.
        let known = |value| serde_json::from_value::<Password>(value).ok();
        let registries = auths.into_iter().filter_map(|(name, value)| Some((host(&name), known(value)?)));
        Ok(Self { registries: registries.collect() })
    }

    /// What the daemon is told for a pull of this image.
    #[must_use]
    pub fn header(&self, image: &str) -> Option<String> {
        let registry = registry(image);
        let password = self.registries.get(registry)?;
        let decoded = STANDARD.decode(password.auth.trim()).ok();
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let (name, secret) = match decoded.as_deref().and_then(|text| text.split_once(':')) {
            Some((name, secret)) => (name, secret.trim_end_matches('\0')),
            None => (password.username.as_str(), password.password.as_str()),
        };
        let document = json!({
            "username": name,
            "password": secret,
            "identitytoken": password.token,
            "serveraddress": registry,
        });
        Some(URL_SAFE.encode(document.to_string()))
    }
}

/// A configuration that was fetched into a sandbox, as tasks bring it.
#[must_use]
pub fn of_sandbox(sandbox: &Path) -> Option<Auth> {
    let candidates = [".docker/config.json", ".dockercfg"];
    let text = candidates.iter().find_map(|name| std::fs::read_to_string(sandbox.join(name)).ok())?;
    Auth::read(&text).ok()
}

/// The registry in a name such as `https://index.docker.io/v1/`.
fn host(name: &str) -> String {
    let name = name.trim_start_matches("https://").trim_start_matches("http://");
    let host = name.split('/').next().unwrap_or(name);
    match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_found_by_registry() {
        let check = |text: &str, image: &str, expected: Option<(&str, &str)>| {
            let header = Auth::read(text).unwrap().header(image);
            let found = header.map(|header| {
                let bytes = URL_SAFE.decode(header).unwrap();
                let document: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                let text = |name: &str| document[name].as_str().unwrap().to_owned();
                (text("username"), text("password"))
            });
            assert_eq!(found, expected.map(|(name, password)| (name.to_owned(), password.to_owned())));
        };
        // "me:secret"
        let new = r#"{"auths": {"localhost:5000": {"auth": "bWU6c2VjcmV0"}}, "credHelpers": {}}"#;
        check(new, "localhost:5000/a", Some(("me", "secret")));
        check(new, "other:5000/a", None);
        let old = r#"{"https://index.docker.io/v1/": {"username": "u", "password": "p"}, "x": 1}"#;
        check(old, "busybox", Some(("u", "p")));
        assert!(Auth::read("[]").is_err());
    }
}
