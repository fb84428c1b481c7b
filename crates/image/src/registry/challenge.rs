//! What a registry wants to see before it gives anything: the header `WWW-Authenticate`.

/// How to get in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// With a password.
    Basic,
    /// With a token, which another server gives.
    Bearer {
        /// Where that is.
        realm: String,
        /// What it is for.
        service: Option<String>,
        /// What is to be done with it.
        scope: Option<String>,
    },
}

impl Challenge {
    /// Reads the header. None if it asks for something else.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service, mut scope) = (None, None, None);
        for (name, value) in parameters(rest) {
            match name.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                "scope" => scope = Some(value),
                _ => {}
            }
        }
        Some(Self::Bearer { realm: realm?, service, scope })
    }

    /// Where to ask for a token.
    pub(crate) fn token_url(realm: &str, service: Option<&str>, scope: &str) -> String {
        let mut url = realm.to_owned();
        let mut sign = if realm.contains('?') { '&' } else { '?' };
        for (name, value) in [("service", service), ("scope", Some(scope))] {
            if let Some(value) = value {
                url.push(sign);
                url.push_str(name);
                url.push('=');
                encode(value, &mut url);
                sign = '&';
            }
        }
        url
    }
}

/// `name=value` and `name="value"`, divided by commas.
fn parameters(mut rest: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',', '\t']);
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let (value, after) = after.split_once(',').unwrap_or((after, ""));
                (value.trim().to_owned(), after)
            }
        };
        found.push((name, value));
        rest = after;
    }
    found
}

/// The text up to the closing quote, and what comes after that.
fn unquote(quoted: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[index + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            character => value.push(character),
        }
    }
    (value, "")
}

/// As the part of a query.
fn encode(text: &str, to: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte) {
            to.push(byte.into());
        } else {
            to.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Challenge;
    use proptest::prelude::*;

    #[test]
    fn reads_what_registries_send() {
        let text = |text: &str| Some(text.to_owned());
        let full = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let expected = Challenge::Bearer {
            realm: "https://auth.docker.io/token".into(),
            service: text("registry.docker.io"),
            scope: text("repository:a/b:pull,push"),
        };
        assert_eq!(Challenge::parse(full), Some(expected));
        assert_eq!(Challenge::parse(r#"basic realm="x""#), Some(Challenge::Basic));
        assert_eq!(Challenge::parse("Basic"), Some(Challenge::Basic));
        let bare = Challenge::Bearer { realm: "http://t".into(), service: None, scope: text("a\"b") };
        assert_eq!(Challenge::parse(r#"BEARER realm=http://t, scope="a\"b""#), Some(bare));
        assert_eq!(Challenge::parse("Bearer"), None);
        assert_eq!(Challenge::parse("Negotiate"), None);
    }

    #[test]
    fn asks_for_a_token() {
        assert_eq!(
            Challenge::token_url("https://a/t", Some("my registry"), "repository:a/b:pull"),
            "https://a/t?service=my%20registry&scope=repository:a/b:pull"
        );
        assert_eq!(Challenge::token_url("https://a/t?x=y", None, "s&t"), "https://a/t?x=y&scope=s%26t");
    }

    proptest! {
        #[test]
        fn takes_any_header(header in ".{0,80}") {
            let _ = Challenge::parse(&header);
            let _ = Challenge::parse(&format!("Bearer {header}"));
        }
    }
}
