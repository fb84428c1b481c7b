//! Passwords of registries, from Docker's `config.json` or the older `.dockercfg`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::registry::Endpoint;

/// Passwords, by registry.
#[derive(Clone, Default)]
pub(crate) struct Passwords {
    /// What the file calls the registry, and what to send with a request, without the word `Basic`.
    entries: Vec<(String, String)>,
}

impl Passwords {
    /// Reads the file.
    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        let value: Value =
            serde_json::from_str(json).map_err(|error| format!("JSON parse failed: {error}"))?;
        let entries = match value.get("auths") {
            None => &value,
            Some(auths) => auths,
        };
        let entries = entries.as_object().ok_or("'auths' is not an object")?;
        let mut passwords = Self::default();
        for (key, entry) in entries {
            if !entry.is_object() {
                return Err(format!("the entry of '{key}' is not an object"));
            }
            let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
            let sent = match (text("auth"), text("username"), text("password")) {
                (Some(auth), _, _) => {
                    STANDARD.decode(auth).map_err(|_| format!("'auth' of '{key}' is not in base 64"))?;
                    auth.to_owned()
                }
                (None, Some(username), Some(password)) => STANDARD.encode(format!("{username}:{password}")),
                // Docker leaves empty entries where a helper has the password.
                (None, _, _) => continue,
            };
            passwords.entries.push((key.clone(), sent));
        }
        Ok(passwords)
    }

    /// What to send to a registry. COMPAT(mesos): all names with `docker.io` in them are one registry.
    pub(crate) fn of(&self, endpoint: &Endpoint) -> Option<&str> {
        let authority = endpoint.authority();
        let is_of = |key: &str| {
            let host = key.strip_prefix("http://").or(key.strip_prefix("https://")).unwrap_or(key);
            let host = host.split('/').next().unwrap_or_default();
            host == authority || (authority.contains("docker.io") && key.contains("docker.io"))
        };
        self.entries.iter().find(|(key, _)| is_of(key)).map(|(_, sent)| sent.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Passwords;
    use crate::registry::Endpoint;

    #[test]
    fn finds_the_password_of_a_registry() {
        let new = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"aHViOnA="},"localhost:5000":{"auth":"bDpw"},
            "quay.io":{"username":"u","password":"p"},"helped.io":{}}}"#;
        let old = r#"{"https://localhost:5000/v1/":{"auth":"bDpw","email":"e"}}"#;
        for (json, url, sent) in [
            (new, "https://registry-1.docker.io", Some("aHViOnA=")),
            (new, "http://localhost:5000", Some("bDpw")),
            (new, "https://quay.io", Some("dTpw")),
            (new, "https://helped.io", None),
            (new, "http://localhost:5001", None),
            (old, "http://localhost:5000", Some("bDpw")),
            ("{}", "https://quay.io", None),
        ] {
            let passwords = Passwords::parse(json).unwrap();
            assert_eq!(passwords.of(&Endpoint::parse(url).unwrap()), sent, "{url}");
        }
    }

    #[test]
    fn says_what_is_wrong_without_telling_passwords() {
        for (json, why) in [
            ("[]", "'auths' is not an object"),
            (r#"{"auths":{"a":7}}"#, "the entry of 'a' is not an object"),
            (r#"{"auths":{"a":{"auth":"secret!"}}}"#, "'auth' of 'a' is not in base 64"),
        ] {
            assert_eq!(Passwords::parse(json).err().as_deref(), Some(why));
        }
    }
}
