//! Names of images.

/// The name with a tag: `latest` where it has neither tag nor digest, since without a whole repository would be pulled.
#[must_use]
pub fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') { image.to_owned() } else { format!("{image}:latest") }
}

/// The registry that an image comes from, as Docker's configuration names it.
pub(crate) fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        Some(_) | None => "docker.io",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_tags_and_registries() {
        let check = |image: &str, tagged: &str, from: &str| {
            assert_eq!(with_tag(image), tagged);
            assert_eq!(registry(image), from);
        };
        check("busybox", "busybox:latest", "docker.io");
        check("library/busybox:1", "library/busybox:1", "docker.io");
        check("localhost:5000/a", "localhost:5000/a:latest", "localhost:5000");
        check("localhost/a@sha256:12", "localhost/a@sha256:12", "localhost");
        check("r.example.com/a/b:c", "r.example.com/a/b:c", "r.example.com");
    }
}
