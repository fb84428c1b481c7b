//! What an id and a role may look like.

use thiserror::Error;

/// Why an id or role is refused. The texts are those of Mesos.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdError {
    /// The id has no characters.
    #[error("ID must not be empty")]
    Empty,
    /// The id is longer than a file name may be.
    #[error("ID must not be greater than {max} characters")]
    TooLong {
        /// The longest allowed, in bytes.
        max: usize,
    },
    /// `.` and `..` are paths.
    #[error("'{0}' is disallowed")]
    Dots(String),
    /// Control characters and path separators would escape a directory.
    #[error("'{0}' contains invalid characters")]
    Characters(String),
    /// A role breaks one of its rules; the text says which.
    #[error("{0}")]
    Role(String),
}

/// The longest id, in bytes: ids become file names.
const ID_MAX: usize = 255;

/// Checks an id that a client chose: not empty, at most 255 bytes, no path
/// separators or control characters, and neither `.` nor `..`
/// (observed rule of Mesos, `common/validation`).
pub fn check_id(id: &str) -> Result<(), IdError> {
    if id.is_empty() {
        return Err(IdError::Empty);
    }
    if id.len() > ID_MAX {
        return Err(IdError::TooLong { max: ID_MAX });
    }
    if id == "." || id == ".." {
        return Err(IdError::Dots(id.to_owned()));
    }
    if id.bytes().any(|b| b < 0x20 || b == 0x7f || b == b'/' || b == b'\\') {
        return Err(IdError::Characters(id.to_owned()));
    }
    Ok(())
}

/// Checks a role: `*`, or a path of names separated by single slashes, none of
/// which is empty, `.`, `..`, `*`, starts with a dash, or holds white space,
/// or the delete character (observed rule of Mesos, `mesos/roles`).
pub fn check_role(role: &str) -> Result<(), IdError> {
    let refuse = |text: String| Err(IdError::Role(text));
    if role == "*" {
        return Ok(());
    }
    if role.starts_with('/') {
        return refuse(format!("Role '{role}' cannot start with a slash"));
    }
    if role.ends_with('/') {
        return refuse(format!("Role '{role}' cannot end with a slash"));
    }
    if role.contains("//") {
        return refuse(format!("Role '{role}' cannot contain two adjacent slashes"));
    }
    if role.is_empty() {
        return refuse("Role names cannot be the empty string".to_owned());
    }
    for part in role.split('/') {
        if matches!(part, "." | ".." | "*") {
            return refuse(format!("Role '{role}' cannot include '{part}' as a component"));
        }
        if part.starts_with('-') {
            return refuse(format!("Role component '{part}' is invalid because it starts with a dash"));
        }
        if part.bytes().any(|b| matches!(b, b'\t'..=b'\r' | b' ' | 0x7f)) {
            return refuse(format!(
                "Role component '{part}' is invalid because it contains backspace or whitespace"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        for good in ["a", "a b", "task-1.x", "é"] {
            assert_eq!(check_id(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a\\b", "a\nb", &"x".repeat(256)] {
            assert!(check_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn roles() {
        for good in ["*", "a", "a/b/c", "a-b", ".a"] {
            assert_eq!(check_role(good), Ok(()), "{good}");
        }
        for bad in ["", "a b", "/a", "a/", "a//b", "-a", "a/-b", "a/*", ".", "a/..", "a\tb"] {
            assert!(check_role(bad).is_err(), "{bad}");
        }
    }
}
